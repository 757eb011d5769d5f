"""Sequences and optionals. Sequences are Python lists, an empty optional is None; both live on the host, but what is
taken at once out of a sequence just made is decomposed into plain tensor ops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, exact_div, symbol, symbols_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.infer import map_dims
from arenaut.ir.ops.support.common import axis_in, known_ints
from arenaut.ir.ops.support.composite import ints, slice_of, unsqueeze
from arenaut.ir.ops.support.merging import merge_elements, taken_out
from arenaut.ir.record import Build, Infer, NoRowError, OpRecord
from arenaut.ir.types import ANY_DIM, NO_ELEMENT, OptionalType, SequenceType, TensorType, Type

# -- types ---------------------------------------------------------------------------------------------------------


def _sequence(context: Infer, index: int = 0) -> SequenceType:
    t = context.type(index)
    if not isinstance(t, SequenceType):
        raise context.fail(f"input {index} is {t}, expected a sequence")
    return t


def _construct_infer(context: Infer) -> Sequence[Type]:
    element = context.type(0)
    for index in range(1, len(context.node.inputs)):
        element = merge_elements(context, element, context.type(index), f"element {index}")
    return [SequenceType(element)]


def _empty_infer(context: Infer) -> Sequence[Type]:
    return [SequenceType(TensorType(DType(int(context.node.attr("dtype") or DType.FLOAT)), NO_ELEMENT))]


def _insert_infer(context: Infer) -> Sequence[Type]:
    return [SequenceType(merge_elements(context, _sequence(context).element, context.type(1), "the new element"))]


def _at_infer(context: Infer) -> Sequence[Type]:
    node, element = context.node, _sequence(context).element
    chosen = _made_of(node)
    if chosen is not None and chosen.type is not None:
        return [chosen.type]
    return [taken_out(element, lambda axis: context.fresh(0, axis))]


def _concat_infer(context: Infer) -> Sequence[Type]:
    node, element = context.node, _sequence(context).element
    if not isinstance(element, TensorType):
        raise context.fail(f"elements are {element}, expected tensors")
    if element.shape is None or element.shape == NO_ELEMENT:
        return [TensorType(element.dtype, None)]
    shape = list(element.shape)
    if node.attr("new_axis", 0):
        shape.insert(axis_in(context, node.attr("axis"), len(shape) + 1), ANY_DIM)
    else:
        shape[axis_in(context, node.attr("axis"), len(shape))] = ANY_DIM
    return [taken_out(TensorType(element.dtype, tuple(shape)), lambda axis: context.fresh(0, axis))]


def _pieces(context: Infer, axis: int, length: Dim) -> Dim:
    """The extent of every piece along the axis; ANY_DIM where pieces may differ."""
    given = known_ints(context.known_data(1))
    if given is None or not given:
        return ANY_DIM
    if context.shape(1) == ():
        return given[0] if exact_div(length, given[0]) is not None else ANY_DIM
    return given[0] if len(set(given)) == 1 else ANY_DIM


def _split_infer(context: Infer) -> Sequence[Type]:
    node, shape = context.node, list(context.shape(0))
    axis = axis_in(context, node.attr("axis", 0), len(shape))
    if context.has(1):
        shape[axis] = _pieces(context, axis, shape[axis])
    elif node.attr("keepdims", 1):
        shape[axis] = 1
    else:
        del shape[axis]
    return [SequenceType(TensorType(context.dtype(0), tuple(shape)))]


# -- evaluators ----------------------------------------------------------------------------------------------------


def _position(given: Any, length: int, what: str, *, end: bool = False) -> int:
    """A position from the front; raises IndexError outside the sequence. end: one past the last is allowed."""
    position = int(np.asarray(given).reshape(-1)[0])
    if not -length <= position < length + end:
        raise RuleError(f"{what} {position} is outside a sequence of {length}")
    return position + length if position < 0 else position


def _insert_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    items = list(inputs[0])
    has_place = len(inputs) > 2 and inputs[2] is not None
    items.insert(_position(inputs[2], len(items), "position", end=True) if has_place else len(items), inputs[1])
    return [items]


def _erase_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    items = list(inputs[0])
    has_place = len(inputs) > 1 and inputs[1] is not None
    del items[_position(inputs[1], len(items), "position") if has_place else -1]
    return [items]


def _at_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [inputs[0][_position(inputs[1], len(inputs[0]), "position")]]


def _concat_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    join = np.stack if node.attr("new_axis", 0) else np.concatenate
    return [join([np.asarray(x) for x in inputs[0]], int(node.attr("axis")))]


def _split_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    axis = int(node.attr("axis", 0)) % x.ndim
    length = x.shape[axis]
    if len(inputs) < 2 or inputs[1] is None:
        pieces = [np.take(x, [i], axis) for i in range(length)]
        return [pieces if node.attr("keepdims", 1) else [p.squeeze(axis) for p in pieces]]
    split = np.asarray(inputs[1])
    if split.ndim == 0:
        if int(split) < 1:
            raise RuleError(f"pieces of {int(split)} do not make {length}")
        bounds = list(range(int(split), length, int(split)))
    else:
        if int(split.sum()) != length or (split < 0).any():
            raise RuleError(f"pieces of {split.tolist()} do not make {length}")
        bounds = np.cumsum(split)[:-1].tolist()
    return [np.split(x, bounds, axis)]


# -- a sequence that is taken apart where it was made --------------------------------------------------------------


def _maker(value: Value | None, op: str) -> Node | None:
    made = None if value is None else value.producer
    return made if made is not None and made.key == ("", op) else None


def _made_of(node: Node) -> Value | None:
    """The value that a SequenceAt with a known position takes out of a SequenceConstruct."""
    made, position = _maker(node.input(0), "SequenceConstruct"), _known_position(node)
    if made is None or position is None or not -len(made.inputs) <= position < len(made.inputs):
        return None
    return made.inputs[position]


def _known_position(node: Node) -> int | None:
    value = node.input(1)
    known = None if value is None else known_ints(value.data)
    return known[0] if known else None


def _at_decompose(build: Build, node: Node) -> Sequence[Value]:
    chosen = _made_of(node)
    if chosen is not None:
        return [chosen]
    split, position = _maker(node.input(0), "SplitToSequence"), _known_position(node)
    if split is None or position is None:
        raise NoRowError("which element is taken, or how the sequence was made, is not known")
    x = split.operand(0)
    axis = int(split.attr("axis", 0)) % x.rank
    start, end = _piece_bounds(split, x.shape[axis], position)
    piece = slice_of(build, x, axis, start, end)
    drops = split.input(1) is None and not split.attr("keepdims", 1)
    return [build.op("Squeeze", piece, ints(build, axis)) if drops else piece]


def _piece_bounds(split: Node, length: Dim, position: int) -> tuple[int, int]:
    """Where piece `position` begins and ends. Raises NoRowError where that is not known."""
    sizes = split.input(1)
    known = [1] if sizes is None else known_ints(sizes.data)
    if known is None:
        raise NoRowError("the sizes of the pieces are not known")
    if sizes is not None and sizes.rank == 1:
        bounds = [0, *np.cumsum(known).tolist()]
    elif isinstance(length, int):
        bounds = [*range(0, length, known[0]), length]
    elif position >= 0:
        return position * known[0], (position + 1) * known[0]
    else:
        raise NoRowError("the number of pieces is not known")
    if not -len(bounds) < position < len(bounds) - 1 or (position < 0 and position < 1 - len(bounds)):
        raise NoRowError(f"there is no piece {position}")
    place = position + len(bounds) - 1 if position < 0 else position
    return bounds[place], bounds[place + 1]


def _concat_decompose(build: Build, node: Node) -> Sequence[Value]:
    made = _maker(node.input(0), "SequenceConstruct")
    if made is None or not all(v is not None and v.has_shape for v in made.inputs):
        raise NoRowError("how the sequence was made is not known")
    axis, parts = int(node.attr("axis")), [v for v in made.inputs if v is not None]
    if node.attr("new_axis", 0):
        axis %= parts[0].rank + 1
        parts = [unsqueeze(build, v, axis) for v in parts]
    return [build.op("Concat", *parts, axis=axis)]


def _length_decompose(build: Build, node: Node) -> Sequence[Value]:
    made = _maker(node.input(0), "SequenceConstruct")
    if made is None:
        raise NoRowError("how the sequence was made is not known")
    return [build.constant(np.array(len(made.inputs), np.int64))]


# -- SequenceMap ---------------------------------------------------------------------------------------------------


def _own_inputs(node: Node) -> int:
    return len(node.inputs) - int(node.attr("captures", 0))


def _map_infer(context: Infer) -> Sequence[Type]:
    node = context.node
    stem = next(v.name for v in node.outputs if v is not None)
    types: list[Type] = []
    outside: set[str] = set()
    for index in range(len(node.inputs)):
        t = context.type(index)
        map_dims(t, lambda d: outside.update(s.name for s in symbols_of(d)))
        if isinstance(t, SequenceType) and index < _own_inputs(node):
            t = taken_out(t.element, lambda axis, i=index: symbol(f"{stem}.item{i}.{axis}"))  # type: ignore[misc]
        types.append(t)

    def shared(d: Dim) -> Dim:
        return d if all(s.name in outside for s in symbols_of(d)) else ANY_DIM

    return [SequenceType(map_dims(t, shared)) for t in context.infer_body("body", types)][: len(node.outputs)]


def _map_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    body, own = node.attr("body"), _own_inputs(node)
    assert isinstance(body, Graph)
    results: list[list[Any]] = [[] for _ in body.outputs]
    for turn in range(len(inputs[0])):
        items = [x[turn] if isinstance(x, list) and i < own else x for i, x in enumerate(inputs)]
        for kept, item in zip(results, evaluate_graph(body, items), strict=True):
            kept.append(item)
    return results


# -- optionals -----------------------------------------------------------------------------------------------------


def _optional_infer(context: Infer) -> Sequence[Type]:
    if context.has(0):
        return [OptionalType(context.type(0))]
    declared = context.node.attr("type")
    if declared is None:
        raise context.fail("an empty optional needs the attribute 'type'")
    return [declared if isinstance(declared, OptionalType) else OptionalType(declared)]


def _get_infer(context: Infer) -> Sequence[Type]:
    t = context.type(0)
    return [taken_out(t.element if isinstance(t, OptionalType) else t, lambda axis: context.fresh(0, axis))]


def _get_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    if inputs[0] is None:
        raise RuleError("the optional is empty")
    return [inputs[0]]


def _has_decompose(build: Build, node: Node) -> Sequence[Value]:
    value = node.input(0)
    if value is not None and isinstance(value.type, OptionalType):
        raise NoRowError("only running tells")
    return [build.constant(np.array(value is not None))]


def _get_decompose(build: Build, node: Node) -> Sequence[Value]:
    if isinstance(node.operand(0).type, OptionalType):
        raise NoRowError("an optional lives on the host")
    return [node.operand(0)]


def _scalar(dtype: DType) -> Any:
    return lambda context: [TensorType(dtype, ())]


def records() -> Iterator[OpRecord]:
    yield OpRecord(op="SequenceConstruct", infer=_construct_infer, evaluate=lambda node, inputs: [list(inputs)])
    yield OpRecord(op="SequenceEmpty", infer=_empty_infer, evaluate=lambda node, inputs: [[]])
    yield OpRecord(op="SequenceInsert", infer=_insert_infer, evaluate=_insert_evaluate)
    yield OpRecord(op="SequenceErase", infer=lambda c: [_sequence(c)], evaluate=_erase_evaluate)
    yield OpRecord(op="SequenceAt", infer=_at_infer, evaluate=_at_evaluate, decompose=_at_decompose)
    yield OpRecord(
        op="SequenceLength", infer=_scalar(DType.INT64), decompose=_length_decompose,
        evaluate=lambda node, inputs: [np.array(len(inputs[0]), np.int64)],
    )  # fmt: skip
    yield OpRecord(op="ConcatFromSequence", infer=_concat_infer, evaluate=_concat_evaluate, decompose=_concat_decompose)
    yield OpRecord(op="SplitToSequence", infer=_split_infer, evaluate=_split_evaluate)
    yield OpRecord(op="SequenceMap", infer=_map_infer, evaluate=_map_evaluate)
    yield OpRecord(
        op="Optional", infer=_optional_infer, evaluate=lambda node, inputs: [inputs[0] if len(inputs) else None]
    )
    yield OpRecord(
        op="OptionalHasElement", infer=_scalar(DType.BOOL), decompose=_has_decompose,
        evaluate=lambda node, inputs: [np.array(len(inputs) > 0 and inputs[0] is not None)],
    )  # fmt: skip
    yield OpRecord(op="OptionalGetElement", infer=_get_infer, evaluate=_get_evaluate, decompose=_get_decompose)


RECORDS: tuple[OpRecord, ...] = tuple(records())
