from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

BAD_VALUE = 5


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows(name), ids=lambda r: f"tier{r['tier']}")


def dims(rng: np.random.Generator, low: int, high: int, most: int = 7) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, most, rng.integers(low, high)))


NUMBERS = [np.bool_, np.uint8, np.int8, np.float16, ml_dtypes.bfloat16, np.float32, np.int32, np.float64, np.int64,
           np.complex64]  # fmt: skip


@each("non_zero_count")
@pytest.mark.parametrize("dtype", NUMBERS)
def test_non_zero(row: dict, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    (fill,) = rows("non_zero_fill")
    for shape in [(), (0,), (3, 0), (4000,), *(dims(rng, 1, 6) for _ in range(15))]:
        values = np.where(rng.random(shape) < 0.6, 0, rng.integers(0, 3, shape)).astype(dtype)
        if np.dtype(dtype).kind == "f" and values.size > 3:
            values.flat[:3] = [-0.0, np.nan, np.inf]
        x = place(values, rng, zero=True)
        (count,) = run(row, [x], [((1,), np.int64)], rng)
        want = np.array(np.nonzero(x), np.int64) if shape else np.zeros((0, int(bool(x))), np.int64)
        assert count[0] == want.shape[1]
        (got,) = run(fill, [x], [(want.shape, np.int64)], rng)
        np.testing.assert_array_equal(got, want)
        for wrong in (want.shape[1] + 1, want.shape[1] - 1):
            if wrong >= 0:
                run(fill, [x], [((len(shape), wrong), np.int64)], rng, status=BAD_VALUE)


RUNNING = [np.float32, np.float64, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("row", rows("cum_sum") + rows("cum_prod"), ids=lambda r: r["name"])
@pytest.mark.parametrize("dtype", RUNNING)
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running(row: dict, dtype: Any, exclusive: int, reverse: int) -> None:
    rng = np.random.default_rng(2)
    fold, unit = (np.cumsum, 0) if row["name"] == "cum_sum" else (np.cumprod, 1)
    family = "CumSum" if row["name"] == "cum_sum" else "CumProd"
    for shape in [(0, 3), (500, 300), *(dims(rng, 1, 5) for _ in range(12))]:
        axis = int(rng.integers(len(shape)))
        values = rng.random(shape) + 0.5 if np.dtype(dtype).kind == "f" else rng.integers(0, 50, shape)
        x = place(values.astype(dtype), rng, zero=True)
        params = params_blob(family, {"axis": axis, "exclusive": exclusive, "reverse": reverse})
        (got,) = run(row, [x], [(shape, dtype)], rng, params=params)
        wide = np.float64 if np.dtype(dtype).kind == "f" else dtype
        t = np.flip(x, axis) if reverse else x
        want = fold(t.astype(wide), axis=axis, dtype=wide)
        if exclusive:
            want = np.concatenate([np.full_like(want.take([0], axis), unit), want], axis)[
                tuple(slice(0, n) for n in shape)
            ] if x.size else want  # fmt: skip
        want = np.flip(want, axis) if reverse else want
        if wide is np.float64:
            np.testing.assert_allclose(got, want, rtol=2 * np.finfo(dtype).eps)
        else:
            np.testing.assert_array_equal(got, want)
        y = np.array(x)
        assert call(row, [y], [y], params=params, parts=2)["status"] == 0
        np.testing.assert_array_equal(y, got)


@each("range_row")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32, np.int64])
def test_range(row: dict, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    for start, delta, count in [(0, 1, 10), (5, -2, 7), (0.1, 0.3, 50000), (3, 2, 0), (7, 0, 3)]:
        ends = [place(np.array(v, dtype), rng) for v in (start, delta)]
        (got,) = run(row, ends, [((count,), dtype)], rng)
        wide = np.float64 if np.dtype(dtype).kind == "f" else np.int64
        want = ends[0].astype(wide) + np.arange(count).astype(wide) * ends[1].astype(wide)
        if dtype is np.float64:
            np.testing.assert_allclose(got, want, rtol=2e-16)  # with or without a fused multiply-add
        else:
            np.testing.assert_array_equal(got, want.astype(dtype))


SIZES = [np.uint8, np.float16, np.float32, np.int64, np.complex128]


@each("trilu")
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("upper", [0, 1])
def test_trilu(row: dict, dtype: Any, upper: int) -> None:
    rng = np.random.default_rng(4)
    keep = np.triu if upper else np.tril
    for shape in [(1, 1), (0, 4), (3, 0), (200, 200), *(dims(rng, 2, 5, 9) for _ in range(8))]:
        x = place(rng.integers(1, 100, shape).astype(dtype), rng, zero=True)
        for k in (0, 1, -1, 3, -4, 100, -100, 2**62, -(2**62)):
            params = params_blob("Trilu", {"upper": upper, "k": k})
            (got,) = run(row, [x], [(shape, dtype)], rng, params=params)
            near = max(-1000, min(1000, k))
            np.testing.assert_array_equal(got, np.where(keep(np.ones(shape[-2:], bool), near), x, dtype(0)))
            y = np.array(x)
            assert call(row, [y], [y], params=params, parts=2)["status"] == 0
            np.testing.assert_array_equal(y, got)


@each("one_hot")
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("index", [np.int32, np.int64, np.float32])
def test_one_hot(row: dict, dtype: Any, index: Any) -> None:
    rng = np.random.default_rng(5)
    for _ in range(15):
        shape, depth = dims(rng, 0, 4), int(rng.integers(0, 9))
        at = rng.integers(-depth - 3, depth + 3, shape).astype(index)
        if index is np.float32 and at.size > 4:
            at.flat[:4] = [np.nan, np.inf, -np.inf, 1e19]
        at = place(at, rng, zero=True)
        values = place(np.array([3, 7], dtype), rng)
        axis = int(rng.integers(len(shape) + 1))
        out = (*shape[:axis], depth, *shape[axis:])
        (got,) = run(row, [at, values], [(out, dtype)], rng, params=params_blob("OneHot", {"axis": axis}))
        line = np.arange(depth).reshape([-1 if i == axis else 1 for i in range(len(out))])
        with np.errstate(invalid="ignore"):
            named = np.expand_dims(np.where(at < 0, at.astype(np.float64) + depth, at), axis)
        np.testing.assert_array_equal(got, np.where(named == line, dtype(7), dtype(3)))


@each("reverse_sequence")
@pytest.mark.parametrize("dtype", SIZES)
def test_reverse_sequence(row: dict, dtype: Any) -> None:
    rng = np.random.default_rng(6)
    for shape in [(4, 3), (3, 5, 2), (2, 3, 4, 5), (6, 1, 7), (2, 0, 3)]:
        batch, time = (int(a) for a in rng.permutation(len(shape))[:2])
        x = place(rng.integers(0, 100, shape).astype(dtype), rng, zero=True)
        lengths = place(rng.integers(0, shape[time] + 1, shape[batch]).astype(rng.choice([np.int32, np.int64])), rng)
        want = np.array(x)
        line = np.moveaxis(want, (batch, time), (0, 1))
        for i, n in enumerate(lengths):
            line[i, :n] = line[i, :n][::-1].copy()
        params = params_blob("ReverseSequence", {"batch_axis": batch, "time_axis": time})
        (got,) = run(row, [x, lengths], [(shape, dtype)], rng, params=params)
        np.testing.assert_array_equal(got, want)
        for wrong in (-1, shape[time] + 1):
            bad = np.array(lengths)
            bad[-1:] = wrong
            if x.size:
                run(row, [x, bad], [(shape, dtype)], rng, params=params, status=BAD_VALUE)


TOP = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.uint8, np.int16, np.uint16, np.int32,
       np.uint32, np.int64, np.uint64]  # fmt: skip


