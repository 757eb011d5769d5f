"""ONNX models as one native call, with a memory plan that is proved before anything runs.

model = arenaut.load_onnx("model.onnx")
outputs = model.run({"x": x})
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from arenaut import errors
    from arenaut.compat.onnxruntime import InferenceSession
    from arenaut.frontend import Revision
    from arenaut.generation import generate
    from arenaut.inputs import TensorInfo
    from arenaut.ir.limits import Limits
    from arenaut.loading import load_onnx
    from arenaut.model import Model
    from arenaut.native.target import kernel_info
    from arenaut.state import State

__all__ = [
    "InferenceSession", "Limits", "Model", "Revision", "State", "TensorInfo", "__version__", "errors", "generate",
    "kernel_info", "load_onnx",
]  # fmt: skip

_HOME = {
    "InferenceSession": "compat.onnxruntime", "Model": "model", "Revision": "frontend", "TensorInfo": "inputs",
    "generate": "generation", "load_onnx": "loading", "kernel_info": "native.target", "State": "state",
    "Limits": "ir.limits",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first asked for, so that `import arenaut` costs next to nothing."""
    import importlib

    from arenaut.collector import held_back

    if name == "errors":
        return importlib.import_module("arenaut.errors")
    if name in _HOME:
        with held_back():  # a hundred modules set off several passes, which would find nothing
            return getattr(importlib.import_module(f"arenaut.{_HOME[name]}"), name)
    raise AttributeError(f"module 'arenaut' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
