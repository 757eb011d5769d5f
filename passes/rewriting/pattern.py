"""Patterns as data: what a group of nodes looks like, what must hold, and what replaces it.

A pattern describes a value by what makes it, down to the values it starts from:

    x = Var("x")
    Op("Mul", x, Op("Sigmoid", x))              x * sigmoid(x), in either order of Mul
    Op("Add", Op("Mul", x, Maybe("Cast", Var("scale"))), Number(1.0))

Patterns are DAGs: the same name is the same value wherever it stands. Op tries both orders of commutative ops; nodes
inside a match must not be read from outside of it. `Rules.apply` tries rules on every node and reports each rewrite to
the context, and as a near-miss with its reason what matched most of a pattern, or all but a rule's check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Union

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.types import same_dtype, same_type
from arenaut.passes.context import PassContext
from arenaut.plain import dataclass

# A stored constant is the number meant when it is this close: some units of float32, one of narrower types.
NUMBER_TOLERANCE = 1e-6
# Rules are applied again where something changed; more rounds than this mean that two rules undo each other.
MAX_ROUNDS = 50


@dataclass(frozen=True)
class Var:
    """Any value; the same value at each place of that name. constant: it must be known at load."""

    name: str
    constant: bool = False


@dataclass(frozen=True)
class Number:
    """A constant whose single element is this number, within the precision of its type."""

    value: float


@dataclass(frozen=True)
class Op:
    """The first output of a node with one of these ops, with these inputs (trailing ones may be absent).

    name: binds the output. where: the attributes must satisfy it, given the node.
    """

    ops: str | tuple[str, ...]
    inputs: tuple[Pattern, ...]
    name: str = ""
    where: Callable[[Node], bool] | None = None

    def __init__(
        self, ops: str | tuple[str, ...], *inputs: Pattern, name: str = "", where: Callable[[Node], bool] | None = None
    ) -> None:
        for key, value in (("ops", ops), ("inputs", inputs), ("name", name), ("where", where)):
            object.__setattr__(self, key, value)


@dataclass(frozen=True)
class Maybe:
    """The inner pattern, with or without an op of that name around it (its further inputs are free)."""

    op: str
    inner: Pattern


@dataclass(frozen=True)
class OneOf:
    """The first of several patterns that leads to a match."""

    choices: tuple[Pattern, ...]

    def __init__(self, *choices: Pattern) -> None:
        object.__setattr__(self, "choices", choices)


Pattern = Union[Var, Number, Op, Maybe, OneOf]


@dataclass(frozen=True)
class Match:
    """root: the node whose output is replaced. values: what names stand for. nodes: every node covered."""

    root: Node
    values: Mapping[str, Value]
    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def maker(self, name: str) -> Node:
        """The node that makes the value of that name."""
        node = self.values[name].producer
        assert node is not None
        return node


@dataclass(frozen=True)
class Miss:
    """Why something that looks much like the pattern is not it."""

    reason: str


# What a rule's own matching gives: a match, a near-miss, or None where the node is something else.
Found = Union[Match, Miss, None]


@dataclass(frozen=True)
class Rule:
    """One named rewrite.

    name      as it is reported.
    anchors   the ops of the nodes that it is tried on.
    find      the match at such a node; see `pattern` for trees.
    check     why a match cannot be rewritten, None where it can.
    rewrite   builds the replacement of the root's output. It must have the root's type, which has to be proved.
    any_shape the replacement has the root's shape whatever that is, so that only element types are compared.
    priority  lower ones first; equal ones in the order of the list.
    """

    name: str
    anchors: tuple[str, ...]
    find: Callable[[Node], Found]
    rewrite: Callable[[GraphBuilder, Match], Value]
    check: Callable[[Match], str | None] = lambda match: None
    priority: int = 0
    any_shape: bool = False


def pattern(shape: Op) -> Callable[[Node], Found]:
    """The `find` of a rule whose root is the node that `shape` describes."""
    size = _size(shape)
    heads = frozenset().union(*map(_heads, shape.inputs)) if any(map(_needs_maker, shape.inputs)) else frozenset()

    def find(node: Node) -> Found:
        if heads and not any(v is not None and v.producer is not None and v.producer.op in heads for v in node.inputs):
            return None  # nor is it a near-miss: only the root itself could be covered
        search = _Search()
        for state in search.output(shape, node.output, _State()):
            return Match(node, state.values, state.nodes)
        near = search.deepest >= 3 and search.deepest >= size - 2
        return Miss(search.reason) if near and search.reason else None

    return find


def roots(shape: Op) -> tuple[str, ...]:
    """The anchors of a rule with this pattern."""
    return shape.ops if isinstance(shape.ops, tuple) else (shape.ops,)


def tree(
    name: str, shape: Op, rewrite: Callable[[GraphBuilder, Match], Value],
    check: Callable[[Match], str | None] = lambda match: None, priority: int = 0, any_shape: bool = False,
) -> Rule:  # fmt: skip
    """A rule whose match is the pattern `shape`."""
    return Rule(name, roots(shape), pattern(shape), rewrite, check, priority, any_shape)


# -- matching --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    values: Mapping[str, Value] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()


def _size(shape: Pattern) -> int:
    """The fewest nodes of a match."""
    if isinstance(shape, Op):
        return 1 + sum(_size(p) for p in shape.inputs)
    if isinstance(shape, Maybe):
        return _size(shape.inner)
    return min(_size(c) for c in shape.choices) if isinstance(shape, OneOf) else 0


def _heads(shape: Pattern) -> frozenset[str]:
    """The ops of nodes that may be covered first where a value has this pattern."""
    if isinstance(shape, Op):
        return frozenset(roots(shape))
    if isinstance(shape, Maybe):
        return _heads(shape.inner) | {shape.op}
    return frozenset().union(*map(_heads, shape.choices)) if isinstance(shape, OneOf) else frozenset()


def _needs_maker(shape: Pattern) -> bool:
    """Whether a value of this pattern is made by a node that the match covers."""
    if isinstance(shape, OneOf):
        return all(map(_needs_maker, shape.choices))
    return isinstance(shape, Op) or (isinstance(shape, Maybe) and _needs_maker(shape.inner))


class _Search:
    """Backtracking over the orders of commutative inputs and the choices; remembers how far it came."""

    def __init__(self) -> None:
        self.deepest = 0
        self.reason = ""

    def output(self, shape: Pattern, value: Value, state: _State) -> Iterator[_State]:
        if isinstance(shape, Op):
            yield from self._op(shape, value, state)
        elif isinstance(shape, Var):
            yield from self._var(shape, value, state)
        elif isinstance(shape, Number):
            if is_number(value, shape.value):
                yield state
            else:
                self._failed(state, f"'{value.name}' is not the constant {shape.value:.8g}")
        elif isinstance(shape, Maybe):
            node = value.producer
            if node is not None and node.domain == "" and node.op == shape.op:
                covered = _State(state.values, _with(state.nodes, node))
                yield from self.output(shape.inner, node.operand(0), covered)
            yield from self.output(shape.inner, value, state)
        else:
            for choice in shape.choices:
                yield from self.output(choice, value, state)

    def _var(self, shape: Var, value: Value, state: _State) -> Iterator[_State]:
        bound = state.values.get(shape.name)
        if bound is not None and not same_value(bound, value):
            self._failed(state, f"'{value.name}' is not '{bound.name}'")
        elif shape.constant and value.constant is None:
            self._failed(state, f"'{value.name}' is not known at load")
        else:
            yield state if bound is not None else _State({**state.values, shape.name: value}, state.nodes)

    def _op(self, shape: Op, value: Value, state: _State) -> Iterator[_State]:
        node = value.producer
        expected = roots(shape)
        if node is None or node.domain != "" or node.op not in expected or node.outputs[0] is not value:
            found = "an input" if node is None else node.op
            self._failed(state, f"'{value.name}' is {found}, expected {' or '.join(expected)}")
            return
        if shape.where is not None and not shape.where(node):
            self._failed(state, f"the attributes of {node}")
            return
        inputs = list(node.inputs)
        while len(inputs) > len(shape.inputs) and inputs[-1] is None:
            inputs.pop()
        if len(inputs) != len(shape.inputs) or any(v is None for v in inputs):
            self._failed(state, f"{node} has {len(inputs)} inputs, expected {len(shape.inputs)}")
            return
        values = {**state.values, shape.name: value} if shape.name else state.values
        inner = _State(values, _with(state.nodes, node))
        either = len(inputs) == 2 and record_of(node).commutative
        orders = [inputs, inputs[::-1]] if either else [inputs]
        for order in orders:
            yield from self._inputs(list(zip(shape.inputs, order, strict=True)), inner)

    def _inputs(self, pairs: list[tuple[Pattern, Any]], state: _State) -> Iterator[_State]:
        if not pairs:
            yield state
            return
        (shape, value), *rest = pairs
        for found in self.output(shape, value, state):
            yield from self._inputs(rest, found)

    def _failed(self, state: _State, reason: str) -> None:
        if len(state.nodes) > self.deepest:
            self.deepest, self.reason = len(state.nodes), reason


def _with(nodes: tuple[Node, ...], node: Node) -> tuple[Node, ...]:
    return nodes if any(n is node for n in nodes) else (*nodes, node)


# -- what rules ask of values --------------------------------------------------------------------------------------


def same_value(a: Value, b: Value) -> bool:
    """One value, or two equal constants of one type."""
    if a is b:
        return True
    return a.constant is not None and b.constant is not None and bool(
        same_type(a.type, b.type) and np.array_equal(a.constant, b.constant)
    )  # fmt: skip


def number_of(value: Value | None) -> float | None:
    """The number that a constant of one element holds."""
    if value is None or value.constant is None or value.constant.size != 1 or not _is_numeric(value):
        return None
    return float(value.constant.reshape(-1)[0])


def _is_numeric(value: Value) -> bool:
    return value.dtype.is_float or value.dtype.is_integer


def tolerance_of(value: Value) -> float:
    """How far, relatively, a constant of this value's type may be from the number it is meant to be."""
    narrow = value.dtype.is_float and value.dtype.itemsize < 4
    return 2.0 ** (-8 if value.dtype is DType.BFLOAT16 else -11) if narrow else NUMBER_TOLERANCE


