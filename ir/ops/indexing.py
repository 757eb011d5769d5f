"""Ops whose results are positions, or are chosen by position or by data: OneHot, Trilu, TopK, NonZero, CumSum, ..."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.elements import Choice, Coordinates, Elements, UnknownElementError, precedes, single
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node
from arenaut.ir.ops.cast import cast_array
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import (
    agree,
    axis_in,
    check_rank,
    data_through,
    known_ints,
    only_element,
    ranked,
    to_dtype,
    widen,
)
from arenaut.ir.ops.support.requirements import one_hot_requires, top_k_requires
from arenaut.ir.ops.support.samples import FLOATS, MOVABLE, i64
from arenaut.ir.place import Place
from arenaut.ir.record import Infer, Lower, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

# -- OneHot --------------------------------------------------------------------------------------------------------


def _single(context: Infer, index: int, axis: int) -> Dim:
    """The one element of an input that gives a dim; a fresh symbol for that axis where nothing tells it."""
    value = context.node.operand(index)
    if value.constant is not None:
        return int(only_element(context, index, value.constant))
    if context.dtype(index) in (DType.INT64, DType.INT32):
        data: Dim = only_element(context, index, context.data(index))
        return data
    return context.fresh(0, axis)


def _one_hot_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    axis = axis_in(context, context.node.attr("axis", -1), len(shape) + 1)
    return [TensorType(context.dtype(2), (*shape[:axis], _single(context, 1, axis), *shape[axis:]))]


def _one_hot_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Indices outside [-depth, depth) give a line of off values. Fractions are cut off first."""
    indices, depth, values = np.asarray(inputs[0]), int(np.asarray(inputs[1]).item()), np.asarray(inputs[2])
    axis = node.attr("axis", -1) % (indices.ndim + 1)
    if dtype_of(indices).is_float:
        indices = cast_array(indices, DType.INT64)
    picked = np.expand_dims(np.where(indices < 0, indices + depth, indices), axis)
    line = np.arange(depth).reshape([depth if i == axis else 1 for i in range(indices.ndim + 1)])
    return [np.where(picked == line, values[1], values[0])]


def _one_hot_lower(lower: Lower, node: Node) -> None:
    target = lower.write(node.output)
    operands = [lower.read(node.operand(0)), lower.read(node.operand(2))]
    lower.call("OneHot", operands, [target], {"axis": node.attr("axis", -1) % target.rank})


def _one_hot_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.INT64, DType.UINT8, DType.DOUBLE):
        values = np.array([0, 1]).astype(dtype.numpy)
        for axis in (-1, 0, 1):
            yield Sample((np.array([[0, 2, -1], [5, 1, -9]]), np.array(3), values), {"axis": axis})
    yield Sample((i64(1, 3), i64(4), np.array([2, 7], np.float32)))


# -- Trilu ---------------------------------------------------------------------------------------------------------


def _trilu_infer(context: Infer) -> Sequence[Type]:
    if len(context.shape(0)) < 2:
        raise context.fail("expected rank 2 or more")
    return [context.type(0)]


def _trilu_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, k = np.asarray(inputs[0]), 0 if len(inputs) < 2 or inputs[1] is None else int(np.asarray(inputs[1]).item())
    keep = np.triu if node.attr("upper", 1) else np.tril
    return [np.where(keep(np.ones(x.shape[-2:], np.bool_), k), x, np.zeros((), x.dtype))]


def _trilu_lower(lower: Lower, node: Node) -> None:
    diagonal = node.input(1)
    if diagonal is not None and diagonal.data is None:
        raise NoRowError("k is not known")
    k: Dim = 0 if diagonal is None or diagonal.data is None else diagonal.data.item()
    operand, target = lower.read(node.operand(0)), lower.write(node.output)
    lower.call("Trilu", [operand], [target], {"upper": node.attr("upper", 1), "k": k})


