"""Model-local functions are inlined: nested, with attributes, absent inputs and opsets of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, helper

from arenaut.frontend import import_model
from arenaut.ir.errors import InvalidModelError, ModelLimitError
from arenaut.ir.limits import Limits, within
from tests.support.importing import check_against_ort, compare, model_of, random, run_graph, tensor_info

X = random(2, 3, 4)


def function(
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    nodes: Sequence[onnx.NodeProto],
    *,
    opset: int = 21,
    attributes: Sequence[str] = (),
    defaults: Sequence[onnx.AttributeProto] = (),
    uses_local: bool = False,
) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("local", 1)] if uses_local else [])
    return helper.make_function("local", name, inputs, outputs, nodes, imports, list(attributes), list(defaults))


def calling(
    nodes: Sequence[onnx.NodeProto], functions: Sequence[onnx.FunctionProto], outputs: Sequence[str] = ("y",)
) -> onnx.ModelProto:
    return model_of(nodes, [tensor_info("x", [2, 3, 4])], list(outputs), functions=functions, domains={"local": 1})


def reference(node: onnx.NodeProto, attribute: str, of: str, kind: int) -> onnx.NodeProto:
    """The node with an attribute that stands for one of the function's."""
    node.attribute.append(AttributeProto(name=attribute, ref_attr_name=of, type=kind))
    return node


def test_a_call_is_replaced_by_the_body() -> None:
    square = function("Square", ["a"], ["b"], [helper.make_node("Mul", ["a", "a"], ["b"])])
    nodes = [helper.make_node("Square", ["x"], ["s"], domain="local"), helper.make_node("Neg", ["s"], ["y"])]
    graph = check_against_ort(calling(nodes, [square]), {"x": X})
    assert [n.op for n in graph.nodes] == ["Mul", "Neg"]
    assert graph.nodes[0].output.name == "s" and graph.nodes[1].output.name == "y"


def test_functions_that_call_functions_and_shadow_names() -> None:
    """The names x, y and t of the model mean other values inside."""
    inner = function(
        "Inner", ["y"], ["x"], [helper.make_node("Exp", ["y"], ["t"]), helper.make_node("Neg", ["t"], ["x"])]
    )
    outer = function(
        "Outer", ["t"], ["y"],
        [helper.make_node("Inner", [a], [b], domain="local") for a, b in (("t", "x"), ("x", "y"))],
        uses_local=True,
    )  # fmt: skip
    nodes = [
        helper.make_node("Abs", ["x"], ["t"]),
        helper.make_node("Outer", ["t"], ["u"], domain="local"),
        helper.make_node("Outer", ["u"], ["v"], domain="local"),
        helper.make_node("Add", ["v", "t"], ["y"]),
    ]
    graph = check_against_ort(calling(nodes, [inner, outer]), {"x": X})
    names = [v.name for v in graph.values()]
    assert len(set(names)) == len(names) == 11


def test_attributes_and_their_defaults() -> None:
    body = [
        reference(helper.make_node("LeakyRelu", ["a"], ["l"]), "alpha", "slope", AttributeProto.FLOAT),
        reference(helper.make_node("Softmax", ["l"], ["b"]), "axis", "axis", AttributeProto.INT),
    ]
    fn = function("Act", ["a"], ["b"], body, attributes=["axis"], defaults=[helper.make_attribute("slope", 0.25)])
    nodes = [
        helper.make_node("Act", ["x"], ["h"], domain="local", axis=1),
        helper.make_node("Act", ["h"], ["y"], domain="local", axis=0, slope=0.75),
    ]
    graph = check_against_ort(calling(nodes, [fn]), {"x": X})
    assert [n.attr("alpha", n.attr("axis")) for n in graph.nodes] == [0.25, 1, 0.75, 0]


def test_attributes_passed_through_two_calls_and_left_out() -> None:
    """An attribute that the call leaves out is absent in the body too, so the op's own default holds."""
    inner = function(
        "Inner", ["a"], ["b"],
        [reference(helper.make_node("LeakyRelu", ["a"], ["b"]), "alpha", "alpha", AttributeProto.FLOAT)],
        attributes=["alpha"],
    )  # fmt: skip
    outer = function(
        "Outer", ["a"], ["b"],
        [reference(helper.make_node("Inner", ["a"], ["b"], domain="local"), "alpha", "slope", AttributeProto.FLOAT)],
        attributes=["slope"], uses_local=True,
    )  # fmt: skip
    nodes = [
        helper.make_node("Outer", ["x"], ["h"], domain="local", slope=0.5),
        helper.make_node("Outer", ["h"], ["y"], domain="local"),
    ]
    graph = import_model(calling(nodes, [inner, outer])).graph
    assert [n.attr("alpha") for n in graph.nodes] == [0.5, pytest.approx(0.01)]


