"""Initialisers that are inputs as well: defaults, which a run may override."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.errors import InputError, InvalidModelError, ShapeError
from tests.support.importing import model_of, random, tensor_info


def _linear(ir_version: int = 10) -> onnx.ModelProto:
    """y = x w + b, whose w and b have stored values."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]
    inputs = [tensor_info("w", [4, 3]), tensor_info("x", ["n", 4]), tensor_info("b", [3])]
    return model_of(nodes, inputs, [tensor_info("y", ["n", 3])], {"w": random(4, 3), "b": random(3)},
                    ir_version=ir_version)  # fmt: skip


@pytest.mark.parametrize("executor", ["compiled", "interpreted"])
def test_a_fed_default_takes_the_place_of_the_stored_value(executor: str) -> None:
    proto = _linear()
    model = arenaut.load_onnx(proto, executor=executor)  # type: ignore[arg-type]
    peer = onnxruntime.InferenceSession(proto.SerializeToString())
    assert [i.name for i in model.inputs] == ["x"]
    assert [(i.name, i.shape) for i in model.default_inputs] == [("w", (4, 3)), ("b", (3,))]
    assert [i.name for i in model.default_inputs] == [i.name for i in peer.get_overridable_initializers()]
    x, w, b = random(5, 4), random(4, 3) + 1, np.float32([1, 2, 3])
    for feeds in ({"x": x}, {"x": x, "w": w}, {"x": x, "b": b}, {"b": b, "w": w, "x": x}, {"x": x}):
        got = model.run(feeds)["y"]
        np.testing.assert_allclose(got, peer.run(None, feeds)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.run(x, b=b)["y"], model.run({"x": x, "b": b})["y"])
    out = np.empty((5, 3), np.float32)
    model.run({"x": x, "w": w}, out={"y": out}, **({"timeout": 60} if executor == "compiled" else {}))  # type: ignore[arg-type]
    np.testing.assert_array_equal(out, model.run(x=x, w=w)["y"])


def test_programs_treat_defaults_as_constants_until_one_is_fed() -> None:
    """The outcome for a set of fed names is made once and kept."""
    plain = arenaut.load_onnx(model_of(
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])],
        [tensor_info("x", ["n", 4])], [tensor_info("y", ["n", 3])], {"w": random(4, 3), "b": random(3)},
    ))  # fmt: skip
    model = arenaut.load_onnx(_linear())
    assert [n.op for n in model.graph.nodes] == [n.op for n in plain.graph.nodes]
    assert len(model.graph.constants()) == len(plain.graph.constants())
    fed = model.feeding("b", "w")
    assert [i.name for i in fed.inputs] == ["w", "x", "b"] and not fed.default_inputs
    model.run(x=random(5, 4), w=random(4, 3), b=random(3))
    assert model.feeding("w", "b") is fed
    assert [i.name for i in model.feeding("w").default_inputs] == ["b"]
    assert model.feeding() is model
    assert "default  w: float32[4, 3]" in str(model)


def test_errors_name_the_defaults() -> None:
    model = arenaut.load_onnx(_linear())
    x = random(5, 4)
    with pytest.raises(InputError, match=r"missing x.*with defaults w, b"):
        model.run(w=random(4, 3))
    with pytest.raises(InputError, match=r"unknown v.*with defaults w, b"):
        model.run(x=x, v=x)
    with pytest.raises(InputError, match="'b': expected 3 at axis 0"):
        model.run(x=x, b=random(4))
    with pytest.raises(InputError, match=r"'x'.*no input with a default"):
        model.feeding("x")


def test_before_ir_version_4_every_initialiser_is_a_default(tmp_path: Path) -> None:
    """onnxruntime has no overridable initialisers there, and calls the names unknown."""
    proto = _linear(ir_version=3)
    onnx.save(proto, tmp_path / "m.onnx")
    model = arenaut.load_onnx(tmp_path / "m.onnx")
    assert model.info.ir_version == 3 and [i.name for i in model.inputs] == ["x"]
    x, w = random(5, 4), random(4, 3) - 1
    b = numpy_helper.to_array(proto.graph.initializer[1])
    np.testing.assert_allclose(model.run(x=x, w=w)["y"], x @ w + b, rtol=1e-5, atol=1e-6)


def test_a_default_that_shapes_hang_on() -> None:
    """A target shape with a default: its length decides a rank, and an impossible one is refused by name."""
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Neg", ["r"], ["y"])]
    inputs = [tensor_info("x", [6]), tensor_info("s", ["k"], TensorProto.INT64)]
    proto = model_of(nodes, inputs, [tensor_info("y")], {"s": np.array([2, 3])})
    model = arenaut.load_onnx(proto)
    x = random(6)
    np.testing.assert_array_equal(model.run(x=x)["y"], -x.reshape(2, 3))
    np.testing.assert_array_equal(model.run(x=x, s=np.array([1, 3, 2]))["y"], -x.reshape(1, 3, 2))
    with pytest.raises(ShapeError, match="Reshape"):
        model.run(x=x, s=np.array([4, 2]))


