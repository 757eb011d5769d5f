"""Elementwise groups: any DAG of elementwise ops with one result becomes one arenaut.Fused node, and joins the
product, convolution or normalisation that feeds it, as its epilogue."""

from __future__ import annotations

from collections.abc import Mapping

from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import held_in_register, is_elementwise, record_of
from arenaut.ir.ops.fused import FUSED
from arenaut.ir.types import same_shape
from arenaut.ir.undefined import divisor_of
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.fuse import FusedBody, why_no_tile


def fuse_elementwise(graph: Graph, context: PassContext) -> bool:
    """Groups are grown from their last node backwards, so a node joins the group that reads it last."""
    changed = False
    position = {id(n): i for i, n in enumerate(graph.nodes)}
    outputs = {id(v) for v in graph.outputs}
    for root in reversed(list(graph.nodes)):
        if root.graph is not graph or not is_elementwise(root) or _is_left_to_readers(root, outputs, context):
            continue
        group = _of_one_byte(_grow(root, outputs, context))
        group = _without_rounded(group, _anchors(group, outputs, context))
        anchors = sorted(_anchors(group, outputs, context), key=lambda n: position[id(n)])
        anchor = anchors[-1] if anchors else None
        group = _without_earlier(group, anchors)
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


def _is_left_to_readers(node: Node, outputs: set[int], context: PassContext) -> bool:
    """Whether a node that widens a byte is better not in the group that rounds it: elementwise readers widen the byte
    themselves (_copied), and a group that ends in a byte may be a table."""
    rounding = node.inputs[0].producer if node.inputs[0] is not None else None
    if not record_of(node).widens or rounding is None or not is_elementwise(rounding) or not _rounds_to_byte(rounding):
        return False
    if any(is_elementwise(u) and same_shape(u.output.shape, node.output.shape) for u, _ in node.output.uses):
        return True
    group = _of_one_byte(_grow(rounding, outputs, context))
    read = _read(group)
    return len(group) > 1 and len(read) == 1 and read[0].dtype.itemsize == 1


def _read(group: list[Node]) -> list[Value]:
    """What the nodes read of others, but for constants of one element."""
    made = {id(n.output) for n in group}
    read = {id(v): v for n in group for v in n.inputs if v is not None and id(v) not in made}
    return [v for v in read.values() if v.constant is None or v.constant.size != 1]


def _of_one_byte(group: list[Node]) -> list[Node]:
    """What follows the first rounding to a byte, where it depends on that byte alone and ends in a byte: a table of 256
    results, which is quicker than any instructions. What comes before is a group of its own."""
    root = group[0]
    if not _rounds_to_byte(root):
        return group
    after = {id(n): n for n in group}
    for node in reversed(group):  # from the first that are computed
        if node is not root and _rounds_to_byte(node):
            before = {id(n) for n in _ancestors(node, after)}
            rest = [n for n in group if id(n) not in before]
            if all(v is node.output for v in _read(rest)):
                return rest
    return group


def _rounds_to_byte(node: Node) -> bool:
    return record_of(node).narrows and node.output.dtype.itemsize == 1


def _ancestors(node: Node, inside: Mapping[int, Node]) -> list[Node]:
    """The node and those inside that it is computed by."""
    found = {id(node): node}
    queue = [node]
    for current in queue:
        for value in current.inputs:
            maker = None if value is None else value.producer
            if maker is not None and id(maker) in inside and id(maker) not in found:
                found[id(maker)] = maker
                queue.append(maker)
    return list(found.values())


def _without_rounded(group: list[Node], products: list[Node]) -> list[Node]:
    """Without the roundings of products' results that more follows than rounding: a product rounds its own result, on
    registers, and what adds it to another reads bytes."""
    made = {id(a.output) for a in products}
    gone = {
        id(n) for n in group[1:]
        if record_of(n).narrows and n.output.dtype.itemsize < 4 and any(id(v) in made for v in n.inputs)
    }  # fmt: skip
    return [n for n in group if id(n) not in gone]


def _without_earlier(group: list[Node], anchors: list[Node]) -> list[Node]:
    """Without what products before the last one add to other values: it is their epilogue, and those values need not be
    kept for the last product's. anchors: in the order of the graph."""
    inside = {id(n): n for n in group}
    late = {id(a.output) for a in anchors[-1:]}
    early = {id(a.output) for a in anchors[:-1]} - late
    for node in reversed(group):  # from the first that are computed
        made = {id(v) for v in node.inputs if v is not None}
        if made & late:
            late.add(id(node.output))
        elif made & early:
            early.add(id(node.output))
    gone: set[int] = set()
    for node in group:  # from the last: the largest parts first
        if id(node) in gone or id(node.output) not in early:
            continue
        part = {id(n) for n in _ancestors(node, inside)}
        alone = all(id(u) in part for k in part - {id(node)} for u, _ in inside[k].output.uses)
        adds = len(_read([inside[k] for k in part])) > 1
        if alone and adds and all(id(u.output) in late for u, _ in node.output.uses):
            gone |= part
    return [n for n in group if id(n) not in gone]


def _anchors(group: list[Node], outputs: set[int], context: PassContext) -> list[Node]:
    """The products (or the like) whose results only this group reads, at the group's shape. An epilogue cannot say that
    it divided by 0."""
    if any(divisor_of(n) is not None for n in group):
        return []
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
            elif value.dtype.compute is not value.dtype and any(
                record_of(n).divisor is not None for n, _ in value.uses
            ):
                context.missed("epilogue", anchor, f"what is divided must be rounded to {value.dtype.short}")
            else:
                candidates.append(anchor)
    return candidates


def _unread(graph: Graph, nodes: list[Node]) -> list[Node]:
    """The nodes that nobody outside reads."""
    inside = {id(n) for n in nodes}
    return [n for n in nodes if all(id(user) in inside for user, _ in n.output.uses) and not graph.is_output(n.output)]


def _replace(graph: Graph, nodes: list[Node], root: Node) -> Node:
    body = FusedBody(nodes)
    last: Value = root.output
    fused = Node(
        FUSED[1], body.outer_inputs, [graph.value(last.name, last.type)], {"body": body.graph},
        domain=FUSED[0], name=nodes[0].name or root.name,
    )  # fmt: skip
    graph.attach(fused, before=root)
    graph.supersede(last, fused.output)
    graph.remove(_unread(graph, nodes))
    return fused
