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