def _trilu_samples() -> Iterator[Sample]:
    for dtype in MOVABLE:
        x = samples.draw((2, 4, 5), dtype)
        for upper in (0, 1):
            yield Sample((x,), {"upper": upper})
            for k in (1, -2, 9, -9):
                yield Sample((x, np.array(k)), {"upper": upper})


# -- CumSum, CumProd -----------------------------------------------------------------------------------------------


def _running(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Floats in float64; integers wrap. Exclusive: element i has what comes before i."""
    x, axis = np.asarray(inputs[0]), int(np.asarray(inputs[1]).item())
    fold, unit = (np.cumsum, 0) if node.op == "CumSum" else (np.cumprod, 1)
    wide = widen(x).astype(np.float64) if x.dtype.kind not in "iuO" else x
    if node.attr("reverse", 0):
        wide = np.flip(wide, axis)
    out = np.asarray(fold(wide, axis, dtype=wide.dtype))
    if node.attr("exclusive", 0) and out.shape[axis]:
        first = np.full_like(np.take(out, [0], axis), unit)
        out = np.concatenate([first, np.take(out, range(out.shape[axis] - 1), axis)], axis)
    return [to_dtype(np.flip(out, axis) if node.attr("reverse", 0) else out, x.dtype)]


def _running_infer(context: Infer) -> Sequence[Type]:
    axis = known_ints(context.known_data(1))
    if axis is not None:
        axis_in(context, axis[0], len(context.shape(0)))
    return [context.type(0)]


def _running_lower(lower: Lower, node: Node) -> None:
    axis = known_ints(node.operand(1).data)
    if axis is None:
        raise NoRowError("the axis is not known")
    x, y = lower.read(node.operand(0)), lower.write(node.output)
    params = {name: node.attr(name, 0) for name in ("exclusive", "reverse")}
    lower.call(node.op, [x], [y], {"axis": axis[0] % x.rank, **params})


def _running_samples() -> Iterator[Sample]:
    for dtype in (*FLOATS, DType.INT32, DType.INT64):
        x = samples.draw((3, 7, 4), dtype, 0, 2)
        for axis in (0, 1, -1):
            for exclusive, reverse in ((0, 0), (1, 0), (0, 1), (1, 1)):
                yield Sample((x, np.array(axis)), {"exclusive": exclusive, "reverse": reverse})
    yield Sample((i64(1, 2, 3, 4), np.array(0)))


# -- NonZero, Compress, Unique -------------------------------------------------------------------------------------


def _non_zero_infer(context: Infer) -> Sequence[Type]:
    known = known_ints(context.known_data(0))
    count = context.fresh(0, 1) if known is None else sum(1 for v in known if v)
    return [TensorType(DType.INT64, (len(context.shape(0)), count))]


def _all_elements(node: Node, output: int, axis: int) -> Dim:
    """What is chosen among all elements of the first input."""
    return product(node.operand(0).shape)


def _along_axis(node: Node, output: int, axis: int) -> Dim:
    """What is chosen along an axis of the first input, or among all its elements."""
    shape, chosen = node.operand(0).shape, node.attr("axis")
    return product(shape) if chosen is None else shape[chosen % len(shape)]


def _non_zero_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    if x.dtype != object and dtype_of(x).is_float:  # by its bits, so that a denormal number counts
        x = (np.abs(np.ascontiguousarray(x)).view(f"u{x.dtype.itemsize}") != 0).reshape(x.shape)
    if x.ndim == 0:
        return [np.zeros((0, int(bool(x))), np.int64)]
    return [np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)]


def _non_zero_lower(lower: Lower, node: Node) -> None:
    """Counts, makes the count the symbol of the output's dim, then fills. A count that is known is only checked."""
    x, found = lower.read(node.operand(0)), node.output.shape[1]
    if x.dtype is DType.COMPLEX128:
        raise NoRowError("its elements are wider than the kernel's words")
    if not isinstance(found, int):
        count = lower.temp(DType.INT64, (1,))
        lower.call("NonZeroCount", [x], [count])
        lower.set_symbol(found, count)
    lower.call("NonZeroFill", [x], [lower.write(node.output)])


def _non_zero_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.INT64, DType.BOOL, DType.UINT8):
        yield Sample((samples.draw((3, 4, 5), dtype, -1, 1),))
        yield Sample((samples.draw((9,), dtype, -1, 1),))
        yield Sample((np.zeros((2, 3), dtype.numpy),))
        yield Sample((np.zeros((2, 0), dtype.numpy),))


