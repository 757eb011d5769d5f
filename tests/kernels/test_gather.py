from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

DTYPES = [np.uint8, np.float16, np.float32, np.int64, np.complex128]
INDEX = [np.int32, np.int64]
REDUCTIONS = ["none", "add", "mul", "max", "min"]
OUT_OF_RANGE = 3


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows(name), ids=lambda r: f"tier{r['tier']}")


def some(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return rng.integers(0, 120, shape).astype(dtype)


def dims(rng: np.random.Generator, low: int, high: int, most: int = 6) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, most, rng.integers(low, high)))


@each("gather")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", INDEX)
def test_gather(row: dict, dtype: type, index: type) -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        shape, picks = dims(rng, 1, 5), dims(rng, 0, 4)
        axis = int(rng.integers(len(shape)))
        data = place(some(rng, shape, dtype), rng, zero=True)
        at = place(rng.integers(-shape[axis], shape[axis], picks).astype(index), rng, zero=True)
        want = np.take(data, at, axis)
        (got,) = run(row, [data, at], [(want.shape, dtype)], rng, params=params_blob("Gather", {"axis": axis}))
        np.testing.assert_array_equal(got, want)


@each("gather")
def test_gather_long_slices_and_many_indices(row: dict) -> None:
    rng = np.random.default_rng(2)
    for shape, axis, count in [((50, 768), 0, 300), ((3, 40000), 0, 2), ((768, 50), 1, 70), ((100,), 0, 90000)]:
        data = rng.standard_normal(shape).astype(np.float32)
        at = rng.integers(-shape[axis], shape[axis], count)
        want = np.take(data, at, axis)
        (got,) = run(row, [data, at], [(want.shape, np.float32)], rng, params=params_blob("Gather", {"axis": axis}))
        np.testing.assert_array_equal(got, want)


@each("gather")
@pytest.mark.parametrize("bad", [5, -6, 2**31 - 1, -(2**31), 2**62, -(2**63)])
def test_gather_refuses_what_is_out_of_range(row: dict, bad: int) -> None:
    data = np.zeros((5, 3), np.float32)
    for index in INDEX:
        if abs(bad) > np.iinfo(index).max:
            continue
        at = np.array([0, 1, bad, 2], index)
        for axis, x in [(0, data), (1, data.T)]:
            out = np.zeros(np.take(x, [0] * 4, axis).shape, np.float32)
            params = params_blob("Gather", {"axis": axis})
            assert call(row, [x, at], [out], params=params)["status"] == OUT_OF_RANGE
    nothing = call(row, [data[:0], np.array([0])], [np.zeros((1, 3), np.float32)], params=params_blob("Gather", {}))
    assert nothing["status"] == OUT_OF_RANGE


@each("gather")
def test_gather_of_nothing(row: dict) -> None:
    rng = np.random.default_rng(3)
    for shape, picks in [((0, 3), (0,)), ((4, 0), (2,)), ((4, 3), (0, 5))]:
        out = (*picks, shape[1])
        run(row, [np.zeros(shape), np.zeros(picks, np.int64)], [(out, np.float64)], rng,
            params=params_blob("Gather", {"axis": 0}))  # fmt: skip


@each("gather_elements")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", INDEX)
def test_gather_elements(row: dict, dtype: type, index: type) -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        shape = dims(rng, 1, 5)
        axis = int(rng.integers(len(shape)))
        picked = tuple(int(rng.integers(1, 9)) if i == axis else n for i, n in enumerate(shape))
        data = place(some(rng, shape, dtype), rng, zero=True)
        at = place(rng.integers(-shape[axis], shape[axis], picked).astype(index), rng, zero=True)
        want = np.take_along_axis(data, at.astype(np.int64), axis)
        params = params_blob("GatherElements", {"axis": axis})
        (got,) = run(row, [data, at], [(picked, dtype)], rng, params=params)
        np.testing.assert_array_equal(got, want)
        wrong = np.array(at)
        wrong[tuple(int(rng.integers(n)) for n in picked)] = rng.choice([shape[axis], -shape[axis] - 1])
        assert call(row, [data, wrong], [np.zeros(picked, dtype)], params=params)["status"] == OUT_OF_RANGE


def gather_nd(data: np.ndarray, at: np.ndarray, batch: int) -> np.ndarray:
    lead, depth = at.shape[:-1], at.shape[-1]
    out = np.zeros(lead + data.shape[batch + depth :], data.dtype)
    for place_ in np.ndindex(*lead):
        out[place_] = data[place_[:batch] + tuple(int(i) for i in at[place_])]
    return out


