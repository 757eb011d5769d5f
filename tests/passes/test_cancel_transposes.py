"""Transposes in a row: one, or none."""

from __future__ import annotations

from arenaut.passes.cancel_transposes import cancel_transposes
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite


def run(nodes: str, result: str = "float[a, b, c] y") -> Rewritten:
    model = parse(f"t (float[n, m, k] x) => ({result}) {{ {nodes} }}")
    return rewrite(model, cancel_transposes, eliminate_dead_code, feeds={"x": draw(2, 3, 4)})


def test_two_that_undo_each_other_go() -> None:
    there_and_back = "t = Transpose <perm = [1, 2, 0]> (x) u = Transpose <perm = [2, 0, 1]> (t) y = Neg (u)"
    assert run(there_and_back).ops == ["Neg"]


def test_without_an_order_dims_are_reversed() -> None:
    assert run("t = Transpose (x) u = Transpose (t) y = Neg (u)").ops == ["Neg"]


def test_others_become_one() -> None:
    result = run("t = Transpose <perm = [1, 2, 0]> (x) u = Transpose <perm = [1, 2, 0]> (t) y = Neg (u)")
    assert result.ops == ["Transpose", "Neg"] and result.graph.nodes[0].attr("perm") == (2, 0, 1)


def test_one_between_which_something_is_computed_stays() -> None:
    result = run("t = Transpose <perm = [1, 2, 0]> (x) s = Neg (t) y = Transpose <perm = [2, 0, 1]> (s)")
    assert result.ops == ["Transpose", "Neg", "Transpose"] and not result.fired


def test_a_graph_output_keeps_its_node() -> None:
    result = run("t = Transpose <perm = [1, 2, 0]> (x) y = Transpose <perm = [2, 0, 1]> (t)")
    assert result.ops == ["Transpose"] and result.graph.nodes[0].attr("perm") == (0, 1, 2)
