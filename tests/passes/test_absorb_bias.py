from __future__ import annotations

import pytest

from arenaut.passes.absorb_bias import absorb_bias
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

ABSORBED = {
    "a = Conv <pads = [1, 1, 1, 1]> (x, w) y = Add(a, c)": ["Conv"],
    "a = Conv <pads = [1, 1, 1, 1]> (x, w, b) t = Add(d, a) y = Relu(t)": ["Conv", "Relu"],
    "a = Conv <pads = [1, 1, 1, 1]> (x, w, b) t = Sub(a, c) y = Add(t, one)": ["Conv"],
    "a = ConvTranspose <pads = [1, 1, 1, 1], group = 2> (x2, w2) y = Add(a, c)": ["ConvTranspose"],
}
APART = {
    "a = Conv <pads = [1, 1, 1, 1]> (x, w) y = Add(a, row)": "pixel",
    "a = Conv <pads = [1, 1, 1, 1]> (x, w) t = Add(a, c) y = Mul(a, t)": "reads",
    "a = Conv <pads = [1, 1, 1, 1]> (x, w) b2 = Conv <pads = [1, 1, 1, 1]> (x, w) t = Mul(b2, one) y = Add(a, t)":
        "not a constant",
    "a = Conv <pads = [1, 1, 1, 1]> (x, u) y = Add(a, c)": "weights",
}  # fmt: skip


def run(body: str) -> Rewritten:
    def numbers(count: int, seed: int) -> str:
        return ", ".join(str(float(v)) for v in draw(count, seed=seed))

    constants = f"""<float[4,2,3,3] w = {{{numbers(72, 1)}}}, float[4,2,3,3] w2 = {{{numbers(72, 2)}}},
 float[4,1,1] c = {{1, -2, 3, 4}}, float[1,4,1,1] d = {{5, 6, -7, 8}}, float one = {{2.5}},
 float[7] row = {{1, 2, 3, 4, 5, 6, 7}}, float[4] b = {{1, 2, 3, 4}}>"""
    text = (
        f"t (float[n,2,h,7] x, float[n,4,h,7] x2, float[4,2,3,3] u) => (float[n,c0,h0,w0] y)\n{constants}\n{{ {body} }}"
    )
    feeds = {"x": draw(2, 2, 6, 7), "x2": draw(2, 4, 6, 7, seed=3), "u": draw(4, 2, 3, 3, seed=4)}
    model = parse(text)
    return rewrite(model, absorb_bias, feeds=feeds, rtol=5e-6)


@pytest.mark.parametrize("body", ABSORBED)
def test_what_a_channel_gets_added_is_its_bias(body: str) -> None:
    assert run(body).ops == ABSORBED[body]


@pytest.mark.parametrize("body", APART)
def test_not_these(body: str) -> None:
    result = run(body)
    assert {"Add", "Mul"} & set(result.ops)
    assert any(APART[body] in e.reason for e in result.events if not e.fired), result.events
