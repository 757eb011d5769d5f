"""Which package this is."""

from __future__ import annotations

from arenaut.compat.onnxruntime.facts import get_package_name_and_version_info


def check_distro_info() -> None:
    """There is nothing to check."""


def check_training_module() -> None:
    """There is no training here."""


def validate_build_package_info() -> tuple[bool, str, str, str]:
    """Whether training is there, then name, version and CUDA version."""
    return False, *get_package_name_and_version_info()


__all__ = ["check_distro_info", "check_training_module", "get_package_name_and_version_info",
           "validate_build_package_info"]  # fmt: skip
