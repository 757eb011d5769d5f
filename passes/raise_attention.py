"""Scaled dot-product attention, spelt out as MatMul, scale, mask, Softmax, MatMul, becomes the standard op Attention.

Heads stay split and merged by the Reshapes and Transposes around it: those are views. A causal mask becomes a flag,
repeated key and value heads become grouped queries, a boolean mask stays boolean, any other bias stays added.

Where every key of a row is forbidden by minus infinity, the plain spelling gives NaN and Attention gives zeros, as does
a spelling that replaces NaN afterwards. So a mask that says minus infinity is raised only with such a guard, or when
each of its rows provably keeps a key.
"""

from __future__ import annotations

import math
from dataclasses import field

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import all_records, record_of
from arenaut.ir.types import same_shape, same_type
from arenaut.passes.context import PassContext
from arenaut.passes.reading.masks import FORBIDDING, NO_MASK, Mask, mask_operand, narrows, read_bias, read_condition
from arenaut.passes.rewriting.pattern import Found, Match, Miss, Rule, Rules, is_op, made_by, number_of
from arenaut.plain import dataclass

FLOATS = (DType.FLOAT, DType.FLOAT16, DType.BFLOAT16)
# Between a query and the number that it is multiplied with, views are followed this far.
MAX_VIEWS = 6


def raise_attention(graph: Graph, context: PassContext) -> bool:
    """Only where a kernel does the whole: its parts would be no better off under another name."""
    record = all_records().get(("", "Attention"))
    if record is None or record.lower is None or "Attention" not in context.target.families:
        return False
    return Rules(_RULES).apply(graph, context)


@dataclass(frozen=True)
class _Found(Match):
    """query, key, value [B, H, S, D] (or [N, S, D]); key is transposed in its last two axes as it is stored."""

    scale: float = 1.0
    mask: Mask = NO_MASK


@dataclass
class _Scores:
    """What stands between the first product and Softmax."""

    products: list[Node] = field(default_factory=list)  # the first product, when it is reached
    nodes: list[Node] = field(default_factory=list)
    scale: float = 1.0
    mask: Value | None = None
    condition: Value | None = None  # of a Where on the scores: true keeps
    inverted: bool = False
    forbidden: float = 0.0


# -- finding -----------------------------------------------------------------------------------------------------------


def _find(softmax: Node) -> Found:
    if not softmax.output.has_shape or softmax.output.dtype not in FLOATS:
        return None
    after = _weights(softmax)
    if after is None:
        return None
    guarded, inner, product = after
    rank = softmax.output.rank
    if int(softmax.attr("axis", -1)) % rank != rank - 1 or rank not in (3, 4):
        return Miss(f"Softmax is over axis {softmax.attr('axis', -1)} of rank {rank}")
    scores = _scores(softmax.operand(0))
    if scores is None:
        return None
    if isinstance(scores, str):
        return Miss(scores)
    query, key, value = scores.products[0].operand(0), scores.products[0].operand(1), product.operand(1)
    scale = scores.scale * _unscaled(query) * _unscaled(key)
    if not all(v.has_shape and v.rank == rank for v in (query, key, value)):
        return Miss("queries, keys and values have not one rank")
    if query.shape[:-2] != key.shape[:-2] or key.shape[:-2] != value.shape[:-2]:
        return Miss(f"heads differ: {query.type}, {key.type}, {value.type}")
    nodes = (product, *inner, softmax, *scores.nodes, *scores.products)
    values = {"query": query, "key": key, "value": value}
    mask = _mask(scores, guarded, query.shape[-2], key.shape[-1])
    if isinstance(mask, str):
        return Miss(mask)
    return _Found(product, values, nodes, scale, mask)


def _mask(scores: _Scores, guarded: bool, queries: Dim, keys: Dim) -> Mask | str:
    """How Attention says the mask, or why it cannot."""
    if scores.condition is not None:
        return read_condition(scores.condition, scores.inverted, scores.forbidden, guarded, queries, keys)
    return NO_MASK if scores.mask is None else read_bias(scores.mask, guarded, queries, keys)


