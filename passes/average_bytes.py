"""A mean of dequantised bytes is a mean of the bytes: their sum is exact, and the floats are never written."""

from __future__ import annotations

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.quantised import stored

REWRITE = "average_bytes"


def average_bytes(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        axes = _averaged(node)
        numbers = None if axes is None else stored(node.operand(0))
        if numbers is None or axes is None:
            continue
        if not numbers.is_single or not numbers.is_bytes:
            context.missed(REWRITE, node, "not bytes of one scale")
            continue
        if numbers.scale.dtype is not DType.FLOAT or node.output.dtype is not DType.FLOAT:
            context.missed(REWRITE, node, "not scaled in float32")
            continue
        build = GraphBuilder(graph, node, node.name)
        keeps = int(node.attr("keepdims", 1))
        mean = build.op(
            "QMean", numbers.x, numbers.scale, numbers.zero, domain=ARENAUT_DOMAIN, axes=axes, keepdims=keeps
        )
        graph.supersede(node.output, mean)
        graph.remove(node)
        context.fired(REWRITE, node)
        changed = True
    return changed


def _averaged(node: Node) -> tuple[int, ...] | None:
    """The axes that a mean runs over; None where node is none, or they are not known."""
    if not (is_op(node, "ReduceMean") or is_op(node, "GlobalAveragePool")) or not node.operand(0).has_shape:
        return None
    rank = node.operand(0).rank
    if is_op(node, "GlobalAveragePool"):
        return tuple(range(2, rank))
    given = node.input(1)
    chosen = () if given is None else given.constant
    if chosen is None:
        return None
    axes = tuple(int(a) % rank for a in np.reshape(chosen, -1))
    return axes or (None if node.attr("noop_with_empty_axes", 0) or not rank else tuple(range(rank)))
