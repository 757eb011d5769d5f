"""Elementwise groups: any DAG of elementwise ops with one result becomes one arenaut.Fused node, and joins the
product, convolution or normalisation that feeds it, as its epilogue."""

from __future__ import annotations

from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.ops import is_elementwise, record_of
from arenaut.ir.types import same_shape
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.fuse import FusedBody, held_in_register, why_no_tile


def fuse_elementwise(graph: Graph, context: PassContext) -> bool:
    """Groups are grown from their last node backwards, so a node joins the group that reads it last."""
    changed = False
    position = {id(n): i for i, n in enumerate(graph.nodes)}
    outputs = {id(v) for v in graph.outputs}
    for root in reversed(list(graph.nodes)):
        if root.graph is not graph or not is_elementwise(root):
            continue
        group = _grow(root, outputs, context)
        anchor = _anchor(group, outputs, position, context)
        group += _copied(group, context)
        group.sort(key=lambda n: position[id(n)])
        nodes = group if anchor is None else [anchor, *group]
        if len(nodes) > 1:
            fused = _replace(graph, nodes, root)
            position[id(fused)] = position[id(root)]
            context.fired("+".join(n.op for n in nodes), root)
            changed = True
    return changed


def _grow(root: Node, outputs: set[int], context: PassContext) -> list[Node]:
    """The nodes whose results only this group reads, with the root's shape and a type that tiles compute in."""
    group, inside, queue = [root], {id(root)}, [root]
    while queue:
        for value in queue.pop().inputs:
            node = None if value is None else value.producer
            if value is None or node is None or id(node) in inside or not is_elementwise(node):
                continue
            if id(value) in outputs or not all(id(user) in inside for user, _ in value.uses):
                continue
            if not _joins(node, group, context):
                continue
            group.append(node)
            inside.add(id(node))
            queue.append(node)
    return group


def _joins(node: Node, group: list[Node], context: PassContext) -> bool:
    root = group[0]
    if not same_shape(node.output.shape, root.output.shape) or not held_in_register(node):
        context.missed("join", node, f"{node.output.type} is not held at the shape of {root.output.type}")
        return False
    reason = why_no_tile([node, *reversed(group)])
    if reason is not None:
        context.missed("join", node, reason)
    return reason is None


def _copied(group: list[Node], context: PassContext) -> list[Node]:
    """Nodes that widen what is stored for this group and others: each computes them anew from what is stored."""
    copies: list[Node] = []
    for value in [v for node in group for v in node.inputs]:
        node = None if value is None else value.producer
        if node is None or not is_elementwise(node) or not record_of(node).widens:
            continue
        if any(n is node for n in [*group, *copies]) or not _joins(node, [*group, *copies], context):
            continue
        copies.append(node)
    return copies


def _anchor(group: list[Node], outputs: set[int], position: dict[int, int], context: PassContext) -> Node | None:
    """The product (or the like) whose result only this group reads, at the group's shape; the last of several."""
    inside = {id(n) for n in group}
    shape = group[0].output.shape
    candidates: list[Node] = []
    for node in group:
        for value in node.inputs:
            anchor = None if value is None else value.producer
            if value is None or anchor is None or id(anchor) in inside or not record_of(anchor).anchor:
                continue
            if anchor.output is not value:
                continue
            if id(value) in outputs or not all(id(user) in inside for user, _ in value.uses):
                context.missed("epilogue", anchor, "somebody else reads the product too")
            elif not same_shape(value.shape, shape) or any(v is not None and v.uses for v in anchor.outputs[1:]):
                context.missed("epilogue", anchor, f"{value.type} is not the shape of {group[0].output.type}")
            else:
                candidates.append(anchor)
    return max(candidates, key=lambda n: position[id(n)], default=None)


def _unread(graph: Graph, nodes: list[Node]) -> list[Node]:
    """The nodes that nobody outside reads."""
    inside = {id(n) for n in nodes}
    return [n for n in nodes if all(id(user) in inside for user, _ in n.output.uses) and not graph.is_output(n.output)]


def _replace(graph: Graph, nodes: list[Node], root: Node) -> Node:
    body = FusedBody(nodes)
    last: Value = root.output
    fused = Node(
        "Fused", body.outer_inputs, [graph.value(last.name, last.type)], {"body": body.graph},
        domain=ARENAUT_DOMAIN, name=nodes[0].name or root.name,
    )  # fmt: skip
    graph.attach(fused, before=root)
    graph.supersede(last, fused.output)
    graph.remove(_unread(graph, nodes))
    return fused