def _weights(softmax: Node) -> tuple[bool, list[Node], Node] | None:
    """Whether NaN is replaced by 0, the nodes that do, and the product that takes the weights."""
    users = softmax.output.users
    inner: list[Node] = []
    weights = softmax.output
    guards = [u for u in users if is_op(u, "Where")]
    tests = [u for u in users if is_op(u, "IsNaN")]
    if len(users) == 2 and guards and tests:
        guard, test = guards[0], tests[0]
        if guard.operand(0) is not test.output or number_of(guard.operand(1)) != 0 or guard.operand(2) is not weights:
            return None
        inner, weights = [guard, test], guard.output
    users = weights.users
    if len(users) != 1 or not is_op(users[0], "MatMul") or users[0].operand(0) is not weights:
        return None
    return bool(inner), inner, users[0]


def _scores(value: Value) -> _Scores | str | None:
    """From the scores that Softmax reads back to the first product."""
    found = _Scores()
    while True:
        node = made_by(value, "MatMul", "Mul", "Div", "Add", "Where")
        if node is None:
            return None
        if is_op(node, "MatMul"):
            found.products.append(node)
            return found
        found.nodes.append(node)
        if is_op(node, "Mul", "Div"):
            number, index = _factor(node)
            if number is None:
                return None
            found.scale, value = found.scale * number, node.operand(index)
        elif is_op(node, "Add"):
            side = _score_side(node)
            if side is None:
                return None
            index = side
            if found.scale != 1 or found.mask is not None or found.condition is not None:
                return f"'{node.operand(1 - index).name}' is added before the scores are scaled or masked"
            found.mask, value = node.operand(1 - index), node.operand(index)
        else:
            reason = _masked(node, found)
            if reason is not None:
                return reason
            value = node.operand(2 if found.inverted else 1)


def _factor(node: Node) -> tuple[float | None, int]:
    """The number that a Mul or Div scales by, and the input that it scales."""
    right = number_of(node.operand(1))
    if is_op(node, "Div"):
        return (1 / right if right else None), 0
    return (right, 0) if right is not None else (number_of(node.operand(0)), 1)


def _score_side(node: Node) -> int | None:
    """Which input of an Add leads back to a product: the other is the mask."""
    for index in (0, 1):
        value = node.operand(index)
        if value.has_shape and same_shape(value.shape, node.output.shape) and _leads_to_product(value):
            return index
    return None


def _leads_to_product(value: Value, steps: int = 4) -> bool:
    node = made_by(value, "MatMul", "Mul", "Div", "Where", "Add")
    if node is None or is_op(node, "MatMul") or steps == 0:
        return node is not None and is_op(node, "MatMul")
    inputs = [v for v in node.inputs if v is not None and v.constant is None and same_type(v.type, value.type)]
    return any(_leads_to_product(v, steps - 1) for v in inputs)


def _masked(node: Node, found: _Scores) -> str | None:
    """Scores where a condition holds, a very negative number elsewhere (or the other way round)."""
    if found.scale != 1 or found.mask is not None or found.condition is not None:
        return "a second mask"
    for index in (1, 2):
        number = number_of(node.operand(index))
        kept = node.operand(3 - index)
        if number is not None and number <= FORBIDDING and same_type(kept.type, node.output.type):
            found.condition, found.inverted, found.forbidden = node.operand(0), index == 1, number
            return None
    return f"{node} does not mask by a very negative number"


def _unscaled(value: Value) -> float:
    """The number that a query or key is multiplied with, before views of it."""
    node = _scaling(value)
    number = _factor(node)[0] if node is not None else None
    return 1.0 if number is None else number


