"""If, Loop and Scan: nodes with body graphs.

Captured outer values are explicit trailing inputs of the node and of each of its bodies; the int attribute `captures`
says how many they are. If: cond, captures. Loop: trip count, condition, carried values, captures; its body takes the
iteration number and the condition first. Scan: states, scanned inputs, captures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, Expr, maximum, symbol, symbols_of
from arenaut.ir.dtypes import DType
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.ops.support.common import agree, axis_in
from arenaut.ir.ops.support.merging import FreshDim, merge_types
from arenaut.ir.place import Place
from arenaut.ir.record import Infer, Lower, NoRowError, OpRecord
from arenaut.ir.types import TensorType, Type
from arenaut.plain import dataclass


def body_of(node: Node, name: str) -> Graph:
    body = node.attr(name)
    assert isinstance(body, Graph)
    return body


def captures_of(node: Node) -> int:
    return int(node.attr("captures", 0))


# -- types that two paths must share -------------------------------------------------------------------------------


def _fresh_dims(context: Infer, output: int) -> FreshDim:
    """Symbols of an output; for one that nobody reads, symbols named from the first output there is."""
    if output < len(context.node.outputs) and context.node.outputs[output] is not None:
        return lambda axis: context.fresh(output, axis)
    stem = next(v.name for v in context.node.outputs if v is not None)
    return lambda axis: symbol(f"{stem}.state{output}.{axis}")


@dataclass(frozen=True)
class _Settled:
    """Carried types that hold in every iteration, the body's result types for them (carried first), and the symbols
    of dims that may change from one iteration to the next."""

    state: Sequence[Type]
    results: Sequence[Type]
    changing: frozenset[str]


def _settle(context: Infer, initial: Sequence[Type], run: Callable[[Sequence[Type]], Sequence[Type]]) -> _Settled:
    """The fixpoint over the body. It ends: a dim changes once to a symbol, a rank once to unknown."""
    state, changing = list(initial), set[str]()

    def changed(output: int) -> FreshDim:
        fresh = _fresh_dims(context, output)

        def dim(axis: int) -> Dim:
            changing.update(s.name for s in symbols_of(fresh(axis)))
            return fresh(axis)

        return dim

    while True:
        results = run(state)
        if len(results) < len(state):
            raise context.fail(f"the body gives {len(results)} values for {len(state)} carried ones")
        merged = [
            merge_types(context, a, b, changed(i), f"carried value {i}")
            for i, (a, b) in enumerate(zip(state, results, strict=False))
        ]
        if merged == state:
            return _Settled(state, results, frozenset(changing))
        state = merged


def _stacked(context: Infer, output: int, t: Type, length: Dim, axis: int, changing: frozenset[str]) -> Type:
    """The type of a scan output: elements of type t along axis. Dims that may change while the loop runs are decided
    by running."""
    if not isinstance(t, TensorType):
        raise context.fail(f"scan output {output} is {t}, expected a tensor")
    if t.shape is None:
        return t
    place, fresh = axis_in(context, axis, len(t.shape) + 1), _fresh_dims(context, output)
    dims = [*t.shape[:place], length, *t.shape[place:]]
    varies = [i != place and any(s.name in changing for s in symbols_of(d)) for i, d in enumerate(dims)]
    return TensorType(t.dtype, tuple(fresh(i) if v else d for i, (d, v) in enumerate(zip(dims, varies, strict=True))))


def _check_single(context: Infer, t: Type, dtype: DType, what: str) -> None:
    """What steers the control flow is one element of a type that the standard fixes."""
    one = isinstance(t, TensorType) and all(d == 1 or isinstance(d, Expr) for d in t.shape or ())
    if not isinstance(t, TensorType) or t.dtype is not dtype or not one:
        raise context.fail(f"{what} is {t}, expected one element of {dtype.short}")


# -- If ------------------------------------------------------------------------------------------------------------


def _if_infer(context: Infer) -> Sequence[Type]:
    node = context.node
    _check_single(context, context.type(0), DType.BOOL, "the condition")
    types = [context.type(i) for i in range(1, len(node.inputs))]
    paths = [context.infer_body(name, types) for name in ("then_branch", "else_branch")]
    if len(paths[0]) != len(paths[1]):
        raise context.fail(f"the branches give {len(paths[0])} and {len(paths[1])} values")
    return [
        merge_types(context, a, b, _fresh_dims(context, i), f"output {i}")
        for i, (a, b) in enumerate(zip(*paths, strict=True))
    ][: len(node.outputs)]


def _if_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    chosen = "then_branch" if bool(np.asarray(inputs[0]).reshape(-1)[0]) else "else_branch"
    return evaluate_graph(body_of(node, chosen), list(inputs[1:]))


def _places(lower: Lower, values: Iterable[Value | None]) -> list[Place | None]:
    return [None if v is None else lower.read(v) for v in values]


def _if_lower(lower: Lower, node: Node) -> None:
    bodies = [body_of(node, "then_branch"), body_of(node, "else_branch")]
    lower.control("if", node, bodies, _places(lower, node.inputs), node.outputs)


# -- Loop ----------------------------------------------------------------------------------------------------------


def _loop_carried(node: Node) -> int:
    return len(node.inputs) - 2 - captures_of(node)


def _loop_infer(context: Infer) -> Sequence[Type]:
    node, carried = context.node, _loop_carried(context.node)
    for place, (dtype, what) in enumerate(((DType.INT64, "the trip count"), (DType.BOOL, "the condition"))):
        if context.has(place):
            _check_single(context, context.type(place), dtype, what)
    captured = [context.type(i) for i in range(2 + carried, len(node.inputs))]
    start = [TensorType(DType.INT64, ()), TensorType(DType.BOOL, ())]

    def run(state: Sequence[Type]) -> Sequence[Type]:
        condition, *results = context.infer_body("body", [*start, *state, *captured])
        _check_single(context, condition, DType.BOOL, "the condition that the body gives")
        return results

    settled = _settle(context, [context.type(2 + i) for i in range(carried)], run)
    counted = _trip_count(context)
    stacked = [
        _stacked(
            context, i, t, _fresh_dims(context, i)(0) if counted is None else counted, 0, settled.changing
        )
        for i, t in enumerate(settled.results[carried:], carried)
    ]  # fmt: skip
    return [*settled.state, *stacked][: len(node.outputs)]


def _trip_count(context: Infer) -> Dim | None:
    """How often the body runs, where neither condition can end the loop early and the count is known."""
    body, start = body_of(context.node, "body"), context.node.input(1)
    again = body.outputs[0]
    while again.producer is not None and again.producer.op == "Identity":
        again = again.producer.operand(0)
    passes = again is body.inputs[1] or _is_true(again)
    known = context.known_data(0)
    if not passes or not (start is None or _is_true(start)) or known is None or known.size != 1:
        return None
    count = known.reshape(-1)[0]
    return maximum(count, 0) if isinstance(count, Expr) else max(int(count), 0)


def _loop_most(node: Node, output: int, axis: int) -> Dim | None:
    """No more results are stacked than the trip count says; what else may change while it runs is not known."""
    trips = node.input(0)
    if trips is None or trips.data is None or trips.data.size != 1 or axis or output < _loop_carried(node):
        return None
    return maximum(trips.data.reshape(-1)[0], 0)


def _is_true(value: Value) -> bool:
    return value.constant is not None and bool(value.constant.reshape(-1)[0])


def _stack(items: Sequence[Any], like: Value, axis: int) -> Array:
    """Scan results along axis. With no iteration the element's dims are those the body's type states, else 0."""
    if items:
        arrays = [np.asarray(x) for x in items]
        place = axis % (arrays[0].ndim + 1)
        return np.stack(arrays, place)
    dims = [d if isinstance(d, int) else 0 for d in (like.shape if like.has_shape else ())]
    dims.insert(axis % (len(dims) + 1), 0)
    return np.empty(dims, like.dtype.numpy)


def _loop_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    body, carried = body_of(node, "body"), _loop_carried(node)
    limit = None if inputs[0] is None else int(np.asarray(inputs[0]).reshape(-1)[0])
    going = inputs[1] is None or bool(np.asarray(inputs[1]).reshape(-1)[0])
    state, captured = list(inputs[2 : 2 + carried]), list(inputs[2 + carried :])
    scans: list[list[Any]] = [[] for _ in body.outputs[1 + carried :]]
    for turn in count():
        if not going or (limit is not None and turn >= limit):
            break
        results = evaluate_graph(body, [np.array(turn, np.int64), np.array(going), *state, *captured])
        going = bool(np.asarray(results[0]).reshape(-1)[0])
        state = results[1 : 1 + carried]
        for kept, item in zip(scans, results[1 + carried :], strict=True):
            kept.append(item)
    return [*state, *(_stack(s, v, 0) for s, v in zip(scans, body.outputs[1 + carried :], strict=True))]


def _loop_lower(lower: Lower, node: Node) -> None:
    lower.control(
        "loop", node, [body_of(node, "body")], _places(lower, node.inputs), node.outputs, carried=_loop_carried(node)
    )


# -- Scan ----------------------------------------------------------------------------------------------------------


class _ScanShape:
    """How a Scan node's operands divide, and the axes and directions of its scanned ones."""

    def __init__(self, node: Node) -> None:
        self.scanned = int(node.attr("num_scan_inputs"))
        self.states = len(node.inputs) - self.scanned - captures_of(node)
        results = len(body_of(node, "body").outputs) - self.states
        self.in_axes = _per_operand(node, "scan_input_axes", self.scanned)
        self.out_axes = _per_operand(node, "scan_output_axes", results)
        self.in_reversed = _per_operand(node, "scan_input_directions", self.scanned)
        self.out_reversed = _per_operand(node, "scan_output_directions", results)


