"""Tables of tree ensembles: any numbering of trees and nodes, and lists that form no trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.ir.errors import ModelError, RuleError
from arenaut.ir.numbers import Numbers
from arenaut.ir.ops.support import tree_table


def forest(trees: int, depth: int, seed: int, shuffled: bool = False) -> dict[str, Any]:
    """Complete trees; shuffled: the same ones, their nodes with other numbers and in random order."""
    rng, other = np.random.default_rng(seed), np.random.default_rng(seed + 100)
    count = 2 ** (depth + 1) - 1
    rows: list[dict[str, Any]] = []
    for tree in rng.permutation(trees) * 7 - 3:
        numbers = other.permutation(count) * -(10**9) if shuffled else np.arange(count)
        for k in range(count):
            leaf = k >= 2**depth - 1
            yes, no = (numbers[0], numbers[0]) if leaf else (numbers[2 * k + 1], numbers[2 * k + 2])
            rows.append({"treeids": tree, "nodeids": numbers[k], "truenodeids": yes, "falsenodeids": no,
                         "modes": "LEAF" if leaf else rng.choice(["BRANCH_LEQ", "BRANCH_GT"]),
                         "featureids": rng.integers(4), "values": float(rng.random()),
                         "missing_value_tracks_true": int(rng.integers(2))})  # fmt: skip
    leaves = [r for r in rows if r["modes"] == "LEAF"]
    weights = rng.random(len(leaves)).astype(np.float32)
    if shuffled:
        other.shuffle(rows)
    columns = {f"nodes_{name}": [r[name] for r in rows] for name in rows[0]}
    return columns | {
        "target_treeids": [r["treeids"] for r in leaves], "target_nodeids": [r["nodeids"] for r in leaves],
        "target_ids": [int(i % 2) for i in range(len(leaves))],
        "target_weights": [float(w) for w in weights], "n_targets": 2,
    }  # fmt: skip


def model_of(attributes: dict[str, Any]) -> bytes:
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", w]) for n, w in (("x", 4), ("y", 2)))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(
        helper.make_graph([node], "g", [x], [y]), opset_imports=imports, ir_version=8
    ).SerializeToString()


@pytest.mark.parametrize("seed", range(3))
def test_any_numbering_gives_what_onnxruntime_gives(seed: int) -> None:
    data = model_of(forest(5, 6, seed))
    x = np.random.default_rng(seed).random((40, 4)).astype(np.float32)
    x[::7, 1] = np.nan
    x[8:24] = x[8]  # rows that take one way together
    model = arenaut.load_onnx(data)
    assert isinstance(arenaut.load_onnx(data, optimize=False).graph.nodes[0].attributes["nodes_values"], Numbers)
    far = arenaut.load_onnx(model_of(forest(5, 6, seed, shuffled=True)))  # onnxruntime takes no such numbers
    np.testing.assert_allclose(far.run(x)["y"], model.run(x)["y"], rtol=1e-6)  # its trees come in another order
    np.testing.assert_allclose(model.run(x)["y"], ort.InferenceSession(data).run(None, {"x": x})[0], rtol=1e-6)


def changed(name: str, index: int, value: Any) -> dict[str, Any]:
    attributes = forest(1, 2, 0)
    attributes[name] = list(attributes[name])
    attributes[name][index] = value
    return attributes


def first_branch() -> int:
    return next(i for i, m in enumerate(forest(1, 2, 0)["nodes_modes"]) if m != "LEAF")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nodes_modes", "BRANCH_SOMEHOW", "nodes of mode BRANCH_SOMEHOW"),
        ("nodes_truenodeids", 10**12, "node 1000000000000 of tree -3 is missing"),
        ("nodes_featureids", -1, "feature -1"),
        ("nodes_featureids", 2**31, "feature 2147483648"),
    ],
)
def test_lists_that_form_no_trees(name: str, value: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        arenaut.load_onnx(model_of(changed(name, first_branch(), value)))


def test_two_parents_doubles_circles_and_lengths() -> None:
    attributes = forest(1, 2, 0)
    i = first_branch()
    twice = changed("nodes_truenodeids", i, attributes["nodes_falsenodeids"][i])
    listed_twice = changed("nodes_nodeids", 0, attributes["nodes_nodeids"][1])
    short = {**attributes, "nodes_values": attributes["nodes_values"][:-1]}
    circle = forest(1, 1, 0)
    own = next(k for k, m in enumerate(circle["nodes_modes"]) if m != "LEAF")
    circle["nodes_truenodeids"][own] = circle["nodes_nodeids"][own]
    for wrong, message in (
        (twice, "two parents"), (listed_twice, "listed twice"), (short, "different lengths"), (circle, "no root leads"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=message):
            arenaut.load_onnx(model_of(wrong))


def test_numbers_are_the_tuple_of_their_array() -> None:
    array = np.arange(1000)
    numbers = Numbers(array)
    assert numbers == tuple(range(1000)) and numbers == Numbers(array.copy()) and numbers != Numbers(array[1:])
    assert hash(numbers) == hash(Numbers(array.copy())) and numbers[3] == 3 and numbers[:2] == (0, 1) and 7 in numbers
    assert np.asarray(numbers).base is not None and not np.asarray(numbers).flags.writeable
    assert np.asarray(numbers, np.float32).dtype == np.float32 and isinstance(numbers[0], int)


@pytest.mark.parametrize("scale", [1, 1 << 40])
def test_nodes_have_any_numbers(scale: int) -> None:
    """Close numbers are looked up in a table, far ones by search; what is asked for may lie outside of both."""
    rng = np.random.default_rng(3)
    trees, ids = np.repeat(np.arange(5), 7) * scale - 3, np.tile(rng.permutation(7), 5) * scale + 1
    names = tree_table._names_of(trees, ids)
    assert isinstance(names, tree_table._DenseNames) is (scale == 1)
    order = rng.permutation(35)
    assert names.find(trees[order], ids[order]).tolist() == order.tolist()
    far = np.array([-(1 << 63), -4, 5 * scale - 3, (1 << 63) - 1])
    assert names.find(far, np.full(4, ids[0])).tolist() == [-1] * 4
    far[1:3] = 0, 8 * scale
    assert names.find(np.full(4, trees[0]), far).tolist() == [-1] * 4
    with pytest.raises(RuleError, match="twice"):
        tree_table._names_of(np.append(trees, trees[0]), np.append(ids, ids[0]))