def _scaling(value: Value) -> Node | None:
    """The Mul or Div by a number that makes the value, or what the value is a view of."""
    for _ in range(MAX_VIEWS):
        node = value.producer
        if node is None or node.outputs[0] is not value or not node.operand(0).has_shape:
            return None
        if not record_of(node).arranges:
            if node is not made_by(value, "Mul", "Div"):
                return None
            number, index = _factor(node)
            return node if number is not None and same_type(node.operand(index).type, node.output.type) else None
        value = node.operand(0)
    return None


def _without_scale(build: GraphBuilder, value: Value) -> Value:
    """The value without what `_unscaled` says."""
    scaling = _scaling(value)
    if scaling is None:
        return value
    source = scaling.operand(_factor(scaling)[1])
    views: list[Node] = []
    while value is not scaling.output:
        assert value.producer is not None
        views.insert(0, value.producer)
        value = value.producer.operand(0)
    for view in views:
        source = build.op(view.op, source, *view.inputs[1:], **view.attributes)
    return source


# -- rewriting -----------------------------------------------------------------------------------------------------


def _raise(build: GraphBuilder, match: Match) -> Value:
    assert isinstance(match, _Found)
    query, key = (_without_scale(build, match[name]) for name in ("query", "key"))
    key, value = _transposed(build, key), match["value"]
    key, value = _ungrouped(key, value)
    mask = mask_operand(build, match.mask, query.dtype)
    flat = query.rank == 3
    if flat:
        query, key, value = (_unsqueezed(build, v) for v in (query, key, value))
        mask = _unsqueezed(build, mask) if mask is not None and mask.rank == 3 else mask
    result = build.op(
        "Attention", query, key, value, mask, scale=match.scale, is_causal=int(match.mask.causal), softcap=0.0,
        qk_matmul_output_mode=0, left_window_size=-1, right_window_size=-1,
    )  # fmt: skip
    if flat:
        result = build.op("Squeeze", result, build.constant(np.array([1], np.int64)))
    return result


def _unsqueezed(build: GraphBuilder, value: Value) -> Value:
    return build.op("Unsqueeze", value, build.constant(np.array([1], np.int64)))


def _transposed(build: GraphBuilder, key: Value) -> Value:
    """The key with its last two axes exchanged: what it was before, where that is found."""
    rank = key.rank
    last = (*range(rank - 2), rank - 1, rank - 2)
    node = made_by(key, "Transpose")
    if node is not None:
        perm = node.attr("perm") or tuple(range(rank - 1, -1, -1))
        if tuple(perm) == last:
            return node.operand(0)
        moved = build.op("Transpose", node.operand(0), perm=tuple(perm[i] for i in last))
    else:
        source = _through_batches(key)
        if source is not None:
            return source
        moved = build.op("Transpose", key, perm=last)
    return moved


def _through_batches(key: Value) -> Value | None:
    """Batch and heads merged, last axes exchanged, and split again: the value that started it."""
    split = made_by(key, "Reshape")
    turned = made_by(split.operand(0), "Transpose") if split is not None else None
    merged = made_by(turned.operand(0), "Reshape") if turned is not None else None
    if turned is None or merged is None or tuple(turned.attr("perm") or ()) != (0, 2, 1):
        return None
    source = merged.operand(0)
    if not source.has_shape or source.rank != key.rank or not merged.output.has_shape:
        return None
    swapped = (*source.shape[:-2], source.shape[-1], source.shape[-2])
    kept = same_shape(merged.output.shape[1:], source.shape[-2:])
    return source if kept and same_shape(swapped, key.shape) else None


def _ungrouped(key: Value, value: Value) -> tuple[Value, Value]:
    """Keys and values before their heads were repeated for the queries, when both were."""
    sources = (_unrepeated(key), _unrepeated(value))
    if sources[0] is None or sources[1] is None or sources[0].shape[1] != sources[1].shape[1]:
        return key, value
    return sources[0], sources[1]


