from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.products import at_page_end
from tests.support.rowcall import call, params_blob, rows

KINDS = ["sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum", "log_sum_exp", "any", "all"]
INTS = {"i32": np.int32, "i64": np.int64, "u32": np.uint32, "u64": np.uint64}


@pytest.mark.parametrize("row", rows("reduce_quanta"), ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize(("shape", "axes"), [((2, 70, 9, 11), (2, 3)), ((1, 64, 7, 7), (2, 3)), ((3, 5, 300), (2,)),
                                             ((130, 9), (0,)), ((6, 40, 3), (0, 2)), ((4, 7), ())])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("kind", [0, 1])
def test_sums_of_bytes_are_exact(row: dict[str, Any], shape: Any, axes: Any, dtype: Any, kind: int) -> None:
    """Against int64, scaled once in float64; in any layout, channels innermost among them."""
    rng = np.random.default_rng(len(shape))
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    x[0] = info.max
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    scale, zero = np.array(0.037, np.float32), np.array(info.min + 3, dtype)
    count = math.prod(shape[a] for a in axes)
    params = params_blob("Reduce", {"kind": kind, "axes": sum(1 << a for a in axes)})
    for point in (zero, None):
        total = x.astype(np.int64).sum(axes, keepdims=True) - (0 if point is None else int(point)) * count
        want = (total * np.float64(scale) / (count if kind else 1)).astype(np.float32)
        for laid_out in (x, last, place(x, rng)):
            (got,) = run(row, [laid_out, scale, point], [(want.shape, np.float32)], rng, params=params)
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("row", rows("reduce_quanta"), ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize(("shape", "axes"), [((1, 70, 5, 7), (2, 3)), ((3, 37), (1,)), ((9, 65), (0,))])
def test_of_bytes_nothing_past_the_end_is_read(row: dict[str, Any], shape: Any, axes: Any) -> None:
    rng = np.random.default_rng(7)
    params = params_blob("Reduce", {"kind": 1, "axes": sum(1 << a for a in axes)})
    for dtype in (np.uint8, np.int8):
        x = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype)
        mean = x.astype(np.int64).sum(axes, keepdims=True) / math.prod(shape[a] for a in axes)
        axis = 1 if len(shape) == 4 else 0  # channels innermost, and as they are numbered
        for laid_out in (x, np.ascontiguousarray(np.moveaxis(x, axis, -1))):
            with at_page_end(laid_out, np.array(0.5, np.float32), np.zeros(mean.shape, np.float32)) as (gx, scale, out):
                own = gx if laid_out is x else np.moveaxis(gx, -1, axis)
                assert call(row, [own, scale, None], [out], params=params)["status"] == 0
                np.testing.assert_array_equal(out, (mean * 0.5).astype(np.float32))


def every(*names: str) -> pytest.MarkDecorator:
    found = [r for name in names for r in rows(name)]
    return pytest.mark.parametrize("row", found, ids=lambda r: f"{r['name']}-tier{r['tier']}")


def oracle(kind: str, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    kw: dict[str, Any] = {"axis": axes, "keepdims": True}
    with np.errstate(all="ignore"):
        if kind == "log_sum_exp":
            top = np.max(x, initial=-np.inf, **kw)
            shift = np.where(np.isfinite(top), top, 0)
            return shift + np.log(np.sum(np.exp(x - shift), **kw))
        if kind == "mean":
            return np.sum(x, **kw) / math.prod(x.shape[a] for a in axes)
        plain: dict[str, Callable[[], np.ndarray]] = {
            "sum": lambda: np.sum(x, **kw),
            "max": lambda: np.max(x, initial=-np.inf, **kw),
            "min": lambda: np.min(x, initial=np.inf, **kw),
            "prod": lambda: np.prod(x, **kw),
            "l1": lambda: np.sum(np.abs(x), **kw),
            "l2": lambda: np.sqrt(np.sum(np.square(x), **kw)),
            "sum_square": lambda: np.sum(np.square(x), **kw),
            "log_sum": lambda: np.log(np.sum(x, **kw)),
        }
        return plain[kind]()


def allowed(kind: str, x: np.ndarray, axes: tuple[int, ...], want: np.ndarray, eps: float) -> np.ndarray:
    """|err| <= 8 eps sqrt(K) sum|terms| for sums; through the square root and the logarithm by their derivatives."""
    k = max(1, math.prod(x.shape[a] for a in axes))
    kw: dict[str, Any] = {"axis": axes, "keepdims": True}
    with np.errstate(all="ignore"):
        terms = {"l2": np.square(x), "sum_square": np.square(x), "prod": np.zeros_like(x)}.get(kind, np.abs(x))
        bound = 8 * eps * np.sqrt(k) * np.sum(terms, **kw)
        if kind == "mean":
            return bound / k
        if kind == "prod":
            return 8 * eps * k * np.abs(want)
        if kind == "l2":
            return bound / np.maximum(want, 1e-30)
        if kind == "log_sum":
            return bound / np.abs(np.sum(x, **kw)) + 4 * eps * np.abs(want)
        if kind == "log_sum_exp":
            return 8 * eps * (np.sqrt(k) + np.abs(want))
        if kind in ("max", "min"):
            return np.zeros_like(want)
        return bound


def axes_of(mask: int, rank: int) -> tuple[int, ...]:
    return tuple(i for i in range(rank) if mask >> i & 1)


def reduced(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def blob(kind: str, axes: tuple[int, ...]) -> bytes:
    return params_blob("Reduce", {"kind": KINDS.index(kind), "axes": sum(1 << a for a in axes)})


def check_float(row: Any, kind: str, x: np.ndarray, axes: tuple[int, ...], rng: np.random.Generator) -> None:
    (got,) = run(row, [x], [(reduced(x.shape, axes), x.dtype)], rng, params=blob(kind, axes))
    wide = x.astype(np.float64)
    want = oracle(kind, wide, axes)
    tolerance = allowed(kind, wide, axes, want, float(np.finfo(x.dtype).eps)) + np.finfo(x.dtype).tiny
    with np.errstate(all="ignore"):
        off = ~((np.abs(got - want) <= tolerance) | (got == want) | (np.isnan(got) & np.isnan(want)))
    assert not off.any(), (kind, x.shape, axes, got[off][:3], want[off][:3])


@every("reduce_f32", "reduce_f64")
@pytest.mark.parametrize("kind", KINDS[:10])
def test_floats_over_random_axes_and_layouts(row: dict, kind: str) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    dtype = np.float32 if row["name"].endswith("f32") else np.float64
    for _ in range(40):
        shape = tuple(int(n) for n in rng.integers(1, 12, rng.integers(0, 6)))
        values = rng.standard_normal(shape).astype(dtype)
        if kind == "log_sum":
            values = np.abs(values) + 1
        axes = axes_of(int(rng.integers(0, 1 << len(shape))), len(shape))
        check_float(row, kind, place(values, rng, zero=True), axes, rng)


@every("reduce_f32", "reduce_f64")
@pytest.mark.parametrize("kind", KINDS[:10])
@pytest.mark.parametrize(
    "shape, axes",
    [((3, 5000), (1,)), ((5000, 3), (0,)), ((300, 150), (0,)), ((300, 150), (1,)), ((2, 70, 33, 9), (0, 2)),
     ((2, 40, 31, 31), (2, 3)), ((2, 31, 31, 40), (1, 2)), ((100000,), (0,)), ((4, 1, 17), (1,))],
)  # fmt: skip
def test_floats_long(row: dict, kind: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    dtype = np.float32 if row["name"].endswith("f32") else np.float64
    spread = 0.001 if kind == "prod" else 1
    values = (rng.random(shape) * spread + (1 if kind in ("prod", "log_sum") else -0.3)).astype(dtype)
    check_float(row, kind, values, axes, rng)


@every("reduce_f32")
def test_equal_terms_do_not_drift(row: dict) -> None:
    rng = np.random.default_rng(1)
    for shape, axes in [((1 << 20,), (0,)), ((1 << 17, 8), (0,))]:
        check_float(row, "sum", np.full(shape, 0.1, np.float32), axes, rng)


@every("reduce_f32", "reduce_f64")
@pytest.mark.parametrize("kind", KINDS[:10])
def test_empty_folds_give_the_identity(row: dict, kind: str) -> None:
    rng = np.random.default_rng(1)
    dtype = np.float32 if row["name"].endswith("f32") else np.float64
    for shape, axes in [((3, 0), (1,)), ((0,), (0,)), ((2, 0, 5), (0, 1)), ((0, 4), (1,))]:
        check_float(row, kind, np.zeros(shape, dtype), axes, rng)


@every("reduce_f32", "reduce_f64")
@pytest.mark.parametrize("kind", KINDS[:10])
def test_nan_and_infinities(row: dict, kind: str) -> None:
    rng = np.random.default_rng(2)
    dtype = np.float32 if row["name"].endswith("f32") else np.float64
    for bad in (np.nan, np.inf, -np.inf):
        for shape, axes in [((5, 37), (1,)), ((37, 5), (0,)), ((37, 70), (0,))]:
            values = np.abs(rng.standard_normal(shape)).astype(dtype)
            values[tuple(rng.integers(0, n) for n in shape)] = bad
            check_float(row, kind, values, axes, rng)
    check_float(row, kind, np.full((3, 20), -np.inf, dtype), (1,), rng)


@every(*(f"reduce_{t}" for t in INTS))
@pytest.mark.parametrize("kind", KINDS[:10])
def test_integers_are_exact(row: dict, kind: str) -> None:
    rng = np.random.default_rng(3)
    dtype = INTS[row["name"].removeprefix("reduce_")]
    for _ in range(25):
        shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 5)))
        low = 0 if np.dtype(dtype).kind == "u" or kind.startswith("log") else -9
        values = rng.integers(low, 10, shape).astype(dtype)
        axes = axes_of(int(rng.integers(1, 1 << len(shape))), len(shape))
        x = place(values, rng, zero=True)
        (got,) = run(row, [x], [(reduced(shape, axes), dtype)], rng, params=blob(kind, axes))
        kw: dict[str, Any] = {"axis": axes, "keepdims": True}
        info = np.iinfo(dtype)
        exact: dict[str, Callable[[], np.ndarray]] = {
            "sum": lambda x=x, kw=kw: np.sum(x, dtype=dtype, **kw),
            "prod": lambda x=x, kw=kw: np.prod(x, dtype=dtype, **kw),
            "l1": lambda x=x, kw=kw: np.sum(np.abs(x), dtype=dtype, **kw),
            "sum_square": lambda x=x, kw=kw: np.sum(np.square(x), dtype=dtype, **kw),
            "max": lambda x=x, kw=kw: np.max(x, **kw),
            "min": lambda x=x, kw=kw: np.min(x, **kw),
        }
        if kind in exact:
            np.testing.assert_array_equal(got, exact[kind]())
        else:
            wide = np.trunc(oracle(kind, x.astype(np.float64), axes))
            want = np.where(wide < info.min, info.min, wide).astype(dtype)
            near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= (1 if kind == "log_sum_exp" else 0)
            assert near.all()


@every(*(f"reduce_{t}" for t in INTS))
def test_integer_extremes_and_wrapping(row: dict) -> None:
    rng = np.random.default_rng(3)
    dtype = INTS[row["name"].removeprefix("reduce_")]
    info = np.iinfo(dtype)
    values = np.array([[info.max, info.min, info.max] * 11] * 5, dtype)
    for kind, fold in [("max", np.max), ("min", np.min)]:
        (got,) = run(row, [values], [((5, 1), dtype)], rng, params=blob(kind, (1,)))
        np.testing.assert_array_equal(got, fold(values, axis=1, keepdims=True))
        (empty,) = run(row, [values[:, :0]], [((5, 1), dtype)], rng, params=blob(kind, (1,)))
        assert (empty == (info.min if kind == "max" else info.max)).all()
    (got,) = run(row, [values], [((5, 1), dtype)], rng, params=blob("sum", (1,)))
    np.testing.assert_array_equal(got, values.sum(axis=1, keepdims=True, dtype=dtype))
    result = call(row, [values[:, :0]], [np.zeros((5, 1), dtype)], params=blob("mean", (1,)))
    assert result["bind_status"] == 4


@every("reduce_u8", "reduce_i8")
@pytest.mark.parametrize("kind", ["max", "min", "any", "all"])
def test_bytes_and_booleans(row: dict, kind: str) -> None:
    rng = np.random.default_rng(4)
    dtypes: list[Any] = [np.int8] if row["name"] == "reduce_i8" else [np.uint8, np.bool_]
    for dtype in dtypes:
        for shape, axes in [((7, 300), (1,)), ((300, 7), (0,)), ((3, 0), (1,)), ((4, 5, 6), (0, 2)), ((90, 200), (0,))]:
            values = rng.integers(0, 2 if dtype is np.bool_ else 200, shape).astype(dtype)
            if dtype is not np.bool_ and kind in ("any", "all"):
                result = call(row, [values], [np.zeros(reduced(shape, axes), dtype)], params=blob(kind, axes))
                assert result["bind_status"] == 1
                continue
            x = place(values, rng, zero=True)
            (got,) = run(row, [x], [(reduced(shape, axes), dtype)], rng, params=blob(kind, axes))
            kw: dict[str, Any] = {"axis": axes, "keepdims": True}
            if dtype is np.bool_:
                want = np.any(x, **kw) if kind in ("any", "max") else np.all(x, **kw)
            else:
                info = np.iinfo(dtype)
                want = np.max(x, initial=info.min, **kw) if kind == "max" else np.min(x, initial=info.max, **kw)
            np.testing.assert_array_equal(got, want)


ARG = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "i8": np.int8, "u8": np.uint8}


