"""Products and convolutions of 16-bit floats on every tier and feature, against float64."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from arenaut import _native
from tests.support.guard import place, run
from tests.support.products import assert_product, at_page_end, last_axis_channels, layout
from tests.support.rowcall import call, feature_masks, params_blob, rows
from tests.support.tileprog import F32, program

BF16 = np.dtype(ml_dtypes.bfloat16)
MATMULS = [(row, mask) for row in rows("half_matmul") for mask in feature_masks(row, "bf16")]
CONVS = [(row, mask) for row in rows("half_conv") for mask in feature_masks(row, "bf16")]
SHAPES = [(1, 1, 1), (1, 65, 7), (3, 130, 33), (14, 32, 64), (5, 33, 17), (29, 48, 5), (65, 63, 31), (33, 1, 20),
          (64, 5, 40), (2, 300, 400), (31, 140, 2100), (4, 17, 1500), (300, 3, 8), (5, 9, 0), (0, 4, 3),
          (4, 0, 3)]  # fmt: skip
BATCHES = {"none": ((), ()), "a": ((3,), ()), "b": ((), (2,)), "both": ((2, 3), (2, 3)), "cross": ((2, 1), (1, 3))}
# Types of A and B, and whether they are rounded to bfloat16 first.
KINDS = [(np.float16, np.float16, 0), (BF16, BF16, 0), (np.float32, np.float16, 0), (np.float32, BF16, 0),
         (np.float32, np.float32, 1), (np.float16, np.float16, 1), (BF16, BF16, 1)]  # fmt: skip

Array = np.ndarray[Any, Any]


def variant_id(variant: Any) -> str:
    row, mask = variant
    names = [name for name, bit, _ in _native.features() if mask & bit and "bf16" in name]
    return f"tier{row['tier']}-{'+'.join(names) or 'plain'}"


def params(trans_a: int = 0, trans_b: int = 0, alpha: float = 1.0, beta: float = 1.0, rounded: int = 0) -> bytes:
    names = {"trans_a": trans_a, "trans_b": trans_b, "alpha": alpha, "beta": beta, "rounded": rounded}
    return params_blob("HalfMatMul", names)


def swap_last(x: Array, flag: int) -> Array:
    return np.swapaxes(x, -1, -2) if flag else x


def operands(x: Array, rounded: int) -> Array:
    """What a product sees of x."""
    with np.errstate(invalid="ignore"):
        return np.asarray((x.astype(BF16) if rounded else x).astype(np.float64))


def draw(rng: np.random.Generator, shape: Any, dtype: Any) -> Array:
    return np.asarray(rng.standard_normal(shape).astype(dtype))


@pytest.mark.parametrize("variant", MATMULS, ids=variant_id)
@pytest.mark.parametrize("seed", range(42))
def test_products_err_as_float32_does(variant: Any, seed: int) -> None:
    row, mask = variant
    rng = np.random.default_rng(seed)
    a_dtype, b_dtype, rounded = KINDS[seed % len(KINDS)]
    m, n, k = SHAPES[seed % len(SHAPES)] if seed < 32 else (int(x) for x in rng.integers(1, 70, 3))
    batch_a, batch_b = BATCHES[str(rng.choice(list(BATCHES)))] if m * n * k < 1 << 20 else ((), ())
    trans = int(rng.integers(2)), int(rng.integers(2))
    a = place(swap_last(draw(rng, (*batch_a, m, k), a_dtype), trans[0]), rng, zero=True)
    b = place(swap_last(draw(rng, (*batch_b, k, n), b_dtype), trans[1]), rng, zero=True)
    out_shape = (*np.broadcast_shapes(batch_a, batch_b), m, n)
    c_shape = [None, (n,), (m, 1), (), (1, n), (m, n), out_shape][seed % 7]
    c = None if c_shape is None else place(draw(rng, c_shape, (np.float32, np.float16, BF16)[seed % 3]), rng)
    alpha, beta = (1.0, 1.0) if seed % 2 else (0.75, -1.5)
    blob = params(*trans, alpha, beta, rounded)
    va, vb = operands(swap_last(a, trans[0]), rounded), operands(swap_last(b, trans[1]), rounded)
    added = 0 if c is None else c.astype(np.float64)
    want = alpha * np.matmul(va, vb) + beta * added
    size = abs(alpha) * np.matmul(np.abs(va), np.abs(vb)) + abs(beta) * np.abs(added)
    for pack in ([], [1]):
        (got,) = run(row, [a, b, c], [(out_shape, np.float32)], rng, params=blob, pack=pack, features=mask)
        # Planes leave out 2^-16 of a product of two float16 numbers at most.
        slack = 2**-16 * size if a_dtype is np.float16 and not rounded else 0
        error = np.maximum(np.abs(got - want) - slack, 0)
        assert_product((want + error).astype(np.float64), want, size, k + 1, c=8 * 2**29)
        for out_dtype in (np.float16, BF16):
            (half,) = run(row, [a, b, c], [(out_shape, out_dtype)], rng, params=blob, pack=pack, features=mask)
            np.testing.assert_array_equal(half, got.astype(out_dtype))


@pytest.mark.parametrize("variant", MATMULS, ids=variant_id)
def test_infinities_and_nan_come_through(variant: Any) -> None:
    row, mask = variant
    rng = np.random.default_rng(0)
    for a_dtype, b_dtype, rounded in KINDS:
        for where in ("a", "b", "both"):
            a, b = draw(rng, (70, 50), a_dtype), draw(rng, (50, 40), b_dtype)
            if where != "b":
                a[3, 7], a[40, 1], a[41, 2] = np.inf, -np.inf, np.nan
            if where != "a":
                b[5, 9], b[1, 0] = -np.inf, np.nan
            if a_dtype is np.float32 and not rounded:
                a[50, 3] = np.finfo(np.float32).max  # the nearest bfloat16 is infinite
            va, vb = operands(a, rounded), operands(b, rounded)
            with np.errstate(invalid="ignore"):
                want = np.matmul(va, vb)
            for pack in ([], [1]):
                (got,) = run(row, [a, b], [((70, 40), np.float32)], rng, params=params(rounded=rounded), pack=pack,
                             features=mask)  # fmt: skip
                infinite = np.isinf(want) | (np.abs(want) > np.finfo(np.float32).max)
                np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
                np.testing.assert_array_equal(np.isinf(got) & ~infinite, False)
                np.testing.assert_array_equal(np.sign(got[infinite]), np.sign(want[infinite]))
                rest = np.isfinite(want) & ~infinite & (np.abs(want) < 1e6)
                assert np.max(np.abs(got[rest] - want[rest])) < 1e-3


@pytest.mark.parametrize("variant", MATMULS, ids=variant_id)
def test_an_epilogue_and_nothing_read_past_the_end(variant: Any) -> None:
    row, mask = variant
    rng = np.random.default_rng(1)
    for a_dtype, b_dtype, rounded in KINDS:
        for m, n, k in ((37, 19, 45), (2, 33, 31), (9, 16, 64)):
            arrays = (draw(rng, (m, k), a_dtype), draw(rng, (k, n), b_dtype), draw(rng, (m, n), a_dtype))
            tile = program([F32, F32], [("t", "relu_f32", "i0"), ("t", "add_f32", "t", "i1")], ["t"], first_operand=3)
            with at_page_end(*arrays) as (a, b, other):
                for pack in ([], [1]):
                    got = np.zeros((m, n), np.float32)
                    status = call(row, [a, b, None, other], [got], params=params(rounded=rounded), pack=pack,
                                  tile=tile, features=mask)["status"]  # fmt: skip
                    assert status == 0
                    want = np.maximum(operands(a, rounded) @ operands(b, rounded), 0) + other.astype(np.float64)
                    assert np.max(np.abs(got - want)) < 1e-3 * np.sqrt(k)


GEOMETRIES = [
    ((1, 3, 12, 13), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((2, 16, 9, 11), (24, 8, 3, 2), {"pads": [1, 0, 2, 1], "group": 2, "dilations": [2, 1]}),
    ((2, 32, 7, 7), (33, 32, 1, 1), {}),
    ((1, 40, 9, 8), (17, 40, 1, 1), {"strides": [2, 2]}),
    ((2, 4, 5, 6, 7), (6, 4, 3, 2, 3), {"pads": [1, 0, 2, 1, 1, 1], "strides": [1, 2, 1]}),
    ((2, 5, 30), (7, 5, 4), {"pads": [1, 2], "strides": [3]}),
    ((1, 130, 6, 6), (140, 130, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 8, 1, 1), (16, 8, 1, 1), {}),
    ((2, 32, 9, 11), (24, 32, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 64, 19, 21), (40, 32, 3, 2), {"pads": [2, 0, 1, 1], "group": 2, "dilations": [2, 1]}),
    ((1, 32, 4, 5, 6), (8, 32, 2, 3, 3), {"pads": [0, 1, 1, 1, 1, 1]}),
]


def conv_params(x: Any, w: Any, attributes: dict[str, Any], rounded: int) -> tuple[bytes, list[int]]:
    spatial = len(x) - 2
    pads = attributes.get("pads", [0] * 2 * spatial)
    strides, dilations = (attributes.get(name, [1] * spatial) for name in ("strides", "dilations"))
    sizes = [(x[2 + i] + pads[i] + pads[spatial + i] - (w[2 + i] - 1) * dilations[i] - 1) // strides[i] + 1
             for i in range(spatial)]  # fmt: skip
    blob = params_blob("HalfConv", {
        "group": attributes.get("group", 1), "spatial": spatial, "kernel": w[2:], "strides": strides,
        "dilations": dilations, "pads": pads, "rounded": rounded,
    })  # fmt: skip
    return blob, sizes


def convolved(x: Array, w: Array, attributes: dict[str, Any], sizes: list[int]) -> Array:
    spatial = len(sizes)
    pads = attributes.get("pads", [0] * 2 * spatial)
    strides, dilations = (attributes.get(name, [1] * spatial) for name in ("strides", "dilations"))
    group = attributes.get("group", 1)
    padded = np.pad(x, [(0, 0), (0, 0), *((pads[i], pads[spatial + i]) for i in range(spatial))])
    out = np.zeros((len(x), len(w), *sizes))
    each_in, each_out = w.shape[1], len(w) // group
    for at in np.ndindex(*w.shape[2:]):
        window = [slice(a * d, a * d + (n - 1) * s + 1, s)
                  for a, d, n, s in zip(at, dilations, sizes, strides, strict=True)]  # fmt: skip
        for g in range(group):
            part = padded[(slice(None), slice(g * each_in, (g + 1) * each_in), *window)]
            filters = w[(slice(g * each_out, (g + 1) * each_out), slice(None), *at)]
            out[:, g * each_out : (g + 1) * each_out] += np.moveaxis(np.tensordot(filters, part, (1, 1)), 0, 1)
    return out


@pytest.mark.parametrize("variant", CONVS, ids=variant_id)
@pytest.mark.parametrize("index", range(len(GEOMETRIES)))
def test_convolutions_err_as_float32_does(variant: Any, index: int) -> None:
    row, mask = variant
    rng = np.random.default_rng(index)
    shape, filters, attributes = GEOMETRIES[index]
    for x_dtype, w_dtype, rounded in KINDS:
        x, w = layout(draw(rng, shape, x_dtype), rng), draw(rng, filters, w_dtype)
        bias = draw(rng, filters[:1], x_dtype) if index % 2 else None
        blob, sizes = conv_params(shape, filters, attributes, rounded)
        vx, vw = operands(x, rounded), operands(w, rounded)
        added = 0 if bias is None else bias.astype(np.float64).reshape(-1, *[1] * len(sizes))
        want = convolved(vx, vw, attributes, sizes) + added
        size = convolved(np.abs(vx), np.abs(vw), attributes, sizes) + np.abs(added)
        for pack in ([], [1]):
            (got,) = run(row, [x, w, bias], [(want.shape, np.float32)], rng, params=blob, pack=pack, features=mask)
            slack = 2**-16 * size if x_dtype is np.float16 and not rounded else 0
            error = np.maximum(np.abs(got - want) - slack, 0)
            assert_product(want + error, want, size, int(np.prod(filters[1:])) + 1, c=8 * 2**29)


@pytest.mark.parametrize("variant", CONVS, ids=variant_id)
@pytest.mark.parametrize("channels", [16, 32])
def test_a_convolution_of_infinities_is_right_elsewhere(variant: Any, channels: int) -> None:
    row, mask = variant
    rng = np.random.default_rng(3)
    x, w = draw(rng, (1, channels, 20, 20), np.float16), draw(rng, (20, channels, 3, 3), np.float16)
    x[0, 3, 10, 10] = np.inf
    blob, sizes = conv_params(x.shape, w.shape, {"pads": [1, 1, 1, 1]}, 0)
    with np.errstate(invalid="ignore"):
        want = convolved(x.astype(np.float64), w.astype(np.float64), {"pads": [1, 1, 1, 1]}, sizes)
    (got,) = run(row, [x, w], [(want.shape, np.float32)], rng, params=blob, pack=[1], features=mask)
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    there = np.isfinite(want)
    assert np.max(np.abs(got[there] - want[there])) < 1e-2


REGISTER_FORM = [("t", "add_f32", "i0", "i1"), ("t", "relu_f32", "t")]


@pytest.mark.parametrize("variant", MATMULS + CONVS, ids=variant_id)
def test_a_residual_and_an_activation_in_registers(variant: Any) -> None:
    row, mask = variant
    rng = np.random.default_rng(5)
    conv = row["name"] == "half_conv"
    tile = program([F32, F32], REGISTER_FORM, ["t"], first_operand=3)
    for x_dtype, other_dtype in ((np.float16, np.float16), (BF16, BF16), (np.float16, np.float32)):
        shape, filters = ((2, 32, 5, 7), (37, 32, 3, 3)) if conv else ((9, 70), (70, 37))
        a, b = draw(rng, shape, x_dtype), draw(rng, filters, x_dtype)
        if conv:
            blob, sizes = conv_params(shape, filters, {"pads": [1, 1, 1, 1]}, 0)
            want = convolved(operands(a, 0), operands(b, 0), {"pads": [1, 1, 1, 1]}, sizes)
        else:
            blob, want = params(), operands(a, 0) @ operands(b, 0)
        bias = draw(rng, (37,), x_dtype)
        other = draw(rng, want.shape, other_dtype)
        want = want + operands(other, 0) + (operands(bias, 0).reshape(-1, 1, 1) if conv else operands(bias, 0))
        for out_dtype in (np.float32, x_dtype):
            for inner in (False, True):  # channels innermost
                turned = last_axis_channels(other) if conv and inner else other
                got = np.zeros(want.shape, out_dtype)
                got = last_axis_channels(got) if conv and inner else got
                done = call(row, [a, b, bias, turned], [got], params=blob, pack=[1], tile=tile, features=mask)
                assert done["status"] == 0
                near = 2e-3 if out_dtype is np.float32 else 0.01 if out_dtype is np.float16 else 0.1
                error = np.abs(got.astype(np.float64) - np.maximum(want, 0))
                assert np.max(error / (1 + np.abs(want) / 8)) < near


@pytest.mark.parametrize("variant", MATMULS, ids=variant_id)
def test_float32_weights_that_are_not_rounded_have_another_row(variant: Any) -> None:
    a = np.zeros((3, 3), np.float32)
    assert call(variant[0], [a, a], [a.copy()], params=params(), features=variant[1])["bind_status"] == 1


@pytest.mark.parametrize("variant", MATMULS, ids=variant_id)
def test_a_row_of_many_terms_is_shared_out(variant: Any) -> None:
    """It waits for its weights, 6 MiB in one block of columns, which two threads read twice as fast."""
    row, mask = variant
    a, b = np.ones((1, 3072), np.float32), np.ones((3072, 1024), np.float16)
    out = np.empty((1, 1024), np.float32)
    assert call(row, [a, b, None], [out], params=params(), pack=[1], features=mask)["tasks"] >= 4
    assert (out == 3072).all()
