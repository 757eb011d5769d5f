"""Models that are refused, and that the message names node, op, opset and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from arenaut.frontend import import_model
from arenaut.ir.errors import InvalidModelError, ShapeError, UnsupportedError
from tests.support.importing import model_of, random, tensor_info


def refused(error: type[Exception], model: onnx.ModelProto, *parts: str) -> str:
    """Imports, expects that error, and checks that its text holds every part."""
    with pytest.raises(error) as caught:
        import_model(model)
    text = str(caught.value)
    for part in parts:
        assert part in text
    return text


def simple(*nodes: onnx.NodeProto, opset: int = 21, domains: dict[str, int] | None = None) -> onnx.ModelProto:
    return model_of(nodes, [tensor_info("x", [2, 3])], ["y"], opset=opset, domains=domains)


def test_all_unsupported_ops_are_listed_at_once() -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], name="m1"),
        helper.make_node("Mystery", ["a"], ["b"], name="m2"),
        helper.make_node("Custom", ["b"], ["c"], domain="my.ops"),
        helper.make_node("Mish", ["c"], ["d"]),
        helper.make_node("Scaler", ["d"], ["y"], domain="ai.onnx.ml"),
        *(helper.make_node("Lots", ["y"], [f"z{i}"], domain="my.ops") for i in range(9)),
    ]
    text = refused(
        UnsupportedError, simple(*nodes, opset=17, domains={"my.ops": 3}), "5 ops of the model cannot be run"
    )
    lines = text.splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "Mish (domain ai.onnx, opset 17), 1 node ('d')",
        "Mystery (domain ai.onnx, opset 17), 2 nodes ('m1', 'm2')",
        "Scaler (domain ai.onnx.ml, opset not stated), 1 node ('y')",
        "Custom (domain my.ops, opset 3), 1 node ('c')",
        "Lots (domain my.ops, opset 3), 9 nodes ('z0', 'z1', 'z2', 'z3', 'z4' and 4 more)",
    ]
    assert "newer than the opset" in lines[0] and "no op of that name" in lines[1]
    assert "opset_import" in lines[2] and "model-local function" in lines[3]


def test_unsupported_ops_inside_bodies_and_functions_are_listed_too() -> None:
    body = helper.make_graph([helper.make_node("Hidden", ["x"], ["o"])], "then", [], [tensor_info("o")])
    fn = helper.make_function("local", "F", ["a"], ["b"], [helper.make_node("Deep", ["a"], ["b"])],
                              [helper.make_opsetid("", 21)])  # fmt: skip
    nodes = [
        helper.make_node("If", ["c"], ["h"], then_branch=body, else_branch=body),
        helper.make_node("F", ["h"], ["y"], domain="local"),
    ]
    model = model_of(nodes, [tensor_info("x", [2]), tensor_info("c", [], TensorProto.BOOL)], ["y"], functions=[fn],
                     domains={"local": 1})  # fmt: skip
    refused(UnsupportedError, model, "Hidden", "Deep")


def test_unused_functions_may_hold_anything() -> None:
    fn = helper.make_function("local", "F", ["a"], ["b"], [helper.make_node("Deep", ["a"], ["b"])],
                              [helper.make_opsetid("", 21)])  # fmt: skip
    model = simple(helper.make_node("Abs", ["x"], ["y"]))
    model.functions.append(fn)
    assert len(import_model(model).graph.nodes) == 1


def test_an_opset_from_the_future() -> None:
    refused(UnsupportedError, simple(helper.make_node("Abs", ["x"], ["y"]), opset=999), "ai.onnx 999", "Update arenaut")


def test_no_opset_at_all() -> None:
    model = simple(helper.make_node("Abs", ["x"], ["y"]))
    del model.opset_import[:]
    refused(InvalidModelError, model, "states no opset version")


def test_two_versions_of_one_domain() -> None:
    model = simple(helper.make_node("Abs", ["x"], ["y"]))
    model.opset_import.append(helper.make_opsetid("ai.onnx", 9))
    refused(InvalidModelError, model, "in two versions")


def test_cycles_are_named() -> None:
    nodes = [
        helper.make_node("Abs", ["x"], ["a"], name="start"),
        helper.make_node("Add", ["a", "c"], ["b"], name="one"),
        helper.make_node("Neg", ["b"], ["c"], name="two"),
        helper.make_node("Abs", ["c"], ["y"]),
    ]
    text = refused(InvalidModelError, simple(*nodes), "has a cycle", "node 'one' (Add)", "node 'two' (Neg)", "Loop")
    assert "start" not in text


@pytest.mark.parametrize(
    ("nodes", "part"),
    [
        ([helper.make_node("Abs", ["x"], ["y"], name="p"), helper.make_node("Neg", ["x"], ["y"], name="q")],
         "'y' is made by node 'q' (Neg) and also by node 'p' (Abs)"),
        ([helper.make_node("Abs", ["x"], ["x"])], "also by an input or initialiser"),
        ([helper.make_node("Split", ["x"], ["y", "y"], num_outputs=2)], "'y' is made by"),
        ([helper.make_node("Add", ["x", "nowhere"], ["y"], name="n")], "node 'n' (Add) reads 'nowhere'"),
        ([helper.make_node("Abs", ["x"], ["z"])], "lists the output 'y', which nothing makes"),
        ([helper.make_node("Abs", ["x", "x"], ["y"])], "it has 2 inputs, expected 1"),
        ([helper.make_node("Abs", [], ["y"])], "it has 0 inputs, expected 1"),
        ([helper.make_node("Concat", [], ["y"], axis=0)], "expected at least 1"),
        ([helper.make_node("Abs", ["x"], ["y", "z"])], "it has 2 outputs, expected 1"),
        ([helper.make_node("Add", ["x", ""], ["y"])], "reads"),
        ([helper.make_node("Concat", ["x", "x"], ["y"])], "attribute 'axis' is required but absent"),
        ([helper.make_node("Abs", ["x"], ["y"], alpha=1.0)], "no attribute 'alpha' in this opset; known are none"),
        ([helper.make_node("Softmax", ["x"], ["y"], axis="last")], "attribute 'axis' has attribute type 3, expected 2"),
        ([helper.make_node("Constant", [], ["y"])], "needs exactly one of value"),
        ([helper.make_node("Constant", [], ["y"], value_int=1, value_float=2.0)], "it has value_float, value_int"),
    ],
    ids=range(15),
)  # fmt: skip
def test_malformed_graphs(nodes: Sequence[onnx.NodeProto], part: str) -> None:
    if part == "reads":
        part = "input 1 ('B') is required but empty"
    refused(InvalidModelError, simple(*nodes), part)


def test_duplicate_inputs_and_initialisers() -> None:
    abs_x = helper.make_node("Abs", ["x"], ["y"])
    refused(InvalidModelError, model_of([abs_x], [tensor_info("x", [1]), tensor_info("x", [2])], ["y"]),
            "more than one input named x")  # fmt: skip
    model = model_of([abs_x], [tensor_info("x", [1])], ["y"], {"w": random(2)})
    model.graph.initializer.append(model.graph.initializer[0])
    refused(InvalidModelError, model, "two initialisers named 'w'")


def test_two_attributes_of_one_name() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    node.attribute.append(helper.make_attribute("axis", 0))
    refused(InvalidModelError, simple(node), "two attributes named 'axis'")


def test_contradicting_shapes_and_types() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    model = model_of(nodes, [tensor_info("x", [2, 3])], ["y"], {"w": random(4, 5)})
    refused(ShapeError, model, "product", "3", "4")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], name="sum")]
    refused(ShapeError, model_of(nodes, [tensor_info("x", [2, 3])], ["y"], {"w": np.ones(4, np.float32)}), "sum")


def test_inputs_need_a_type() -> None:
    model = simple(helper.make_node("Abs", ["x"], ["y"]))
    model.graph.input[0].ClearField("type")
    refused(InvalidModelError, model, "input 'x' has no declared type")


def test_sparse_tensors_as_values_are_not_run() -> None:
    sparse = onnx.TypeProto()
    sparse.sparse_tensor_type.elem_type = TensorProto.FLOAT
    model = simple(helper.make_node("Abs", ["x"], ["y"]))
    model.graph.input.append(helper.make_value_info("s", sparse))
    refused(UnsupportedError, model, "'s' is declared as a sparse tensor type")
