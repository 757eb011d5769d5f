"""onnxruntime's ops on values whose rank only a run decides: said in standard ops at the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.errors import ArenautError
from tests.support.importing import model_of, random, run_ort, tensor_info

MICROSOFT = "com.microsoft"
X = random(2, 5, 8)
WEIGHT, BIAS = random(8, 24, seed=1), random(24, seed=2)
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)

# op, inputs (the first has an open rank), attributes, outputs
CASES: dict[str, tuple[str, Sequence[Any], Mapping[str, Any], int]] = {
    "Attention": ("Attention", [X, WEIGHT, BIAS], {"num_heads": 2}, 1),
    "Attention with a mask": ("Attention", [X, WEIGHT, BIAS, MASK], {"num_heads": 2}, 1),
    "Attention with a present": ("Attention", [X, WEIGHT, BIAS, MASK[:, 0] * 0 + 5, random(2, 2, 2, 3, 4)],
                                 {"num_heads": 2, "unidirectional": 1}, 2),
    "MultiHeadAttention": ("MultiHeadAttention", [X, random(2, 4, 8), random(2, 4, 8), BIAS], {"num_heads": 2}, 1),
    "RotaryEmbedding": ("RotaryEmbedding", [X, np.arange(10).reshape(2, 5), random(10, 2), random(10, 2)],
                        {"num_heads": 2}, 1),
    "FusedMatMul": ("FusedMatMul", [X, random(2, 6, 8)], {"transB": 1, "alpha": 0.5}, 1),
    "SkipLayerNormalization": ("SkipLayerNormalization", [X, X + 1, random(8), random(8)], {"epsilon": 1e-5}, 1),
    "EmbedLayerNormalization": (
        "EmbedLayerNormalization",
        [np.array([[1, 2, 0, 3, 1]], np.int32), np.zeros((1, 5), np.int32), random(6, 8), random(7, 8), random(2, 8),
         random(8), random(8), np.ones((1, 5), np.int32)], {"epsilon": 1e-5}, 2,
    ),
}  # fmt: skip


def _model(op: str, inputs: Sequence[Any], attributes: Mapping[str, Any], outputs: int) -> onnx.ModelProto:
    """The first input is reshaped to a fed shape, so that its rank is open."""
    names = [f"x{i}" for i in range(len(inputs))]
    nodes = [
        helper.make_node("Reshape", ["flat", "shape"], ["x0"]),
        helper.make_node(op, names, [f"y{i}" for i in range(outputs)], domain=MICROSOFT, **attributes),
    ]
    dtype = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    infos = [tensor_info("flat", ["n"], dtype), tensor_info("shape", ["rank"], TensorProto.INT64)]
    made = [tensor_info("y0"), tensor_info("y1", None, TensorProto.INT32 if op.startswith("Embed") else 1)][:outputs]
    return model_of(nodes, infos, made, dict(zip(names[1:], inputs[1:], strict=True)), opset=17, ir_version=8,
                    domains={MICROSOFT: 1})  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_open_rank_is_settled_at_the_first_run(name: str) -> None:
    op, inputs, attributes, outputs = CASES[name]
    proto = _model(op, inputs, attributes, outputs)
    feeds = {"flat": inputs[0].reshape(-1), "shape": np.array(inputs[0].shape)}
    want = run_ort(proto, feeds)
    model = arenaut.load_onnx(proto)
    for _ in range(2):
        for got, expected in zip(model.run(feeds).values(), want, strict=True):
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert all(step.node.domain != MICROSOFT for step in model._executor.built.lowered.steps)
    plain = arenaut.load_onnx(proto, optimize=False)
    for got, expected in zip(plain.run(feeds).values(), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_an_input_without_a_shape() -> None:
    proto = model_of(
        [helper.make_node("Attention", ["x", "w", "b"], ["y"], domain=MICROSOFT, num_heads=2)], [tensor_info("x")],
        ["y"], {"w": WEIGHT, "b": BIAS}, opset=17, ir_version=8, domains={MICROSOFT: 1},
    )  # fmt: skip
    model = arenaut.load_onnx(proto)
    for x in (X, X[:, :3], random(1, 7, 8)):
        np.testing.assert_allclose(model.run(x=x)["y"], run_ort(proto, {"x": x})[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ArenautError, match="Attention"):
        model.run(x=X[0])
