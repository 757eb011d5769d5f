"""Arithmetic read as polynomials, so that a pattern does not depend on how an exporter nests its products and sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arenaut.ir.graph import Node, Value
from arenaut.passes.rewriting.pattern import made_by, number_of

# How often each leaf is a factor -> coefficient.
Polynomial = dict[tuple[int, ...], float]

_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Neg", "Pow")
# An expression of more nodes than this is no activation.
MAX_NODES = 16
MAX_POWER = 8


def polynomial(value: Value, leaves: Sequence[Value]) -> tuple[Polynomial, tuple[Node, ...]] | None:
    """value as a polynomial over the leaves, with the nodes that compute it.

    Constants of one element are numbers; Add, Sub, Mul, Neg, division by a number and whole powers are followed. None
    when something else takes part.
    """
    nodes: list[Node] = []
    result = _expand(value, {id(v): i for i, v in enumerate(leaves)}, nodes)
    return None if result is None else (result, tuple(nodes))


def _expand(value: Value, leaves: Mapping[int, int], nodes: list[Node]) -> Polynomial | None:
    place = leaves.get(id(value))
    if place is not None:
        return {tuple(int(i == place) for i in range(len(leaves))): 1.0}
    known = number_of(value)
    if known is not None:
        return {(0,) * len(leaves): known}
    node = made_by(value, *_ARITHMETIC)
    if node is None or len(nodes) > MAX_NODES:
        return None
    if not any(n is node for n in nodes):
        nodes.append(node)
    first = _expand(node.operand(0), leaves, nodes)
    if first is None:
        return None
    if node.op == "Neg":
        return _scaled(first, -1.0)
    if node.op in ("Div", "Pow"):
        number = number_of(node.operand(1))
        if not number:
            return None
        if node.op == "Div":
            return _scaled(first, 1 / number)
        return _power(first, int(number)) if number.is_integer() and 0 < number <= MAX_POWER else None
    second = _expand(node.operand(1), leaves, nodes)
    if second is None:
        return None
    if node.op == "Mul":
        return times(first, second)
    return _plus(first, second if node.op == "Add" else _scaled(second, -1.0))


def _scaled(p: Polynomial, factor: float) -> Polynomial:
    return {m: c * factor for m, c in p.items()}


def _plus(p: Polynomial, q: Polynomial) -> Polynomial:
    return {m: p.get(m, 0.0) + q.get(m, 0.0) for m in {**p, **q}}


def times(p: Polynomial, q: Polynomial) -> Polynomial:
    out: Polynomial = {}
    for a, x in p.items():
        for b, y in q.items():
            m = tuple(i + j for i, j in zip(a, b, strict=True))
            out[m] = out.get(m, 0.0) + x * y
    return out


def _power(p: Polynomial, exponent: int) -> Polynomial:
    out = p
    for _ in range(exponent - 1):
        out = times(out, p)
    return out


def same_polynomial(p: Polynomial, q: Polynomial, tolerance: float) -> bool:
    """The same terms, with coefficients within the relative tolerance."""
    terms = {m for m, c in {**p, **q}.items() if c}
    return all(abs(p.get(m, 0.0) - q.get(m, 0.0)) <= tolerance * abs(q.get(m, 0.0)) for m in terms)
