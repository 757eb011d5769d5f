from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def every(*names: str) -> pytest.MarkDecorator:
    found = [r for name in names for r in rows(name)]
    return pytest.mark.parametrize("row", found, ids=lambda r: f"{r['name']}-tier{r['tier']}")


def dtype_of(row: Any) -> np.dtype[Any]:
    return F32 if row["name"].endswith("f32") else F64


def wide(*arrays: np.ndarray) -> list[np.ndarray]:
    return [a.astype(np.float64) for a in arrays]


def near(got: np.ndarray, want: np.ndarray, magnitude: np.ndarray, k: int) -> None:
    """|err| <= 8 eps sqrt(K) * magnitude, the sum of the absolute terms that make an element; NaN where NaN is due."""
    eps = np.finfo(got.dtype).eps
    bound = 8 * eps * math.sqrt(max(k, 1)) * magnitude + np.finfo(got.dtype).tiny
    with np.errstate(invalid="ignore"):
        off = ~((np.abs(got - want) <= bound) | (got == want) | (np.isnan(got) & np.isnan(want)))
    assert not off.any(), (got[off][:4], want[off][:4], bound[off][:4])


def normalised(t: np.ndarray, axes: tuple[int, ...], kind: str, eps: float) -> tuple[np.ndarray, ...]:
    """Normalised t, mean, factor, and the magnitude of (|t| + mean|t|) * factor."""
    kw: dict[str, Any] = {"axis": axes, "keepdims": True}
    with np.errstate(all="ignore"):
        mean = np.mean(t, **kw) if kind == "layer" else np.zeros([1] * t.ndim)
        square = np.mean(np.square(t - mean), **kw)
        factor = 1 / np.sqrt(square + eps)
        size = (np.abs(t) + np.mean(np.abs(t), **kw)) * factor
        return (t - mean) * factor, mean, factor, size


SHAPES = [(2, 3, 40), (5, 7), (1, 1), (4, 768), (3, 5000), (2, 3, 4, 5, 6), (3, 1, 9), (70, 33)]


@every("layer_norm_f32", "layer_norm_f64", "rms_norm_f32", "rms_norm_f64")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["dense", "odd", "transposed"])
@pytest.mark.parametrize("options", range(4))
def test_layer_and_rms(row: dict, shape: tuple[int, ...], layout: str, options: int) -> None:
    rng = np.random.default_rng(SHAPES.index(shape) * 4 + options)
    dtype, kind = dtype_of(row), row["name"].split("_")[0]
    axis = int(rng.integers(len(shape)))
    axes = tuple(range(axis, len(shape)))
    has_bias, has_residual = options % 2 == 1, options >= 2
    x = (rng.standard_normal(shape) + 3).astype(dtype)
    if layout == "transposed":
        x = np.array(x.T, order="C").T
    elif layout == "odd":
        x = place(x, rng, zero=True)
    scale = place(rng.standard_normal(shape[axis:]).astype(dtype), rng, zero=True)
    bias = place(rng.standard_normal(shape[axis:]).astype(dtype), rng) if has_bias else None
    residual = place(rng.standard_normal(shape).astype(dtype), rng, zero=True) if has_residual else None
    inputs: list[np.ndarray | None] = [x, scale, bias, residual] if kind == "layer" else [x, scale, residual]
    stats = tuple(1 if i in axes else n for i, n in enumerate(shape))
    full, small = (shape, dtype), (stats, dtype)
    keep = has_residual and bool(rng.random() < 0.7)
    if kind == "layer":
        outputs: list[Any] = [full, small, small, full if keep else None]
    else:
        outputs = [full, full if keep else None]
    family = "LayerNormalization" if kind == "layer" else "RMSNormalization"
    params = params_blob(family, {"axis": axis, "epsilon": 1e-3})
    got = run(row, inputs, outputs, None if layout == "dense" else rng, params=params)
    t = x + residual if residual is not None else x
    want, mean, factor, size = normalised(t.astype(np.float64), axes, kind, 1e-3)
    wants, sizes = want * scale, size * np.abs(scale)
    if kind == "layer" and bias is not None:
        wants, sizes = wants + bias, sizes + np.abs(bias)
    k = math.prod(shape[axis:])
    near(got[0], wants, sizes, k)
    if kind == "layer":
        near(got[1], mean, np.mean(np.abs(t.astype(np.float64)), axis=axes, keepdims=True), k)
        near(got[2], factor, factor * (1 + (mean * factor) ** 2), k)
    if keep:
        np.testing.assert_array_equal(got[-1], t)


