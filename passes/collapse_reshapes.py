"""Reshape-like ops in a row (Reshape, Flatten, Squeeze, Unsqueeze) become one Reshape, or none."""

from __future__ import annotations

import numpy as np

from arenaut.ir.dims import Dim
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.infer import infer_node
from arenaut.ir.ops import record_of
from arenaut.ir.types import same_shape, same_type
from arenaut.passes.context import PassContext


def collapse_reshapes(graph: Graph, context: PassContext) -> bool:
    """A reshape of a reshape reads what the first one read; the first dies if nobody else wants it."""
    changed = False
    for node in list(graph.nodes):
        if not _is_reshape(node):
            continue
        source = node.operand(0)
        while source.producer is not None and _is_reshape(source.producer):
            source = source.producer.operand(0)
        if source is node.operand(0):
            continue
        if same_type(source.type, node.output.type) and not graph.is_output(node.output):
            graph.replace(node.output, source)
            graph.remove(node)
        elif not _retarget(graph, node, source):
            context.missed("collapse", node, "more than one dim of the target shape is symbolic")
            continue
        context.fired("collapse", node)
        changed = True
    return changed


def _is_reshape(node: Node) -> bool:
    return record_of(node).reshapes and node.operand(0).has_shape and node.output.has_shape


def _retarget(graph: Graph, node: Node, source: Value) -> bool:
    shape = reshape_target(source.shape, node.output.shape)
    if shape is None:
        return False
    new = graph.add(
        "Reshape", [source, graph.add_constant(np.array(shape, np.int64), f"{node.name}/shape")],
        {"allowzero": 0}, name=node.name, before=node,
    )  # fmt: skip
    infer_node(new)
    if not same_shape(new.output.shape, node.output.shape):
        graph.remove(new)
        return False
    output = node.output
    graph.supersede(output, new.output)
    graph.remove(node)
    return True


def reshape_target(source: tuple[Dim, ...], target: tuple[Dim, ...]) -> list[int] | None:
    """A constant Reshape operand that turns source dims into target dims: ints, 0 for a dim that stays at its place,
    one -1. None where symbols ask for more."""
    out: list[int] = []
    for i, d in enumerate(target):
        if isinstance(d, int) and d != 0:
            out.append(d)
        elif i < len(source) and source[i] == d:
            out.append(0)
        else:
            out.append(-1)
    return out if out.count(-1) <= 1 else None
