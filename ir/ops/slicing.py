"""Slice, Split, Concat, Tile, Pad, DepthToSpace, SpaceToDepth, CenterCropPad: parts of tensors, as views and copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim, maximum, minimum, select
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import Coordinates, Elements, UnknownElementError, precedes
from arenaut.ir.graph import Array, Node, Value, static_shape
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, axis_in, data_through, from_front, input_ints, known_ints, tensor_like
from arenaut.ir.ops.support.requirements import (
    blocks_require,
    concat_requires,
    pad_requires,
    split_requires,
    tile_requires,
)
from arenaut.ir.ops.support.samples import MOVABLE, i64
from arenaut.ir.place import Place
from arenaut.ir.record import Infer, Lower, NoRowError, OpRecord, Sample, all_operands, first_operand, the_only_input
from arenaut.ir.types import Shape, TensorType, Type

_INT32_MAX = (1 << 31) - 1


# -- Slice ---------------------------------------------------------------------------------------------------------


def _from_front(bound: Dim, size: Dim) -> Dim:
    """A bound that may count from the back. Both branches are evaluated: neither overflows for any bound."""
    if isinstance(bound, int):
        return bound if bound >= 0 else bound + size
    if dims.is_nonnegative(bound):
        return bound
    return dims.select(dims.less(bound, 0), dims.minimum(bound, 0) + size, bound)


def _clamp(value: Dim, low: Dim, high: Dim) -> Dim:
    return dims.minimum(dims.maximum(value, low), high)


def slice_range(start: Dim, end: Dim, step: int, size: Dim) -> tuple[Dim, Dim]:
    """First index and count of a slice along a dim of that size. Bounds of at least INT32_MAX mean no limit, as ONNX
    recommends for ends of unknown size; negative ones count from the back."""
    if isinstance(end, int) and abs(end) >= _INT32_MAX:
        end = size if end > 0 else -1 - size
    if isinstance(start, int) and abs(start) >= _INT32_MAX:
        start = size if start > 0 else -size
    first, last = _from_front(start, size), _from_front(end, size)
    if step > 0:
        first, last = _clamp(first, 0, size), _clamp(last, 0, size)
    else:
        first, last = _clamp(first, 0, size - 1), _clamp(last, -1, size - 1)
    return first, dims.maximum(dims.ceildiv(last - first, step), 0)


def _slice_infer(context: Infer) -> Sequence[Type]:
    shape = list(context.shape(0))
    starts, ends = context.data(1).ravel(), context.data(2).ravel()
    axes = input_ints(context, 3) if context.has(3) else list(range(len(starts)))
    steps = known_ints(context.known_data(4)) if context.has(4) else [1] * len(starts)
    assert axes is not None
    if not len(starts) == len(ends) == len(axes):
        raise context.fail(f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes")
    for i, axis in enumerate(axis_in(context, a, len(shape)) for a in axes):
        if steps is None:
            shape[axis] = context.fresh(0, axis)
        elif steps[i] == 0:
            raise context.fail("a step is 0")
        else:
            shape[axis] = slice_range(starts[i], ends[i], steps[i], shape[axis])[1]
    return [TensorType(context.dtype(0), tuple(shape))]


def _slice_view(node: Node, place: Place) -> Sequence[Place] | None:
    known = [None if v is None else v.data for v in (*node.inputs[1:], None, None)[:4]]
    starts, ends = known[0], known[1]
    absent = [node.input(i) is None for i in (3, 4)]
    if starts is None or ends is None:
        return None
    axes = list(range(starts.size)) if absent[0] else known_ints(known[2])
    steps = [1] * starts.size if absent[1] else known_ints(known[3])
    if axes is None or steps is None:
        return None
    for start, end, step, axis in zip(starts.flat, ends.flat, steps, axes, strict=True):
        axis %= place.rank
        first, count = slice_range(start, end, step, place.dims[axis])
        place = place.slice(axis, first, count, step)
    return [place]


def _slice_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    out = np.asarray(inputs[0])
    starts, ends = ([int(b) for b in np.asarray(inputs[i]).flat] for i in (1, 2))
    given = [None if len(inputs) <= i or inputs[i] is None else [int(v) for v in np.asarray(inputs[i]).flat]
             for i in (3, 4)]  # fmt: skip
    axes, steps = given[0] or range(len(starts)), given[1] or [1] * len(starts)
    for start, end, step, axis in zip(starts, ends, steps, axes, strict=True):
        bounds = static_shape(slice_range(start, end, step, out.shape[axis]))
        assert bounds is not None
        picked = np.arange(bounds[1]) * step + bounds[0]
        out = np.take(out, picked, axis)
    return [out]


# -- Split, Concat -------------------------------------------------------------------------------------------------


def split_sizes(node: Node, size: Dim, given: Array | None) -> list[Dim]:
    """Extents of the parts along the split axis: as given, else equal with a smaller last one."""
    if given is not None:
        return list(given.flat)
    count = len(node.outputs)
    part = dims.ceildiv(size, count)
    return [part] * (count - 1) + [size - part * (count - 1)]


def _split_infer(context: Infer) -> Sequence[Type]:
    shape, node = context.shape(0), context.node
    axis = axis_in(context, node.attr("axis", 0), len(shape))
    sizes = split_sizes(node, shape[axis], context.data(1) if context.has(1) else None)
    if len(sizes) != len(node.outputs):
        raise context.fail(f"{len(sizes)} split sizes for {len(node.outputs)} outputs")
    total: Dim = sum(sizes) if sizes else 0
    if any(isinstance(s, int) and s < 0 for s in sizes) or (
        isinstance(total, int) and isinstance(shape[axis], int) and total != shape[axis]
    ):
        raise context.fail(f"sizes {sizes} do not split dim {axis} of {shape[axis]}")
    return [TensorType(context.dtype(0), (*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


def _split_view(node: Node, place: Place) -> Sequence[Place] | None:
    axis = node.attr("axis", 0) % place.rank
    given = node.input(1)
    if given is not None and given.data is None:
        return None
    parts: list[Place] = []
    start: Dim = 0
    for size in split_sizes(node, place.dims[axis], None if given is None else given.data):
        parts.append(place.slice(axis, start, size))
        start = start + size
    return parts


def _split_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, axis = np.asarray(inputs[0]), node.attr("axis", 0)
    given = None if len(inputs) < 2 or inputs[1] is None else np.asarray(inputs[1]).astype(object)
    sizes = static_shape(split_sizes(node, x.shape[axis], given))
    assert sizes is not None
    return np.split(x, np.cumsum(sizes)[:-1].astype(np.int64), axis)


def _concat_infer(context: Infer) -> Sequence[Type]:
    node = context.node
    types = [tensor_like(context, i) for i in range(len(node.inputs))]
    if len({t.dtype for t in types}) > 1:
        raise context.fail("inputs must have one element type")
    shapes = [context.shape(i) for i in range(len(types))]
    rank = len(shapes[0])
    axis = axis_in(context, node.attr("axis"), rank)
    out = list(shapes[0])
    for shape in shapes[1:]:
        if len(shape) != rank:
            raise context.fail(f"ranks differ: {rank} and {len(shape)}")
        for i in range(rank):
            out[i] = out[i] + shape[i] if i == axis else agree(context, out[i], shape[i], f"dim {i} differs")
    return [TensorType(types[0].dtype, tuple(out))]


def _concat_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [np.concatenate([np.asarray(x) for x in inputs], node.attr("axis"))]


def _concat_lower(lower: Lower, node: Node) -> None:
    """One copy per input into its part of the output."""
    target = lower.write(node.output)
    axis = node.attr("axis") % target.rank
    start: Dim = 0
    for index in range(len(node.inputs)):
        source = lower.stored(node.operand(index))
        lower.copy(source, target.slice(axis, start, source.dims[axis]))
        start = start + source.dims[axis]


# -- Tile ----------------------------------------------------------------------------------------------------------


def _tile_infer(context: Infer) -> Sequence[Type]:
    shape, repeats = context.shape(0), context.data(1)
    if repeats.size != len(shape):
        raise context.fail(f"{repeats.size} repeats for rank {len(shape)}")
    return [TensorType(context.dtype(0), tuple(d * r for d, r in zip(shape, repeats.flat, strict=True)))]


def _tile_lower(lower: Lower, node: Node) -> None:
    """Each repeated axis is two in the output: a copy from a source of stride 0 on the first of them."""
    repeats = node.operand(1).data
    if repeats is None:
        raise NoRowError("repeats are not known")
    source, target = lower.read(node.operand(0)), lower.write(node.output)
    axis = 0
    for d, r in zip(source.dims, repeats.flat, strict=True):
        if not (isinstance(r, int) and r == 1):
            source, target = source.insert(axis), target.split(axis, r, d)
            axis += 1
        axis += 1
    lower.copy(source.broadcast_to(target.dims), target)


def _tile_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [np.tile(np.asarray(inputs[0]), tuple(int(r) for r in np.asarray(inputs[1]).flat))]


# -- Pad -----------------------------------------------------------------------------------------------------------


D = TypeVar("D", int, Dim)


def _pad_amounts(pads: Sequence[D], axes: list[int] | None, rank: int) -> list[tuple[D, D]]:
    """(before, after) of every axis."""
    chosen = list(range(rank)) if axes is None else from_front(axes, rank)
    out: list[tuple[D, D]] = [(0, 0)] * rank
    for i, axis in enumerate(chosen):
        out[axis] = (pads[i], pads[i + len(chosen)])
    return out


def _pad_infer(context: Infer) -> Sequence[Type]:
    shape, pads, axes = context.shape(0), context.data(1), input_ints(context, 3)
    if pads.size != 2 * (len(shape) if axes is None else len(axes)):
        raise context.fail(f"{pads.size} pads for {len(shape) if axes is None else len(axes)} axes")
    for axis in axes or ():
        axis_in(context, axis, len(shape))
    amounts = _pad_amounts(list(pads.flat), axes, len(shape))
    out = tuple(before + d + after for d, (before, after) in zip(shape, amounts, strict=True))
    if any(isinstance(d, int) and d < 0 for d in out):
        raise context.fail(f"pads {list(pads.flat)} leave a negative dim")
    return [TensorType(context.dtype(0), out)]


def _pad_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, mode = np.asarray(inputs[0]), node.attr("mode", "constant")
    axes = None if len(inputs) < 4 or inputs[3] is None else [int(a) for a in np.asarray(inputs[3]).flat]
    amounts = _pad_amounts([int(p) for p in np.asarray(inputs[1]).flat], axes, x.ndim)
    for axis, (before, after) in enumerate(amounts):
        kept = slice(max(-before, 0), x.shape[axis] - max(-after, 0))
        x = x[(slice(None),) * axis + (kept,)]
    widths = [(max(b, 0), max(a, 0)) for b, a in amounts]
    if mode != "constant":
        return [np.pad(x, widths, mode)]
    nothing = np.array("" if node.operand(0).dtype is DType.STRING else 0).astype(x.dtype)
    value = nothing if len(inputs) < 3 or inputs[2] is None else np.asarray(inputs[2]).reshape(())
    out = np.full([w[0] + d + w[1] for w, d in zip(widths, x.shape, strict=True)], value, x.dtype)
    out[tuple(slice(w[0], w[0] + d) for w, d in zip(widths, x.shape, strict=True))] = x
    return [out]


# The modes of family Pad, at the numbers of its C enumeration.
PAD_MODES = ("reflect", "edge", "wrap")


def _pad_lower(lower: Lower, node: Node) -> None:
    """Constant borders are filled and the middle is copied; the other modes are one step of family Pad."""
    data, mode, chosen = node.operand(1).data, node.attr("mode", "constant"), node.input(3)
    axes = None if chosen is None else known_ints(chosen.data)
    if data is None or (axes is None and chosen is not None) or (mode != "constant" and known_ints(data) is None):
        raise NoRowError("pads are not known")
    source = lower.read(node.operand(0))
    amounts = _pad_amounts(list(data.flat), axes, source.rank)
    cuts = [(dims.maximum(0 - b, 0), dims.maximum(0 - a, 0)) for b, a in amounts]
    for axis, (before, after) in enumerate(cuts):
        if (before, after) != (0, 0):
            source = source.slice(axis, before, source.dims[axis] - before - after)
    widths = [(dims.maximum(b, 0), dims.maximum(a, 0)) for b, a in amounts]
    target = lower.write(node.output)
    if mode != "constant":
        lower.call("Pad", [source], [target], {"mode": PAD_MODES.index(mode), "begin": [b for b, _ in widths]})
        return
    middle = target
    for axis, (before, _) in enumerate(widths):
        middle = middle.slice(axis, before, source.dims[axis])
    if any(w != (0, 0) for w in widths):
        _fill_borders(lower, node, target, middle, widths)
    lower.copy(source, middle)


def _fill_borders(lower: Lower, node: Node, target: Place, middle: Place, widths: Sequence[tuple[D, D]]) -> None:
    """Fills the frame around the middle: per axis the two bands, narrowed to the middle on the axes before it."""
    given = node.input(2)
    rest = target
    for axis, (before, after) in enumerate(widths):
        inner = middle.dims[axis]
        for start, count in ((0, before), (before + inner, after)):
            if count != 0:
                band = rest.slice(axis, start, count)
                if given is None:
                    lower.fill(band, np.zeros((), target.dtype.numpy))
                elif given.constant is not None:
                    lower.fill(band, given.constant.reshape(()))
                else:
                    value = lower.read(given)
                    lower.copy(lower.reshape(value, ()).broadcast_to(band.dims), band)
        rest = rest.slice(axis, before, inner)


# -- blocks --------------------------------------------------------------------------------------------------------

# blocksize and channels' places in the split input, and the order that the output reads them in.
_TO_SPACE = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}
_TO_DEPTH = {"DCR": (0, 3, 5, 1, 2, 4), "CRD": (0, 1, 3, 5, 2, 4)}


def _blocks(node: Node, shape: Shape) -> tuple[Shape, tuple[int, ...], Shape]:
    """The 6-d form of the input, the order of its dims in the output, and the output's dims."""
    n, c, h, w = shape
    size, mode = node.attr("blocksize"), node.attr("mode", "DCR")
    if node.op == "SpaceToDepth":
        high, wide = dims.floordiv(h, size), dims.floordiv(w, size)
        return (n, c, high, size, wide, size), _TO_DEPTH[mode], (n, c * (size * size), high, wide)
    rest = dims.floordiv(c, size * size)
    split = (n, size, size, rest, h, w) if mode == "DCR" else (n, rest, size, size, h, w)
    return split, _TO_SPACE[mode], (n, rest, h * size, w * size)


