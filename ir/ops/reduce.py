"""Reductions over axes, and the indices of extremes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import (
    always_signless,
    axis_in,
    from_front,
    input_ints,
    known_ints,
    signless_of_signless,
    tensor_like,
    to_dtype,
    widen,
)
from arenaut.ir.ops.support.samples import FLOATS, i64
from arenaut.ir.place import Place
from arenaut.ir.record import EXACT, Infer, Lower, NoRowError, OpRecord, Sample, Tolerance, UnknownError
from arenaut.ir.types import Shape, TensorType, Type

# The kinds of family Reduce, at the numbers of its C enumeration.
KINDS = (
    "SUM", "MEAN", "MAX", "MIN", "PROD", "L1", "L2", "SUM_SQUARE", "LOG_SUM", "LOG_SUM_EXP", "ANY", "ALL",
)  # fmt: skip

Axes = tuple[int, ...]

# Longer folds of symbols are not followed: their expressions would nest as deep.
_MAX_FOLD = 16


# -- axes ----------------------------------------------------------------------------------------------------------


def _chosen(node: Node, given: Sequence[int] | None, rank: int) -> Axes:
    """The axes reduced, from the front and sorted. None given, or none named: all, or none where the node says so."""
    if not given:
        return () if node.attr("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(set(from_front(given, rank))))


def reduced_shape(shape: Shape, axes: Axes, keepdims: bool) -> Shape:
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def _infer(context: Infer) -> Sequence[Type]:
    t, node = tensor_like(context), context.node
    keepdims = bool(node.attr("keepdims", 1))
    if t.shape is None:
        raise UnknownError("rank")
    try:
        given = input_ints(context, 1)
    except UnknownError:
        if not keepdims:
            raise
        return [TensorType(t.dtype, tuple(context.fresh(0, i) for i in range(len(t.shape))))]
    for axis in given or ():
        axis_in(context, axis, len(t.shape))
    return [TensorType(t.dtype, reduced_shape(t.shape, _chosen(node, given, len(t.shape)), keepdims))]


def _node_axes(node: Node, rank: int) -> Axes:
    """The axes of a node whose axes are constant. Raises NoRowError where they are data."""
    value = node.input(1)
    given = None if value is None else known_ints(value.data)
    if value is not None and given is None:
        raise NoRowError("axes are not known")
    return _chosen(node, given, rank)


def keep_axes(place: Place, axes: Axes, keepdims: bool) -> Place:
    """An output as the reducing families want it: extent 1 on every reduced axis."""
    for axis in axes if not keepdims else ():
        place = place.insert(axis)
    return place


# -- evaluators ----------------------------------------------------------------------------------------------------


def _lowest(dtype: np.dtype[Any]) -> Any:
    """Below every other value of the type."""
    return -np.inf if dtype.kind == "f" else (False if dtype.kind == "b" else np.iinfo(dtype).min)


def _highest(dtype: np.dtype[Any]) -> Any:
    return np.inf if dtype.kind == "f" else (True if dtype.kind == "b" else np.iinfo(dtype).max)


def _sum(x: Array, axes: Axes) -> Array:
    """Floats in float64; integers wrap."""
    return np.asarray(np.sum(x, axes, np.float64 if x.dtype.kind == "f" else x.dtype, keepdims=True))


def _mean(x: Array, axes: Axes) -> Array:
    count = math.prod(x.shape[a] for a in axes)
    return np.asarray(np.divide(np.sum(x, axes, np.float64, keepdims=True), count))


def _log_sum_exp(x: Array, axes: Axes) -> Array:
    wide = x.astype(np.float64)
    top = np.max(wide, axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0)
    return np.asarray(np.log(_sum(np.exp(wide - shift), axes)) + shift)


_FUNCTIONS: dict[str, Callable[[Array, Axes], Any]] = {
    "SUM": _sum,
    "MEAN": _mean,
    "MAX": lambda x, axes: np.max(x, axes, keepdims=True, initial=_lowest(x.dtype)),
    "MIN": lambda x, axes: np.min(x, axes, keepdims=True, initial=_highest(x.dtype)),
    "PROD": lambda x, axes: np.prod(x, axes, np.float64 if x.dtype.kind == "f" else x.dtype, keepdims=True),
    "L1": lambda x, axes: _sum(np.abs(x), axes),
    "L2": lambda x, axes: np.sqrt(np.sum(np.square(x.astype(np.float64)), axes, keepdims=True)),
    "SUM_SQUARE": lambda x, axes: _sum(np.square(x.astype(np.float64) if x.dtype.kind == "f" else x), axes),
    "LOG_SUM": lambda x, axes: np.log(_sum(x, axes)),
    "LOG_SUM_EXP": _log_sum_exp,
}


def _evaluator(kind: str) -> Any:
    function = _FUNCTIONS[kind]

    def evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        x = np.asarray(inputs[0])
        given = None if len(inputs) < 2 or inputs[1] is None else [int(a) for a in np.asarray(inputs[1]).flat]
        axes = _chosen(node, given, x.ndim)
        with np.errstate(all="ignore"):
            out = to_dtype(function(widen(x), axes), x.dtype)
        return [out if node.attr("keepdims", 1) else out.reshape(_static(reduced_shape(out.shape, axes, False)))]

    return evaluate


def _static(shape: Shape) -> tuple[int, ...]:
    return tuple(d for d in shape if isinstance(d, int))


# -- data and lowering ---------------------------------------------------------------------------------------------


def _data_rule(fold: Callable[[Dim, Dim], Dim], start: Dim | None) -> Any:
    """Folds elements as dims, in order, from start (None: from the first one; an empty fold is then not known)."""

    def rule(context: Infer) -> Sequence[Array | None]:
        known, node = context.known_data(0), context.node
        if known is None:
            return [None]
        axes = _chosen(node, input_ints(context, 1), known.ndim)
        kept = [i for i in range(known.ndim) if i not in axes]
        length = int(np.prod([known.shape[i] for i in axes]))
        lines = np.transpose(known, (*kept, *axes)).reshape((*(known.shape[i] for i in kept), length))
        symbolic = any(isinstance(d, dims.Expr) for d in known.flat)
        if (start is None and not lines.shape[-1]) or (symbolic and lines.shape[-1] > _MAX_FOLD):
            return [None]
        out = np.empty(lines.shape[:-1], object)
        for index in np.ndindex(*out.shape):
            out[index] = reduce(fold, lines[index]) if start is None else reduce(fold, lines[index], start)
        return [out.reshape(_static(node.output.shape))]

    return rule


def _lower_rule(kind: str) -> Callable[[Lower, Node], None]:
    def rule(lower: Lower, node: Node) -> None:
        x, y = lower.read(node.operand(0)), lower.write(node.output)
        axes = _node_axes(node, x.rank)
        target = keep_axes(y, axes, bool(node.attr("keepdims", 1)))
        lower.call("Reduce", [x], [target], {"kind": KINDS.index(kind), "axes": sum(1 << a for a in axes)})

    return rule


# -- ArgMax, ArgMin ------------------------------------------------------------------------------------------------


def _arg_infer(context: Infer) -> Sequence[Type]:
    shape, node = context.shape(0), context.node
    axis = axis_in(context, node.attr("axis", 0), len(shape))
    if shape[axis] == 0:
        raise context.fail(f"dim {axis} is empty")
    return [TensorType(DType.INT64, reduced_shape(shape, (axis,), bool(node.attr("keepdims", 1))))]


def _arg_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = widen(np.asarray(inputs[0]))
    axis, find = node.attr("axis", 0) % x.ndim, np.argmax if node.op == "ArgMax" else np.argmin
    last = bool(node.attr("select_last_index", 0))
    out = x.shape[axis] - 1 - find(np.flip(x, axis), axis) if last else find(x, axis)
    return [np.asarray(np.expand_dims(out, axis) if node.attr("keepdims", 1) else out, np.int64)]


def _arg_lower(lower: Lower, node: Node) -> None:
    x, y = lower.read(node.operand(0)), lower.write(node.output)
    axis = node.attr("axis", 0) % x.rank
    params: dict[str, Any] = {
        "axis": axis,
        "smallest": int(node.op == "ArgMin"),
        "select_last_index": node.attr("select_last_index", 0),
    }
    lower.call("ArgReduce", [x], [keep_axes(y, (axis,), bool(node.attr("keepdims", 1)))], params)


# -- records -------------------------------------------------------------------------------------------------------


def _samples(kind: str, dtypes: Sequence[DType], low: float, high: float) -> samples.Samples:
    def build(dtype: DType) -> Iterator[Sample]:
        x = samples.draw((2, 3, 4, 5), dtype, low, high)
        for axes in ((0,), (1, -1), (-2,), (2, 0, 3), (0, 1, 2, 3)):
            yield Sample((x, i64(*axes)), {"keepdims": len(axes) % 2})
        yield Sample((x,), {"keepdims": 0})
        yield Sample((x, i64()), {"noop_with_empty_axes": 1})
        yield Sample((samples.draw((3, 257), dtype, low, high, 1), i64(1)))
        if dtype in FLOATS or kind != "MEAN":
            yield Sample((samples.draw((2, 0, 3), dtype), i64(1)))

    return samples.of_types(dtypes, build)


def _arg_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.INT32, DType.INT64, DType.UINT8, DType.INT8):
        x = samples.draw((3, 7, 5), dtype, -2, 2)
        for axis in (0, 1, -1):
            for last in (0, 1):
                yield Sample((x,), {"axis": axis, "select_last_index": last, "keepdims": last})


_SUMS = Tolerance("product", 4)
_WIDE = (*FLOATS, DType.INT32, DType.INT64, DType.UINT32, DType.UINT64)
_ORDERED = (*_WIDE, DType.UINT8, DType.INT8, DType.BOOL)


def _record(
    op: str,
    kind: str,
    dtypes: Sequence[DType],
    tolerance: Tolerance,
    data: Any = None,
    low: float = -4,
    high: float = 4,
) -> OpRecord:
    return OpRecord(
        op=op, infer=_infer, evaluate=_evaluator(kind), data=data, lower=_lower_rule(kind), layout="follow",
        flops=lambda node: dims.product(node.operand(0).shape), tolerance=tolerance,
        signless=_SIGNLESS.get(kind), samples=_samples(kind, dtypes, low, high),
    )  # fmt: skip


_SIGNLESS = {
    **dict.fromkeys(("L1", "L2", "SUM_SQUARE"), always_signless),
    **dict.fromkeys(("SUM", "MEAN", "MAX", "MIN", "PROD"), signless_of_signless),
}

RECORDS: tuple[OpRecord, ...] = (
    _record("ReduceSum", "SUM", _WIDE, _SUMS, _data_rule(lambda a, b: a + b, 0)),
    _record("ReduceMean", "MEAN", _WIDE, _SUMS),
    _record("ReduceMax", "MAX", _ORDERED, EXACT, _data_rule(dims.maximum, None)),
    _record("ReduceMin", "MIN", _ORDERED, EXACT, _data_rule(dims.minimum, None)),
    _record("ReduceProd", "PROD", _WIDE, Tolerance("ulp", 300), _data_rule(lambda a, b: a * b, 1), 0.9, 1.1),
    _record("ReduceL1", "L1", _WIDE, _SUMS),
    _record("ReduceL2", "L2", _WIDE, _SUMS),
    _record("ReduceSumSquare", "SUM_SQUARE", _WIDE, _SUMS),
    _record("ReduceLogSum", "LOG_SUM", FLOATS, _SUMS, None, 0.5, 4),
    _record("ReduceLogSumExp", "LOG_SUM_EXP", FLOATS, _SUMS),
    *(
        OpRecord(op=op, infer=_arg_infer, evaluate=_arg_evaluate, lower=_arg_lower, samples=_arg_samples)
        for op in ("ArgMax", "ArgMin")
    ),
)
