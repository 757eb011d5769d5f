from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.drop_requantising import drop_requantising
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

CONSTANTS = """<float s = {0.05}, float t = {0.1}, uint8 z = {0}, uint8 m = {128}, int8 least = {-128}, int8 i = {0},
 float low = {0.0}, float six = {6.0}, float lots = {100.0}>"""
DROPPED = {
    "d = DequantizeLinear(b, s, m) y = QuantizeLinear(d, s, m)": [],
    "d = DequantizeLinear(b, s) y = QuantizeLinear(d, s, z)": [],
    "r = Relu(x) y = QuantizeLinear(r, s, z)": ["QuantizeLinear"],
    "r = Relu(x) y = QuantizeLinear(r, s, least)": ["QuantizeLinear"],
    "r = Clip(x, low, lots) y = QuantizeLinear(r, s, z)": ["QuantizeLinear"],
    "r = Relu(x) c = Clip(r, low, lots) y = QuantizeLinear(c, s, z)": ["QuantizeLinear"],
}
KEPT = {
    "d = DequantizeLinear(b, t, m) y = QuantizeLinear(d, s, m)": ["DequantizeLinear", "QuantizeLinear"],
    "d = DequantizeLinear(b, s, m) y = QuantizeLinear(d, s, i)": ["DequantizeLinear", "QuantizeLinear"],
    "q = QuantizeLinear(x, s, m) y = DequantizeLinear(q, s, m)": ["QuantizeLinear", "DequantizeLinear"],
    "r = Relu(x) y = QuantizeLinear(r, s, m)": ["Relu", "QuantizeLinear"],
    "r = Clip(x, low, six) y = QuantizeLinear(r, s, z)": ["Clip", "QuantizeLinear"],
    "r = Clip(x, low, s) y = QuantizeLinear(r, s, z)": ["Clip", "QuantizeLinear"],
}


def run(body: str) -> Rewritten:
    made = "float" if body.endswith("DequantizeLinear(q, s, m)") else "uint8"
    made = "int8" if "least" in body or body.endswith("i)") else made
    tail = " o = Identity(y)"  # results that are outputs need values of their own
    text = f"t (float[3,50] x, uint8[3,50] b) => ({made}[3,50] o)\n{CONSTANTS}\n{{ {body}{tail} }}"
    feeds = {"x": draw(3, 50) * 4, "b": np.random.default_rng(0).integers(0, 256, (3, 50)).astype(np.uint8)}
    return rewrite(parse(text, opset=21), drop_requantising, feeds=feeds, plain=True)


@pytest.mark.parametrize("body", DROPPED)
def test_dropped(body: str) -> None:
    ops = run(body).ops
    assert [op for op in ops if op not in ("Identity", "DequantizeLinear")] == DROPPED[body]


@pytest.mark.parametrize("body", KEPT)
def test_kept(body: str) -> None:
    result = run(body)
    assert result.ops == [*KEPT[body], "Identity"] and not result.fired
