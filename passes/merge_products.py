"""Products of one value with several constant weights become one product with the weights beside each other: queries,
keys and values read their input once. The results are parts of the one result, by a Split: views.

Only results that no elementwise op takes part in: those would no longer be computed on the product's hot block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.types import same_type
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.plain import dataclass

# Views between a product and what computes with it are followed this far.
MAX_VIEWS = 8
_INTEGER = (ARENAUT_DOMAIN, "QMatMul")


@dataclass(frozen=True)
class _Product:
    """A MatMul, perhaps with the Add of its bias, a Gemm or a QMatMul. weights: [K, N], or [N, K] where transposed.

    scale, zero: of the columns of integer weights, where they have any.
    """

    node: Node
    last: Node
    weights: Array
    bias: Array | None
    transposed: bool
    scale: Array | None = None
    zero: Array | None = None

    @property
    def width(self) -> int:
        return int(self.weights.shape[0 if self.transposed else 1])


def merge_products(graph: Graph, context: PassContext) -> bool:
    groups: dict[tuple[object, ...], list[_Product]] = {}
    outputs = {id(v) for v in graph.outputs}
    for node in graph.nodes:
        if not is_op(node, "MatMul", "Gemm") and node.key != _INTEGER:
            continue
        product = _product(node, outputs)
        if product is not None:
            groups.setdefault(_key(product), []).append(product)
    changed = False
    for group in groups.values():
        if len(group) < 2:
            continue
        apart = {id(p.node): _why_apart(p, outputs) for p in group}
        for p in group:
            reason = apart[id(p.node)]
            if reason is not None:
                context.missed("side_by_side", p.node, reason)
        merged = [p for p in group if apart[id(p.node)] is None]
        if len(merged) > 1:
            _merge(graph, merged)
            context.fired("side_by_side", merged[0].node)
            changed = True
    return changed


def _key(p: _Product) -> tuple[object, ...]:
    """What products have in common that can be one."""
    others: tuple[object, ...] = ()
    if p.node.op == "Gemm":
        others = tuple(p.node.attr(name, 1.0) for name in ("alpha", "beta"))
    elif p.node.key == _INTEGER:
        scaled = (p.scale is None, None if p.bias is None else p.bias.dtype)
        others = (_identity(p.node.input(2)), _identity(p.node.input(3)), *scaled)
    return (id(p.node.operand(0)), p.node.op, p.transposed, p.weights.dtype, others)


def _identity(value: Value | None) -> object:
    """A scale or zero point: equal constants are the same."""
    if value is None or value.constant is None:
        return id(value)
    return (value.dtype, value.constant.tobytes())


def _product(node: Node, outputs: set[int]) -> _Product | None:
    a, b = node.operand(0), node.operand(1)
    if b.constant is None or b.constant.ndim != 2 or len(b.uses) != 1 or a.constant is not None:
        return None
    if not node.output.has_shape or node.output.rank < 2 or node.attr("transA", 0):
        return None
    if node.key == _INTEGER:
        return _integer_product(node, b.constant)
    if node.op == "Gemm":
        c = node.input(2)
        bias = None if c is None else _row(c, node.output.shape[-1])
        if c is not None and bias is None:
            return None
        return _Product(node, node, b.constant, bias, bool(node.attr("transB", 0)))
    added = node.output.users[0] if len(node.output.uses) == 1 and id(node.output) not in outputs else None
    if added is not None and is_op(added, "Add"):
        other = added.operand(1 if added.operand(0) is node.output else 0)
        bias = _row(other, node.output.shape[-1]) if same_type(added.output.type, node.output.type) else None
        if bias is not None:
            return _Product(node, added, b.constant, bias, False)
    return _Product(node, node, b.constant, None, False)


def _integer_product(node: Node, weights: Array) -> _Product | None:
    """Where all that belongs to columns is constant."""
    given = [node.input(i) for i in (4, 5, 6)]
    if any(v is not None and v.constant is None for v in given):
        return None
    scale, zero, bias = (None if v is None else v.constant for v in given)
    return _Product(node, node, weights, bias, bool(node.attr("transB", 0)), scale, zero)


def _row(value: Value, width: object) -> Array | None:
    """A constant bias as one number a column."""
    array = value.constant
    return array.reshape(-1) if array is not None and array.ndim and array.shape[-1] == array.size == width else None


def _why_apart(p: _Product, outputs: set[int]) -> str | None:
    """Why a product is better left alone: what reads it would be fused with it, or needs it dense."""
    queue, seen = [(p.last.output, 0)], {id(p.last.output)}
    for value, depth in queue:
        if id(value) in outputs:
            return f"'{value.name}' is an output of the graph"
        for user in value.users:
            record = record_of(user)
            if user.domain == ARENAUT_DOMAIN or record.is_elementwise(user):
                return f"{user} joins the product"
            if record.view is None:
                continue
            if depth == MAX_VIEWS:
                return f"{user} is too far away"
            for out in user.outputs:
                if out is not None and id(out) not in seen:
                    seen.add(id(out))
                    queue.append((out, depth + 1))
    return None


def _columns(
    build: GraphBuilder, products: list[_Product], each: list[Array | None], fill: Any
) -> Value | None:  # fmt: skip
    """What products have for their columns, beside each other. fill: the type of zeros for products that have none;
    None: all have some, or none has."""
    if all(x is None for x in each):
        return None
    zero = np.zeros((), fill)
    rows = [
        np.broadcast_to((zero if x is None else x).reshape(-1), p.width) for p, x in zip(products, each, strict=True)
    ]
    return build.constant(np.concatenate(rows))


def _merge(graph: Graph, products: list[_Product]) -> None:
    first = products[0]
    build = GraphBuilder(graph, first.node, first.node.name)
    weights = np.concatenate([p.weights for p in products], 0 if first.transposed else 1)
    bias: Value | None = None
    if any(p.bias is not None for p in products):
        dtype = next(p.bias.dtype for p in products if p.bias is not None)
        rows = [np.zeros(p.width, dtype) if p.bias is None else p.bias for p in products]
        bias = build.constant(np.concatenate(rows))
    a = first.node.operand(0)
    if first.node.key == _INTEGER:
        columns = (_columns(build, products, [p.scale for p in products], None),
                   _columns(build, products, [p.zero for p in products], weights.dtype))  # fmt: skip
        operands = (build.constant(weights), first.node.input(2), first.node.input(3), *columns, bias)
        whole = build.op("QMatMul", a, *operands, domain=ARENAUT_DOMAIN, **first.node.attributes)
    elif first.node.op == "Gemm":
        whole = build.op("Gemm", a, build.constant(weights), bias, **first.node.attributes)
    else:
        whole = build.op("MatMul", a, build.constant(weights))
        whole = whole if bias is None else build.op("Add", whole, bias)
    sizes = build.constant(np.array([p.width for p in products], np.int64))
    parts = build.ops("Split", whole, sizes, outputs=len(products), axis=whole.rank - 1)
    for p, part in zip(products, parts, strict=True):
        graph.replace(p.last.output, part)
    graph.remove(n for p in products for n in {id(p.node): p.node, id(p.last): p.last}.values())
