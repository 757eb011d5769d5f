"""A tile program after an anchor (cpp/kernels/tile/epilogue.h), on blocks of a matrix product and of a convolution.

The products are of small integers, so every result is exact and the program's part can be compared as equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rowcall import call, params_blob, rows
from tests.support.tileprog import COMPUTE, F32, Guarded, fill, layouts, program

by_tier = pytest.mark.parametrize("row", rows("matmul_f32"), ids=lambda r: f"tier{r['tier']}")
EXTENTS = st.one_of(st.integers(1, 9), st.sampled_from([17, 33, 64, 130, 300, 515]))
CASTS = {
    np.float32: None,
    np.float16: None,
    np.int8: "cast_f32_i32",
    np.int64: "cast_f32_i64",
    np.float64: "cast_f32_f64",
}


@st.composite
def problems(draw: Any) -> tuple[list[int], int, list[Guarded], list[Guarded]]:
    batch = draw(st.lists(st.integers(1, 3), max_size=3))
    m, n = draw(EXTENTS), draw(EXTENTS)
    shape = [*batch, m, n]
    others = []
    for _ in range(draw(st.integers(0, 3))):
        own = [1 if draw(st.integers(0, 2)) == 0 else d for d in shape]
        others.append(draw(layouts(own[draw(st.integers(0, len(shape))) :], np.float32)))
    types = draw(st.lists(st.sampled_from(list(CASTS)), min_size=1, max_size=3))
    return shape, draw(st.integers(1, 3)), others, [draw(layouts(shape, t)) for t in types]


@by_tier
@settings(max_examples=80, deadline=None)
@given(problem=problems(), parts=st.sampled_from([1, 3]), pack=st.booleans())
def test_program_over_blocks_of_a_product(row: dict, problem: Any, parts: int, pack: bool) -> None:
    shape, depth, others, outputs = problem
    rng = np.random.default_rng(0)
    a = rng.integers(-3, 4, [*shape[:-1], depth]).astype(np.float32)
    b = rng.integers(-3, 4, [depth, shape[-1]]).astype(np.float32)
    # total = a b + sum of operands; output o is total + o, converted.
    steps: list[tuple[str, ...]] = [("s", "mul_f32", "i0", "k0")]
    want = (a @ b) * 2
    for k, guarded in enumerate(others):
        want = want + fill(guarded, k, -5, 6)
        steps.append(("s", "add_f32", "s", f"i{k + 1}"))
    names = []
    for o, guarded in enumerate(outputs):
        cast = CASTS[guarded.array.dtype.type]
        steps.append((f"o{o}", "add_f32", "s", f"k{o + 1}"))
        if cast:
            steps.append((f"c{o}", cast, f"o{o}"))
        names.append(f"c{o}" if cast else f"o{o}")
    immediates = [(2.0, F32), *((float(o), F32) for o in range(len(outputs)))]
    tile = program([F32] * (1 + len(others)), steps, names, immediates, first_operand=3)
    before = [g.bytes.copy() for g in outputs]
    blob = params_blob("MatMul", {"alpha": 1.0, "beta": 1.0})
    inputs = [a, b, None, *(g.array for g in others)]
    targets = [g.array for g in outputs]
    result = call(row, inputs, targets, params=blob, tile=tile, pack=[1] if pack else [], parts=parts)
    assert result["status"] == 0
    for o, guarded in enumerate(outputs):
        np.testing.assert_array_equal(guarded.array, (want + o).astype(guarded.array.dtype))
        assert guarded.intact(before[o])


@by_tier
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_store_alone_converts(row: dict, dtype: Any) -> None:
    a, b = np.arange(12, dtype=np.float32).reshape(6, 2), np.ones((2, 40), np.float32)
    out = np.empty((40, 6), dtype).T
    tile = program([COMPUTE[np.dtype(dtype)]], [], ["i0"], first_operand=3)
    blob = params_blob("MatMul", {"alpha": 1.0, "beta": 1.0})
    assert call(row, [a, b, None], [out], params=blob, tile=tile)["status"] == 0
    np.testing.assert_array_equal(out, (a @ b).astype(dtype))


@pytest.mark.parametrize("row", rows("conv_f32"), ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("operand", [(1, 8, 1, 1), (2, 8, 9, 11), (1, 1, 9, 11), (11,), (2, 1, 9, 1), ()])
def test_operands_that_vary_along_any_dims(row: dict, channels_last: bool, operand: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (2, 5, 9, 11)).astype(np.float32)
    w = rng.integers(-3, 4, (8, 5, 1, 1)).astype(np.float32)
    other = rng.integers(-9, 10, operand).astype(np.float32)
    out = np.empty((2, 8, 9, 11), np.float32)
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        out = np.empty((2, 9, 11, 8), np.float32).transpose(0, 3, 1, 2)
    values = {"spatial": 2, "kernel": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
    tile = program([F32, F32], [("t", "mul_f32", "i0", "i1"), ("t", "relu_f32", "t")], ["t"], first_operand=3)
    for parts in (1, 3):
        blob = params_blob("Conv", values)
        assert call(row, [x, w, None, other], [out], params=blob, pack=[1], tile=tile, parts=parts)["status"] == 0
        product = np.einsum("nchw,oc->nohw", x, w[:, :, 0, 0])
        np.testing.assert_array_equal(out, np.maximum(product * other, 0))
