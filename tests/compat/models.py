"""Small models for the tests of the drop-in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h


def save(graph: Any, **stated: Any) -> bytes:
    model = h.make_model(
        graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("ai.onnx.ml", 3)], ir_version=8, **stated
    )
    data: bytes = model.SerializeToString()
    return data


def info(name: str, shape: Sequence[Any] | None = None, dtype: int = T.FLOAT) -> Any:
    return h.make_tensor_value_info(name, dtype, shape)


def passes(dtype: int, shape: Sequence[Any] | None = ("N",)) -> bytes:
    """y = x."""
    return save(h.make_graph([h.make_node("Identity", ["x"], ["y"])], "g", [info("x", shape, dtype)],
                             [info("y", None, dtype)]))  # fmt: skip


def product(rows: Any = "N") -> bytes:
    """z = x w, with w of 3 x 4 ones."""
    w = h.make_tensor("w", T.FLOAT, [3, 4], np.ones(12, np.float32))
    return save(h.make_graph([h.make_node("MatMul", ["x", "w"], ["z"])], "product", [info("x", [rows, 3])],
                             [info("z")], [w]))  # fmt: skip


def branches() -> bytes:
    """near = -x, far = x[i] for an index i: far fails for an index out of range."""
    nodes = [h.make_node("Neg", ["x"], ["near"]), h.make_node("Gather", ["x", "i"], ["far"])]
    return save(h.make_graph(nodes, "g", [info("x", ["N"]), info("i", [1], T.INT64)], [info("near"), info("far")]))


def of_nodes(*nodes: Any, inputs: Sequence[Any] = (), opset: int = 17) -> bytes:
    graph = h.make_graph(list(nodes), "g", list(inputs), [info("y")])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("my", 1)],
                        ir_version=8).SerializeToString()  # fmt: skip
