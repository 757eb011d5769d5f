"""Elementwise ops between DequantizeLinear and QuantizeLinear are one step on bytes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from arenaut.passes.decompose_composites import decompose_composites
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.fuse_elementwise import fuse_elementwise
from arenaut.passes.raise_integer_products import raise_integer_products
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


QUANTISED = """<float s = {0.02}, float t = {0.05}, float u = {0.1}, uint8 z = {120}, uint8 o = {0}, int8[7,5] w>"""


def products(body: str) -> list[list[str]]:
    """The ops of each fused node of a graph of integer products, or of a node alone."""
    weights = ", ".join(str(v) for v in np.random.default_rng(0).integers(-128, 128, 35))
    head = QUANTISED.replace("[7,5] w", f"[7,5] w = {{{weights}}}")
    model = onnx.parser.parse_model(f"""{HEAD} g (uint8[n, 7] x, uint8[n, 7] r) => (uint8[n, 5] y) {head} {{
        dx = DequantizeLinear (x, s, z)  dr = DequantizeLinear (r, s, z)  dw = DequantizeLinear (w, t)
        m = MatMul (dx, dw)  k = MatMul (dr, dw)
        {body}
    }}""")
    rng = np.random.default_rng(1)
    fed = {name: rng.integers(0, 256, (40, 7)).astype(np.uint8) for name in "xr"}
    done = rewrite(model, raise_integer_products, eliminate_dead_code, fuse_elementwise, eliminate_dead_code,
                   feeds=fed, plain=True)  # fmt: skip
    bodies = [[b for _, b in node.bodies()] for node in done.graph.nodes]
    return [
        [n.op for n in found[0].nodes] if found else [node.op]
        for node, found in zip(done.graph.nodes, bodies, strict=True)
    ]


def test_products_round_their_own_results() -> None:
    """Each stores bytes; what adds them reads bytes, restored anew where others read them too."""
    rounded = "q = QuantizeLinear (m, u, z) d = DequantizeLinear (q, u, z) "
    other = "p = QuantizeLinear (k, t, z) e = DequantizeLinear (p, t, z) "
    made = products(f"{rounded} {other} a = Add (d, e) y = QuantizeLinear (a, u, z)")
    assert made == [
        ["QMatMul", "QuantizeLinear"], ["QMatMul", "QuantizeLinear"],
        ["DequantizeLinear", "DequantizeLinear", "Add", "QuantizeLinear"],
    ]  # fmt: skip


def test_what_depends_on_one_byte_is_a_table() -> None:
    body = """q = QuantizeLinear (m, u, z) d = DequantizeLinear (q, u, z) g = Sigmoid (d) p = QuantizeLinear (g, s, o)
        e = DequantizeLinear (p, s, o) a = Mul (d, e) y = QuantizeLinear (a, u, z)"""
    table = ["DequantizeLinear", "Sigmoid", "QuantizeLinear", "DequantizeLinear", "Mul", "QuantizeLinear"]
    assert products(body) == [["QMatMul", "QuantizeLinear"], table]


def test_what_is_added_before_rounding_stays_with_the_product() -> None:
    body = "e = Relu (m) a = Add (e, k) y = QuantizeLinear (a, u, z)"
    assert products(body) == [["QMatMul"], ["QMatMul", "Relu", "Add", "QuantizeLinear"]]
