"""Transcendental tile functions against float64 (f32) and long double or decimal (f64), in units of the last place."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from arenaut.ir.ops import find_record
from tests.support.rowcall import call, rows
from tests.support.tileprog import F32, FUNCTIONS, lone

ROWS = rows("tile")
by_tier = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"tier{r['tier']}")
Array = np.ndarray
erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def softplus(x: Array) -> Array:
    return np.where(x < 0, 0, x) + np.log1p(np.exp(-np.abs(x)))


def gelu(x: Array) -> Array:
    return 0.5 * x * erfc(-x / math.sqrt(2))


def gelu_tanh(x: Array) -> Array:
    return x * sigmoid(2 * np.sqrt(x.dtype.type(2) / np.pi) * (x + x.dtype.type(0.044715) * x**3))


def mish(x: Array) -> Array:
    w = np.exp(np.minimum(x, 50))
    n = w * (w + 2)
    return np.where(x > 50, x, x * (n / (n + 2)))


ORACLE: dict[str, Callable[..., Array]] = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "erf": erf, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "sigmoid": sigmoid, "softplus": softplus, "gelu": gelu,
    "gelu_tanh": gelu_tanh, "silu": lambda x: x * sigmoid(x), "mish": mish,
}  # fmt: skip
# The bounds that cpp/simd/math.h and math_wide.h state.
ULP = {
    "exp": 1, "log": 1, "tanh": 2.5, "erf": 1.5, "sigmoid": 2.5, "softplus": 2, "gelu": 8, "silu": 3.5, "mish": 6,
    "sin": 0.51, "cos": 0.51, "tan": 0.51, "asin": 0.51, "acos": 0.51, "atan": 0.51, "sinh": 0.51, "cosh": 0.51,
    "asinh": 0.51, "acosh": 0.51, "atanh": 0.51,
}  # fmt: skip
TINIEST = 2.0**-149


def unit(want: Array, dtype: Any) -> Array:
    """One unit in the last place of `dtype` at want."""
    with np.errstate(all="ignore"):
        return np.spacing(np.minimum(np.abs(want), 2.0 ** (np.finfo(dtype).maxexp - 1)).astype(dtype)).astype(
            want.dtype
        )


def allowed(name: str, x: Array, want: Array) -> Array:
    """The largest |error| that the header allows at f32 arguments x."""
    if name == "gelu_tanh":
        return (4 + 3 * np.abs(1.6 * (x + 0.0448 * x**3))) * unit(want, np.float32) + np.abs(x) * TINIEST
    if name in ("silu", "mish"):  # a factor that is subnormal has lost bits
        return ULP[name] * unit(want, np.float32) + np.abs(x) * TINIEST
    return ULP[name] * unit(want, np.float32)


def every_exponent() -> Array:
    """f32 numbers evenly over the bit patterns, infinities and NaN among them, and densely over [-20, 20]."""
    patterns = np.arange(0, 1 << 32, 9973, dtype=np.uint64).astype(np.uint32).view(np.float32)
    patterns = patterns[~np.isnan(patterns)]  # signalling ones would warn; a quiet one follows
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 2, 3.4e38, -3.4e38, 1e-45, -1e-45,
                        1.17549435e-38, 88.7, 88.8, -87.4, -103.9, -104.1], np.float32)  # fmt: skip
    near_multiples = (np.arange(1, 20000, 7) * (np.pi / 2)).astype(np.float32)
    return np.concatenate([patterns, special, np.linspace(-20, 20, 100_001, dtype=np.float32), near_multiples])


def run(row: Any, function: str, *inputs: Array, out: Any = np.float32) -> Array:
    result = np.empty(inputs[0].shape, out)
    assert call(row, list(inputs), [result], tile=lone(function))["status"] == 0
    return result


def check(got: Array, want: Array, bound: Array, x: Array) -> None:
    """NaN where NaN; infinite where the result in f32 is, or within one rounding of it; the rest within bound."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    most = float(np.finfo(got.dtype).max)
    with np.errstate(invalid="ignore", over="ignore"):
        clipped = np.clip(got.astype(want.dtype), -most, most)
        error = np.abs(clipped - np.clip(want, -most, most))
        bad = ~(error <= bound) & ~np.isnan(want)
        bad |= np.isinf(got) & (np.abs(want) < most * (1 - 1e-6))
        bad |= np.isinf(want) & ~np.isinf(got)
    worst = np.argmax(np.where(bad, 1.0, 0.0))
    assert not bad.any(), f"{bad.sum()} wrong, first at {x[worst]!r}: {got[worst]!r}, not {want[worst]!r}"