def test_a_function_has_its_own_opset() -> None:
    """Softmax of opset 11 flattens; the model around the call is of opset 21."""
    fn = function("Old", ["a"], ["b"], [helper.make_node("Softmax", ["a"], ["b"])], opset=11)
    nodes = [helper.make_node("Old", ["x"], ["h"], domain="local"), helper.make_node("Softmax", ["h"], ["y"])]
    graph = import_model(calling(nodes, [fn])).graph
    assert [n.op for n in graph.nodes] == ["Flatten", "Softmax", "Shape", "Reshape", "Softmax"]
    rows = np.exp(X.reshape(2, 12))
    first = (rows / rows.sum(1, keepdims=True)).reshape(X.shape)
    expected = np.exp(first) / np.exp(first).sum(-1, keepdims=True)
    compare(run_graph(graph, {"x": X}), [expected])


def test_absent_arguments_and_outputs() -> None:
    fn = function(
        "Limited", ["a", "low", "high"], ["b", "c"],
        [helper.make_node("Clip", ["a", "low", "high"], ["b"]), helper.make_node("Neg", ["b"], ["c"])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Limited", ["x", "", "half"], ["h"], domain="local"),
        helper.make_node("Limited", ["h"], ["", "y"], domain="local"),
    ]
    model = calling(nodes, [fn])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    graph = import_model(model).graph
    assert [n.op for n in graph.nodes] == ["Clip", "Neg", "Clip", "Neg"]
    compare(run_graph(graph, {"x": X}), [-np.minimum(X, 0.5)])


def test_a_function_that_returns_its_argument() -> None:
    fn = function("Same", ["a"], ["a"], [])
    graph = import_model(calling([helper.make_node("Same", ["x"], ["y"], domain="local")], [fn])).graph
    assert graph.nodes == [] and graph.outputs[0] is graph.inputs[0]


def test_functions_win_over_standard_ops_of_their_name() -> None:
    fn = helper.make_function("", "Relu", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])],
                              [helper.make_opsetid("", 21)])  # fmt: skip
    graph = import_model(calling([helper.make_node("Relu", ["x"], ["y"])], [fn])).graph
    assert [n.op for n in graph.nodes] == ["Neg"]


def test_overloads_are_told_apart() -> None:
    functions = []
    for overload, op in (("", "Neg"), ("f", "Exp")):
        fn = function("Op", ["a"], ["b"], [helper.make_node(op, ["a"], ["b"])])
        fn.overload = overload
        functions.append(fn)
    nodes = [helper.make_node("Op", ["x"], ["h"], domain="local"), helper.make_node("Op", ["h"], ["y"], domain="local")]
    nodes[1].overload = "f"
    assert [n.op for n in import_model(calling(nodes, functions)).graph.nodes] == ["Neg", "Exp"]


def test_functions_that_call_themselves_are_refused() -> None:
    first = function("A", ["a"], ["b"], [helper.make_node("B", ["a"], ["b"], domain="local")], uses_local=True)
    second = function("B", ["a"], ["b"], [helper.make_node("A", ["a"], ["b"], domain="local")], uses_local=True)
    with pytest.raises(InvalidModelError, match="calls itself \\(A -> B -> A\\)"):
        import_model(calling([helper.make_node("A", ["x"], ["y"], domain="local")], [first, second]))


def test_functions_that_double_without_end_are_refused() -> None:
    functions = [function("F0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])])]
    for i in range(1, 30):
        call = [helper.make_node(f"F{i - 1}", [a], [b], domain="local") for a, b in (("a", "m"), ("m", "b"))]
        functions.append(function(f"F{i}", ["a"], ["b"], call, uses_local=True))
    with pytest.raises(ModelLimitError, match="expand to more than 500 nodes"), within(Limits(nodes=500)):
        import_model(calling([helper.make_node("F29", ["x"], ["y"], domain="local")], functions))


def test_calls_with_too_many_arguments_are_refused() -> None:
    fn = function("F", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])])
    with pytest.raises(InvalidModelError, match="2 inputs and 1 outputs; the function it calls takes 1 and gives 1"):
        import_model(calling([helper.make_node("F", ["x", "x"], ["y"], domain="local")], [fn]))


def test_an_attribute_of_another_type_is_refused() -> None:
    """A call may state any attribute by the name that the function's nodes refer to."""
    constant = reference(helper.make_node("Constant", [], ["c"]), "value_float", "factor", AttributeProto.FLOAT)
    scaled = function(
        "Scaled", ["a"], ["b"], [constant, helper.make_node("Mul", ["a", "c"], ["b"])], attributes=["factor"]
    )
    check_against_ort(
        calling([helper.make_node("Scaled", ["x"], ["y"], domain="local", factor=2.0)], [scaled]), {"x": X}
    )
    for wrong in ("two", [2.0]):
        nodes = [helper.make_node("Scaled", ["x"], ["y"], domain="local", factor=wrong)]
        with pytest.raises(InvalidModelError, match="'value_float'"):
            import_model(calling(nodes, [scaled]))