@every(*(f"arg_{t}" for t in ARG))
@pytest.mark.parametrize("smallest", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_extreme(row: dict, smallest: int, last: int) -> None:
    rng = np.random.default_rng(5)
    dtype = ARG[row["name"].removeprefix("arg_")]
    shapes = [tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 6))) for _ in range(25)]
    for shape in [*shapes, (3, 1000), (1000, 3), (70, 100), (100000,)]:
        values = rng.integers(0, 100 if len(shape) == 2 else 6, shape).astype(dtype)
        if values.dtype.kind == "f" and rng.random() < 0.5:
            values[rng.random(shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
        axis = int(rng.integers(len(shape)))
        x = place(values, rng, zero=True)
        params = params_blob("ArgReduce", {"axis": axis, "smallest": smallest, "select_last_index": last})
        (got,) = run(row, [x], [(reduced(shape, (axis,)), np.int64)], rng, params=params)
        find = np.argmin if smallest else np.argmax
        want = shape[axis] - 1 - find(np.flip(x, axis), axis, keepdims=True) if last else find(x, axis, keepdims=True)
        np.testing.assert_array_equal(got, want)


@every("arg_f32")
def test_arg_of_nothing_is_refused(row: dict) -> None:
    params = params_blob("ArgReduce", {"axis": 1})
    assert call(row, [np.zeros((2, 0), np.float32)], [np.zeros((2, 1), np.int64)], params=params)["bind_status"] == 5
