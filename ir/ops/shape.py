"""Ops on shapes and views of tensors: what Reshape, Transpose, Squeeze, Expand and their kin do needs no kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim, Expr
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import Coordinates, Elements, UnknownElementError, broadcast
from arenaut.ir.graph import Array, Node, Value, static_shape
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import (
    axis_in,
    broadcast_dim,
    data_through,
    dim_array,
    input_ints,
    known_ints,
    same_as_input,
    tensor_like,
)
from arenaut.ir.ops.support.requirements import expand_requires, reshape_requires, squeeze_requires
from arenaut.ir.ops.support.samples import MOVABLE, i64
from arenaut.ir.place import Place, ordered_strides
from arenaut.ir.record import Infer, Lower, NoRowError, OpRecord, Sample, UnknownError, first_operand, the_first_input
from arenaut.ir.types import Shape, TensorType, Type
from arenaut.plain import replace

# -- Shape, Size ---------------------------------------------------------------------------------------------------


def _shape_range(node: Node, rank: int) -> slice:
    """The dims that Shape gives: start and end count from the back when negative, and are clamped."""
    start, end = node.attr("start", 0), node.attr("end")
    clamp = [min(max(bound + rank if bound < 0 else bound, 0), rank) for bound in (start, rank if end is None else end)]
    return slice(clamp[0], max(clamp))


def _shape_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    count = context.fresh(0, 0) if t.shape is None else len(t.shape[_shape_range(context.node, len(t.shape))])
    return [TensorType(DType.INT64, (count,))]


def _shape_data(context: Infer) -> Sequence[Array | None]:
    shape = context.shape(0)
    return [dim_array(shape[_shape_range(context.node, len(shape))])]


def _shape_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    shape = np.shape(inputs[0])
    return [np.array(shape[_shape_range(node, len(shape))], np.int64)]


def write_dims(lower: Lower, node: Node) -> None:
    """Writes an output whose elements are known as dims (Value.data): they are parameters, known at binding."""
    data = node.output.data
    if data is None:
        raise NoRowError("elements not known as dims")
    place = lower.write(node.output)
    flat = place.reshape((data.size,))
    assert flat is not None
    for index, d in enumerate(data.flat):
        lower.call("Fill", [], [flat.slice(0, index, 1)], {"bits": [d, 0]})


def _size_data(context: Infer) -> Sequence[Array | None]:
    return [np.asarray(dims.product(context.shape(0)), object)]


# -- Reshape and its kin -------------------------------------------------------------------------------------------


def view_as_output(node: Node, place: Place) -> Sequence[Place] | None:
    """Input 0's elements in row-major order under the output's dims."""
    shape = node.output.shape
    seen = place.reshape(shape)
    return None if seen is None else [seen]


def lower_as_output(lower: Lower, node: Node) -> None:
    """The same where the strides allow no view: a copy into the layout that the output is to have."""
    source, order, shape = lower.read(node.operand(0)), node.output.order, node.output.shape
    laid_out = None if order is None else replace(source, dims=shape, strides=ordered_strides(shape, order))
    if laid_out is None or laid_out.reshape(source.dims) is None:
        lower.alias(node.output, lower.reshape(source, shape))
        return
    target = lower.write(node.output)
    parts = target.reshape(source.dims)
    if parts is None:  # a part of something larger
        source, parts = lower.reshape(source, shape), target
    lower.copy(source, parts)


def _copied(target: Dim, index: int, shape: Shape, allow_zero: bool) -> Dim:
    """A target dim that is not -1: 0 means the input's dim at that place."""
    if allow_zero or (isinstance(target, Expr) and dims.is_nonnegative(target)):
        return target
    if isinstance(target, int):
        return shape[index] if target == 0 and index < len(shape) else target
    return dims.select(dims.equal(target, 0), shape[index], target) if index < len(shape) else target


