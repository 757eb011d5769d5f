"""Products with weights in blocks of few bits, on every tier and feature."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from arenaut import _native
from tests.support.guard import run
from tests.support.products import at_page_end
from tests.support.rowcall import call, feature_masks, params_blob, rows
from tests.support.tileprog import F32, program

VARIANTS = [(row, mask) for row in rows("block_matmul") for mask in feature_masks(row)]
Array = np.ndarray[Any, Any]


def variant_id(variant: Any) -> str:
    row, mask = variant
    names = [name for name, bit, _ in _native.features() if mask & bit]
    return f"tier{row['tier']}-{'+'.join(names) or 'plain'}"


over_variants = pytest.mark.parametrize("variant", VARIANTS, ids=variant_id)


def packed_bits(codes: Array, bits: int) -> Array:
    """Codes along the last axis as bytes, the lowest bits first."""
    spread = (codes[..., None] >> np.arange(bits)) & 1
    flat = spread.reshape(*codes.shape[:-1], -1)
    flat = np.pad(flat, [(0, 0)] * (flat.ndim - 1) + [(0, -flat.shape[-1] % 8)])
    return np.packbits(flat.astype(np.uint8), axis=-1, bitorder="little")


class Case:
    """Random weights as a model stores them, and what they stand for: weight [n, k] in float64."""

    def __init__(self, rng: np.random.Generator, n: int, k: int, bits: int, block: int, zeros: bool, scale_type: Any):
        blocks = -(-k // block)
        codes = rng.integers(0, 1 << bits, (n, blocks, block))
        self.b = packed_bits(codes, bits)
        assert self.b.shape == (n, blocks, block * bits // 8)
        self.scales = (rng.random((n, blocks)) * 0.1 + 0.01).astype(scale_type)
        zero = rng.integers(0, 1 << bits, (n, blocks)) if zeros else np.full((n, blocks), 1 << (bits - 1))
        self.zeros = packed_bits(zero, bits) if zeros else None
        wide = (codes - zero[..., None]) * self.scales.astype(np.float64)[..., None]
        self.weight = wide.reshape(n, -1)[:, :k]
        self.n, self.k, self.bits, self.block, self.blocks = n, k, bits, block, blocks

    def params(self, accuracy: int, rounded: bool = False) -> bytes:
        fields = {"bits": self.bits, "block": self.block, "k": self.k, "n": self.n, "accuracy": accuracy,
                  "rounded": int(rounded)}  # fmt: skip
        return params_blob("BlockMatMul", fields)

    def operands(self, a: Array) -> list[Array | None]:
        return [a, self.b, self.scales, self.zeros]

    def pack(self) -> list[int]:
        return [1, 2] if self.zeros is None else [1, 2, 3]


def rounded_rows(a: Array, block: int) -> Array:
    """Rows as bytes times scales, block by block: x / scale to nearest even, scale the block's largest over 127."""
    k = a.shape[-1]
    padded = np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, -k % block)]).reshape(*a.shape[:-1], -(-k // block), block)
    scale = (np.abs(padded).max(-1, keepdims=True) / np.float32(127)).astype(np.float32)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale != 0, np.float32(1) / scale, np.float32(0)).astype(np.float32)
    rounded = np.rint((padded * inverse).astype(np.float32)).astype(np.float64) * scale
    return np.asarray(rounded.reshape(*a.shape[:-1], -(-k // block) * block)[..., :k])


def nearest_bfloat16(x: Array) -> Array:
    """Of two that are as near the one farther from zero."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)


CASES = [(1, 16, 32, 32), (1, 100, 70, 32), (3, 33, 128, 16), (7, 65, 200, 64), (16, 64, 256, 32), (17, 80, 96, 128),
         (40, 130, 300, 32), (2, 7, 16, 16), (33, 48, 512, 256), (5, 64, 1056, 32), (0, 20, 64, 32)]  # fmt: skip


@over_variants
@pytest.mark.parametrize("accuracy", [0, 4])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_products_follow_the_tolerance_rule(variant: Any, accuracy: int, bits: int, zeros: bool, case: Any) -> None:
    row, mask = variant
    m, n, k, block = case
    rng = np.random.default_rng(bits * 10 + zeros)
    weights = Case(rng, n, k, bits, block, zeros, np.float32 if bits != 4 or zeros else np.float16)
    a = rng.standard_normal((m, k), np.float32)
    if m > 1:
        a[1, : min(block, k)] = 0  # a block without a scale
    setting = {"params": weights.params(accuracy), "pack": weights.pack(), "features": mask}
    said = call(row, weights.operands(a), [np.zeros((m, n), np.float32)], **setting)
    left, right = a.astype(np.float64), weights.weight
    if said["variant"] == "bf16":
        assert accuracy == 4 and m >= 16
        left, right = a.astype(ml_dtypes.bfloat16).astype(np.float64), nearest_bfloat16(right)
    elif accuracy == 4:
        left = rounded_rows(a, block)
    want, size = left @ right.T, np.abs(left) @ np.abs(right).T
    (got,) = run(row, weights.operands(a), [((m, n), np.float32)], rng, **setting)
    eps = np.finfo(np.float32).eps
    assert (np.abs(got - want) <= 8 * eps * np.sqrt(k) * size + np.finfo(np.float32).tiny).all()
    assert m == 0 or np.abs(want).max() > 0


@over_variants
@pytest.mark.parametrize("accuracy", [0, 4])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("case", [(16, 64, 256, 32), (40, 130, 320, 32), (130, 530, 1088, 64), (33, 48, 512, 16)],
                         ids=str)  # fmt: skip
def test_rounded_products_are_those_of_bfloat16(variant: Any, accuracy: int, bits: int, case: Any) -> None:
    """Where tiles multiply them: of A and of the weights, scales included; elsewhere nothing is different."""
    row, mask = variant
    m, n, k, block = case
    rng = np.random.default_rng(bits)
    weights = Case(rng, n, k, bits, block, bits == 4, np.float32)
    a = rng.standard_normal((m, k), np.float32)
    setting = {"params": weights.params(accuracy, True), "pack": weights.pack(), "features": mask}
    out = np.zeros((m, n), np.float32)
    done = call(row, weights.operands(a), [out], **setting)
    assert done["status"] == 0
    if done["variant"] != "bf16":
        (plain,) = run(
            row, weights.operands(a), [((m, n), np.float32)], **{**setting, "params": weights.params(accuracy)}
        )
        np.testing.assert_array_equal(out, plain)
        return
    left = a.astype(ml_dtypes.bfloat16).astype(np.float64)
    right = nearest_bfloat16(weights.weight)
    want, size = left @ right.T, np.abs(left) @ np.abs(right).T
    assert (np.abs(out - want) <= 8 * np.finfo(np.float32).eps * np.sqrt(k) * size).all()
    assert (np.abs(out - a @ weights.weight.T) <= 2.0**-8 * size).all()


@over_variants
@pytest.mark.parametrize("block", [32, 128, 1024])
def test_rows_and_columns_of_several_blocks(variant: Any, block: int) -> None:
    """Also with rows that are no sum of finite bfloat16 numbers: only they differ."""
    row, mask = variant
    rng = np.random.default_rng(block)
    weights = Case(rng, 530, 1100, 8, block, block == 128, np.float32)
    a = rng.standard_normal((140, 1100), np.float32)
    setting = {"params": weights.params(0), "pack": weights.pack(), "features": mask}
    (got,) = run(row, weights.operands(a), [((140, 530), np.float32)], rng, **setting)
    size = np.abs(a).astype(np.float64) @ np.abs(weights.weight).T
    assert (np.abs(got - a @ weights.weight.T) <= 8 * np.finfo(np.float32).eps * np.sqrt(1100) * size).all()
    a[40, 700], a[41, 3], a[42, 1] = np.inf, np.nan, 3.4e38
    (other,) = run(row, weights.operands(a), [((140, 530), np.float32)], rng, **setting)
    assert not np.isfinite(other[40]).any() and np.isnan(other[41]).all()
    far = np.isfinite(other[42])
    want = a[42].astype(np.float64) @ weights.weight.T
    np.testing.assert_allclose(other[42][far], want[far], rtol=1e-5)
    assert far.any() and (np.abs(want[~far]) > 3e38).all()
    kept = np.delete(np.arange(140), range(32, 64))  # a strip of rows is computed alike
    np.testing.assert_array_equal(other[kept], got[kept])


@over_variants
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("m", [1, 5, 20])
def test_sums_of_bytes_are_exact(variant: Any, bits: int, m: int) -> None:
    """Rows of whole numbers up to 127 are their own bytes, so with scales of one the result is a sum of integers."""
    row, mask = variant
    rng = np.random.default_rng(m)
    for block in (16, 32, 256):
        weights = Case(rng, 40, 512, bits, block, True, np.float32)
        weight = np.rint(weights.weight / np.repeat(weights.scales, block, 1))
        weights.scales[:] = 1
        a = rng.integers(-127, 128, (m, 512)).astype(np.float32)
        a[:, ::block] = 127
        out = np.zeros((m, 40), np.float32)
        setting = {"params": weights.params(4), "pack": weights.pack(), "features": mask}
        assert call(row, weights.operands(a), [out], **setting)["status"] == 0
        np.testing.assert_array_equal(out, a.astype(np.float64) @ weight.T)


@over_variants
@pytest.mark.parametrize("accuracy", [0, 4])
@pytest.mark.parametrize("m", [1, 3, 40])
def test_an_epilogue_runs_on_every_block(variant: Any, accuracy: int, m: int) -> None:
    row, mask = variant
    rng = np.random.default_rng(m)
    weights = Case(rng, 130, 96, 4, 32, True, np.float32)
    a, bias = rng.standard_normal((2, m, 96), np.float32), rng.standard_normal(130, np.float32)
    setting = {"params": weights.params(accuracy), "pack": weights.pack(), "features": mask}
    (plain,) = run(row, weights.operands(a), [((2, m, 130), np.float32)], rng, **setting)
    tile = program([F32, F32], [("s", "add_f32", "i0", "i1"), ("t", "relu_f32", "s")], ["t"], first_operand=4)
    (got,) = run(row, [*weights.operands(a), bias], [((2, m, 130), np.float32)], rng, tile=tile, **setting)
    np.testing.assert_array_equal(got, np.maximum(plain + bias, 0))
    assert (got > 0).any() and (plain + bias < 0).any()


@over_variants
@pytest.mark.parametrize("accuracy", [0, 4])
@pytest.mark.parametrize("m, n, k", [(1, 17, 33), (6, 64, 70), (19, 5, 250)])
def test_nothing_is_touched_past_the_operands(variant: Any, accuracy: int, m: int, n: int, k: int) -> None:
    row, mask = variant
    rng = np.random.default_rng(k)
    for bits in (2, 3, 4, 8):
        weights = Case(rng, n, k, bits, 32, True, np.float32)
        a, out = rng.standard_normal((m, k), np.float32), np.zeros((m, n), np.float32)
        assert weights.zeros is not None
        with at_page_end(a, weights.b, weights.scales, weights.zeros, out) as (pa, pb, ps, pz, po):
            setting = {"params": weights.params(accuracy), "pack": weights.pack(), "features": mask}
            assert call(row, [pa, pb, ps, pz], [po], **setting)["status"] == 0


@pytest.mark.parametrize("row", rows("block_matmul"), ids=lambda r: f"tier{r['tier']}")
def test_what_does_not_fit_is_refused(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    weights = Case(rng, 20, 64, 4, 32, True, np.float32)
    a, out = np.zeros((3, 64), np.float32), np.zeros((3, 20), np.float32)
    good = {"params": weights.params(4), "pack": weights.pack()}
    assert call(row, weights.operands(a), [out], **good)["status"] == 0
    assert call(row, weights.operands(a), [out], params=weights.params(4))["bind_status"] == 1
    assert call(row, weights.operands(a[:, :32]), [out], **good)["bind_status"] == 2
    assert call(row, weights.operands(a), [out[:, :19]], **good)["bind_status"] == 2
    for field, value in [("bits", 5), ("block", 24), ("block", 8), ("k", 0), ("n", -1)]:
        fields = {"bits": 4, "block": 32, "k": 64, "n": 20, "accuracy": 4, field: value}
        blob = params_blob("BlockMatMul", fields)
        assert call(row, weights.operands(a), [out], params=blob, pack=weights.pack())["bind_status"] == 1
