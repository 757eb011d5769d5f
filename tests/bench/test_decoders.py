"""Decoders joined into one with use_cache_branch, and how the manifest names caches."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

from bench.decoders import merge
from bench.feeds import expanded

FIRST = """<ir_version: 8, opset_import: ["" : 17]>
first (float[1, n] x, float[1, 2, m, 2] states)
    => (float[1, n] y, float[1, 2, t, 2] present.0.encoder.key) <float[1] w = {2}, float[1] v = {3}> {
    h = Mul (x, w)
    y = Add (h, v)
    present.0.encoder.key = Mul (states, w)
}"""
LATER = """<ir_version: 8, opset_import: ["" : 17]>
later (float[1, n] x, float[1, 2, m, 2] past_key_values.0.encoder.key) => (float[1, n] y) <float[1] u = {2}> {
    axes = Constant<value_ints = [1, 2, 3]> ()
    s = ReduceSum<keepdims = 0> (past_key_values.0.encoder.key, axes)
    h = Mul (x, u)
    y = Add (h, s)
}"""


def dotted(text: str) -> onnx.ModelProto:
    """A model whose value names may hold dots, which the parser does not read."""
    model = parser.parse_model(text.replace(".0.encoder.", "_0_encoder_"))
    for node in model.graph.node:
        node.input[:] = [name.replace("_0_encoder_", ".0.encoder.") for name in node.input]
        node.output[:] = [name.replace("_0_encoder_", ".0.encoder.") for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = value.name.replace("_0_encoder_", ".0.encoder.")
    return model


def test_two_decoders_are_one() -> None:
    model = merge(dotted(FIRST), dotted(LATER))
    onnx.checker.check_model(model)
    assert [float(numpy_helper.to_array(t)[0]) for t in model.graph.initializer] == [
        2,
        3,
    ]  # 2 once, though both hold it
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {
        "x": np.ones((1, 3), np.float32),
        "states": np.ones((1, 2, 4, 2), np.float32),
        "past_key_values.0.encoder.key": np.ones((1, 2, 5, 2), np.float32),
    }
    y, made = session.run(None, {**feeds, "use_cache_branch": np.array([False])})
    np.testing.assert_array_equal(y, np.full((1, 3), 5))
    np.testing.assert_array_equal(made, np.full((1, 2, 4, 2), 2))
    y, made = session.run(None, {**feeds, "use_cache_branch": np.array([True])})
    np.testing.assert_array_equal(y, np.full((1, 3), 22))
    assert made.shape == (0, 2, 1, 2)


def test_names_in_braces_are_expanded() -> None:
    assert expanded("x") == ["x"]
    assert expanded("p.{0..1}.{key,value}") == ["p.0.key", "p.0.value", "p.1.key", "p.1.value"]
