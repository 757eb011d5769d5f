"""What the stored ops ask of sizes is noted, before a rewrite merges such an op away or has no need of its result.

A Reshape to a fed shape may vanish in the Reshape behind it, a Div of two sizes in the dims of what it shapes. What
they ask of a run stays: an invalid size or value is refused by the name of the model's own op, optimised or not.
"""

from __future__ import annotations

from arenaut.ir.dims import Expr, symbols_of
from arenaut.ir.errors import UnknownError
from arenaut.ir.graph import Graph, Node, Requirement, Value
from arenaut.ir.infer import data_symbols_of
from arenaut.ir.ops import record_of
from arenaut.ir.types import TensorType
from arenaut.passes.context import PassContext


def keep_requirements(graph: Graph, context: PassContext) -> bool:
    """Notes the requirements of all nodes, also of those that nobody reads, as far as they ask of the graph's inputs:
    symbols of other values change with rewrites, and those of a body's dims with the body's types."""
    known = set(graph.dim_names()).difference(graph.border)
    known.update(name for value in graph.inputs for name in data_symbols_of(value))
    noted = {need.condition for _, need in graph.asks}
    before = len(noted)
    for node in graph.nodes:
        for need in _requirements(node):
            if need.condition not in noted and _asks_of(need, known):
                noted.add(need.condition)
                graph.asks.append((str(node), need))
    return len(noted) > before


def _requirements(node: Node) -> list[Requirement]:
    """None where a rank is open: what runs such a node checks for itself. Rules rely on what inference checked, which
    it did where it could tell what the node makes."""
    rule = record_of(node).requires
    if rule is None or any(value is not None and _is_open(value) for value in node.outputs):
        return []
    try:
        return list(rule(node))
    except UnknownError:
        return []


def _is_open(value: Value) -> bool:
    return value.type is None or (isinstance(value.type, TensorType) and value.type.shape is None)


def _asks_of(need: Requirement, known: set[str]) -> bool:
    dims = (need.condition, *need.values)
    return isinstance(need.condition, Expr) and all(s.name in known for d in dims for s in symbols_of(d))
