"""Elementwise regions: any DAG of elementwise ops with one result becomes one arenaut.Fused node, and joins the
product, convolution or normalisation that feeds it, as its epilogue."""

from __future__ import annotations

from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.types import same_shape
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.fuse import COMPUTE_TYPES, FusedBody, why_no_tile


def fuse_elementwise(graph: Graph, context: PassContext) -> bool:
    """Regions are grown from their last node backwards, so a node joins the region that reads it last."""
    changed = False
    position = {id(n): i for i, n in enumerate(graph.nodes)}
    outputs = {id(v) for v in graph.outputs}
    for root in reversed(list(graph.nodes)):
        if root.graph is not graph or not _is_elementwise(root):
            continue
        region = _grow(root, outputs, context)
        region.sort(key=lambda n: position[id(n)])
        anchor = _anchor(region, outputs, position, context)
        nodes = region if anchor is None else [anchor, *region]
        if len(nodes) > 1:
            fused = _replace(graph, nodes, root)
            position[id(fused)] = position[id(root)]
            context.fired("+".join(n.op for n in nodes), root)
            changed = True
    return changed


def _is_elementwise(node: Node) -> bool:
    return node.domain != ARENAUT_DOMAIN and len(node.outputs) == 1 and node.output.has_shape and (
        record_of(node).is_elementwise(node)
    )  # fmt: skip


def _grow(root: Node, outputs: set[int], context: PassContext) -> list[Node]:
    """The nodes whose results only this region reads, with the root's shape and a type that tiles compute in."""
    region, inside, queue = [root], {id(root)}, [root]
    while queue:
        for value in queue.pop().inputs:
            node = None if value is None else value.producer
            if value is None or node is None or id(node) in inside or not _is_elementwise(node):
                continue
            if id(value) in outputs or not all(id(user) in inside for user, _ in value.uses):
                continue
            if not same_shape(value.shape, root.output.shape) or value.dtype not in COMPUTE_TYPES:
                context.missed("join", node, f"{value.type} is not held at the shape of {root.output.type}")
                continue
            reason = why_no_tile([node, *reversed(region)])
            if reason is not None:
                context.missed("join", node, reason)
                continue
            region.append(node)
            inside.add(id(node))
            queue.append(node)
    return region


def _anchor(region: list[Node], outputs: set[int], position: dict[int, int], context: PassContext) -> Node | None:
    """The product (or the like) whose result only this region reads, at the region's shape; the last of several."""
    inside = {id(n) for n in region}
    shape = region[-1].output.shape
    candidates: list[Node] = []
    for node in region:
        for value in node.inputs:
            anchor = None if value is None else value.producer
            if value is None or anchor is None or id(anchor) in inside or anchor.domain == ARENAUT_DOMAIN:
                continue
            if not record_of(anchor).anchor or anchor.output is not value:
                continue
            if id(value) in outputs or not all(id(user) in inside for user, _ in value.uses):
                context.missed("epilogue", anchor, "somebody else reads the product too")
            elif not same_shape(value.shape, shape) or any(v is not None and v.uses for v in anchor.outputs[1:]):
                context.missed("epilogue", anchor, f"{value.type} is not the shape of {region[-1].output.type}")
            else:
                candidates.append(anchor)
    return max(candidates, key=lambda n: position[id(n)], default=None)


def _replace(graph: Graph, nodes: list[Node], root: Node) -> Node:
    body = FusedBody(nodes)
    last: Value = root.output
    fused = Node(
        "Fused", body.outer_inputs, [graph.value(last.name, last.type)], {"body": body.graph},
        domain=ARENAUT_DOMAIN, name=nodes[0].name or root.name,
    )  # fmt: skip
    graph.attach(fused, before=root)
    if graph.is_output(last):
        fused.output.name, last.name = last.name, fused.output.name
    graph.replace(last, fused.output)
    graph.remove(nodes)
    return fused