@each("gather_nd")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", INDEX)
def test_gather_nd(row: dict, dtype: type, index: type) -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        shape = dims(rng, 1, 5)
        batch = int(rng.integers(0, len(shape)))
        depth = int(rng.integers(0 if batch else 1, len(shape) - batch + 1))
        lead = shape[:batch] + dims(rng, 0, 3)
        limits = np.array(shape[batch : batch + depth], np.int64)
        at = rng.integers(-limits, limits, (*lead, depth)).astype(index)
        data, at = place(some(rng, shape, dtype), rng, zero=True), place(at, rng)
        want = gather_nd(data, at, batch)
        params = params_blob("GatherND", {"batch_dims": batch})
        (got,) = run(row, [data, at], [(want.shape, dtype)], rng, params=params)
        np.testing.assert_array_equal(got, want)
        if depth and want.size:
            wrong = np.array(at)
            wrong[(*tuple(int(rng.integers(n)) for n in lead), depth - 1)] = shape[batch + depth - 1]
            assert call(row, [data, wrong], [np.zeros_like(want)], params=params)["status"] == OUT_OF_RANGE


def fold(name: str, old: Any, new: Any) -> Any:
    steps: dict[str, Callable[[Any, Any], Any]] = {
        "none": lambda _, b: b, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        return steps[name](old, new)


SCATTERED = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.uint8, np.int16, np.uint16, np.int32,
             np.uint32, np.int64, np.uint64]  # fmt: skip


@each("scatter_elements")
@pytest.mark.parametrize("dtype", SCATTERED)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_scatter_elements(row: dict, dtype: type, reduction: str) -> None:
    rng = np.random.default_rng(6)
    for index, _ in itertools.product(INDEX, range(12)):
        shape = dims(rng, 1, 5)
        axis = int(rng.integers(len(shape)))
        picked = tuple(int(rng.integers(1, 5)) if i == axis else int(rng.integers(1, n + 1))
                       for i, n in enumerate(shape))  # fmt: skip
        data, updates = some(rng, shape, dtype), place(some(rng, picked, dtype), rng, zero=True)
        at = place(rng.integers(-shape[axis], shape[axis], picked).astype(index), rng)
        want = data.copy()
        for p in np.ndindex(*picked):
            q = (*p[:axis], int(at[p]), *p[axis + 1 :])
            want[q] = fold(reduction, want[q], updates[p])
        params = params_blob("ScatterElements", {"axis": axis, "reduction": REDUCTIONS.index(reduction)})
        (got,) = run(row, [at, updates], [(shape, dtype)], rng, params=params, init=lambda _, d=data: d)
        np.testing.assert_array_equal(got, want)
        wrong = np.array(at)
        wrong[tuple(int(rng.integers(n)) for n in picked)] = rng.choice([shape[axis], -shape[axis] - 1])
        assert call(row, [wrong, updates], [data], params=params)["status"] == OUT_OF_RANGE


@each("scatter_nd")
@pytest.mark.parametrize("dtype", SCATTERED)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_scatter_nd(row: dict, dtype: type, reduction: str) -> None:
    rng = np.random.default_rng(7)
    shapes = [dims(rng, 1, 5) for _ in range(25)]
    for shape in [*shapes, (4, 30000), (3, 2, 257)]:
        depth = int(rng.integers(0, len(shape) + 1)) if len(shape) > 2 else 1
        lead = dims(rng, 0, 3)
        limits = np.array(shape[:depth], np.int64)
        at = place(rng.integers(-limits, limits, (*lead, depth)).astype(rng.choice(INDEX)), rng)
        data = some(rng, shape, dtype)
        updates = place(some(rng, lead + shape[depth:], dtype), rng, zero=True)
        want = data.copy()
        for p in np.ndindex(*lead):
            q = tuple(int(i) for i in at[p])
            want[q] = fold(reduction, want[q], updates[p])
        params = params_blob("ScatterND", {"reduction": REDUCTIONS.index(reduction)})
        (got,) = run(row, [at, updates], [(shape, dtype)], rng, params=params, init=lambda _, d=data: d)
        np.testing.assert_array_equal(got, want)
        if depth and updates.size:
            wrong = np.array(at)
            wrong[(*tuple(int(rng.integers(n)) for n in lead), 0)] = shape[0]
            assert call(row, [wrong, updates], [data], params=params)["status"] == OUT_OF_RANGE


@each("scatter_nd")
def test_scatter_keeps_nan_in_extremes(row: dict) -> None:
    at, updates = np.array([[0], [1], [0]]), np.array([1, np.nan, 2], np.float32)
    for reduction in ("max", "min"):
        out = np.array([np.nan, 3], np.float32)
        params = params_blob("ScatterND", {"reduction": REDUCTIONS.index(reduction)})
        assert call(row, [at, updates], [out], params=params)["status"] == 0
        assert np.isnan(out).all()
    pair = np.zeros(2, np.complex64)
    params = params_blob("ScatterND", {"reduction": 1})
    assert call(row, [at, updates.astype(np.complex64)], [pair], params=params)["bind_status"] == 1
