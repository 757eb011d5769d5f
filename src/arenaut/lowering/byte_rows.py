"""Rows of bytes: what a state keeps of a row of floats where it keeps 8 bits of each number. The codes of the row's
numbers, and behind them the float32 that each is a multiple of: cpp/kernels/quantize/rows.cc says how they are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arenaut.ir.dims import Dim
from arenaut.ir.graph import Array, Value

SCALE_BYTES = 4
_MOST, _LEAST = np.float32(127), np.float32(2.0**-100)


def can_be_bytes(value: Value, axis: int) -> bool:
    """Whether rows of the value stay whole where it grows or is written to along this axis."""
    return value.rank >= 2 and axis != value.rank - 1 and isinstance(value.shape[-1], int)


def dims_as_bytes(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    return (*dims[:-1], dims[-1] + SCALE_BYTES)


def dims_as_floats(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    return (*dims[:-1], dims[-1] - SCALE_BYTES)


def rows_as_bytes(array: Array) -> Array:
    """float32 [..., n] as int8 [..., n + SCALE_BYTES]."""
    most = np.abs(array).max(-1, keepdims=True, initial=0.0)
    scale = np.where(most < _LEAST, np.float32(0), most / _MOST).astype(np.float32)
    plain = np.isfinite(scale) & (scale > 0)
    with np.errstate(invalid="ignore", over="ignore"):
        codes = np.where(plain, np.rint(array * (_MOST / np.where(plain, most, 1))), 0).astype(np.int8)
    return np.concatenate([codes, scale.view(np.int8)], -1)


def rows_as_floats(stored: Array) -> Array:
    """The way back."""
    scale = np.ascontiguousarray(stored[..., -SCALE_BYTES:]).view(np.float32)
    with np.errstate(invalid="ignore"):
        floats: Array = stored[..., :-SCALE_BYTES].astype(np.float32) * scale
    return floats


__all__ = ["SCALE_BYTES", "can_be_bytes", "dims_as_bytes", "dims_as_floats", "rows_as_bytes", "rows_as_floats"]
