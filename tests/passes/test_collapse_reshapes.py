"""Reshapes in a row: the last one alone, or none."""

from __future__ import annotations

from arenaut.passes.collapse_reshapes import collapse_reshapes
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite


def run(nodes: str, constants: str, shape: tuple[int, ...] = (2, 3, 4), given: str = "2, 3, 4") -> Rewritten:
    model = parse(
        f"t (float[{given}] x) => (float y)\n<{constants}>\n{{ {nodes} }}".replace("(float y)", "(float[] y)")
    )
    return rewrite(model, collapse_reshapes, eliminate_dead_code, feeds={"x": draw(*shape)})


def test_the_last_shape_is_the_shape() -> None:
    result = run("t = Flatten (x) u = Reshape (t, to) y = Neg (u)", "int64[2] to = {4, 6}")
    assert result.ops == ["Reshape", "Neg"] and result.graph.nodes[0].operand(0).name == "x"


def test_back_to_the_first_shape_is_nothing() -> None:
    result = run("t = Unsqueeze (x, axis) u = Squeeze (t, axis) y = Neg (u)", "int64[1] axis = {1}")
    assert result.ops == ["Neg"]


def test_one_size_that_inputs_decide_is_left_open() -> None:
    result = run(
        "t = Unsqueeze (x, axis) u = Flatten <axis = 2> (t) y = Neg (u)", "int64[1] axis = {1}", given="n, 3, 4"
    )
    assert result.ops == ["Reshape", "Neg"] and list(result.graph.nodes[0].operand(1).constant) == [0, 12]


def test_something_between_keeps_both() -> None:
    result = run("t = Flatten (x) s = Neg (t) y = Reshape (s, to)", "int64[2] to = {4, 6}")
    assert result.ops == ["Flatten", "Neg", "Reshape"] and not result.fired


def test_two_sizes_that_inputs_decide_are_no_constant_shape() -> None:
    """Neither is in its old place, where Reshape's 0 would take it over."""
    model = parse("t (float[n, m, k] x) => (float[b, c, d, e] y) <int64[1] i = {0}, int64[2] j = {0, 2}>"
                  "{ t = Unsqueeze (x, i) u = Squeeze (t, i) y = Unsqueeze (u, j) }")  # fmt: skip
    result = rewrite(model, collapse_reshapes, eliminate_dead_code, feeds={"x": draw(2, 3, 4)})
    assert result.ops == ["Unsqueeze"] and result.graph.nodes[0].operand(0).name == "x"
    model = parse("t (float[n, m, k] x) => (float[a, b, c, d, e] y) <int64[1] i = {0}, int64[1] j = {2}>"
                  "{ t = Unsqueeze (x, i) y = Unsqueeze (t, j) }")  # fmt: skip
    result = rewrite(model, collapse_reshapes, eliminate_dead_code, feeds={"x": draw(2, 3, 4)})
    assert result.ops == ["Unsqueeze", "Unsqueeze"]
    assert result.reasons("collapse") == ["more than one dim of the target shape is symbolic"]
