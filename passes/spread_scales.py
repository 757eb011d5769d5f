"""QuantizeLinear and DequantizeLinear that no tile program holds as they are, because scales differ along an axis or by
blocks, become the arithmetic that they stand for."""

from __future__ import annotations

from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops import record_of
from arenaut.passes.context import PassContext
from arenaut.passes.decompose_composites import decompose_where


def spread_scales(graph: Graph, context: PassContext) -> bool:
    return decompose_where(graph, context, _has_no_tile)


def _has_no_tile(node: Node) -> bool:
    record = record_of(node)
    composite = record.decompose is not None and record.lower is None
    return composite and record.tile is not None and not record.is_elementwise(node)
