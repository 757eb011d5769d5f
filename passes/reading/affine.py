"""Values of a loop's body as affine functions of a few others: x W + h R + b, however its nodes spell that out.

A value that no rule here takes apart is itself one of those others. Coefficients are the model's own constants, or some
of their rows and columns, so nothing is rounded again, but for a sum of constants that are added one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from itertools import pairwise
from typing import Any

import numpy as np

from arenaut.ir.graph import Array, Node, Value
from arenaut.plain import dataclass

Constants = Callable[[Value], "Array | None"]


@dataclass(frozen=True)
class Affine:
    """A row [.., n] as the sum of `values[k] @ factors[k]` and bias. A factor [m, n]; None: the value itself."""

    values: Sequence[Value]
    factors: Sequence[Array | None]
    bias: Array | None = None

    def factor_of(self, value: Value) -> Array | None:
        return next((f for v, f in zip(self.values, self.factors, strict=True) if v is value), None)

    def reads_only(self, *values: Value | None) -> bool:
        """Whether it multiplies these values by matrices, and reads nothing else."""
        known = all(any(v is w for w in values) for v in self.values)
        return known and all(f is not None for f in self.factors)


@dataclass
class AffineReader:
    """constants: what is known of a value of the body, those from outside included."""

    constants: Constants
    known: dict[int, Affine] = field(default_factory=dict)

    def read(self, value: Value) -> Affine:
        found = self.known.get(id(value))
        if found is None:
            found = self.known[id(value)] = self._read(value)
        return found

    def _read(self, value: Value) -> Affine:
        constant = self.constants(value)
        if constant is not None:
            row = _as_row(constant)
            return _alone(value) if row is None else Affine((), (), row)
        node = value.producer
        rule = None if node is None or node.domain else _RULES.get(node.op)
        made = None if rule is None or node is None else rule(self, node, value)
        return _alone(value) if made is None else made


def plain(value: Value) -> Value:
    """Without Identity around it."""
    while value.producer is not None and value.producer.op == "Identity" and not value.producer.domain:
        value = value.producer.operand(0)
    return value


def _alone(value: Value) -> Affine:
    return Affine((value,), (None,))


def _as_row(constant: Array) -> Array | None:
    """A constant that is added to every row alike; None for other shapes."""
    return constant.reshape(-1) if constant.ndim == 0 or constant.size == constant.shape[-1] else None


def _identity(reader: AffineReader, node: Node, value: Value) -> Affine:
    return reader.read(node.operand(0))


def _add(reader: AffineReader, node: Node, value: Value) -> Affine | None:
    a, b = reader.read(node.operand(0)), reader.read(node.operand(1))
    if any(v is w for v in a.values for w in b.values) or not (a.values or b.values):
        return None
    bias = b.bias if a.bias is None else a.bias if b.bias is None else np.asarray(a.bias + b.bias)
    return Affine((*a.values, *b.values), (*a.factors, *b.factors), bias)


def _product(reader: AffineReader, operand: Value, weight: Array | None) -> Affine | None:
    """Of a value, or of several side by side, with a constant matrix."""
    if weight is None or weight.ndim != 2:
        return None
    maker = operand.producer
    parts = [operand]
    if maker is not None and maker.op == "Concat" and not maker.domain and int(maker.attr("axis")) in (1, -1):
        parts = [v for v in maker.inputs if v is not None]
    if any(not p.has_shape or p.rank != 2 or not isinstance(p.shape[1], int) for p in parts):
        return None
    parts = [plain(p) for p in parts]
    ends = np.cumsum([0, *(p.shape[1] for p in parts)])
    if ends[-1] != weight.shape[0] or len({id(p) for p in parts}) < len(parts):
        return None
    return Affine(tuple(parts), tuple(weight[a:b] for a, b in pairwise(ends)))


def _matmul(reader: AffineReader, node: Node, value: Value) -> Affine | None:
    return _product(reader, node.operand(0), reader.constants(node.operand(1)))


def _gemm(reader: AffineReader, node: Node, value: Value) -> Affine | None:
    weight, added = reader.constants(node.operand(1)), node.input(2)
    plain = node.attr("alpha", 1.0) == 1 and not node.attr("transA", 0)
    if weight is None or not plain or (added is not None and node.attr("beta", 1.0) != 1):
        return None
    made = _product(reader, node.operand(0), weight.T if node.attr("transB", 0) else weight)
    if made is None or added is None:
        return made
    constant = reader.constants(added)
    row = None if constant is None else _as_row(constant)
    return None if row is None else Affine(made.values, made.factors, row)


def _columns(form: Affine, first: int, end: int, width: int) -> Affine | None:
    """Some of the columns of a form of so many."""
    if any(f is None for f in form.factors):
        return None
    bias = form.bias if form.bias is None or form.bias.size == 1 else form.bias[first:end]
    if form.bias is not None and form.bias.size not in (1, width):
        return None
    return Affine(form.values, tuple(f[:, first:end] for f in form.factors if f is not None), bias)


def _width(value: Value) -> int | None:
    last = value.shape[-1] if value.has_shape and value.rank == 2 else None
    return last if isinstance(last, int) else None


@dataclass(frozen=True)
class Selection:
    """Columns first to end of a value of `width` columns."""

    value: Value
    first: int
    end: int
    width: int

    def of(self, form: Affine) -> Affine | None:
        return _columns(form, self.first, self.end, self.width)


def selection(value: Value, constants: Constants) -> Selection | None:
    """The columns of another value that a Split or Slice makes this one of."""
    node = value.producer
    whole = None if node is None or node.domain else _width(node.operand(0)) if node.op in ("Split", "Slice") else None
    if node is None or whole is None:
        return None
    if node.op == "Slice":
        return _sliced(node, whole, constants)
    widths = [None if v is None else _width(v) for v in node.outputs]
    if int(node.attr("axis", 0)) not in (1, -1) or any(w is None for w in widths):
        return None
    at = next(i for i, v in enumerate(node.outputs) if v is value)
    ends = np.cumsum([0, *(w for w in widths if w is not None)]).tolist()
    return Selection(node.operand(0), ends[at], ends[at + 1], whole)


def _sliced(node: Node, whole: int, constants: Constants) -> Selection | None:
    bounds = [None if v is None else constants(v) for v in (*node.inputs, None, None)[1:5]]
    starts, ends, axes, steps = bounds
    if starts is None or ends is None or axes is None or starts.size != 1:
        return None
    if int(axes.reshape(-1)[0]) not in (1, -1) or (steps is not None and (steps != 1).any()):
        return None
    first, end, _ = slice(int(starts.reshape(-1)[0]), int(ends.reshape(-1)[0])).indices(whole)
    return Selection(node.operand(0), first, max(first, end), whole)


def _selected(reader: AffineReader, node: Node, value: Value) -> Affine | None:
    found = selection(value, reader.constants)
    return None if found is None else found.of(reader.read(found.value))


_Rule = Callable[[AffineReader, Node, Value], "Affine | None"]
_RULES: Mapping[str, _Rule] = {
    "Identity": _identity, "Add": _add, "MatMul": _matmul, "Gemm": _gemm, "Split": _selected, "Slice": _selected,
}  # fmt: skip


def operands_of(value: Value, op: str) -> tuple[Value, ...]:
    """What the node of that op that makes the value reads; nothing where another one does."""
    node = value.producer
    found: tuple[Any, ...] = () if node is None or node.domain or node.op != op else tuple(node.inputs)
    return found if all(v is not None for v in found) else ()


def both_orders(value: Value, op: str) -> Sequence[tuple[Value, Value]]:
    """The two operands of the node of that op that makes the value, either of them first."""
    found = operands_of(value, op)
    return [(found[0], found[1]), (found[1], found[0])] if len(found) == 2 else []
