"""Batch normalisations with constant statistics."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.fold_batch_norm import fold_batch_norm
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

STATISTICS = "float[2] g = {1.5, -0.5}, float[2] b = {0.25, 1}, float[2] m = {0.5, -1}, float[2] v = {2, 0.75}"
NORM = "BatchNormalization (c, g, b, m, v)"


def run(nodes: str, extra: str = "", inputs: str = "", **more: object) -> Rewritten:
    constants = f"<{STATISTICS}{extra}, float[2, 2, 1, 1] w = {{1, 2, -1, 0.5}}>"
    model = parse(f"t (float[n, 2, 3, 3] x{inputs}) => (float[n, 2, 3, 3] y)\n{constants}\n{{ {nodes} }}")
    return rewrite(model, fold_batch_norm, eliminate_dead_code, feeds={"x": draw(2, 2, 3, 3), **more})


def test_after_a_convolution_it_is_part_of_the_weights() -> None:
    assert run(f"c = Conv (x, w) y = {NORM}").ops == ["Conv"]


def test_the_bias_of_the_convolution_is_scaled_too() -> None:
    assert run(f"c = Conv (x, w, bias) y = {NORM}", ", float[2] bias = {3, -4}").ops == ["Conv"]


def test_alone_it_is_a_scale_and_a_shift() -> None:
    assert run(f"c = Neg (x) y = {NORM}").ops == ["Neg", "Mul", "Add"]


def test_a_convolution_that_something_else_reads_stays() -> None:
    assert run(f"c = Conv (x, w) d = {NORM} y = Add (c, d)").ops == ["Conv", "Mul", "Add", "Add"]


def test_statistics_that_are_fed_stay() -> None:
    result = run("c = Neg (x) y = BatchNormalization (c, g, b, fed, v)", inputs=", float[2] fed", fed=draw(2))
    assert result.ops == ["Neg", "BatchNormalization"]
    assert result.reasons("fold") == ["its statistics are not constants, or it is in training mode"]


def test_weights_that_were_replaced_are_freed_at_once() -> None:
    graph = run(f"c = Conv (x, w) y = {NORM}").graph
    node = graph.add("Neg", [graph.add_constant(np.ones(3, np.float32))])
    left = weakref.ref(node.inputs[0].constant)
    collecting = gc.isenabled()
    gc.disable()
    try:
        graph.remove(node)
        del node
        assert left() is None
    finally:
        if collecting:
            gc.enable()
