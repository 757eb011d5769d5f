from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import arenaut
from arenaut.errors import ExecutionError
from arenaut.ir import DType, MapType, SequenceType, TensorType
from arenaut.ir.evaluate import evaluate_node
from tests.ir.test_fallback import node
from tests.support.models import ort_outputs

STRING_MAP = MapType(DType.INT64, TensorType(DType.STRING, ()))
FLOAT_MAP = MapType(DType.INT64, TensorType(DType.FLOAT, ()))


def by_onnxruntime(op: str, x: np.ndarray, attributes: dict[str, Any]) -> Any:
    helper = onnx.helper
    proto = helper.make_node(op, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    kind = onnx.TensorProto.STRING if x.dtype == object else helper.np_dtype_to_tensor_dtype(x.dtype)
    info = helper.make_tensor_value_info("x", kind, x.shape)
    graph = helper.make_graph([proto], "g", [info], [onnx.ValueInfoProto(name="y")])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("labels", [{"classlabels_int64s": [4, 7]}, {"classlabels_strings": ["a", "b"]}])
@pytest.mark.parametrize("shape", [(3, 2), (2,)])
def test_zip_map(labels: dict[str, Any], shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    made = node("ZipMap", [TensorType(DType.FLOAT, shape)], labels, domain="ai.onnx.ml")
    assert isinstance(made.output.type, SequenceType)
    assert evaluate_node(made, [x])[0] == by_onnxruntime("ZipMap", x, labels)


@pytest.mark.parametrize("x", [np.array([["b", "?"], ["a", "a"]], object), np.array([7, 5, 3])])
def test_category_mapper(x: np.ndarray) -> None:
    attributes = {"cats_strings": ["a", "b"], "cats_int64s": [3, 5], "default_int64": -9, "default_string": "none"}
    kind = DType.STRING if x.dtype == object else DType.INT64
    made = node("CategoryMapper", [TensorType(kind, x.shape)], attributes, domain="ai.onnx.ml")
    (out,) = evaluate_node(made, [x])
    assert out.tolist() == by_onnxruntime("CategoryMapper", x, attributes).tolist()
    assert made.output.type == TensorType(DType.INT64 if kind is DType.STRING else DType.STRING, x.shape)


@pytest.mark.parametrize(
    ("items", "kind", "attributes", "expected"),
    [
        ({3: 0.5, 1: 2.0}, FLOAT_MAP, {}, np.array([[2.0, 0.5]], np.float32)),
        ({3: "8", 1: "2"}, STRING_MAP, {"cast_to": "TO_INT64"}, np.array([[2, 8]])),
        ({2: 1.0}, FLOAT_MAP, {"map_form": "SPARSE", "max_map": 4}, np.array([[0, 0, 1, 0]], np.float32)),
        ({0: "x"}, STRING_MAP, {"cast_to": "TO_STRING"}, np.array([["x"]], object)),
    ],
)
def test_cast_map(items: Any, kind: Any, attributes: dict[str, Any], expected: np.ndarray) -> None:
    made = node("CastMap", [kind], attributes, domain="ai.onnx.ml")
    (out,) = evaluate_node(made, [items])
    assert out.dtype == expected.dtype and out.tolist() == expected.tolist()
    assert made.output.dtype.numpy == expected.dtype


def test_a_key_outside_a_sparse_map_is_refused() -> None:
    made = node("CastMap", [FLOAT_MAP], {"map_form": "SPARSE", "max_map": 2}, domain="ai.onnx.ml")
    with pytest.raises(ExecutionError, match="key 5"):
        evaluate_node(made, [{5: 1.0}])


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_probabilities_of_support_vector_classifiers_are_those_of_onnxruntime(classes: int) -> None:
    """To the digits to which onnxruntime equals scikit-learn, for rows that take from few to many iterations."""
    rng = np.random.default_rng(classes)
    vectors, pairs = 4 * classes, classes * (classes - 1) // 2
    attributes: dict[str, Any] = {
        "kernel_type": "RBF", "kernel_params": [0.1, 0.0, 3.0], "classlabels_ints": list(range(classes)),
        "vectors_per_class": [4] * classes, "support_vectors": rng.normal(size=vectors * 6).tolist(),
        "coefficients": rng.normal(size=vectors * (classes - 1)).tolist(), "rho": rng.normal(size=pairs).tolist(),
        "prob_a": (-2 - rng.random(pairs)).tolist(), "prob_b": rng.normal(size=pairs).tolist(),
    }  # fmt: skip
    x = rng.normal(scale=2, size=(300, 6)).astype(np.float32)
    proto = onnx.helper.make_node("SVMClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", **attributes)
    infos = [onnx.helper.make_tensor_value_info("x", 1, x.shape)], [onnx.ValueInfoProto(name=n) for n in proto.output]
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    model = onnx.helper.make_model(onnx.helper.make_graph([proto], "g", *infos), opset_imports=opsets, ir_version=10)
    want = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    got = arenaut.load_onnx(model).run({"x": x})
    np.testing.assert_array_equal(got["label"], want[0])
    np.testing.assert_allclose(got["p"], want[1], rtol=0, atol=2e-6)


def test_a_class_that_no_leaf_of_a_row_names_is_not_chosen() -> None:
    """All named scores are negative; the first class has none, which is not a zero."""
    forest = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_featureids": [0, 0, 0], "nodes_values": [0.0, 0.0, 0.0], "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0], "nodes_missing_value_tracks_true": [0, 0, 0],
        "class_treeids": [0, 0, 0], "class_nodeids": [1, 1, 2], "class_ids": [1, 2, 1],
        "class_weights": [-2.0, -1.0, -3.0], "classlabels_int64s": [7, 8, 9],
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["y", "z"], domain="ai.onnx.ml", **forest)
    infos = [helper.make_tensor_value_info("x", 1, ["n", 1])]
    outputs = [onnx.ValueInfoProto(name=n) for n in "yz"]
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph([node], "g", infos, outputs), opset_imports=imports, ir_version=10)
    x = np.array([[-1], [1]], np.float32)
    for optimize in (True, False):
        got = arenaut.load_onnx(model, optimize=optimize).run(x=x)
        assert got["y"].tolist() == [9, 8] == ort_outputs(model, {"x": x})[0].tolist()