@pytest.mark.parametrize("name", ULP)
def test_records_promise_no_more_than_their_function(name: str) -> None:
    """The record of an op that is one tile function allows at least what the function's header states."""
    record = find_record("", {"silu": "Swish"}.get(name, name.capitalize()))
    assert record is not None and record.tolerance.kind == "ulp" and record.tolerance.amount >= ULP[name]


@by_tier
@pytest.mark.parametrize("name", [*ULP, "gelu_tanh"])
def test_f32_within_the_stated_ulps(row: dict, name: str) -> None:
    x = every_exponent()
    with np.errstate(all="ignore"):
        want = ORACLE[name](x.astype(np.float64))
        bound = allowed(name, x.astype(np.float64), want)
    got = run(row, f"{name}_f32", x)
    check(got, want, bound, x)
    odd = name in ("tanh", "erf", "sin", "tan", "asin", "atan", "sinh", "asinh", "atanh", "gelu", "silu")
    if odd:
        np.testing.assert_array_equal(np.signbit(run(row, f"{name}_f32", np.array([0, -0.0], np.float32))), [0, 1])


@by_tier
def test_f32_pow(row: dict) -> None:
    rng = np.random.default_rng(3)
    special = np.array([0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 2.5, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38,
                        16777215, 16777216, -16777217, 33554433, 1e-3, 7, -7], np.float32)  # fmt: skip
    x, y = (g.ravel() for g in np.meshgrid(special, special))
    positive = np.exp(rng.uniform(-80, 80, 200_000)).astype(np.float32)
    exponent = (rng.uniform(-100, 100, 200_000) / np.log(positive)).astype(np.float32)
    signed, whole = rng.uniform(-9, 9, 20_000).astype(np.float32), rng.integers(-30, 30, 20_000).astype(np.float32)
    x, y = np.concatenate([x, positive, signed]), np.concatenate([y, exponent, whole])
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64))
    got = run(row, "pow_f32", x, y)
    check(got, want, 0.51 * unit(want, np.float32), x)
    zero = np.abs(want) < TINIEST / 2
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


EXPM1 = {
    "elu": lambda a, b, c: np.where(a < 0, b * np.expm1(np.minimum(a, 0)), a),
    "celu": lambda a, b, c: np.where(a < 0, b * np.expm1(np.minimum(a, 0) / b), a),
    "selu": lambda a, b, c: c * np.where(a < 0, b * np.expm1(np.minimum(a, 0)), a),
}


@by_tier
@pytest.mark.parametrize("name", EXPM1)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential_linear_units(row: dict, name: str, dtype: Any) -> None:
    x = every_exponent().astype(dtype)
    rng = np.random.default_rng(0)
    b, c = rng.uniform(0.2, 3, (2, x.size)).astype(dtype)
    wide = np.float64 if dtype is np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        want = EXPM1[name](x.astype(wide), b.astype(wide), c.astype(wide))
    suffix = "f32" if dtype is np.float32 else "f64"
    inputs = [x, b, c] if name == "selu" else [x, b]
    check(run(row, f"{name}_{suffix}", *inputs, out=dtype), want, 4 * unit(want, dtype), x)


