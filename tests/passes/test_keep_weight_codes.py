from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut

RNG = np.random.default_rng(4)
CODES = RNG.integers(-128, 128, (160, 48)).astype(np.int8)
X = RNG.standard_normal((5, 160)).astype(np.float32)
CONSTANTS: dict[str, Any] = {
    "q": CODES, "u": CODES.view(np.uint8), "s": np.array(0.013, np.float32), "z": np.array(7, np.uint8),
    "cs": RNG.uniform(0.01, 0.02, 48).astype(np.float32), "cz": RNG.integers(0, 256, 48).astype(np.uint8),
    "rs": RNG.uniform(0.01, 0.02, (160, 1)).astype(np.float32), "few": CODES[:100, :48],
}  # fmt: skip


def model(body: str, product: str = "y = MatMul (x, w)") -> onnx.ModelProto:
    depth = 100 if "few" in body else 160
    graph = onnx.parser.parse_graph(f"g (float[5, {depth}] x) => (float[5, 48] y) {{ {body} {product} }}")
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in CONSTANTS.items() if n in read
    )
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


@pytest.mark.parametrize("body", [
    "c = Cast <to = 1> (q) w = Mul (c, s)", "c = Cast <to = 1> (q) w = Mul (cs, c)",
    "c = Cast <to = 1> (u) w = Mul (c, cs)", "w = DequantizeLinear (q, s)", "w = DequantizeLinear (u, s, z)",
    "w = DequantizeLinear <axis = 1> (u, cs, cz)",
])  # fmt: skip
def test_bytes_stay_bytes(body: str) -> None:
    loaded, plain = arenaut.load_onnx(model(body)), arenaut.load_onnx(model(body), optimize=False)
    assert [n.op for n in loaded.graph.nodes] == ["BlockMatMul"]
    assert any(e.pass_name == "keep_weight_codes" and e.fired for e in loaded.rewrites)
    want = plain.run({"x": X})["y"]
    np.testing.assert_allclose(loaded.run({"x": X})["y"], want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
    assert loaded.memory().packed_weight_bytes < 2 * CODES.size


@pytest.mark.parametrize("body", [
    "w = DequantizeLinear <axis = 0> (t, cs)", "c = Cast <to = 1> (t) w = Mul (c, cs1)",
])  # fmt: skip
def test_transposed_weights_and_a_bias(body: str) -> None:
    CONSTANTS.update(t=CODES.T, cs1=CONSTANTS["cs"].reshape(-1, 1), b=X.reshape(-1)[:48])
    proto = model(body, "y = Gemm <transB = 1> (x, w, b)")
    loaded = arenaut.load_onnx(proto)
    assert "BlockMatMul" in str(loaded.graph)
    want = arenaut.load_onnx(proto, optimize=False).run({"x": X})["y"]
    np.testing.assert_allclose(loaded.run({"x": X})["y"], want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("body", ["c = Cast <to = 1> (q) w = Mul (c, rs)", "c = Cast <to = 1> (few) w = Mul (c, s)",
                                  "w = DequantizeLinear <axis = 0> (u, rs0, rz0)"])  # fmt: skip
def test_others_become_floats(body: str) -> None:
    CONSTANTS.update(rs0=CONSTANTS["rs"].reshape(-1), rz0=np.zeros(160, np.uint8))
    loaded = arenaut.load_onnx(model(body))
    assert "BlockMatMul" not in [n.op for n in loaded.graph.nodes]
    x = X[:, :100] if "few" in body else X
    want = arenaut.load_onnx(model(body), optimize=False).run({"x": x})["y"]
    np.testing.assert_allclose(loaded.run({"x": x})["y"], want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