def _compress_infer(context: Infer) -> Sequence[Type]:
    shape, axis, known = context.shape(0), context.node.attr("axis"), known_ints(context.known_data(1))
    count = None if known is None else sum(1 for v in known if v)
    if axis is None:
        return [TensorType(context.dtype(0), (context.fresh(0, 0) if count is None else count,))]
    axis = axis_in(context, axis, len(shape))
    size = context.fresh(0, axis) if count is None else count
    return [TensorType(context.dtype(0), (*shape[:axis], size, *shape[axis + 1 :]))]


def _compress_lower(lower: Lower, node: Node) -> None:
    """The places that the condition names, counted and listed as NonZero does, then gathered."""
    x, chosen, axis = lower.read(node.operand(0)), lower.read(node.operand(1)), node.attr("axis")
    if chosen.rank != 1:
        raise NoRowError(f"a condition of rank {chosen.rank}")
    if axis is None:
        x, axis = lower.reshape(x, (product(x.dims),)), 0
    axis %= x.rank
    found = node.output.shape[axis]
    if not isinstance(found, int):
        count = lower.temp(DType.INT64, (1,))
        lower.call("NonZeroCount", [chosen], [count])
        lower.set_symbol(found, count)
    places = lower.temp(DType.INT64, (1, found))
    lower.call("NonZeroFill", [chosen], [places])
    lower.call("Gather", [x, lower.reshape(places, (found,))], [lower.write(node.output)], {"axis": axis})


def _compress_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        x = samples.draw((3, 4), dtype)
        yield Sample((x, np.array([False, True, True])), {"axis": 0})
        yield Sample((x, np.array([True, False, True])), {"axis": -1})
        yield Sample((x, np.array([True, False, True, False, True])))


def _unique_infer(context: Infer) -> Sequence[Type]:
    shape, node = context.shape(0), context.node
    chosen = node.attr("axis")
    axis = 0 if chosen is None else axis_in(context, chosen, len(shape))
    count = context.fresh(0, axis)
    values = (count,) if chosen is None else (*shape[:axis], count, *shape[axis + 1 :])
    total = product(shape) if chosen is None else shape[axis]
    found = [TensorType(DType.INT64, (n,)) for n in (count, total, count)]
    return [TensorType(context.dtype(0), values), *found][: len(node.outputs)]


def _unique_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Values, index of the first of each, index of each element's value, counts; unsorted: in order of appearance."""
    x, axis = np.asarray(inputs[0]), node.attr("axis")
    if x.dtype == object and (axis is None or x.ndim == 1):
        return _unique_texts(x, bool(node.attr("sorted", 1)))[: len(node.outputs)]
    if x.dtype == object:  # numpy compares slices of text only at a fixed width
        x = x.astype(np.str_)
    values, first, inverse, counts = np.unique(x, True, True, True, axis)
    inverse = inverse.reshape(-1)
    if not node.attr("sorted", 1):
        order = np.argsort(first)
        place = np.argsort(order)
        values = np.take(values, order, 0 if axis is None else axis)
        first, inverse, counts = first[order], place[inverse], counts[order]
    return [values, *(a.astype(np.int64) for a in (first, inverse, counts))][: len(node.outputs)]


def _unique_texts(x: Array, ordered: bool) -> list[Array]:
    """The same for text, which a dict tells apart."""
    flat: list[Any] = x.reshape(-1).tolist()
    seen: dict[Any, int] = {}
    inverse = np.array([seen.setdefault(v, len(seen)) for v in flat], np.int64)
    values, counts = list(seen), np.bincount(inverse, minlength=len(seen)).astype(np.int64)
    first = np.empty(len(seen), np.int64)
    first[inverse[::-1]] = np.arange(len(flat) - 1, -1, -1)
    if ordered:
        order = np.array(sorted(range(len(values)), key=values.__getitem__), np.int64)
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        values = [values[i] for i in order]
        first, inverse, counts = first[order], place[inverse], counts[order]
    return [np.array(values, object), first, inverse, counts]