def _blocks_infer(context: Infer) -> Sequence[Type]:
    shape, node = context.shape(0), context.node
    if len(shape) != 4:
        raise context.fail(f"rank {len(shape)}, expected 4")
    size = node.attr("blocksize")
    divided = (shape[1],) if node.op == "DepthToSpace" else shape[2:]
    unit = size * size if node.op == "DepthToSpace" else size
    if any(isinstance(d, int) and d % unit for d in divided):
        raise context.fail(f"dims {list(divided)} are not multiples of {unit}")
    return [TensorType(context.dtype(0), _blocks(node, shape)[2])]


def _blocks_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    split, order, shape = _blocks(node, x.shape)
    before, after = static_shape(split), static_shape(shape)
    assert before is not None and after is not None
    return [x.reshape(before).transpose(order).reshape(after)]


def _blocks_lower(lower: Lower, node: Node) -> None:
    source, target = lower.read(node.operand(0)), lower.write(node.output)
    split, order, _ = _blocks(node, source.dims)
    seen = lower.reshape(source, split).permute(order)
    if node.op == "SpaceToDepth":
        _, first, second, third = seen.dims[:4]
        parts = target.split(1, first, second * third).split(2, second, third)
    else:
        parts = target.split(2, *seen.dims[2:4]).split(4, *seen.dims[4:6])
    lower.copy(seen, parts)


