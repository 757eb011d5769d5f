from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.passes.quantise_weights import BLOCK
from arenaut.passes.rewriting.blocks import quantised

RNG = np.random.default_rng(3)
W = RNG.standard_normal((96, 64)).astype(np.float32)
X = RNG.standard_normal((5, 96)).astype(np.float32)


def model(body: str, **weights: np.ndarray[Any, Any]) -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(f"g (float[5, 96] x) => (float y) {{ {body} }}")
    graph.output[0].type.tensor_type.ClearField("shape")
    graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in weights.items())
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


def ops(loaded: arenaut.Model) -> list[str]:
    return [n.op for n in loaded.graph.nodes]


@pytest.mark.parametrize(("weights", "steps"), [("int8", 127), ("int4", 8)])
def test_every_weight_is_within_half_a_step(weights: Any, steps: int) -> None:
    bits = 8 if weights == "int8" else 4
    codes, scales, error = quantised(W, bits, BLOCK)
    numbers = codes if bits == 8 else np.stack([codes & 15, codes >> 4], axis=-1).reshape(64, 3, BLOCK)
    back = (numbers.astype(np.float32) - 2.0 ** (bits - 1)) * scales[..., None]
    given = W.T.reshape(64, 3, BLOCK)
    step = np.abs(given).max(axis=2, keepdims=True) / steps
    # The farthest of four bits on one side has no code: it is off by a step at most.
    assert (np.abs(back - given) <= step * (0.501 if bits == 8 else 1.001)).all()
    relative = np.sqrt(np.square(back - given).mean() / np.square(given).mean())
    np.testing.assert_allclose(error, relative, rtol=1e-3)
    assert error < (0.01 if bits == 8 else 0.12)


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize(("body", "transposed"), [
    ("y = MatMul (x, w)", False), ("y = Gemm (x, w, b)", False), ("y = Gemm <transB = 1> (x, w, b)", True),
    ("m = MatMul (x, w) a = Add (m, b) y = Relu (a)", False),
])  # fmt: skip
def test_products_keep_codes(weights: Any, body: str, transposed: bool) -> None:
    stored = {"w": W.T if transposed else W, "b": RNG.standard_normal(64).astype(np.float32)}
    proto = model(body, **{k: v for k, v in stored.items() if k in body})
    plain, small = arenaut.load_onnx(proto), arenaut.load_onnx(proto, weights=weights)
    assert "BlockMatMul" in str(small.graph) and "BlockMatMul" not in str(plain.graph)
    assert any("err by" in e.reason for e in small.rewrites if e.pass_name == "quantise_weights" and e.fired)
    want, got = plain.run({"x": X})["y"], small.run({"x": X})["y"]
    error = np.sqrt(np.square(got - want).mean() / np.square(want).mean())
    assert 0 < error < (0.01 if weights == "int8" else 0.12)
    loose = arenaut.load_onnx(proto, weights=weights, optimize=True, without=["packing"])
    np.testing.assert_array_equal(loose.run({"x": X})["y"], want)


def test_memory_is_a_quarter_and_an_eighth() -> None:
    wide = RNG.standard_normal((96, 4096)).astype(np.float32)
    sizes = {w: arenaut.load_onnx(model("y = MatMul (x, w)", w=wide), weights=w).memory().packed_weight_bytes
             for w in ("stored", "int8", "int4")}  # fmt: skip
    scales = wide.size // BLOCK * 4
    assert sizes["int8"] <= sizes["stored"] / 4 + scales * 1.01
    assert sizes["int4"] <= sizes["stored"] / 8 + scales * 1.01


@pytest.mark.parametrize(("body", "weights"), [
    ("y = Gemm <alpha = 2.0> (x, w)", {"w": W}), ("y = MatMul (x, w)", {"w": W[:, :1]}),
    ("y = MatMul (x, w)", {"w": np.full_like(W, np.inf)}),
])  # fmt: skip
def test_others_stay_as_stored(body: str, weights: dict[str, Any]) -> None:
    loaded = arenaut.load_onnx(model(body, **weights), weights="int8")
    assert "BlockMatMul" not in str(loaded.graph)


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ValueError, match="weights='int2': expected 'stored' or 'int8' or 'int4'"):
        arenaut.load_onnx(model("y = MatMul (x, w)", w=W), weights="int2")  # type: ignore[arg-type]