def test_a_default_that_bodies_read_and_one_that_is_an_output() -> None:
    branches = {
        name: helper.make_graph([helper.make_node(op, ["w"], ["b"])], name, [], [tensor_info("b")])
        for name, op in (("then_branch", "Neg"), ("else_branch", "Exp"))
    }
    nodes = [helper.make_node("If", ["c"], ["y"], **branches)]
    inputs = [tensor_info("c", [], TensorProto.BOOL), tensor_info("w", [2])]
    proto = model_of(nodes, inputs, [tensor_info("y", [2]), tensor_info("w", [2])], {"w": np.float32([1, 2])})
    model = arenaut.load_onnx(proto)
    for fed in ({}, {"w": np.float32([3, 4])}):
        want = fed.get("w", np.float32([1, 2]))
        got = model.run({"c": np.array(True), **fed})
        np.testing.assert_array_equal(got["y"], -want)
        np.testing.assert_array_equal(got["w"], want)


def test_what_bodies_list_as_inputs_beside_their_initialisers() -> None:
    """Up to IR version 3 the initialisers of a body were its inputs too; no node feeds them."""
    stored = [numpy_helper.from_array(np.float32([10, 20]), "k")]
    branches = {
        name: helper.make_graph([helper.make_node(op, ["x", "k"], ["b"])], name, [tensor_info("k", [2])],
                                [tensor_info("b")], stored)
        for name, op in (("then_branch", "Add"), ("else_branch", "Mul"))
    }  # fmt: skip
    inputs = [tensor_info("c", [], TensorProto.BOOL), tensor_info("x", [2])]
    proto = model_of([helper.make_node("If", ["c"], ["y"], **branches)], inputs, [tensor_info("y", [2])], ir_version=3,
                     opset=11)  # fmt: skip
    model, x = arenaut.load_onnx(proto), np.float32([1, 2])
    np.testing.assert_array_equal(model.run(c=np.array(True), x=x)["y"], [11, 22])
    np.testing.assert_array_equal(model.run(c=np.array(False), x=x)["y"], [10, 40])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["a", "k"], ["b"])], "body",
        [tensor_info("i", [], TensorProto.INT64), tensor_info("go", [], TensorProto.BOOL), tensor_info("a", [2]),
         tensor_info("k", [2])],
        [tensor_info("on", [], TensorProto.BOOL), tensor_info("b", [2])], stored,
    )  # fmt: skip
    node = helper.make_node("Loop", ["m", "", "x"], ["y"], body=body)
    inputs = [tensor_info("m", [], TensorProto.INT64), tensor_info("x", [2])]
    loop = arenaut.load_onnx(model_of([node], inputs, [tensor_info("y", [2])], ir_version=3, opset=11))
    np.testing.assert_array_equal(loop.run(m=np.array(3), x=x)["y"], [31, 62])


def test_what_a_loop_feeds_goes_before_what_its_body_stores() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["a", "a"], ["b"])], "body",
        [tensor_info("i", [], TensorProto.INT64), tensor_info("go", [], TensorProto.BOOL), tensor_info("a", [2])],
        [tensor_info("on", [], TensorProto.BOOL), tensor_info("b", [2])],
        [numpy_helper.from_array(np.float32([9, 9]), "a")],
    )  # fmt: skip
    node = helper.make_node("Loop", ["m", "", "x"], ["y"], body=body)
    inputs = [tensor_info("m", [], TensorProto.INT64), tensor_info("x", [2])]
    loop = arenaut.load_onnx(model_of([node], inputs, [tensor_info("y", [2])]))
    np.testing.assert_array_equal(loop.run(m=np.array(2), x=np.float32([1, 2]))["y"], [4, 8])


def test_a_body_with_inputs_that_nothing_feeds_is_refused() -> None:
    branches = {
        name: helper.make_graph([helper.make_node("Neg", ["k"], ["b"])], name, [tensor_info("k", [2])],
                                [tensor_info("b")])
        for name in ("then_branch", "else_branch")
    }  # fmt: skip
    inputs = [tensor_info("c", [], TensorProto.BOOL)]
    with pytest.raises(InvalidModelError, match="needs 0 inputs and 1 outputs; it has 1"):
        arenaut.load_onnx(model_of([helper.make_node("If", ["c"], ["y"], **branches)], inputs, ["y"]))
