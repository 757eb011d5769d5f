"""Composite ops that nothing runs as they are become the simpler ops that their records name."""

from __future__ import annotations

from collections.abc import Callable

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops import record_of
from arenaut.ir.record import NoRowError, UnknownError
from arenaut.ir.target import Target
from arenaut.ir.types import TensorType
from arenaut.passes.context import PassContext


def decompose_composites(graph: Graph, context: PassContext) -> bool:
    """Replaces each node whose record has a decomposition and no native form; a result may be decomposed again."""
    return decompose_where(graph, context, lambda node: not _has_kernels(node, context.target))


def decompose_where(graph: Graph, context: PassContext, wanted: Callable[[Node], bool]) -> bool:
    """The same for nodes that are wanted decomposed."""
    changed = False
    pending = list(graph.nodes)
    while pending:
        node = pending.pop()
        rule = record_of(node).decompose
        if rule is None or not wanted(node):
            continue
        build = GraphBuilder(graph, node, node.name or node.op.lower())
        try:
            results = list(rule(build, node))
        except (NoRowError, UnknownError) as error:
            context.missed(node.op.lower(), node, str(error))
            graph.remove(build.made)
            continue
        pending += build.made
        for old, new in zip(node.outputs, results, strict=False):
            if old is not None:
                graph.replace(old, new)
        graph.remove(node)
        context.fired(node.op.lower(), node)
        changed = True
    return changed


def _has_kernels(node: Node, target: Target) -> bool:
    record = record_of(node)
    if any(v is not None and isinstance(v.type, TensorType) and v.type.dtype is DType.STRING for v in node.inputs):
        return record.view is not None  # no kernel reads text
    has_rows = record.lower is not None and (not record.family or record.family in target.families)
    return record.view is not None or record.tile is not None or has_rows
