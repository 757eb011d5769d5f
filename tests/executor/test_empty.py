"""Dims of no elements: what the standard allows, arenaut runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import arenaut
from tests.support.models import assert_matches_ort, parse

BIAS = np.arange(5, dtype=np.float32)


def check(text: str, feeds: dict[str, Any], **constants: Any) -> None:
    proto = parse(text)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    assert_matches_ort(proto, arenaut.load_onnx(proto).run(feeds), feeds, rtol=0)


def test_products_over_no_elements_are_zeros_plus_bias() -> None:
    nothing = {"x": np.zeros((3, 0), np.float32)}
    w = np.zeros((0, 5), np.float32)
    check("agraph (float[n, 0] x) => (float[] y) { y = MatMul (x, w) }", nothing, w=w)
    check("agraph (float[n, 0] x) => (float[] y) { y = Gemm (x, w, b) }", nothing, w=w, b=BIAS)
    check("agraph (float[n, 0] x) => (float[] y) { y = Gemm <transB = 1> (x, w, b) }", nothing, w=w.T, b=BIAS)


def test_a_convolution_of_no_channels() -> None:
    x = {"x": np.zeros((1, 0, 4, 4), np.float32)}
    check("agraph (float[n, 0, 4, 4] x) => (float[] y) { y = Conv (x, w) }", x, w=np.zeros((2, 0, 3, 3), np.float32))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_family_over_empty_axes(op: str, axis: int) -> None:
    for shape in ((3, 0), (0, 3), (0, 0)):
        for dims in ("n, k", ", ".join(map(str, shape))):
            text = f"agraph (float[{dims}] x) => (float[{dims}] y) {{ y = {op} <axis = {axis}> (x) }}"
            check(text, {"x": np.zeros(shape, np.float32)})


def test_hardmax_of_a_fed_size_finds_the_first_maximum() -> None:
    x = np.array([[1, 3, 3], [-np.inf] * 3, [2, 1, 0]], np.float32)
    check("agraph (float[n, k] x) => (float[n, k] y) { y = Hardmax (x) }", {"x": x})


@pytest.mark.parametrize("op", ["ReduceMin", "ReduceMax", "ReduceSum", "ReduceProd"])
def test_numbers_that_are_none_are_reduced_at_load(op: str) -> None:
    """Sizes are folded at load: one kept axis of no elements leaves no lines, however long they are."""
    node = helper.make_node(op, ["x", "axes"], ["y"], keepdims=0)
    stored = [numpy_helper.from_array(np.empty((2, 0, 3), np.int64), "x"),
              numpy_helper.from_array(np.array([2]), "axes")]  # fmt: skip
    out = helper.make_tensor_value_info("y", onnx.TensorProto.INT64, None)
    model = helper.make_model(helper.make_graph([node], "g", [], [out], stored),
                              opset_imports=[helper.make_opsetid("", 20)])  # fmt: skip
    assert arenaut.load_onnx(model).run({})["y"].shape == (2, 0)


def test_products_of_no_rows() -> None:
    """Of float16, which is widened, multiplied and narrowed part by part."""
    w = np.zeros((2, 33), np.float16)
    text = "agraph (float16[2, 0] x) => (float16[] y) { y = Gemm <transA = 1, alpha = 0.5> (x, w, b) }"
    check(text, {"x": np.zeros((2, 0), np.float16)}, w=w, b=np.zeros(33, np.float16))
