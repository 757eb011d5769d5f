"""Integer convolutions on every tier and feature against sums of int64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from arenaut import _native
from tests.support.guard import place, run
from tests.support.products import at_page_end
from tests.support.rowcall import call, feature_masks, params_blob, rows
from tests.support.tileprog import F32, I32, program

VARIANTS = [(row, mask) for row in rows("qconv") for mask in feature_masks(row)]
Array = np.ndarray[Any, Any]
# x, filters, kernel, group, strides, dilations, pads (begins, ends)
SHAPES: list[tuple[Any, ...]] = [
    ((1, 8, 9, 7), 12, (3, 3), 1, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((2, 64, 14, 14), 40, (3, 3), 1, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((1, 64, 10, 33), 64, (3, 3), 1, (2, 2), (1, 1), (1, 1, 1, 1)),
    ((2, 3, 21, 19), 24, (7, 7), 1, (2, 2), (1, 1), (3, 3, 3, 3)),
    ((1, 2, 9, 33), 20, (3, 3), 1, (2, 2), (1, 1), (1, 1, 1, 1)),
    ((2, 5, 17, 9), 12, (13, 1), 1, (1, 1), (1, 1), (6, 0, 6, 0)),
    ((1, 1, 12, 11), 5, (5, 3), 1, (1, 2), (1, 1), (2, 0, 1, 1)),
    ((2, 64, 7, 9), 48, (1, 1), 1, (1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 30, 8, 9), 70, (1, 1), 1, (1, 1), (1, 1), (0, 0, 0, 0)),
    ((2, 16, 9, 8), 20, (1, 1), 1, (2, 2), (1, 1), (0, 0, 0, 0)),
    ((1, 5, 7, 8), 3, (1, 1), 1, (1, 1), (1, 1), (1, 0, 0, 2)),
    ((1, 16, 12, 12), 8, (3, 3), 1, (1, 1), (2, 3), (2, 3, 2, 3)),
    ((1, 6, 15, 4), 5, (4, 2), 1, (3, 1), (2, 1), (0, 1, 3, 0)),
    ((2, 24, 8, 9), 18, (3, 3), 6, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((1, 64, 6, 6), 64, (3, 3), 4, (2, 1), (1, 2), (1, 1, 0, 1)),
    ((2, 8, 5, 6), 16, (3, 3), 8, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((2, 64, 9, 7), 64, (3, 3), 64, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((1, 96, 11, 13), 96, (3, 3), 96, (2, 2), (1, 1), (0, 0, 1, 1)),
    ((1, 37, 7, 9), 37, (5, 5), 37, (1, 2), (2, 1), (4, 2, 4, 2)),
    ((1, 300, 6, 5), 300, (3, 3), 300, (1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 48, 9, 9), 48, (9, 9), 48, (1, 1), (1, 1), (4, 4, 4, 4)),
    ((1, 20, 19, 18), 20, (17, 16), 20, (1, 1), (1, 1), (8, 8, 8, 7)),
    ((1, 72, 30, 31), 72, (3, 3), 72, (2, 2), (1, 1), (1, 1, 1, 1)),
    ((1, 16, 5, 6), 16, (2, 1), 16, (1, 1), (1, 1), (0, 0, 0, 0)),
    ((2, 10, 40), 12, (5,), 1, (2,), (2,), (3, 1)),
    ((1, 32, 300), 32, (7,), 32, (1,), (1,), (3, 3)),
    ((1, 4, 5, 6, 7), 6, (3, 2, 3), 1, (1, 2, 1), (1, 1, 2), (1, 0, 2, 1, 1, 2)),
    ((1, 16, 4, 5, 6), 16, (3, 3, 3), 16, (1, 1, 2), (1, 1, 1), (1, 1, 1, 1, 1, 1)),
    ((2, 32, 13, 18), 20, (3, 3), 1, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((1, 224, 12, 12), 70, (3, 3), 1, (1, 1), (1, 1), (0, 2, 1, 0)),
    ((1, 72, 16, 15), 36, (3, 3), 2, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((1, 32, 9, 210), 16, (3, 3), 1, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((0, 4, 5, 5), 3, (3, 3), 1, (1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 4, 1, 1), 3, (3, 3), 1, (1, 1), (1, 1), (1, 1, 1, 1)),
    ((2, 16, 31, 1), 8, (1, 1), 1, (1, 2), (1, 1), (0, 0, 0, 0)),
    ((1, 48, 17, 2), 24, (1, 1), 3, (2, 3), (1, 1), (0, 0, 0, 0)),
    ((1, 130, 60, 3), 9, (1, 1), 1, (1, 1), (1, 1), (0, 0, 0, 0)),
]  # fmt: skip


def variant_id(variant: Any) -> str:
    row, mask = variant
    names = [name for name, bit, _ in _native.features() if mask & bit]
    return f"tier{row['tier']}-{'+'.join(names) or 'plain'}"


over_variants = pytest.mark.parametrize("variant", VARIANTS, ids=variant_id)
over_shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, (*s[0], s[1], *s[2], s[3]))))


def anything(rng: np.random.Generator, shape: Any, dtype: Any) -> Array:
    info = np.iinfo(dtype)
    return np.asarray(rng.integers(info.min, info.max, shape, dtype, endpoint=True))


def params(shape: Sequence[Any]) -> bytes:
    x, _, kernel, group, strides, dilations, pads = shape
    return params_blob("QConv", {"group": group, "spatial": len(x) - 2, "kernel": kernel, "strides": strides,
                                 "dilations": dilations, "pads": pads})  # fmt: skip


def sums(x: Array, w: Array, x_zero: Any, w_zero: Any, shape: Sequence[Any]) -> Array:
    """Of int64; padding adds nothing. w_zero: one number, or one a filter."""
    _, filters, kernel, group, strides, dilations, pads = shape
    n = len(kernel)
    wide = x.astype(np.int64) - np.int64(x_zero)
    wide = np.pad(wide, [(0, 0), (0, 0), *zip(pads[:n], pads[n:], strict=True)])
    weights = w.astype(np.int64) - np.asarray(w_zero, np.int64).reshape(-1, *[1] * (w.ndim - 1))
    out = [(wide.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(n)]
    total = np.zeros((x.shape[0], filters, *out), np.int64)
    each, per = w.shape[1], filters // group
    for tap in np.ndindex(*kernel):
        cut = tuple(slice(t * d, t * d + (o - 1) * s + 1, s)
                    for t, d, o, s in zip(tap, dilations, out, strides, strict=True))  # fmt: skip
        part = wide[(slice(None), slice(None), *cut)]
        for g in range(group):
            here = slice(g * per, (g + 1) * per)
            total[:, here] += np.einsum("nc...,oc->no...", part[:, g * each : (g + 1) * each],
                                        weights[(here, slice(None), *tap)])  # fmt: skip
    return total


def channels_last(x: Array) -> Array:
    """The same array, laid out with its channels innermost."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def draw(shape: Sequence[Any], rng: np.random.Generator, x_type: Any, w_type: Any) -> tuple[Array, Array]:
    x, filters, kernel, group = shape[:4]
    return anything(rng, x, x_type), anything(rng, (filters, x[1] // group, *kernel), w_type)


@over_variants
@over_shapes
@pytest.mark.parametrize("seed", range(3))
def test_sums_are_exact(variant: Any, shape: Any, seed: int) -> None:
    row, mask = variant
    rng = np.random.default_rng(seed)
    types = [np.dtype(rng.choice(["u1", "i1"])) for _ in range(2)]
    x, w = draw(shape, rng, *types)
    x = channels_last(x) if seed else place(x, rng, zero=True)
    x_zero = None if rng.random() < 0.3 else anything(rng, (), types[0])
    kind = rng.integers(3)
    w_zero = None if kind == 0 else anything(rng, () if kind == 1 else shape[1], types[1])
    bias = None if rng.random() < 0.5 else rng.integers(-(10**6), 10**6, shape[1]).astype(np.int32)
    want = sums(x, w, 0 if x_zero is None else x_zero, 0 if w_zero is None else w_zero, shape)
    if bias is not None:
        want = want + bias.reshape(-1, *[1] * (want.ndim - 2))
    inputs = [x, place(w, rng), None, x_zero, None, w_zero, bias]
    for pack in ([], [1]):
        (got,) = run(row, inputs, [(want.shape, np.int32)], rng, params=params(shape), pack=pack, features=mask)
        np.testing.assert_array_equal(got, want)


@over_variants
@pytest.mark.parametrize("x_value, w_value", [(255, -128), (255, 127), (-128, -128), (255, 255), (-128, 255)])
@pytest.mark.parametrize("group", [1, 32])
def test_extremes_do_not_saturate(variant: Any, x_value: int, w_value: int, group: int) -> None:
    row, mask = variant
    shape = ((1, 32, 8, 8), 32, (3, 3), group, (1, 1), (1, 1), (1, 1, 1, 1))
    x = np.full(shape[0], x_value, np.uint8 if x_value > 127 else np.int8)
    w = np.full((32, 32 // group, 3, 3), w_value, np.uint8 if w_value > 127 else np.int8)
    want = sums(x, w, 0, 0, shape)
    (got,) = run(row, [channels_last(x), w, *[None] * 5], [(want.shape, np.int32)], params=params(shape), pack=[1],
                 features=mask)  # fmt: skip
    np.testing.assert_array_equal(got, want)


@over_variants
@pytest.mark.parametrize("kernel", [(16, 16), (1, 257)])
@pytest.mark.parametrize("value", [0, 255])
def test_extremes_of_many_taps_are_exact(variant: Any, kernel: Any, value: int) -> None:
    """Depthwise, about as many taps as float32 has room for."""
    row, mask = variant
    shape = ((1, 20, 17, 260), 20, kernel, 20, (1, 1), (1, 1), (0, 0, 0, 0))
    x, w = np.full(shape[0], value, np.uint8), np.full((20, 1, *kernel), 255, np.uint8)
    x[..., ::7] = 255 - value
    want = sums(x, w, 255 - value, 0, shape)
    zero = np.array(255 - value, np.uint8)
    (got,) = run(row, [channels_last(x), w, None, zero, *[None] * 3], [(want.shape, np.int32)], params=params(shape),
                 pack=[1], features=mask)  # fmt: skip
    np.testing.assert_array_equal(got, want)
    assert np.abs(want).max() > 2**23


@over_variants
@pytest.mark.parametrize("x_value, w_value", [(255, -128), (0, -128), (255, 127), (-128, -128), (127, -128)])
@pytest.mark.parametrize("checkered", [False, True])
def test_extremes_of_many_channels_do_not_overflow(variant: Any, x_value: int, w_value: int, checkered: bool) -> None:
    """As many channels as tiles take, and filters whose signs follow those of the transforms' coefficients."""
    row, mask = variant
    shape = ((1, 224, 12, 13), 16, (3, 3), 1, (1, 1), (1, 1), (1, 1, 1, 1))
    x = np.full(shape[0], x_value, np.uint8 if x_value > 127 or x_value == 0 else np.int8)
    w = np.full((16, 224, 3, 3), w_value, np.int8)
    if checkered:
        w[:, :, ::2, 1::2] = w[:, :, 1::2, ::2] = 127
        x[:, :, ::2, 1::2] = 255 if x.dtype == np.uint8 else 127
        x[:, :, 1::2, ::2] = 0 if x.dtype == np.uint8 else -128
    want = sums(x, w, 0, 0, shape)
    (got,) = run(row, [channels_last(x), w, *[None] * 5], [(want.shape, np.int32)], params=params(shape), pack=[1],
                 features=mask)  # fmt: skip
    np.testing.assert_array_equal(got, want)


def requantised(total: Array, x: Array, multiplier: Array, low: float, zero: int, dtype: Any) -> Array:
    quanta = total.astype(np.float32) * multiplier.reshape(-1, *[1] * (x.ndim - 2))
    info = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(np.maximum(quanta, np.float32(low))) + zero, info.min, info.max)).astype(dtype)


@over_variants
@over_shapes
@pytest.mark.parametrize("x_type", [np.uint8, np.int8])
def test_requantising_in_registers(variant: Any, shape: Any, x_type: Any) -> None:
    """round(float(sum) * (x_scale * w_scale / y_scale)) + zero, in float32, to nearest even: every byte."""
    row, mask = variant
    rng = np.random.default_rng(11)
    x, w = draw(shape, rng, x_type, np.int8)
    x_scale, x_zero = np.array(0.02, np.float32), np.array(11, x_type)
    w_scale = rng.random(shape[1], np.float32) * np.float32(0.01)
    bias = rng.integers(-20000, 20000, shape[1]).astype(np.int32)
    total = sums(x, w, x_zero, 0, shape)
    y_scale, zero = np.float32(max(1e-3, np.abs(total).max(initial=0) * 1e-6)), 5
    total = total + bias.reshape(-1, *[1] * (x.ndim - 2))
    want = requantised(total, x, (x_scale * w_scale) / y_scale, 0.0, zero, x_type)
    name = f"quantize_{'u8' if x_type is np.uint8 else 'i8'}_f32"
    tile = program([F32], [("r", "relu_f32", "i0"), ("q", name, "r", "k0", "k1")], ["q"],
                   [(float(y_scale), F32), (zero, I32)], 7)  # fmt: skip
    inputs = [channels_last(x), w, x_scale, x_zero, w_scale, None, bias]
    for layout in (None, rng):
        (got,) = run(row, inputs, [(want.shape, x_type)], layout, params=params(shape), pack=[1], features=mask,
                     tile=tile)  # fmt: skip
        np.testing.assert_array_equal(got, want)
    last = np.empty((want.shape[0], *want.shape[2:], want.shape[1]), x_type)
    for parts in (1, 3):
        last[...] = 0x5B
        done = call(row, inputs, [np.moveaxis(last, -1, 1)], params=params(shape), pack=[1], features=mask, tile=tile,
                    parts=parts)  # fmt: skip
        assert done["status"] == 0
        np.testing.assert_array_equal(np.moveaxis(last, -1, 1), want)


@over_variants
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[5], SHAPES[7], SHAPES[11], SHAPES[14], SHAPES[16]])
@pytest.mark.parametrize("added", [np.float32, np.uint8, np.int8])
def test_register_forms_are_the_programs(variant: Any, shape: Any, added: Any) -> None:
    """A residual that is added in registers, and by the same program with one more instruction, which runs on tiles."""
    row, mask = variant
    rng = np.random.default_rng(7)
    x, w = draw(shape, rng, np.uint8, np.int8)
    total = sums(x, w, 3, 0, shape)
    y_scale = float(np.abs(total).max() * 1e-5)
    x_scale, w_scale = np.array(0.02, np.float32), rng.random(shape[1], np.float32) * np.float32(0.1)
    if added is np.float32:
        residual: Array = (rng.standard_normal(total.shape) * y_scale * 30).astype(np.float32)
        steps = [("s", "add_f32", "i1", "i0")]
    else:
        residual = anything(rng, total.shape, added)
        steps = [("d", "dequantize_i32", "i1", "k0", "k1"), ("s", "add_f32", "d", "i0")]
    steps += [("r", "relu_f32", "s"), ("q", "quantize_u8_f32", "r", "k2", "k3")]
    consts = [(4, I32), (y_scale / 2, F32), (y_scale, F32), (9, I32), (0.0, F32)]
    types = [F32, F32 if added is np.float32 else I32]
    short = program(types, steps, ["q"], consts, 7)
    again = [("z", "add_f32", "i0", "k4"), *[tuple("z" if s == "i0" else s for s in one) for one in steps]]
    long = program(types, again, ["q"], consts, 7)
    inputs = [channels_last(x), w, x_scale, np.array(3, np.uint8), w_scale, None, None]
    setting = {"params": params(shape), "pack": [1], "features": mask}
    outputs = []
    for tile in (short, long):
        for layout in (channels_last(residual), place(residual, rng)):
            outputs += run(row, [*inputs, layout], [(total.shape, np.uint8)], rng, tile=tile, **setting)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[2], outputs[3])
    apart = np.abs(outputs[0].astype(int) - outputs[2].astype(int))
    assert apart.max() <= 1 and (apart != 0).mean() <= 0.001
    assert len(np.unique(outputs[2])) > 20


