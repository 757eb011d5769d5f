from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.spread_scales import spread_scales
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

CONSTANTS = """<float s = {0.5}, float[1] one = {0.5}, uint8 z = {7}, float[3] each = {0.5, 1.0, 2.0},
 uint8[3] zs = {0, 1, 2}>"""


def run(body: str, output: str) -> Rewritten:
    text = f"t (uint8[2,3,4] b, float[2,3,4] x) => ({output}[2,3,4] y)\n{CONSTANTS}\n{{ {body} }}"
    numbers = np.random.default_rng(0).integers(0, 256, (2, 3, 4)).astype(np.uint8)
    return rewrite(parse(text, opset=21), spread_scales, feeds={"b": numbers, "x": draw(2, 3, 4)}, plain=True)


@pytest.mark.parametrize(("body", "output"), [
    ("y = DequantizeLinear <axis = 1> (b, each, zs)", "float"),
    ("y = QuantizeLinear <axis = 1> (x, each, zs)", "uint8"),
])  # fmt: skip
def test_along_an_axis(body: str, output: str) -> None:
    assert not {"DequantizeLinear", "QuantizeLinear"} & set(run(body, output).ops)


@pytest.mark.parametrize(("body", "output"), [
    ("y = DequantizeLinear(b, s, z)", "float"), ("y = DequantizeLinear(b, one)", "float"),
    ("y = QuantizeLinear(x, s, z)", "uint8"), ("y = Sigmoid(x)", "float"),
])  # fmt: skip
def test_what_tiles_hold(body: str, output: str) -> None:
    assert len(run(body, output).ops) == 1
