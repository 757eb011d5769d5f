"""The matcher itself: order of operands, shared values, values that others read, and reasons."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.ir.graph import Graph
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import Maybe, Number, OneOf, Op, Rule, Rules, Var, is_number, tree
from tests.support.models import parse
from tests.support.rewriting import TARGET, draw, rewrite

X = Var("x")
DOUBLE_RULE = tree(
    "double", Op("Mul", OneOf(Op("Add", X, X), Op("Sub", X, Var("y"))), Maybe("Cast", Number(2.0))),
    lambda build, match: build.op("Mul", match["x"], build.constant(np.array(4, np.float32))),
    lambda match: "it subtracts" if "y" in match.values else None,
)  # fmt: skip


def run(graph: Graph, context: PassContext) -> bool:
    return Rules([DOUBLE_RULE]).apply(graph, context)


def model(body: str) -> str:
    return "t (float[3,4] x) => (float[3,4] y)\n<float two = {2.0}, float[1,1] wide = {2.0}>\n{ " + body + " }"


@pytest.mark.parametrize(
    "body",
    [
        "a = Add(x, x) y = Mul(a, two)",
        "a = Add(x, x) y = Mul(two, a)",
        "a = Add(x, x) y = Mul(wide, a)",
        "r = Relu(x) a = Add(r, r) m = Mul(two, a) y = Neg(m)",
    ],
)
def test_matches_in_either_order(body: str) -> None:
    result = rewrite(parse(model(body)), run, feeds={"x": draw(3, 4)})
    assert result.fired == {"double"} and "Add" not in result.ops


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a = Add(x, x) m = Mul(a, two) y = Add(m, a)", "is read by other nodes too"),
        ("r = Relu(x) a = Sub(x, r) y = Mul(a, two)", "it subtracts"),
    ],
)
def test_refuses_with_a_reason(body: str, reason: str) -> None:
    result = rewrite(parse(model(body)), run, feeds={"x": draw(3, 4)})
    assert not result.fired
    assert any(reason in r for r in result.reasons("double"))


@pytest.mark.parametrize("body", ["r = Relu(x) a = Add(x, r) y = Mul(a, two)", "a = Add(x, x) y = Mul(a, a)"])
def test_the_same_name_is_the_same_value(body: str) -> None:
    result = rewrite(parse(model(body)), run, feeds={"x": draw(3, 4)})
    assert not result.events


def test_an_output_inside_the_pattern_stays() -> None:
    text = "t (float[3] x) => (float[3] a, float[3] y)\n<float two = {2.0}>\n{ a = Add(x, x) y = Mul(a, two) }"
    result = rewrite(parse(text), run, feeds={"x": draw(3)})
    assert result.reasons("double") == ["'a' is an output of the graph"]


def test_numbers_count_within_the_precision_of_their_type() -> None:
    graph = Graph()
    narrow = graph.add_constant(np.array(np.sqrt(2), np.float16))
    wide = graph.add_constant(np.array(np.sqrt(2), np.float32))
    assert is_number(narrow, np.sqrt(2)) and is_number(wide, np.sqrt(2))
    assert not is_number(graph.add_constant(np.array(1.41421, np.float32)), np.sqrt(2))
    assert not is_number(graph.add_constant(np.full(2, 2.0, np.float32)), 2.0)


def test_rules_that_undo_each_other_are_caught() -> None:
    rules: list[Rule] = [
        tree("there", Op("Neg", X), lambda build, match: build.op("Abs", match["x"])),
        tree("back", Op("Abs", X), lambda build, match: build.op("Neg", match["x"])),
    ]
    graph = Graph()
    x = graph.add_constant(draw(2))
    graph.outputs = [graph.add("Neg", [x]).output]
    from arenaut.ir.infer import infer_graph

    infer_graph(graph)
    with pytest.raises(RuntimeError, match="do not come to an end"):
        Rules(rules).apply(graph, PassContext(TARGET))
