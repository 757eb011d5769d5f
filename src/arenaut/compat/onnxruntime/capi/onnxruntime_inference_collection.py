"""The public classes, where onnxruntime keeps them."""

from arenaut.compat.onnxruntime.binding import IOBinding
from arenaut.compat.onnxruntime.capi import _pybind_state as C
from arenaut.compat.onnxruntime.devices import OrtDevice, get_ort_device_type
from arenaut.compat.onnxruntime.enums import OrtDeviceVendorId
from arenaut.compat.onnxruntime.refused import AdapterFormat, ModelCompiler
from arenaut.compat.onnxruntime.session import InferenceSession, Session, check_and_normalize_provider_args
from arenaut.compat.onnxruntime.values import OrtValue, SparseTensor, copy_tensors

__all__ = [
    "AdapterFormat", "C", "IOBinding", "InferenceSession", "ModelCompiler", "OrtDevice", "OrtDeviceVendorId",
    "OrtValue", "Session", "SparseTensor", "check_and_normalize_provider_args", "copy_tensors", "get_ort_device_type",
]  # fmt: skip
