"""load_onnx(precision=), and models whose weights are 16 bits."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut

RNG = np.random.default_rng(8)
Array = np.ndarray[Any, Any]


def model(nodes: list[onnx.NodeProto], dtype: int, shape: list[int], weights: dict[str, Array]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, None)], [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


def product(dtype: Any, rows: int = 24) -> tuple[onnx.ModelProto, Array, Array]:
    x, w = RNG.standard_normal((rows, 200)).astype(dtype), RNG.standard_normal((200, 320)).astype(dtype)
    code = TensorProto.BFLOAT16 if dtype is ml_dtypes.bfloat16 else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], code, [rows, 200], {"w": w}), x, w


@pytest.mark.parametrize("rows", [1, 24])
def test_bfloat16_errs_within_its_bound(rows: int) -> None:
    proto, x, w = product(np.float32, rows)
    got = arenaut.load_onnx(proto, precision="bfloat16").run({"x": x})["y"]
    wide = x.astype(np.float64) @ w.astype(np.float64)
    error = np.abs(got - wide)
    assert (error <= 2.0**-8 * (np.abs(x).astype(np.float64) @ np.abs(w))).all()
    assert error.max() > 1e-4, "nothing was rounded"
    near = x.astype(ml_dtypes.bfloat16).astype(np.float64) @ w.astype(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_allclose(got, near, rtol=1e-4, atol=1e-4)
    assert arenaut.load_onnx(proto, precision="bfloat16").memory().packed_weight_bytes < w.nbytes * 0.6


def test_bfloat16_holds_for_convolutions_and_products_of_two_activations() -> None:
    w = RNG.standard_normal((16, 8, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["c", "t"], ["y"]),
    ]
    proto = model(nodes, TensorProto.FLOAT, [1, 8, 32, 32], {"w": w})
    x = RNG.standard_normal((1, 8, 32, 32)).astype(np.float32)
    want = arenaut.load_onnx(proto).run({"x": x})["y"]
    rounded = arenaut.load_onnx(proto, precision="bfloat16")
    error = np.abs(rounded.run({"x": x})["y"] - want)
    assert 1e-4 < error.max() < 2e-2 * np.abs(want).max()
    steps = [s.row.family for s in rounded._built.lowered.steps if s.row is not None]
    assert {"HalfConv", "HalfMatMul"} <= set(steps)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_weights_of_16_bits_stay_16_bits(dtype: Any) -> None:
    proto, x, w = product(dtype)
    loaded = arenaut.load_onnx(proto)
    got = loaded.run({"x": x})["y"]
    want = (x.astype(np.float64) @ w.astype(np.float64)).astype(dtype)
    size = np.abs(x.astype(np.float64)) @ np.abs(w.astype(np.float64))
    eps = float(ml_dtypes.finfo(dtype).eps)
    assert (
        np.abs(got.astype(np.float64) - want.astype(np.float64))
        <= eps * (np.abs(want.astype(np.float64)) + size * 1e-3)
    ).all()
    assert loaded.memory().packed_weight_bytes <= 1.15 * w.nbytes


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ValueError, match="precision='half': expected 'stored' or 'bfloat16'"):
        arenaut.load_onnx(product(np.float32)[0], precision="half")  # type: ignore[arg-type]
