"""onnxruntime.capi, by the names of its modules."""

from arenaut.compat.onnxruntime.capi import (
    _pybind_state,
    build_and_package_info,
    onnxruntime_inference_collection,
    onnxruntime_pybind11_state,
    onnxruntime_validation,
)

__all__ = [
    "_pybind_state", "build_and_package_info", "onnxruntime_inference_collection", "onnxruntime_pybind11_state",
    "onnxruntime_validation",
]  # fmt: skip
