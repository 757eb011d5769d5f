"""A graph saved as ONNX passes onnx's checker, runs in onnxruntime and imports again to the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from arenaut.frontend import import_model
from arenaut.frontend.export import save_graph, to_model_proto
from arenaut.ir import ARENAUT_DOMAIN, DType, Graph, GraphBuilder, TensorType, symbol
from arenaut.ir.errors import UnsupportedError
from tests.support.importing import Array, compare, model_of, random, run_graph, run_ort, tensor_info


def check_round_trip(model: onnx.ModelProto, feeds: dict[str, Array], tolerance: float = 1e-6) -> onnx.ModelProto:
    """import -> export -> checker, then onnxruntime on both, then import again; returns the exported model."""
    imported = import_model(model)
    saved = to_model_proto(imported.graph, input_names=imported.input_names, output_names=imported.output_names)
    onnx.checker.check_model(saved, full_check=True)
    expected = run_ort(model, feeds)
    compare(run_ort(saved, feeds), expected, tolerance)
    again = import_model(saved)
    assert (again.input_names, again.output_names) == (imported.input_names, imported.output_names)
    compare(run_graph(again.graph, feeds), expected, tolerance)
    return saved


def test_a_convolution_net() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], name="first"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["y"], transB=1, alpha=0.5),
    ]
    weights = {"w": random(4, 3, 3, 3), "b": random(4), "g": random(5, 4)}
    model = model_of(nodes, [tensor_info("x", ["n", 3, 8, 8])], [tensor_info("y", ["n", 5])], weights)
    saved = check_round_trip(model, {"x": random(2, 3, 8, 8)}, 1e-5)
    assert saved.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    assert saved.graph.node[0].name == "first"
    assert [o.version for o in saved.opset_import if o.domain == ""] == [21]


def test_the_oldest_opset_of_the_same_meaning_is_stated() -> None:
    """What came with a newer one decides: an attribute that is not its default, a type."""

    def stated(node: onnx.NodeProto, dtype: int = TensorProto.FLOAT, opset: int = 25, to: int | None = None) -> int:
        made = tensor_info("y", [2, 3], to or dtype)
        saved = to_model_proto(import_model(model_of([node], [tensor_info("x", [2, 3], dtype)], [made], {},
                                                     opset=opset)).graph)  # fmt: skip
        onnx.checker.check_model(saved)
        return next(int(o.version) for o in saved.opset_import if o.domain == "")

    assert stated(helper.make_node("Relu", ["x"], ["y"])) == 21
    assert stated(helper.make_node("Sin", ["x"], ["y"]), TensorProto.BFLOAT16) == 22
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)
    assert stated(cast, to=TensorProto.FLOAT16) == 21
    rounded = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E8M0, round_mode="nearest")
    assert stated(rounded, to=TensorProto.FLOAT8E8M0) == 24


def test_names_of_outputs_survive_whatever_makes_them() -> None:
    """Outputs that are an input, a constant, or one value twice."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Identity", ["r"], ["twice"]),
        helper.make_node("Constant", [], ["k"], value_float=2.5),
    ]
    model = model_of(nodes, [tensor_info("x", [3])], [tensor_info(n, [3]) for n in ("r", "x", "twice")] + ["k"])
    imported = import_model(model)
    imported.graph.outputs[2] = imported.graph.outputs[0]
    saved = to_model_proto(imported.graph, input_names=imported.input_names, output_names=["r", "x2", "twice", "k"])
    onnx.checker.check_model(saved)
    x = random(3)
    compare(run_ort(saved, {"x": x}), [np.maximum(x, 0), x, np.maximum(x, 0), np.float32(2.5)])


