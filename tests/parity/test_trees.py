"""Tree ensembles of few leaves against onnxruntime: base values, targets that no leaf of a row names, two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import arenaut

ort = pytest.importorskip("onnxruntime")

ROWS = np.array([[-1.0], [1.0]], np.float32)
TWO = [(ids, base) for ids in ((0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 1), (0, 0, 1, 1))
       for base in (None, (0.5,), (1.5, -0.75))]  # fmt: skip
THREE = [((0, 1, 2, 1), base) for base in (None, (10.0, 20.0, 30.0))]
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")


def two_stumps(op: str, stem: str, ids: Sequence[int], weights: Sequence[float], **attributes: Any) -> onnx.ModelProto:
    """Two trees of two leaves; each leaf has one weight, for the target or class in ids."""
    node = helper.make_node(
        op,
        ["x"],
        ["label", "y"] if op == "TreeEnsembleClassifier" else ["y"],
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0, 1, 1, 1],
        nodes_nodeids=[0, 1, 2] * 2,
        nodes_featureids=[0] * 6,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
        nodes_values=[0.0] * 6,
        nodes_truenodeids=[1, 0, 0] * 2,
        nodes_falsenodeids=[2, 0, 0] * 2,
        nodes_missing_value_tracks_true=[0] * 6,
        nodes_hitrates=[1.0] * 6,
        **{
            f"{stem}_treeids": [0, 0, 1, 1],
            f"{stem}_nodeids": [1, 2, 1, 2],
            f"{stem}_ids": ids,
            f"{stem}_weights": weights,
        },
        **{k: v for k, v in attributes.items() if v is not None},
    )
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph([node], "g", [x], outputs), opset_imports=opsets, ir_version=8)


def by_onnxruntime(model: onnx.ModelProto) -> list[Any]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return list(ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": ROWS}))


@pytest.mark.parametrize("post", TRANSFORMS)
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("targets", [1, 2, 3])
def test_targets_that_no_leaf_names(targets: int, aggregate: str, post: str) -> None:
    second = min(1, targets - 1)
    model = two_stumps(
        "TreeEnsembleRegressor",
        "target",
        [0, second, 0, second],
        [1.0, 2.0, -3.0, 4.0],
        n_targets=targets,
        aggregate_function=aggregate,
        post_transform=post,
        base_values=(10.0, 20.0, 30.0)[:targets],
    )
    (got,), (want,) = arenaut.load_onnx(model).run({"x": ROWS}).values(), by_onnxruntime(model)
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("post", TRANSFORMS)
@pytest.mark.parametrize("weights", [(1.0, 2.0, -3.0, 4.0), (0.1, 0.2, 0.3, 0.4)])
@pytest.mark.parametrize(("ids", "base"), [*TWO, *THREE])
@pytest.mark.parametrize("key", ["int64s", "strings"])
def test_labels_and_scores(
    key: str, ids: tuple[int, ...], base: tuple[float, ...] | None, weights: tuple[float, ...], post: str
) -> None:
    classes = 3 if 2 in ids else 2
    labels = list(range(10, 10 + classes)) if key == "int64s" else [f"class {i}" for i in range(classes)]
    attributes = {f"classlabels_{key}": labels, "base_values": base, "post_transform": post}
    model = two_stumps("TreeEnsembleClassifier", "class", ids, weights, **attributes)
    label, scores = by_onnxruntime(model)
    if ids == (0, 1, 0, 1) and base is not None and len(base) == 1:
        scores[0, 1] = 0  # the first row has no second score: onnxruntime leaves it unwritten
    got = list(arenaut.load_onnx(model).run({"x": ROWS}).values())
    assert got[0].tolist() == list(label)
    np.testing.assert_allclose(got[1], scores, rtol=2e-6, atol=1e-7)


def test_votes_that_are_level_fall_as_in_onnxruntime() -> None:
    """Ten of twenty trees vote 0.05 for a class: what they sum up to in float32 decides the label."""
    trees, labels = range(20), ["ham", "spam"]
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "y"],
        domain="ai.onnx.ml",
        nodes_treeids=[t for t in trees for _ in range(3)],
        nodes_nodeids=[0, 1, 2] * 20,
        nodes_featureids=[0] * 60,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 20,
        nodes_values=[float(t % 3) - 0.5 for t in trees for _ in range(3)],
        nodes_truenodeids=[1, 0, 0] * 20,
        nodes_falsenodeids=[2, 0, 0] * 20,
        class_treeids=[t for t in trees for _ in range(2)],
        class_nodeids=[1, 2] * 20,
        class_ids=[0] * 40,
        class_weights=[w for t in trees for w in ((0.05, 0.0) if t % 2 else (0.0, 0.05))],
        classlabels_strings=labels,
        post_transform="NONE",
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph([node], "g", [x], outputs), opset_imports=opsets, ir_version=8)
    got, want = list(arenaut.load_onnx(model).run({"x": ROWS}).values()), by_onnxruntime(model)
    assert 0.5 < want[1][0, 1] < 0.500001
    assert got[0].tolist() == list(want[0]) == ["spam", "spam"]
    np.testing.assert_array_equal(got[1], want[1])
