"""Casts between all pairs of element types, by their evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.ir.dtypes import DType
from arenaut.ir.ops.cast import cast_array

NUMBERS = tuple(t for t in DType if t not in (DType.STRING, DType.BOOL, DType.COMPLEX64, DType.COMPLEX128))


@pytest.mark.parametrize("source", NUMBERS)
def test_one_stays_one(source: DType) -> None:
    """Which every type of numbers holds. ml_dtypes itself does not convert between E8M0 and other narrow types."""
    ones = np.ones(3, np.float32).astype(source.numpy)
    for target in NUMBERS:
        got = cast_array(ones, target)
        assert got.dtype == target.numpy
        np.testing.assert_array_equal(got.astype(np.float32), np.ones(3, np.float32), err_msg=f"{source} to {target}")


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("INT4", [-8, 0, 7]), ("UINT4", [0, 9, 15]), ("INT2", [-2, 0, 1]), ("UINT2", [0, 2, 3])],
)
@pytest.mark.parametrize("fed", [True, False])
def test_narrow_integers_as_texts(kind: str, numbers: list[int], fed: bool) -> None:
    stored = onnx.helper.make_tensor("x", getattr(onnx.TensorProto, kind), [3], numbers)
    info = onnx.helper.make_tensor_value_info("x", stored.data_type, [3])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.STRING, [3])
    node = onnx.helper.make_node("Cast", ["x"], ["y"], to=int(onnx.TensorProto.STRING))
    graph = onnx.helper.make_graph([node], "g", [info] * fed, [out], [stored] * (not fed))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 25)])
    feeds = {"x": onnx.numpy_helper.to_array(stored)} if fed else {}
    assert arenaut.load_onnx(model).run(feeds)["y"].tolist() == [str(n) for n in numbers]
