"""Rows of bytes as arrays: what is kept of a row, and which values may be kept so."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.ir.dims import symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph
from arenaut.ir.types import TensorType
from arenaut.lowering.byte_rows import (
    SCALE_BYTES,
    can_be_bytes,
    dims_as_bytes,
    dims_as_floats,
    rows_as_bytes,
    rows_as_floats,
)


def test_a_row_is_codes_and_what_they_are_multiples_of() -> None:
    x = np.array([[127, -64, 0, 2.5], [0, 0, 0, 0]], np.float32)
    stored = rows_as_bytes(x)
    assert stored.dtype == np.int8 and stored.shape == (2, 4 + SCALE_BYTES)
    np.testing.assert_array_equal(stored[:, :4], [[127, -64, 0, 2], [0, 0, 0, 0]])  # ties to even
    np.testing.assert_array_equal(np.ascontiguousarray(stored[:, 4:]).view(np.float32), [[1], [0]])
    np.testing.assert_array_equal(rows_as_floats(stored), [[127, -64, 0, 2], [0, 0, 0, 0]])
    assert rows_as_floats(stored[:0]).shape == (0, 4)


def test_dims_of_both_forms() -> None:
    dims = (symbol("b"), 4, symbol("past"), 16)
    assert dims_as_bytes(dims) == (*dims[:3], 20)
    assert dims_as_floats(dims_as_bytes(dims)) == dims


@pytest.mark.parametrize(("dims", "axis", "may"), [
    ((2, 4, 7, 16), 2, True),
    ((2, 7, 64), 1, True),
    ((2, 4, 16, 7), 3, False),  # rows would grow
    ((2, 4, 7, "size"), 2, False),  # nobody knows where the scale lies
    ((7,), 0, False),
])  # fmt: skip
def test_rows_must_stay_whole(dims: tuple[int | str, ...], axis: int, may: bool) -> None:
    shape = tuple([symbol(d) if isinstance(d, str) else d for d in dims])
    value = Graph("g").add_input("x", TensorType(DType.FLOAT, shape))
    assert can_be_bytes(value, axis) is may
