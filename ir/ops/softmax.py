"""Softmax, LogSoftmax and Hardmax along one axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import axis_in, tensor_like, to_dtype, widen
from arenaut.ir.ops.support.composite import counting, ints, length_of, number, unsqueeze
from arenaut.ir.record import EXACT, Build, Infer, Lower, LowerRule, OpRecord, Sample, Tolerance
from arenaut.ir.types import Type

_FLOATS = (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.BFLOAT16)


def axis_of(node: Node, rank: int) -> int:
    """The axis counted from the front; the last one when the attribute is absent."""
    return int(node.attr("axis", -1)) % rank


def _infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    if t.shape is not None:
        axis_in(context, int(context.node.attr("axis", -1)), len(t.shape))
    return [t]


def softmax(x: Array, axis: int) -> Array:
    """exp(x - max) / sum, in x's type."""
    with np.errstate(all="ignore"):
        if x.shape[axis] == 0:
            return x
        raised = np.exp(x - x.max(axis=axis, keepdims=True))
        return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def _log_softmax(x: Array, axis: int) -> Array:
    with np.errstate(all="ignore"):
        if x.shape[axis] == 0:
            return x
        shifted = x - x.max(axis=axis, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def _hardmax(x: Array, axis: int) -> Array:
    if x.size == 0:
        return x
    places = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.asarray(places == np.expand_dims(x.argmax(axis=axis), axis))


def _evaluator(function: Callable[[Array, int], Array]) -> Any:
    def evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        x = np.asarray(inputs[0])
        return [to_dtype(function(widen(x), axis_of(node, x.ndim)), x.dtype)]

    return evaluate


def _row(family: str) -> LowerRule:
    def rule(lower: Lower, node: Node) -> None:
        x = lower.read(node.operand(0))
        lower.call(family, [x], [lower.write(node.output)], {"axis": axis_of(node, x.rank)})

    return rule


def _hardmax_decompose(build: Build, node: Node) -> Sequence[Value]:
    """1 where the place along the axis is that of the first maximum."""
    x = node.operand(0)
    axis = axis_of(node, x.rank)
    extent = x.shape[axis]
    if extent == 0:
        return [build.op("Identity", x)]
    best = build.op("ArgMax", x if isinstance(extent, int) else _never_empty(build, x, axis), axis=axis, keepdims=1)
    places = counting(build, length_of(build, x, axis))
    if x.rank - axis > 1:
        places = unsqueeze(build, places, *range(1, x.rank - axis))
    return [build.op("Cast", build.op("Equal", places, best), to=int(x.dtype))]


def _never_empty(build: Build, x: Value, axis: int) -> Value:
    """x with one more element at the end of the axis, which is never the first maximum: ArgMax wants an element."""
    pads = [0] * x.rank + [int(i == axis) for i in range(x.rank)]
    return build.op("Pad", x, ints(build, *pads), number(build, -np.inf, x.dtype))


def _samples() -> Iterator[Sample]:
    for dtype in _FLOATS:
        for shape, axis in (((3, 5), None), ((2, 3, 4), 1), ((2, 3, 4), 0), ((7,), 0), ((1, 65), -1), ((0, 3), -1)):
            x = samples.draw(shape, dtype, -10, 10)
            yield Sample((x,), {} if axis is None else {"axis": axis})
        yield Sample((np.array([[1e4, 1e4, -np.inf], [-1e4, 0, 1e4]]).astype(np.float32).astype(dtype.numpy),))


def _record(op: str, function: Callable[[Array, int], Array], tolerance: Tolerance, **rules: Any) -> OpRecord:
    return OpRecord(
        op=op, infer=_infer, evaluate=_evaluator(function), flops=lambda node: 5 * product(node.output.shape),
        layout="follow", tolerance=tolerance, samples=_samples, **rules,
    )  # fmt: skip


RECORDS: tuple[OpRecord, ...] = (
    _record("Softmax", softmax, Tolerance("ulp", 16), lower=_row("Softmax")),
    _record("LogSoftmax", _log_softmax, Tolerance("product", 8), lower=_row("LogSoftmax")),
    _record("Hardmax", _hardmax, EXACT, decompose=_hardmax_decompose),
)
