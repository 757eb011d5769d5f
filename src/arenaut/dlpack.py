"""Tensors of types that numpy does not take by DLPack: bfloat16."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array

_CPU, _BFLOAT = 1, 4  # DLDeviceType, DLDataTypeCode


class _Tensor(ctypes.Structure):
    """DLTensor of dlpack.h."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


class _Shown:
    """The memory of a capsule, which it keeps alive: the capsule is not consumed, and frees its tensor in the end."""

    def __init__(self, capsule: Any, interface: dict[str, Any]) -> None:
        self._capsule = capsule
        self.__array_interface__ = interface


def bfloat16_of(given: Any) -> Array | None:
    """A bfloat16 tensor of the CPU that has DLPack, where it lies; None for any other."""
    if not hasattr(given, "__dlpack__"):
        return None
    capsule = given.__dlpack__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    t = _Tensor.from_address(pointer(capsule, b"dltensor"))
    if (t.device_type, t.code, t.bits, t.lanes) != (_CPU, _BFLOAT, 16, 1):
        return None
    shape = tuple(t.shape[i] for i in range(t.ndim))
    strides = tuple(2 * t.strides[i] for i in range(t.ndim)) if t.strides else None
    data = ((t.data or 0) + t.byte_offset, True)
    shown = _Shown(capsule, {"version": 3, "typestr": "<u2", "shape": shape, "strides": strides, "data": data})
    array: Array = np.asarray(shown).view(DType.BFLOAT16.numpy)
    return array
