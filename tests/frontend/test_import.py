"""What an imported graph looks like: names, types, defaults, constants, order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from arenaut.frontend import import_model
from arenaut.ir import DType, MapType, OptionalType, SequenceType, TensorType, symbol
from arenaut.ir.errors import InvalidModelError
from tests.support.importing import check_against_ort, model_of, random, run_graph, tensor_info


def test_inputs_and_symbols() -> None:
    infos = [
        tensor_info("ids", ["batch", "time"], TensorProto.INT64),
        tensor_info("mask", ["batch", None, 3], TensorProto.BOOL),
        tensor_info("scale", [], TensorProto.FLOAT16),
        tensor_info("any", None, TensorProto.DOUBLE),
        tensor_info("unsure", ["?", "?"]),
    ]
    infos[1].type.tensor_type.shape.dim[1].dim_value = -1
    nodes = [helper.make_node("Identity", [i.name], [f"{i.name}_out"]) for i in infos]
    imported = import_model(model_of(nodes, infos, [f"{i.name}_out" for i in infos]))
    batch = symbol("batch")
    assert imported.input_names == ("ids", "mask", "scale", "any", "unsure")
    assert imported.output_names == ("ids_out", "mask_out", "scale_out", "any_out", "unsure_out")
    expected = [
        TensorType(DType.INT64, (batch, symbol("time"))),
        TensorType(DType.BOOL, (batch, symbol("mask.1"), 3)),
        TensorType(DType.FLOAT16, ()),
        TensorType(DType.DOUBLE, None),
        TensorType(DType.FLOAT, (symbol("unsure.0"), symbol("unsure.1"))),
    ]
    assert [v.type for v in imported.graph.inputs] == [v.type for v in imported.graph.outputs] == expected


def test_inputs_that_are_no_tensors() -> None:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    types = [
        helper.make_sequence_type_proto(tensor),
        helper.make_optional_type_proto(tensor),
        helper.make_map_type_proto(TensorProto.INT64, tensor),
    ]
    infos = [helper.make_value_info(f"v{i}", t) for i, t in enumerate(types)]
    graph = import_model(model_of([], [*infos, tensor_info("x", [1])], [tensor_info("x", [1])])).graph
    element = TensorType(DType.FLOAT, (symbol("n"),))
    assert [v.type for v in graph.inputs[:3]] == [
        SequenceType(element), OptionalType(element), MapType(DType.INT64, element),
    ]  # fmt: skip


def test_model_facts() -> None:
    model = model_of([helper.make_node("Abs", ["x"], ["y"])], [tensor_info("x", [1])], ["y"], opset=17,
                     domains={"ai.onnx.ml": 3})  # fmt: skip
    model.producer_name, model.producer_version, model.doc_string = "maker", "1.2", "about"
    helper.set_model_props(model, {"names": "{0: 'cat'}"})
    imported = import_model(model)
    assert imported.info.opsets == {"": 17, "ai.onnx.ml": 3} and imported.info.ir_version == 10
    info = imported.info
    assert (info.producer, info.producer_version, info.doc) == ("maker", "1.2", "about")
    assert info.metadata == {"names": "{0: 'cat'}"}


def test_an_unknown_ir_version_is_no_reason_to_refuse() -> None:
    for version in (3, 99):
        model = model_of([helper.make_node("Abs", ["x"], ["y"])], [tensor_info("x", [1])], ["y"], ir_version=version)
        assert [n.op for n in import_model(model).graph.nodes] == ["Abs"]


def test_models_before_opsets_are_opset_one() -> None:
    model = model_of([helper.make_node("Softmax", ["x"], ["y"])], [tensor_info("x", [1, 2, 3])], ["y"], ir_version=2)
    del model.opset_import[:]
    assert import_model(model).graph.nodes[0].op == "Flatten"


def test_the_long_name_of_the_standard_domain() -> None:
    model = model_of([helper.make_node("Abs", ["x"], ["y"], domain="ai.onnx")], [tensor_info("x", [1])], ["y"])
    model.opset_import[0].domain = "ai.onnx"
    (node,) = import_model(model).graph.nodes
    assert node.key == ("", "Abs")


def test_default_attributes_are_written_out() -> None:
    nodes = [
        helper.make_node("LeakyRelu", ["x"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["b"]),
        helper.make_node("DepthToSpace", ["b"], ["y"], blocksize=2),
    ]
    model = model_of(nodes, [tensor_info("x", [1, 3, 4, 4])], ["y"], {"w": random(4, 3, 1, 1)}, opset=9)
    leaky, conv, depth = import_model(model).graph.nodes
    assert leaky.attributes == {"alpha": pytest.approx(0.01)}
    assert conv.attributes == {"auto_pad": "NOTSET", "group": 1}
    assert depth.attributes == {"blocksize": 2, "mode": "DCR"}


def test_attributes_of_every_kind() -> None:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    nodes = [
        helper.make_node("Optional", [], ["o"], type=element),
        helper.make_node("ConstantOfShape", ["s"], ["c"], value=numpy_helper.from_array(np.array([7], np.int32))),
        helper.make_node("LSTM", ["x", "w", "r"], ["h"], hidden_size=2, activations=["Sigmoid", "Tanh", "Tanh"]),
        helper.make_node("Elu", ["x"], ["e"], alpha=0.5),
    ]
    constants = {"s": np.array([2]), "w": random(1, 8, 3), "r": random(1, 8, 2)}
    outputs = [tensor_info(n) for n in ("c", "h", "e")]
    graph = import_model(model_of(nodes, [tensor_info("x", [1, 1, 3])], outputs, constants)).graph
    optional, filled, lstm, elu = graph.nodes
    assert optional.attr("type") == TensorType(DType.FLOAT, (2,))
    assert filled.attr("value").tolist() == [7] and filled.attr("value").dtype == np.int32
    assert lstm.attr("activations") == ("Sigmoid", "Tanh", "Tanh") and lstm.attr("direction") == "forward"
    assert elu.attr("alpha") == 0.5


def test_absent_optional_inputs_and_outputs() -> None:
    nodes = [
        helper.make_node("Clip", ["x", "", "hi"], ["a"]),
        helper.make_node("Clip", ["a", "", ""], ["b"]),
        helper.make_node("GRU", ["b", "w", "r"], ["", "last"], hidden_size=2),
    ]
    constants = {"hi": np.array(0.5, np.float32), "w": random(1, 6, 4), "r": random(1, 6, 2)}
    model = model_of(nodes, [tensor_info("x", [3, 2, 4])], ["last"], constants)
    graph = check_against_ort(model, {"x": random(3, 2, 4)}, 1e-5)
    first, second, recurrent = graph.nodes
    assert [v is None for v in first.inputs] == [False, True, False]
    assert len(second.inputs) == 1
    assert recurrent.outputs[0] is None and recurrent.outputs[1] is not None


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"value": numpy_helper.from_array(np.array([[1, 2]], np.int8))}, np.array([[1, 2]], np.int8)),
        ({"value_float": 1.5}, np.array(1.5, np.float32)),
        ({"value_floats": [1.5, 2.0]}, np.array([1.5, 2.0], np.float32)),
        ({"value_int": 3}, np.array(3)),
        ({"value_ints": [3, 4]}, np.array([3, 4])),
        ({"value_string": "a"}, np.array("a", object)),
        ({"value_strings": ["a", "é"]}, np.array(["a", "é"], object)),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)  # fmt: skip
def test_constant_nodes_become_constants(attribute: dict[str, object], expected: np.ndarray) -> None:
    nodes = [helper.make_node("Constant", [], ["c"], **attribute), helper.make_node("Identity", ["c"], ["y"])]
    graph = import_model(model_of(nodes, [], ["y"])).graph
    (constant,) = graph.constants()
    assert [n.op for n in graph.nodes] == ["Identity"] and constant.name == "c"
    assert constant.constant is not None and constant.constant.dtype == expected.dtype
    assert constant.constant.shape == expected.shape and constant.constant.tolist() == expected.tolist()


def test_small_integers_are_known_as_data() -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "i"], ["y"])]
    outputs = [tensor_info("y", None, TensorProto.INT64)]
    graph = import_model(model_of(nodes, [tensor_info("x", ["n", 4])], outputs, {"i": np.array([1, 0])})).graph
    assert graph.outputs[0].data is not None and list(graph.outputs[0].data) == [4, symbol("n")]


def test_inputs_with_initialisers_are_constants_unless_kept() -> None:
    """Up to IR version 3 every initialiser had to be an input as well."""
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    infos = [tensor_info("x", [3]), tensor_info("w", [3])]
    model = model_of(nodes, infos, ["y"], {"w": random(3)}, ir_version=3)
    assert import_model(model).input_names == ("x",)
    kept = import_model(model, keep_inputs=["w"])
    assert kept.input_names == ("x", "w") and kept.graph.constants() == []
    with pytest.raises(InvalidModelError, match="keep_inputs names v"):
        import_model(model, keep_inputs=["v"])


def test_unused_initialisers_are_not_even_read() -> None:
    model = model_of([helper.make_node("Abs", ["x"], ["y"])], [tensor_info("x", [3])], ["y"], {"w": random(3)})
    model.graph.initializer[0].raw_data = b"damaged"
    assert import_model(model).graph.constants() == []


def test_names_of_helper_nodes_never_take_those_of_the_model() -> None:
    """Softmax-11 becomes several nodes; the model already uses the names they would get."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["soft/flatten"], axis=1, name="soft"),
        helper.make_node("Abs", ["soft/flatten"], ["soft/shape"]),
    ]
    model = model_of(nodes, [tensor_info("x", [2, 3, 4])], ["soft/shape", "soft/flatten"], opset=11, ir_version=6)
    graph = check_against_ort(model, {"x": random(2, 3, 4)})
    names = [v.name for v in graph.values()]
    assert len(set(names)) == len(names)
    assert [v.name for v in graph.outputs] == ["soft/shape", "soft/flatten"]


