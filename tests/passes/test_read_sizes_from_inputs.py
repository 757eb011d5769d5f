"""Sizes are asked of the graph's inputs."""

from __future__ import annotations

import numpy as np

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.fold_constants import fold_constants
from arenaut.passes.read_sizes_from_inputs import read_sizes_from_inputs
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite


def run(text: str, **feeds: np.ndarray) -> Rewritten:
    return rewrite(parse(text), fold_constants, read_sizes_from_inputs, eliminate_dead_code, feeds=feeds)


def test_the_shape_of_what_is_computed_is_that_of_an_input() -> None:
    result = run("t (float[b,s] x) => (int64[2] n) { y = Relu(x) n0 = Shape(y) n = Identity(n0) }", x=draw(2, 3))
    assert result.ops == ["Shape", "Identity"] and result.graph.nodes[0].operand(0).name == "x"


def test_sizes_of_several_inputs_are_joined() -> None:
    text = """t (float[b,s] x, float[s,d] w) => (int64[3] n)
    { p = MatMul(x, w) a = Constant <value = int64[1] {1}> () u = Unsqueeze(p, a) n0 = Shape(u) n = Identity(n0) }"""
    result = run(text, x=draw(2, 3), w=draw(3, 4))
    assert result.ops == ["Shape", "Shape", "Concat", "Identity"]


def test_part_of_a_shape() -> None:
    text = "t (float[b,s,4] x) => (int64[1] n) { y = Relu(x) n0 = Shape <start = 1, end = 2> (y) n = Identity(n0) }"
    result = run(text, x=draw(2, 3, 4))
    shape = result.graph.nodes[0]
    assert (shape.operand(0).name, shape.attr("start"), shape.attr("end")) == ("x", 1, 2)


def test_sizes_that_no_input_has_stay() -> None:
    text = """t (float[b,s] x) => (int64[2] n) { c = Concat <axis = 1> (x, x) y = Relu(c) n0 = Shape(y)
    n = Identity(n0) }"""
    result = run(text, x=draw(2, 3))
    assert "Relu" in result.ops and "no input has the sizes b, 2*s" in result.reasons("from_inputs")
