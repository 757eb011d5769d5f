"""Sizes are taken from the graph's inputs where they are symbols, so that they keep nothing alive that is computed."""

from __future__ import annotations

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.graph import Graph, Value
from arenaut.ir.types import same_type
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.sizes import shape_value


def read_sizes_from_inputs(graph: Graph, context: PassContext) -> bool:
    """Shape of a value that is computed becomes the same sizes of the graph's inputs: to ask for a size is no reason to
    keep a value, nor to keep it from being fused with what reads it."""
    changed = False
    inputs = {id(v) for v in graph.inputs}
    made: dict[tuple[Dim, ...], Value] = {}
    for node in list(graph.nodes):
        if not is_op(node, "Shape") or id(node.operand(0)) in inputs or graph.is_output(node.output):
            continue
        data = node.output.data
        if data is None or node.operand(0).constant is not None or not node.output.uses:
            continue
        sizes = tuple(data.reshape(-1))
        result = made.get(sizes) or shape_value(GraphBuilder(graph, node, node.name), sizes)
        if result is None or not same_type(result.type, node.output.type):
            context.missed("from_inputs", node, f"no input has the sizes {', '.join(map(str, sizes))}")
            continue
        made[sizes] = result
        graph.replace(node.output, result)
        graph.remove(node)
        context.fired("from_inputs", node)
        changed = True
    return changed
