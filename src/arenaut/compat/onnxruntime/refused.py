"""Classes and functions of onnxruntime that arenaut does not have, under their names: a use says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arenaut.compat.onnxruntime.errors import refusal

_LORA = "merge the adapter into the model's weights, or feed its weights as inputs"
_COMPILE = "arenaut compiles a model when it is loaded; model.save_onnx() writes the optimised graph"
_PACKAGE = "load the .onnx file of the variant that you want"
_CONTEXT = "it belongs to models that were compiled for other processors"
_SPARSE = "arenaut computes dense tensors: convert before the run"


def _refusing(what: str, instead: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise refusal(what, instead)

    refuse.__name__ = what.rpartition(".")[2]
    return refuse


def _class(name: str, instead: str, methods: str) -> type:
    refuse = _refusing(name, instead)
    body: dict[str, Any] = {m: staticmethod(_refusing(f"{name}.{m}", instead)) for m in methods.split()}
    return type(name, (), {"__init__": refuse, "__doc__": f"Refused: {instead}.", **body})


AdapterFormat = _class(
    "AdapterFormat", _LORA,
    "export_adapter read_adapter get_adapter_version get_format_version get_model_version get_parameters "
    "set_adapter_version set_model_version set_parameters adapter_version format_version model_version parameters",
)  # fmt: skip
LoraAdapter = _class("LoraAdapter", _LORA, "Load")
ModelCompiler = _class(
    "ModelCompiler", _COMPILE,
    "compile_to_bytes compile_to_file compile_to_stream clear_ep_context_data_write_func "
    "set_ep_context_binary_information set_ep_context_data_write_func",
)  # fmt: skip
ModelPackage = _class(
    "ModelPackage", _PACKAGE,
    "add_shared_asset close commit compute_directory_hash get_component_json get_info get_variant_json open prune "
    "remove_component remove_shared_asset remove_variant remove_variant_executor_info resolve_asset_uri "
    "resolve_string_ref set_additional_metadata_json set_component_external set_component_inline set_layout "
    "set_metadata set_variant set_variant_executor_info_external set_variant_executor_info_inline",
)  # fmt: skip
ModelPackageContext = _class(
    "ModelPackageContext", _PACKAGE,
    "get_component_count get_component_names get_schema_version get_variant_count get_variant_ep_name "
    "get_variant_names resolve_string_ref select_component",
)  # fmt: skip
ModelPackageComponentContext = _class(
    "ModelPackageComponentContext", _PACKAGE,
    "create_session get_selected_variant_folder_path get_selected_variant_name",
)  # fmt: skip
ModelPackageOptions = _class("ModelPackageOptions", _PACKAGE, "")
OrtEpContextData = _class("OrtEpContextData", _CONTEXT, "read size")
OrtEpContextDataBuffer = _class("OrtEpContextDataBuffer", _CONTEXT, "allocate is_allocated max_size size write")
SparseBlockSparseView = _class("SparseBlockSparseView", _SPARSE, "indices")
SparseCooView = _class("SparseCooView", _SPARSE, "indices")
SparseCsrView = _class("SparseCsrView", _SPARSE, "inner outer")
SessionObjectInitializer = _class("SessionObjectInitializer", _PACKAGE, "")

register_execution_provider_library = _refusing(
    "register_execution_provider_library", "it computes on the CPU with kernels of its own"
)
unregister_execution_provider_library = _refusing(
    "unregister_execution_provider_library", "it computes on the CPU with kernels of its own"
)
_QUANTISE = "quantise with onnxruntime.quantization of an installed onnxruntime; arenaut runs the result"
quantize_matmul_2bits = _refusing("quantize_matmul_2bits", _QUANTISE)
quantize_matmul_4bits = _refusing("quantize_matmul_4bits", _QUANTISE)
quantize_matmul_8bits = _refusing("quantize_matmul_8bits", _QUANTISE)
quantize_matmul_bnb4 = _refusing("quantize_matmul_bnb4", _QUANTISE)
quantize_qdq_matmul_2bits = _refusing("quantize_qdq_matmul_2bits", _QUANTISE)
quantize_qdq_matmul_4bits = _refusing("quantize_qdq_matmul_4bits", _QUANTISE)
pack_fp4_weights_for_cuda_moe_gemm = _refusing("pack_fp4_weights_for_cuda_moe_gemm", _QUANTISE)
_COMPATIBILITY = "a model of this machine runs on this machine"
get_compatibility_info_from_model = _refusing("get_compatibility_info_from_model", _COMPATIBILITY)
get_compatibility_info_from_model_bytes = _refusing("get_compatibility_info_from_model_bytes", _COMPATIBILITY)
get_hardware_device_ep_incompatibility_details = _refusing(
    "get_hardware_device_ep_incompatibility_details", _COMPATIBILITY
)
get_model_compatibility_for_ep_devices = _refusing("get_model_compatibility_for_ep_devices", _COMPATIBILITY)
get_registered_ep_kernel_defs = _refusing("get_registered_ep_kernel_defs", "arenaut.kernel_info() lists the kernels")
get_all_operator_schema = _refusing("get_all_operator_schema", "onnx.defs lists the schemas")
get_all_opkernel_def = _refusing("get_all_opkernel_def", "arenaut.kernel_info() lists the kernels")
opkernel = _class("opkernel", "arenaut.kernel_info() lists the kernels", "")
schemadef = _class("schemadef", "onnx.defs lists the schemas", "")