def _unique_lower(lower: Lower, node: Node) -> None:
    """Everything at full length, of which the first `count` elements are the results."""
    x = lower.read(node.operand(0))
    if node.attr("axis") is not None and x.rank != 1:
        raise NoRowError("whole slices are compared")
    total = product(x.dims)
    whole = [lower.temp(x.dtype, (total,)), *(lower.temp(DType.INT64, (total,)) for _ in range(3))]
    count = lower.temp(DType.INT64, (1,))
    params = {"sorted": node.attr("sorted", 1)}
    lower.call("Unique", [lower.reshape(x, (total,))], [*whole, count], params)
    lower.set_symbol(node.outputs[0].shape[0] if node.outputs[0] is not None else 0, count)
    for index, value in enumerate(node.outputs):
        if value is not None:
            part = whole[index] if index == 2 else whole[index].slice(0, 0, value.shape[0])
            lower.copy(part, lower.write(value))


def _unique_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.INT64):
        x = samples.draw((5, 4), dtype, 0, 3)
        if dtype is DType.FLOAT:
            x = np.round(x)
        for ordered in (0, 1):
            yield Sample((x,), {"sorted": ordered}, 4)
            yield Sample((np.repeat(x, 2, 0),), {"sorted": ordered, "axis": 0}, 4)
    yield Sample((i64(3, 1, 3),), {}, 1)


# -- TopK ----------------------------------------------------------------------------------------------------------


def _top_k_infer(context: Infer) -> Sequence[Type]:
    shape, node = context.shape(0), context.node
    axis = axis_in(context, node.attr("axis", -1), len(shape))
    k, size = _single(context, 1, axis), shape[axis]
    if isinstance(k, int) and isinstance(size, int) and not 0 <= k <= size:
        raise context.fail(f"k is {k}, the dim {size}")
    out = (*shape[:axis], k, *shape[axis + 1 :])
    return [TensorType(context.dtype(0), out), TensorType(DType.INT64, out)]


