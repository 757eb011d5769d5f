"""DequantizeLinear moves behind what only moves, repeats or selects elements: bytes are moved instead of floats, and
the op that computes with them stands where its operands' numbers are in sight."""

from __future__ import annotations

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.ops.shape import permutation
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op, number_of
from arenaut.passes.rewriting.quantised import Stored, stored

REWRITE = "dequantise_late"


def dequantise_late(graph: Graph, context: PassContext) -> bool:
    """In node order, so that one DequantizeLinear passes a whole chain."""
    changed = False
    for node in list(graph.nodes):
        rule = record_of(node).carries
        if rule is None or not all(v is None or v.has_shape for v in [*node.inputs, *node.outputs]):
            continue
        carried = list(rule(node))
        first = next((s for s in (stored(node.input(i)) for i in carried) if s is not None), None)
        if first is None:
            continue
        rises = not record_of(node).by_order or first.is_rising
        numbers = _numbers(node, carried, first) if rises else "its numbers are no bytes of a positive scale"
        if isinstance(numbers, str):
            context.missed(REWRITE, node, numbers)
            continue
        _move(graph, node, first, numbers)
        context.fired(REWRITE, node)
        changed = True
    return changed


def _numbers(node: Node, carried: list[int], first: Stored) -> dict[int, object] | str:
    """By index what the node reads instead: values, or arrays of constants that stand for floats; or why it cannot."""
    if not first.is_single:
        known = is_op(node, "Transpose") and first.axis is not None
        return {0: first.x} if known else "its scales differ along an axis"
    result: dict[int, object] = {}
    for index in carried:
        value = node.input(index)
        other = stored(value)
        if other is not None and other.means_as(first):
            result[index] = other.x
            continue
        if other is not None and other.known is None:
            return f"'{other.node.output.name}' has another scale"
        real = other.known if other is not None else 0.0 if value is None else number_of(value)
        number = None if real is None else first.number(real)
        if number is None:
            return f"input {index} is no number of this scale"
        result[index] = number if value is None else number.reshape([1] * value.rank)
    return result


def _move(graph: Graph, node: Node, first: Stored, numbers: dict[int, object]) -> None:
    build = GraphBuilder(graph, node, node.name)
    inputs: list[Value | None] = list(node.inputs) + [None] * (max(numbers) + 1 - len(node.inputs))
    for index, what in numbers.items():
        inputs[index] = what if isinstance(what, Value) else build.constant(what)  # type: ignore[arg-type]
    made = build.ops(node.op, *inputs, outputs=len(node.outputs), domain=node.domain, **node.attributes)
    settings = dict(first.node.attributes)
    if first.axis is not None:
        settings["axis"] = permutation(node, first.x.rank).index(first.axis)
    for old, new in zip(node.outputs, made, strict=True):
        if old is not None:
            graph.supersede(old, build.op("DequantizeLinear", new, *first.node.inputs[1:], **settings))
    graph.remove(node)
    if not first.node.output.uses and not graph.is_output(first.node.output):
        graph.remove(first.node)
