"""Arithmetic and elementary functions, elementwise with numpy broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import Choice, Coordinates, Elements, UnknownElementError, broadcast
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import always_signless, elementwise, signless_of_signless
from arenaut.ir.ops.support.samples import FLOATS, INTEGERS, NUMBERS, SIGNED
from arenaut.ir.record import EXACT, OpRecord, Reg, Sample, SignRule, TileBuilder, Tolerance, the_only_input

FEW_ULP = Tolerance("ulp", 4)


# -- arithmetic on dims, as ONNX does it on int64 ------------------------------------------------------------------


def _divide_dims(a: Dim, b: Dim) -> Dim | None:
    """Toward zero."""
    if isinstance(a, int) and isinstance(b, int):
        return (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) if b else None
    exact = dims.exact_div(a, b)
    if exact is not None:
        return exact
    if not dims.is_nonnegative(b):
        return None
    if dims.is_nonnegative(a):
        return dims.floordiv(a, b)
    return dims.select(dims.less(a, 0), -dims.floordiv(-a, b), dims.floordiv(a, b))


def _mod_dims(a: Dim, b: Dim, fmod: int) -> Dim | None:
    if isinstance(a, int) and isinstance(b, int):
        return int(math.fmod(a, b) if fmod else a % b) if b else None
    if fmod and not (dims.is_nonnegative(a) and dims.is_nonnegative(b)):
        return None
    return dims.mod(a, b)


def _power_dims(a: Dim, b: Dim) -> Dim | None:
    if not isinstance(b, int) or not 0 <= b <= 8:
        return None
    return dims.product([a] * b)


def _sign_dim(a: Dim) -> Dim:
    return dims.less(0, a) - dims.less(a, 0)


# -- evaluators that numpy has no single function for ----------------------------------------------------------------


def _divide(a: Array, b: Array) -> Array:
    """Integers toward zero, wrapping; floats as IEEE."""
    if a.dtype.kind not in "iu":
        return np.asarray(np.divide(a, b))
    quotient, rest = np.asarray(np.floor_divide(a, b)), np.remainder(a, b)
    return np.asarray(quotient + ((rest != 0) & ((a < 0) != (b < 0))).astype(quotient.dtype))


def _power(a: Array, b: Array) -> Array:
    """In the base's type. A negative power of an integer is the reciprocal toward zero."""
    if a.dtype.kind not in "iu" or b.dtype.kind not in "iu":
        return np.asarray(np.power(a, b))
    positive = np.power(a.astype(np.int64), np.maximum(b.astype(np.int64), 0))
    unit = np.where(a == -1, np.where(b % 2 == 0, 1, -1), (a == 1).astype(np.int64))
    return np.where(b < 0, unit, positive)


def _modulo(a: Array, b: Array, fmod: int) -> Array:
    return np.asarray(np.fmod(a, b) if fmod else np.mod(a, b))