def test_every_element_type_survives() -> None:
    rng = np.random.default_rng(0)
    for dtype in DType:
        if dtype is DType.STRING:
            array: Array = np.array(["a", "", "é", b"\xff".decode("utf-8", "surrogateescape")], object)
        else:
            whole = rng.integers(0, 2, 7)
            array = whole.astype(dtype.numpy)
        graph = Graph("types")
        value = graph.add_constant(array, "c")
        six_bits = dtype in (DType.FLOAT6E2M3, DType.FLOAT6E3M2)  # which Identity does not take
        settings = {"to": int(dtype)} if six_bits else {}
        graph.outputs = [GraphBuilder(graph).op("Cast" if six_bits else "Identity", value, **settings)]
        back = import_model(to_model_proto(graph)).graph.constants()[0].constant
        assert back is not None and back.dtype == array.dtype, dtype
        assert back.tobytes() == array.tobytes() or list(back) == list(array), dtype


def test_fused_nodes_become_functions() -> None:
    graph = Graph("fused")
    x = graph.add_input("x", TensorType(DType.FLOAT, (symbol("n"), 4)))
    weight, bias = graph.add_constant(random(4, 5), "w"), graph.add_constant(random(5), "b")
    body = Graph("body")
    parts = [body.add_input(n, v.type) for n, v in zip("abc", (x, weight, bias), strict=True)]
    builder = GraphBuilder(body)
    product = builder.op("MatMul", parts[0], parts[1])
    half = builder.constant(np.array(0.5, np.float32))
    body.outputs = [builder.op("Mul", builder.op("Relu", builder.op("Add", product, parts[2])), half)]
    outer = GraphBuilder(graph)
    first = outer.op("Fused", x, weight, bias, domain=ARENAUT_DOMAIN, body=body)
    graph.outputs = [outer.op("Neg", first)]
    saved = to_model_proto(graph, output_names=["y"])
    onnx.checker.check_model(saved, full_check=True)
    assert [(f.domain, len(f.node)) for f in saved.functions] == [(ARENAUT_DOMAIN, 5)]
    feed = random(3, 4)
    expected = -0.5 * np.maximum(feed @ random(4, 5) + random(5), 0)
    compare(run_ort(saved, {"x": feed}), [expected], 1e-5)
    compare(run_graph(import_model(saved).graph, {"x": feed}), [expected], 1e-5)


@pytest.mark.parametrize("inside", [False, True])
def test_integer_products_are_saved_as_their_decomposition(inside: bool) -> None:
    """A function of its own, called by the graph or by the function of a fused node."""
    graph = Graph("quantised")
    rng = np.random.default_rng(0)
    stored, columns = rng.integers(-128, 128, (6, 5)).astype(np.int8), rng.uniform(0.01, 0.02, 5).astype(np.float32)
    x = graph.add_input("x", TensorType(DType.UINT8, (symbol("n"), 6)))
    weight, zero = graph.add_constant(stored, "w"), graph.add_constant(np.array(7, np.uint8), "z")
    a_scale, b_scale = graph.add_constant(np.array(0.02, np.float32)), graph.add_constant(columns)
    outer = GraphBuilder(graph)
    operands = [x, weight, a_scale, zero, b_scale]
    if inside:
        body = Graph("body")
        parts = [body.add_input(f"p{i}", v.type) for i, v in enumerate(operands)]
        builder = GraphBuilder(body)
        body.outputs = [builder.op("Relu", builder.op("QMatMul", *parts, domain=ARENAUT_DOMAIN))]
        graph.outputs = [outer.op("Fused", *operands, domain=ARENAUT_DOMAIN, body=body)]
    else:
        graph.outputs = [outer.op("Relu", outer.op("QMatMul", *operands, domain=ARENAUT_DOMAIN))]
    saved = to_model_proto(graph, output_names=["y"])
    onnx.checker.check_model(saved, full_check=True)
    assert len(saved.functions) == 1 + inside
    for imports in (saved.opset_import, *(f.opset_import for f in saved.functions)):
        assert {o.domain: o.version for o in imports}[""] == 21
    feed = rng.integers(0, 256, (3, 6)).astype(np.uint8)
    expected = np.maximum((feed.astype(np.float32) - 7) @ stored.astype(np.float32) * (columns * np.float32(0.02)), 0)
    compare(run_ort(saved, {"x": feed}), [expected], 1e-5)


