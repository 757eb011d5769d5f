from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.native.target import current_target
from arenaut.passes.keep_half_weights import half_of

widens = pytest.mark.skipif(current_target(1).tier < 1, reason="the baseline tier keeps float32")
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


@widens
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


FILTERS: dict[str, Any] = {
    "one": RNG.standard_normal((64, 64, 1, 1)).astype(np.float16),
    "three": RNG.standard_normal((96, 64, 3, 3)).astype(np.float16),
    "wide": RNG.standard_normal((384, 320, 3, 3)).astype(np.float16),  # more than may stay float32
    "grouped": RNG.standard_normal((64, 16, 3, 3)).astype(np.float16),
    "depthwise": RNG.standard_normal((640, 1, 3, 3)).astype(np.float16),
    "line": RNG.standard_normal((64, 64, 4)).astype(np.float16),
    "brain": RNG.standard_normal((64, 64, 1, 1)).astype(ml_dtypes.bfloat16).astype(np.float32),
    "bias": RNG.standard_normal(384).astype(np.float32), "bias64": RNG.standard_normal(64).astype(np.float32),
}  # fmt: skip


def convolution(filters: str, attributes: str = "", bias: str = "", after: str = "y = Relu (a)") -> onnx.ModelProto:
    array = FILTERS[filters]
    wide = "" if array.dtype == np.float32 else f"w = Cast <to = 1> ({filters})"
    reads = f"x, {'w' if wide else filters}{bias and ', ' + bias}"
    spatial = "h, h" if array.ndim == 4 else "h"
    channels = array.shape[1] * (int(attributes.split("group = ")[1].split(",")[0]) if "group = " in attributes else 1)
    graph = onnx.parser.parse_graph(
        f"g (float[n, {channels}, {spatial}] x) => (float y) {{ {wide} a = Conv <{attributes}> ({reads}) {after} }}"
        .replace("Conv <>", "Conv")
    )  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(FILTERS[n], n) for n in {filters, bias} - {""})
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


@widens
@pytest.mark.parametrize(("filters", "attributes", "bias", "after"), [
    ("one", "", "bias64", "y = Relu (a)"), ("one", "strides = [2, 2]", "", "y = Neg (a)"),
    ("one", "", "", "y = Add (a, x)"), ("brain", "", "bias64", "y = Relu (a)"),
    ("wide", "pads = [1, 1, 1, 1]", "bias", "y = Relu (a)"), ("three", "strides = [2, 2]", "", "y = Relu (a)"),
    ("three", "dilations = [2, 2], auto_pad = \"SAME_UPPER\"", "", "y = Relu (a)"), ("line", "", "", "y = Relu (a)"),
    ("grouped", "group = 4, strides = [2, 1]", "bias64", "y = Relu (a)"),
])  # fmt: skip
def test_filters_are_kept(filters: str, attributes: str, bias: str, after: str) -> None:
    model = convolution(filters, attributes, bias, after)
    x = RNG.standard_normal([2, model.graph.input[0].type.tensor_type.shape.dim[1].dim_value,
                             *[11] * (FILTERS[filters].ndim - 2)]).astype(np.float32)  # fmt: skip
    loaded = arenaut.load_onnx(model)
    assert "HalfConv" in str(loaded.graph)
    want = arenaut.load_onnx(model, optimize=False).run({"x": x})["y"]
    np.testing.assert_allclose(loaded.run({"x": x})["y"], want, rtol=1e-5, atol=2e-6 * np.abs(want).max())
    assert loaded.memory(n=2, h=11).packed_weight_bytes < 2.2 * FILTERS[filters].size + 4096


@pytest.mark.parametrize(("filters", "attributes"), [("three", "pads = [1, 1, 1, 1]"), ("depthwise", "group = 640")])
def test_filters_that_float32_serves_better_stay(filters: str, attributes: str) -> None:
    assert "HalfConv" not in str(arenaut.load_onnx(convolution(filters, attributes)).graph)


@widens
def test_no_filter_stays_for_an_algorithm_that_is_left_out() -> None:
    model = convolution("three", "pads = [1, 1, 1, 1]")
    assert "HalfConv" in str(arenaut.load_onnx(model, without=["winograd"]).graph)


@widens
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
