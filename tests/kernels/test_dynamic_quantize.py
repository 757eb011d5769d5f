"""DynamicQuantizeLinear: the range of parts, then scale, zero point and bytes, in the arithmetic of f32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.guard import run
from tests.support.rowcall import rows

PAIRS = list(zip(rows("range_parts"), rows("dynamic_quantize"), strict=True))


def expected(x: np.ndarray[Any, Any]) -> tuple[Any, np.float32, np.uint8]:
    low, high = np.float32(np.fmin.reduce(x, None, initial=0)), np.float32(np.fmax.reduce(x, None, initial=0))
    scale = np.float32(1 if low == high else high - low) / np.float32(255)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    y = np.clip(np.rint(x / scale) + zero, 0, 255)
    return np.nan_to_num(y).astype(np.uint8), scale, np.uint8(zero)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"tier{p[0]['tier']}")
@pytest.mark.parametrize("n", [0, 1, 63, 64, 8192 * 3 + 5, 700_001])
@pytest.mark.parametrize("low, high", [(-3, 7), (2, 5), (-9, -1), (0, 0)])
def test_bytes_are_those_of_the_arithmetic(pair: Any, n: int, low: float, high: float) -> None:
    rng = np.random.default_rng(n)
    x = rng.uniform(low, high, n).astype(np.float32)
    if n > 60:
        x[7] = np.nan
    (parts,) = run(pair[0], [x], [((64, 2), np.float32)])
    assert parts[:, 0].min() == np.fmin.reduce(x, initial=0) and parts[:, 1].max() == np.fmax.reduce(x, initial=0)
    y, scale, zero = run(pair[1], [x, parts], [((n,), np.uint8), ((), np.float32), ((), np.uint8)])
    want = expected(x)
    assert scale == want[1] and zero == want[2]
    np.testing.assert_array_equal(y, want[0])
