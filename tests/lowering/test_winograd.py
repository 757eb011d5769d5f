from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.frontend import import_model
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.program import Lowered
from arenaut.lowering.winograd import FORM, choose_filters, transformed_bytes
from arenaut.native.target import current_target
from tests.support.models import ort_outputs

TARGET = replace(current_target(1), l3_bytes=32 << 20)


def convolutions(
    filters: Sequence[tuple[int, ...]], x: Sequence[int | str] = (1, 64, 56, 56), **attributes: object
) -> onnx.ModelProto:
    """Convolutions of one input, each with a filter of its own."""
    rng = np.random.default_rng(0)
    attributes = {"pads": [1, 1, 1, 1], **attributes}
    weights = [
        numpy_helper.from_array(rng.standard_normal(dims).astype(np.float32), f"w{i}") for i, dims in enumerate(filters)
    ]
    nodes = [helper.make_node("Conv", ["x", f"w{i}"], [f"y{i}"], **attributes) for i in range(len(filters))]
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(len(filters))]
    x_info = helper.make_tensor_value_info("x", TensorProto.FLOAT, x)
    graph = helper.make_graph(nodes, "g", [x_info], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def lowered(model: onnx.ModelProto, limit: int | None = None) -> Lowered:
    steps = lower_graph(import_model(model).graph, TARGET)
    choose_filters(steps, TARGET, limit=limit)
    return steps


def forms(steps: Lowered) -> list[object]:
    return [s.params.get(FORM, 0) for s in steps.steps if s.row is not None and s.row.family == "Conv"]


def test_wide_convolutions_are_transformed_and_counted_apart() -> None:
    model = convolutions([(64, 64, 3, 3), (128, 64, 3, 3)])
    assert forms(lowered(model)) == [4, 4]
    assert transformed_bytes(lowered(model)) == 4 * 36 * 64 * (64 + 128)
    plan = arenaut.load_onnx(model).plan
    assert plan.winograd_bytes == 4 * 36 * 64 * (64 + 128) <= plan.packed_weight_bytes
    assert arenaut.load_onnx(model, exact_conv=True).plan.winograd_bytes == 0


@pytest.mark.parametrize("attributes, filters, x", [
    ({"strides": [2, 2]}, (64, 64, 3, 3), (1, 64, 56, 56)),
    ({"dilations": [2, 2]}, (64, 64, 3, 3), (1, 64, 56, 56)),
    ({"pads": [2, 2, 2, 2]}, (64, 64, 3, 3), (1, 64, 56, 56)),
    ({"group": 8}, (64, 8, 3, 3), (1, 64, 56, 56)),
    ({"pads": [0, 0, 0, 0]}, (64, 64, 1, 1), (1, 64, 56, 56)),
    ({"pads": [1, 1]}, (64, 64, 3), (1, 64, 56)),
    ({}, (512, 512, 3, 3), (1, 512, 2, 2)),
])  # fmt: skip
def test_others_stay_matrix_products(attributes: dict[str, object], filters: tuple[int, ...], x: Sequence[int]) -> None:
    assert forms(lowered(convolutions([filters], x, **attributes))) == [0]


def test_a_limit_is_kept_and_spent_where_a_byte_saves_most() -> None:
    model = convolutions([(16, 64, 3, 3), (256, 64, 3, 3)])
    extra = [4 * 27 * 64 * 16, 4 * 27 * 64 * 256]
    smaller = [4 * 7 * 64 * 16, 4 * 7 * 64 * 256]
    assert forms(lowered(model, 0)) == [0, 0]
    assert forms(lowered(model, sum(extra))) == [4, 4]
    assert sorted(map(bool, forms(lowered(model, extra[0])))) == [False, True]
    assert 2 in forms(lowered(model, extra[0] + smaller[1]))


def test_a_filter_that_two_convolutions_share_is_transformed_once() -> None:
    model = convolutions([(64, 64, 3, 3)])
    again = helper.make_node("Conv", ["y0", "w0"], ["z"], pads=[1, 1, 1, 1])
    model.graph.node.append(again)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    assert forms(lowered(model, 4 * 27 * 64 * 64)) == [4, 4]
    assert transformed_bytes(lowered(model)) == 4 * 36 * 64 * 64


def test_results_agree_with_exact_ones_at_every_size() -> None:
    model = convolutions([(48, 32, 3, 3)], (1, 32, "h", "w"))
    fast, exact = arenaut.load_onnx(model), arenaut.load_onnx(model, exact_conv=True)
    rng = np.random.default_rng(0)
    for h, w in ((33, 40), (1, 1), (7, 64)):
        x = rng.standard_normal((1, 32, h, w)).astype(np.float32)
        got, want = fast.run(x)["y0"], exact.run(x)["y0"]
        assert fast.plan.winograd_bytes > 0
        np.testing.assert_allclose(got, want, atol=1e-4, rtol=0)


QUANTISED = {
    "ConvInteger": ("uint8[1, 64, 24, 24] x", "int32", "y = ConvInteger <pads = [1, 1, 1, 1]> (x, wq, zx, zw)"),
    "QLinearConv": (
        "uint8[1, 64, 24, 24] x", "uint8",
        "y = QLinearConv <pads = [1, 1, 1, 1]> (x, s, zx, wq, s, zw, big, zx)",
    ),
    "dequantised": (
        "float[1, 64, 24, 24] x", "float",
        "q = QuantizeLinear (x, s, zx) d = DequantizeLinear (q, s, zx) y = Conv <pads = [1, 1, 1, 1]> (d, w)",
    ),
    "dequantised a channel": (
        "uint8[1, 64, 24, 24] x", "float",
        "d = DequantizeLinear <axis = 1> (x, each, zeros) y = Conv <pads = [1, 1, 1, 1]> (d, w)",
    ),
    "cast and scaled": (
        "uint8[1, 64, 24, 24] x", "float",
        "c = Cast <to = 1> (x) m = Mul (c, s) y = Conv <pads = [1, 1, 1, 1]> (m, w)",
    ),
    "moved": (
        "uint8[1, 32, 24, 24] x", "float",
        """d = DequantizeLinear (x, s, zx) r = Relu (d) m = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r)
        t = Concat <axis = 1> (m, r) y0 = Conv <pads = [1, 1, 1, 1]> (t, w) y = Sigmoid (y0)""",
    ),
    "in a branch": (
        "uint8[1, 64, 24, 24] x, bool c", "float",
        """d = DequantizeLinear (x, s, zx) y = If (c) <
        then_branch = a () => (float[1, 64, 24, 24] p) { p = Conv <pads = [1, 1, 1, 1]> (d, w) },
        else_branch = b () => (float[1, 64, 24, 24] q) { q = Identity (d) }>""",
    ),
}  # fmt: skip


def unchecked(body: str) -> onnx.ModelProto:
    """A model whose constants are added later."""
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{body}')


def quantised(name: str) -> onnx.ModelProto:
    inputs, kind, nodes = QUANTISED[name]
    model = unchecked(f"agraph ({inputs}) => ({kind}[1, 64, 24, 24] y) {{ {nodes} }}")
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (64, 64, 3, 3)).astype(np.int8)
    constants = {
        "w": weights.astype(np.float32), "wq": weights, "s": np.float32(0.03), "big": np.float32(40),
        "zx": np.uint8(128), "zw": np.int8(0), "each": rng.random(64).astype(np.float32),
        "zeros": np.zeros(64, np.uint8),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in constants.items())
    return model


