"""QuantizeLinear moves before what only moves, repeats or selects elements, to the op that computes them: floats are
rounded on the tile that is hot, and bytes are moved."""

from __future__ import annotations

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim, product
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.quantised import Stored

REWRITE = "quantise_early"


def quantise_early(graph: Graph, context: PassContext) -> bool:
    """In reverse order, so that one QuantizeLinear passes a whole chain."""
    changed = False
    for node in reversed(list(graph.nodes)):
        moved: Node | None = node if is_op(node, "QuantizeLinear") and node.operand(0).has_shape else None
        while moved is not None:
            mover = moved.operand(0).producer
            rule = None if mover is None else record_of(mover).carries
            if mover is None or rule is None or record_of(mover).by_order:
                break
            reason = _why_not(graph, moved, mover, list(rule(mover)))
            if reason is not None:
                context.missed(REWRITE, moved, reason)
                break
            first = _move(graph, moved, mover, list(rule(mover)))
            context.fired(REWRITE, mover)
            changed, moved = True, first
    return changed


def _why_not(graph: Graph, node: Node, mover: Node, carried: list[int]) -> str | None:
    result = node.operand(0)
    if not Stored(node, result).is_single:
        return "its scales differ along an axis"
    if graph.is_output(result) or len(result.uses) != 1:
        return f"'{result.name}' is read as floats too"
    if any(v is not None and v is not result and (v.uses or graph.is_output(v)) for v in mover.outputs):
        return f"{mover} has other results"
    operands = [mover.input(i) for i in carried]
    if any(v is None or not v.has_shape for v in operands):
        return f"an operand of {mover} is absent"
    taken: Dim = 0
    for value in operands:
        taken = taken + (product(value.shape) if value is not None else 0)
    return None if taken == product(result.shape) else "more elements would be rounded"


def _move(graph: Graph, node: Node, mover: Node, carried: list[int]) -> Node | None:
    """Returns the QuantizeLinear of the only operand, which may move on."""
    build = GraphBuilder(graph, mover, node.name)
    inputs: list[Value | None] = list(mover.inputs)
    for index in carried:
        inputs[index] = build.op("QuantizeLinear", mover.operand(index), *node.inputs[1:], **node.attributes)
    result = build.ops(mover.op, *inputs, outputs=len(mover.outputs), domain=mover.domain, **mover.attributes)
    graph.supersede(node.output, result[0])
    graph.remove(node)
    graph.remove(mover)
    single = inputs[carried[0]] if len(carried) == 1 else None
    return None if single is None else single.producer
