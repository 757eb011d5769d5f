from __future__ import annotations

import pytest

from arenaut.passes.hoist_reshapes import hoist_reshapes
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

HEAD = """t (float[b,s,4] x, float[b,s,6] z) => (float[b,s,6] y)
<float half = {0.5}, float[6] bias = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, int64[2] flat = {-1, 4}, int64[1] six = {6}>
{ xs = Shape <start = 0, end = 2> (x) back = Concat <axis = 0> (xs, six) f = Reshape(x, flat)
  w = Constant <value = float[6,4] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, -1, 2, -3, 4, 5, 6, 0, 8, 9, -10, 11, 12}> ()
  g = Gemm <transB = 1> (f, w, bias) """


def run(body: str) -> Rewritten:
    feeds = {"x": draw(2, 5, 4), "z": draw(2, 5, 6, seed=1)}
    return rewrite(parse(HEAD + body + " }"), hoist_reshapes, feeds=feeds, rtol=2e-6)


@pytest.mark.parametrize(("body", "ops"), [
    ("r = Reshape(g, back) y = Relu(r)", ["Relu", "Reshape"]),
    ("r = Reshape(g, back) a = Add(r, bias) y = Tanh(a)", ["Add", "Tanh", "Reshape"]),
    ("r = Reshape(g, back) a = Mul(half, r) y = Add(a, z)", ["Mul", "Reshape", "Add", "Reshape"]),
    ("r = Reshape(g, back) s = Sigmoid(r) y = Mul(r, s)", ["Sigmoid", "Mul", "Reshape"]),
    ("r = Reshape(g, back) v = Mul(r, half) y = Abs(v)", ["Mul", "Abs", "Reshape"]),
])  # fmt: skip
def test_moves_behind_what_is_elementwise(body: str, ops: list[str]) -> None:
    result = run(body)
    live = [n.op for n in result.graph.nodes if any(o is not None and (o.uses or o in result.graph.outputs)
                                                    for o in n.outputs)]  # fmt: skip
    assert live[live.index("Gemm") + 1 :] == ops


@pytest.mark.parametrize(("body", "reason"), [
    # broadcast along the sequence only
    ("r = Reshape(g, back) one = Constant <value = int64[1] {1}> () q = ReduceMax(z, one) y = Add(r, q)",
     "has no such form before the reshape"),
    ("r = Reshape(g, back) s = Softmax(r) y = Relu(s)", None),
    ("r = Reshape(z, back) y = Relu(r)", None),  # no product before it
])  # fmt: skip
def test_stays_where_it_cannot(body: str, reason: str | None) -> None:
    result = run(body)
    assert not result.fired
    assert reason is None or any(reason in e.reason for e in result.events)
