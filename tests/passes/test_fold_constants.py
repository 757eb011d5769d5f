"""Constants that grow are folded where they become packed weights, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.frontend import import_model
from arenaut.ir.evaluate import evaluate_graph
from arenaut.passes.context import PassContext
from arenaut.passes.decompose_composites import decompose_composites
from arenaut.passes.fold_constants import fold_again, fold_constants
from tests.support.models import assert_close, parse
from tests.support.rewriting import TARGET, draw

ROWS, COLUMNS = 700, 800
WHOLE = np.random.default_rng(0).integers(-128, 128, (ROWS, COLUMNS)).astype(np.int8)
X = draw(3, ROWS)
FLOATS = "f = Cast <to = 1> (q) "
SCALED = FLOATS + "m = Mul (f, s) "
SHIFTED = "d = Sub (i, z) f = Cast <to = 1> (d) m = Mul (f, s) "
SCALE = np.random.default_rng(1).uniform(0.001, 0.02, COLUMNS).astype(np.float32)


def model(body: str, outputs: str, **constants: Any) -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(f"n (float[a, {ROWS}] x) => ({outputs}) {{ {body} }}")
    given = {"q": WHOLE, "s": SCALE, **constants}
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in given.items() if n in read)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


def reference(model: onnx.ModelProto) -> list[Any]:
    """onnxruntime's results, unoptimised: it would quantise x where it meets a product of DequantizeLinear."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": X}))


def folded(body: str, outputs: str = "float[b, c] y", **constants: Any) -> tuple[list[str], list[str]]:
    """The ops that are left, and why what was not folded was not; results are onnxruntime's."""
    made = model(body, outputs, **constants)
    graph = import_model(made.SerializeToString()).graph
    context = PassContext(TARGET)
    decompose_composites(graph, context)
    fold_constants(graph, context)
    fold_again(graph, context)
    got = evaluate_graph(graph, [X])
    for array, want, out in zip(got, reference(made), made.graph.output, strict=True):
        assert_close(array, want, rtol=4e-6, name=out.name)
    return [n.op for n in graph.nodes], [e.reason for e in context.events if e.rewrite == "fold" and not e.fired]


def test_what_widens_waits() -> None:
    """Integer products look for stored weights before they become floats."""
    graph = import_model(model("m = DequantizeLinear (q, t) y = MatMul (x, m)", "float[b, c] y", t=SCALE[0])).graph
    context = PassContext(TARGET)
    fold_constants(graph, context)
    assert [n.op for n in graph.nodes] == ["DequantizeLinear", "MatMul"]
    fold_again(graph, context)
    assert [n.op for n in graph.nodes] == ["MatMul"]


@pytest.mark.parametrize(
    "body",
    [
        SCALED + "y = MatMul (x, m)",
        SCALED + "y = Gemm (x, m)",
        SCALED + "t = Transpose (m) y = Gemm <transB = 1> (x, t)",
        "z = Cast <to = 6> (o) i = Cast <to = 6> (q) " + SHIFTED + "y = MatMul (x, m)",
        "i = Cast <to = 6> (q) z = Cast <to = 6> (o) " + SHIFTED + "y = MatMul (x, m)",
        "m = DequantizeLinear <axis = 1> (q, s) y = MatMul (x, m)",
        "m = DequantizeLinear <axis = 1> (q, s, o) y = MatMul (x, m)",
        SCALED + "a = Abs (m) b = Add (a, m) y = MatMul (x, b)",
    ],
)
def test_weights_of_products(body: str) -> None:
    ops, missed = folded(body, o=np.full(COLUMNS, 3, np.int8))
    assert ops in (["MatMul"], ["Gemm"])
    assert not missed


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (SCALED + "y = MatMul (x, m) k = ReduceSum <keepdims = 0> (m)", "float[b, c] y, float k"),
        (SCALED + "y = MatMul (x, m)", "float[b, c] y, float[d, e] m"),
        (SCALED + "k = ReduceMax <keepdims = 0> (x) w = Mul (m, k) y = MatMul (x, w)", "float[b, c] y"),
        (SCALED + "w = MatMul (m, u) y = MatMul (x, w)", "float[b, c] y"),
    ],
)
def test_what_others_read_or_inputs_change_is_left(body: str, outputs: str) -> None:
    ops, missed = folded(body, outputs, u=draw(COLUMNS, 2, seed=3))
    assert "Cast" in ops
    assert "blow up" in missed[0]


