"""Casts between all pairs of element types, by their evaluator."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.ir.dtypes import DType
from arenaut.ir.ops.cast import cast_array

NUMBERS = tuple(t for t in DType if t not in (DType.STRING, DType.BOOL, DType.COMPLEX64, DType.COMPLEX128))


@pytest.mark.parametrize("source", NUMBERS)
def test_one_stays_one(source: DType) -> None:
    """Which every type of numbers holds. ml_dtypes itself does not convert between E8M0 and other narrow types."""
    ones = np.ones(3, np.float32).astype(source.numpy)
    for target in NUMBERS:
        got = cast_array(ones, target)
        assert got.dtype == target.numpy
        np.testing.assert_array_equal(got.astype(np.float32), np.ones(3, np.float32), err_msg=f"{source} to {target}")
