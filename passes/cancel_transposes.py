"""Transposes in a row become one, or none when they cancel."""

from __future__ import annotations

from arenaut.ir.graph import Graph, Node
from arenaut.ir.infer import infer_node
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op


def cancel_transposes(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        if not _is_transpose(node):
            continue
        before = node.operand(0).producer
        order = _order(node)
        if before is not None and _is_transpose(before):
            inner = _order(before)
            order = [inner[i] for i in order]
            graph.set_input(node, 0, before.operand(0))
            node.attributes["perm"] = tuple(order)
            infer_node(node)
            context.fired("merge", node)
            changed = True
        if order == sorted(order) and not graph.is_output(node.output):
            graph.replace(node.output, node.operand(0))
            graph.remove(node)
            context.fired("cancel", node)
            changed = True
    return changed


def _is_transpose(node: Node) -> bool:
    return is_op(node, "Transpose") and node.operand(0).has_shape


def _order(node: Node) -> list[int]:
    rank = node.operand(0).rank
    return list(node.attr("perm") or range(rank - 1, -1, -1))