@every("layer_norm_f32")
def test_variance_is_sound_far_from_zero(row: dict) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((4, 1000)) + 3000).astype(np.float32)
    params = params_blob("LayerNormalization", {"axis": 1, "epsilon": 0})
    (got,) = run(row, [x, np.ones(1000, np.float32)], [(x.shape, F32)], params=params)
    want, *_ = normalised(x.astype(np.float64), (1,), "layer", 0)
    assert np.abs(got - want).max() < 4 * np.finfo(np.float32).eps * 3000


@every("layer_norm_f32", "rms_norm_f32")
def test_in_place_gives_the_same_bytes(row: dict) -> None:
    rng = np.random.default_rng(1)
    kind = row["name"].split("_")[0]
    family = "LayerNormalization" if kind == "layer" else "RMSNormalization"
    params = params_blob(family, {"axis": 1, "epsilon": 1e-5})
    for x in [rng.random((7, 300)).astype(np.float32), rng.random((300, 7)).astype(np.float32).T,
              rng.random((45, 90)).astype(np.float32).T]:  # fmt: skip
        scale, residual = rng.random(x.shape[1]).astype(np.float32), np.array(x * 2)
        gap: list[None] = [None] if kind == "layer" else []
        apart = [np.array(x), np.array(x)]
        extra: list[Any] = [None, None] if kind == "layer" else []
        assert call(row, [x, scale, *gap, residual], [apart[0], *extra, apart[1]], params=params)["status"] == 0
        y, total = np.array(residual), np.array(x)
        assert call(row, [total, scale, *gap, y], [y, *extra, total], params=params, parts=2)["status"] == 0
        assert y.tobytes() == apart[0].tobytes()
        assert total.tobytes() == apart[1].tobytes()
        y = np.array(x)
        assert call(row, [y, scale, *gap, residual], [y, *extra, None], params=params, parts=3)["status"] == 0
        assert y.tobytes() == apart[0].tobytes()


@every("layer_norm_f32", "rms_norm_f32")
def test_non_finite_rows_stay_in_their_row(row: dict) -> None:
    family = "LayerNormalization" if row["name"].startswith("layer") else "RMSNormalization"
    x = np.ones((4, 50), np.float32)
    x[1, 7], x[2, 3] = np.nan, np.inf
    for view in (x, np.array(x.T, order="C").T):
        (got,) = run(row, [view, np.ones(50, np.float32)], [(x.shape, F32)],
                     params=params_blob(family, {"axis": 1, "epsilon": 1e-5}))  # fmt: skip
        assert np.isfinite(got[[0, 3]]).all()
        assert np.isnan(got[1]).all()
        assert np.isnan(got[2, 3])


@every("layer_norm_f32")
def test_refuses_dims_that_do_not_fit(row: dict) -> None:
    x = np.zeros((2, 3), np.float32)
    params = params_blob("LayerNormalization", {"axis": 1, "epsilon": 1e-5})
    for scale, y in [((4,), (2, 3)), ((3,), (2, 4)), ((1, 2, 3), (2, 3))]:
        result = call(row, [x, np.zeros(scale, np.float32)], [np.zeros(y, np.float32)], params=params)
        assert result["bind_status"] == 2
    result = call(row, [x, np.zeros(3, np.float32)], [x], params=params_blob("LayerNormalization", {"axis": 2}))
    assert result["bind_status"] == 2


CHANNELS = [(2, 6, 9, 7), (1, 32, 5), (3, 4), (2, 64, 20, 20), (1, 6, 2, 3, 4, 5), (2, 3, 0), (0, 2, 5)]


def channel_case(row: Any, shape: tuple[int, ...], rng: np.random.Generator, layout: str) -> np.ndarray:
    x = (rng.standard_normal(shape) * 2 + 1).astype(dtype_of(row))
    if layout == "channels last":
        return np.moveaxis(np.array(np.moveaxis(x, 1, -1), order="C"), -1, 1)
    return place(x, rng, zero=True) if layout == "odd" else x


LAYOUTS = ["dense", "channels last", "odd"]


