from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

MODES = ["reflect", "edge", "wrap"]


@pytest.mark.parametrize("row", rows("pad"), ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.int64, np.complex128])
@pytest.mark.parametrize("mode", MODES)
def test_pads_and_cuts(row: dict, dtype: Any, mode: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        shape = tuple(int(n) for n in rng.integers(1, 7, rng.integers(0, 5)))
        x = place(rng.integers(0, 100, shape).astype(dtype), rng, zero=True)
        # Cuts leave one element; pads may be several times the dim.
        amounts = [(int(rng.integers(-(n - 1) // 2, 12)), int(rng.integers(-(n - 1) // 2, 12))) for n in shape]
        kept = x[tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(shape, amounts, strict=True))]
        if 0 in kept.shape:
            continue
        want = np.pad(kept, [(max(0, a), max(0, b)) for a, b in amounts], mode=mode) if shape else kept  # type: ignore[call-overload]
        params = params_blob("Pad", {"mode": MODES.index(mode), "begin": [a for a, _ in amounts]})
        (got,) = run(row, [x], [(want.shape, dtype)], rng, params=params)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("row", rows("pad"), ids=lambda r: f"tier{r['tier']}")
def test_refuses_to_pad_from_nothing(row: dict) -> None:
    x, params = np.zeros((3, 4), np.float32), params_blob("Pad", {"mode": 1, "begin": [1, 1]})
    assert call(row, [x[:, :0]], [np.zeros((5, 2), np.float32)], params=params)["bind_status"] == 2
    run(row, [x[:, :0]], [((0, 2), np.float32)], params=params_blob("Pad", {"mode": 1, "begin": [-3, 1]}))
    for begin in (-4, 6):
        params = params_blob("Pad", {"mode": 1, "begin": [begin, 0]})
        assert call(row, [x], [np.zeros((5, 4), np.float32)], params=params)["bind_status"] == 2
