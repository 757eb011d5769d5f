from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.passes import keep_bytes_in_lines as module
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.keep_bytes_in_lines import keep_bytes_in_lines
from tests.support.rewriting import rewrite

RNG = np.random.default_rng(4)
CONSTANTS: dict[str, Any] = {
    "s": np.float32(0.05), "z": np.uint8(120), "each": RNG.uniform(0.01, 0.02, 40).astype(np.float32),
    "u": np.float32(1 / 255), "v": np.uint8(0), "n": np.float32(0.03), "m": np.uint8(128),
    "g": RNG.standard_normal(40).astype(np.float32), "b": RNG.standard_normal(40).astype(np.float32),
    "one": np.ones(1, np.float32), "k": np.float32(2),
}  # fmt: skip
X = "a = DequantizeLinear(x, s, z) "
Q, R = " y = QuantizeLinear(t, u, v)", " y = QuantizeLinear(t, n, m)"
RAISED = {
    X + "t = Softmax(a)" + Q: "QSoftmax", X + "y = Softmax <axis = 2> (a)": "QSoftmax",
    X + "r = Exp(a) t = Softmax(r)" + Q: "QSoftmax", X + "t = LayerNormalization(a, g, b)" + R: "QLayerNormalization",
    X + "y = LayerNormalization <epsilon = 0.5> (a, g)": "QLayerNormalization",
    X + "r = Exp(a) t = LayerNormalization(r, g, b)" + R: "QLayerNormalization",
    "a = DequantizeLinear(x, s) t = Softmax(a)" + Q: "QSoftmax",
}  # fmt: skip
LEFT = (
    X + "r = Exp(a) y = Softmax(r)", X + "t = Softmax <axis = 1> (a)" + Q,
    "a = DequantizeLinear <axis = 2> (x, each) y = Softmax(a)", X + "y = LayerNormalization <axis = 1> (a, k)",
    X + "r = Exp(a) t = Softmax(r) h = QuantizeLinear(t, u, v) w = DequantizeLinear(h, u, v) y = Add(w, t)",
    X + "y, mean = LayerNormalization(a, g)",
)  # fmt: skip


def model(body: str) -> onnx.ModelProto:
    kind = "uint8" if body.endswith((Q, R)) else "float"
    graph = onnx.parser.parse_graph(f"t (uint8[64,9,40] x) => ({kind}[64,9,40] y) {{ {body} }}")
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in CONSTANTS.items() if n in read)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


FEEDS = {"x": RNG.integers(0, 256, (64, 9, 40)).astype(np.uint8)}


@pytest.mark.parametrize("body", RAISED)
def test_raised(body: str) -> None:
    result = rewrite(model(body), keep_bytes_in_lines, eliminate_dead_code, feeds=FEEDS, rtol=1e-5, plain=True)
    assert RAISED[body] in result.ops
    assert not {"Softmax", "LayerNormalization"} & set(result.ops)


@pytest.mark.parametrize("body", LEFT)
def test_left_alone(body: str) -> None:
    result = rewrite(model(body), keep_bytes_in_lines, eliminate_dead_code, feeds=FEEDS, rtol=1e-5, plain=True)
    assert not {"QSoftmax", "QLayerNormalization"} & set(result.ops)


@pytest.mark.parametrize("body", [b for b in RAISED if b.endswith((Q, R))])
def test_bytes_are_those_of_three_steps(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose floats are as large as the tensor four times over."""
    fused = arenaut.load_onnx(model(body))
    got = fused.run(FEEDS)["y"]
    monkeypatch.setattr(module, "_line_op", lambda node: None)
    apart = arenaut.load_onnx(model(body))
    np.testing.assert_array_equal(got, apart.run(FEEDS)["y"])
    assert len(fused.profile(FEEDS).steps) < len(apart.profile(FEEDS).steps)
    if "Exp" not in body:
        assert fused.memory().arena_bytes < apart.memory().arena_bytes