@by_tier
@pytest.mark.parametrize("name", [n for n in ORACLE if n not in ("erf", "gelu")])
def test_f64_within_a_few_ulps_of_long_double(row: dict, name: str) -> None:
    rng = np.random.default_rng(1)
    special = [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 700, 710, -740, -750, 1e-310, 1e300, -1e300]
    x = np.concatenate([rng.standard_normal(3000) * 3, rng.uniform(-1, 1, 1000), np.exp(rng.uniform(-300, 300, 500)),
                        special])  # fmt: skip
    with np.errstate(all="ignore"):
        want = ORACLE[name](x.astype(np.longdouble))
        angle = np.abs(x) if name == "gelu_tanh" else 0  # the exponent of its tail carries a rounding error
        bound = (4 + angle**3) * unit(want, np.float64) + np.abs(np.where(np.isfinite(x), x, 0)) * 2.0**-1074
    check(run(row, f"{name}_f64", x, out=np.float64), want, bound, x)


def decimal_erf(x: float) -> decimal.Decimal:
    """erf by its Taylor series, with digits to spare for |x| <= 7."""
    with decimal.localcontext() as context:
        context.prec = 90
        pi = decimal.Decimal(
            "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482"
        )
        power = term = total = decimal.Decimal(x)
        n = 0
        while abs(term) > decimal.Decimal(10) ** -75:
            n += 1
            power = -power * decimal.Decimal(x) ** 2 / n
            term = power / (2 * n + 1)
            total += term
        return 2 * total / pi.sqrt()


@by_tier
def test_f64_erf_and_gelu_against_decimals(row: dict) -> None:
    x = np.random.default_rng(2).uniform(-5, 5, 60)
    want = np.array([float(decimal_erf(v)) for v in x])
    np.testing.assert_array_max_ulp(run(row, "erf_f64", x, out=np.float64), want, 2)
    root = decimal.Decimal(2).sqrt()
    half = decimal.Decimal("0.5")
    tail = np.array([float(half * decimal.Decimal(v) * (1 + decimal_erf(float(decimal.Decimal(v) / root)))) for v in x])
    # The argument v / sqrt(2) is rounded here and in the kernel: exp(-v^2 / 2) turns that into v^2 / 2 units.
    np.testing.assert_allclose(run(row, "gelu_f64", x, out=np.float64), tail, rtol=4e-15)


@by_tier
def test_edges_of_the_f32_range(row: dict) -> None:
    def at(function: str, *values: float) -> list[float]:
        return run(row, function, np.array(values, np.float32)).tolist()

    inf, nan = math.inf, math.nan
    assert at("exp_f32", -inf, -200, 0, 89, inf) == [0, 0, 1, inf, inf]
    assert at("exp_f32", -100)[0] == np.float32(np.exp(-100.0)) != 0  # subnormal
    assert at("log_f32", 0, -0.0, 1, inf) == [-inf, -inf, 0, inf]
    assert at("sigmoid_f32", -inf, 0, inf) == [0, 0.5, 1]
    assert at("tanh_f32", -inf, inf, 100) == [-1, 1, 1]
    assert at("erf_f32", -inf, inf, 100) == [-1, 1, 1]
    assert at("softplus_f32", -inf, inf) == [0, inf]
    assert at("gelu_f32", inf, 100, -100) == [inf, 100, 0]
    assert at("silu_f32", inf, 200, -200) == [inf, 200, 0]
    assert at("mish_f32", inf, 200, -200) == [inf, 200, 0]
    assert at("gelu_tanh_f32", inf, 1e30, -1e30) == [inf, np.float32(1e30), 0]
    for function in ("log_f32", "acosh_f32", "asin_f32", "acos_f32", "atanh_f32"):
        assert math.isnan(at(function, -2)[0])
    for function in ("gelu_f32", "silu_f32", "mish_f32", "gelu_tanh_f32"):  # -Inf times zero, as the formulas say
        assert math.isnan(at(function, -inf)[0])
    for function, (_, result, arguments) in FUNCTIONS.items():
        if arguments == [F32] and result == F32:
            assert math.isnan(at(function, nan)[0]), function
