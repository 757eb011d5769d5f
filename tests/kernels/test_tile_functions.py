"""Tile functions that are exact, against numpy: arithmetic, comparison, logic, bits, selection, conversion."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.support.rowcall import call, rows
from tests.support.tileprog import FUNCTIONS, NUMPY, lone

ROWS = rows("tile")
by_tier = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"tier{r['tier']}")
Array = np.ndarray
FLOATS, SIGNED, INTEGERS = ["f32", "f64"], ["i32", "i64"], ["i32", "i64", "u64"]
NARROW, SHORT = ["u8", "i8", "u16", "i16"], ["f16"]
DIVISION_BY_ZERO = 4
DTYPE = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u64": np.uint64, "bool": np.bool_,
         "u8": np.uint8, "i8": np.int8, "u16": np.uint16, "i16": np.int16, "f16": np.float16}  # fmt: skip


def values(kind: str, seed: int) -> Array:
    """Special values and random ones; any two lists of one type have the same length."""
    rng = np.random.default_rng(seed)
    dtype = DTYPE[kind]
    if kind == "bool":
        return rng.integers(0, 2, 1000).astype(np.bool_)
    if kind in FLOATS + SHORT:
        special = [0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-40, -1e-310, 2**23, 2**52,
                   -(2**23) - 1, 8388607.5, 4503599627370495.5, 1e30]  # fmt: skip
        random = np.concatenate([rng.standard_normal(500) * 3, np.round(rng.standard_normal(480) * 8) / 2])
        with np.errstate(over="ignore"):
            return rng.permutation(np.concatenate([special, random]).astype(dtype))
    info = np.iinfo(dtype)
    special = np.array([info.min, info.max, 0, 1, 2, 31, 32, 63, 64, 65], dtype)
    small = rng.integers(-9 if info.min else 0, 10, 700).astype(dtype)
    wide = rng.integers(info.min, info.max, 290, dtype=dtype)
    return rng.permutation(np.concatenate([special, small, wide]))


def truncated(a: Array, b: Array) -> Array:
    with np.errstate(over="ignore"):
        quotient = a // b
        return quotient + ((a % b != 0) & ((a < 0) != (b < 0))).astype(a.dtype)


def shift_left(a: Array, b: Array) -> Array:
    """Counts of the width or more, and negative ones, shift everything out."""
    inside = (b >= 0) & (b < a.itemsize * 8)
    return np.where(inside, a << np.where(inside, b, 0).astype(a.dtype), 0).astype(a.dtype)


def shift_right(a: Array, b: Array) -> Array:
    """As shift_left; signed integers keep their sign."""
    inside = (b >= 0) & (b < a.itemsize * 8)
    gone = np.where(a < 0, -1, 0).astype(a.dtype)
    return np.where(inside, a >> np.where(inside, b, 0).astype(a.dtype), gone)


def half_even(a: Array) -> Array:
    return np.rint(a)


def share(a: Array, alpha: Array, beta: Array) -> Array:
    wide = a.astype(np.longdouble) * alpha + beta
    return np.clip(wide, 0, 1)


def hardswish(a: Array) -> Array:
    return a * np.clip(a / a.dtype.type(6) + a.dtype.type(0.5), 0, 1)


SPECS: list[tuple[str, list[str], Callable[..., Array]]] = [
    ("add", FLOATS + INTEGERS + NARROW, np.add),
    ("sub", FLOATS + INTEGERS + NARROW, np.subtract),
    ("mul", FLOATS + INTEGERS + NARROW, np.multiply),
    ("div", FLOATS, np.divide),
    ("div", INTEGERS, truncated),
    ("mod", INTEGERS, np.mod),
    ("fmod", FLOATS, np.fmod),
    ("fmod", INTEGERS, np.fmod),
    ("min", FLOATS + INTEGERS + NARROW, np.minimum),
    ("max", FLOATS + INTEGERS + NARROW, np.maximum),
    ("neg", FLOATS + SIGNED + NARROW + SHORT, np.negative),
    ("abs", FLOATS + INTEGERS + NARROW + SHORT, np.abs),
    ("sign", FLOATS + INTEGERS + NARROW + SHORT, np.sign),
    ("relu", FLOATS + SIGNED + NARROW, lambda a: np.maximum(a, 0)),
    ("prelu", FLOATS + INTEGERS + NARROW, lambda a, b: np.where(a < 0, a * b, a)),
    ("leaky_relu", FLOATS, lambda a, b: np.where(a < 0, a * b, a)),
    ("clip", INTEGERS + NARROW, lambda a, b, c: np.minimum(np.maximum(a, b), c)),
    ("floor", FLOATS, np.floor),
    ("ceil", FLOATS, np.ceil),
    ("round", FLOATS, half_even),
    ("trunc", FLOATS, np.trunc),
    ("sqrt", FLOATS, np.sqrt),
    ("rsqrt", FLOATS, lambda a: a.dtype.type(1) / np.sqrt(a)),
    ("reciprocal", FLOATS, lambda a: a.dtype.type(1) / a),
    ("softsign", FLOATS, lambda a: a / (1 + np.abs(a))),
    ("thresholded_relu", FLOATS, lambda a, b: np.where(a > b, a, 0)),
    ("shrink", FLOATS, lambda a, b, c: np.where(a < -b, a + c, np.where(a > b, a - c, 0))),
    ("bit_and", INTEGERS + NARROW, np.bitwise_and),
    ("bit_or", INTEGERS + NARROW, np.bitwise_or),
    ("bit_xor", INTEGERS + NARROW, np.bitwise_xor),
    ("bit_not", INTEGERS + NARROW, np.invert),
    ("shl", INTEGERS, shift_left),
    ("shr", INTEGERS, shift_right),
    ("eq", [*FLOATS, *INTEGERS, *NARROW, *SHORT, "bool"], np.equal),
    ("lt", FLOATS + INTEGERS + NARROW + SHORT, np.less),
    ("le", FLOATS + INTEGERS + NARROW + SHORT, np.less_equal),
    ("isnan", FLOATS + SHORT, np.isnan),
    ("isinf", FLOATS + SHORT, np.isinf),
    ("and", ["bool"], np.logical_and),
    ("or", ["bool"], np.logical_or),
    ("xor", ["bool"], np.logical_xor),
    ("not", ["bool"], np.logical_not),
    ("where", [*FLOATS, *INTEGERS, *NARROW, *SHORT, "bool"], np.where),
]
CASES = [(f"{op}_{kind}", oracle) for op, kinds, oracle in SPECS for kind in kinds]
# Checked elsewhere: here below or in test_math.py.
ROUNDED = ["mul_add", "hardsigmoid", "hardswish"]


def run(row: Any, function: str, *inputs: Array) -> Array:
    out = np.empty(inputs[0].shape, NUMPY[FUNCTIONS[function][1]])
    assert call(row, list(inputs), [out], tile=lone(function), parts=2)["status"] == 0
    return out


def same(got: Array, want: Array) -> None:
    np.testing.assert_array_equal(got, want.astype(got.dtype, copy=False))


@by_tier
@pytest.mark.parametrize(("function", "oracle"), CASES, ids=[name for name, _ in CASES])
def test_equals_numpy(row: dict, function: str, oracle: Callable[..., Array]) -> None:
    types = [next(k for k, t in DTYPE.items() if t is NUMPY[a]) for a in FUNCTIONS[function][2]]
    inputs = [values(kind, seed) for seed, kind in enumerate(types)]
    if function.split("_")[0] in ("div", "mod", "fmod") and types[0] in INTEGERS:
        inputs[1][inputs[1] == 0] = 1
    with np.errstate(all="ignore"):
        want = oracle(*inputs)
    same(run(row, function, *inputs), want)


@by_tier
@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("stem", ["div", "mod", "fmod"])
def test_a_divisor_of_zero_ends_the_program(row: dict, stem: str, kind: str) -> None:
    for at in (0, 511, 999):
        divisors = np.ones(1000, DTYPE[kind])
        divisors[at] = 0
        out = np.empty(1000, DTYPE[kind])
        said = call(row, [values(kind, 0), divisors], [out], tile=lone(f"{stem}_{kind}"), parts=2)
        assert said["status"] == DIVISION_BY_ZERO


@by_tier
@pytest.mark.parametrize("kind", FLOATS)
def test_rounding_keeps_the_sign_of_zero(row: dict, kind: str) -> None:
    a = values(kind, 0)
    for name, oracle in [("floor", np.floor), ("ceil", np.ceil), ("round", np.rint), ("trunc", np.trunc)]:
        number = ~np.isnan(a)
        got = run(row, f"{name}_{kind}", a)[number]
        np.testing.assert_array_equal(np.signbit(got), np.signbit(oracle(a))[number])


@by_tier
@pytest.mark.parametrize("kind", FLOATS)
def test_clip_propagates_nan_and_prefers_the_upper_bound(row: dict, kind: str) -> None:
    a = values(kind, 0)
    low, high = np.full_like(a, -1.5), np.full_like(a, 2)
    same(run(row, f"clip_{kind}", a, low, high), np.clip(a, -1.5, 2))
    got = run(row, f"clip_{kind}", a, high, low)
    np.testing.assert_array_equal(got, np.where(np.isnan(a), np.nan, -1.5))


@by_tier
@pytest.mark.parametrize("kind", FLOATS)
def test_products_and_sums_round_once_or_twice(row: dict, kind: str) -> None:
    rng = np.random.default_rng(5)
    a, b, c = (rng.standard_normal(999).astype(DTYPE[kind]) for _ in range(3))
    eps = np.finfo(DTYPE[kind]).eps
    wide = a.astype(np.longdouble) * b + c
    assert np.all(np.abs(run(row, f"mul_add_{kind}", a, b, c) - wide) <= eps * (np.abs(a * b) + np.abs(wide)))
    low = np.abs(run(row, f"hardsigmoid_{kind}", a, b, c) - share(a, b, c))
    assert np.all(low <= eps * (np.abs(a * b) + np.abs(c)))
    assert np.all(np.abs(run(row, f"hardswish_{kind}", a * 4) - hardswish(a * 4)) <= 4 * eps * np.abs(a * 4))


@by_tier
@pytest.mark.parametrize("kind", SIGNED)
def test_integer_powers_wrap(row: dict, kind: str) -> None:
    bits = 8 * np.dtype(DTYPE[kind]).itemsize
    base = np.repeat(np.arange(-9, 10, dtype=DTYPE[kind]), 80)
    exponent = np.tile(np.arange(-10, 70, dtype=DTYPE[kind]), 19)

    def power(a: int, e: int) -> int:
        if e < 0:
            return 0 if abs(a) != 1 else a ** (-e)
        return ((a**e + (1 << (bits - 1))) % (1 << bits)) - (1 << (bits - 1))

    want = np.array([power(int(a), int(e)) for a, e in zip(base, exponent, strict=True)], DTYPE[kind])
    same(run(row, f"pow_{kind}", base, exponent), want)


@by_tier
def test_the_smallest_integer_over_minus_one(row: dict) -> None:
    for kind in SIGNED:
        least = np.array([np.iinfo(DTYPE[kind]).min], DTYPE[kind])
        minus = np.array([-1], DTYPE[kind])
        assert run(row, f"div_{kind}", least, minus) == least
        assert run(row, f"mod_{kind}", least, minus) == 0 == run(row, f"fmod_{kind}", least, minus)


WIDE = [k for k in DTYPE if k not in NARROW + SHORT]
CASTS = [
    *((f, t) for f in WIDE for t in WIDE if f != t),
    *((k, "bool") for k in NARROW),
    *(("bool", k) for k in NARROW),
]


@by_tier
@pytest.mark.parametrize(("source", "target"), CASTS)
def test_casts(row: dict, source: str, target: str) -> None:
    a = values(source, 0)
    if source in FLOATS and target in INTEGERS:  # what does not fit is left open by ONNX
        info = np.iinfo(DTYPE[target])
        a = a[np.isfinite(a) & (a > max(float(info.min), -1e18)) & (a < float(info.max))]
        a = a[a > -1] if target == "u64" else np.concatenate([a, np.array([-1.9, 1.9, -0.9], a.dtype)])
    if source in FLOATS and target == "u64":
        a = np.concatenate([a, np.array([2.0**63, 2.0**63 + 2**41, 1.8e19, 2.0**62], a.dtype)])
    with np.errstate(all="ignore"):
        want = a.astype(DTYPE[target])
    got = run(row, f"cast_{source}_{target}", a)
    np.testing.assert_array_equal(got, want)


@by_tier
@pytest.mark.parametrize("narrow", ["float16", "bfloat16", "float8_e5m2", "float8_e4m3fn"])
def test_rounding_to_odd_makes_two_roundings_one(row: dict, narrow: str) -> None:
    import ml_dtypes

    dtype = np.dtype(getattr(ml_dtypes, narrow, None) or np.float16)
    rng = np.random.default_rng(0)
    size = dtype.itemsize
    with np.errstate(invalid="ignore"):  # signalling NaN
        code = np.arange(1 << (8 * size), dtype=f"u{size}").view(dtype).astype(np.float64)
    code = np.unique(code[np.isfinite(code)])
    middle = (code[1:] + code[:-1]) / 2
    x = np.concatenate([middle * (1 + s * 2.0**-k) for s in (-1, 0, 1) for k in (25, 30, 40, 51)])
    x = np.concatenate([x, rng.standard_normal(2000), [np.inf, -np.inf, np.nan, 1e300, 1e-300, -1e-300, 0, -0.0]])
    nearest = np.empty(x.shape, dtype)
    assert call(row, [x], [nearest], tile=lone("cast_odd_f64"))["status"] == 0
    below = np.searchsorted(code, x, side="right") - 1
    inside = np.isfinite(x) & (x > code[0]) & (x < code[-1])
    low, high = code[np.clip(below, 0, None)][inside], code[np.clip(below + 1, None, code.size - 1)][inside]
    v, got = x[inside], nearest.astype(np.float64)[inside]
    closer = np.where(v - low < high - v, low, high)
    tie = v - low == high - v
    np.testing.assert_array_equal(got[~tie], closer[~tie])
    assert np.all((got[tie] == low[tie]) | (got[tie] == high[tie]))
    special = x[~np.isfinite(x)]
    np.testing.assert_array_equal(nearest[~np.isfinite(x)].astype(float), special.astype(dtype).astype(float))


def hashed(raw: bytes, seed: int) -> int:
    """MurmurHash3_x86_32, as its author writes it, of whole words."""

    def rotated(x: int, by: int) -> int:
        return (x << by | x >> 32 - by) & 0xFFFFFFFF

    h = seed
    for at in range(0, len(raw), 4):
        k = rotated(int.from_bytes(raw[at : at + 4], "little") * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF
        h = (rotated(h ^ k, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    h ^= len(raw)
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


@by_tier
@pytest.mark.parametrize("kind", FLOATS + INTEGERS)
def test_murmur(row: dict, kind: str) -> None:
    x, out = values(kind, 1)[:101], np.zeros(101, np.int64)
    for seed in (0, 42, 0xFFFFFFFF):
        assert call(row, [x, np.array([seed])], [out], tile=lone(f"murmur_{kind}"))["status"] == 0
        np.testing.assert_array_equal(out, [hashed(v.tobytes(), seed) for v in x])


def test_every_function_is_tested() -> None:
    from tests.kernels import test_math, test_quantize_tile

    transcendental = {f"{n}_{k}" for n in [*test_math.ORACLE, *test_math.EXPM1, "pow"] for k in FLOATS}
    here = {name for name, _ in CASES} | {f"{n}_{k}" for n in [*ROUNDED, "clip"] for k in FLOATS}
    here |= {f"cast_{f}_{t}" for f, t in CASTS} | {"pow_i32", "pow_i64", "cast_odd_f64"}
    here |= {f"murmur_{k}" for k in FLOATS + INTEGERS}
    here |= {f"quantize_{t}_f32" for t in test_quantize_tile.STORED} | {"dequantize_i32"}
    assert set(FUNCTIONS) == transcendental | here
    assert operator.and_(transcendental, here) == set()