@pytest.mark.parametrize("name", sorted(QUANTISED))
def test_what_is_quantised_is_summed_exactly(name: str) -> None:
    """Winograd's algorithm rounds its sums, so that a whole number may come out as the one beside it."""
    assert transformed_bytes(lowered(quantised(name))) == 0
    assert arenaut.load_onnx(quantised(name)).plan.winograd_bytes == 0


def test_what_a_product_made_of_quantised_floats_may_be_transformed() -> None:
    model = unchecked("""agraph (uint8[1, 3, 56, 56] x) => (float[1, 64, 56, 56] y)
    { d = Cast <to = 1> (x) a = Conv <pads = [1, 1, 1, 1]> (d, v) y = Conv <pads = [1, 1, 1, 1]> (a, w) }""")
    rng = np.random.default_rng(0)
    for name, shape in (("v", (64, 3, 3, 3)), ("w", (64, 64, 3, 3))):
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    assert forms(lowered(model)) == [0, 4]


def test_an_integer_convolution_is_right_to_the_last_unit() -> None:
    model = quantised("ConvInteger")
    rng = np.random.default_rng(1)
    feeds = {"x": rng.integers(0, 256, (1, 64, 24, 24)).astype(np.uint8)}
    np.testing.assert_array_equal(arenaut.load_onnx(model).run(feeds)["y"], ort_outputs(model, feeds)[0])