def reshaped(shape: Shape, target: Sequence[Dim], allow_zero: bool) -> Shape:
    """The dims that Reshape gives. A symbolic target may turn out to be -1 or 0 when it was read from data; one that
    is a size is taken as that size."""
    total = dims.product(shape)
    plain = [_copied(t, i, shape, allow_zero) for i, t in enumerate(target)]
    known_hole = any(isinstance(t, int) and t == -1 for t in target)
    out: list[Dim] = []
    for index, t in enumerate(target):
        others = dims.product(plain[:index] + plain[index + 1 :])
        if isinstance(t, int) and t == -1:
            out.append(dims.floordiv(total, others))
        elif known_hole or isinstance(t, int) or dims.is_nonnegative(t):
            out.append(plain[index])
        else:
            out.append(dims.select(dims.less(t, 0), dims.floordiv(total, others), plain[index]))
    return tuple(out)


def _reshape_infer(context: Infer) -> Sequence[Type]:
    target = [d if isinstance(d, Expr) else int(d) for d in context.data(1).flat]
    t, allow_zero = tensor_like(context), bool(context.node.attr("allowzero", 0))
    if sum(1 for d in target if isinstance(d, int) and d == -1) > 1:
        raise context.fail(f"more than one -1 in the target shape {target}")
    if any(isinstance(d, int) and d < -1 for d in target):
        raise context.fail(f"negative dim in the target shape {target}")
    if t.shape is None:
        if any(not isinstance(d, int) or d <= 0 for d in target):
            return [TensorType(t.dtype, tuple(context.fresh(0, i) for i in range(len(target))))]
        return [TensorType(t.dtype, tuple(target))]
    if not allow_zero and any(isinstance(d, int) and d == 0 for d in target[len(t.shape) :]):
        raise context.fail(f"the target shape {target} copies a dim that the input does not have")
    out = reshaped(t.shape, target, allow_zero)
    before, after = dims.product(t.shape), dims.product(out)
    if isinstance(before, int) and isinstance(after, int) and before != after:
        raise context.fail(f"{before} elements do not make shape {target}")
    return [TensorType(t.dtype, out)]


def _reshape_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    target = [int(d) for d in np.asarray(inputs[1]).flat]
    shape = static_shape(reshaped(x.shape, target, bool(node.attr("allowzero", 0))))
    assert shape is not None
    return [x.reshape(shape)]