def test_nodes_in_any_order() -> None:
    nodes = [
        helper.make_node("Add", ["b", "c"], ["y"]),
        helper.make_node("Neg", ["a"], ["c"]),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Abs", ["x"], ["a"]),
    ]
    x = random(4)
    graph = import_model(model_of(nodes, [tensor_info("x", [4])], ["y"])).graph
    assert [n.op for n in graph.nodes] == ["Abs", "Neg", "Exp", "Add"]
    np.testing.assert_allclose(run_graph(graph, {"x": x})[0], np.exp(np.abs(x)) - np.abs(x), rtol=1e-6)


def test_long_chains_out_of_order_need_no_recursion() -> None:
    nodes = [helper.make_node("Neg", [f"v{i}"], [f"v{i + 1}"]) for i in range(3000)]
    graph = import_model(model_of(nodes[::-1], [tensor_info("v0", [1])], ["v3000"])).graph
    assert len(graph.nodes) == 3000 and graph.nodes[0].inputs[0] is graph.inputs[0]


def test_node_names_are_kept_or_made_from_outputs() -> None:
    nodes = [helper.make_node("Abs", ["x"], ["a"], name="first"), helper.make_node("Neg", ["a"], ["y"])]
    graph = import_model(model_of(nodes, [tensor_info("x", [1])], ["y"])).graph
    assert [n.name for n in graph.nodes] == ["first", "y"]


def test_declared_shapes_do_not_override_what_inference_finds() -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["y"])]
    graph = import_model(model_of(nodes, [tensor_info("x", [2, 3])], [tensor_info("y", [7, 7, 7])])).graph
    assert graph.outputs[0].shape == (3, 2)


def test_a_path_object_and_text_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model_of([helper.make_node("Abs", ["x"], ["y"])], [tensor_info("x", [1])], ["y"]), path)
    assert str(import_model(path).graph) == str(import_model(str(path)).graph)
