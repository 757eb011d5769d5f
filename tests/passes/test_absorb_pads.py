from __future__ import annotations

import pytest

from arenaut.passes.absorb_pads import absorb_pads
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

CONSTANTS = """<int64[8] around = {0, 0, 1, 0, 0, 0, 1, 2}, int64[8] channels = {0, 1, 1, 0, 0, 0, 1, 2},
 int64[8] cut = {0, 0, 1, 0, 0, 0, -1, 2}, int64[4] two = {1, 0, 1, 2}, int64[2] axes = {2, 3}, float zero = {0.0},
 int64[8] wide = {0, 0, 3, 0, 0, 0, 0, 0}, float five = {5.0}, float least = {-3.4028234663852886e38}>"""
CONV = "y = Conv <pads = [0, 1, 0, 1]> (p, w)"
FUSED = {
    f"p = Pad(x, around) {CONV}": ["Conv"],
    f"p = Pad(x, two, zero, axes) {CONV}": ["Conv"],
    "p = Pad(x, around) y = Conv <auto_pad = \"VALID\", strides = [2, 2]> (p, w)": ["Conv"],
    "p = Pad(x, around) y = AveragePool <kernel_shape = [3, 3]> (p)": ["AveragePool"],
    "p = Pad(x, around, least) y = MaxPool <kernel_shape = [3, 3]> (p)": ["MaxPool"],
    "r = Relu(x) p = Pad(r, around) y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (p)": ["Relu", "MaxPool"],
    "p = Pad(x, around) a = Conv(p, w) b = Conv(p, w) y = Add(a, b)": ["Conv", "Conv", "Add"],
}  # fmt: skip
APART = {
    "p = Pad(x, channels) y = AveragePool <kernel_shape = [3, 3]> (p)": "channels",
    f"p = Pad(x, cut) {CONV}": "cuts",
    f'p = Pad <mode = "edge"> (x, around) {CONV}': "repeats",
    f"p = Pad(x, around, five) {CONV}": "not 0",
    'p = Pad(x, around) y = Conv <auto_pad = "SAME_UPPER"> (p, w)': "depends on the size",
    "p = Pad(x, around) y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (p)": "counted",
    "p = Pad(x, around) y = MaxPool <kernel_shape = [3, 3]> (p)": "may be the largest",
    # A window of nothing but zeros.
    "r = Relu(x) p = Pad(r, wide) y = MaxPool <kernel_shape = [3, 3]> (p)": "may be the largest",
}


def run(body: str) -> Rewritten:
    text = f"t (float[b,2,h,7] x, float[4,2,3,3] w) => (float[b,c,n,m] y)\n{CONSTANTS}\n{{ {body} }}"
    feeds = {"x": draw(2, 2, 6, 7), "w": draw(4, 2, 3, 3, seed=1)}
    model = parse(text)
    return rewrite(model, absorb_pads, eliminate_dead_code, feeds=feeds, rtol=2e-6)


@pytest.mark.parametrize("body", FUSED)
def test_padding_of_the_window(body: str) -> None:
    assert run(body).ops == FUSED[body]


@pytest.mark.parametrize("body", APART)
def test_not_these(body: str) -> None:
    result = run(body)
    assert "Pad" in result.ops
    assert any(APART[body] in e.reason for e in result.events if not e.fired), result.events


def test_who_else_reads_the_padded_tensor_keeps_it() -> None:
    result = run("p = Pad(x, around) c = Conv(p, w) s = ReduceSum(p) y = Add(c, s)")
    assert result.ops == ["Pad", "Conv", "ReduceSum", "Add"]
