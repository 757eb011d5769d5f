"""Products of dequantised operands, and integer products whose sums are scaled afterwards, become the product of the
domain arenaut that does both at once on the stored numbers."""

from __future__ import annotations

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.ops import all_records, find_record, record_of
from arenaut.ir.ops.quantize import narrowest, product_of
from arenaut.ir.ops.support.composite import ints
from arenaut.ir.record import IntegerForm
from arenaut.ir.types import same_type
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op, same_value
from arenaut.passes.rewriting.quantised import BYTES, Stored, stored
from arenaut.plain import dataclass

# How far, relatively, a bias's scale may be from the product of the operands' scales that it is meant to be.
SCALE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class _Operand:
    x: Value
    scale: Value
    zero: Value | None


def raise_integer_products(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        rule = record_of(node).integer
        if node.graph is not graph or rule is None or not all(v is None or v.has_shape for v in node.inputs):
            continue
        form = rule(node)
        if form is None:
            continue
        made = _of_integers(graph, node, form) if node.operand(0).dtype in BYTES else _of_floats(graph, node, form)
        if made is None:
            continue
        record = find_record(ARENAUT_DOMAIN, form.op)
        assert record is not None
        if isinstance(made, str):
            context.missed(form.op, node, made)
        elif record.family not in context.target.families:
            context.missed(form.op, node, f"no rows of {record.family} here")
        else:
            made.apply()
            context.fired(form.op, node)
            changed = True
    return changed


@dataclass(frozen=True)
class _Rewrite:
    """The product of a and b in place of `last`, the last of the nodes that go. bias: of int32 or float32."""

    graph: Graph
    form: IntegerForm
    a: _Operand
    b: _Operand
    bias: Value | None
    nodes: tuple[Node, ...]

    def apply(self) -> None:
        last = self.nodes[-1]
        build = GraphBuilder(self.graph, last, self.nodes[0].name)
        bias = None if self.bias is None else _vector(build, self.bias)
        result = build.op(
            self.form.op, self.a.x, self.b.x, narrowest(build, self._a_scale(build)), _shift(build, self.a.zero),
            _vector(build, self.b.scale), _shift(build, self.b.zero), bias, domain=ARENAUT_DOMAIN,
            **self.form.attributes,
        )  # fmt: skip
        self.graph.supersede(last.output, result)
        self.graph.remove(self.nodes)

    def _a_scale(self, build: GraphBuilder) -> Value:
        if self.form.factor == 1:
            return self.a.scale
        return product_of(build, self.a.scale, build.constant(np.array(self.form.factor, np.float32)))


def _shift(build: GraphBuilder, zero: Value | None) -> Value | None:
    """A zero point as few numbers: none where it is 0, one where all are the same."""
    if zero is None or zero.constant is None:
        return narrowest(build, zero)
    array = zero.constant.reshape(-1)
    if not array.size or (array == array[0]).all():
        return build.constant(array[:1].reshape(())) if array.size and array[0] else None
    return _vector(build, zero)


def _vector(build: GraphBuilder, value: Value) -> Value:
    """One number, or a vector."""
    if value.rank < 2:
        return narrowest(build, value)
    if value.constant is not None:
        return narrowest(build, build.constant(value.constant.reshape(-1)))
    return narrowest(build, build.op("Reshape", value, ints(build, -1)))


# -- products of what was dequantised ------------------------------------------------------------------------------


def _of_floats(graph: Graph, node: Node, form: IntegerForm) -> _Rewrite | str | None:
    a, b = stored(node.operand(0)), stored(node.operand(1))
    if a is None or b is None:
        return None if a is b else "only one operand is quantised"
    reason = _refused(a, form.axis, True) or _refused(b, form.axis, False)
    if reason is not None:
        return reason
    left, right = _Operand(a.x, a.scale, a.zero), _Operand(b.x, b.scale, b.zero)
    if form.bias is None:
        added = _added(graph, node.output, form)
        return _Rewrite(graph, form, left, right, *((None, (node,)) if added is None else (added[1], (node, added[0]))))
    return _Rewrite(graph, form, left, right, _bias(form, a, b), (node,))


def _refused(numbers: Stored, axis: int, single: bool) -> str | None:
    name = numbers.node.output.name
    if not numbers.is_bytes:
        return f"'{name}' stands for {numbers.dtype.short}, not 8 bits"
    if numbers.scale.dtype is not DType.FLOAT or numbers.node.output.dtype is not DType.FLOAT:
        return f"'{name}' is not scaled in float32"
    if numbers.is_single or (not single and numbers.axis == axis):
        return None
    return f"the scales of '{name}' differ along an axis that is summed over"


def _bias(form: IntegerForm, a: Stored, b: Stored) -> Value | None:
    """The product's own bias: as int32 where that counts in units of both scales, else as it is."""
    numbers = stored(form.bias)
    if numbers is None or numbers.dtype is not DType.INT32 or form.factor != 1:
        return form.bias
    zero = numbers.zero
    if zero is not None and (zero.constant is None or zero.constant.any()):
        return form.bias
    return numbers.x if _is_product(numbers.scale, a.scale, b.scale) else form.bias


def _is_product(scale: Value, left: Value, right: Value) -> bool:
    arrays = [v.constant for v in (scale, left, right)]
    if all(x is not None for x in arrays):
        unit, first, second = (np.asarray(x, np.float64).reshape(-1) for x in arrays)
        if unit.size not in (1, max(first.size, second.size)):
            return False
        return bool(np.allclose(unit, first * second, rtol=SCALE_TOLERANCE, atol=0))
    made = scale.producer
    if made is None or not is_op(made, "Mul"):
        return False
    factors = (made.operand(0), made.operand(1))
    pairs = ((left, right), (right, left))
    return any(all(same_value(f, w) for f, w in zip(factors, pair, strict=True)) for pair in pairs)


# -- integer products that are scaled afterwards -------------------------------------------------------------------


def _of_integers(graph: Graph, node: Node, form: IntegerForm) -> _Rewrite | str | None:
    zeros = (node.input(2), node.input(3))
    if node.operand(1).dtype not in BYTES:
        return "its second operand is not of 8 bits"
    width = node.operand(1).shape[form.axis]
    if not _is_row(zeros[0], 1, node.output.rank, form) or not _is_row(zeros[1], width, node.operand(1).rank, form):
        return "zero points along what is summed over"
    cast = _only_user(graph, node.output)
    if cast is None or not is_op(cast, "Cast") or cast.output.dtype is not DType.FLOAT:
        return None
    scaled = _only_user(graph, cast.output)
    if scaled is None or not is_op(scaled, "Mul") or not same_type(scaled.output.type, cast.output.type):
        return "its sums are not scaled at once"
    scale = scaled.operand(1 if scaled.operand(0) is cast.output else 0)
    scales = _factors(scale, width, node, form)
    if scales is None:
        return f"'{scale.name}' is no scale of both operands"
    left = _Operand(node.operand(0), scales[0] or _unit(graph), zeros[0])
    right = _Operand(node.operand(1), scales[1] or _unit(graph), zeros[1])
    added = _added(graph, scaled.output, form)
    nodes = (node, cast, scaled)
    if added is None:
        return _Rewrite(graph, form, left, right, None, nodes)
    return _Rewrite(graph, form, left, right, added[1], (*nodes, added[0]))


def _unit(graph: Graph) -> Value:
    return graph.add_constant(np.ones((), np.float32))


def _factors(scale: Value, width: object, node: Node, form: IntegerForm) -> tuple[Value | None, Value | None] | None:
    """The scale of a, one number, and that of b; None for one that is 1."""
    rank, made = node.output.rank, scale.producer
    pair = (made.operand(0), made.operand(1)) if made is not None and is_op(made, "Mul") else None
    if pair is not None and all(v.has_shape for v in pair):
        for a, b in (pair, pair[::-1]):
            if _is_row(a, 1, rank, form) and _is_row(b, width, rank, form):
                return a, b
    if not scale.has_shape or not _is_row(scale, width, rank, form):
        return None
    return (scale, None) if _is_row(scale, 1, rank, form) else (None, scale)


def _is_row(value: Value | None, width: object, rank: int, form: IntegerForm) -> bool:
    """Whether it is one number, or one an index of the dim of results that the form's axis makes: the last, or dim 1
    where windows slide. A vector against that dim, or the other dims are 1."""
    if value is None:
        return True
    if not value.has_shape or value.rank > rank:
        return False
    if all(d == 1 for d in value.shape):
        return True
    trailing = rank - 2 if _slides(form) else 0
    shape = value.shape
    if trailing and value.rank == 1:  # a zero point for each filter
        return shape[0] == width and rank == value.rank
    if trailing:
        if any(d != 1 for d in shape[len(shape) - trailing :]):
            return False
        shape = shape[: len(shape) - trailing]
    return bool(shape) and shape[-1] == width and all(d == 1 for d in shape[:-1])


def _slides(form: IntegerForm) -> bool:
    """Whether windows slide, so that channels are dim 1 of the result; else they are its last."""
    return all_records()[ARENAUT_DOMAIN, form.op].layout == "channels"


def _only_user(graph: Graph, value: Value) -> Node | None:
    if len(value.uses) != 1 or graph.is_output(value) or not value.has_shape:
        return None
    user = value.users[0]
    return user if user.outputs and user.output.has_shape else None


def _added(graph: Graph, value: Value, form: IntegerForm) -> tuple[Node, Value] | None:
    """The Add behind the result, and what it adds, where that is a constant bias."""
    user = _only_user(graph, value)
    if user is None or not is_op(user, "Add") or not same_type(user.output.type, value.type):
        return None
    other = user.operand(1 if user.operand(0) is value else 0)
    width = value.shape[1 if _slides(form) else -1]
    if other.constant is None or other.constant.size == 1 or not _is_row(other, width, value.rank, form):
        return None
    return user, other