# -- CenterCropPad -------------------------------------------------------------------------------------------------


def _crop_axes(node: Node, rank: int) -> list[int]:
    axes = node.attr("axes")
    return list(range(rank)) if axes is None else [a % rank for a in axes]


def _crop_infer(context: Infer) -> Sequence[Type]:
    shape, wanted = list(context.shape(0)), context.data(1)
    for axis in context.node.attr("axes") or ():
        axis_in(context, axis, len(shape))
    axes = _crop_axes(context.node, len(shape))
    if wanted.size != len(axes):
        raise context.fail(f"{wanted.size} sizes for {len(axes)} axes")
    for axis, size in zip(axes, wanted.flat, strict=True):
        shape[axis] = size
    return [TensorType(context.dtype(0), tuple(shape))]


def _centred(have: Dim, want: Dim) -> tuple[Dim, Dim, Dim]:
    """Where the kept part begins in the input and in the output, and its extent."""
    cut = dims.floordiv(dims.maximum(have - want, 0), 2)
    lead = dims.floordiv(dims.maximum(want - have, 0), 2)
    return cut, lead, dims.minimum(have, want)


def _crop_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, shape = np.asarray(inputs[0]), list(np.shape(inputs[0]))
    for axis, size in zip(_crop_axes(node, x.ndim), np.asarray(inputs[1]).flat, strict=True):
        shape[axis] = int(size)
    out = np.zeros(shape, x.dtype)
    parts = [static_shape(_centred(have, want)) for have, want in zip(x.shape, shape, strict=True)]
    kept = [p for p in parts if p is not None]
    out[tuple(slice(lead, lead + n) for _, lead, n in kept)] = x[tuple(slice(cut, cut + n) for cut, _, n in kept)]
    return [out]


