"""Dead code elimination: nodes none of whose outputs is read, by a node or as a graph output, are removed."""

from __future__ import annotations

from arenaut.ir.graph import Graph, Node
from arenaut.passes.context import PassContext


def eliminate_dead_code(graph: Graph, context: PassContext) -> bool:
    outputs = {id(v) for v in graph.outputs}
    dead: list[Node] = []
    gone: set[int] = set()
    for node in reversed(graph.nodes):
        read = any(
            out is not None and (id(out) in outputs or any(id(user) not in gone for user, _ in out.uses))
            for out in node.outputs
        )
        if not read:
            dead.append(node)
            gone.add(id(node))
            context.fired("remove_unread", node)
    graph.remove(dead)
    return bool(dead)
