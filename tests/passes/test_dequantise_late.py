from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.dequantise_late import dequantise_late
from tests.support.models import parse
from tests.support.rewriting import Rewritten, rewrite

CONSTANTS = """<float s = {0.5}, float t = {0.25}, uint8 z = {7}, uint8 none = {0}, uint8 few = {1},
 float[3] each = {0.5, 1.0, 2.0},
 uint8[3] zs = {0, 1, 2}, int64[2] flat = {2, 12}, int64[1] one = {1}, int64[1] two = {2}, int64[1] axis = {1},
 int64[6] around = {0, 1, 0, 0, 1, 0}, float pad = {-3.5}, float odd = {0.1},
 float down = {-0.5}, float[3] ones = {1.0, 1.0, 2.0}>"""
DQ = "DequantizeLinear"
LATE = {
    "d = DequantizeLinear(x, s, z) y = Reshape(d, flat)": ["Reshape", DQ],
    "d = DequantizeLinear(x, s, z) r = Reshape(d, flat) y = Transpose <perm = [1, 0]> (r)":
        ["Reshape", "Transpose", DQ],
    "d = DequantizeLinear(x, s, z) y = Slice(d, one, two, axis)": ["Slice", DQ],
    "d = DequantizeLinear(x, s, z) e = DequantizeLinear(w, s, z) y = Concat <axis = 1> (d, e)": ["Concat", DQ],
    "d = DequantizeLinear(x, s) e = DequantizeLinear(w, s, none) y = Concat <axis = 1> (d, e)": ["Concat", DQ],
    "d = DequantizeLinear(x, s, z) y = Pad(d, around)": ["Pad", DQ],
    "d = DequantizeLinear(x, s, z) y = Pad(d, around, pad)": ["Pad", DQ],
    "d = DequantizeLinear(x, s, z) v = DequantizeLinear(few, t, z) y = Pad(d, around, v)": ["Pad", DQ],
    'd = DequantizeLinear(x, s, z) y = Pad <mode = "edge"> (d, around)': ["Pad", DQ],
    "d = DequantizeLinear(x, s, z) a, b = Split <axis = 2, num_outputs = 2> (d) y = Concat <axis = 2> (b, a)":
        ["Split", "Concat", DQ],
    "d = DequantizeLinear(x, s, z) y = MaxPool <kernel_shape = [2], pads = [1, 1]> (d)": ["MaxPool", DQ],
    "d = DequantizeLinear(x, s, z) y = MaxPool <kernel_shape = [3], strides = [2], ceil_mode = 1> (d)": ["MaxPool", DQ],
    "d = DequantizeLinear(x, s, z) y = Resize(d, , ones)": ["Resize", DQ],
    "d = DequantizeLinear <axis = 1> (x, each, zs) y = Transpose <perm = [1, 2, 0]> (d)": ["Transpose", DQ],
}  # fmt: skip
APART = {
    "d = DequantizeLinear(x, s, z) e = DequantizeLinear(w, t, z) y = Concat <axis = 1> (d, e)": "another scale",
    "d = DequantizeLinear(x, s, z) e = DequantizeLinear(w, s, none) y = Concat <axis = 1> (d, e)": "another scale",
    "d = DequantizeLinear <axis = 1> (x, each, zs) y = Reshape(d, flat)": "differ along an axis",
    "d = DequantizeLinear(x, s, z) y = Pad(d, around, odd)": "no number of this scale",
    "d = DequantizeLinear(x, s, z) v = DequantizeLinear(few, odd, z) y = Pad(d, around, v)": "no number of this scale",
    "d = DequantizeLinear(x, s, z) v = DequantizeLinear(w, t, z) y = Concat <axis = 0> (d, v)": "another scale",
    "d = DequantizeLinear(x, down, z) y = MaxPool <kernel_shape = [2]> (d)": "no bytes of a positive scale",
    "d = DequantizeLinear(x, s, z) y = MaxPool <kernel_shape = [2], dilations = [2]> (d)": None,
    "d = DequantizeLinear(x, s, z) y, places = MaxPool <kernel_shape = [2]> (d)": None,
    'd = DequantizeLinear(x, s, z) y = Resize <mode = "linear"> (d, , ones)': None,
    "d = DequantizeLinear(x, s, z) y = Softmax(d)": None,
}


def run(body: str) -> Rewritten:
    model = parse(f"t (uint8[2,3,4] x, uint8[2,3,4] w) => (float[a,b,c] y)\n{CONSTANTS}\n{{ {body} }}", opset=21)
    if "flat" in body:
        del model.graph.output[0].type.tensor_type.shape.dim[2]
    numbers = np.random.default_rng(0).integers(0, 256, (2, 2, 3, 4)).astype(np.uint8)
    return rewrite(model, dequantise_late, feeds={"x": numbers[0], "w": numbers[1]}, plain=True)


@pytest.mark.parametrize("body", LATE)
def test_moved(body: str) -> None:
    ops = run(body).ops
    assert [op for op in ops if op != DQ] + [DQ] == LATE[body]
    assert ops[-1] == DQ


@pytest.mark.parametrize("body", APART)
def test_stays(body: str) -> None:
    result = run(body)
    assert not result.fired and result.ops[-1] != DQ
    assert APART[body] is None or any(str(APART[body]) in e.reason for e in result.events), result.events