def _flatten_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    axis = context.node.attr("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise context.fail(f"axis {axis} is out of range for rank {len(shape)}")
    axis = axis + len(shape) if axis < 0 else axis
    return [TensorType(context.dtype(0), (dims.product(shape[:axis]), dims.product(shape[axis:])))]


def _flatten_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, axis = np.asarray(inputs[0]), node.attr("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return [x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), int(np.prod(x.shape[axis:], dtype=np.int64)))]


def _text_in_shape(node: Node) -> tuple[str, tuple[Any, ...]] | None:
    """Text in its own shape, or in one of which the node's own constants leave one dim open at most. Not for Squeeze,
    which refuses dims that are not 1: counting elements does not tell."""
    t = node.outputs[0].type if node.outputs and node.outputs[0] is not None else None
    if not isinstance(t, TensorType) or t.dtype is not DType.STRING or t.shape is None:
        return None
    if any(v is not None and v.constant is None for v in node.inputs[1:]):
        return None
    if t == node.operand(0).type:
        return "shaped", (None,)
    shape = [d if isinstance(d, int) else -1 for d in t.shape]
    return ("shaped", (tuple(shape),)) if shape.count(-1) <= 1 else None


def _squeezed(context: Infer, shape: Shape) -> list[int]:
    """The axes that Squeeze drops, sorted."""
    given = input_ints(context, 1)
    if given is None:
        ones = [context.truth(dims.equal(d, 1)) for d in shape]
        if any(one is None for one in ones):
            raise UnknownError("whether a symbolic dim is 1 is not known")
        return [i for i, one in enumerate(ones) if one]
    axes = sorted({axis_in(context, a, len(shape)) for a in given})
    for axis in axes:
        if isinstance(shape[axis], int) and shape[axis] != 1:
            raise context.fail(f"dim {axis} is {shape[axis]}, not 1")
    return axes


def _squeeze_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    gone = _squeezed(context, shape)
    return [TensorType(context.dtype(0), tuple(d for i, d in enumerate(shape) if i not in gone))]


def _axes_of(node: Node, rank: int) -> list[int] | None:
    """The constant axes of input 1, from the front and sorted."""
    value = node.input(1)
    known = None if value is None else known_ints(value.data)
    return None if known is None else sorted({a % rank for a in known})


def _squeeze_view(node: Node, place: Place) -> Sequence[Place] | None:
    axes = _axes_of(node, place.rank)
    if axes is None:
        axes = [i for i, d in enumerate(place.dims) if d == 1]
    for axis in reversed(axes):
        place = place.drop(axis)
    return [place] if place.rank == node.output.rank else None


def _squeeze_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    if len(inputs) < 2 or inputs[1] is None:
        return [np.squeeze(x)]
    return [np.squeeze(x, tuple(int(a) for a in np.asarray(inputs[1]).flat))]


def _unsqueeze_infer(context: Infer) -> Sequence[Type]:
    axes, shape = input_ints(context, 1), list(context.shape(0))
    if axes is None:
        raise context.fail("axes are required")
    rank = len(shape) + len(axes)
    places = sorted(axis_in(context, a, rank) for a in axes)
    if len(set(places)) < len(places):
        raise context.fail(f"axes {axes} repeat")
    for axis in places:
        shape.insert(axis, 1)
    return [TensorType(context.dtype(0), tuple(shape))]


def _unsqueeze_view(node: Node, place: Place) -> Sequence[Place] | None:
    axes = _axes_of(node, node.output.rank)
    if axes is None:
        return None
    for axis in axes:
        place = place.insert(axis)
    return [place]


def _unsqueeze_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, axes = np.asarray(inputs[0]), np.asarray(inputs[1])
    return [np.expand_dims(x, tuple(int(a) for a in axes.flat))]


# -- Transpose, Expand ---------------------------------------------------------------------------------------------


def permutation(node: Node, rank: int) -> list[int]:
    """Transpose's perm; reversed dims when absent."""
    perm = node.attr("perm")
    return [a % rank for a in perm] if perm is not None else list(reversed(range(rank)))


def _transpose_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    perm = context.node.attr("perm")
    if perm is not None and sorted(perm) != list(range(len(shape))):
        raise context.fail(f"perm {list(perm)} is no permutation of {len(shape)} axes")
    return [TensorType(context.dtype(0), tuple(shape[i] for i in permutation(context.node, len(shape))))]


def _transpose_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    return [np.transpose(x, permutation(node, x.ndim))]


def _expand_infer(context: Infer) -> Sequence[Type]:
    shape, target = context.shape(0), tuple(d if isinstance(d, Expr) else int(d) for d in context.data(1).flat)
    rank = max(len(shape), len(target))
    shape, target = (1,) * (rank - len(shape)) + shape, (1,) * (rank - len(target)) + target
    out: list[Dim] = []
    for axis, (have, want) in enumerate(zip(shape, target, strict=True)):
        merged = broadcast_dim(have, want)
        if merged is None:
            raise context.fail(f"dim {axis}: {have} does not expand to {want}")
        out.append(merged)
    return [TensorType(context.dtype(0), tuple(out))]


def expanded(place: Place, shape: Shape) -> Place:
    """place broadcast to shape; the stride of a dim that may or may not be 1 is itself a choice at binding."""
    lead = len(shape) - place.rank
    strides: list[Dim] = [0] * lead
    for have, want, stride in zip(place.dims, shape[lead:], place.strides, strict=True):
        strides.append(stride if have == want else dims.select(dims.equal(have, 1), 0, stride))
    return Place(place.buffer, place.dtype, tuple(shape), tuple(strides), place.offset)


def _expand_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, target = np.asarray(inputs[0]), tuple(int(d) for d in np.asarray(inputs[1]).flat)
    return [np.broadcast_to(x, np.broadcast_shapes(x.shape, target))]


# -- Identity, Dropout ---------------------------------------------------------------------------------------------


def _identity_view(node: Node, place: Place) -> Sequence[Place] | None:
    return [place]


def dropout_is_identity(node: Node) -> bool:
    """Whether this Dropout is known to pass its input through."""
    mode = node.input(2)
    return mode is None or (mode.constant is not None and not bool(mode.constant))


def _dropout_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    return [t, TensorType(DType.BOOL, t.shape)][: len(context.node.outputs)]


def _dropout_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    ratio = 0.5 if len(inputs) < 2 or inputs[1] is None else np.asarray(inputs[1]).item()
    if len(inputs) > 2 and inputs[2] is not None and np.asarray(inputs[2]).item() and ratio:
        from arenaut.ir.ops.support.fallback import evaluate_reference

        return evaluate_reference(node, inputs)
    return [inputs[0], np.ones(np.shape(inputs[0]), np.bool_)][: len(node.outputs)]


def _dropout_view(node: Node, place: Place) -> Sequence[Place] | None:
    return [place] if dropout_is_identity(node) and len(node.outputs) == 1 else None


def _dropout_lower(lower: Lower, node: Node) -> None:
    if not dropout_is_identity(node):
        raise NoRowError("training")
    lower.alias(node.output, lower.read(node.operand(0)))
    if len(node.outputs) > 1 and node.outputs[1] is not None:
        lower.fill(lower.write(node.outputs[1]), np.ones((), np.bool_))


# -- samples -------------------------------------------------------------------------------------------------------


def _over_types(*cases: tuple[tuple[int, ...], Sequence[int] | None, dict[str, Any]]) -> Any:
    """(shape of input 0, elements of input 1 or None, attributes), for every movable type."""

    def build(dtype: DType) -> Iterator[Sample]:
        for index, (shape, ints, attributes) in enumerate(cases):
            inputs: tuple[Array, ...] = (samples.draw(shape, dtype, seed=index),)
            yield Sample(inputs if ints is None else (*inputs, i64(*ints)), attributes)

    return samples.of_types((*MOVABLE, DType.STRING), build)


def _identity_samples() -> Iterator[Sample]:
    for dtype in (*MOVABLE, DType.STRING):
        yield Sample((samples.draw((2, 3), dtype),))


def _dropout_samples() -> Iterator[Sample]:
    x = samples.draw((3, 4))
    for outputs in (1, 2):
        yield Sample((x,), outputs=outputs)
        yield Sample((x, np.array(0.25, np.float32), np.array(False)), outputs=outputs)


# -- one element ----------------------------------------------------------------------------------------------------


def _reshaped(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    """Through a reshape that only adds or drops dims of one."""
    source, target = node.operand(0), node.output
    if not source.has_shape or not target.has_shape:
        raise UnknownElementError
    kept = [c for c, d in zip(at, target.shape, strict=True) if d != 1]
    wanted = [d for d in target.shape if d != 1]
    if wanted != [d for d in source.shape if d != 1]:
        raise UnknownElementError
    places = iter(kept)
    return tuple(0 if d == 1 else next(places) for d in source.shape)


def _expanded(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    source = node.operand(0)
    if not source.has_shape:
        raise UnknownElementError
    return broadcast(source, at)


def _transposed(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    perm = node.attr("perm") or tuple(range(len(at) - 1, -1, -1))
    places: list[Dim] = [0] * len(at)
    for i, axis in enumerate(perm):
        places[axis] = at[i]
    return tuple(places)


def _size(elements: Elements, node: Node, at: Coordinates) -> Dim:
    source = node.operand(0)
    if not source.has_shape or not isinstance(at[0], int):
        raise UnknownElementError
    return elements.grounded(source.shape[int(node.attr("start", 0)) + at[0]])


def _dropout_repeats(node: Node) -> Value | None:
    """Inference: the mask, when somebody reads it, keeps the node alive."""
    mask = node.outputs[1] if len(node.outputs) > 1 else None
    mask_read = mask is not None and (bool(mask.uses) or (node.graph is not None and node.graph.is_output(mask)))
    training = node.input(2)
    never = training is None or (training.constant is not None and not training.constant.any())
    return None if mask_read or not never else node.operand(0)


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Shape", element=_size, infer=_shape_infer, evaluate=_shape_evaluate, data=_shape_data, lower=write_dims,
        samples=_over_types(
            ((2, 3, 4), None, {}), ((2, 3, 4), None, {"start": 1}), ((2, 3, 4), None, {"start": -2, "end": -1}),
            ((), None, {}), ((2, 3), None, {"start": 5, "end": 1}), ((2, 0), None, {"end": 9}),
        ),
    ),
    OpRecord(
        op="Size", infer=lambda context: [TensorType(DType.INT64, ())], data=_size_data, lower=write_dims,
        evaluate=lambda node, inputs: [np.asarray(np.size(inputs[0]), np.int64)],
        samples=_over_types(((2, 3, 4), None, {}), ((), None, {}), ((2, 0), None, {})),
    ),
    OpRecord(
        op="Reshape", requires=reshape_requires, carries=first_operand,
        repeats=the_first_input, reshapes=True, reads_at=_reshaped,
        infer=_reshape_infer, evaluate=_reshape_evaluate, data=data_through(_reshape_evaluate, 0),
        view=view_as_output, lower=lower_as_output, direct=_text_in_shape,
        samples=_over_types(
            ((2, 3, 4), (6, 4), {}), ((2, 3, 4), (0, -1), {}), ((2, 3, 4), (-1,), {}), ((2, 3, 4), (4, 0, -1, 1), {}),
            ((0, 3), (0, 3, 5), {"allowzero": 1}), ((1,), (), {}), ((), (1, 1), {}), ((0, 3), (3, 0), {"allowzero": 1}),
        ),
    ),
    OpRecord(
        op="Flatten", carries=first_operand, reshapes=True, reads_at=_reshaped,
        infer=_flatten_infer, evaluate=_flatten_evaluate, view=view_as_output, lower=lower_as_output,
        direct=_text_in_shape,
        samples=_over_types(
            ((2, 3, 4), None, {}), ((2, 3, 4), None, {"axis": 0}), ((2, 3, 4), None, {"axis": -1}),
            ((2, 3, 4), None, {"axis": 3}), ((), None, {"axis": 0}),
        ),
    ),
    OpRecord(
        op="Squeeze", requires=squeeze_requires, carries=first_operand, reshapes=True, reads_at=_reshaped,
        infer=_squeeze_infer, evaluate=_squeeze_evaluate, data=data_through(_squeeze_evaluate, 0),
        view=_squeeze_view, lower=lower_as_output,
        samples=_over_types(((1, 3, 1, 4), (0,), {}), ((1, 3, 1, 4), (-2, 0), {}), ((1, 3, 1, 4), None, {})),
    ),
    OpRecord(
        op="Unsqueeze", carries=first_operand, reshapes=True, reads_at=_reshaped,
        infer=_unsqueeze_infer, evaluate=_unsqueeze_evaluate,
        data=data_through(_unsqueeze_evaluate, 0), view=_unsqueeze_view, lower=lower_as_output, direct=_text_in_shape,
        samples=_over_types(((3, 4), (0,), {}), ((3, 4), (-1, 1), {}), ((), (0, 1), {}), ((0, 4), (3, 1), {})),
    ),
    OpRecord(
        op="Transpose", carries=first_operand, permutes=True, reads_at=_transposed,
        infer=_transpose_infer, evaluate=_transpose_evaluate,
        data=data_through(_transpose_evaluate, 0),
        view=lambda node, place: [place.permute(permutation(node, place.rank))],
        samples=_over_types(
            ((2, 3, 4), None, {}), ((2, 3, 4), None, {"perm": (1, 2, 0)}), ((), None, {}),
            ((2, 0, 3), None, {"perm": (2, 0, 1)}),
        ),
    ),
    OpRecord(
        op="Expand", requires=expand_requires, carries=first_operand, repeats=the_first_input, reads_at=_expanded,
        infer=_expand_infer, evaluate=_expand_evaluate, data=data_through(_expand_evaluate, 0),
        view=lambda node, place: [expanded(place, node.output.shape)],
        samples=_over_types(
            ((3, 1), (2, 1, 6), {}), ((3, 1), (3, 4), {}), ((3, 4), (1, 1), {}), ((), (2, 3), {}), ((1, 3), (0, 3), {})
        ),
    ),
    OpRecord(
        op="Identity", carries=first_operand, repeats=the_first_input, keeps_shape=True,
        reads_at=lambda elements, node, at: at,
        infer=same_as_input, evaluate=lambda node, inputs: [inputs[0]],
        data=lambda context: [context.known_data(0)], view=_identity_view, samples=_identity_samples,
    ),
    OpRecord(
        op="Dropout", repeats=_dropout_repeats, keeps_shape=True,
        infer=_dropout_infer, evaluate=_dropout_evaluate, view=_dropout_view, lower=_dropout_lower,
        samples=_dropout_samples,
    ),
)  # fmt: skip
