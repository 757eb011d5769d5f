"""Dead code elimination: nodes none of whose outputs is read, by a node or as a graph output, are removed."""

from __future__ import annotations

from arenaut.ir.graph import Graph, Node
from arenaut.ir.target import Target


def eliminate_dead_code(graph: Graph, target: Target) -> bool:
    """Removes dead nodes, in bodies too. True when any was removed."""
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
    graph.remove(dead)
    changed = bool(dead)
    for node in graph.nodes:
        for _, body in node.bodies():
            changed = eliminate_dead_code(body, target) or changed
    return changed
