"""Elementwise ops between DequantizeLinear and QuantizeLinear are one step on bytes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from arenaut.passes.decompose_composites import decompose_composites
from arenaut.passes.fuse_elementwise import fuse_elementwise
from arenaut.passes.spread_scales import spread_scales
from tests.support.rewriting import rewrite

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def feeds(dtype: str) -> dict[str, np.ndarray]:
    rng, info = np.random.default_rng(1), np.iinfo(dtype)
    draw = lambda seed: rng.integers(info.min, info.max, (2, 3, 5), dtype=dtype, endpoint=True)  # noqa: E731
    return {"a": draw(0), "b": draw(1)}


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_a_quantised_addition_is_one_step(dtype: str) -> None:
    model = onnx.parser.parse_model(f"""{HEAD} g ({dtype}[2, 3, 5] a, {dtype}[2, 3, 5] b) => ({dtype}[2, 3, 5] q)
      <float s = {{0.02}}, {dtype} z = {{7}}, float[1] t = {{0.05}}, {dtype}[1] u = {{3}}> {{
        x = DequantizeLinear (a, s, z)
        y = DequantizeLinear (b, t, u)
        sum = Add (x, y)
        up = Relu (sum)
        q = QuantizeLinear (up, t, u)
    }}""")
    done = rewrite(model, decompose_composites, fuse_elementwise, feeds=feeds(dtype))
    assert done.ops == ["Fused"]


def test_scales_of_each_channel_become_arithmetic() -> None:
    model = onnx.parser.parse_model(f"""{HEAD} g (uint8[2, 3, 5] a, uint8[2, 3, 5] b) => (uint8[2, 3, 5] q)
      <float[3] s = {{0.02, 0.5, 0.3}}, uint8[3] z = {{7, 8, 9}}, float t = {{0.5}}, uint8 u = {{3}}> {{
        x = DequantizeLinear <axis = 1> (a, s, z)
        y = DequantizeLinear (b, t, u)
        sum = Add (x, y)
        q = QuantizeLinear <axis = 1> (sum, s, z)
    }}""")
    done = rewrite(model, spread_scales, fuse_elementwise, feeds=feeds("uint8"))
    assert "DequantizeLinear" in {n.op for node in done.graph.nodes for _, body in node.bodies() for n in body.nodes}
    assert not {"DequantizeLinear", "QuantizeLinear"} & set(done.ops)
