"""Integer products on every tier and feature against sums of int64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut import _native
from tests.support.guard import place, run
from tests.support.products import at_page_end
from tests.support.rowcall import call, feature_masks, params_blob, rows
from tests.support.tileprog import F32, I32, program

VARIANTS = [(row, mask) for row in rows("qmatmul") for mask in feature_masks(row)]
SHAPES = [(1, 1, 1), (1, 65, 7), (3, 130, 33), (14, 32, 64), (15, 33, 17), (29, 48, 5), (65, 63, 31), (33, 1, 20),
          (64, 5, 40), (2, 300, 400), (31, 140, 900), (270, 3, 8), (5, 9, 0), (0, 4, 3), (4, 0, 3), (40, 200, 256),
          (16, 530, 64)]  # fmt: skip
BATCHES = {"none": ((), ()), "a": ((3,), ()), "b": ((), (2,)), "both": ((2, 3), (2, 3)), "cross": ((2, 1), (1, 3)),
           "one": ((1, 4), (4,))}  # fmt: skip

Array = np.ndarray[Any, Any]


def variant_id(variant: Any) -> str:
    row, mask = variant
    names = [name for name, bit, _ in _native.features() if mask & bit]
    return f"tier{row['tier']}-{'+'.join(names) or 'plain'}"


over_variants = pytest.mark.parametrize("variant", VARIANTS, ids=variant_id)


def params(trans_a: int = 0, trans_b: int = 0) -> bytes:
    return params_blob("QMatMul", {"trans_a": trans_a, "trans_b": trans_b})


def swap_last(x: Array, flag: int) -> Array:
    return np.swapaxes(x, -1, -2) if flag else x


def anything(rng: np.random.Generator, shape: Any, dtype: Any) -> Array:
    info = np.iinfo(dtype)
    return np.asarray(rng.integers(info.min, info.max, shape, dtype, endpoint=True))


def sums(a: Array, b: Array, a_zero: Any = 0, b_zero: Any = 0) -> Array:
    """Modulo 2^32."""
    wide = np.matmul(a.astype(np.int64) - np.int64(a_zero), b.astype(np.int64) - np.asarray(b_zero, np.int64))
    return np.asarray(wide.astype(np.uint64).astype(np.uint32).view(np.int32))


def test_every_feature_of_the_machine_is_run() -> None:
    present = _native.cpu()["features"]
    for name, bit, least in _native.features():
        usable = [mask for row, mask in VARIANTS if row["tier"] >= least]
        if present & bit and usable and "bf16" not in name:
            assert any(mask & bit for mask in usable) and any(not mask & bit for mask in usable), name


@over_variants
@pytest.mark.parametrize("seed", range(34))
def test_sums_are_exact(variant: Any, seed: int) -> None:
    row, mask = variant
    rng = np.random.default_rng(seed)
    m, n, k = SHAPES[seed % len(SHAPES)]
    types = [np.dtype(rng.choice(["u1", "i1"])) for _ in range(2)]
    batch_a, batch_b = BATCHES[str(rng.choice([*BATCHES, "none"]))]
    trans = int(rng.integers(2)), int(rng.integers(2))
    a = place(swap_last(anything(rng, (*batch_a, m, k), types[0]), trans[0]), rng, zero=True)
    b = place(swap_last(anything(rng, (*batch_b, k, n), types[1]), trans[1]), rng, zero=True)
    a_zero = None if rng.random() < 0.3 else anything(rng, (), types[0])
    kind = rng.integers(3)
    b_zero = None if kind == 0 else anything(rng, () if kind == 1 else n, types[1])
    if b_zero is not None and b_zero.ndim:
        b_zero = place(b_zero, rng)
    bias = None if rng.random() < 0.5 else anything(rng, n, np.int32)
    va, vb = swap_last(a, trans[0]), swap_last(b, trans[1])
    want = sums(va, vb, 0 if a_zero is None else a_zero, 0 if b_zero is None else b_zero)
    if bias is not None:
        want = (want.view(np.uint32) + bias.view(np.uint32)).view(np.int32)
    shape = (*np.broadcast_shapes(batch_a, batch_b), m, n)
    for pack in ([], [1]):
        inputs = [a, b, None, a_zero, None, b_zero, bias]
        (got,) = run(row, inputs, [(shape, np.int32)], rng, params=params(*trans), pack=pack, features=mask)
        np.testing.assert_array_equal(got, want)


@over_variants
@pytest.mark.parametrize("a, b", [(255, -128), (255, 127), (-128, -128), (-128, 127), (255, 255), (-128, 255)])
def test_extremes_do_not_saturate(variant: Any, a: int, b: int) -> None:
    row, mask = variant
    for m, k in [(1, 64), (5, 2051), (33, 4096), (2, 70000)]:  # the last passes 2^31
        full_a = np.full((m, k), a, np.uint8 if a > 127 else np.int8)
        full_b = np.full((k, 20), b, np.uint8 if b > 127 else np.int8)
        out = np.zeros((m, 20), np.int32)
        result = call(row, [full_a, full_b, *[None] * 5], [out], params=params(), pack=[1], features=mask)
        assert result["status"] == 0
        np.testing.assert_array_equal(out, sums(full_a, full_b))


@over_variants
@pytest.mark.parametrize(
    "m, n, k",
    [(1, 16, 64), (16, 48, 64), (33, 17, 63), (5, 1, 3), (32, 64, 128), (7, 100, 130), (33, 72, 24), (9, 17, 16)],
)
@pytest.mark.parametrize("a_type, b_type", [(np.uint8, np.int8), (np.int8, np.uint8)])
def test_nothing_is_touched_past_the_operands(variant: Any, m: int, n: int, k: int, a_type: Any, b_type: Any) -> None:
    row, mask = variant
    rng = np.random.default_rng(k)
    a, b = anything(rng, (m, k), a_type), anything(rng, (k, n), b_type)
    b_zero, scale, bias = anything(rng, n, b_type), rng.random(n, np.float32), anything(rng, n, np.int32) // 1000
    added = anything(rng, (m, n), np.uint8)
    tile = program([F32, I32], [("r", "dequantize_i32", "i1", "k0", "k1"), ("s", "add_f32", "i0", "r"),
                   ("q", "quantize_u8_f32", "s", "k2", "k3")], ["q"],
                   [(3, I32), (0.5, F32), (90.0, F32), (7, I32)], 7)  # fmt: skip
    one = np.array(0.25, np.float32)
    for trans in (0, 1):
        left = np.ascontiguousarray(swap_last(a, trans))
        right = np.ascontiguousarray(swap_last(b, trans))
        outputs = np.zeros((m, n), np.int32), np.zeros((m, n), np.uint8)
        with at_page_end(left, right, b_zero, scale, bias, added, *outputs) as (pa, pb, pz, ps, pbias, padd, po, pq):
            for pack in ([], [1]):
                setting = {"params": params(trans, trans), "pack": pack, "features": mask}
                assert call(row, [pa, pb, None, None, None, pz, pbias], [po], **setting)["status"] == 0
                inputs = [pa, pb, one, None, ps, pz, pbias, padd]
                assert call(row, inputs, [pq], tile=tile, **setting)["status"] == 0


def real(acc: Array, scale: Array, bias: Array | None) -> Array:
    out = acc.astype(np.float32) * scale
    return np.asarray(out if bias is None else out + bias, np.float32)


@over_variants
@pytest.mark.parametrize("m, n, k", [(1, 33, 64), (40, 100, 130), (3, 5, 7)])
@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("bias_type", [None, np.int32, np.float32])
def test_scales_and_biases(variant: Any, m: int, n: int, k: int, per_column: bool, bias_type: Any) -> None:
    row, mask = variant
    rng = np.random.default_rng(n)
    a, b = anything(rng, (2, m, k), np.uint8), anything(rng, (k, n), np.int8)
    a_scale, a_zero = np.array(0.013, np.float32), np.array(131, np.uint8)
    b_scale = rng.random(n if per_column else 1, np.float32) + np.float32(0.1)
    bias = None
    if bias_type is not None:
        bias = rng.integers(-5000, 5000, n).astype(bias_type)
    acc = sums(a, b, a_zero)
    acc = acc + bias if bias_type is np.int32 and bias is not None else acc
    want = real(acc, a_scale * b_scale, bias if bias_type is np.float32 else None)
    limit = 2e-7 * (np.abs(acc) * (a_scale * b_scale) + (0 if bias is None else np.abs(bias)))
    for pack in ([], [1]):
        inputs = [a, b, a_scale, a_zero, b_scale, None, bias]
        (got,) = run(row, inputs, [((2, m, n), np.float32)], rng, params=params(), pack=pack, features=mask)
        assert (np.abs(got - want) <= limit).all()
        if bias_type is not np.float32:
            np.testing.assert_array_equal(got, want)


@over_variants
@pytest.mark.parametrize("a_type", [np.uint8, np.int8])
@pytest.mark.parametrize("m, n, k", [(1, 70, 64), (37, 75, 100), (64, 512, 256)])
@pytest.mark.parametrize("act", ["none", "relu", "clip"])
def test_requantising_in_registers(variant: Any, a_type: Any, m: int, n: int, k: int, act: str) -> None:
    """round(float(sum) * (a_scale * b_scale / y_scale)) + zero, in float32, to nearest even: every byte."""
    row, mask = variant
    rng = np.random.default_rng(m)
    a, b = anything(rng, (m, k), a_type), anything(rng, (k, n), np.int8)
    a_scale, a_zero = np.array(0.02, np.float32), np.array(11, a_type)
    b_scale = rng.random(n, np.float32) * np.float32(0.01)
    bias = rng.integers(-20000, 20000, n).astype(np.int32)
    for out_type, function in [(np.uint8, "quantize_u8_f32"), (np.int8, "quantize_i8_f32")]:
        y_scale, zero = np.float32(0.37), 5
        multiplier = (a_scale * b_scale) / y_scale
        quanta = (sums(a, b, a_zero) + bias).astype(np.float32) * multiplier
        if act != "none":
            high = np.inf if act == "relu" else np.float32(6) / y_scale
            quanta = np.clip(quanta, np.float32(0), high)
        info = np.iinfo(out_type)
        want = np.clip(np.rint(quanta) + zero, info.min, info.max).astype(out_type)
        consts = [(float(y_scale), F32), (zero, I32), (0.0, F32), (6.0, F32)]
        steps = {"none": [], "relu": [("r", "relu_f32", "i0")], "clip": [("r", "clip_f32", "i0", "k2", "k3")]}[act]
        last = "r" if steps else "i0"
        tile = program([F32], [*steps, ("q", function, last, "k0", "k1")], ["q"], consts, 7)
        inputs = [a, b, a_scale, a_zero, b_scale, None, bias]
        for pack in ([], [1]):
            (got,) = run(row, inputs, [((m, n), out_type)], rng, params=params(), pack=pack, features=mask, tile=tile)
            np.testing.assert_array_equal(got, want)


FORMS = [(added, act, out) for added in (None, np.float32, np.uint8, np.int8) for act in (None, "relu_f32", "silu_f32")
         for out in (np.float32, np.uint8, np.int8) if (added, act, out) != (None, None, np.float32)]  # fmt: skip


@over_variants
@pytest.mark.parametrize("added, act, out_type", FORMS)
def test_register_forms_are_the_programs(variant: Any, added: Any, act: str | None, out_type: Any) -> None:
    """A form done in registers and the same program with one more instruction, which runs on tiles."""
    row, mask = variant
    rng = np.random.default_rng(7)
    m, n, k = 37, 75, 100
    a, b = anything(rng, (2, m, k), np.uint8), anything(rng, (k, n), np.int8)
    a_scale, b_scale = np.array(0.02, np.float32), rng.random(n, np.float32) * np.float32(0.01)
    residual = None if added is None else rng.standard_normal((2, m, n), np.float32)
    if added in (np.uint8, np.int8):
        residual = anything(rng, (2, m, n), added)
    steps: list[tuple[str, ...]] = []
    value, types = "i0", [F32]
    if residual is not None:
        types.append(F32 if added is np.float32 else I32)
        if added is not np.float32:
            steps.append(("d", "dequantize_i32", "i1", "k0", "k1"))
        steps.append(("s", "add_f32", "d" if added is not np.float32 else "i1", value))
        value = "s"
    if act is not None:
        steps.append(("v", act, value))
        value = "v"
    if out_type is not np.float32:
        steps.append(("q", f"quantize_{'u8' if out_type is np.uint8 else 'i8'}_f32", value, "k2", "k3"))
        value = "q"
    consts = [(4, I32), (0.05, F32), (0.07, F32), (9, I32), (0.0, F32)]
    short = program(types, steps, [value], consts, 7)
    again = [("z", "add_f32", "i0", "k4"), *[tuple("z" if s == "i0" else s for s in one) for one in steps]]
    long = program(types, again, [value], consts, 7)
    inputs = [a, b, a_scale, np.array(3, np.uint8), b_scale, None, None]
    if residual is not None:
        inputs.append(place(residual, rng))
    setting = {"params": params(), "pack": [1], "features": mask}
    (got,) = run(row, inputs, [((2, m, n), out_type)], rng, tile=short, **setting)
    (want,) = run(row, inputs, [((2, m, n), out_type)], rng, tile=long, **setting)
    if out_type is np.float32:
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    else:
        apart = np.abs(got.astype(int) - want.astype(int))
        assert apart.max() <= 1 and (apart != 0).mean() <= 0.001
    assert len(np.unique(want)) > 20


@over_variants
def test_the_output_may_overwrite_the_residual(variant: Any) -> None:
    row, mask = variant
    rng = np.random.default_rng(3)
    a, b = anything(rng, (70, 64), np.uint8), anything(rng, (64, 90), np.int8)
    residual = anything(rng, (70, 90), np.uint8)
    scale = np.array(0.001, np.float32)
    consts = [(100, I32), (0.1, F32), (0.2, F32), (128, I32), (1.0, F32)]
    registers = [("d", "dequantize_i32", "i1", "k0", "k1"), ("s", "add_f32", "i0", "d"),
                 ("q", "quantize_u8_f32", "s", "k2", "k3")]  # fmt: skip
    tiles = [*registers[:2], ("s", "mul_f32", "s", "k4"), registers[2]]
    for steps in (registers, tiles):
        tile = program([F32, I32], steps, ["q"], consts, 7)
        inputs = [a, b, scale, None, scale, None, None]
        setting = {"params": params(), "pack": [1], "tile": tile, "features": mask}
        (apart,) = run(row, [*inputs, residual], [((70, 90), np.uint8)], **setting)
        for parts in (1, 3):
            both = residual.copy()
            assert call(row, [*inputs, both], [both], parts=parts, **setting)["status"] == 0
            np.testing.assert_array_equal(both, apart)


@over_variants
def test_a_program_over_sums(variant: Any) -> None:
    """Without scales the block is i32."""
    row, mask = variant
    rng = np.random.default_rng(5)
    a, b = anything(rng, (19, 33), np.int8), anything(rng, (33, 41), np.uint8)
    other = anything(rng, 41, np.int32) // 2
    tile = program([I32, I32], [("t", "add_i32", "i0", "i1")], ["t"], first_operand=7)
    inputs = [a, b, *[None] * 5, other]
    (got,) = run(row, inputs, [((19, 41), np.int32)], rng, params=params(), tile=tile, features=mask)
    np.testing.assert_array_equal(got, sums(a, b) + other)


@pytest.mark.parametrize("row", rows("qmatmul"), ids=lambda r: f"tier{r['tier']}")
def test_shapes_that_do_not_fit_are_refused(row: dict[str, Any]) -> None:
    a, b = np.zeros((3, 4), np.uint8), np.zeros((4, 5), np.int8)
    out = np.zeros((3, 5), np.int32)
    many, wrong = np.zeros(3, np.uint8), np.zeros(4, np.int8)
    assert call(row, [a, b, None, many, None, None, None], [out], params=params())["bind_status"] == 2
    assert call(row, [a, b, None, None, None, wrong, None], [out], params=params())["bind_status"] == 2
    assert call(row, [a, b[:3], *[None] * 5], [out], params=params())["bind_status"] == 2
    assert call(row, [a, b, *[None] * 5], [np.zeros((3, 5), np.float32)], params=params())["bind_status"] == 1
