"""Constant factors around products and convolutions."""

from __future__ import annotations

import pytest

from arenaut.passes.absorb_bias import absorb_bias
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.fold_scales import fold_scales
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

HEAD = """t (float[n,3,8,8] x, float[n,4,6] m) => (OUTPUT y)
<float c = {0.25}, float[1,3,1,1] planes = {0.5, 3.0, -2.0}, float[5,1,1] filters = {0.5, 3.0, -2.0, 1.5, 7.0},
 float[1,1,8,8] GRID, float[6] rows = {1.5, -2.0, 0.5, 3.0, 4.0, 0.25}, float[2] columns = {0.5, -4.0},
 float zero = {0.0}, float[5] b = {0.1, 0.2, -0.3, 0.4, 0.5}, float[5,3,3,3] WEIGHTS, float[6,2] PRODUCT> { BODY }"""
IMAGE, MATRIX = "float[n,5,8,8]", "float[n,4,2]"
CONV = "Conv <pads = [1, 1, 1, 1], kernel_shape = [3, 3]>"


def numbers(name: str, *shape: int, seed: int) -> str:
    return f"{name} = {{{', '.join(f'{v:.6g}' for v in draw(*shape, seed=seed).reshape(-1))}}}"


def run(body: str, output: str) -> Rewritten:
    text = HEAD.replace("OUTPUT", output).replace("BODY", body).replace("GRID", numbers("grid", 8, 8, seed=3))
    text = text.replace("WEIGHTS", numbers("w", 5, 3, 3, 3, seed=1)).replace("PRODUCT", numbers("p", 6, 2, seed=2))
    feeds = {"x": draw(2, 3, 8, 8), "m": draw(2, 4, 6)}
    return rewrite(parse(text), fold_scales, absorb_bias, eliminate_dead_code, feeds=feeds, rtol=4e-6)


@pytest.mark.parametrize(("body", "output", "ops"), [
    (f"a = Mul(x, c) y = {CONV} (a, w, b)", IMAGE, ["Conv"]),
    (f"a = Div(x, planes) y = {CONV} (a, w)", IMAGE, ["Conv"]),
    (f"a = {CONV} (x, w, b) y = Mul(filters, a)", IMAGE, ["Conv"]),
    (f"a = {CONV} (x, w) f = Mul(a, filters) e = Add(f, filters) y = Sub(e, c)", IMAGE, ["Conv"]),
    (f"a = {CONV} (x, w, b) y = Div(a, c)", IMAGE, ["Conv"]),
    ("a = Mul(m, rows) y = MatMul(a, p)", MATRIX, ["MatMul"]),
    ("a = MatMul(m, p) y = Mul(a, columns)", MATRIX, ["MatMul"]),
    ("a = Div(m, c) f = MatMul(a, p) g = Mul(f, columns) y = Add(g, columns)", MATRIX, ["MatMul", "Add"]),
])  # fmt: skip
def test_folded(body: str, output: str, ops: list[str]) -> None:
    assert run(body, output).ops == ops


@pytest.mark.parametrize(("body", "output", "reason"), [
    (f"a = Mul(x, grid) y = {CONV} (a, w)", IMAGE, "one a channel"),
    (f"a = {CONV} (x, w) y = Mul(a, grid)", IMAGE, "one a channel"),
    (f"a = Mul(x, c) e = {CONV} (a, w) f = Relu(a) g = ReduceMax(f) y = Add(e, g)", IMAGE, "read by other nodes"),
    (f"a = Mul(x, zero) y = {CONV} (a, w)", IMAGE, "weights would be lost"),
    (f"a = {CONV} (x, w) e = Mul(a, c) f = {CONV} (x, w) y = Add(e, f)", IMAGE, "this product alone"),
    ("a = Mul(m, c) q = Relu(p) y = MatMul(a, q)", MATRIX, None),
    (f"a = Add(x, c) y = {CONV} (a, w)", IMAGE, None),
])  # fmt: skip
def test_left_alone(body: str, output: str, reason: str | None) -> None:
    """A grid of factors, a value that somebody else reads, factors that lose weights, weights of two products, a shift
    before a convolution that pads."""
    result = run(body, output)
    reasons = [e.reason for e in result.events if not e.fired]
    assert reason is None or any(reason in r for r in reasons), result.events
    assert reason is None or not result.fired