def _per_operand(node: Node, name: str, number: int) -> list[int]:
    given = node.attr(name)
    return [int(x) for x in given] if given is not None and len(given) else [0] * number


def _scan_infer(context: Infer) -> Sequence[Type]:
    node, scan = context.node, _ScanShape(context.node)
    length: Dim | None = None
    elements: list[Type] = []
    for i in range(scan.scanned):
        shape = context.shape(scan.states + i)
        axis = axis_in(context, scan.in_axes[i], len(shape))
        length = (
            shape[axis] if length is None else agree(context, length, shape[axis], "scanned inputs differ in length")
        )
        elements.append(TensorType(context.dtype(scan.states + i), shape[:axis] + shape[axis + 1 :]))
    captured = [context.type(i) for i in range(scan.states + scan.scanned, len(node.inputs))]

    def run(state: Sequence[Type]) -> Sequence[Type]:
        return context.infer_body("body", [*state, *elements, *captured])

    settled = _settle(context, [context.type(i) for i in range(scan.states)], run)
    stacked = [
        _stacked(context, scan.states + i, t, 0 if length is None else length, axis, settled.changing)
        for i, (t, axis) in enumerate(zip(settled.results[scan.states :], scan.out_axes, strict=True))
    ]
    return [*settled.state, *stacked][: len(node.outputs)]


