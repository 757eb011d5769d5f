"""The native classes, as onnxruntime re-exports them."""

from arenaut.compat.onnxruntime.capi.onnxruntime_pybind11_state import *  # noqa: F403
