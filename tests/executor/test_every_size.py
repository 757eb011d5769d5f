"""Sizes far from those a model was planned for: no write is lost, nothing shares memory by chance."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut


def model(
    nodes: list[onnx.NodeProto], inputs: dict[str, list[int | str]], outputs: list[str], **constants: object
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("scatter", ["ScatterND", "ScatterElements"])
@pytest.mark.parametrize("start", [65, 100])
@pytest.mark.parametrize("effort", ["fast", "default", "max"])
def test_a_scatter_into_what_is_empty_at_typical_sizes_comes_after_the_copy(
    scatter: str, start: int, effort: str
) -> None:
    node = helper.make_node
    nodes = [
        node("Mul", ["x", "x"], ["v"]), node("Slice", ["v", "start", "end"], ["w"]), node("Relu", ["v"], ["q"]),
        node("Tanh", ["w"], ["t"]), node(scatter, ["t", "at", "u"], ["y"]), node("ReduceSum", ["q"], ["z"], keepdims=0),
    ]  # fmt: skip
    at = np.arange(4) if scatter == "ScatterElements" else np.arange(4)[:, None]
    proto = model(nodes, {"x": ["n"], "u": [4]}, ["y", "z"], start=[start], end=[2**40], at=at)
    loaded = arenaut.load_onnx(proto, optimize_memory=effort)
    x, u = np.linspace(0, 1, 128, dtype=np.float32), np.array([9, 8, 7, 6], np.float32)
    y = loaded.run({"x": x, "u": u})["y"]
    np.testing.assert_array_equal(y[:4], u)
    np.testing.assert_allclose(y[4:], np.tanh((x * x)[start + 4 :]), rtol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 16, 64, 129])
@pytest.mark.parametrize("m", [0, 1, 64, 200])
def test_concats_of_shared_parts_at_other_sizes(n: int, m: int) -> None:
    """One value in two results, whose other parts change places as the sizes grow."""
    node = helper.make_node
    nodes = [
        node("Exp", ["x"], ["a"]), node("Exp", ["p"], ["b"]), node("Exp", ["q"], ["c"]),
        node("Concat", ["a", "b"], ["ab"], axis=0), node("Concat", ["a", "c"], ["ac"], axis=0),
        node("Concat", ["c", "a", "b"], ["cab"], axis=0), node("Sigmoid", ["ab"], ["y"]),
        node("Sigmoid", ["ac"], ["z"]), node("Sigmoid", ["cab"], ["w"]),
    ]  # fmt: skip
    loaded = arenaut.load_onnx(model(nodes, {"x": [64], "p": ["n"], "q": ["m"]}, ["y", "z", "w"]))
    rng = np.random.default_rng(0)
    x, p, q = (rng.standard_normal(size).astype(np.float32) for size in (64, n, m))
    got = loaded.run({"x": x, "p": p, "q": q})
    a, b, c = np.exp(x), np.exp(p), np.exp(q)
    for name, parts in (("y", [a, b]), ("z", [a, c]), ("w", [c, a, b])):
        np.testing.assert_allclose(got[name], 1 / (1 + np.exp(-np.concatenate(parts))), rtol=1e-5)
