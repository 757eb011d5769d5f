"""Gather and scatter: elements picked and placed by indices that are data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, is_nonnegative
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import Coordinates, Elements, ReadsRule, UnknownElementError
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, axis_in, data_through, known_ints
from arenaut.ir.ops.support.samples import MOVABLE
from arenaut.ir.place import Place
from arenaut.ir.record import Infer, Lower, NoRowError, OpRecord, Sample, UnknownError, first_operand
from arenaut.ir.types import Shape, TensorType, Type
from arenaut.plain import replace

# -- Gather --------------------------------------------------------------------------------------------------------


def _gather_infer(context: Infer) -> Sequence[Type]:
    shape, indices = context.shape(0), context.shape(1)
    axis = axis_in(context, context.node.attr("axis", 0), len(shape))
    picked, size = known_ints(context.known_data(1)), shape[axis]
    if picked is not None and isinstance(size, int) and any(not -size <= i < size for i in picked):
        raise context.fail(f"index out of range: {picked} in dim {axis} of {size}")
    return [TensorType(context.dtype(0), (*shape[:axis], *indices, *shape[axis + 1 :]))]


def _gather_view(node: Node, place: Place) -> Sequence[Place] | None:
    """One known index, in range of a known dim, is a slice."""
    indices = node.operand(1)
    axis = node.attr("axis", 0) % place.rank
    size, picked = place.dims[axis], known_ints(indices.data)
    if picked is None or len(picked) != 1 or not isinstance(size, int):
        return None
    place = place.slice(axis, picked[0] % size, 1).drop(axis)
    for _ in range(indices.rank):
        place = place.insert(axis)
    return [place]


def _gather_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [np.take(np.asarray(inputs[0]), np.asarray(inputs[1]).astype(np.int64), node.attr("axis", 0))]


def _gather_direct(node: Node) -> tuple[str, tuple[Any, ...]] | None:
    """Text that a constant names by its place."""
    labels = node.operand(0).constant
    if labels is None or labels.dtype != object or labels.ndim != 1 or node.operand(1).dtype is not DType.INT64:
        return None
    return "pick", (tuple(labels.tolist()),)


def _gather_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        x = samples.draw((4, 5, 3), dtype)
        for axis in (0, 1, -1):
            yield Sample((x, np.array([[0, 2], [-1, 1]])), {"axis": axis})
        yield Sample((x, np.array(-2, np.int32)), {"axis": 1})
        yield Sample((x, np.array([1])), {"axis": 1})
        yield Sample((x, np.zeros((0, 2), np.int64)), {"axis": 2})


# -- element by element --------------------------------------------------------------------------------------------


def _elements_infer(context: Infer) -> Sequence[Type]:
    shape, indices = context.shape(0), context.shape(1)
    axis_in(context, context.node.attr("axis", 0), len(shape))
    if len(indices) != len(shape):
        raise context.fail(f"indices have rank {len(indices)}, the data {len(shape)}")
    return [TensorType(context.dtype(0), indices)]


def _elements_index(indices: Any, axis: int, shape: Sequence[int]) -> tuple[Any, ...]:
    """The full index of every element of indices. Raises IndexError where one is out of range."""
    picked = np.asarray(indices).astype(np.int64)
    size = shape[axis]
    if picked.size and (picked.min() < -size or picked.max() >= size):
        raise RuleError(f"an index is out of range for dim {axis} of {size}")
    where: list[Any] = list(np.indices(picked.shape, sparse=True))
    where[axis] = picked % size if size else picked
    return tuple(where)


def _elements_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    axis = node.attr("axis", 0) % x.ndim
    return [x[_elements_index(inputs[1], axis, x.shape)]]


def _elements_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        x = samples.draw((4, 5), dtype)
        yield Sample((x, np.array([[0, -4, 2, 1, 3], [3, 1, 0, 2, -1]])), {"axis": 0})
        yield Sample((x, np.array([[0, 4], [-1, 2], [1, 1], [3, 3]], np.int32)), {"axis": -1})
        yield Sample((x, np.zeros((0, 5), np.int64)), {"axis": 0})


_COMBINE: Any = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _place(out: Any, where: tuple[Any, ...], updates: Any, reduction: str) -> None:
    """Writes updates in index order; equal indices combine, or the last one stays."""
    if reduction != "none":
        with np.errstate(all="ignore"):
            _COMBINE[reduction].at(out, where, updates)
    else:
        out[where] = updates


def _scattered_infer(context: Infer) -> Sequence[Type]:
    """The data's type, whatever is known of the others."""
    shape = context.shape(0)
    axis_in(context, context.node.attr("axis", 0), len(shape))
    if not all(context.node.operand(i).has_shape for i in (1, 2)):
        return [context.type(0)]
    indices, updates = context.shape(1), context.shape(2)
    if not len(shape) == len(indices) == len(updates):
        raise context.fail("data, indices and updates must have one rank")
    for have, want in zip(indices, updates, strict=True):
        agree(context, have, want, "indices and updates differ in shape")
    return [context.type(0)]


