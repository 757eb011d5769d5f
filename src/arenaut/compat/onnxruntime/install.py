"""Puts this package in the place of onnxruntime."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

_HERE = "arenaut.compat.onnxruntime"
_NAME = "onnxruntime"
_SUBMODULES = (
    "capi", "capi._pybind_state", "capi.onnxruntime_pybind11_state", "capi.onnxruntime_inference_collection",
    "capi.onnxruntime_validation", "capi.build_and_package_info",
)  # fmt: skip
_replaced: dict[str, ModuleType] = {}


class _Distribution(importlib.metadata.Distribution):
    """Says that onnxruntime is installed, to who asks for its version before importing it."""

    def read_text(self, filename: str) -> str | None:
        from arenaut.compat.onnxruntime.facts import API_VERSION

        return f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: {API_VERSION}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return path


class _Finder(importlib.metadata.DistributionFinder):
    """Finds that distribution where no other is."""

    def find_spec(self, *args: Any) -> None:
        return None

    def find_distributions(self, context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        name = getattr(context, "name", None)
        return [_Distribution()] if name is None or name.lower() == _NAME else []


_finder = _Finder()


def install() -> ModuleType:
    """From now on `import onnxruntime` gives this package; what was imported before keeps what it has.

    Python packages inside an installed onnxruntime (quantization, transformers, tools) stay importable and see this
    one. Returns the module.
    """
    if getattr(sys.modules.get(_NAME), "__arenaut__", False):
        return sys.modules[_NAME]
    real = _path_of_installed()
    for name in [n for n in sys.modules if n == _NAME or n.startswith(f"{_NAME}.")]:
        _replaced[name] = sys.modules.pop(name)
    top = _alias(_NAME, importlib.import_module(_HERE), real)
    for name in _SUBMODULES:
        module = _alias(f"{_NAME}.{name}", importlib.import_module(f"{_HERE}.{name}"), [])
        parent, _, last = f"{_NAME}.{name}".rpartition(".")
        setattr(sys.modules[parent], last, module)
    if not real:
        sys.meta_path.append(_finder)
    return top


def uninstall() -> None:
    """Undoes install()."""
    if not getattr(sys.modules.get(_NAME), "__arenaut__", False):
        return
    for name in [n for n in sys.modules if n == _NAME or n.startswith(f"{_NAME}.")]:
        del sys.modules[name]
    sys.modules.update(_replaced)
    _replaced.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def _path_of_installed() -> list[str]:
    """Folders of an onnxruntime that is installed; none where there is no such package."""
    try:
        spec = importlib.machinery.PathFinder.find_spec(_NAME)
    except (ImportError, ValueError):
        return []
    return list(spec.submodule_search_locations or []) if spec is not None else []


def _alias(name: str, module: ModuleType, path: list[str]) -> ModuleType:
    """A module of that name with what the other has."""
    alias = ModuleType(name, module.__doc__)
    alias.__dict__.update({k: v for k, v in vars(module).items() if not k.startswith("__") or k == "__version__"})
    alias.__dict__["__arenaut__"] = True
    alias.__file__ = module.__file__
    spec = importlib.machinery.ModuleSpec(name, None, is_package=hasattr(module, "__path__"))
    if hasattr(module, "__path__"):
        alias.__path__ = path
        spec.submodule_search_locations = path
    alias.__spec__ = spec
    alias.__package__ = name if hasattr(module, "__path__") else name.rpartition(".")[0]
    sys.modules[name] = alias
    return alias