def _erf(x: Array) -> Array:
    """The error function in float64, elementwise."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(np.asarray(x, np.float64)), np.float64)


def _average(*operands: Array) -> Array:
    return np.asarray(reduce(np.add, operands) / len(operands))


def _larger(a: Array, b: Array) -> Array:
    """The second of two equals; NaN where either is."""
    return np.where((a > b) | (a != a), a, b)


def _smaller(a: Array, b: Array) -> Array:
    return np.where((a < b) | (a != a), a, b)


def _is_inf(x: Array, detect_negative: int, detect_positive: int) -> Array:
    found = np.zeros(x.shape, np.bool_)
    if detect_negative:
        found = found | np.isneginf(x)
    return found | np.isposinf(x) if detect_positive else found


# -- tile rules --------------------------------------------------------------------------------------------------


def _fold(stem: str) -> Callable[..., Reg]:
    """Any number of operands, left to right."""
    return lambda builder, *registers: reduce(lambda x, y: builder.op(stem, x, y), registers)


def _average_tile(builder: TileBuilder, *registers: Reg) -> Reg:
    total = _fold("add")(builder, *registers)
    return builder.op("div", total, builder.imm(len(registers), total.dtype))


def _power_tile(builder: TileBuilder, base: Reg, exponent: Reg) -> Reg:
    if base.dtype.is_integer and exponent.dtype.is_float:
        wide = builder.op("pow", builder.cast(base, DType.DOUBLE), builder.cast(exponent, DType.DOUBLE))
        return builder.cast(wide, base.dtype)
    return builder.op("pow", base, exponent if exponent.dtype == base.dtype else builder.cast(exponent, base.dtype))


def _modulo_tile(builder: TileBuilder, a: Reg, b: Reg, fmod: int) -> Reg:
    return builder.op("fmod" if fmod else "mod", a, b)


def _is_inf_tile(builder: TileBuilder, x: Reg, detect_negative: int, detect_positive: int) -> Reg:
    if detect_negative and detect_positive:
        return builder.op("isinf", x)
    infinity = np.inf if detect_positive else -np.inf
    found = builder.op("eq", x, builder.imm(infinity, x.dtype))
    return found if detect_positive or detect_negative else builder.op("and", found, builder.op("not", found))


# -- records -------------------------------------------------------------------------------------------------------


def _product_is_signless(node: Node, asks: Callable[[Value], bool]) -> bool:
    return node.operand(0) is node.operand(1) or signless_of_signless(node, asks)


def _power_is_signless(node: Node, asks: Callable[[Value], bool]) -> bool:
    exponent = node.operand(1).constant
    return exponent is not None and bool((exponent % 2 == 0).all())


def _floats(
    op: str, function: Any, stem: str, low: float, high: float, tolerance: Tolerance = FEW_ULP,
    signless: SignRule | None = None,
) -> OpRecord:  # fmt: skip
    """A function of one float operand, sampled between low and high."""
    return elementwise(
        op, function, tile=stem, signless=signless, tolerance=tolerance,
        samples=samples.elementwise(1, FLOATS, low, high),
    )  # fmt: skip


def _power_samples() -> Any:
    for dtype in FLOATS:
        for shapes in samples.SHAPE_PAIRS:
            yield Sample((samples.draw(shapes[0], dtype, 0.1, 4), samples.draw(shapes[1], dtype, -2, 3, seed=1)))
    for dtype in (DType.INT32, DType.INT64):
        yield Sample((samples.draw((5, 4), dtype), samples.draw((4,), dtype, 0, 5, seed=1)))
    yield Sample((samples.draw((5, 4), DType.FLOAT), samples.draw((4,), DType.INT64, -2, 3, seed=1)))
    yield Sample((samples.draw((5, 4), DType.INT64, 0, 6), samples.draw((4,), DType.FLOAT, 0, 3, seed=1)))


def _modulo_samples() -> Any:
    for dtype in INTEGERS:
        divisors = samples.draw((7,), dtype, 1, 5, seed=1)
        for fmod in (0, 1):
            yield Sample((samples.draw((3, 7), dtype, -9, 9), divisors), {"fmod": fmod})
            if dtype in SIGNED:
                yield Sample((samples.draw((3, 7), dtype, -9, 9), -divisors), {"fmod": fmod})
    for dtype in FLOATS:
        yield Sample((samples.draw((3, 7), dtype), samples.draw((7,), dtype, 1, 2, seed=1)), {"fmod": 1})


def _quotient_samples() -> Any:
    yield from samples.elementwise(2, FLOATS)()
    for dtype in INTEGERS:
        yield Sample((samples.draw((5, 7), dtype, -100, 100), samples.draw((7,), dtype, 1, 9, seed=1)))
        if dtype in SIGNED:
            yield Sample((samples.draw((5, 7), dtype, -100, 100), samples.draw((7,), dtype, -9, -1, seed=1)))


def _product_choice(elements: Elements, node: Node, at: Coordinates) -> Choice:
    """One of the two is a single number, or both choose by the same condition."""
    a, b = (elements.number(v, broadcast(v, at)) for v in (node.operand(0), node.operand(1)))
    for x, y in ((a, b), (b, a)):
        if y.yes == y.no:
            with np.errstate(all="ignore"):
                return Choice(x.condition, float(np.multiply(x.yes, y.yes)), float(np.multiply(x.no, y.yes)))
    if a.condition != b.condition:
        raise UnknownElementError
    return Choice(a.condition, a.yes * b.yes, a.no * b.no)


_sum_tolerance = Tolerance("product", 4)
_pairs = samples.elementwise(2, NUMBERS)
_triples = samples.elementwise(3, FLOATS)

RECORDS: tuple[OpRecord, ...] = (
    elementwise(
        "Add", np.add, tile="add", data=lambda a, b: a + b, commutative=True, neutral={1: 0, 0: 0},
        signless=signless_of_signless, samples=_pairs,
    ),
    elementwise("Sub", np.subtract, neutral={1: 0}, tile="sub", data=lambda a, b: a - b, samples=_pairs),
    elementwise(
        "Mul", np.multiply, tile="mul", data=lambda a, b: a * b, choice=_product_choice, commutative=True,
        neutral={1: 1, 0: 1}, signless=_product_is_signless, samples=_pairs,
    ),
    elementwise(
        "Div", _divide, neutral={1: 1}, divisor=1, tile="div", data=_divide_dims, signless=signless_of_signless,
        samples=_quotient_samples,
    ),
    elementwise(
        "Mod", _modulo, divisor=1, tile=_modulo_tile, defaults={"fmod": 0}, data=_mod_dims, tolerance=FEW_ULP,
        samples=_modulo_samples,
    ),
    elementwise(
        "Pow", _power, tile=_power_tile, alike=slice(0), data=_power_dims, flops=10, tolerance=Tolerance("ulp", 16),
        neutral={1: 1}, signless=_power_is_signless, samples=_power_samples,
    ),
    elementwise(
        "Max", lambda *x: reduce(_larger, x), tile=_fold("max"), data=lambda *x: reduce(dims.maximum, x),
        commutative=True, samples=samples.elementwise(3, NUMBERS),
    ),
    elementwise(
        "Min", lambda *x: reduce(_smaller, x), tile=_fold("min"), data=lambda *x: reduce(dims.minimum, x),
        commutative=True, samples=samples.elementwise(3, NUMBERS),
    ),
    elementwise(
        "Sum", lambda *x: reduce(np.add, x), tile=_fold("add"), commutative=True, tolerance=_sum_tolerance,
        repeats=the_only_input, keeps_shape=True, samples=_triples,
    ),
    elementwise("Mean", _average, tile=_average_tile, tolerance=_sum_tolerance, samples=_triples),
    elementwise(
        "Neg", np.negative, tile="neg", data=lambda a: -a, samples=samples.elementwise(1, FLOATS + SIGNED)
    ),
    elementwise(
        "Abs", np.absolute, tile="abs", data=lambda a: dims.maximum(a, -a), signless=always_signless,
        samples=samples.elementwise(1, NUMBERS),
    ),
    elementwise("Sign", np.sign, tile="sign", data=_sign_dim, samples=samples.elementwise(1, NUMBERS)),
    _floats("Floor", np.floor, "floor", -4, 4, EXACT),
    _floats("Ceil", np.ceil, "ceil", -4, 4, EXACT),
    _floats("Round", np.rint, "round", -4, 4, EXACT),
    _floats("Sqrt", np.sqrt, "sqrt", 0, 9, EXACT, signless_of_signless),
    _floats("Reciprocal", lambda x: 1 / x, "reciprocal", 0.1, 9, EXACT),
    _floats("Exp", np.exp, "exp", -10, 10, signless=always_signless),
    _floats("Log", np.log, "log", 0.01, 20),
    _floats("Sin", np.sin, "sin", -10, 10),
    _floats("Cos", np.cos, "cos", -10, 10),
    _floats("Tan", np.tan, "tan", -1.5, 1.5),
    _floats("Asin", np.arcsin, "asin", -1, 1),
    _floats("Acos", np.arccos, "acos", -1, 1),
    _floats("Atan", np.arctan, "atan", -10, 10),
    _floats("Sinh", np.sinh, "sinh", -5, 5),
    _floats("Cosh", np.cosh, "cosh", -5, 5),
    _floats("Tanh", np.tanh, "tanh", -5, 5),
    _floats("Asinh", np.arcsinh, "asinh", -9, 9),
    _floats("Acosh", np.arccosh, "acosh", 1, 9),
    _floats("Atanh", np.arctanh, "atanh", -0.99, 0.99),
    _floats("Erf", _erf, "erf", -4, 4),
    elementwise("IsNaN", np.isnan, result=DType.BOOL, tile="isnan", samples=samples.elementwise(1, FLOATS)),
    elementwise(
        "IsInf", _is_inf, result=DType.BOOL, tile=_is_inf_tile, defaults={"detect_negative": 1, "detect_positive": 1},
        samples=samples.elementwise(
            1, FLOATS, attributes=({}, {"detect_negative": 0}, {"detect_positive": 0, "detect_negative": 1})
        ),
    ),
)  # fmt: skip