def is_number(value: Value | None, number: float) -> bool:
    """Whether a value is a constant of one element that stands for this number."""
    known = number_of(value)
    return value is not None and known is not None and abs(known - number) <= tolerance_of(value) * abs(number)


def is_op(node: Node, *ops: str) -> bool:
    """The pattern of a single node: whether it is one of these standard ops."""
    return node.domain == "" and node.op in ops


def made_by(value: Value | None, *ops: str) -> Node | None:
    """The node that makes value as its first output, when it is one of these standard ops."""
    node = None if value is None else value.producer
    return node if node is not None and node.domain == "" and node.op in ops and node.outputs[0] is value else None


def reshape_making(value: Value | None) -> Node | None:
    """The node that makes value by reshaping its input 0."""
    node = None if value is None else value.producer
    return node if node is not None and record_of(node).reshapes else None


# -- rewriting -----------------------------------------------------------------------------------------------------


class Rules:
    """A list of rules, applied to a graph until none fires."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._by_op: dict[str, list[Rule]] = {}
        for rule in sorted(rules, key=lambda r: r.priority):
            for op in rule.anchors:
                self._by_op.setdefault(op, []).append(rule)

    def apply(self, graph: Graph, context: PassContext) -> bool:
        """Rewrites in node order; says whether anything fired."""
        pending, changed = list(graph.nodes), False
        reported: set[tuple[str, str]] = set()
        for _ in range(MAX_ROUNDS):
            made: list[Node] = []
            for node in pending:
                if node.graph is graph and node.domain == "":
                    made += self._try(graph, node, context, reported)
            if not made:
                return changed
            changed = True
            pending = _around(made)
        raise RuntimeError(f"rewrites of pass '{context.current}' do not come to an end in {MAX_ROUNDS} rounds")

    def _try(self, graph: Graph, node: Node, context: PassContext, reported: set[tuple[str, str]]) -> list[Node]:
        """The nodes that the first rule that fires at node makes."""
        for rule in self._by_op.get(node.op, ()):
            found = rule.find(node)
            if found is None:
                continue
            made: list[Node] | str = found.reason if isinstance(found, Miss) else _rewrite(graph, rule, found)
            if not isinstance(made, str):
                context.fired(rule.name, node)
                return made
            if (rule.name, node.output.name) not in reported:
                reported.add((rule.name, node.output.name))
                context.missed(rule.name, node, made)
        return []


def _around(made: Sequence[Node]) -> list[Node]:
    """The nodes just made and those that read them: where something new may match."""
    around: dict[int, Node] = {}
    for node in made:
        around[id(node)] = node
        for out in node.outputs:
            for user in out.users if out is not None else ():
                around[id(user)] = user
    return list(around.values())


def _rewrite(graph: Graph, rule: Rule, match: Match) -> list[Node] | str:
    """Does it; the nodes made, or why it cannot be done."""
    reason = _read_outside(graph, match) or rule.check(match)
    if reason is not None:
        return reason
    old, build = match.root.output, GraphBuilder(graph, match.root, match.root.name)
    new = rule.rewrite(build, match)
    made = build.made
    if not (same_type(new.type, old.type) or (rule.any_shape and same_dtype(new.type, old.type))):
        graph.remove(made)
        return f"the result would be {new.type} instead of {old.type}"
    if graph.is_output(old) and (new.producer is None or graph.is_output(new)):
        graph.remove(made)
        return f"the output '{old.name}' needs a value of its own"
    graph.supersede(old, new)
    _remove_unread(graph, match.nodes)
    return made or ([new.producer] if new.producer is not None else [match.root])


def _read_outside(graph: Graph, match: Match) -> str | None:
    inside = {id(n) for n in match.nodes}
    for node in match.nodes:
        for out in node.outputs:
            if out is None or node is match.root:
                continue
            if graph.is_output(out):
                return f"'{out.name}' is an output of the graph"
            if any(id(user) not in inside for user, _ in out.uses):
                return f"'{out.name}' is read by other nodes too"
    return None


def _remove_unread(graph: Graph, nodes: Sequence[Node]) -> None:
    left = list(nodes)
    while True:
        dead = [n for n in left if all(o is None or (not o.uses and not graph.is_output(o)) for o in n.outputs)]
        if not dead:
            return
        graph.remove(dead)
        left = [n for n in left if n.graph is graph]
