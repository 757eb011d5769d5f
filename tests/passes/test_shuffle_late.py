from __future__ import annotations

from math import prod

import pytest

from arenaut.ir.graph import Node
from arenaut.passes.shuffle_late import shuffle_late
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

SHUFFLE = "a = Reshape(x, apart) s = Transpose <perm = [0, 2, 1, 3, 4]> (a) x2 = Reshape(s, back)"
DEPTHWISE = "y = Conv <group = 6, pads = [1, 1, 1, 1], strides = [2, 2]> (x2, w, b)"
APART = {
    f"{SHUFFLE} y = Conv <group = 6, pads = [1, 1, 1, 1]> (x2, w, b)": "no smaller",
    f"{SHUFFLE} y = Conv <group = 2, pads = [1, 1, 1, 1], strides = [2, 2]> (x2, w2, b)": "depthwise",
    f"{SHUFFLE} y = Conv <group = 6, pads = [1, 1, 1, 1], strides = [2, 2]> (x2, v, b)": "constants",
    f"{SHUFFLE.replace('2, 1, 3, 4', '2, 1, 4, 3')} {DEPTHWISE}": "shuffle",
    f"{SHUFFLE} t = {DEPTHWISE[4:]} u = ReduceMean <keepdims = 1> (x2) y = Add(t, u)": "read by other",
}


def run(body: str, batch: str = "n", size: str = "8,8") -> Rewritten:
    def numbers(count: int, seed: int) -> str:
        return ", ".join(str(float(v)) for v in draw(count, seed=seed))

    height = size.split(",")[0]
    constants = f"""<float[6,1,3,3] w = {{{numbers(54, 1)}}}, float[6,3,3,3] w2 = {{{numbers(162, 2)}}},
 float[6] b = {{{numbers(6, 3)}}}, int64[5] apart = {{0, 2, 3, {height}, 8}}, int64[4] back = {{0, 6, {height}, 8}}>"""
    text = f"t (float[{batch},6,{size}] x, float[6,1,3,3] v) => (float[n,c0,h0,w0] y)\n{constants}\n{{ {body} }}"
    return rewrite(parse(text), shuffle_late, feeds={"x": draw(2, 6, 8, 8), "v": draw(6, 1, 3, 3, seed=4)})


def moved(result: Rewritten) -> Node:
    return next(node for node in result.graph.nodes if node.op == "Transpose")


@pytest.mark.parametrize("batch", ["n", "2"])
def test_a_shuffle_moves_behind_what_makes_less(batch: str) -> None:
    result = run(f"{SHUFFLE} {DEPTHWISE}", batch)
    assert result.ops == ["Conv", "Reshape", "Transpose", "Reshape"]
    assert prod(d for d in moved(result).output.shape[1:] if isinstance(d, int)) == 6 * 4 * 4


def test_a_filter_without_bias() -> None:
    assert run(f"{SHUFFLE} {DEPTHWISE.replace(', b)', ')')}").ops == ["Conv", "Reshape", "Transpose", "Reshape"]


@pytest.mark.parametrize("body", APART)
def test_not_these(body: str) -> None:
    result = run(body)
    assert result.ops[:3] == ["Reshape", "Transpose", "Reshape"]
    assert any(APART[body] in e.reason for e in result.events if not e.fired), result.events