def _scan_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    body, scan = body_of(node, "body"), _ScanShape(node)
    state = list(inputs[: scan.states])
    columns = [
        np.moveaxis(np.asarray(x), axis, 0)[:: -1 if backward else 1]
        for x, axis, backward in zip(inputs[scan.states :], scan.in_axes, scan.in_reversed, strict=False)
    ]
    captured = list(inputs[scan.states + scan.scanned :])
    scans: list[list[Any]] = [[] for _ in body.outputs[scan.states :]]
    for turn in range(len(columns[0]) if columns else 0):
        results = evaluate_graph(body, [*state, *(c[turn] for c in columns), *captured])
        state = results[: scan.states]
        for kept, item in zip(scans, results[scan.states :], strict=True):
            kept.append(item)
    stacked = [
        _stack(kept[:: -1 if backward else 1], like, axis)
        for kept, like, axis, backward in zip(
            scans, body.outputs[scan.states :], scan.out_axes, scan.out_reversed, strict=True
        )
    ]
    return [*state, *stacked]


def _to_front(place: Place, axis: int, backward: bool) -> Place:
    """The view with axis first, and walked from its end when backward."""
    axis %= place.rank
    place = place.permute([axis, *(i for i in range(place.rank) if i != axis)])
    return _reversed(place, 0) if backward else place


def _reversed(place: Place, axis: int) -> Place:
    return place.slice(axis, place.dims[axis] - 1, place.dims[axis], -1)


def _scan_lower(lower: Lower, node: Node) -> None:
    scan = _ScanShape(node)
    made = [v for v in node.outputs[scan.states :] if v is not None]
    if not all(v.has_shape for v in [*(node.operand(scan.states + i) for i in range(scan.scanned)), *made]):
        raise NoRowError("axes are moved of what is scanned, whose rank is not known")
    if any(node.operand(scan.states + i).dtype is DType.STRING for i in range(scan.scanned)):
        raise NoRowError("text is scanned, which has no memory of its own")
    inputs = _places(lower, node.inputs)
    for i, axis, backward in zip(range(scan.states, len(inputs)), scan.in_axes, scan.in_reversed, strict=False):
        place = inputs[i]
        assert place is not None
        inputs[i] = _to_front(place, axis, bool(backward))
    outputs: list[Value | None] = list(node.outputs)
    moved: list[tuple[Value, Value, int, bool]] = []
    for i, axis, backward in zip(range(scan.states, len(outputs)), scan.out_axes, scan.out_reversed, strict=False):
        value = outputs[i]
        if value is not None and (axis % value.rank or backward):
            at, dims = axis % value.rank, value.shape
            front = Value(f"{value.name}/stacked", TensorType(value.dtype, (dims[at], *dims[:at], *dims[at + 1 :])))
            outputs[i] = front
            moved.append((value, front, at, bool(backward)))
    bodies = [body_of(node, "body")]
    lower.control("scan", node, bodies, inputs, outputs, carried=scan.states, scanned=scan.scanned)
    for value, front, at, backward in moved:
        stacked = _reversed(lower.read(front), 0) if backward else lower.read(front)
        lower.alias(value, stacked.permute([*range(1, at + 1), 0, *range(at + 1, stacked.rank)]))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(op="If", infer=_if_infer, evaluate=_if_evaluate, lower=_if_lower),
    OpRecord(op="Loop", infer=_loop_infer, size_limit=_loop_most, evaluate=_loop_evaluate, lower=_loop_lower),
    OpRecord(op="Scan", infer=_scan_infer, evaluate=_scan_evaluate, lower=_scan_lower),
)
