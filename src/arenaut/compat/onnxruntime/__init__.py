"""onnxruntime's Python interface on arenaut: `import arenaut.compat.onnxruntime as ort`.

install() puts it in the place of onnxruntime, for code that imports that; `python -m arenaut.compat.onnxruntime
script.py ...` does so for a script. docs/guide/from-onnxruntime.md says what differs.
"""

from __future__ import annotations

from arenaut.compat.onnxruntime import capi
from arenaut.compat.onnxruntime.binding import IOBinding, SessionIOBinding
from arenaut.compat.onnxruntime.capi import onnxruntime_validation
from arenaut.compat.onnxruntime.devices import (
    OrtArenaCfg,
    OrtDevice,
    OrtEpAssignedNode,
    OrtEpAssignedSubgraph,
    OrtEpDevice,
    OrtExternalInitializerInfo,
    OrtHardwareDevice,
    OrtMemoryInfo,
    OrtSyncStream,
)
from arenaut.compat.onnxruntime.enums import (
    ExecutionMode,
    ExecutionOrder,
    GraphOptimizationLevel,
    ModelPackageWriteMode,
    OrtAllocatorType,
    OrtCompileApiFlags,
    OrtDeviceMemoryType,
    OrtDeviceVendorId,
    OrtExecutionProviderDevicePolicy,
    OrtHardwareDeviceType,
    OrtMemoryInfoDeviceType,
    OrtMemType,
    OrtSparseFormat,
)
from arenaut.compat.onnxruntime.facts import (
    API_VERSION,
    get_all_providers,
    get_available_providers,
    get_build_info,
    get_device,
    get_ep_devices,
    get_version_string,
    has_collective_ops,
    preload_dlls,
    print_debug_info,
)
from arenaut.compat.onnxruntime.install import install, uninstall
from arenaut.compat.onnxruntime.nodes import ModelMetadata, NodeArg
from arenaut.compat.onnxruntime.notes import NoEffectWarning
from arenaut.compat.onnxruntime.options import RunOptions, SessionOptions
from arenaut.compat.onnxruntime.refused import (
    AdapterFormat,
    LoraAdapter,
    ModelCompiler,
    ModelPackage,
    ModelPackageComponentContext,
    ModelPackageContext,
    ModelPackageOptions,
    OrtEpContextData,
    OrtEpContextDataBuffer,
    register_execution_provider_library,
    unregister_execution_provider_library,
)
from arenaut.compat.onnxruntime.session import InferenceSession
from arenaut.compat.onnxruntime.settings import (
    create_and_register_allocator,
    create_and_register_allocator_v2,
    disable_telemetry_events,
    enable_telemetry_events,
    set_default_logger_callback,
    set_default_logger_severity,
    set_default_logger_verbosity,
    set_global_thread_pool_sizes,
    set_seed,
)
from arenaut.compat.onnxruntime.values import OrtValue, SparseTensor, copy_tensors

__version__ = version = API_VERSION
package_name = "onnxruntime"
cuda_version = ""
import_capi_exception = None

__all__ = [
    "API_VERSION", "AdapterFormat", "ExecutionMode", "ExecutionOrder", "GraphOptimizationLevel", "IOBinding",
    "InferenceSession", "LoraAdapter", "ModelCompiler", "ModelMetadata", "ModelPackage", "ModelPackageComponentContext",
    "ModelPackageContext", "ModelPackageOptions", "ModelPackageWriteMode", "NoEffectWarning", "NodeArg",
    "OrtAllocatorType", "OrtArenaCfg", "OrtCompileApiFlags", "OrtDevice", "OrtDeviceMemoryType", "OrtDeviceVendorId",
    "OrtEpAssignedNode", "OrtEpAssignedSubgraph", "OrtEpContextData", "OrtEpContextDataBuffer", "OrtEpDevice",
    "OrtExecutionProviderDevicePolicy", "OrtExternalInitializerInfo", "OrtHardwareDevice", "OrtHardwareDeviceType",
    "OrtMemType", "OrtMemoryInfo", "OrtMemoryInfoDeviceType", "OrtSparseFormat", "OrtSyncStream", "OrtValue",
    "RunOptions", "SessionIOBinding", "SessionOptions", "SparseTensor", "capi", "copy_tensors",
    "create_and_register_allocator", "create_and_register_allocator_v2", "cuda_version", "disable_telemetry_events",
    "enable_telemetry_events", "get_all_providers", "get_available_providers", "get_build_info", "get_device",
    "get_ep_devices", "get_version_string", "has_collective_ops", "import_capi_exception", "install",
    "onnxruntime_validation", "package_name", "preload_dlls", "print_debug_info", "register_execution_provider_library",
    "set_default_logger_callback", "set_default_logger_severity", "set_default_logger_verbosity",
    "set_global_thread_pool_sizes", "set_seed", "uninstall", "unregister_execution_provider_library", "version",
]  # fmt: skip
