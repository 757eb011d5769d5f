"""Control flow that is decided at load is written out: the branch of an If with a constant condition, the iterations of
a short Loop with a constant trip count. What is written out can be folded, fused and planned with its surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops.control import body_of, captures_of
from arenaut.passes.context import PassContext
from arenaut.passes.fold_constants import fold_constants
from arenaut.passes.rewriting.pattern import is_op, number_of

MAX_TRIPS = 16
# The nodes of all iterations together.
MAX_NODES = 256


def write_out_control_flow(graph: Graph, context: PassContext) -> bool:
    """Types and constants of what follows are found again where something was written out."""
    changed = False
    for node in list(graph.nodes):
        if is_op(node, "If"):
            changed = _branch(graph, node, context) or changed
        elif is_op(node, "Loop"):
            changed = _iterations(graph, node, context) or changed
    if changed:
        fold_constants(graph, context)
    return changed


def _branch(graph: Graph, node: Node, context: PassContext) -> bool:
    condition = _truth(node.operand(0))
    if condition is None:
        context.missed("if", node, f"'{node.operand(0).name}' is not known at load")
        return False
    write_out_branch(graph, node, condition)
    context.fired("if", node)
    return True


def write_out_branch(graph: Graph, node: Node, condition: bool) -> Sequence[Node]:
    """Writes the nodes of the branch that is taken in place of an If; these nodes, whose types are not inferred."""
    body = body_of(node, "then_branch" if condition else "else_branch")
    build = GraphBuilder(graph, node, node.name)
    _finish(build, node, _copy(build, body, node.inputs[1:]))
    return build.made


def _iterations(graph: Graph, node: Node, context: PassContext) -> bool:
    body, captured = body_of(node, "body"), captures_of(node)
    trips, reason = _trips(node, body)
    if reason:
        context.missed("loop", node, reason)
        return False
    build = GraphBuilder(graph, node, node.name)
    fixed = node.inputs[len(node.inputs) - captured :]
    state = node.inputs[2 : len(node.inputs) - captured]
    parts: list[list[Value]] = []
    for trip in range(trips):
        number, going = build.constant(np.array(trip, np.int64)), build.constant(np.array(True))
        results = _copy(build, body, [number, going, *state, *fixed])
        state, scanned = list(results[1 : 1 + len(state)]), results[1 + len(state) :]
        first = build.constant(np.array([0], np.int64))
        parts.append([build.op("Unsqueeze", v, first) for v in scanned])
    joined = [build.op("Concat", *part, axis=0) for part in zip(*parts, strict=True)]
    _finish(build, node, [*(v for v in state if v is not None), *joined])
    context.fired("loop", node)
    return True


def _trips(node: Node, body: Graph) -> tuple[int, str]:
    """How often the body runs, and why that is not known or the loop is left alone."""
    known = number_of(node.input(0))
    if known is None:
        return 0, "the number of iterations is not known at load"
    if node.input(1) is not None and not _truth(node.operand(1)):
        return 0, "it may end before its first iteration"
    going = body.outputs[0]
    while going.producer is not None and is_op(going.producer, "Identity"):
        going = going.producer.operand(0)
    if going is not body.inputs[1] and not _truth(going):
        return 0, "its body decides whether it goes on"
    trips = int(known)
    if not 0 < trips <= MAX_TRIPS or trips * len(body.nodes) > MAX_NODES:
        return 0, f"{trips} iterations of {len(body.nodes)} nodes are too many or too few to be written out"
    if any(inner.has_bodies for inner in body.nodes):
        return 0, "its body holds control flow"
    if any(v.type is None for v in body.outputs) or any(v is None for v in node.inputs[2:]):
        return 0, "a carried value is absent or has no type"
    return trips, ""


def _truth(value: Value) -> bool | None:
    known = value.constant
    return bool(known.reshape(-1)[0]) if known is not None and known.size == 1 else None


def _copy(build: GraphBuilder, body: Graph, arguments: Sequence[Value | None]) -> list[Value]:
    """The body's nodes in the graph of the builder, reading the arguments; its results."""
    graph = build.graph
    known: dict[int, Value | None] = {id(v): a for v, a in zip(body.inputs, arguments, strict=True)}

    def of(value: Value | None) -> Value | None:
        if value is not None and id(value) not in known and value.constant is not None:
            known[id(value)] = graph.add_constant(value.constant, value.name)
        return None if value is None else known[id(value)]

    for node in body.nodes:
        outputs = [None if v is None else graph.value(v.name, v.type) for v in node.outputs]
        new = graph.add(node.op, [of(v) for v in node.inputs], node.attributes, domain=node.domain, outputs=outputs,
                        name=node.name, before=build.before)  # fmt: skip
        build.made.append(new)
        known.update({id(v): o for v, o in zip(node.outputs, new.outputs, strict=True) if v is not None})
    results = [of(v) for v in body.outputs]
    assert all(v is not None for v in results)
    return [v for v in results if v is not None]


def _finish(build: GraphBuilder, node: Node, results: Sequence[Value]) -> None:
    graph = build.graph
    for old, new in zip(node.outputs, results, strict=False):  # absent ones at the end are not listed
        if old is None:
            continue
        if graph.is_output(old):
            new = build.op("Identity", new)  # an output needs a value of its own
        graph.supersede(old, new)
    graph.remove(node)
    for _, body in node.bodies():  # whose values would keep the nodes, and these their constants
        body.remove(list(body.nodes))
