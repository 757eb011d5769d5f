from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

ROWS = pytest.mark.parametrize("row", rows("rotary_f32"), ids=lambda r: f"tier{r['tier']}")


def turned(x: Any, cos: Any, sin: Any, width: int, interleaved: int) -> Any:
    """In float64; cos and sin are [B, S, width / 2]."""
    y = x.astype(np.float64).copy()
    half = width // 2
    first, second = (slice(0, width, 2), slice(1, width, 2)) if interleaved else (slice(0, half), slice(half, width))
    a, b, c, s = y[..., first].copy(), y[..., second].copy(), cos[:, None], sin[:, None]
    y[..., first], y[..., second] = a * c - b * s, a * s + b * c
    return y


def inner(array: Any, rng: np.random.Generator) -> Any:
    """In a random layout whose last dim has unit stride."""
    moved = place(np.moveaxis(array, -1, 0), rng)
    wide = np.moveaxis(moved, 0, -1)
    return wide if wide.strides[-1] == array.itemsize else array.copy()


@ROWS
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("gathered", [False, True])
def test_turns_pairs(row: dict, interleaved: int, gathered: bool) -> None:
    rng = np.random.default_rng(interleaved)
    for _ in range(30):
        batch, heads, length = (int(n) for n in rng.integers(1, 5, 3))
        pairs = int(rng.integers(0, 40))
        size = 2 * pairs + int(rng.integers(0, 5))
        x = inner(rng.standard_normal((batch, heads, length, size)).astype(np.float32), rng)
        lead = (9,) if gathered else tuple(int(rng.choice([1, n])) for n in (batch, length))
        cos, sin = (inner(rng.standard_normal((*lead, pairs)).astype(np.float32), rng) for _ in range(2))
        at = place(rng.integers(0, 9, (batch, length)), rng, zero=True) if gathered else None
        angles = [t[at] if gathered else np.broadcast_to(t, (batch, length, pairs)) for t in (cos, sin)]
        want = turned(x, *angles, 2 * pairs, interleaved)
        params = params_blob("Rotary", {"width": 2 * pairs, "interleaved": interleaved})
        (got,) = run(row, [x, cos, sin, at], [(x.shape, np.float32)], params=params)
        np.testing.assert_allclose(got, want, rtol=0, atol=4e-7 * max(1.0, float(np.abs(want).max(initial=0))) * 4)


@ROWS
def test_in_place_gives_the_same_bytes(row: dict) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 3, 4, 22)).astype(np.float32)
    cos, sin = (rng.standard_normal((1, 4, 9)).astype(np.float32) for _ in range(2))
    params = params_blob("Rotary", {"width": 18, "interleaved": 0})
    (want,) = run(row, [x, cos, sin, None], [(x.shape, np.float32)], params=params)
    call(row, [x, cos, sin, None], [x], params=params)
    assert x.tobytes() == want.tobytes()


@ROWS
def test_positions_outside_the_table(row: dict) -> None:
    x, table = np.zeros((1, 1, 2, 4), np.float32), np.zeros((3, 2), np.float32)
    params = params_blob("Rotary", {"width": 4})
    for at, status in ((3, 3), (-1, 3), (2, 0)):
        positions = np.array([[0, at]], np.int64)
        assert call(row, [x, table, table, positions], [x.copy()], params=params)["status"] == status


@ROWS
def test_refuses_tables_of_another_size(row: dict) -> None:
    x = np.zeros((2, 3, 4, 8), np.float32)
    for shape, width in (((2, 4, 3), 8), ((2, 3, 4), 8), ((3, 4, 4), 8), ((2, 4, 5), 10)):
        table = np.zeros(shape, np.float32)
        params = params_blob("Rotary", {"width": width})
        assert call(row, [x, table, table, None], [x.copy()], params=params)["bind_status"] == 2
