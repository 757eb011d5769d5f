"""Types, shapes and values of what ai.onnx.ml models give and take, as onnxruntime reports and returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from arenaut.compat import onnxruntime as compat
from tests.support.importing import tensor_info

ML = "ai.onnx.ml"
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
X = np.random.default_rng(3).standard_normal((5, 3)).astype(np.float32)


def maps(key: int, value: int = FLOAT) -> onnx.ValueInfoProto:
    inner = helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, []))
    return helper.make_value_info("p", helper.make_sequence_type_proto(inner))


def one_map(name: str, key: int, value: int) -> onnx.ValueInfoProto:
    return helper.make_value_info(name, helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, [])))


def model(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "ml", list(inputs), list(outputs))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def ml(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, domain=ML, **attributes)


LINEAR = {"coefficients": [0.5, -1, 2, 1, 0.25, -0.5, -1, 1, 0.1], "intercepts": [0.1, -0.2, 0.3],
          "post_transform": "SOFTMAX"}  # fmt: skip
TREE = {
    "nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [1, 0, 0], "nodes_values": [0.1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
    "class_treeids": [0] * 4, "class_nodeids": [1, 1, 2, 2], "class_ids": [0, 1, 0, 1],
    "class_weights": [0.25, 0.75, 0.5, 0.5],
}  # fmt: skip
x, label = tensor_info("x", ["n", 3]), tensor_info("l", ["n"], INT64)
words, scores = tensor_info("l", ["n"], STRING), tensor_info("p", ["n", 3])

CASES: dict[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    "labels of integers, maps": (
        model([ml("LinearClassifier", ["x"], ["l", "s"], classlabels_ints=[4, 7, 9], **LINEAR),
               ml("ZipMap", ["s"], ["p"], classlabels_int64s=[4, 7, 9])], [x], [label, maps(INT64)]),
        {"x": X},
    ),
    "labels of text, maps": (
        model([ml("LinearClassifier", ["x"], ["l", "s"], classlabels_strings=["a", "b", "ü"], **LINEAR),
               ml("ZipMap", ["s"], ["p"], classlabels_strings=["a", "b", "ü"])], [x], [words, maps(STRING)]),
        {"x": X},
    ),
    "labels of text, a tensor": (
        model([ml("LinearClassifier", ["x"], ["l", "p"], classlabels_strings=["a", "b", "ü"], **LINEAR)], [x],
              [words, scores]),
        {"x": X},
    ),
    "a tree's labels, one row": (
        model([ml("TreeEnsembleClassifier", ["x"], ["l", "s"], classlabels_strings=["no", "yes"], **TREE),
               ml("ZipMap", ["s"], ["p"], classlabels_strings=["no", "yes"])],
              [tensor_info("x", [1, 3])], [tensor_info("l", [1], STRING), maps(STRING)]),
        {"x": X[:1]},
    ),
    "outputs without shapes": (
        model([ml("LinearClassifier", ["x"], ["l", "p"], classlabels_ints=[4, 7, 9], **LINEAR)], [x],
              [tensor_info("l", None, INT64), tensor_info("p", None)]),
        {"x": X},
    ),
    "a regressor": (
        model([ml("LinearRegressor", ["x"], ["p"], coefficients=[1.0, 2, 3], intercepts=[0.5])], [x],
              [tensor_info("p", ["n", 1])]),
        {"x": X},
    ),
    "a scaler and a normaliser": (
        model([ml("Scaler", ["x"], ["s"], offset=[0.5, 0, 1], scale=[2.0, 1, 0.5]),
               ml("Normalizer", ["s"], ["p"], norm="L1")], [x], [scores]),
        {"x": X},
    ),
    "encoders of text": (
        model([ml("LabelEncoder", ["w"], ["l"], keys_strings=["a", "b"], values_int64s=[1, 2], default_int64=-5),
               ml("OneHotEncoder", ["w"], ["p"], cats_strings=["a", "b", "c"])], [tensor_info("w", ["n"], STRING)],
              [label, scores]),
        {"w": np.array(["b", "x", "a"], object)},
    ),
    "a map to a vector": (
        model([ml("DictVectorizer", ["d"], ["p"], string_vocabulary=["a", "b", "c"])], [one_map("d", STRING, FLOAT)],
              [tensor_info("p", [1, 3])]),
        {"d": {"c": 4.0, "a": 1.5, "other": 9.0}},
    ),
    "a map of integers to a vector": (
        model([ml("DictVectorizer", ["d"], ["p"], int64_vocabulary=[3, 5])], [one_map("d", INT64, FLOAT)],
              [tensor_info("p", [1, 2])]),
        {"d": {5: 2.5}},
    ),
    "a map cast": (
        model([ml("CastMap", ["d"], ["p"], cast_to="TO_FLOAT", map_form="DENSE")], [one_map("d", INT64, FLOAT)],
              [tensor_info("p", [1, "n"])]),
        {"d": {2: 1.5, 1: -3.0}},
    ),
}  # fmt: skip


def same(got: Any, want: Any) -> None:
    """Kinds of objects and of numbers too: a label of a map is an int, a probability a float."""
    assert type(got) is type(want)
    if isinstance(want, list):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            same(a, b)
    elif isinstance(want, dict):
        assert list(got) == list(want)
        for key, value in want.items():
            same(got[key], value)
        assert [type(k) for k in got] == [type(k) for k in want]
    elif isinstance(want, np.ndarray):
        assert got.dtype == want.dtype and got.shape == want.shape
        if want.dtype.kind in "fc":
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        else:
            assert got.tolist() == want.tolist()
    else:
        assert got == want or abs(got - want) <= 1e-6


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_as_onnxruntime_has_them(name: str) -> None:
    proto, feeds = CASES[name]
    ours = compat.InferenceSession(proto.SerializeToString())
    peer = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for mine, theirs in ((ours.get_inputs(), peer.get_inputs()), (ours.get_outputs(), peer.get_outputs())):
        assert [(a.name, a.type, a.shape) for a in mine] == [(a.name, a.type, a.shape) for a in theirs]
    for got, want in zip(ours.run(None, feeds), peer.run(None, feeds), strict=True):
        same(got, want)
