"""Nodes of old opsets give what onnxruntime gives for them; below opset 7, which it does not run, what numpy gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.frontend import import_model
from arenaut.frontend.export import to_model_proto
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from tests.support.importing import (
    Array,
    check_against_ort,
    compare,
    model_of,
    random,
    run_graph,
    run_ort,
    single_op,
    tensor_info,
)

X = random(2, 3, 4, 5)
ROWS = random(6, 8)
IMAGE = random(1, 2, 4, 6)

# op, opset, inputs, attributes
AGAINST_ORT: Sequence[tuple[str, int, Sequence[Array | None], Mapping[str, Any]]] = (
    ("Squeeze", 9, [random(1, 3, 1, 2)], {"axes": [0, 2]}),
    ("Squeeze", 11, [random(1, 3, 1, 2)], {"axes": [-2]}),
    ("Squeeze", 11, [random(1, 3, 1, 2)], {}),
    ("Unsqueeze", 9, [ROWS], {"axes": [0, 3]}),
    ("Unsqueeze", 11, [ROWS], {"axes": [-1, 1]}),
    *((op, version, [np.abs(X) + 0.5], {"axes": [1, 3], "keepdims": keep})
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                 "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
      for version, keep in ((8, 1), (11, 0))),
    ("ReduceSum", 11, [X], {}),
    ("ReduceMean", 13, [X], {"axes": [-1]}),
    ("Clip", 7, [X], {"min": -0.5, "max": 0.25}),
    ("Clip", 7, [X], {"max": 0.25}),
    ("Clip", 7, [X], {}),
    ("Pad", 8, [X], {"pads": [0, 1, 0, 2, 0, 0, 3, 1], "value": 1.5}),
    ("Pad", 8, [X], {"pads": [0, 1, 0, 2, 0, 0, 3, 1], "mode": "reflect"}),
    ("Pad", 8, [X], {"pads": [0, 1, 0, 2, 0, 0, 3, 1], "mode": "edge"}),
    ("Pad", 8, [X], {"pads": [0, -1, 0, 0, 0, 0, -2, 0]}),
    ("Slice", 9, [X], {"starts": [1, -3], "ends": [2, 1000], "axes": [0, 2]}),
    ("Slice", 9, [X], {"starts": [0, 1], "ends": [2, -1]}),
    ("TopK", 9, [ROWS], {"k": 3}),
    ("TopK", 9, [ROWS], {"k": 2, "axis": 0}),
    ("TopK", 10, [ROWS, np.array([3])], {}),
    ("Dropout", 9, [ROWS], {"ratio": 0.7}),
    ("Dropout", 10, [ROWS], {"ratio": 0.7}),
    *((op, version, [X], {"axis": axis})
      for op in ("Softmax", "LogSoftmax", "Hardmax") for version, axis in ((9, 0), (9, 1), (11, 2), (11, -1), (11, 3))),
    ("Softmax", 9, [ROWS], {}),
    ("Softmax", 11, [X], {}),
    ("Softmax", 13, [X], {}),
    ("BatchNormalization", 8, [X, *(np.abs(random(3, seed=s)) for s in range(1, 5))], {"epsilon": 1e-3}),
    ("BatchNormalization", 9, [X, *(np.abs(random(3, seed=s)) for s in range(1, 5))], {"momentum": 0.8}),
    ("Upsample", 7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 3.0]}),
    ("Upsample", 7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 1.5], "mode": "linear"}),
    ("Upsample", 9, [IMAGE, np.array([1, 1, 2, 2], np.float32)], {}),
    ("Upsample", 9, [IMAGE, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"}),
    ("Resize", 10, [IMAGE, np.array([1, 1, 2, 2], np.float32)], {}),
    ("Resize", 10, [IMAGE, np.array([1, 1, 0.6, 0.6], np.float32)], {}),
    ("Resize", 10, [IMAGE, np.array([1, 1, 0.6, 1.7], np.float32)], {}),
    ("Resize", 10, [IMAGE, np.array([1, 1, 0.6, 0.6], np.float32)], {"mode": "linear"}),
    ("Resize", 10, [IMAGE, np.array([1, 1, 1.7, 2.3], np.float32)], {"mode": "linear"}),
    ("Resize", 11, [IMAGE, np.zeros(0, np.float32), np.array([1, 1, 0.6, 1.7], np.float32)], {}),
    ("Resize", 11, [IMAGE, np.zeros(0, np.float32), np.zeros(0, np.float32), np.array([1, 2, 3, 9])],
     {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ("Resize", 11, [IMAGE, np.zeros(0, np.float32), np.array([1, 1, 2, 0.6], np.float32)],
     {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}),
    ("Resize", 13, [IMAGE, np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32)], {"mode": "cubic"}),
    ("Split", 11, [ROWS], {"axis": 1, "split": [3, 4, 1]}),
    ("Split", 11, [ROWS], {"axis": 0}),
    ("Split", 13, [ROWS, np.array([1, 2, 3])], {}),
    ("Split", 13, [ROWS], {}),
    ("Scatter", 9, [ROWS, np.array([[1, 0, 2]]), random(1, 3)], {"axis": 1}),
    ("ScatterElements", 11, [ROWS, np.array([[1, 0, 2]]), random(1, 3)], {}),
    ("Gemm", 7, [random(3, 4), random(4, 5), random(5)], {"alpha": 0.5, "beta": 2.0}),
    ("Gemm", 9, [random(4, 3), random(5, 4), random(3, 1)], {"transA": 1, "transB": 1}),
    ("PRelu", 7, [X, random(3, 1, 1)], {}),
    ("OneHot", 9, [np.array([1, 3, 0]), np.array(4), np.array([0, 1], np.float32)], {}),
    ("Flatten", 9, [X], {"axis": 2}),
    ("MaxPool", 8, [X], {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("MaxPool", 10, [X], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", 10, [X], {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ("AveragePool", 7, [X], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}),
    ("AveragePool", 10, [X], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1], "count_include_pad": 1}),
    ("LpPool", 7, [X], {"kernel_shape": [2, 2], "p": 3}),
    ("ConvTranspose", 7, [random(1, 2, 3, 3), random(2, 2, 2, 2)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", 7, [random(1, 2, 4, 4), random(2, 2, 3, 3)], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("ArgMax", 9, [ROWS], {"axis": 1, "keepdims": 0}),
    ("GridSample", 16, [IMAGE, np.clip(random(1, 3, 3, 2), -1.2, 1.2)], {"mode": "bilinear"}),
    ("GridSample", 16, [IMAGE, np.clip(random(1, 3, 3, 2), -1.2, 1.2)], {"mode": "bicubic", "align_corners": 1}),
    ("RoiAlign", 10, [random(1, 2, 8, 8), np.array([[0, 0, 4, 4], [1, 2, 6, 7]], np.float32), np.array([0, 0])],
     {"output_height": 3, "output_width": 2, "sampling_ratio": 2}),
    ("DFT", 17, [random(2, 8, 3, 1)], {"axis": 1}),
    ("DFT", 17, [random(2, 8, 3, 1), np.array(6)], {"axis": 1, "onesided": 1}),
)  # fmt: skip


def _outputs(op: str, attributes: Mapping[str, Any], inputs: Sequence[Array | None]) -> int:
    if op == "Split":
        return len(attributes.get("split", ())) or (len(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else 2)
    return 2 if op == "TopK" else 1


@pytest.mark.parametrize(("op", "opset", "inputs", "attributes"), AGAINST_ORT, ids=lambda v: str(v)[:40])
def test_old_nodes_mean_what_they_meant(op: str, opset: int, inputs: Any, attributes: Any) -> None:
    model = single_op(op, inputs, opset=opset, outputs=_outputs(op, attributes, inputs), **attributes)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in model.graph.node[0].output)
    check_against_ort(model, {"x0": inputs[0]}, tolerance=2e-5)


def old(op: str, opset: int, inputs: Sequence[Array | None], **attributes: Any) -> list[Any]:
    """What the imported graph gives for a node of an opset that onnxruntime does not run."""
    model = single_op(op, inputs, opset=opset, **attributes)
    graph = import_model(model).graph
    first = inputs[0]
    assert first is not None
    return run_graph(graph, {"x0": first})


@pytest.mark.parametrize("opset", [1, 6])
def test_broadcast_along_an_axis(opset: int) -> None:
    per_channel = random(3)
    middle = random(3, 4)
    compare(old("Add", opset, [X, per_channel], axis=1, broadcast=1), [X + per_channel[:, None, None]])
    compare(old("Mul", opset, [X, middle], axis=1, broadcast=1), [X * middle[:, :, None]])
    compare(old("Sub", opset, [X, middle], axis=-3, broadcast=1), [X - middle[:, :, None]])
    compare(old("Div", opset, [X, np.float32(2)], broadcast=1), [X / 2])
    compare(old("Sub", opset, [X, random(4, 5)], broadcast=1), [X - random(4, 5)])
    compare(old("Sub", opset, [X, X * 2]), [-X])


def test_broadcast_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(InvalidModelError, match="axis 3"):
        old("Add", 6, [X, random(4, 5)], axis=3, broadcast=1)


def test_comparisons_along_an_axis() -> None:
    per_channel = random(3)
    compare(old("Greater", 1, [X, per_channel], axis=1, broadcast=1), [per_channel[:, None, None] < X])
    compare(
        old("Pow", 1, [np.abs(X), np.abs(per_channel)], axis=1, broadcast=1),
        [np.abs(X) ** np.abs(per_channel)[:, None, None]],
    )


def test_slope_per_channel() -> None:
    slope = random(3)
    compare(old("PRelu", 6, [X, slope]), [np.where(X < 0, X * slope[:, None, None], X)])
    compare(old("PRelu", 1, [X, slope[:1]], consumed_inputs=[0]), [np.where(X < 0, X * slope[0], X)])


def test_first_versions_of_common_ops() -> None:
    compare(old("Relu", 1, [X], consumed_inputs=[0]), [np.maximum(X, 0)])
    compare(old("Clip", 1, [X], min=-0.5, consumed_inputs=[0, 0]), [np.maximum(X, -0.5)])
    compare(old("Reshape", 1, [X], shape=[0, -1]), [X.reshape(2, -1)])
    compare(old("Cast", 1, [X * 3], to="INT32", dtype=TensorProto.INT32), [(X * 3).astype(np.int32)])
    compare(old("Concat", 1, [X, X]), [np.concatenate([X, X], 1)])
    compare(old("Tile", 1, [ROWS, np.float32(3), np.float32(1)]), [np.tile(ROWS, (1, 3))])
    compare(
        old("Pad", 1, [ROWS], paddings=[1, 0, 0, 2], value=4.0), [np.pad(ROWS, ((1, 0), (0, 2)), constant_values=4)]
    )
    compare(old("Dropout", 6, [X]), [X])
    compare(old("Dropout", 1, [X], consumed_inputs=[0], ratio=0.5), [X])
    compare(old("Upsample", 1, [IMAGE], height_scale=2.0, width_scale=3.0), [IMAGE.repeat(2, 2).repeat(3, 3)])
    compare(old("Selu", 1, [X]), [1.0507 * np.where(X > 0, X, 1.6732 * (np.exp(X) - 1))], tolerance=1e-5)
    compare(
        old("Gemm", 1, [random(3, 4), random(4, 5), random(5)], broadcast=1), [random(3, 4) @ random(4, 5) + random(5)]
    )
    # The reference evaluator has no GlobalLpPool.
    assert import_model(single_op("GlobalLpPool", [X], opset=1, p=3.0)).graph.nodes[0].attr("p") == 3


def test_scale_per_group() -> None:
    """Compared through the saved model: what the node became must also run elsewhere."""
    inputs = [random(2, 6, 5), random(3, seed=1), random(3, seed=2)]
    rows = inputs[0].reshape(2, 3, 10)
    normal = (rows - rows.mean(2, keepdims=True)) / np.sqrt(rows.var(2, keepdims=True) + 1e-5)
    expected = (normal * inputs[1][:, None] + inputs[2][:, None]).reshape(2, 6, 5)
    graph = import_model(single_op("GroupNormalization", inputs, opset=18, num_groups=3)).graph
    compare(run_ort(to_model_proto(graph), {"x0": inputs[0]}), [expected], tolerance=1e-5)


def test_split_with_sizes_as_input() -> None:
    sizes = np.array([2.0, 5.0, 1.0], np.float32)
    compare(old("Split", 1, [ROWS, sizes], outputs=3, axis=1), np.split(ROWS, [2, 7], 1))
    compare(old("Split", 1, [ROWS], outputs=2, split=[2, 4]), np.split(ROWS, [2]))


def test_statistics_per_element() -> None:
    shape = X.shape[1:]
    scale, bias, mean, var = (
        random(*shape),
        random(*shape, seed=1),
        random(*shape, seed=2),
        np.abs(random(*shape, seed=3)),
    )
    expected = (X - mean) / np.sqrt(var + 1e-5) * scale + bias
    compare(old("BatchNormalization", 7, [X, scale, bias, mean, var], spatial=0), [expected], tolerance=1e-4)


def test_batch_normalisation_of_the_first_opsets_is_inference() -> None:
    scale, bias, mean, var = random(3), random(3, seed=1), random(3, seed=2), np.abs(random(3, seed=3))
    column = (slice(None), None, None)
    expected = (X - mean[column]) / np.sqrt(var[column] + 1e-5) * scale[column] + bias[column]
    inputs = [X, scale, bias, mean, var]
    compare(old("BatchNormalization", 6, inputs, is_test=1), [expected], tolerance=1e-4)
    compare(
        old("BatchNormalization", 1, inputs, is_test=1, consumed_inputs=[0, 0, 0, 1, 1]), [expected], tolerance=1e-4
    )


def test_saved_statistics_are_refused() -> None:
    inputs = [X, *(np.abs(random(3, seed=s)) for s in range(1, 5))]
    with pytest.raises(UnsupportedError, match="saved_mean"):
        import_model(single_op("BatchNormalization", inputs, opset=9, outputs=5))


def test_softmax_of_unknown_rank_keeps_its_meaning() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("Softmax", ["r"], ["y"], axis=1),
    ]
    inputs = [tensor_info("x", [24]), tensor_info("shape", ["rank"], TensorProto.INT64)]
    model = model_of(nodes, inputs, ["y"], opset=11, ir_version=6)
    x = random(24)
    check_against_ort(model, {"x": x, "shape": np.array([2, 3, 4])})
    check_against_ort(model, {"x": x, "shape": np.array([6, 4])})


def test_label_encoder_of_the_first_version() -> None:
    classes = ["cat", "dog", "bird"]

    def encoder(dtype: int, out: int) -> onnx.ModelProto:
        node = helper.make_node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", classes_strings=classes)
        return model_of([node], [tensor_info("x", [4], dtype)], [tensor_info("y", [4], out)], opset=9, ir_version=6,
                        domains={"ai.onnx.ml": 1})  # fmt: skip

    words = np.array(["dog", "fish", "cat", "bird"], object)
    by_name = import_model(encoder(TensorProto.STRING, TensorProto.INT64)).graph
    assert list(run_graph(by_name, {"x": words})[0]) == [1, -1, 0, 2]
    by_place = import_model(encoder(TensorProto.INT64, TensorProto.STRING)).graph
    assert list(run_graph(by_place, {"x": np.array([2, 7, 0, 1])})[0]) == ["bird", "_Unused", "cat", "dog"]


def test_the_default_of_the_version_a_model_names_is_taken() -> None:
    """Softmax's axis was 1 by default until opset 12 and is -1 since: the old one is a flattened matrix."""
    flat = import_model(single_op("Softmax", [X], opset=12)).graph
    last = import_model(single_op("Softmax", [X], opset=13)).graph
    assert [n.op for n in flat.nodes] == ["Flatten", "Softmax", "Shape", "Reshape"]
    assert [n.op for n in last.nodes] == ["Softmax"] and last.nodes[0].attr("axis") == -1


