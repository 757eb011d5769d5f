"""Recipes of models that learn without layers, as scikit-learn's and LightGBM's exporters write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

SPLIT_BELOW: Final = 4
"""Trees are full down to this depth; below, a node is a leaf in one of four cases."""


def forest(trees: int, depth: int, features: int, classes: int) -> onnx.ModelProto:
    """A random forest: x [rows, features] -> (label [rows], probabilities [rows, classes]). Every leaf votes for all
    classes, as scikit-learn's do."""
    from onnx import TensorProto, helper

    draw = np.random.default_rng(1)
    nodes = _nodes(draw, trees, depth, features, "LEQ")
    votes: dict[str, list[Any]] = {f"class_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree, leaf in _leaves(nodes):
        shares = draw.dirichlet(np.full(classes, 0.3)) / trees
        for each, share in enumerate(shares):
            _append(votes, (tree, leaf, each, float(np.float32(share))))
    node = helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "probabilities"], domain="ai.onnx.ml",
        classlabels_int64s=list(range(classes)), post_transform="NONE", **nodes, **votes,
    )  # fmt: skip
    made = {"label": (TensorProto.INT64, ["rows"]), "probabilities": (TensorProto.FLOAT, ["rows", classes])}
    return _model(node, features, made)


def boosted(trees: int, depth: int, features: int) -> onnx.ModelProto:
    """Boosted trees, as LightGBM grows them: x [rows, features] -> y [rows, 1], the sum over the trees."""
    from onnx import TensorProto, helper

    draw = np.random.default_rng(2)
    nodes = _nodes(draw, trees, depth, features, "LEQ")
    leaves: dict[str, list[Any]] = {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree, leaf in _leaves(nodes):
        _append(leaves, (tree, leaf, 0, float(np.float32(draw.normal(0, 0.1)))))
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, post_transform="NONE",
        **nodes, **leaves,
    )  # fmt: skip
    return _model(node, features, {"y": (TensorProto.FLOAT, ["rows", 1])})


def logistic(features: int, classes: int) -> onnx.ModelProto:
    """A logistic regression: x [rows, features] -> (label [rows], probabilities [rows, classes])."""
    from onnx import TensorProto, helper

    draw = np.random.default_rng(3)
    node = helper.make_node(
        "LinearClassifier", ["x"], ["label", "probabilities"], domain="ai.onnx.ml",
        classlabels_ints=list(range(classes)), coefficients=draw.normal(0, 1, classes * features).tolist(),
        intercepts=draw.normal(0, 1, classes).tolist(), multi_class=1, post_transform="SOFTMAX",
    )  # fmt: skip
    made = {"label": (TensorProto.INT64, ["rows"]), "probabilities": (TensorProto.FLOAT, ["rows", classes])}
    return _model(node, features, made)


def _nodes(draw: np.random.Generator, trees: int, depth: int, features: int, mode: str) -> dict[str, list[Any]]:
    """The nodes of uneven trees, each tree's in the order of a walk that goes left first."""
    names = ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids", "values")
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in names}

    def grow(tree: int, first: int, level: int) -> int:
        """Appends what hangs below node `first`; the number of the next free node."""
        place = len(nodes["nodes_treeids"])
        if level == depth or (level >= SPLIT_BELOW and draw.random() < 0.25):
            _append(nodes, (tree, first, 0, "LEAF", 0, 0, 0.0))
            return first + 1
        _append(
            nodes,
            (
                tree,
                first,
                int(draw.integers(features)),
                f"BRANCH_{mode}",
                first + 1,
                0,
                float(np.float32(draw.normal(0, 0.7))),
            ),
        )
        second = grow(tree, first + 1, level + 1)
        nodes["nodes_falsenodeids"][place] = second
        return grow(tree, second, level + 1)

    for tree in range(trees):
        grow(tree, 0, 0)
    return nodes


def _leaves(nodes: Mapping[str, list[Any]]) -> list[tuple[int, int]]:
    """Tree and node of every leaf."""
    columns = zip(nodes["nodes_treeids"], nodes["nodes_nodeids"], nodes["nodes_modes"], strict=True)
    return [(tree, node) for tree, node, mode in columns if mode == "LEAF"]


def _append(columns: Mapping[str, list[Any]], row: tuple[Any, ...]) -> None:
    for column, value in zip(columns.values(), row, strict=True):
        column.append(value)


def _model(node: onnx.NodeProto, features: int, made: Mapping[str, tuple[int, list[Any]]]) -> onnx.ModelProto:
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", features])
    outputs = [helper.make_tensor_value_info(name, *kind) for name, kind in made.items()]
    return helper.make_model(
        helper.make_graph([node], node.op_type, [given], outputs), ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )  # fmt: skip


CLASSICAL: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (forest, boosted, logistic)
}