def _unrepeated(value: Value) -> Value | None:
    """[B, G, S, D] of which each head is repeated: Unsqueeze, Expand to [B, G, n, S, D], Reshape to [B, G n, S, D]."""
    merged = made_by(value, "Reshape")
    repeated = made_by(merged.operand(0), "Expand") if merged is not None else None
    apart = made_by(repeated.operand(0), "Unsqueeze", "Reshape") if repeated is not None else None
    if repeated is None or apart is None or value.rank != 4:
        return None
    source, wide = apart.operand(0), repeated.output
    if not (source.has_shape and wide.has_shape and source.rank == 4 and wide.rank == 5):
        return None
    batch, heads, length, size = source.shape
    grouped = wide.shape
    same = same_shape(apart.output.shape, (batch, heads, 1, length, size)) and grouped == (
        batch,
        heads,
        grouped[2],
        length,
        size,
    )
    whole = isinstance(heads, int) and isinstance(grouped[2], int)
    return source if same and whole and same_shape(value.shape, (batch, heads * grouped[2], length, size)) else None


# -- what the op is given ----------------------------------------------------------------------------------------------


def _find_operands(node: Node) -> Found:
    """An Attention whose mask can be said with less, or whose keys and values are repeated: only then is there a
    match."""
    extra = any(v is not None for v in node.inputs[4:]) or len([v for v in node.outputs if v is not None]) > 1
    query, key, value = (node.operand(i) for i in range(3))
    if extra or not all(v.has_shape for v in (query, key, value)):
        return None
    repeated = key.rank == value.rank == 4 and _ungrouped(key, value)[0] is not key
    mask = _given_mask(node, query.shape[-2], key.shape[-2])
    if isinstance(mask, str):
        return Miss(mask) if not repeated else _Found(node, {}, (node,), _own_scale(node), Mask(bias=node.input(3)))
    given = node.input(3)
    scale = _given_scale(node)
    less = given is not None and (mask.causal or mask == NO_MASK or narrows(given))
    return _Found(node, {}, (node,), scale, mask) if less or repeated or scale != _own_scale(node) else None


def _own_scale(node: Node) -> float:
    """The scale of an Attention of which the head size is known, else zero."""
    query, scale = node.operand(0), node.attr("scale")
    if scale is not None:
        return float(scale)
    size = query.shape[-1] if query.rank == 4 else 0
    return 1 / math.sqrt(size) if isinstance(size, int) and size > 0 else 0.0


def _given_scale(node: Node) -> float:
    return _own_scale(node) * _unscaled(node.operand(0)) * _unscaled(node.operand(1))


def _given_mask(node: Node, queries: Dim, keys: Dim) -> Mask | str:
    """Rows of which every key is forbidden are zeros, whatever the mask."""
    given = node.input(3)
    if given is None:
        return NO_MASK
    if given.type is None:
        return "the type of the mask is not known"
    if int(node.attr("left_window_size", -1)) >= 0 or int(node.attr("right_window_size", -1)) >= 0:
        return Mask(bias=given)
    if given.dtype is DType.BOOL:
        return read_condition(given, False, -math.inf, True, queries, keys)
    return read_bias(given, True, queries, keys)


def _write_operands(build: GraphBuilder, match: Match) -> Value:
    assert isinstance(match, _Found)
    node = match.root
    query, key, value = (node.operand(i) for i in range(3))
    attributes = dict(node.attributes)
    if match.scale != _own_scale(node):
        query, key, attributes["scale"] = _without_scale(build, query), _without_scale(build, key), match.scale
    if key.rank == value.rank == 4:
        key, value = _ungrouped(key, value)
    given = node.input(3)
    keep = given is None or (given is match.mask.bias and not narrows(given))
    mask = given if keep else mask_operand(build, match.mask, query.dtype)
    causal = int(match.mask.causal or bool(node.attr("is_causal", 0)))
    inputs = [query, key, value, *([] if mask is None else [mask])]
    return build.op("Attention", *inputs, **{**attributes, "is_causal": causal})


_RULES = (
    Rule("attention", ("Softmax",), _find, _raise),
    Rule("attention_operands", ("Attention",), _find_operands, _write_operands),
)
