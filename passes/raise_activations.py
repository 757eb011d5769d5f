"""Activations that exporters spell out become the standard op: Gelu in both forms, Swish, Mish, HardSwish,
HardSigmoid, Softplus and Sigmoid.

Each has one function at its core (erf, tanh, sigmoid, clip) whose argument is a polynomial of x, and a result that is
a polynomial of x and of that function's value. Those two polynomials are the pattern; nesting and order do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Graph, Node, Value
from arenaut.passes.context import PassContext
from arenaut.passes.reading.algebra import Polynomial, polynomial, same_polynomial
from arenaut.passes.rewriting.pattern import (
    Found,
    Match,
    Miss,
    Number,
    OneOf,
    Op,
    Rule,
    Rules,
    Var,
    is_op,
    made_by,
    number_of,
    tolerance_of,
    tree,
)
from arenaut.plain import dataclass

# The furthest that the result may be from the core function, in nodes.
MAX_STEPS = 6


@dataclass(frozen=True)
class Spelling:
    """op(x) = result(x, f), f = core(argument(x)). argument: powers of x; result: powers of (x, f)."""

    op: str
    core: str
    argument: Polynomial
    result: Polynomial
    attributes: dict[str, Any] = field(default_factory=dict)


_ROOT = math.sqrt(2 / math.pi)
_HALF: Polynomial = {(1, 0): 0.5, (1, 1): 0.5}
_PRODUCT: Polynomial = {(1, 1): 1.0}
_SIXTH = 1 / 6

SPELLINGS: tuple[Spelling, ...] = (
    Spelling("Gelu", "Erf", {(1,): math.sqrt(0.5)}, _HALF, {"approximate": "none"}),
    Spelling("Gelu", "Tanh", {(1,): _ROOT, (3,): _ROOT * 0.044715}, _HALF, {"approximate": "tanh"}),
    Spelling("Swish", "Sigmoid", {(1,): 1.0}, _PRODUCT, {"alpha": 1.0}),
    Spelling("Mish", "Tanh of Softplus", {(1,): 1.0}, _PRODUCT),
    Spelling("HardSwish", "HardSigmoid", {(1,): 1.0}, _PRODUCT),
    Spelling("HardSwish", "Clip to 6", {(0,): 3.0, (1,): 1.0}, {(1, 1): _SIXTH}),
    Spelling("HardSigmoid", "Clip to 6", {(0,): 3.0, (1,): 1.0}, {(0, 1): _SIXTH}, {"alpha": _SIXTH, "beta": 0.5}),
)


def raise_activations(graph: Graph, context: PassContext) -> bool:
    return Rules(_RULES).apply(graph, context)


# -- cores ---------------------------------------------------------------------------------------------------------


def _unary(op: str) -> Callable[[Node], tuple[Value, tuple[Node, ...]] | None]:
    return lambda node: (node.operand(0), (node,)) if node.op == op else None


def _tanh_of_softplus(node: Node) -> tuple[Value, tuple[Node, ...]] | None:
    inner = made_by(node.operand(0), "Softplus") if is_op(node, "Tanh") else None
    return None if inner is None else (inner.operand(0), (node, inner))


def _clip_to_six(node: Node) -> tuple[Value, tuple[Node, ...]] | None:
    """Clip to [0, 6], or Min(Relu, 6)."""
    if is_op(node, "Clip") and number_of(node.input(1)) == 0 and number_of(node.input(2)) == 6:
        return node.operand(0), (node,)
    if is_op(node, "Min") and len(node.inputs) == 2:
        for i in (0, 1):
            inner = made_by(node.operand(i), "Relu")
            if inner is not None and number_of(node.operand(1 - i)) == 6:
                return inner.operand(0), (node, inner)
    return None


def _hard_sigmoid(node: Node) -> tuple[Value, tuple[Node, ...]] | None:
    """HardSigmoid with the slope of HardSwish."""
    sixth = abs(float(node.attr("alpha", 0.2)) - _SIXTH) < 1e-6 and float(node.attr("beta", 0.5)) == 0.5
    return (node.operand(0), (node,)) if is_op(node, "HardSigmoid") and sixth else None


# By name: the argument of the core at a node and the nodes it is made of, None where the node is something else.
_CORES: dict[str, Callable[[Node], tuple[Value, tuple[Node, ...]] | None]] = {
    "Erf": _unary("Erf"),
    "Tanh": _unary("Tanh"),
    "Sigmoid": _unary("Sigmoid"),
    "Tanh of Softplus": _tanh_of_softplus,
    "HardSigmoid": _hard_sigmoid,
    "Clip to 6": _clip_to_six,
}
_CORE_OPS = {"Tanh of Softplus": ("Tanh",), "Clip to 6": ("Clip", "Min")}


# -- finding -------------------------------------------------------------------------------------------------------


def _finder(spelling: Spelling) -> Callable[[Node], Found]:
    core = _CORES[spelling.core]

    def find(node: Node) -> Found:
        found = core(node)
        if found is None or not node.output.dtype.is_float:
            return None
        argument, nodes = found
        tolerance = tolerance_of(node.output)
        near: Found = None
        for x in _sources(argument):
            inner = polynomial(argument, [x])
            if inner is None or not same_polynomial(inner[0], spelling.argument, tolerance):
                continue
            for root in _results(node):
                outer = polynomial(root.output, [x, node.output])
                if outer is not None and same_polynomial(outer[0], spelling.result, tolerance):
                    covered = tuple(dict.fromkeys((*nodes, *inner[1], *outer[1])))
                    return Match(root, {"x": x}, covered)
                if outer is not None and set(outer[0]) == set(spelling.result):
                    near = Miss(f"the constants at '{root.output.name}' are not those of {spelling.op}")
        return near

    return find


def _sources(value: Value) -> Iterator[Value]:
    """The values that value may be a polynomial of, nearest first."""
    queue, seen = [value], {id(value)}
    for current in queue:
        if current.constant is not None:
            continue
        yield current
        node = made_by(current, "Add", "Sub", "Mul", "Div", "Neg", "Pow")
        for operand in node.inputs if node is not None and len(queue) < MAX_STEPS * 2 else ():
            if operand is not None and id(operand) not in seen:
                seen.add(id(operand))
                queue.append(operand)


def _results(core: Node) -> Iterator[Node]:
    """The nodes after the core that may end the activation: arithmetic on its result, nearest first."""
    queue = [core]
    for node in queue:
        if node is not core:
            yield node
        for user in node.output.users if len(queue) <= MAX_STEPS else ():
            if is_op(user, "Add", "Sub", "Mul", "Div") and user not in queue:
                queue.append(user)


def _rewriter(spelling: Spelling) -> Callable[[GraphBuilder, Match], Value]:
    def rewrite(build: GraphBuilder, match: Match) -> Value:
        return build.op(spelling.op, match["x"], **spelling.attributes)

    return rewrite


def _unary_rewriter(op: str) -> Callable[[GraphBuilder, Match], Value]:
    return _rewriter(Spelling(op, "", {}, {}))


_X = Var("x")
_LOGISTIC = Op("Add", Op("Exp", Op("Neg", _X)), Number(1.0))
# log(1 + exp(-|x|)) + max(x, 0): Softplus without overflow. log(1 + exp(x)) is not: it overflows to infinity.
_STABLE = Op("Add", Op("Log", Op("Add", Op("Exp", Op("Neg", Op("Abs", _X))), Number(1.0))), OneOf(
    Op("Relu", _X), Op("Max", _X, Number(0.0))
))  # fmt: skip

_RULES: tuple[Rule, ...] = (
    tree("sigmoid", Op("Reciprocal", _LOGISTIC), _unary_rewriter("Sigmoid")),
    tree("sigmoid", Op("Div", Number(1.0), _LOGISTIC), _unary_rewriter("Sigmoid")),
    tree("softplus", _STABLE, _unary_rewriter("Softplus")),
    *(
        Rule(s.op.lower(), _CORE_OPS.get(s.core, (s.core,)), _finder(s), _rewriter(s), priority=1 if s.argument else 0)
        for s in SPELLINGS
    ),
)
