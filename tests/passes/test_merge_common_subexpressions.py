"""The same op on the same values, computed once."""

from __future__ import annotations

from arenaut.passes.merge_common_subexpressions import merge_common_subexpressions
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite


def run(nodes: str, constants: str = "") -> Rewritten:
    model = parse(f"t (float[n, 4] x) => (float[n, 4] y) {constants} {{ {nodes} }}")
    return rewrite(model, merge_common_subexpressions, feeds={"x": draw(3, 4)})


def test_equal_nodes_are_one() -> None:
    assert run("a = Exp (x) b = Exp (x) y = Add (a, b)").ops == ["Exp", "Add"]


def test_what_follows_equal_nodes_is_equal_too() -> None:
    assert run("a = Exp (x) b = Exp (x) c = Neg (a) d = Neg (b) y = Add (c, d)").ops == ["Exp", "Neg", "Add"]


def test_equal_constants_are_compared_by_their_elements() -> None:
    assert run("a = Mul (x, p) b = Mul (x, q) y = Sub (a, b)", "<float p = {2}, float q = {2}>").ops == ["Mul", "Sub"]


def test_other_attributes_operands_and_orders_stay_apart() -> None:
    result = run("a = Softmax <axis = 0> (x) b = Softmax <axis = 1> (x) c = Sub (a, b) d = Sub (b, a) y = Add (c, d)")
    assert result.ops == ["Softmax", "Softmax", "Sub", "Sub", "Add"] and not result.fired


def test_graph_outputs_stay_values_of_their_own() -> None:
    model = parse("t (float[n] x) => (float[n] y, float[n] z) { y = Exp (x) z = Exp (x) }")
    assert rewrite(model, merge_common_subexpressions, feeds={"x": draw(3)}).ops == ["Exp", "Exp"]


def test_random_nodes_stay_apart() -> None:
    model = parse("t (float[n] x) => (float[n] y) { a = RandomNormalLike (x) b = RandomNormalLike (x)"
                  "c = Sub (a, b) d = Mul (c, z) y = Add (x, d) }".replace("{ a", "<float z = {0}> { a"))  # fmt: skip
    assert rewrite(model, merge_common_subexpressions, feeds={"x": draw(3)}).ops.count("RandomNormalLike") == 2