def test_ops_are_refused_where_they_cannot_be_upgraded() -> None:
    with pytest.raises(UnsupportedError, match="rank of 'x1'"):
        nodes = [
            helper.make_node("Reshape", ["b", "s"], ["x1"]),
            helper.make_node("Add", ["x0", "x1"], ["y"], axis=1, broadcast=1),
        ]
        infos = [tensor_info("x0", X.shape), tensor_info("b", [3]), tensor_info("s", ["n"], TensorProto.INT64)]
        import_model(model_of(nodes, infos, ["y"], opset=6, ir_version=3))


@pytest.mark.parametrize("scales", [(1, 1, 0.6, 0.6), (1, 1, 2, 0.6), (1, 1, 1.7, 2.3), (1, 1, 1, 1)])
def test_resize_of_opset_10_by_scales_of_a_run(scales: tuple[float, ...]) -> None:
    """Which axes shrink is not known at load: they take the next element, the others the one before."""
    node = helper.make_node("Resize", ["x", "scales"], ["y"])
    infos = [tensor_info("x", ["n", "c", "h", "w"]), tensor_info("scales", [4])]
    model = model_of([node], infos, ["y"], opset=10, ir_version=5)
    feeds = {
        "x": np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7),
        "scales": np.array(scales, np.float32),
    }
    (want,) = run_ort(model, feeds)
    for optimize in (True, False):
        np.testing.assert_array_equal(arenaut.load_onnx(model, optimize=optimize).run(feeds)["y"], want)
