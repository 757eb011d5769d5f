"""Rows of bytes: a row of floats as codes and their scale, the way back, and attention on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.lowering.byte_rows import SCALE_BYTES, rows_as_bytes, rows_as_floats
from tests.kernels.test_attention import HALVES, attention, half_id
from tests.support.guard import run
from tests.support.rowcall import call, params_blob, rows

PAIRS = list(zip(rows("floats_to_bytes"), rows("bytes_to_floats"), strict=True))
Array = np.ndarray[Any, Any]


def there_and_back(pair: Any, x: Array) -> tuple[Array, Array]:
    (stored,) = run(pair[0], [x], [((*x.shape[:-1], x.shape[-1] + SCALE_BYTES), np.int8)])
    (back,) = run(pair[1], [stored], [(x.shape, np.float32)])
    return stored, back


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"tier{p[0]['tier']}")
class TestRows:
    @pytest.mark.parametrize("dims", [(3, 5, 64), (2, 1, 4, 17), (1,), (0, 8), (4, 0), (700, 33)])
    def test_a_number_errs_by_at_most_half_a_scale(self, pair: Any, dims: tuple[int, ...]) -> None:
        x = np.random.default_rng(1).standard_normal(dims).astype(np.float32)
        x *= np.float32(10.0) ** (np.arange(np.prod(dims[:-1])).reshape(*dims[:-1], 1) % 7)
        stored, back = there_and_back(pair, x)
        most = np.abs(x).max(-1, keepdims=True, initial=0).astype(np.float64)
        assert (np.abs(back - x.astype(np.float64)) <= most / 254 * (1 + 1e-5)).all()
        np.testing.assert_array_equal(stored, rows_as_bytes(x))
        np.testing.assert_array_equal(back, rows_as_floats(stored))

    def test_rows_in_any_strides(self, pair: Any) -> None:
        x = np.random.default_rng(2).standard_normal((6, 40, 9)).astype(np.float32).transpose(2, 0, 1)
        for view in (x, x[::-1, ::2], x[:, :, ::-3]):
            stored, back = there_and_back(pair, view)
            other, straight = there_and_back(pair, np.ascontiguousarray(view))
            np.testing.assert_array_equal(stored, other)
            np.testing.assert_array_equal(back, straight)

    @pytest.mark.parametrize("at", [0, 37])
    @pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
    def test_a_row_that_is_not_finite_reads_as_nan(self, pair: Any, wrong: float, at: int) -> None:
        x = np.ones((3, 40), np.float32)
        x[1, at] = wrong
        back = there_and_back(pair, x)[1]
        np.testing.assert_array_equal(np.isnan(back), [[False] * 40, [True] * 40, [False] * 40])
        assert np.isnan(rows_as_floats(rows_as_bytes(x))[1]).all()

    def test_the_largest_and_the_smallest_numbers(self, pair: Any) -> None:
        x = np.array([[3.4e38, -1.7e38, 0], [1e-38, -1e-38, 1e-45], [0, -0.0, 0], [-3.4e38, 1, 2]], np.float32)
        back = there_and_back(pair, x)[1]
        np.testing.assert_allclose(back, np.where(np.abs(x) < 2.0**-100, 0, x), rtol=0, atol=3.4e38 / 254 * 1.001)
        np.testing.assert_array_equal(back[1:3], 0)


@pytest.mark.parametrize("rounded", [0, 1])
@pytest.mark.parametrize("variant", HALVES, ids=half_id)
class TestAttention:
    @pytest.mark.parametrize("seed", range(9))
    def test_keys_and_values_are_what_the_bytes_stand_for(self, variant: Any, seed: int, rounded: int) -> None:
        row, features = variant
        rng = np.random.default_rng(seed)
        group, heads, batch = (int(rng.integers(1, n)) for n in (5, 3, 3))
        s, t = int(rng.choice([1, 1, 3, 9, 40])), int(rng.choice([1, 31, 64, 270]))
        d, e = int(rng.choice([1, 31, 32, 64, 72, 128])), int(rng.choice([1, 5, 16, 64, 70, 128]))
        q = rng.standard_normal((batch, group * heads, s, d)).astype(np.float32)
        size = np.float32(10.0) ** rng.integers(-2, 2, (batch, heads, t, 1))
        k, v = (rows_as_bytes(rng.standard_normal((batch, heads, t, n)).astype(np.float32) * size) for n in (d, e))
        mask = None if seed % 2 else rng.random((1, 1, s, t)) < 0.8
        offset = t - s if seed % 3 == 0 else None
        if seed % 4 == 3:  # values alone, and in the memory of a larger capacity
            k = rows_as_floats(k)
            room = np.full((batch, heads, t + 9, e + SCALE_BYTES), 77, np.int8)
            room[:, :, :t] = v
            v = room[:, :, :t]
        seen = [x if x.dtype == np.float32 else rows_as_floats(x) for x in (k, v)]
        want = attention(q, *seen, mask, 1 / np.sqrt(d), 0.0, offset)
        blob = params_blob("HalfAttention", {"scale": float(1 / np.sqrt(d)), "softcap": 0.0, "rounded": rounded,
                                             "causal": offset is not None, "causal_offset": offset or 0})  # fmt: skip
        results = []
        for parts in (1, 3):
            got = np.full((batch, group * heads, s, e), 7, np.float32)
            facts = call(row, [q, k, v, mask], [got], params=blob, parts=parts, features=features)
            assert facts["status"] == 0, facts
            results.append(got)
        assert results[0].tobytes() == results[1].tobytes()
        kept = 2.0**-6 * np.abs(seen[0]).max() if rounded and s > 8 else 2.0**-19 * max(1, np.abs(seen[0]).max())
        bound = (kept * 4 + 2.0**-18 * np.sqrt(d + t)) * (1 + np.abs(seen[1]).max())
        assert (np.abs(results[0] - want) <= bound).all(), np.abs(results[0] - want).max() / bound

    def test_rows_without_a_scale_are_refused(self, variant: Any, rounded: int) -> None:
        row, features = variant
        q, k = np.zeros((1, 1, 2, 8), np.float32), np.zeros((1, 1, 3, 12), np.int8)
        blob = params_blob("HalfAttention", {"scale": 1.0, "softcap": 0.0, "rounded": rounded, "causal": 0,
                                             "causal_offset": 0})  # fmt: skip
        for wrong in (k[..., :8], k[..., :3], k[..., ::-1]):
            for operands in ([q, wrong, k, None], [q, k, wrong[..., :3], None]):
                facts = call(row, operands, [np.zeros((1, 1, 2, 8), np.float32)], params=blob, features=features)
                assert facts["status"] != 0
