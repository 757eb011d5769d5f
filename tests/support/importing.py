"""Small models for the frontend's tests, and the comparison of an imported graph with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from arenaut.frontend import import_model
from arenaut.ir import Graph
from arenaut.ir.evaluate import evaluate_graph

Array = np.ndarray[Any, Any]
FLOAT = TensorProto.FLOAT


def tensor_info(name: str, shape: Sequence[int | str | None] | None = None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto | str],
    initializers: Mapping[str, Array] | None = None,
    *,
    opset: int = 21,
    ir_version: int = 10,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model; an output given as text is a float tensor of unknown shape."""
    infos = [tensor_info(o) if isinstance(o, str) else o for o in outputs]
    tensors = [numpy_helper.from_array(a, name) for name, a in (initializers or {}).items()]
    graph = helper.make_graph(list(nodes), "test", list(inputs), infos, tensors)
    imports = [helper.make_opsetid(d, v) for d, v in {"": opset, **(domains or {})}.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, functions=list(functions))


def single_op(
    op: str, inputs: Sequence[Array | None], *, opset: int, outputs: int = 1, dtype: int = FLOAT, **attributes: Any
) -> onnx.ModelProto:
    """A model of one node whose first input is a graph input and whose others are initialisers."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], **attributes)
    first = inputs[0]
    assert first is not None
    info = tensor_info("x0", first.shape, helper.np_dtype_to_tensor_dtype(first.dtype))
    constants = {n: x for n, x in zip(names[1:], inputs[1:], strict=True) if x is not None}
    return model_of([node], [info], [tensor_info(f"y{i}", dtype=dtype) for i in range(outputs)], constants, opset=opset,
                    ir_version=8)  # fmt: skip


def run_ort(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def run_graph(graph: Graph, feeds: Mapping[str, Array]) -> list[Any]:
    return evaluate_graph(graph, [feeds[v.name] for v in graph.inputs])


def check_against_ort(model: onnx.ModelProto, feeds: Mapping[str, Array], tolerance: float = 1e-6) -> Graph:
    """Imports the model, evaluates the graph and compares every output with onnxruntime's."""
    graph = import_model(model).graph
    compare(run_graph(graph, feeds), run_ort(model, feeds), tolerance)
    return graph


def compare(actual: Sequence[Any], expected: Sequence[Any], tolerance: float = 1e-6) -> None:
    assert len(actual) == len(expected)
    for have, want in zip(actual, expected, strict=True):
        assert np.asarray(have).dtype == np.asarray(want).dtype
        assert np.shape(have) == np.shape(want)
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
