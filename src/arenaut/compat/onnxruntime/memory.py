"""Arrays on memory that is known by its address."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np


def array_at(address: int, dtype: np.dtype[Any], shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """A dense array of what lies there, which its owner must keep."""
    dims = tuple(int(d) for d in shape)
    if any(d < 0 for d in dims):
        raise RuntimeError(f"a shape has sizes of at least 0, not {list(dims)}")
    size = prod(dims) * dtype.itemsize
    if size == 0:
        return np.zeros(dims, dtype)
    block: Any = (ctypes.c_char * size).from_address(int(address))
    array: np.ndarray[Any, Any] = np.frombuffer(block, np.uint8).view(dtype).reshape(dims)
    return array