def _scattered_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    out, updates = np.array(inputs[0]), np.asarray(inputs[2])
    where = _elements_index(inputs[1], node.attr("axis", 0) % out.ndim, out.shape)
    _place(out, where, updates, node.attr("reduction", "none"))
    return [out]


def _scattered_samples() -> Iterator[Sample]:
    where = np.array([[0, -4, 2, 1, 3], [3, 1, 0, 0, -1]])
    for dtype in (*MOVABLE, DType.STRING):
        x, updates = samples.draw((4, 5), dtype), samples.draw((2, 5), dtype, seed=1)
        yield Sample((x, where, updates), {"axis": 0})
        yield Sample((x, np.array([[1], [-1]], np.int32), updates[:, :1]), {"axis": 1})
    for dtype in (DType.FLOAT, DType.INT64, DType.INT32):
        x, updates = samples.draw((4, 5), dtype), samples.draw((2, 5), dtype, seed=1)
        twice = np.array([[0, 1, 2, 1, 3], [0, 1, 0, 0, -1]])
        for reduction in ("add", "mul", "max", "min"):
            yield Sample((x, twice, updates), {"axis": 0, "reduction": reduction})
    truths = samples.draw((2, 5), DType.BOOL, seed=1)
    for reduction in ("add", "mul", "max", "min"):
        yield Sample((samples.draw((4, 5), DType.BOOL), twice, truths), {"axis": 0, "reduction": reduction})


# -- slice by slice ------------------------------------------------------------------------------------------------


def _last_dim(context: Infer, indices: Shape, rank: int) -> int:
    """How many axes the last dim of the indices addresses."""
    depth = context.settled(indices[-1]) if indices else 0
    if depth is None:
        raise UnknownError("the last dim of the indices is not known")
    if not 1 <= depth <= rank:
        raise context.fail(f"indices address {depth} axes of {rank}")
    return depth


def _gather_nd_infer(context: Infer) -> Sequence[Type]:
    shape, indices, batch = context.shape(0), context.shape(1), context.node.attr("batch_dims", 0)
    depth = _last_dim(context, indices, len(shape) - batch)
    lead = tuple(agree(context, a, b, "batch dims differ") for a, b in zip(shape[:batch], indices[:batch], strict=True))
    return [TensorType(context.dtype(0), (*lead, *indices[batch:-1], *shape[batch + depth :]))]


def _tuples_index(indices: Any, batch: int, shape: Sequence[int]) -> tuple[Any, ...]:
    """The index, over the axes that the last dim addresses, of every tuple. Raises IndexError when out of range."""
    picked = np.asarray(indices).astype(np.int64)
    if not 1 <= picked.shape[-1] <= len(shape) - batch:
        raise RuleError(f"input 1 addresses {picked.shape[-1]} axes of {len(shape) - batch}")
    sizes = np.array(shape[batch : batch + picked.shape[-1]], np.int64)
    if picked.size and ((picked < -sizes) | (picked >= sizes)).any():
        raise RuleError(f"an index is out of range for dims {list(sizes)}")
    picked = np.where(picked < 0, picked + sizes, picked)
    lead = np.indices(picked.shape[:-1], sparse=True)[:batch] if batch else ()
    return (*lead, *np.moveaxis(picked, -1, 0))


def _gather_nd_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    return [x[_tuples_index(inputs[1], node.attr("batch_dims", 0), x.shape)]]


def _gather_nd_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        x = samples.draw((2, 3, 4), dtype)
        yield Sample((x, np.array([[0, 1], [1, -1]])))
        yield Sample((x, np.array([[[0, 1, 2]], [[1, 2, -4]]])))
        yield Sample((x, np.array([[1], [-3]])), {"batch_dims": 1})
        yield Sample((x, np.array([[[1, 0], [0, 3]], [[2, 2], [-1, -1]]])), {"batch_dims": 1})
        yield Sample((x, np.zeros((0, 2), np.int64)))


def _scatter_nd_infer(context: Infer) -> Sequence[Type]:
    """The data's type, whatever is known of the others."""
    shape = context.shape(0)
    if not all(context.node.operand(i).has_shape for i in (1, 2)):
        return [context.type(0)]
    indices, updates = context.shape(1), context.shape(2)
    depth = _last_dim(context, indices, len(shape))
    wanted = (*indices[:-1], *shape[depth:])
    if len(wanted) != len(updates):
        raise context.fail(f"updates have rank {len(updates)}, expected {len(wanted)}")
    for have, want in zip(updates, wanted, strict=True):
        agree(context, have, want, "updates do not fit the indices")
    return [context.type(0)]


def _scatter_nd_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    out = np.array(inputs[0])
    _place(out, _tuples_index(inputs[1], 0, out.shape), np.asarray(inputs[2]), node.attr("reduction", "none"))
    return [out]


