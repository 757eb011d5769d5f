"""Casts of casts: where the first loses nothing, only the second matters; where that undoes it, neither does."""

from __future__ import annotations

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node, Value
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op, made_by

_INTEGERS = {DType.INT8: 7, DType.UINT8: 8, DType.INT16: 15, DType.UINT16: 16, DType.INT32: 31, DType.UINT32: 32,
             DType.INT64: 63, DType.UINT64: 64}  # fmt: skip
_SIGNED = (DType.INT8, DType.INT16, DType.INT32, DType.INT64)
# Bits of the significand, and the largest exponent.
_FLOATS = {DType.FLOAT16: (11, 15), DType.BFLOAT16: (8, 127), DType.FLOAT: (24, 127), DType.DOUBLE: (53, 1023)}


def merge_casts(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        if node.graph is not graph:
            continue
        first = made_by(node.operand(0), "Cast") if is_op(node, "Cast") else None
        if first is None or first.operand(0).type is None:
            continue
        source, middle = first.operand(0), node.operand(0).dtype
        if not lossless(source.dtype, middle):
            context.missed("cast_of_cast", node, f"{middle.short} does not hold every {source.dtype.short}")
            continue
        changed = _merge(graph, node, source) or changed
        context.fired("cast_of_cast", node)
    return changed


def lossless(source: DType, target: DType) -> bool:
    """Whether target holds every value of source."""
    if source is target:
        return True
    if source is DType.BOOL:
        return target in _INTEGERS or target in _FLOATS
    if source in _INTEGERS and target in _INTEGERS:
        fits = _INTEGERS[source] <= _INTEGERS[target]
        return fits and (source not in _SIGNED or target in _SIGNED)
    if source in _INTEGERS and target in _FLOATS:
        return _INTEGERS[source] <= _FLOATS[target][0] and _INTEGERS[source] <= _FLOATS[target][1]
    if source in _FLOATS and target in _FLOATS:
        return all(a <= b for a, b in zip(_FLOATS[source], _FLOATS[target], strict=True))
    return False


def _merge(graph: Graph, node: Node, source: Value) -> bool:
    """Reads the source instead of the cast of it; that itself where it has the type wanted."""
    if source.dtype is node.output.dtype and not graph.is_output(node.output):
        graph.replace(node.output, source)
        graph.remove(node)
        return True
    new = GraphBuilder(graph, node, node.name).op("Cast", source, **node.attributes)
    graph.supersede(node.output, new)
    graph.remove(node)
    return True
