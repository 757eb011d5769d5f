"""Quantising and dequantising tile functions, and programs of one byte that become tables, against float32 division."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.rowcall import call, rows
from tests.support.tileprog import COMPUTE, F32, I32, Guarded, lone, program

ROWS = rows("tile")
by_tier = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"tier{r['tier']}")
Array = np.ndarray
STORED = {"u8": np.uint8, "i8": np.int8, "u16": np.uint16, "i16": np.int16}


def quantised(x: Array, scale: Array, zero: Array, dtype: Any) -> Array:
    info = np.iinfo(dtype)
    with np.errstate(all="ignore"):
        whole = np.rint((x / scale).astype(np.float32)).astype(np.float64) + zero
    return np.where(np.isnan(whole), info.min, np.clip(whole, info.min, info.max)).astype(dtype)


def near_ties(scale: np.float32, count: int, rng: np.random.Generator) -> Array:
    """Floats whose quotient by scale is a tie, or one of the three floats above and below it."""
    middle = (rng.integers(-300, 300, count) + 0.5) * np.float64(scale)
    middle = np.clip(middle, -3e38, 3e38).astype(np.float32)
    for _ in range(3):
        middle = np.where(rng.random(count) < 0.5, np.nextafter(middle, np.float32(np.inf)), middle)
        middle = np.where(rng.random(count) < 0.5, np.nextafter(middle, np.float32(-np.inf)), middle)
    return middle


@by_tier
@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("scale", [0.25, 0.0078431377, 1.0, 3.1e-41, 1e36, 0.1, 1e-31])
def test_quantize_divides_and_rounds_half_to_even(row: dict, name: str, scale: float) -> None:
    rng = np.random.default_rng(3)
    step, dtype = np.float32(scale), STORED[name]
    special = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 3e38, -3e38, 1e-44], np.float32)
    x = np.concatenate([special, near_ties(step, 20000, rng), rng.standard_normal(5001).astype(np.float32) * step * 90])
    for zero in (0, 3, np.iinfo(dtype).max):
        out = np.empty(x.shape, dtype)
        inputs = [x, np.array(step), np.array(zero, dtype)]
        assert call(row, inputs, [out], tile=lone(f"quantize_{name}_f32"), parts=2)["status"] == 0
        np.testing.assert_array_equal(out, quantised(x, step, np.array(zero, np.float64), dtype))


@by_tier
@pytest.mark.parametrize("name", STORED)
def test_scales_and_zero_points_of_each_channel(row: dict, name: str) -> None:
    rng = np.random.default_rng(4)
    dtype = STORED[name]
    x = (rng.standard_normal((37, 53)) * 30).astype(np.float32)
    scale, zero = (rng.random(53) + 0.01).astype(np.float32), rng.integers(0, 9, 53).astype(dtype)
    out, back = np.empty(x.shape, dtype), np.empty(x.shape, np.float32)
    assert call(row, [x, scale, zero], [out], tile=lone(f"quantize_{name}_f32"))["status"] == 0
    np.testing.assert_array_equal(out, quantised(x, scale, zero.astype(np.float64), dtype))
    assert call(row, [out, zero, scale], [back], tile=lone("dequantize_i32"))["status"] == 0
    np.testing.assert_array_equal(back, (out.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale)


def chain(result: str) -> Any:
    """sigmoid of a dequantised byte, quantised."""
    steps = [("x", "dequantize_i32", "i0", "k0", "k1"), ("y", "sigmoid_f32", "x"),
             ("q", f"quantize_{result}_f32", "y", "k2", "k0")]  # fmt: skip
    return program([I32], steps, ["q"], [(3, I32), (0.05, F32), (1 / 256, F32)])


@by_tier
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("result", ["u8", "i8"])
def test_a_function_of_a_byte_is_a_table(row: dict, dtype: Any, result: str) -> None:
    every = np.arange(256).astype(np.uint8).view(dtype)
    for count in (256, 1000, 70001):
        x = np.random.default_rng(5).choice(every, count)
        whole = Guarded((count,), STORED[result])
        before = whole.bytes.copy()
        done = call(row, [x], [whole.array], tile=chain(result), parts=3)
        assert (done["status"], done["variant"]) == (0, "table")
        assert whole.intact(before)
        strided = np.empty((count, 2), STORED[result])[:, 0]
        assert call(row, [x], [strided], tile=chain(result))["variant"] != "table"
        np.testing.assert_array_equal(whole.array, strided)


@by_tier
def test_tables_in_place_and_of_any_program(row: dict) -> None:
    x = np.random.default_rng(6).integers(0, 256, 5000).astype(np.uint8)
    want = np.minimum(x.astype(np.int32) * 3, 77).astype(np.uint8)
    tile = program([COMPUTE[x.dtype]], [("t", "mul_i32", "i0", "k0"), ("u", "min_i32", "t", "k1")], ["u"],
                   [(3, I32), (77, I32)])  # fmt: skip
    assert call(row, [x], [x], tile=tile)["variant"] == "table"
    np.testing.assert_array_equal(x, want)


def pair_program(combine: str, scales: tuple[float, float, float], zeros: tuple[int, int, int], result: str,
                 limit: str, flipped: bool) -> Any:  # fmt: skip
    reals = ("y", "x") if flipped else ("x", "y")
    steps = [("x", "dequantize_i32", "i0", "k0", "k3"), ("y", "dequantize_i32", "i1", "k1", "k4"),
             ("s", combine, *reals)]  # fmt: skip
    if limit == "relu":
        steps.append(("s", "relu_f32", "s"))
    if limit == "clip":
        steps.append(("s", "clip_f32", "s", "k6", "k7"))
    steps.append(("q", f"quantize_{result}_f32", "s", "k5", "k2"))
    numbers = [(z, I32) for z in zeros] + [(s, F32) for s in scales] + [(-0.61, F32), (1.37, F32)]
    return program([I32, I32], steps, ["q"], numbers)


@by_tier
@pytest.mark.parametrize("combine", ["add_f32", "sub_f32", "mul_f32"])
@pytest.mark.parametrize("scales", [(0.02, 0.031, 0.04), (0.5, 0.25, 1.0), (0.007, 0.3, 0.0061), (3.0, 2e-3, 5e-5)])
@pytest.mark.parametrize("types", [("u8", "u8", "u8"), ("i8", "i8", "i8"), ("u8", "i8", "u8"), ("i8", "u8", "i8")])
@pytest.mark.parametrize("limit", ["", "relu", "clip"])
def test_two_bytes_make_one_as_the_program_does(row: dict, combine: str, scales: Any, types: Any, limit: str) -> None:
    """Every pair of bytes, ties included, in registers and (for a result with gaps) by tile functions."""
    a, b = (np.arange(256).astype(np.uint8).view(STORED[t]) for t in types[:2])
    left, right = (np.ascontiguousarray(g).reshape(-1) for g in np.meshgrid(a, b, indexing="ij"))
    left, right = left[:-5], right[:-5]  # the last run is not whole
    for zeros, flipped in (((3, 5, 7), False), ((120, -100 if types[1] == "i8" else 9, 100), True)):
        tile = pair_program(combine, scales, zeros, types[2], limit, flipped)
        whole = Guarded(left.shape, STORED[types[2]])
        before = whole.bytes.copy()
        assert call(row, [left, right], [whole.array], tile=tile, parts=3)["status"] == 0
        assert whole.intact(before)
        strided = np.empty((left.size, 2), STORED[types[2]])[:, 0]
        assert call(row, [left, right], [strided], tile=tile)["variant"] != "bytes"
        np.testing.assert_array_equal(whole.array, strided)


@by_tier
@pytest.mark.parametrize("combine", ["add_f32", "mul_f32"])
@pytest.mark.parametrize("scales", [(0.02, 0.04), (0.5, 1.0), (0.3, 0.0181), (1e-6, 1.0), (1e-17, 1e17), (1e17, 1e17)])
@pytest.mark.parametrize("stored, limit", [("u8", ""), ("i8", "relu"), ("u8", "clip")])
def test_a_byte_and_a_float_make_one_as_the_program_does(
    row: dict, combine: str, scales: tuple[float, float], stored: str, limit: str
) -> None:
    """Floats next to those that make ties, and those that are none; either operand first."""
    rng = np.random.default_rng(12)
    x = rng.integers(0, 256, 30005).astype(np.uint8).view(STORED[stored])
    real = ((x.astype(np.int32) - 3).astype(np.float32) * np.float32(scales[0])).astype(np.float64)
    tie = near_ties(np.float32(scales[1]), x.size, rng).astype(np.float64)
    with np.errstate(all="ignore"):
        y = (tie - real if combine == "add_f32" else tie / real).astype(np.float32)
    special = [np.nan, np.inf, -np.inf, 0, -0.0, 3e38, -3e38, 1e-44, 1e10, 1e20, 1e-20]
    y[rng.integers(0, y.size, 500)] = rng.choice(np.array(special, np.float32), 500)
    for flipped in (False, True):
        at, other = ("i1", "i0") if flipped else ("i0", "i1")
        steps = [("x", "dequantize_i32", at, "k0", "k1"), ("s", combine, *((other, "x") if flipped else ("x", other)))]
        steps += [("s", "relu_f32", "s")] * (limit == "relu") + [("s", "clip_f32", "s", "k4", "k5")] * (limit == "clip")
        steps.append(("q", f"quantize_{stored}_f32", "s", "k2", "k3"))
        numbers = [(3, I32), (scales[0], F32), (scales[1], F32), (7, I32), (-0.61, F32), (1.37, F32)]
        tile = program([F32, I32] if flipped else [I32, F32], steps, ["q"], numbers)
        inputs = [y, x] if flipped else [x, y]
        whole, strided = np.empty(x.shape, STORED[stored]), np.empty((x.size, 2), STORED[stored])[:, 0]
        done = call(row, inputs, [whole], tile=tile, parts=3)
        assert done["status"] == 0
        assert limit or done["variant"] == "bytes"
        assert call(row, inputs, [strided], tile=tile)["variant"] != "bytes"
        np.testing.assert_array_equal(whole, strided)


@by_tier
def test_two_bytes_in_place_of_either(row: dict) -> None:
    rng = np.random.default_rng(8)
    tile = pair_program("add_f32", (0.02, 0.031, 0.04), (3, 5, 7), "u8", "relu", False)
    left, right = rng.integers(0, 256, (2, 5003)).astype(np.uint8)
    apart = np.empty_like(left)
    assert call(row, [left, right], [apart], tile=tile)["variant"] == "bytes"
    for over in (0, 1):
        given = [left.copy(), right.copy()]
        assert call(row, given, [given[over]], tile=tile)["status"] == 0
        np.testing.assert_array_equal(given[over], apart)


@by_tier
@pytest.mark.parametrize("cols", [8, 24, 64, 100, 20001])
def test_rows_of_bytes_with_gaps_between(row: dict, cols: int) -> None:
    """As parts of a Concat of channels are: of every operand the rows lie otherwise, and nothing between is touched."""
    rng = np.random.default_rng(9)
    shape = (2, 3, 7, cols) if cols < 1000 else (3, cols)

    def part(gap: int, order: tuple[int, ...] | None = None) -> tuple[Array, Array]:
        dims = shape if order is None else tuple(shape[i] for i in order)
        whole = rng.integers(0, 256, (*dims[:-1], cols + gap)).astype(np.uint8)
        inner = whole[..., gap // 2 : gap // 2 + cols]
        return whole, inner if order is None else inner.transpose(np.argsort(order))

    turned = (1, 0, 2, 3) if len(shape) == 4 else (0, 1)
    (_, x), (_, y), (whole, out) = part(7), part(0, turned), part(13)
    before = whole.copy()
    for tile, inputs, variant in (
        (chain("u8"), [x], "table"),
        (pair_program("add_f32", (0.02, 0.031, 0.04), (3, 5, 7), "u8", "relu", False), [x, y], "bytes"),
    ):
        done = call(row, inputs, [out], tile=tile, parts=3)
        assert (done["status"], done["variant"]) == (0, variant)
        dense = np.empty(shape, np.uint8)
        assert call(row, [np.ascontiguousarray(i) for i in inputs], [dense], tile=tile)["variant"] == variant
        np.testing.assert_array_equal(out, dense)
        untouched = np.ones(whole.shape, bool)
        untouched[..., 6 : 6 + cols] = False
        np.testing.assert_array_equal(whole[untouched], before[untouched])