def _crop_lower(lower: Lower, node: Node) -> None:
    source, target = lower.read(node.operand(0)), lower.write(node.output)
    lower.fill(target, np.zeros((), target.dtype.numpy))
    middle = target
    for axis in _crop_axes(node, source.rank):
        cut, lead, count = _centred(source.dims[axis], target.dims[axis])
        source, middle = source.slice(axis, cut, count), middle.slice(axis, lead, count)
    lower.copy(source, middle)


# -- samples -------------------------------------------------------------------------------------------------------


def _moved(*cases: tuple[Any, ...]) -> Any:
    """(shape, attributes, integer inputs...) for every movable type; an integer input is a list or None."""

    def build(dtype: DType) -> Iterator[Sample]:
        for index, (shape, attributes, *ints) in enumerate(cases):
            further = [None if v is None else i64(*v) for v in ints]
            yield Sample((samples.draw(shape, dtype, seed=index), *further), attributes)

    return samples.of_types((*MOVABLE, DType.STRING), build)


def _split_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        x = samples.draw((6, 7), dtype)
        yield Sample((x,), {"num_outputs": 3}, 3)
        yield Sample((x,), {"num_outputs": 3, "axis": -1}, 3)
        yield Sample((x, i64(1, 0, 5)), {"axis": 0}, 3)
        yield Sample((x, i64(2, 5)), {"axis": 1}, 2)