def _top_k_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Sorted; equal values in order of their index; NaN above everything."""
    x, k = np.asarray(inputs[0]), int(np.asarray(inputs[1]).item())
    axis, wide = node.attr("axis", -1) % x.ndim, widen(x)
    if node.attr("largest", 1):
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(wide, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(wide, axis, kind="stable")
    picked = np.take(order, range(k), axis)
    return [np.take_along_axis(x, picked, axis), picked.astype(np.int64)]


def _top_k_lower(lower: Lower, node: Node) -> None:
    x = lower.read(node.operand(0))
    places = [None if v is None else lower.write(v) for v in node.outputs]
    if None in places:  # the kernel writes both
        kept = node.outputs[0] or node.outputs[1]
        assert kept is not None
        places = [p or lower.temp(d, kept.shape) for p, d in zip(places, (x.dtype, DType.INT64), strict=True)]
    params = {"axis": node.attr("axis", -1) % x.rank, "largest": node.attr("largest", 1)}
    lower.call("TopK", [x], places, params)


def _top_k_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.DOUBLE, DType.INT64, DType.INT32, DType.UINT8):
        x = samples.draw((3, 9, 4), dtype, -3, 3)
        for axis in (0, 1, -1):
            for largest in (0, 1):
                yield Sample((x, i64(2)), {"axis": axis, "largest": largest}, 2)
        yield Sample((x, i64(9)), {"axis": 1}, 2)
        yield Sample((x, i64(0)), {"axis": 1}, 2)


# -- sequences and caches ------------------------------------------------------------------------------------------


def _reverse_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, lengths = np.asarray(inputs[0]), np.asarray(inputs[1])
    batch, time = node.attr("batch_axis", 1), node.attr("time_axis", 0)
    seen = np.moveaxis(x, (batch, time), (0, 1))
    out = np.array(seen)
    for i, length in enumerate(lengths):
        out[i, :length] = seen[i, :length][::-1]
    return [np.ascontiguousarray(np.moveaxis(out, (0, 1), (batch, time)))]


def _reverse_infer(context: Infer) -> Sequence[Type]:
    shape, lengths, node = context.shape(0), context.shape(1), context.node
    batch, time = node.attr("batch_axis", 1), node.attr("time_axis", 0)
    if len(shape) < 2 or {batch, time} != {0, 1} or len(lengths) != 1:
        raise context.fail(f"expected rank 2 or more, axes 0 and 1, a length per batch; axes are {batch} and {time}")
    agree(context, lengths[0], shape[batch], "the number of lengths is not the batch size")
    return [context.type(0)]


def _reverse_lower(lower: Lower, node: Node) -> None:
    operands = [lower.read(node.operand(i)) for i in range(2)]
    params = {"batch_axis": node.attr("batch_axis", 1), "time_axis": node.attr("time_axis", 0)}
    lower.call("ReverseSequence", operands, [lower.write(node.output)], params)


def _reverse_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        x = samples.draw((4, 3, 2), dtype)
        yield Sample((x, i64(1, 4, 2)))
        yield Sample((x, i64(3, 1, 2, 3)), {"batch_axis": 0, "time_axis": 1})


def _cache_infer(context: Infer) -> Sequence[Type]:
    cache, update = context.shape(0), context.shape(1)
    axis = axis_in(context, context.node.attr("axis", -2), len(cache))
    ranked(context, 1, len(cache))
    check_rank(context, 2, 1)
    if axis == 0:
        raise context.fail("the axis is that of the samples")
    for i, (have, new) in enumerate(zip(cache, update, strict=True)):
        if i != axis:
            agree(context, have, new, f"dim {i} of the update differs")
    return [context.type(0)]


def _cache_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Raises IndexError where an update would end beyond the cache."""
    out, update = np.array(inputs[0]), np.asarray(inputs[1])
    axis = node.attr("axis", -2) % out.ndim
    starts = np.zeros(len(out), np.int64) if len(inputs) < 3 or inputs[2] is None else np.asarray(inputs[2])
    size, count = out.shape[axis], update.shape[axis]
    for sample, start in enumerate(starts):
        where = int(start) + np.arange(count)
        if node.attr("mode", "linear") == "circular":
            where = where % size
        elif count and not 0 <= start <= size - count:
            raise RuleError(f"{count} elements at {start} do not fit {size}")
        line = np.moveaxis(out[sample], axis - 1, 0)
        line[where] = np.moveaxis(update[sample], axis - 1, 0)
    return [out]


def _cache_lower(lower: Lower, node: Node) -> None:
    """The cache is copied, then updated in place."""
    cache, update, starts = lower.stored(node.operand(0)), lower.read(node.operand(1)), node.input(2)
    target = lower.write(node.output)
    lower.copy(cache, target)
    update = lower.stored_as(update, target)
    params = {
        "axis": node.attr("axis", -2) % target.rank, "circular": int(node.attr("mode", "linear") == "circular"),
    }  # fmt: skip
    lower.call("TensorScatter", [update, None if starts is None else lower.read(starts)], [target], params)


def _cache_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.FLOAT16):
        cache, update = samples.draw((2, 3, 5, 4), dtype), samples.draw((2, 3, 2, 4), dtype, seed=1)
        yield Sample((cache, update))
        yield Sample((cache, update, i64(1, 3)))
        yield Sample((cache, update, i64(4, 6)), {"mode": "circular"})


# -- BitCast -------------------------------------------------------------------------------------------------------


def _bit_cast_infer(context: Infer) -> Sequence[Type]:
    to, shape = DType(context.node.attr("to")), context.shape(0)
    if to.itemsize != context.dtype(0).itemsize:
        raise context.fail(f"{to.short} has another width than {context.dtype(0).short}")
    return [TensorType(to, shape)]


