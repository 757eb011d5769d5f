from __future__ import annotations

import pytest

from arenaut.passes.quantise_early import quantise_early
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

CONSTANTS = """<float s = {0.05}, uint8 z = {120}, float[3] each = {0.05, 0.1, 0.02}, uint8[3] zs = {0, 100, 128},
 int64[2] flat = {2, 12}, int64[1] one = {1}, int64[1] two = {2}, int64[1] axis = {1},
 int64[6] around = {0, 1, 0, 0, 1, 0}>"""
Q = "QuantizeLinear"
EARLY = {
    "r = Reshape(x, flat) y = QuantizeLinear(r, s, z)": [Q, "Reshape"],
    "r = Reshape(x, flat) q = Transpose <perm = [1, 0]> (r) y = QuantizeLinear(q, s, z)": [Q, "Reshape", "Transpose"],
    "r = Sigmoid(x) c = Concat <axis = 1> (r, w) y = QuantizeLinear(c, s, z)": ["Sigmoid", Q, Q, "Concat"],
}
APART = {
    "r = Slice(x, one, two, axis) y = QuantizeLinear(r, s, z)": "more elements would be rounded",
    "r = Transpose <perm = [2, 1, 0]> (x) y = QuantizeLinear <axis = 1> (r, each, zs)": "differ along an axis",
    "p = Pad(x, around) y = QuantizeLinear(p, s, z)": "absent",
    "r = Transpose <perm = [2, 1, 0]> (x) q = QuantizeLinear(r, s, z) f = Cast <to = 1> (q) y = Add(f, r)":
        "read as floats too",
    "r = Sigmoid(x) y = QuantizeLinear(r, s, z)": None,
}  # fmt: skip


def run(body: str, output: str) -> Rewritten:
    text = f"t (float[2,3,4] x, float[2,3,4] w) => ({output} y)\n{CONSTANTS}\n{{ {body} }}"
    feeds = {"x": draw(2, 3, 4), "w": draw(2, 3, 4, seed=1)}
    return rewrite(parse(text, opset=21), quantise_early, feeds=feeds, plain=True)


@pytest.mark.parametrize("body", EARLY)
def test_moved(body: str) -> None:
    assert run(body, "uint8[a,b]" if "flat" in body else "uint8[a,b,c]").ops == EARLY[body]


@pytest.mark.parametrize("body", APART)
def test_stays(body: str) -> None:
    result = run(body, "float[a,b,c]" if "Cast" in body else "uint8[a,b,c]")
    assert not result.fired
    assert APART[body] is None or any(str(APART[body]) in e.reason for e in result.events), result.events
