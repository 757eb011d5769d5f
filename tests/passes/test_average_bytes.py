from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.passes.average_bytes import average_bytes
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from tests.support.rewriting import Rewritten, rewrite

RNG = np.random.default_rng(4)
CONSTANTS = {
    "s": np.float32(0.02), "z": np.uint8(120), "each": RNG.uniform(0.01, 0.02, 70).astype(np.float32),
    "space": np.array([2, 3]), "last": np.array([-1]), "none": np.zeros(0, np.int64), "d": np.float64(0.02),
    "u": np.float32(0.003), "v": np.uint8(9),
}  # fmt: skip
X = "a = DequantizeLinear(x, s, z) "
RAISED = {
    X + "y = ReduceMean(a, space)": "r[2,70,1,1]",
    X + "y = ReduceMean <keepdims = 0> (a, last)": "r[2,70,9]",
    X + "y = ReduceMean(a)": "r[1,1,1,1]",
    X + "y = GlobalAveragePool(a)": "r[2,70,1,1]",
    "a = DequantizeLinear(x, s) y = GlobalAveragePool(a)": "r[2,70,1,1]",
}
LEFT = {
    "a = DequantizeLinear <axis = 1> (x, each) y = GlobalAveragePool(a)": "one scale",
    X + "b = Relu(a) y = GlobalAveragePool(b)": None,
    X + "y = ReduceMean <noop_with_empty_axes = 1> (a, none)": None,
    X + "y = ReduceMax(a, space)": None,
}


def model(body: str, kind: str = "float", rank: int = 4) -> onnx.ModelProto:
    result = ",".join("abcd"[:rank])
    graph = onnx.parser.parse_graph(f"t (uint8[2,70,9,11] x) => ({kind}[{result}] y) {{ {body} }}")
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in CONSTANTS.items() if n in read)
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])


FEEDS = {"x": RNG.integers(0, 256, (2, 70, 9, 11)).astype(np.uint8)}


def run(body: str, rank: int = 4) -> Rewritten:
    return rewrite(model(body, rank=rank), average_bytes, eliminate_dead_code, feeds=FEEDS, rtol=1e-5, plain=True)


@pytest.mark.parametrize("body", RAISED)
def test_raised(body: str) -> None:
    assert run(body, RAISED[body].count(",") + 1).ops == ["QMean"]


@pytest.mark.parametrize("body", LEFT)
def test_left_alone(body: str) -> None:
    result = run(body)
    assert "QMean" not in result.ops
    assert LEFT[body] is None or any(str(LEFT[body]) in e.reason for e in result.events if not e.fired), result.events


def test_sums_are_exact_and_no_float_of_the_image_is_written() -> None:
    loaded = arenaut.load_onnx(model(X + "m = GlobalAveragePool(a) y = QuantizeLinear(m, u, v)", "uint8"))
    total = FEEDS["x"].astype(np.int64).sum((2, 3), keepdims=True) - 120 * 99
    mean = (total.astype(np.float64) * np.float64(np.float32(0.02)) / 99).astype(np.float32)
    want = np.clip(np.rint(mean / np.float32(0.003)) + 9, 0, 255)
    np.testing.assert_array_equal(loaded.run(dict(FEEDS))["y"], want)
    assert [step.kernel for step in loaded.profile(dict(FEEDS), repeat=1).steps] == ["reduce_quanta", "tile"]
