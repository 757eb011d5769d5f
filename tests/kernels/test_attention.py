"""Attention against its definition in float64, over masks, groups, causal offsets and layouts."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenaut import _native
from tests.support.rowcall import call, feature_masks, params_blob, rows

Array = np.ndarray[Any, Any]


def attention(
    q: Array, k: Array, v: Array, mask: Array | None, scale: float, softcap: float, offset: int | None
) -> Array:
    """The definition, in float64."""
    group = q.shape[1] // k.shape[1]
    q, k, v = (a.astype(np.float64) for a in (q, np.repeat(k, group, 1), np.repeat(v, group, 1)))
    scores = scale * q @ k.swapaxes(2, 3)
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    if mask is not None:
        scores = scores + (np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask)
    if offset is not None:
        i, j = np.arange(q.shape[2])[:, None], np.arange(k.shape[2])[None, :]
        scores = np.where(j <= i + offset, scores, -np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
        weights = weights / weights.sum(-1, keepdims=True)
    weights[np.isneginf(scores).all(-1)] = 0  # the standard: a row without any key is zero
    return weights @ v


def check(row: dict, q: Array, k: Array, v: Array, mask: Array | None = None, *, softcap: float = 0.0,
          offset: int | None = None, out: Array | None = None) -> None:  # fmt: skip
    scale = 1 / np.sqrt(q.shape[3])
    blob = params_blob(
        "Attention",
        {"scale": float(scale), "softcap": softcap, "causal": offset is not None, "causal_offset": offset or 0},
    )
    shape = (*q.shape[:3], v.shape[3])
    want = attention(q, k, v, mask, scale, softcap, offset)
    results = []
    for parts in (1, 2, 7):
        got = np.full(shape, 7, np.float32) if out is None else out
        facts = call(row, [q, k, v, mask], [got], params=blob, parts=parts)
        assert facts["status"] == 0, facts
        results.append(got.copy())
    for other in results[1:]:
        assert other.tobytes() == results[0].tobytes()
    # Weights sum to one: an output is off by the scores' rounding times the values' size.
    bound = 8 * np.finfo(np.float32).eps * np.sqrt(q.shape[3] + k.shape[2]) * (1 + np.abs(v).max(initial=0.0)) * 4
    np.testing.assert_array_equal(np.isnan(results[0]), np.isnan(want))
    assert np.nanmax(np.abs(results[0] - want), initial=0.0) <= bound


@pytest.mark.parametrize("row", rows("attention_f32"), ids=lambda r: f"tier{r['tier']}")
class TestAttention:
    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def test_any_shape(self, row: dict, data: st.DataObject) -> None:
        draw = data.draw
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        group, kv_heads = draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 2))
        batch, s, t = draw(st.integers(1, 2)), draw(st.integers(1, 70)), draw(st.integers(1, 300))
        d, e = draw(st.integers(1, 40)), draw(st.sampled_from([1, 5, 16, 32, 33]))
        q, k, v = (
            rng.standard_normal(shape).astype(np.float32)
            for shape in [(batch, group * kv_heads, s, d), (batch, kv_heads, t, d), (batch, kv_heads, t, e)]
        )
        kind = draw(st.sampled_from(["none", "added", "boolean", "row"]))
        mask: Array | None = None
        if kind == "added":
            mask = rng.standard_normal((batch, group * kv_heads, s, t)).astype(np.float32)
        elif kind == "row":
            mask = np.where(rng.random((batch, 1, 1, t)) < 0.3, -1e9, 0).astype(np.float32)
            mask[..., 0] = 0  # a row of nothing but -1e9 has lost its scores in float32 already
        elif kind == "boolean":
            mask = rng.random((1, 1, s, t)) < 0.8
        offset = None if kind == "row" else draw(st.sampled_from([None, 0, t - s, -3]))
        check(row, q, k, v, mask, softcap=draw(st.sampled_from([0.0, 2.5])), offset=offset)

    def test_heads_split_out_of_a_product_by_strides(self, row: dict) -> None:
        rng = np.random.default_rng(5)
        qkv = rng.standard_normal((2, 37, 3, 4, 16)).astype(np.float32)
        q, k, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
        out = np.zeros((2, 37, 4, 16), np.float32).transpose(0, 2, 1, 3)
        check(row, q, k, v, out=out)
        check(row, q, k, v[..., ::-1], offset=0)

    @pytest.mark.parametrize("group", [1, 2, 3, 4, 16])
    @pytest.mark.parametrize("kind", ["none", "added", "shared", "boolean", "causal"])
    def test_one_row_of_heads_that_share_keys(self, row: dict, group: int, kind: str) -> None:
        """A step of decoding: keys and values of a cache that has room for more."""
        rng = np.random.default_rng(group)
        batch, shared, t = 2, 4, 301
        q = rng.standard_normal((batch, 1, group * shared, 64)).astype(np.float32).transpose(0, 2, 1, 3)
        k, v = (rng.standard_normal((batch, shared, 400, 64)).astype(np.float32)[:, :, :t] for _ in range(2))
        mask: Array | None = None
        if kind in ("added", "shared"):
            mask = rng.standard_normal((batch, group * shared if kind == "added" else 1, 1, t)).astype(np.float32)
        if kind == "boolean":
            mask = rng.random((batch, 1, 1, t)) < 0.6
        for offset in (0, 128, 299, t + 5, -2) if kind == "causal" else (None,):
            check(row, q, k, v, mask, offset=offset)

    def test_rows_without_any_key_are_zero(self, row: dict) -> None:
        ones = np.ones((1, 1, 3, 4), np.float32)
        check(row, ones, ones, ones, np.zeros((1, 1, 3, 3), bool))
        check(row, ones, ones, ones, offset=-2)

    @pytest.mark.parametrize(("depth", "values"), [(72, 40), (24, 96)])
    def test_wide_heads_walk_their_keys_in_several_blocks(self, row: dict, depth: int, values: int) -> None:
        rng = np.random.default_rng(6)
        q, k, v = (
            rng.standard_normal((1, 2, n, w)).astype(np.float32) for n, w in [(70, depth), (301, depth), (301, values)]
        )
        mask = rng.standard_normal((1, 2, 70, 301)).astype(np.float32)
        check(row, q, k, v, mask, offset=231)
        check(row, q, k, v, mask[:, :, :, ::-1], softcap=2.5)


BF16 = np.dtype(ml_dtypes.bfloat16)
HALVES = [(row, mask) for row in rows("attention_half") for mask in feature_masks(row, "bf16")]
# Type of the operands and whether they are rounded; what a product of theirs keeps; what a result is rounded to.
KINDS = {
    "float16": (np.dtype(np.float16), 0, 2.0**-15, 2.0**-11),
    "bfloat16": (BF16, 0, 2.0**-15, 2.0**-8),
    "float32 rounded": (np.dtype(np.float32), 1, 2.0**-7, 2.0**-23),
    "float32": (np.dtype(np.float32), 0, 2.0**-19, 2.0**-23),
}  # fmt: skip


def half_id(variant: Any) -> str:
    row, mask = variant
    names = [name for name, bit, _ in _native.features() if mask & bit and "bf16" in name]
    return f"tier{row['tier']}-{'+'.join(names) or 'plain'}"


def run_half(variant: Any, operands: list[Array | None], rounded: int, *, softcap: float = 0.0,
             offset: int | None = None, out: Array | None = None) -> Array:  # fmt: skip
    row, mask = variant
    q, v = operands[0], operands[2]
    assert q is not None and v is not None
    blob = params_blob(
        "HalfAttention",
        {"scale": float(1 / np.sqrt(q.shape[3])), "softcap": softcap, "causal": offset is not None,
         "causal_offset": offset or 0, "rounded": rounded},
    )  # fmt: skip
    results = []
    for parts in (1, 3):
        got = np.full((*q.shape[:3], v.shape[3]), 7, q.dtype) if out is None else out
        facts = call(row, operands, [got], params=blob, parts=parts, features=mask)
        assert facts["status"] == 0, facts
        results.append(got.astype(np.float64))
    assert results[0].tobytes() == results[1].tobytes()
    return np.asarray(results[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", HALVES, ids=half_id)
class TestHalfAttention:
    @pytest.mark.parametrize("seed", range(24))
    def test_results_err_as_their_types_do(self, variant: Any, kind: str, seed: int) -> None:
        dtype, rounded, kept, last = KINDS[kind]
        rng = np.random.default_rng(seed)
        group, kv_heads, batch = (int(rng.integers(1, n)) for n in (4, 3, 3))
        s, t = int(rng.choice([1, 3, 9, 33, 70, 270])), int(rng.choice([1, 31, 64, 257, 300]))
        d, e = int(rng.choice([1, 31, 32, 64, 72, 130])), int(rng.choice([1, 5, 16, 64, 70]))
        q, k, v = (
            rng.standard_normal(shape).astype(dtype)
            for shape in [(batch, group * kv_heads, s, d), (batch, kv_heads, t, d), (batch, kv_heads, t, e)]
        )
        mask: Array | None = None
        if seed % 4 == 1:
            mask = rng.standard_normal((batch, 1, s, t)).astype(dtype if seed % 8 == 1 else np.float32)
        elif seed % 4 == 2:
            mask = rng.random((1, 1, s, t)) < 0.8
        elif seed % 4 == 3:
            mask = rng.standard_normal((batch, 1, s, 1)).astype(np.float32)
        offset, softcap = (None, 0, t - s, -3)[seed // 4 % 4], 2.5 if seed % 5 == 4 else 0.0
        near = BF16 if rounded and s > 8 else dtype
        seen = [x.astype(near).astype(np.float64) for x in (q, k, v)]
        given = mask if mask is None or mask.dtype == bool else mask.astype(np.float64)
        want = attention(*seen, given, 1 / np.sqrt(d), softcap, offset)
        got = run_half(variant, [q, k, v, mask], rounded, softcap=softcap, offset=offset)
        size = 1 + np.abs(seen[2]).max(initial=0.0)
        bound = (kept * 4 + 2.0**-18 * np.sqrt(d + t)) * size + last * np.abs(want)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        assert (np.nan_to_num(np.abs(got - want)) <= bound).all(), np.nanmax(np.abs(got - want) / bound)

    def test_heads_split_out_of_a_product_by_strides(self, variant: Any, kind: str) -> None:
        dtype, rounded, *_ = KINDS[kind]
        rng = np.random.default_rng(5)
        qkv = rng.standard_normal((2, 37, 3, 4, 16)).astype(dtype)
        q, k, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
        out = np.zeros((2, 37, 4, 16), dtype).transpose(0, 2, 1, 3)
        plain = run_half(variant, [np.ascontiguousarray(x) for x in (q, k, v)] + [None], rounded)
        np.testing.assert_array_equal(run_half(variant, [q, k, v, None], rounded, out=out), plain)
        turned = [q[..., ::-1], k[..., ::-1], v[..., ::-1], None]
        straight = [np.ascontiguousarray(x) if x is not None else None for x in turned]
        np.testing.assert_array_equal(run_half(variant, turned, rounded), run_half(variant, straight, rounded))

    def test_what_is_not_finite_stays_where_it_is(self, variant: Any, kind: str) -> None:
        dtype, rounded, *_ = KINDS[kind]
        rng = np.random.default_rng(3)
        q, k, v = (rng.standard_normal((1, 1, n, 64)).astype(dtype) for n in (40, 300, 300))
        plain = run_half(variant, [q, k, v, None], rounded)
        q[0, 0, 7, 3], v[0, 0, 290, 5] = np.nan, np.inf
        got = run_half(variant, [q, k, v, None], rounded)
        assert np.isnan(got[0, 0, 7]).all() and not np.isfinite(got[0, 0, :, 5]).any()
        others = np.delete(np.delete(got, 7, 2), 5, 3), np.delete(np.delete(plain, 7, 2), 5, 3)
        np.testing.assert_allclose(*others, rtol=2e-2 if rounded or dtype == BF16 else 2e-3, atol=2e-3)
