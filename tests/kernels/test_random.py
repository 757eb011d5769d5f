"""Draws have their distribution, the same for a seed and for any tasks; classes are drawn by their weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.ir.ops.constant import DRAWS
from arenaut.ir.ops.signal import _mel_edges, _mel_evaluate
from tests.ir.test_text_and_draws import node
from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

OUT_OF_RANGE, BAD_VALUE = 3, 5


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows(name), ids=lambda r: f"tier{r['tier']}")


def draws(row: dict, count: int, kind: str, seed: int | None = None, first: float = 0, second: float = 1) -> Any:
    dtype = np.float32 if row["name"].endswith("32") else np.float64
    given = {"kind": DRAWS.index(kind), "seeded": int(seed is not None), "seed": seed or 0}
    params = params_blob("Draw", {**given, "first": first, "second": second})
    (got,) = run(row, [], [((count,), dtype)], params=params)
    return got.astype(np.float64)


def far_from(sample: np.ndarray, distribution: Any) -> float:
    """Kolmogorov and Smirnov's distance, times the root of the count: beyond 2 in one of a thousand."""
    ordered, n = np.sort(sample), len(sample)
    levels = distribution(ordered)
    return float(np.sqrt(n) * max((np.arange(1, n + 1) / n - levels).max(), (levels - np.arange(n) / n).max()))


def normal_level(x: np.ndarray) -> np.ndarray:
    from math import erf

    return np.array([0.5 * (1 + erf(v / np.sqrt(2))) for v in x])


@pytest.mark.parametrize("row", rows("draw_f32") + rows("draw_f64"), ids=lambda r: f"{r['name']} {r['tier']}")
def test_draws(row: dict) -> None:
    uniform = draws(row, 50_000, "UNIFORM", 7, -3, 8)
    assert uniform.min() >= -3 and uniform.max() <= 5
    assert far_from(uniform, lambda x: (x + 3) / 8) < 2
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < 0.02
    for lag in (16, 32, 4096):
        assert abs(np.corrcoef(uniform[:-lag], uniform[lag:])[0, 1]) < 0.03
    for count in (0, 1, 15, 16, 17, 4095, 4097):
        np.testing.assert_array_equal(draws(row, count, "UNIFORM", 7, -3, 8), uniform[:count])
    assert (draws(row, 64, "UNIFORM", 8, -3, 8) != uniform[:64]).all()
    if row["name"] == "draw_f32":
        normal = draws(row, 20_000, "NORMAL", 3, 2, 0.5)
        assert np.isfinite(normal).all() and far_from((normal - 2) / 0.5, normal_level) < 2
        for lag in (1, 16, 32):
            assert abs(np.corrcoef(normal[:-lag], normal[lag:])[0, 1]) < 0.04
        for count in (1, 31, 33):
            np.testing.assert_array_equal(draws(row, count, "NORMAL", 3, 2, 0.5), normal[:count])


@each("draw_f32")
def test_no_seed_no_repetition(row: dict) -> None:
    params = params_blob("Draw", {"kind": 1, "seeded": 0, "seed": 0, "first": 0.0, "second": 1.0})
    seen = set()
    for _ in range(50):
        y = np.zeros(8, np.float32)
        assert call(row, [], [y], params=params)["status"] == 0
        seen.add(tuple(y.tolist()))
    assert len(seen) == 50


@pytest.mark.parametrize("row", rows("draw_f32") + rows("draw_f64"), ids=lambda r: f"{r['name']} {r['tier']}")
def test_tiers_draw_alike(row: dict) -> None:
    (first,) = (r for r in rows(row["name"]) if r["tier"] == 0)
    np.testing.assert_array_equal(draws(row, 100, "UNIFORM", 5), draws(first, 100, "UNIFORM", 5))


@each("multinomial")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("to", [np.int32, np.int64])
def test_multinomial(row: dict, dtype: Any, to: Any) -> None:
    rng = np.random.default_rng(1)
    for classes in (1, 3, 8, 61):
        values = rng.normal(0, 4, (5, classes)).astype(dtype)
        values[rng.random(values.shape) < 0.2] = -np.inf
        values[0, 0] = np.nan if classes > 3 else 1e30
        values[:, -1] = 0.5
        x = place(values, rng)
        at = rng.random((5, 40))
        at[:, 0] = 0
        (got,) = run(row, [x, at], [(at.shape, to)])
        wide = x.astype(np.float64)
        weights = np.exp(wide - np.nanmax(wide, axis=1, keepdims=True))
        ends = np.cumsum(np.nan_to_num(weights, nan=0.0), axis=1)
        want = np.array([np.searchsorted(e, d * e[-1], side="right") for e, d in zip(ends, at, strict=True)])
        np.testing.assert_array_equal(got, np.minimum(want, classes - 1))
    none = np.full((2, 3), np.nan, dtype)
    (got,) = run(row, [none, rng.random((2, 4))], [((2, 4), to)])
    assert (got == 2).all()
    run(row, [none[:, :0], rng.random((2, 4))], [((2, 4), to)], status=BAD_VALUE)


@each("mel_weights")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mel_weights(row: dict, dtype: Any) -> None:
    def operands(*numbers: float) -> list[Any]:
        return [np.array(n, np.int64 if i < 3 else np.float32) for i, n in enumerate(numbers)]

    for bands, length, rate, low, high in ((8, 16, 8192, 0, 4096), (80, 400, 16000, 20, 7600), (1, 2, 8000, 0, 100)):
        given = operands(bands, length, rate, low, high)
        made = node("MelWeightMatrix", *given, output_datatype=1 if dtype == np.float32 else 11)
        (want,) = _mel_evaluate(made, given)
        (got,) = run(row, given, [((length // 2 + 1, bands), dtype)])
        np.testing.assert_array_equal(got, want)
    assert _mel_edges(8, 16, 8192, 0, 4096).tolist() == sorted(_mel_edges(8, 16, 8192, 0, 4096))
    shape = ((9, 8), dtype)
    run(row, operands(8, 16, 8192, 0, 50_000), [shape], status=OUT_OF_RANGE)
    run(row, operands(8, 16, 0, 0, 4096), [shape], status=BAD_VALUE)
    run(row, operands(8, 16, 8192, -900, 4096), [shape], status=BAD_VALUE)
