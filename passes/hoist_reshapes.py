"""Reshapes after a product move behind the elementwise ops that follow, so that those join the product.

A linear layer is often exported as Reshape, Gemm, Reshape: bias, activation and residual then work on another shape
than the product's. Elementwise ops do not care, and a Reshape of what they make is a view.
"""

from __future__ import annotations

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import is_elementwise, record_of
from arenaut.ir.types import same_shape, same_type
from arenaut.passes.collapse_reshapes import reshape_target
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import reshape_making

# A product that is more values back than this is not looked for.
MAX_VISITED = 32


def hoist_reshapes(graph: Graph, context: PassContext) -> bool:
    """In node order, so that a Reshape moves behind a whole chain in one pass."""
    changed = False
    for node in list(graph.nodes):
        if node.graph is not graph or not is_elementwise(node):
            continue
        reshape = next((r for r in map(_reshape_of_product, node.inputs) if r is not None), None)
        if reshape is None or not same_shape(node.output.shape, reshape.output.shape):
            continue
        reason = _move(graph, reshape, node)
        if reason is None:
            context.fired("behind_" + node.op.lower(), node)
            changed = True
        else:
            context.missed("behind_" + node.op.lower(), node, reason)
    return changed


def _reshape_of_product(value: Value | None) -> Node | None:
    """The Reshape that makes value from a product's result, or from elementwise ops on one."""
    node = reshape_making(value)
    if node is None or not node.operand(0).has_shape:
        return None
    return node if _from_product(node.operand(0)) else None


def _from_product(value: Value) -> bool:
    queue, seen = [value], {id(value)}
    for current in queue:
        maker = current.producer
        if maker is None or maker.output is not current:
            continue
        if record_of(maker).anchor:
            return True
        for v in maker.inputs if is_elementwise(maker) and len(seen) < MAX_VISITED else ():
            if v is not None and same_type(v.type, current.type) and id(v) not in seen:
                seen.add(id(v))
                queue.append(v)
    return False


def _move(graph: Graph, reshape: Node, node: Node) -> str | None:
    """Computes node on the shape before `reshape`, and reshapes its result; why not, where it cannot."""
    source = reshape.operand(0)
    build = GraphBuilder(graph, node, node.name)
    operands = [None if v is None else _as_before(build, v, reshape) for v in node.inputs]
    missing = [v for v, o in zip(node.inputs, operands, strict=True) if v is not None and o is None]
    result = None if missing else build.op(node.op, *operands, domain=node.domain, **node.attributes)
    after = None
    if result is not None and same_shape(result.shape, source.shape):
        after = build.op(reshape.op, result, *reshape.inputs[1:], **reshape.attributes)
    if after is None or not same_type(after.type, node.output.type):
        graph.remove(build.made)
        return f"'{missing[0].name}' has no such form before the reshape" if missing else "the shapes do not agree"
    graph.supersede(node.output, after)
    graph.remove(node)
    return None


def _as_before(build: GraphBuilder, value: Value, reshape: Node) -> Value | None:
    """An operand at the shape before the reshape: the same elements, or the same broadcast."""
    source, target = reshape.operand(0), reshape.output
    if value is target:
        return source
    if not value.has_shape:
        return None
    if same_shape(value.shape, target.shape):
        maker = reshape_making(value)
        if maker is not None:
            inner = maker.operand(0)
            if inner.has_shape and same_shape(inner.shape, source.shape):
                return inner
        return _reshaped(build, value, source)
    if all(d == 1 for d in value.shape):
        return value if value.rank <= source.rank else _flattened(build, value, 0)
    along_last = value.rank > 0 and all(d == 1 for d in value.shape[:-1]) and source.rank > 0
    if along_last and value.shape[-1] == target.shape[-1] == source.shape[-1]:
        return value if value.rank <= source.rank else _flattened(build, value, 1)
    return None


def _reshaped(build: GraphBuilder, value: Value, like: Value) -> Value | None:
    shape = reshape_target(value.shape, like.shape)
    if shape is None:
        return None
    result = build.op("Reshape", value, build.constant(np.array(shape, np.int64)), allowzero=0)
    return result if same_shape(result.shape, like.shape) else None


def _flattened(build: GraphBuilder, value: Value, rank: int) -> Value:
    """Without its leading ones."""
    shape = np.array([-1][:rank], np.int64)
    return build.op("Reshape", value, build.constant(shape), allowzero=0)