def _scatter_nd_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        x = samples.draw((4, 5, 3), dtype)
        yield Sample((x, np.array([[1], [-1]]), samples.draw((2, 5, 3), dtype, seed=1)))
        yield Sample((x, np.array([[[0, 1, 2]], [[3, -1, 0]]]), samples.draw((2, 1), dtype, seed=2)))
    for dtype in (DType.FLOAT, DType.INT64, DType.INT32):
        for reduction in ("add", "mul", "max", "min"):
            yield Sample(
                (samples.draw((4, 5), dtype), np.array([[1], [1], [0]]), samples.draw((3, 5), dtype, seed=1)),
                {"reduction": reduction},
            )
    for reduction in ("add", "mul"):
        x, truths = samples.draw((4, 5), DType.BOOL), samples.draw((3, 5), DType.BOOL, seed=1)
        yield Sample((x, np.array([[1], [1], [0]]), truths), {"reduction": reduction})


# -- lowering ------------------------------------------------------------------------------------------------------


# The reductions of the scatter families, at the numbers of their C enumeration.
REDUCTIONS = ("none", "add", "mul", "max", "min")


def _pick(lower: Lower, node: Node) -> None:
    """Gather, GatherElements: one step of the family of that name."""
    x, indices = lower.read(node.operand(0)), lower.read(node.operand(1))
    lower.call(node.op, [x, indices], [lower.write(node.output)], {"axis": node.attr("axis", 0) % x.rank})


def _pick_tuples(lower: Lower, node: Node) -> None:
    operands = [lower.read(node.operand(i)) for i in range(2)]
    lower.call("GatherND", operands, [lower.write(node.output)], {"batch_dims": node.attr("batch_dims", 0)})


def _put(lower: Lower, node: Node) -> None:
    """ScatterElements, ScatterND: the data is copied, then updated in place."""
    data, indices, updates = (lower.read(node.operand(i)) for i in range(3))
    target = lower.write(node.output)
    if target.dtype.compute is None:
        raise NoRowError("complex numbers")
    lower.copy(data, target)
    reduction = node.attr("reduction", "none")
    if target.dtype is DType.BOOL and reduction != "none":  # sums and products of truths, on their bytes
        updates, target = replace(updates, dtype=DType.UINT8), replace(target, dtype=DType.UINT8)
        reduction = {"add": "max", "mul": "min"}.get(reduction, reduction)
    params = {"reduction": REDUCTIONS.index(reduction)}
    if node.op == "ScatterElements":
        params["axis"] = node.attr("axis", 0) % target.rank
    lower.call(node.op, [indices, updates], [target], params)


def _picked_from(places: Callable[[Elements, Node, Coordinates], Coordinates]) -> ReadsRule:
    """Indices that are known and not negative."""

    def rule(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
        if not node.operand(0).has_shape or not node.operand(1).has_shape:
            raise UnknownElementError
        return places(elements, node, at)

    return rule


def _index(elements: Elements, node: Node, at: Coordinates) -> Dim:
    place = elements.integer(node.operand(1), at)
    if not is_nonnegative(place):
        raise UnknownElementError
    return place


def _gather_reads(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    axis, width = int(node.attr("axis", 0)) % node.operand(0).rank, node.operand(1).rank
    return (*at[:axis], _index(elements, node, at[axis : axis + width]), *at[axis + width :])


def _elements_read(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    axis = int(node.attr("axis", 0)) % node.operand(0).rank
    return (*at[:axis], _index(elements, node, at), *at[axis + 1 :])


def _gather_nd_reads(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    indices = node.operand(1)
    depth = indices.shape[-1]
    if node.attr("batch_dims", 0) or not isinstance(depth, int):
        raise UnknownElementError
    lead = indices.rank - 1
    return (*(_index(elements, node, (*at[:lead], k)) for k in range(depth)), *at[lead:])


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Gather", carries=first_operand, reads_at=_picked_from(_gather_reads),
        infer=_gather_infer, evaluate=_gather_evaluate, data=data_through(_gather_evaluate, 0),
        view=_gather_view, lower=_pick, direct=_gather_direct, samples=_gather_samples,
    ),
    OpRecord(
        op="GatherElements", carries=first_operand, reads_at=_picked_from(_elements_read),
        infer=_elements_infer, evaluate=_elements_evaluate,
        data=data_through(_elements_evaluate, 0), lower=_pick, samples=_elements_samples,
    ),
    OpRecord(
        op="GatherND", carries=first_operand, reads_at=_picked_from(_gather_nd_reads),
        infer=_gather_nd_infer, evaluate=_gather_nd_evaluate,
        data=data_through(_gather_nd_evaluate, 0), lower=_pick_tuples, samples=_gather_nd_samples,
    ),
    OpRecord(
        op="ScatterElements", infer=_scattered_infer, evaluate=_scattered_evaluate, lower=_put,
        samples=_scattered_samples,
    ),
    OpRecord(
        op="ScatterND", infer=_scatter_nd_infer, evaluate=_scatter_nd_evaluate,
        data=data_through(_scatter_nd_evaluate, 0, 2), lower=_put, samples=_scatter_nd_samples,
    ),
)  # fmt: skip
