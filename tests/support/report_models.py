"""Models for the report tests whose sizes are known by arithmetic."""

import itertools
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT, FIRST, SECOND, OUTPUT = 64, 1024, 4096, 512
"""Widths, in floats, of the tensors of `save_chain`."""


def save_chain(path: Path) -> Path:
    """Three products in a row, x [batch, 64] -> [batch, 1024] -> [batch, 4096] -> y [batch, 512].

    No two tensors have the same size and no product can work in place, so what must be live when is plain.
    """
    rng = np.random.default_rng(0)
    widths = (INPUT, FIRST, SECOND, OUTPUT)
    names = ("x", "first", "second", "y")
    weights = [
        numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32), f"w{index}")
        for index, shape in enumerate(itertools.pairwise(widths))
    ]
    nodes = [helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]]) for index in range(3)]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INPUT])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", OUTPUT])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