@over_variants
@over_shapes
def test_nothing_is_touched_past_the_operands(variant: Any, shape: Any) -> None:
    row, mask = variant
    rng = np.random.default_rng(2)
    x, w = draw(shape, rng, np.uint8, np.int8)
    want = sums(x, w, 9, 0, shape)
    if not want.size:
        return
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    out = np.zeros((want.shape[0], *want.shape[2:], want.shape[1]), np.int32)
    with at_page_end(last, w, out) as (px, pw, po):
        for pack in ([], [1]):
            inputs = [np.moveaxis(px, -1, 1), pw, None, np.array(9, np.uint8), None, None, None]
            done = call(row, inputs, [np.moveaxis(po, -1, 1)], params=params(shape), pack=pack, features=mask)
            assert done["status"] == 0
            np.testing.assert_array_equal(np.moveaxis(po, -1, 1), want)


@pytest.mark.parametrize("row", rows("qconv"), ids=lambda r: f"tier{r['tier']}")
def test_shapes_that_do_not_fit_are_refused(row: dict[str, Any]) -> None:
    shape = ((1, 4, 5, 5), 3, (3, 3), 1, (1, 1), (1, 1), (0, 0, 0, 0))
    x, w = np.zeros(shape[0], np.uint8), np.zeros((3, 4, 3, 3), np.int8)
    good, many = np.zeros((1, 3, 3, 3), np.int32), np.zeros(2, np.uint8)
    assert call(row, [x, w, *[None] * 5], [good], params=params(shape))["bind_status"] == 0
    assert call(row, [x, w, *[None] * 5], [good[:, :, :2]], params=params(shape))["bind_status"] == 2
    assert call(row, [x, w, None, many, None, None, None], [good], params=params(shape))["bind_status"] == 2
    assert call(row, [x[:, :3], w, *[None] * 5], [good], params=params(shape))["bind_status"] == 2
    assert call(row, [x, w, *[None] * 5], [good.astype(np.float32)], params=params(shape))["bind_status"] == 1
