"""The elementwise driver: shapes, strides, broadcasting, storage types, in-place, splits, on every tier."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.products import at_page_end
from tests.support.rowcall import call, rows
from tests.support.tileprog import COMPUTE, F32, F64, I32, I64, Guarded, fill, layouts, lone, program

ROWS = rows("tile")
by_tier = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"tier{r['tier']}")
DIMS = st.one_of(st.integers(1, 9), st.sampled_from([0, 16, 33, 64, 130, 515]))


@st.composite
def problems(draw: Any, dtypes: list[Any], operands: int) -> tuple[list[Guarded], Guarded]:
    rank = draw(st.integers(0, 8))
    shape: list[int] = []
    for _ in range(rank):
        room = 40_000 // int(np.prod([max(1, d) for d in shape]))
        shape.append(min(draw(DIMS), max(1, room)))
    inputs = []
    for n in range(operands):
        own = [1 if draw(st.integers(0, 3)) == 0 else d for d in shape]
        skip = draw(st.integers(0, rank)) if draw(st.booleans()) else 0
        inputs.append(draw(layouts(own[skip:], dtypes[n])))
    return inputs, draw(layouts(shape, dtypes[-1]))


@by_tier
@settings(max_examples=150, deadline=None)
@given(problem=problems([np.float32] * 4, 3), parts=st.sampled_from([1, 2, 7]))
def test_broadcasts_any_strides(row: dict, problem: Any, parts: int) -> None:
    inputs, output = problem
    a, b, c = (fill(g, n) for n, g in enumerate(inputs))
    before = output.bytes.copy()
    p = program([F32] * 3, [("t", "mul_f32", "i0", "i1"), ("u", "add_f32", "t", "i2")], ["u"])
    assert call(row, [a, b, c], [output.array], tile=p, parts=parts)["status"] == 0
    np.testing.assert_array_equal(output.array, np.broadcast_to(a * b + c, output.array.shape))
    assert output.intact(before)


NARROW = [np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.int32, np.int64, np.uint64, np.float16, np.float64]


@by_tier
@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(NARROW))
def test_narrow_types_convert_at_load_and_store(row: dict, data: Any, dtype: Any) -> None:
    inputs, output = data.draw(problems([dtype] * 3, 2))
    low = 0 if np.dtype(dtype).kind == "u" else -11
    a, b = (fill(g, n, low, 11) for n, g in enumerate(inputs))
    before = output.bytes.copy()
    name = {np.dtype(t): s for t, s in [(np.uint32, "i64"), (np.int64, "i64"), (np.uint64, "u64"), (np.float16, "f32"),
            (np.float64, "f64")]}.get(np.dtype(dtype), "i32")  # fmt: skip
    assert call(row, [a, b], [output.array], tile=lone(f"mul_{name}"), parts=3)["status"] == 0
    np.testing.assert_array_equal(output.array, np.broadcast_to(a * b, output.array.shape))
    assert output.intact(before)


@by_tier
def test_several_outputs_of_other_types(row: dict) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 7, 33), np.float32), rng.standard_normal((7, 1), np.float32)
    steps = [("s", "add_f32", "i0", "i1"), ("less", "lt_f32", "i0", "i1"), ("n", "cast_f32_i32", "s")]
    p = program([F32, F32], steps, ["s", "less", "n", "s", "i0"])
    total, less, whole = np.empty_like(a), np.empty(a.shape, np.bool_), np.empty(a.shape, np.int8)
    half, copy = np.empty(a.shape, np.float16, order="F"), np.empty_like(a)
    assert call(row, [a, b], [total, less, whole, half, copy], tile=p)["status"] == 0
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(less, a < b)
    np.testing.assert_array_equal(whole, np.trunc(a + b).astype(np.int8))
    np.testing.assert_array_equal(half, (a + b).astype(np.float16))
    np.testing.assert_array_equal(copy, a)


@by_tier
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.int64])
@pytest.mark.parametrize("shape", [(3000,), (70, 700), (9, 5, 7), (6, 40)])
def test_output_may_overwrite_an_input(row: dict, dtype: Any, shape: tuple[int, ...]) -> None:
    name = {np.float32: "f32", np.float16: "f32", np.int8: "i32", np.int64: "i64"}[dtype]
    kind = {"f32": F32, "i32": I32, "i64": I64}[name]
    # The input is read again after the output's register was first written, and the row operand varies by row.
    steps = [("t", f"add_{name}", "i0", "i1"), ("u", f"mul_{name}", "t", "i0"), ("t", f"sub_{name}", "u", "i2")]
    p = program([kind] * 3, steps, ["t"])
    for view in (slice(None), slice(None, None, 2)):
        x = np.random.default_rng(1).integers(-3, 4, shape).astype(dtype)[..., view]
        b = np.arange(x.shape[-1]).astype(dtype) % 3
        c = (np.arange(x.shape[0]) % 5).astype(dtype).reshape(-1, *[1] * (x.ndim - 1))
        want = (x + b) * x - c
        assert call(row, [x, b, c], [x], tile=p, parts=2)["status"] == 0
        np.testing.assert_array_equal(x, want)


@by_tier
def test_first_and_second_input_overwritten_in_a_chain(row: dict) -> None:
    a, b = np.arange(5000, dtype=np.float32), np.arange(5000, dtype=np.float32)[::-1].copy()
    want_sum, want_copy = a + b, a.copy()
    copy = np.empty_like(a)
    p = program([F32, F32], [("t", "add_f32", "i0", "i1")], ["t", "i0"])
    assert call(row, [a, b], [a, copy], tile=p)["status"] == 0
    np.testing.assert_array_equal(a, want_sum)
    np.testing.assert_array_equal(copy, want_copy)


@by_tier
@pytest.mark.parametrize("shape", [(1,), (17,), (100_003,), (37, 3, 7, 7), (3, 1000, 65), (4, 515, 130)])
@pytest.mark.parametrize("function", ["gelu_f32", "exp_f32", "sin_f32", "tanh_f32", "div_f32", "round_f32", "pow_f32"])
def test_same_bytes_however_the_tasks_are_split(row: dict, shape: tuple[int, ...], function: str) -> None:
    rng = np.random.default_rng(0)
    p = lone(function)
    binary = function in ("div_f32", "pow_f32")
    x = (rng.standard_normal(shape) * 4).astype(np.float32)
    inputs = [np.abs(x), rng.standard_normal(shape[-1:]).astype(np.float32)] if binary else [x]
    results = []
    for parts in (1, 2, 7):
        out = np.empty_like(x)
        assert call(row, inputs, [out], tile=p, parts=parts)["status"] == 0
        results.append(out.tobytes())
    assert results[0] == results[1] == results[2]
    # Nor does an element depend on where it lies: one element at a time gives the same bytes.
    flat = [np.broadcast_to(i, shape).ravel() for i in inputs]
    one = np.empty(1, np.float32)
    for at in rng.integers(0, x.size, 20):
        assert call(row, [f[at : at + 1].copy() for f in flat], [one], tile=p)["status"] == 0
        assert one.tobytes() == out.ravel()[at].tobytes()


@by_tier
@pytest.mark.parametrize("cols", [5, 60, 300, 511, 600])
def test_programs_of_many_registers_have_small_tiles(row: dict, cols: int) -> None:
    x = np.arange(40 * cols, dtype=np.float64).reshape(2, 20, cols) % 251
    by_column, by_row = x[0, 0] % 7, x[0, :, :1] % 5
    steps = [(f"t{k}", "add_f64", f"t{k - 1}" if k else "i0", ("i1", "i2")[k % 2]) for k in range(12)]
    steps += [(f"u{k}", "mul_f64", f"t{k}", f"t{11 - k}") for k in range(12)]
    steps += [("s", "add_f64", "u0", "u1"), *(("s", "add_f64", "s", f"u{k}") for k in range(2, 12))]
    out = np.empty_like(x)
    assert call(row, [x, by_column, by_row], [out], tile=program([F64] * 3, steps, ["s"]), parts=3)["status"] == 0
    t = [x + (k // 2 + 1) * by_column + (k + 1) // 2 * by_row for k in range(12)]
    np.testing.assert_array_equal(out, sum(t[k] * t[11 - k] for k in range(12)))


@by_tier
@pytest.mark.parametrize("shape", [(50, 3, 5, 7), (9, 4, 33), (1000, 3), (7, 50, 60)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_operands_that_repeat(row: dict, shape: tuple[int, ...], dtype: Any) -> None:
    x = (np.arange(np.prod(shape)) % 89).reshape(shape).astype(dtype)
    whole, one = shape[1:], (1,) * (len(shape) - 2)
    for other in (whole, shape[-1:], (shape[1], *one), (1, *shape[2:]), (shape[0], *[1] * (len(shape) - 1))):
        y = (np.arange(np.prod(other)) % 83).reshape(other).astype(dtype)
        out = np.empty(shape, dtype)
        assert call(row, [x, y], [out], tile=lone("add_f32"), parts=4)["status"] == 0
        np.testing.assert_array_equal(out, x + y)


@by_tier
@pytest.mark.parametrize("count", [1, 3, 15, 17, 63, 1001])
def test_nothing_is_read_past_the_end(row: dict, count: int) -> None:
    x = np.linspace(-1, 1, count, dtype=np.float32)
    square = np.arange(count * min(count, 40), dtype=np.float32).reshape(min(count, 40), count)
    with at_page_end(x, x.astype(np.float16), x.astype(np.int8), square, np.empty_like(x)) as ends:
        plain, half, byte, matrix, out = ends
        for function in ("exp_f32", "sin_f32", "relu_f32", "gelu_f32"):
            for source in (plain, half):
                assert call(row, [source], [out], tile=lone(function))["status"] == 0
        assert call(row, [byte], [out.view(np.int32)], tile=program([I32], [], ["i0"]))["status"] == 0
        np.testing.assert_array_equal(out.view(np.int32), x.astype(np.int8))
        transposed = np.empty(matrix.T.shape, np.float32)
        assert call(row, [matrix.T], [transposed], tile=program([F32], [], ["i0"]))["status"] == 0
        np.testing.assert_array_equal(transposed, square.T)


@by_tier
def test_registers_written_twice_and_immediates(row: dict) -> None:
    x = np.arange(-40, 40, dtype=np.float32).reshape(8, 10)
    steps = [("i0", "mul_f32", "i0", "k0"), ("t", "add_f32", "i0", "k1"), ("t", "relu_f32", "t"),
             ("b", "lt_f32", "i0", "t"), ("t", "where_f32", "b", "i1", "t")]  # fmt: skip
    p = program([F32, F32], steps, ["t"], [(0.5, F32), (-3.0, F32)])
    y, out, keep = np.float32(7).reshape(()), np.empty_like(x), x.copy()
    assert call(row, [x, y], [out], tile=p)["status"] == 0
    half = x * 0.5
    t = np.maximum(half - 3, 0)
    np.testing.assert_array_equal(out, np.where(half < t, 7, t))
    np.testing.assert_array_equal(x, keep)


@by_tier
@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.float64, np.uint16, ml_dtypes.bfloat16])
def test_a_program_without_instructions_copies(row: dict, dtype: Any) -> None:
    x = (np.arange(6 * 50 * 70) % 97).astype(dtype).reshape(6, 50, 70)
    p = program([COMPUTE[np.dtype(dtype)]], [], ["i0"])
    for view in (x, x.transpose(2, 0, 1), x[:, ::-1], np.broadcast_to(x[:, :1], x.shape)):
        out = np.empty(view.shape, dtype)
        assert call(row, [view], [out], tile=p, parts=2)["status"] == 0
        np.testing.assert_array_equal(out, view)


@by_tier
def test_malformed_programs_are_refused(row: dict) -> None:
    x, out = np.zeros(4, np.float32), np.zeros(4, np.float32)
    assert call(row, [x], [out], tile=program([F32], [("t", "exp_f64", "i0")], ["t"]))["bind_status"] != 0
    assert call(row, [x], [out], tile=program([F64], [("t", "exp_f64", "i0")], ["t"]))["bind_status"] != 0
    assert call(row, [x], [out], tile=program([F32], [("t", "isnan_f32", "i0")], ["t"]))["bind_status"] != 0
    written = program([F32], [("k0", "exp_f32", "i0")], ["k0"], [(1.0, F32)])
    assert call(row, [x], [out], tile=written)["bind_status"] != 0
    assert call(row, [x], [out], tile=program([F32, F32], [], ["i1"]))["bind_status"] != 0
    assert call(row, [np.zeros(3, np.float32)], [out], tile=lone("exp_f32"))["bind_status"] != 0
    assert call(row, [np.zeros((2, 4), np.float32)], [out], tile=lone("exp_f32"))["bind_status"] != 0
    everywhere = np.lib.stride_tricks.as_strided(out, (4,), (0,))
    assert call(row, [x], [everywhere], tile=lone("exp_f32"))["bind_status"] != 0
    complex_out = np.zeros(4, np.complex64)
    assert call(row, [x], [complex_out], tile=lone("exp_f32"))["bind_status"] != 0
    assert call(row, [x], [out.view(np.int32)], tile=lone("exp_f32"))["bind_status"] != 0


SMALL_FLOATS = [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz,
                ml_dtypes.float4_e2m1fn, ml_dtypes.bfloat16, np.float16, ml_dtypes.float8_e8m0fnu]  # fmt: skip
copy_f32 = program([F32], [], ["i0"])


@by_tier
@pytest.mark.parametrize("dtype", SMALL_FLOATS)
def test_every_code_of_a_small_float_loads(row: dict, dtype: Any) -> None:
    size = np.dtype(dtype).itemsize
    count = 16 if dtype is ml_dtypes.float4_e2m1fn else 1 << (8 * size)
    codes = np.arange(count, dtype=f"u{size}").view(dtype)
    out = np.empty(codes.shape, np.float32)
    assert call(row, [codes], [out], tile=copy_f32)["status"] == 0
    np.testing.assert_array_equal(out, codes.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(out[out == 0]), np.signbit(codes.astype(np.float32)[out == 0]))
    last = np.empty(count - 7, np.float32)  # other positions in vectors and tails, the same bytes (NaN included)
    assert call(row, [codes[7:]], [last], tile=copy_f32)["status"] == 0
    assert last.tobytes() == out[7:].tobytes()


@by_tier
@pytest.mark.parametrize("dtype", SMALL_FLOATS[:-1])
def test_stores_round_to_nearest_even(row: dict, dtype: Any) -> None:
    size = np.dtype(dtype).itemsize
    count = 16 if dtype is ml_dtypes.float4_e2m1fn else 1 << (8 * size)
    codes = np.arange(count, dtype=f"u{size}").view(dtype).astype(np.float32)
    codes = np.unique(codes[np.isfinite(codes)])
    middle = ((codes[1:].astype(np.float64) + codes[:-1]) / 2).astype(np.float32)
    exact = np.concatenate([codes, middle, np.nextafter(middle, np.float32(np.inf)),
                            np.nextafter(middle, np.float32(-np.inf))])  # fmt: skip
    random = np.random.default_rng(0).integers(0, 1 << 32, 200_000, dtype=np.uint32).view(np.float32)
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, -1e-45], np.float32)
    edge = np.minimum(codes[-1] * np.linspace(0.9, 1.3, 400), np.finfo(np.float32).max)
    x = np.concatenate([exact, random, special, edge.astype(np.float32)])
    out = np.empty(x.shape, dtype)
    assert call(row, [x], [out], tile=copy_f32)["status"] == 0
    with np.errstate(all="ignore"):
        want = x.astype(dtype)
    got, expected = out.astype(np.float32), want.astype(np.float32)
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))


@by_tier
@pytest.mark.parametrize("dtype", [ml_dtypes.int4, ml_dtypes.uint4])
def test_four_bit_integers(row: dict, dtype: Any) -> None:
    codes = np.arange(16, dtype=np.uint8).view(dtype)
    wide = np.empty(16, np.int32)
    copy = program([I32], [], ["i0"])
    assert call(row, [codes], [wide], tile=copy)["status"] == 0
    np.testing.assert_array_equal(wide, codes.astype(np.int32))
    back = np.empty(16, dtype)
    assert call(row, [wide + 32], [back], tile=copy)["status"] == 0
    np.testing.assert_array_equal(back.view(np.uint8), codes.view(np.uint8))
