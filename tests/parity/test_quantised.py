"""Quantised layers against onnxruntime with its optimisations off, on every tier: equal in every byte, or apart by one
quantum in at most one element of a thousand. Those are ties: a sum times its scale is a number and a half in one order
of the float32 multiplications, and next to it in the other. Optimised and unoptimised runs agree the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.native.target import TIERS, allowed_tier
from tests.support.models import ort_outputs

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(21)
SHARE = 1e-3
F32, U8, I8, I32 = np.float32, np.uint8, np.int8, np.int32


def numbers(*shape: int, dtype: Any = I8) -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max + 1, shape).astype(dtype)


STORED: Mapping[str, Array] = {
    "xs": np.array(0.0213, F32), "xz": np.array(117, U8), "ys": np.array(0.37, F32), "yz": np.array(131, U8),
    "xi": np.array(-7, I8), "yi": np.array(9, I8), "o": np.array(0, U8), "rs": np.array(0.19, F32),
    "ms": np.array(0.83, F32), "us": np.array(0.011, F32), "uz": np.array(3, I8),
    "w": numbers(24, 16, 3, 3), "ws": RNG.uniform(0.002, 0.02, 24).astype(F32), "wz": np.zeros(24, I8),
    "d": numbers(16, 1, 3, 3), "ds": RNG.uniform(0.02, 0.2, 16).astype(F32), "dz": np.zeros(16, I8),
    "wu": numbers(24, 16, 1, 1, dtype=U8), "wus": np.array(0.013, F32), "wuz": np.array(140, U8),
    "b": RNG.integers(-9000, 9000, 24).astype(I32), "dbias": RNG.integers(-900, 900, 16).astype(I32),
    "m": numbers(16, 40), "mz": np.zeros(40, I8), "mss": RNG.uniform(0.002, 0.02, 40).astype(F32),
    "row": RNG.standard_normal(40).astype(F32), "zero": np.array(0, I8),
}  # fmt: skip
BIASES = {"bs": STORED["xs"] * STORED["ws"]}
X = "dx = DequantizeLinear (x, xs, xz) "
W = "dw = DequantizeLinear <axis = 0> (w, ws, wz) db = DequantizeLinear <axis = 0> (b, bs) "
CONV = "c = Conv <pads = [1, 1, 1, 1]> (dx, dw, db) "
Q = "QuantizeLinear (c, ys, yz) "
BODIES = {
    "QLinearConv": "y = QLinearConv <pads = [1, 1, 1, 1]> (x, xs, xz, w, ws, wz, ys, yz, b)",
    "QLinearConv, strides": "y = QLinearConv <strides = [2, 2], pads = [0, 1, 1, 0]> (x, xs, xz, w, ws, wz, ys, yz)",
    "QLinearConv, dilations": "y = QLinearConv <dilations = [2, 1]> (x, xs, xz, w, ws, wz, ys, yz, b)",
    "QLinearConv, depthwise": "y = QLinearConv <group = 16> (x, xs, xz, d, ds, dz, ys, yz, dbias)",
    "QLinearConv, uint8 weights": "y = QLinearConv (x, xs, xz, wu, wus, wuz, ys, yz)",
    "QDQ": X + W + CONV + "y = " + Q,
    "QDQ, relu": X + W + CONV + "r = Relu (c) y = QuantizeLinear (r, ys, o)",
    "QDQ, residual": X + W + CONV + "q = " + Q + """dq = DequantizeLinear (q, ys, yz) e = QuantizeLinear (dq, rs, o)
        de = DequantizeLinear (e, rs, o) a = Add (dq, de) y = QuantizeLinear (a, ms, yz)""",
    "QDQ, sigmoid and product": X + W + CONV + "q = " + Q + """dq = DequantizeLinear (q, ys, yz) g = Sigmoid (dq)
        e = QuantizeLinear (g, us, o) de = DequantizeLinear (e, us, o) a = Mul (dq, de)
        y = QuantizeLinear (a, ms, yz)""",
    "QDQ, moved": X + """t = Transpose <perm = [0, 2, 3, 1]> (dx) qt = QuantizeLinear (t, xs, xz)
        dt = DequantizeLinear (qt, xs, xz) dm = DequantizeLinear <axis = 1> (m, mss, mz) c = MatMul (dt, dm)
        y = """ + Q,
}  # fmt: skip
ROWS = {
    "QLinearMatMul": "y = QLinearMatMul (x, xs, xz, m, us, uz, ys, yz)",
    "QDQ": X + "dm = DequantizeLinear <axis = 1> (m, mss, mz) c = MatMul (dx, dm) a = Add (c, row) "
    "y = QuantizeLinear (a, ys, yz)",
    "QDQ, gemm": X + "dm = DequantizeLinear (m, us, uz) c = Gemm (dx, dm, row) y = " + Q,
    "MatMulInteger": "i = MatMulInteger (x, m, xz, uz) c = Cast <to = 1> (i) f = Mul (c, us) "
    "y = QuantizeLinear (f, ys, yz)",
}


def model(body: str, shape: str) -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(
        f"g (uint8[{shape}] x) => (uint8[{', '.join('abcd'[: shape.count(',') + 1])}] y) {{ {body} }}"
    )
    read = {name for node in graph.node for name in node.input}
    stored = {**STORED, **BIASES}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in stored.items() if n in read)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


def apart(a: Array, b: Array) -> float:
    """The share of elements that differ, all by one quantum."""
    assert a.dtype == b.dtype and a.shape == b.shape
    away = np.abs(a.astype(int) - b.astype(int))
    assert away.max(initial=0) <= 1
    return float(away.mean())


def check(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> None:
    (want,) = ort_outputs(proto, feeds, plain=True)
    assert len(np.unique(want)) > 30, "the case tells nothing"
    (best,) = arenaut.load_onnx(proto, threads=2).run(feeds).values()
    (plain,) = arenaut.load_onnx(proto, threads=1, optimize=False).run(feeds).values()
    assert apart(best, want) <= SHARE and apart(plain, want) <= SHARE and apart(best, plain) <= SHARE


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if TIERS.index(request.param) > allowed_tier():
        pytest.skip("a tier that this machine lacks")
    monkeypatch.setenv("ARENAUT_ISA_MAX", request.param)
    return str(request.param)


@pytest.mark.parametrize("name", BODIES)
def test_images(name: str, tier: str) -> None:
    check(model(BODIES[name], "2, 16, 13, 11"), {"x": numbers(2, 16, 13, 11, dtype=U8)})


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("rows", [1, 37])
def test_rows(name: str, rows: int, tier: str) -> None:
    feeds = {"x": numbers(rows * 20, 16, dtype=U8)}
    check(model(ROWS[name], "n, 16"), feeds)


@pytest.mark.parametrize("name", ["DynamicQuantizeLinear", "one for two products"])
def test_dynamic_products_are_floats_to_the_last_bits(name: str, tier: str) -> None:
    """Every rounding of the activations is onnxruntime's, so that results differ by those of one multiplication."""
    body = """q, s, z = DynamicQuantizeLinear (x) i = MatMulInteger (q, m, z) c = Cast <to = 1> (i)
        v = Mul (s, mss) f = Mul (c, v) """
    second = "j = MatMulInteger (q, m, z, uz) e = Cast <to = 1> (j) u = Mul (s, us) h = Mul (e, u) y = Add (f, h)"
    proto = model(body + ("y = Add (f, row)" if name == "DynamicQuantizeLinear" else second), "n, 16")
    proto.graph.input[0].type.tensor_type.elem_type = proto.graph.output[0].type.tensor_type.elem_type = 1
    feeds = {"x": RNG.standard_normal((50, 16)).astype(F32)}
    (want,) = ort_outputs(proto, feeds, plain=True)
    for optimize in (True, False):
        (have,) = arenaut.load_onnx(proto, threads=1, optimize=optimize).run(feeds).values()
        assert np.abs(have - want).max() <= 4e-7 * np.abs(want).max()