def test_the_arena_holds_no_weight() -> None:
    """Nor do floats of it lie anywhere."""
    made = model(SCALED + "y = MatMul (x, m)", "float[b, c] y")
    loaded = arenaut.load_onnx(made.SerializeToString())
    assert_close(loaded.run({"x": X})["y"], reference(made)[0], rtol=4e-6)
    assert ROWS * COLUMNS <= loaded.plan.packed_weight_bytes < ROWS * COLUMNS * 2
    assert loaded.plan.arena_bytes < ROWS * COLUMNS


def test_texts_that_are_known_leave_the_model() -> None:
    """Outputs that only Python can hold, folded or stored."""
    words = helper.make_tensor("w", TensorProto.STRING, [2], [b"a", b"b"])
    nodes = [helper.make_node("StringConcat", ["w", "w"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    infos = [helper.make_tensor_value_info(n, TensorProto.STRING, [2]) for n in ("y", "w")]
    numbers = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("x", "z")]
    graph = helper.make_graph(nodes, "g", numbers[:1], [*infos, numbers[1]], [words])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    for optimize in (True, False):
        got = arenaut.load_onnx(model, optimize=optimize).run(x=np.ones(2, np.float32))
        assert [*got["y"], *got["w"]] == ["aa", "bb", "a", "b"]


def test_folded_resizes_of_truths_choose_elements() -> None:
    text = "g (float[1] x) => (bool[1, 1, 2, 4] y) <bool[1, 1, 2, 2] t = {1, 0, 0, 1}, float[4] s = {1, 1, 1, 2}> "
    got = arenaut.load_onnx(parse(text + "{ y = Resize (t, , s) }")).run(x=np.zeros(1, np.float32))["y"]
    assert got.reshape(2, 4).tolist() == [[True, True, False, False], [False, False, True, True]]


def test_fractional_one_hot_indices_are_cut_off() -> None:
    """As the kernel does, and the standard says: -3.1 of depth 7 is place 4."""
    text = (
        "g (float[1] x) => (float[7] y) <float i = {-3.1}, int64 d = {7}, float[2] v = {0, 1}> { y = OneHot (i, d, v) }"
    )
    for optimize in (True, False):
        got = arenaut.load_onnx(parse(text), optimize=optimize).run(x=np.zeros(1, np.float32))["y"]
        assert got.tolist() == [0, 0, 0, 0, 1, 0, 0]


def test_what_depends_on_no_input_is_computed_once() -> None:
    """By the first of the two folds alone; what depends on x stays."""
    made = parse("n (float[a, 2] x) => (float[a, 2] y) <float[2] p = {1, 2}, float[2] q = {3, 4}>"
                 "{ s = Add (p, q) t = Neg (s) u = Mul (x, t) y = Add (u, p) }")  # fmt: skip
    graph = import_model(made.SerializeToString()).graph
    assert fold_constants(graph, PassContext(TARGET))
    assert [n.op for n in graph.nodes] == ["Mul", "Add"]
    assert np.array_equal(graph.nodes[0].operand(1).constant, [-4, -6])
    assert not fold_constants(graph, PassContext(TARGET))


@pytest.mark.parametrize("optimize", [True, False])
def test_known_integers_wrap_in_their_type(optimize: bool) -> None:
    text = "g (float[1] x) => (int32[1] y) <int32[1] a = {1062981563}, int32[1] b = {-5}> { y = Mul (a, b) }"
    got = arenaut.load_onnx(parse(text), optimize=optimize).run(x=np.zeros(1, np.float32))["y"]
    assert got.tolist() == [-1019940519]


def test_sizes_that_follow_from_folded_ones_are_folded_in_one_go() -> None:
    """Lengths by way of floats, as audio codecs pad each layer: what one fold tells, the next layer's shapes need."""
    text = """agraph (float[1, 1, 20] x) => (float[a, b, c] y)
    <int64[5] z = {0, 0, 0, 0, 0}, float[1] four = {4}>
    {
        s = Shape <start = 2> (x)  f = Cast <to = 1> (s)  d = Div (f, four)  u = Ceil (d)  k = Cast <to = 7> (u)
        pads = Concat <axis = 0> (z, k)  p = Pad <mode = "reflect"> (x, pads)
        s2 = Shape <start = 2> (p)  f2 = Cast <to = 1> (s2)  d2 = Div (f2, four)  u2 = Ceil (d2)
        k2 = Cast <to = 7> (u2)  pads2 = Concat <axis = 0> (z, k2)  y = Pad <mode = "reflect"> (p, pads2)
    }"""
    graph = import_model(parse(text).SerializeToString()).graph
    fold_constants(graph, PassContext(TARGET))
    assert [n.op for n in graph.nodes] == ["Pad", "Pad"]
    assert graph.outputs[0].shape == (1, 1, 32)