def _concat_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        parts = [samples.draw((2, n, 3), dtype, seed=n) for n in (1, 0, 4)]
        yield Sample(tuple(parts), {"axis": 1})
        yield Sample(tuple(np.swapaxes(p, 0, 1) for p in parts), {"axis": -3})
        yield Sample((parts[0],), {"axis": 0})


def _pad_samples() -> Iterator[Sample]:
    for dtype in MOVABLE:
        x, value = samples.draw((3, 4, 5), dtype), samples.draw((), dtype, 1, 3, seed=5)
        for mode in ("constant", "reflect", "edge", "wrap"):
            yield Sample((x, i64(1, 2, 0, 2, 0, 3)), {"mode": mode})
            yield Sample((x, i64(2, 0, 1, 1), None, i64(-1, 0)), {"mode": mode})
        yield Sample((x, i64(1, -1, 0, -1, 2, 0), value))
        yield Sample((x, i64(2, 1), value, i64(1)))


_THREES = {"blocksize": 3, "mode": "CRD"}


def _pad_carries(node: Node) -> Sequence[int]:
    """With what stands around the data, where that is a number of its own."""
    return (0, 2) if node.attr("mode", "constant") == "constant" else (0,)


# -- one element ----------------------------------------------------------------------------------------------------


def _sliced(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    """Steps of one from known starts."""
    source = node.operand(0)
    starts, axes, steps = node.operand(1).data, node.input(3), node.input(4)
    if starts is None or not source.has_shape or (steps is not None and set(known_ints(steps.data) or [0]) != {1}):
        raise UnknownElementError
    chosen = list(range(starts.size)) if axes is None else known_ints(axes.data)
    if chosen is None:
        raise UnknownElementError
    places = list(at)
    for axis, start in zip(chosen, starts.reshape(-1), strict=True):
        first, size = elements.grounded(start), elements.grounded(source.shape[axis])
        if isinstance(first, int):
            places[axis] = places[axis] + (maximum(size + first, 0) if first < 0 else minimum(first, size))
        else:
            places[axis] = places[axis] + minimum(first, size)
    return tuple(places)


def _joined(elements: Elements, node: Node, at: Coordinates) -> Dim:
    axis = int(node.attr("axis")) % len(at)
    parts, start = [], at[axis]
    for value in node.inputs:
        if value is None or not value.has_shape:
            raise UnknownElementError
        parts.append((value, elements.grounded(value.shape[axis]), (*at[:axis], start, *at[axis + 1 :])))
        start = start - parts[-1][1]
    if isinstance(at[axis], int):
        place = at[axis]
        for value, size, there in parts:
            if isinstance(size, int) and isinstance(place, int) and place < size:
                return elements.integer(value, there)
            place = place - size
        raise UnknownElementError
    result = elements.integer(parts[-1][0], parts[-1][2])
    for value, size, there in reversed(parts[:-1]):
        result = select(precedes(there[axis], size), elements.integer(value, there), result)
    return result


def _forward(node: Node) -> Value | None:
    """A Slice with the input's shape is the identity unless it reverses."""
    steps = node.input(4)
    forward = steps is None or (steps.data is not None and all(isinstance(s, int) and s > 0 for s in steps.data.flat))
    return node.operand(0) if forward else None


def _unpadded(node: Node) -> Value | None:
    amounts = node.operand(1).constant
    return node.operand(0) if amounts is not None and amounts.size and not amounts.any() else None


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Slice", carries=first_operand, repeats=_forward, reads_at=_sliced,
        infer=_slice_infer, evaluate=_slice_evaluate, data=data_through(_slice_evaluate, 0),
        view=_slice_view,
        samples=_moved(
            ((5, 6, 7), {}, (1, 0), (4, 6)), ((5, 6, 7), {}, (1,), (-1,), (1,)),
            ((5, 6), {}, (0,), (1 << 62,), (1,), (2,)),
            ((5, 6), {}, (-1,), (-(1 << 62),), (-1,), (-2,)), ((5, 6), {}, (4, 3), (0, 0), (0, 1), (-1, -3)),
            ((5, 6), {}, (3,), (1,), (0,)), ((5,), {}, (-9,), (9,)), ((5,), {}, (20,), (0,), (0,), (-1,)),
            ((5, 0), {}, (0, 0), (3, 3)),
        ),
    ),
    OpRecord(
        op="Split", requires=split_requires, carries=first_operand,
        infer=_split_infer, evaluate=_split_evaluate, data=data_through(_split_evaluate, 0),
        view=_split_view, samples=_split_samples,
    ),
    OpRecord(
        op="Concat", requires=concat_requires, carries=all_operands, repeats=the_only_input, keeps_shape=True,
        element=_joined,
        infer=_concat_infer, evaluate=_concat_evaluate, data=data_through(_concat_evaluate),
        lower=_concat_lower, layout="follow", samples=_concat_samples,
    ),
    OpRecord(
        op="Tile", requires=tile_requires, carries=first_operand,
        infer=_tile_infer, evaluate=_tile_evaluate, data=data_through(_tile_evaluate, 0),
        lower=_tile_lower, layout="follow",
        samples=_moved(((2, 3), {}, (2, 1)), ((2, 3), {}, (1, 3)), ((2, 1, 3), {}, (2, 3, 0)), ((), {}, ())),
    ),
    OpRecord(
        op="Pad", requires=pad_requires, carries=_pad_carries, repeats=_unpadded, keeps_shape=True,
        infer=_pad_infer, evaluate=_pad_evaluate, data=data_through(_pad_evaluate, 0, 2), lower=_pad_lower,
        layout="follow", samples=_pad_samples,
    ),
    *(
        OpRecord(
            op=op, requires=blocks_require, carries=first_operand,
            infer=_blocks_infer, evaluate=_blocks_evaluate, lower=_blocks_lower, layout="follow", samples=drawn
        )
        for op, drawn in (
            ("DepthToSpace", _moved(((2, 12, 2, 3), {"blocksize": 2}), ((1, 9, 2, 3), _THREES))),
            ("SpaceToDepth", _moved(((2, 3, 4, 6), {"blocksize": 2}), ((1, 2, 6, 3), _THREES))),
        )
    ),
    OpRecord(
        op="CenterCropPad", infer=_crop_infer, evaluate=_crop_evaluate, lower=_crop_lower, layout="follow",
        samples=_moved(((5, 4), {}, (3, 3)), ((5, 4), {"axes": (-1,)}, (1,)), ((2, 3), {"axes": (0, 1)}, (5, 8))),
    ),
)  # fmt: skip
