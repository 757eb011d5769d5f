"""Constants that grow are folded where they become packed weights, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.frontend import import_model
from arenaut.ir.evaluate import evaluate_graph
from arenaut.passes.context import PassContext
from arenaut.passes.decompose_composites import decompose_composites
from arenaut.passes.fold_constants import fold_again, fold_constants
from tests.support.models import assert_close
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
    made = model(SCALED + "y = MatMul (x, m)", "float[b, c] y")
    loaded = arenaut.load_onnx(made.SerializeToString())
    assert_close(loaded.run({"x": X})["y"], reference(made)[0], rtol=4e-6)
    assert loaded.plan.packed_weight_bytes >= ROWS * COLUMNS * 4
    assert loaded.plan.arena_bytes < ROWS * COLUMNS