def _bit_cast_view(node: Node, place: Place) -> Sequence[Place] | None:
    return [Place(place.buffer, node.output.dtype, place.dims, place.strides, place.offset)]


def _bit_cast_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [np.ascontiguousarray(inputs[0]).view(DType(node.attr("to")).numpy).reshape(np.shape(inputs[0]))]


def _bit_cast_samples() -> Iterator[Sample]:
    for dtype, to in ((DType.FLOAT, DType.INT32), (DType.INT64, DType.DOUBLE), (DType.UINT16, DType.FLOAT16)):
        yield Sample((samples.draw((3, 4), dtype),), {"to": int(to)})


def _kept(elements: Elements, node: Node, at: Coordinates) -> Dim:
    """Whether Trilu keeps the element: column - row >= k above, <= k below."""
    k = 0 if node.input(1) is None else elements.integer(node.operand(1), ())
    distance = at[-1] - at[-2]
    return 1 - precedes(distance, k) if node.attr("upper", 1) else 1 - precedes(k, distance)


def _trilu_element(elements: Elements, node: Node, at: Coordinates) -> Dim:
    return _kept(elements, node, at) * elements.integer(node.operand(0), at)


def _trilu_choice(elements: Elements, node: Node, at: Coordinates) -> Choice:
    return Choice(_kept(elements, node, at), single(elements.number(node.operand(0), at)), 0.0)


def _sum_of_zeros(elements: Elements, node: Node, at: Coordinates) -> Dim:
    if elements.integer(node.operand(0), at) != 0:
        raise UnknownElementError
    return 0


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="OneHot", requires=one_hot_requires, infer=_one_hot_infer, evaluate=_one_hot_evaluate,
        lower=_one_hot_lower, samples=_one_hot_samples,
    ),
    OpRecord(
        op="Trilu", element=_trilu_element, choice=_trilu_choice,
        infer=_trilu_infer, evaluate=_trilu_evaluate, data=data_through(_trilu_evaluate, 0),
        lower=_trilu_lower, samples=_trilu_samples,
    ),
    OpRecord(
        op="CumSum", element=_sum_of_zeros,
        infer=_running_infer, evaluate=_running, data=data_through(_running, 0), lower=_running_lower,
        tolerance=Tolerance("product", 4), samples=_running_samples,
    ),
    OpRecord(
        op="CumProd", infer=_running_infer, evaluate=_running, data=data_through(_running, 0), lower=_running_lower,
        tolerance=Tolerance("product", 4), samples=_running_samples,
    ),
    OpRecord(
        op="NonZero", infer=_non_zero_infer, size_limit=_all_elements, evaluate=_non_zero_evaluate,
        lower=_non_zero_lower, samples=_non_zero_samples,
    ),
    OpRecord(
        op="Compress", infer=_compress_infer, size_limit=_along_axis, lower=_compress_lower, samples=_compress_samples,
        evaluate=lambda node, inputs: [np.compress(inputs[1], inputs[0], node.attr("axis"))],
    ),
    OpRecord(
        op="Unique", infer=_unique_infer, size_limit=_along_axis, evaluate=_unique_evaluate, lower=_unique_lower,
        samples=_unique_samples,
    ),
    OpRecord(
        op="TopK", requires=top_k_requires, infer=_top_k_infer, evaluate=_top_k_evaluate, lower=_top_k_lower,
        samples=_top_k_samples,
    ),
    OpRecord(
        op="ReverseSequence", infer=_reverse_infer, evaluate=_reverse_evaluate, lower=_reverse_lower,
        samples=_reverse_samples,
    ),
    OpRecord(
        op="TensorScatter", infer=_cache_infer, evaluate=_cache_evaluate, lower=_cache_lower, samples=_cache_samples,
    ),
    OpRecord(
        op="BitCast", infer=_bit_cast_infer, evaluate=_bit_cast_evaluate, view=_bit_cast_view,
        samples=_bit_cast_samples,
    ),
)  # fmt: skip
