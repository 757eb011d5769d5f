"""Arrays as they cross the border to the native extension and back."""

from __future__ import annotations

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array

# Types that numpy itself knows; the others cross the border as unsigned integers of their width.
NATIVE_KINDS = "fiubc"


def to_native(array: Array) -> Array:
    """A dense, aligned array of native byte order whose numpy type the native side knows."""
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = np.require(array, requirements=["C", "A"])
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in NATIVE_KINDS:
        return array.view(np.uint16 if array.dtype.itemsize == 2 else np.uint8)
    return array


def from_native(array: Array, dtype: DType) -> Array:
    """The array with its own numpy type again."""
    want = dtype.numpy
    return array if array.dtype == want else array.view(want)


def is_tensor(a: object) -> bool:
    """Whether this crosses the border as an array: no text, no object."""
    return isinstance(a, np.ndarray) and a.dtype.kind not in "OUST"