def test_ops_that_the_standard_withdrew_are_saved_in_the_last_opset_that_has_them() -> None:
    tree = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [1, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [3.0, -2.0],
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **tree)
    model = model_of([node], [tensor_info("x", [2, 2])], [tensor_info("y", [2, 1])], opset=17, ir_version=8,
                     domains={"ai.onnx.ml": 1})  # fmt: skip
    saved = check_round_trip(model, {"x": np.array([[0, 0], [0, 1]], np.float32)})
    assert {o.domain: o.version for o in saved.opset_import}["ai.onnx.ml"] == 4


def test_an_arenaut_op_without_body_is_refused() -> None:
    graph = Graph("bare")
    x = graph.add_input("x", TensorType(DType.FLOAT, (4,)))
    graph.outputs = [graph.add("Mystery", [x], domain=ARENAUT_DOMAIN).output]
    with pytest.raises(UnsupportedError, match="Mystery"):
        to_model_proto(graph)


def _weighted_model() -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return model_of([node], [tensor_info("x", [2, 64])], [tensor_info("y", [2, 64])], {"w": random(64, 64)})


@pytest.mark.parametrize("external", [False, True])
def test_save_over_the_file_it_was_loaded_from(tmp_path: Path, external: bool) -> None:
    """The mapped weights must stay readable while their file is replaced."""
    path = tmp_path / "m.onnx"
    onnx.save(_weighted_model(), path)
    imported = import_model(path)
    for _ in range(2):
        save_graph(imported.graph, path, imported.input_names, imported.output_names, external_data=external)
        imported = import_model(path)
    x = random(2, 64)
    compare(run_graph(imported.graph, {"x": x}), [x @ random(64, 64)], 1e-5)
    expected = {"m.onnx", "m.onnx.data"} if external else {"m.onnx"}
    assert {p.name for p in tmp_path.iterdir()} == expected


def test_external_weights_are_read_by_onnx_itself(tmp_path: Path) -> None:
    save_graph(import_model(_weighted_model()).graph, tmp_path / "m.onnx", external_data=True)
    assert (tmp_path / "m.onnx").stat().st_size < 2000
    loaded: Any = onnx.load(tmp_path / "m.onnx")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(loaded.graph.initializer[0]), random(64, 64))


def test_metadata_and_version() -> None:
    saved = to_model_proto(import_model(_weighted_model()).graph, metadata={"author": "me"}, doc="about")
    assert [(p.key, p.value) for p in saved.metadata_props] == [("author", "me")]
    assert saved.producer_name == "arenaut" and saved.doc_string == "about"
    assert saved.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_what_the_file_declares_of_outputs_of_unknown_rank() -> None:
    """Reshaped by data: only the file says that the result has two axes."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, ["n"])
    model = model_of([node], [tensor_info("x", [4, 6]), shape], [tensor_info("y", ["rows", "columns"])], {})
    graph = import_model(model).graph
    assert not graph.outputs[0].has_shape
    saved = to_model_proto(graph)
    onnx.checker.check_model(saved)
    assert len(saved.graph.output[0].type.tensor_type.shape.dim) == 2


def test_swish_is_spelt_out() -> None:
    node = helper.make_node("Swish", ["x"], ["y"], alpha=1.5)
    model = model_of([node], [tensor_info("x", [4])], [tensor_info("y", [4])], {}, opset=24)
    saved = to_model_proto(import_model(model).graph)
    x = random(4)
    (got,) = run_ort(saved, {"x": x})
    np.testing.assert_allclose(got, x / (1 + np.exp(-1.5 * x)), rtol=1e-6)