@every("instance_norm_f32", "instance_norm_f64", "group_norm_f32", "group_norm_f64")
@pytest.mark.parametrize("shape", CHANNELS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_instance_and_group(row: dict, shape: tuple[int, ...], layout: str) -> None:
    rng = np.random.default_rng(2)
    dtype, channels = dtype_of(row), shape[1]
    x = channel_case(row, shape, rng, layout)
    scale, bias = (place(rng.standard_normal(channels).astype(dtype), rng) for _ in range(2))
    instance = row["name"].startswith("instance")
    for groups in [channels] if instance else [g for g in (1, 2, 3, channels) if channels % g == 0]:
        values: dict[str, Any] = {"epsilon": 1e-3} | ({} if instance else {"num_groups": groups})
        family = "InstanceNormalization" if instance else "GroupNormalization"
        (got,) = run(row, [x, scale, bias], [(shape, dtype)], None if layout == "dense" else rng,
                     params=params_blob(family, values))  # fmt: skip
        if x.size == 0:
            continue
        split = x.astype(np.float64).reshape(shape[0], groups, -1)
        want, _, _, size = normalised(split, (2,), "layer", 1e-3)
        line = [1, channels] + [1] * (len(shape) - 2)
        s, b = scale.reshape(line), bias.reshape(line)
        near(got, want.reshape(shape) * s + b, size.reshape(shape) * np.abs(s) + np.abs(b), split.shape[2])


@every("batch_norm_f32", "batch_norm_f64")
@pytest.mark.parametrize("shape", CHANNELS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batch(row: dict, shape: tuple[int, ...], layout: str) -> None:
    rng = np.random.default_rng(3)
    dtype, channels = dtype_of(row), shape[1]
    x = channel_case(row, shape, rng, layout)
    scale, bias, mean = (place(rng.standard_normal(channels).astype(dtype), rng) for _ in range(3))
    var = place(rng.random(channels).astype(dtype), rng)
    (got,) = run(row, [x, scale, bias, mean, var], [(shape, dtype)], None if layout == "dense" else rng,
                 params=params_blob("BatchNormalization", {"epsilon": 1e-3}))  # fmt: skip
    line = [1, channels] + [1] * (len(shape) - 2)
    t, s, b, m, v = wide(x, *(a.reshape(line) for a in (scale, bias, mean, var)))
    factor = s / np.sqrt(v + 1e-3)
    near(got, (t - m) * factor + b, (np.abs(t) + np.abs(m)) * np.abs(factor) + np.abs(b), 1)
    y = np.array(x)
    assert call(row, [y, scale, bias, mean, var], [y], params=params_blob("BatchNormalization", {"epsilon": 1e-3}),
                parts=2)["status"] == 0  # fmt: skip
    near(y, (t - m) * factor + b, (np.abs(t) + np.abs(m)) * np.abs(factor) + np.abs(b), 1)


@every("lp_norm_f32", "lp_norm_f64")
@pytest.mark.parametrize("p", [1, 2])
def test_lp(row: dict, p: int) -> None:
    rng = np.random.default_rng(4)
    dtype = dtype_of(row)
    for shape in [(3, 4), (5, 1000), (1000, 5), (2, 70, 3), (3,), (2, 0)]:
        axis = int(rng.integers(len(shape)))
        x = np.array(place(rng.standard_normal(shape).astype(dtype), rng))
        if x.size and len(shape) > 1:
            np.moveaxis(x, axis, -1)[0] = 0  # a line without any length
        t = x.astype(np.float64)
        (got,) = run(row, [x], [(shape, dtype)], rng, params=params_blob("LpNormalization", {"axis": axis, "p": p}))
        norm = np.sum(np.abs(t) ** p, axis=axis, keepdims=True) ** (1 / p)
        want = np.divide(t, norm, out=np.zeros_like(t), where=norm != 0)
        near(got, want, np.abs(want), shape[axis])


@every("lrn_f32", "lrn_f64")
@pytest.mark.parametrize("size", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("beta", [0.75, 0.5, 1.3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_lrn(row: dict, size: int, beta: float, layout: str) -> None:
    rng = np.random.default_rng(5)
    dtype = dtype_of(row)
    for shape in [(2, 6, 9, 7), (1, 9, 600), (3, 4), (2, 3, 0)]:
        x = channel_case(row, shape, rng, layout)
        (got,) = run(row, [x], [(shape, dtype)], None if layout == "dense" else rng,
                     params=params_blob("LRN", {"size": size, "alpha": 0.3, "beta": beta, "bias": 1.5}))  # fmt: skip
        t = x.astype(np.float64)
        total = np.zeros_like(t)
        for c in range(shape[1]):
            low, high = c - math.floor((size - 1) / 2), c + math.ceil((size - 1) / 2)
            total[:, c] = np.sum(t[:, max(0, low) : high + 1] ** 2, axis=1)
        want = t / (1.5 + 0.3 / size * total) ** beta
        near(got, want, np.abs(want), size)