@each("top_k")
@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k(row: dict, dtype: Any, largest: int) -> None:
    rng = np.random.default_rng(7)
    floating = np.dtype(dtype).kind in "fV"
    for shape in [(1,), (5000,), (3, 200, 4), *(dims(rng, 1, 4, 12) for _ in range(10))]:
        axis = int(rng.integers(len(shape)))
        values = rng.integers(-4 if floating or np.dtype(dtype).kind == "i" else 0, 5, shape).astype(dtype)
        if floating and values.size > 6:
            values.flat[:6] = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, -np.nan]).astype(dtype)
        x = place(values, rng, zero=True)
        n = shape[axis]
        wide = x.astype(np.float64)
        if largest:
            order = n - 1 - np.flip(np.argsort(np.flip(wide, axis), axis, kind="stable"), axis)
        else:
            order = np.argsort(wide, axis, kind="stable")
        for k in {0, 1, n // 2, n}:
            out = tuple(k if i == axis else m for i, m in enumerate(shape))
            params = params_blob("TopK", {"axis": axis, "largest": largest})
            got, at = run(row, [x], [(out, dtype), (out, np.int64)], rng, params=params)
            np.testing.assert_array_equal(at, order.take(range(k), axis))
            want = np.take_along_axis(x, at, axis)
            assert got.tobytes() == np.ascontiguousarray(want).tobytes()


@each("top_k")
def test_top_k_of_extreme_integers(row: dict) -> None:
    for dtype in (np.int64, np.uint64, np.int32, np.int8):
        info = np.iinfo(dtype)
        x = np.array([0, info.max, info.min, info.max - 1, 5], dtype)
        for largest in (0, 1):
            _, at = run(row, [x], [((5,), dtype), ((5,), np.int64)], params=params_blob("TopK", {"largest": largest}))
            want = np.argsort(x, kind="stable")
            if largest:
                want = 4 - np.argsort(x[::-1], kind="stable")[::-1]
            np.testing.assert_array_equal(at, want)
    too_many = call(row, [x], [np.zeros(6, np.int8), np.zeros(6, np.int64)], params=params_blob("TopK", {}))
    assert too_many["bind_status"] == 2


@each("unique")
@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("ordered", [0, 1])
def test_unique(row: dict, dtype: Any, ordered: int) -> None:
    rng = np.random.default_rng(8)
    floating = np.dtype(dtype).kind in "fV"
    for count in (0, 1, 2, 17, 128, 129, 1000):
        values = rng.integers(0, 9 if count < 1000 else 120, count).astype(dtype)
        if floating and count > 6:
            values[:6] = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, -np.nan]).astype(dtype)
        x = place(values, rng, zero=True)
        shapes = [((count,), dtype), *(((count,), np.int64),) * 3, ((1,), np.int64)]
        params = params_blob("Unique", {"sorted": ordered})
        found, first, inverse, counts, total = run(row, [x], shapes, rng, params=params, init=lambda i: np.array(-1))
        n = int(total[0])
        wide = x.astype(np.float64)
        want = [a.astype(np.int64) for a in np.unique(wide, True, True, True)[1:]]
        if not ordered:
            order = np.argsort(want[0])
            want = [want[0][order], np.argsort(order)[want[1]], want[2][order]]
        assert n == len(want[0])
        for got, expected in zip((first[:n], inverse, counts[:n]), want, strict=True):
            np.testing.assert_array_equal(got, expected.reshape(-1))
        assert found[:n].tobytes() == x[want[0]].tobytes()


