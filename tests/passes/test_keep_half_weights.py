from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.passes.keep_half_weights import half_of

RNG = np.random.default_rng(5)
W = RNG.standard_normal((160, 48)).astype(np.float16)
X = RNG.standard_normal((37, 160)).astype(np.float32)
CONSTANTS: dict[str, Any] = {
    "h": W, "t": np.ascontiguousarray(W.T), "f": W.astype(np.float32),
    "b": RNG.standard_normal(48).astype(ml_dtypes.bfloat16).astype(np.float32), "few": W[:, :20],
    "p": W.astype(ml_dtypes.bfloat16).astype(np.float32), "other": RNG.standard_normal((160, 48)).astype(np.float32),
}  # fmt: skip


def model(body: str) -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(f"g (float[n, 160] x) => (float[n, m] y) {{ {body} }}")
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in CONSTANTS.items() if n in read)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


@pytest.mark.parametrize("rows", [1, 3, 37])
@pytest.mark.parametrize("body", [
    "w = Cast <to = 1> (h) y = MatMul (x, w)", "y = MatMul (x, f)", "y = MatMul (x, p)",
    "w = Cast <to = 1> (t) y = Gemm <transB = 1> (x, w, b)",
])  # fmt: skip
def test_kept(body: str, rows: int) -> None:
    loaded, x = arenaut.load_onnx(model(body)), X[:rows]
    assert "HalfMatMul" in str(loaded.graph)
    want = arenaut.load_onnx(model(body), optimize=False).run({"x": x})["y"]
    np.testing.assert_allclose(loaded.run({"x": x})["y"], want, rtol=1e-5, atol=2e-6 * np.abs(want).max())
    assert loaded.memory(n=rows).packed_weight_bytes < 3 * W.size


@pytest.mark.parametrize("body", ["y = MatMul (x, other)", "w = Cast <to = 1> (few) y = MatMul (x, w)"])
def test_others_stay(body: str) -> None:
    assert "HalfMatMul" not in str(arenaut.load_onnx(model(body)).graph)


def test_one_weight_of_two_products_is_kept_once() -> None:
    loaded = arenaut.load_onnx(model("a = Neg (x) c = MatMul (x, f) d = MatMul (a, f) e = Exp (c) y = Add (e, d)"))
    assert sum(e.pass_name == "keep_half_weights" and e.fired for e in loaded.rewrites) == 2
    assert loaded.memory(n=5).packed_weight_bytes < 3 * W.size


def test_numbers_that_16_bits_do_not_hold_are_found_wherever_they_are() -> None:
    array = np.ones((100, 100), np.float32)
    assert half_of(array) is not None
    array[37, 41] = 1 + 2.0**-20
    assert half_of(array) is None
    array[37, 41] = 1e30
    assert half_of(array) is None
    array[37, 41] = 2.0**100
    found = half_of(array)
    assert found is not None and found.dtype == ml_dtypes.bfloat16 and np.array_equal(found.astype(np.float32), array)


def test_transposed_weights_stay_in_the_order_of_their_memory() -> None:
    """As folding the transposition of a table leaves them, too large to be copied."""
    array = np.arange(6000, dtype=np.float32).reshape(60, 100).T
    for scale, kept in ((2.0**-3, np.float16), (2.0**100, ml_dtypes.bfloat16)):
        weights = (array % 256) * np.float32(scale)
        found = half_of(weights)
        assert found is not None and found.dtype == kept and found.strides == (2, 200)
        assert np.array_equal(found.astype(np.float32), weights)
