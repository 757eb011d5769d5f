from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.raise_integer_products import raise_integer_products
from tests.support import rewriting
from tests.support.rewriting import Rewritten, draw, rewrite

RNG = np.random.default_rng(3)
F32, U8, I8 = np.float32, np.uint8, np.int8
CONSTANTS = {
    "s": F32(0.02), "z": U8(120), "t": F32(0.01), "i": I8(0), "columns": RNG.uniform(0.01, 0.02, 5).astype(F32),
    "w": RNG.integers(-128, 128, (7, 5)).astype(I8), "zs": RNG.integers(-9, 9, 5).astype(I8), "row": draw(5, seed=2),
    "turned": RNG.integers(-128, 128, (5, 7)).astype(I8), "rows": RNG.uniform(0.01, 0.02, 7).astype(F32),
    "count": RNG.integers(-900, 900, 5).astype(np.int32), "st": F32(0.02) * F32(0.01), "far": F32(0.3),
    "k": RNG.integers(-128, 128, (5, 3, 2, 2)).astype(I8), "k16": RNG.integers(-128, 128, (7, 5)).astype(np.int16),
    "planes": draw(1, 5, 1, 1, seed=3), "each": RNG.uniform(0.01, 0.02, 3).astype(F32), "ez": np.zeros(3, U8),
    "axis": np.array([1]), "scales": RNG.uniform(0.01, 0.02, (1, 5, 1, 1)).astype(F32),
}  # fmt: skip
CONSTANTS["unit"] = CONSTANTS["s"] * CONSTANTS["columns"]
X = "a = DequantizeLinear(x, s, z) "
W = "b = DequantizeLinear <axis = 1> (w, columns, zs) "
DYNAMIC = "q, p, n = DynamicQuantizeLinear(f) u = MatMulInteger(q, w, n) c = Cast <to = 1> (u) "
IMAGE = "a = DequantizeLinear(g, s, z) b = DequantizeLinear <axis = 0> (k, columns, zs) "
# A body, the ops it leaves, and whether a bias of int32 or float32 came along.
RAISED = (
    (X + W + "y = MatMul(a, b)", ["QMatMul"], None),
    (X + W + "m = MatMul(a, b) y = Add(m, row)", ["QMatMul"], F32),
    (X + "b = DequantizeLinear <axis = 0> (turned, columns) y = Gemm <transB = 1, alpha = 0.5> (a, b)",
     ["QMatMul"], None),
    (X + W + "d = DequantizeLinear <axis = 0> (count, unit) y = Gemm(a, b, d)", ["QMatMul"], np.int32),
    (X + W + "d = DequantizeLinear (count, far) y = Gemm(a, b, d)", ["DequantizeLinear", "QMatMul"], F32),
    (X + W + "v = Mul(s, columns) d = DequantizeLinear <axis = 0> (count, v) y = Gemm(a, b, d)", ["QMatMul"], np.int32),
    (DYNAMIC + "v = Mul(p, columns) m = Mul(c, v) y = Add(m, row)", ["DynamicQuantizeLinear", "QMatMul"], F32),
    (DYNAMIC + "v = Mul(t, p) y = Mul(v, c)", ["DynamicQuantizeLinear", "QMatMul"], None),
    ("u = MatMulInteger(x, w, z, zs) c = Cast <to = 1> (u) y = Mul(c, columns)", ["QMatMul"], None),
    (IMAGE + "y = Conv <pads = [1, 1, 0, 0]> (a, b)", ["QConv"], None),
    (IMAGE + "d = DequantizeLinear <axis = 0> (count, unit) y = Conv <strides = [2, 2]> (a, b, d)",
     ["QConv"], np.int32),
    ("u = ConvInteger(g, k, z) c = Cast <to = 1> (u) m = Mul(c, scales) y = Add(planes, m)", ["QConv"], F32),
)  # fmt: skip
LEFT = {
    X + "b = Cast <to = 1> (w) y = MatMul(a, b)": "only one operand",
    X + "b = DequantizeLinear <axis = 0> (w, rows) y = MatMul(a, b)": "summed over",
    X + "b = DequantizeLinear (k16, t) y = MatMul(a, b)": "not 8 bits",
    "a = DequantizeLinear <axis = 1> (g, each, ez) b = DequantizeLinear(k, t) y = Conv(a, b)": "summed over",
    DYNAMIC + "y = Add(c, row)": "not scaled at once",
    DYNAMIC + "h = ReduceMean(f, axis) y = Mul(c, h)": "no scale of both operands",
    "u = MatMulInteger(x, w, z, zs) y = Cast <to = 1> (u)": None,
    X + W + "e = Relu(b) y = MatMul(a, e)": "only one operand",
}


def model(body: str) -> onnx.ModelProto:
    text = f"t (uint8[n,7] x, float[n,7] f, uint8[2,3,5,6] g) => (float[%s] y) {{ {body} }}"
    graph = onnx.parser.parse_graph(text % ("a,b,c,d" if "(g" in body else "a,b"))
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in CONSTANTS.items() if n in read)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


def run(body: str) -> Rewritten:
    rng = np.random.default_rng(5)
    feeds = {"x": rng.integers(0, 256, (4, 7)).astype(U8), "f": draw(4, 7),
             "g": rng.integers(0, 256, (2, 3, 5, 6)).astype(U8)}  # fmt: skip
    return rewrite(model(body), raise_integer_products, eliminate_dead_code, feeds=feeds, rtol=2e-6, plain=True)


@pytest.mark.parametrize(("body", "ops", "bias"), RAISED)
def test_raised(body: str, ops: list[str], bias: object) -> None:
    graph = run(body).graph
    assert [n.op for n in graph.nodes] == ops
    given = graph.nodes[-1].input(6)
    assert (None if given is None else given.dtype.numpy) == (None if bias is None else np.dtype(bias))  # type: ignore[arg-type]


@pytest.mark.parametrize("body", LEFT)
def test_left_alone(body: str) -> None:
    result = run(body)
    assert not {"QMatMul", "QConv"} & set(result.ops)
    assert LEFT[body] is None or any(str(LEFT[body]) in e.reason for e in result.events if not e.fired), result.events


def test_nothing_without_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "TARGET", replace(rewriting.TARGET, families=frozenset({"QConv"})))
    result = run(X + W + "y = MatMul(a, b)")
    assert "QMatMul" not in result.ops and "no rows of QMatMul here" in result.reasons("QMatMul")


def test_one_quantisation_for_all_that_read_it() -> None:
    body = DYNAMIC + "v = Mul(p, columns) m = Mul(c, v) k2 = Mul(p, t) u2 = MatMulInteger(q, w, n) "
    result = run(body + "c2 = Cast <to = 1> (u2) m2 = Mul(c2, k2) y = Add(m, m2)")
    assert result.ops == ["DynamicQuantizeLinear", "QMatMul", "QMatMul", "Add"]
