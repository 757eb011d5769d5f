"""QLinearMatMul with scales a row and a column, which onnxruntime refuses: against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import arenaut

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
NAMES = ("a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero")
ONE = (np.array(0.02, np.float32), np.array(128, np.uint8))


def scales(*shape: int) -> tuple[Array, Array]:
    return (RNG.random(shape) * 0.01 + 0.005).astype(np.float32), RNG.integers(100, 150, shape).astype(np.uint8)


@pytest.mark.parametrize("fed", [False, True])
@pytest.mark.parametrize(
    ("batch", "a", "b", "y"),
    [
        ((2, 3), scales(2, 3, 4, 1), ONE, ONE),
        ((2, 3), scales(2, 3, 4, 1), scales(2, 3, 1, 6), ONE),
        ((2, 3), scales(2, 3, 4, 1), ONE, scales(2, 3, 4, 1)),
        ((), scales(4), scales(6), ONE),
        ((), scales(4), ONE, scales(4)),
    ],
)
def test_rows_and_columns(batch: tuple[int, ...], a: Any, b: Any, y: Any, fed: bool) -> None:
    left = RNG.integers(0, 256, (*batch, 4, 5)).astype(np.uint8)
    right = RNG.integers(0, 256, (*batch, 5, 6)).astype(np.uint8)
    given = dict(zip(NAMES, (left, *a, right, *b, *y), strict=True))
    inputs = [n for n in NAMES if fed or n in ("a", "b")]
    graph = helper.make_graph(
        [helper.make_node("QLinearMatMul", NAMES, ["y"])], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(given[n].dtype), given[n].shape)
         for n in inputs],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(given[n], n) for n in NAMES if n not in inputs],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    got = arenaut.load_onnx(model).run({n: given[n] for n in inputs})["y"]
    rows_a, rows_y = ([v[:, None] if v.ndim == 1 else v for v in pair] for pair in (a, y))
    exact = np.matmul(
        (left.astype(np.float64) - rows_a[1]) * rows_a[0].astype(np.float64),
        (right.astype(np.float64) - b[1]) * b[0].astype(np.float64),
    )
    want = np.clip(np.rint(exact / rows_y[0]) + rows_y[1], 0, 255).astype(np.uint8)
    assert np.array_equal(got, want)
