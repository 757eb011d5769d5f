"""What onnxruntime says of itself, said of arenaut."""

from __future__ import annotations

from arenaut import __version__ as arenaut_version
from arenaut.compat.onnxruntime.devices import CPU_PROVIDER, OrtEpDevice, OrtHardwareDevice
from arenaut.compat.onnxruntime.options import SessionOptions

# The version of onnxruntime whose interface this is.
API_VERSION = "1.32.0"


def get_version_string() -> str:
    return API_VERSION


def get_build_info() -> str:
    return f"arenaut {arenaut_version} with the interface of onnxruntime {API_VERSION}"


def get_device() -> str:
    return "CPU"


def get_available_providers() -> list[str]:
    return [CPU_PROVIDER]


def get_all_providers() -> list[str]:
    return [CPU_PROVIDER]


def get_ep_devices() -> list[OrtEpDevice]:
    return [OrtEpDevice()]


def get_hardware_devices() -> list[OrtHardwareDevice]:
    return [OrtHardwareDevice()]


def has_collective_ops() -> bool:
    return False


def get_default_session_options() -> SessionOptions:
    return SessionOptions()


def get_session_initializer() -> SessionOptions:
    return SessionOptions()


def get_package_name_and_version_info() -> tuple[str, str, str]:
    """Name, version and CUDA version of the package."""
    return "onnxruntime", API_VERSION, ""


def preload_dlls(cuda: bool = True, cudnn: bool = True, msvc: bool = True, directory: str | None = None) -> None:
    """There is nothing to load."""


def print_debug_info() -> None:
    """Prints what this is."""
    print(get_build_info())
