"""Tile programs on operands of few bits: computed in those bits or in 32, the result is the program's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rowcall import call, rows
from tests.support.tileprog import BOOL, FUNCTIONS, I32, lone, program

ROWS = rows("tile")
by_tier = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"tier{r['tier']}")
INTEGERS = [np.uint8, np.int8, np.uint16, np.int16]
UNARY, BINARY = ["neg", "abs", "sign", "relu", "bit_not"], ["add", "sub", "mul", "min", "max", "prelu", "bit_and"]
OTHER = ["shl", "shr"]  # these have no form of few bits
EDGES = [0, 1, -1, 2, 100, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, 65535, 100000, -7]


@st.composite
def programs(draw: Any) -> Any:
    """A random program of integers: two operands, two immediates, a few instructions."""
    steps: list[tuple[str, ...]] = []
    numbers, conditions = ["i0", "i1", "k0", "k1"], ["i2"]
    for n in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["unary", "binary", "binary", "clip", "compare", "where", "other", "cast"]))
        any_number = st.sampled_from(numbers)
        name = f"t{n}" if draw(st.booleans()) or n == 0 or f"t{n - 1}" not in numbers else f"t{n - 1}"
        if kind == "compare":
            name = f"c{n}"
            steps.append((name, draw(st.sampled_from(["eq", "lt", "le"])) + "_i32", draw(any_number), draw(any_number)))
            conditions.append(name)
            continue
        if kind == "unary":
            steps.append((name, draw(st.sampled_from(UNARY)) + "_i32", draw(any_number)))
        elif kind == "clip":
            steps.append((name, "clip_i32", *(draw(any_number) for _ in range(3))))
        elif kind == "where":
            steps.append((name, "where_i32", draw(st.sampled_from(conditions)), draw(any_number), draw(any_number)))
        elif kind == "cast":
            steps.append((name, "cast_bool_i32", draw(st.sampled_from(conditions))))
        else:
            function = draw(st.sampled_from(BINARY if kind == "binary" else OTHER))
            steps.append((name, function + "_i32", draw(any_number), draw(any_number)))
        if name not in numbers:
            numbers.append(name)
    immediates = [(draw(st.sampled_from(EDGES)), I32) for _ in range(2)]
    return program([I32, I32, BOOL], steps, [numbers[-1]], immediates)


@by_tier
@settings(max_examples=200, deadline=None)
@given(p=programs(), types=st.tuples(*[st.sampled_from(INTEGERS)] * 3))
def test_few_bits_or_many(row: dict, p: Any, types: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(np.iinfo(t).min, np.iinfo(t).max + 1, 300).astype(t) for t in types[:2])
    condition = rng.integers(0, 2, 300).astype(np.bool_)
    got, wide = np.empty(300, types[2]), np.empty(300, np.int32)
    assert call(row, [a, b, condition], [got], tile=p)["status"] == 0
    assert call(row, [a.astype(np.int32), b.astype(np.int32), condition], [wide], tile=p)["status"] == 0
    np.testing.assert_array_equal(got, wide.astype(types[2]))


@by_tier
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_a_sum_is_not_whole(row: dict, dtype: Any) -> None:
    x = np.arange(256).astype(np.uint8).view(dtype)
    p = program([I32, I32], [("s", "add_i32", "i0", "i1"), ("t", "min_i32", "s", "k0")], ["t"], [(100, I32)])
    out = np.empty_like(x)
    assert call(row, [x, x], [out], tile=p)["status"] == 0
    np.testing.assert_array_equal(out, np.minimum(x.astype(np.int32) * 2, 100).astype(dtype))


@by_tier
@pytest.mark.parametrize("function", ["neg", "abs", "sign", "eq", "lt", "le", "isnan", "isinf"])
def test_every_float16(row: dict, function: str) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    inputs = [x, np.random.default_rng(0).permutation(x)][: len(FUNCTIONS[f"{function}_f32"][2])]
    result = np.bool_ if FUNCTIONS[f"{function}_f32"][1] == BOOL else np.float16
    got, wide = np.empty(x.shape, result), np.empty(x.shape, result)
    with np.errstate(invalid="ignore"):
        floats = [v.astype(np.float32) for v in inputs]
    assert call(row, inputs, [got], tile=lone(f"{function}_f32"))["status"] == 0
    assert call(row, floats, [wide], tile=lone(f"{function}_f32"))["status"] == 0
    number = ~np.isnan(x) if result == np.float16 else np.ones(x.shape, np.bool_)
    np.testing.assert_array_equal(got.view(f"u{got.itemsize}")[number], wide.view(f"u{got.itemsize}")[number])
    np.testing.assert_array_equal(got[~number], wide[~number])
