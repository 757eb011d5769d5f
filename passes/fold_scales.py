"""Constant factors before and after products and convolutions become part of constant weights: an image need not be
scaled in a pass of its own, nor a result.

One factor for all, one a channel (columns of a product), or, before it, one a channel of the input (rows of the
weights). Zeros that a convolution pads with stay zeros whatever the factor.
"""

from __future__ import annotations

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.types import same_type
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import Found, Match, Miss, Rule, Rules, is_op, made_by
from arenaut.passes.rewriting.scaling import keeps_all, scaled
from arenaut.plain import dataclass


def fold_scales(graph: Graph, context: PassContext) -> bool:
    return Rules(_RULES).apply(graph, context)


@dataclass(frozen=True)
class _Folded(Match):
    """product: the node anew on `x`, with these weights and this bias."""

    product: Node | None = None
    weights: Array | None = None
    bias: Array | None = None


def _constant_side(node: Node) -> tuple[Value, Array] | None:
    """The operand that is computed, and the factor in float64."""
    a, b = node.operand(0), node.operand(1)
    if b.constant is not None and a.constant is None:
        known = b.constant.astype(np.float64)
        with np.errstate(all="ignore"):
            return a, 1 / known if is_op(node, "Div") else known
    if a.constant is not None and b.constant is None and record_of(node).commutative:
        return b, a.constant.astype(np.float64)
    return None


def _along(array: Array, rank: int, axis: int, size: object) -> Array | None:
    """A constant that broadcasts to a tensor of this rank as one number a place of the axis, or as one number."""
    shape = (*(1,) * (rank - array.ndim), *array.shape)
    if len(shape) != rank or any(n != 1 for i, n in enumerate(shape) if i != axis % rank):
        return None
    return array.reshape(-1) if array.size == 1 or array.size == size else None


def _product(node: Node | None) -> tuple[Array, Array | None] | str:
    """Weights and bias of a product, or why they cannot be changed."""
    if node is None:
        return "it is no product"
    weights, bias = node.operand(1), node.input(2)
    if weights.constant is None or len(weights.uses) != 1 or (bias is not None and bias.constant is None):
        return f"the weights '{weights.name}' are not constants of this product alone"
    if weights.constant.dtype.kind != "f" or weights.rank < 2:
        return f"the weights are {weights.type}"
    return weights.constant, None if bias is None else bias.constant


def _scaled(weights: Array, factor: Array) -> Array | None:
    """weights * factor; None where an element is lost."""
    result = scaled(weights, factor)
    return result if keeps_all(weights, result) and np.isfinite(factor).all() else None


def _find_before(node: Node) -> Found:
    """product(x * factor)."""
    scaling = made_by(node.operand(0), "Mul", "Div")
    sides = None if scaling is None else _constant_side(scaling)
    if (
        scaling is None
        or sides is None
        or not same_type(sides[0].type, scaling.output.type)
        or not node.output.has_shape
    ):
        return None
    parts = _product(node)
    if isinstance(parts, str):
        return Miss(parts)
    (x, factor), (weights, bias) = sides, parts
    channels = record_of(node).channels
    assert channels is not None
    if x.rank < 2:
        return None
    found = _along(factor, x.rank, channels.at, x.shape[channels.at])
    if found is None or (found.size > 1 and node.attr("group", 1) > 1):
        return Miss("the factor is not one number, or one a channel")
    changed = _scaled(weights, channels.along(found, channels.summed, weights.ndim))
    if changed is None:
        return Miss("weights would be lost")
    return _Folded(node, {"x": x}, (node, scaling), node, changed, bias)


def _find_after(node: Node) -> Found:
    """product(x) * factor."""
    sides = _constant_side(node)
    product = None if sides is None else made_by(sides[0], "Conv", "MatMul")
    if sides is None or product is None or not same_type(sides[0].type, node.output.type) or not node.output.has_shape:
        return None
    parts = _product(product)
    if isinstance(parts, str):
        return Miss(parts)
    weights, bias = parts
    channels = record_of(product).channels
    assert channels is not None
    rank, count = node.output.rank, channels.count(product, weights)
    found = _along(sides[1], rank, channels.at, count) if rank > 1 else None
    if found is None:
        return Miss("the factor is not one number, or one a channel")
    changed = _scaled(weights, channels.along(found, channels.made, weights.ndim))
    moved = None if bias is None else _scaled(bias, found)
    if changed is None or (bias is not None and moved is None):
        return Miss("weights would be lost")
    return _Folded(node, {"x": product.operand(0)}, (node, product), product, changed, moved)


def _rewrite(build: GraphBuilder, match: Match) -> Value:
    assert isinstance(match, _Folded) and match.product is not None and match.weights is not None
    old = match.product
    weights = build.constant(match.weights)
    bias = [] if match.bias is None else [build.constant(match.bias)]
    result = build.op(old.op, match["x"], weights, *bias, **old.attributes)
    return result


_RULES = (
    Rule("factor_before", ("Conv", "MatMul"), _find_before, _rewrite),
    Rule("factor_after", ("Mul", "Div"), _find_after, _rewrite),
)
