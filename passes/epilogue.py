"""Epilogues: elementwise ops after a product, convolution or normalisation join it as one arenaut.Fused node."""

from __future__ import annotations

from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.infer import infer_node
from arenaut.ir.ops import record_of
from arenaut.passes.context import PassContext
from arenaut.passes.fuse import FusedBody, why_no_tile


def fuse_epilogues(graph: Graph, context: PassContext) -> bool:
    """Each anchor takes the chain of elementwise ops that only it feeds, as long as the shape stays the same."""
    changed = False
    for anchor in list(graph.nodes):
        if anchor.graph is not graph or anchor.domain == ARENAUT_DOMAIN or not record_of(anchor).anchor:
            continue
        chain = _chain(graph, anchor, context)
        while chain:
            reason = why_no_tile(chain)
            if reason is None:
                _replace(graph, anchor, chain, FusedBody([anchor, *chain]))
                context.fired("+".join(n.op for n in [anchor, *chain]), anchor)
                changed = True
                break
            context.missed("epilogue", chain[-1], reason)
            chain = chain[:-1]
    return changed


def _chain(graph: Graph, anchor: Node, context: PassContext) -> list[Node]:
    """The elementwise ops that follow, each the only reader of the one before. The fused node stands where the last
    one stood, so every other operand is there by then."""
    chain: list[Node] = []
    value: Value = anchor.output
    while True:
        users = value.users
        if len(users) != 1 or graph.is_output(value) or not value.has_shape:
            return chain
        node = users[0]
        if node.graph is not graph or record_of(node).tile is None or len(node.outputs) != 1:
            return chain
        if not node.output.has_shape or node.output.shape != anchor.output.shape:
            context.missed("epilogue", node, f"it changes the shape from {anchor.output.type} to {node.output.type}")
            return chain
        chain.append(node)
        value = node.output


def _replace(graph: Graph, anchor: Node, chain: list[Node], body: FusedBody) -> None:
    last = chain[-1].output
    fused = Node("Fused", body.outer_inputs, [graph.value(last.name, last.type)], {"body": body.graph},
                 domain=ARENAUT_DOMAIN, name=anchor.name)  # fmt: skip
    graph.attach(fused, before=chain[-1])
    if graph.is_output(last):
        fused.output.name, last.name = last.name, fused.output.name
    graph.replace(last, fused.output)
    graph.remove([anchor, *chain])
    infer_node(fused)