@each("range_count")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32, np.int64])
def test_range_count(row: dict, dtype: Any) -> None:
    most = 2**63 - 1
    cases = [(0, 10, 1), (0, 10, 3), (5, -5, -2), (5, -5, 2), (0, 0, 1), (1, 2, 7), (-3, 4, 2)]
    if dtype is np.int64:
        cases += [(-most, most, 1 << 40), (most, -most - 1, -(1 << 40))]
    for start, limit, delta in cases:
        ends = [np.array(v, dtype) for v in (start, limit, delta)]
        (got,) = run(row, ends, [((1,), np.int64)])
        assert got[0] == len(range(start, limit, delta))
    run(row, [np.array(v, dtype) for v in (0, 1, 0)], [((1,), np.int64)], status=BAD_VALUE)
    overflow = 6
    if dtype is np.int64:
        run(row, [np.array(v, dtype) for v in (-most, most, 1)], [((1,), np.int64)], status=overflow)
    if np.dtype(dtype).kind == "f":
        run(row, [np.array(v, dtype) for v in (0, 1e30, 1e-5)], [((1,), np.int64)], status=overflow)
        run(row, [np.array(v, dtype) for v in (np.nan, 1, 1)], [((1,), np.int64)], status=BAD_VALUE)


def _counted(rows: np.ndarray, grams: list[tuple[int, ...]], steps: int) -> np.ndarray:
    """How often each n-gram stands in each row, its elements 1 to `steps` apart; single elements once."""
    out = np.zeros((len(rows), len(grams)), np.float32)
    for r, row in enumerate(rows.tolist()):
        for g, gram in enumerate(grams):
            for step in range(1, 1 + (1 if len(gram) == 1 else steps)):
                last = len(row) - (len(gram) - 1) * step
                out[r, g] += sum(tuple(row[i : i + len(gram) * step : step]) == gram for i in range(last))
    return out


@each("gram_counts")
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_gram_counts(row: dict, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    words = [-7, 2, 3, 90]
    grams = [(2,), (-7,), (2, 3), (3, 2), (90, 90), (2, 3, 2)]
    sorted_grams = sorted(grams, key=lambda g: (len(g), [words.index(w) for w in g]))
    codes = [sum((words.index(w) + 1) * 5**k for k, w in enumerate(reversed(g))) for g in sorted_grams]
    columns = [grams.index(g) for g in sorted_grams]
    begin = [sum(len(g) <= size for g in grams) for size in range(17)]
    weights = rng.random(len(grams)).astype(np.float32)
    tables = [np.array(t, np.int64) for t in (words, codes, columns)]
    for length, steps in ((12, 1), (40, 3), (1, 2), (0, 1)):
        x = rng.choice([*words, 4, 1000], (5, length)).astype(dtype)
        want = _counted(x, grams, steps)
        for mode, expected in enumerate((want, np.where(want > 0, weights, 0), want * weights)):
            values = {"mode": mode, "smallest": 1, "largest": 3, "steps": steps, "base": 5, "begin": begin}
            out = np.full((5, 6), np.nan, np.float32)
            done = call(row, [x, *tables, weights], [out], params=params_blob("GramCounts", values), constant=(3,))
            assert done["bind_status"] == 0
            np.testing.assert_array_equal(out, expected)
    wrong = [*tables[:2], tables[2] + 3]
    params = params_blob("GramCounts", values)
    assert call(row, [x, *wrong, weights], [out], params=params, constant=(3,))["bind_status"] != 0
