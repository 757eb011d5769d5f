"""Comparison, logic, bits, selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import Choice, Coordinates, Elements, broadcast, precedes, single
from arenaut.ir.graph import Array, Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import elementwise
from arenaut.ir.ops.support.samples import INTEGERS, NUMBERS, Samples
from arenaut.ir.record import OpRecord, Reg, Sample, TileBuilder

_pairs = samples.elementwise(2, NUMBERS)
_bits = samples.elementwise(2, INTEGERS, -100, 100)
_truths = samples.elementwise(2, (DType.BOOL,))


def _swapped(stem: str) -> Any:
    return lambda builder, a, b: builder.op(stem, b, a)


def _shift(x: Array, count: Array, direction: str) -> Array:
    """Shifts by the type's width or more, and negative ones, shift everything out: what is left is 0, or the sign to
    the right of which signed integers shift."""
    width = 8 * x.dtype.itemsize
    inside = (count >= 0) & (count < width)
    amount = np.where(inside, count, 0).astype(x.dtype)
    if direction == "LEFT":
        return np.where(inside, np.left_shift(x, amount), np.zeros((), x.dtype))
    return np.where(inside, np.right_shift(x, amount), np.where(x < 0, -1, 0).astype(x.dtype))


def _shift_tile(builder: TileBuilder, x: Reg, count: Reg, direction: str) -> Reg:
    return builder.op("shl" if direction == "LEFT" else "shr", x, count)


def _shift_samples() -> Iterator[Sample]:
    for dtype in (DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64):
        values, counts = samples.draw((3, 9), dtype, 0, 200, seed=1), samples.draw((9,), dtype, 0, 9, seed=2)
        for direction in ("LEFT", "RIGHT"):
            yield Sample((values, counts), {"direction": direction})


def _where_samples() -> Iterator[Sample]:
    for dtype in (*NUMBERS, DType.BOOL, DType.STRING):
        for i, (a, b) in enumerate(samples.SHAPE_PAIRS):
            condition = samples.draw(a, DType.BOOL, seed=i)
            yield Sample((condition, samples.draw(b, dtype, seed=i + 1), samples.draw(a, dtype, seed=i + 2)))


def _equal_samples() -> Iterator[Sample]:
    yield from _pairs()
    yield from _truths()
    yield Sample((samples.draw((3, 4), DType.STRING), samples.draw((4,), DType.STRING, seed=1)))


def _compare(
    op: str, function: Any, tile: Any, data: Any, sample: Samples = _pairs, *, element: Any = None, either: bool = False
) -> OpRecord:
    return elementwise(
        op, function, result=DType.BOOL, tile=tile, data=data, element=element, commutative=either, samples=sample
    )


def _both(a: Dim, b: Dim) -> Dim:
    return a if a == b else a * b


def _any(a: Dim, b: Dim) -> Dim:
    return a if a == b else 1 - (1 - a) * (1 - b)


def _where_choice(elements: Elements, node: Node, at: Coordinates) -> Choice:
    condition, yes, no = (node.operand(i) for i in range(3))
    numbers = [single(elements.number(v, broadcast(v, at))) for v in (yes, no)]
    return Choice(elements.integer(condition, broadcast(condition, at)), *numbers)


def _bitwise(op: str, function: Any, stem: str) -> OpRecord:
    return elementwise(op, function, tile=stem, samples=_bits)


RECORDS: tuple[OpRecord, ...] = (
    _compare("Equal", np.equal, "eq", dims.equal, _equal_samples, either=True),
    _compare("Less", np.less, "lt", dims.less, element=precedes),
    _compare(
        "LessOrEqual", np.less_equal, "le", lambda a, b: 1 - dims.less(b, a), element=lambda a, b: 1 - precedes(b, a)
    ),
    _compare("Greater", np.greater, _swapped("lt"), lambda a, b: dims.less(b, a), element=lambda a, b: precedes(b, a)),
    _compare(
        "GreaterOrEqual", np.greater_equal, _swapped("le"), lambda a, b: 1 - dims.less(a, b),
        element=lambda a, b: 1 - precedes(a, b),
    ),
    # On elements that are 0 or 1.
    _compare("And", np.logical_and, "and", lambda a, b: a * b, _truths, element=_both, either=True),
    _compare("Or", np.logical_or, "or", lambda a, b: a + b - a * b, _truths, element=_any, either=True),
    _compare("Xor", np.logical_xor, "xor", lambda a, b: a + b - 2 * a * b, _truths, either=True),
    _compare("Not", np.logical_not, "not", lambda a: 1 - a, samples.elementwise(1, (DType.BOOL,))),
    _bitwise("BitwiseAnd", np.bitwise_and, "bit_and"),
    _bitwise("BitwiseOr", np.bitwise_or, "bit_or"),
    _bitwise("BitwiseXor", np.bitwise_xor, "bit_xor"),
    elementwise("BitwiseNot", np.invert, tile="bit_not", samples=samples.elementwise(1, INTEGERS, -100, 100)),
    elementwise("BitShift", _shift, tile=_shift_tile, defaults={"direction": "LEFT"}, samples=_shift_samples),
    elementwise(
        "Where", np.where, alike=slice(1, None), like=1, tile="where", data=dims.select, choice=_where_choice,
        samples=_where_samples,
    ),
)  # fmt: skip
