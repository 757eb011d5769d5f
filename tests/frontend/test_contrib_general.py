"""onnxruntime's ops that have a near relation in the standard, against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

import arenaut
from arenaut.errors import UnsupportedError
from arenaut.frontend.contrib import HANDLERS
from arenaut.frontend.contrib.refused import REASONS
from tests.support.importing import model_of, random, run_ort, tensor_info

INT32, INT64 = onnx.TensorProto.INT32, onnx.TensorProto.INT64
ROWS = random(5, 4).astype(np.float64)
IMAGE = random(1, 2, 6, 6)
GRID = np.tanh(random(1, 4, 5, 2))
TOKENS = np.array([3, 1, 3, 7, 1, 1], np.float32)

# op, inputs, attributes, outputs, which inputs are initialisers
CASES: Sequence[tuple[str, Sequence[Any], Mapping[str, Any], int, set[int]]] = (
    ("CDist", [random(5, 4), random(3, 4, seed=1)], {"metric": "euclidean"}, 1, set()),
    ("CDist", [random(5, 4), random(3, 4, seed=1)], {"metric": "sqeuclidean"}, 1, set()),
    ("CDist", [ROWS, ROWS[:2] + 1], {"metric": "euclidean"}, 1, set()),
    ("ExpandDims", [random(2, 3), np.array(1, np.int32)], {}, 1, {1}),
    ("ExpandDims", [random(2, 3), np.array(-1, np.int32)], {}, 1, {1}),
    ("SampleOp", [random(2, 3)], {}, 1, set()),
    ("Trilu", [random(2, 4, 4)], {}, 1, set()),
    ("Trilu", [random(2, 4, 4), np.array(1)], {"upper": 0}, 1, set()),
    ("Range", [np.array([2], np.float32), np.array([7], np.float32)], {}, 1, set()),
    ("Range", [np.array(9), np.array(1), np.array(-3)], {}, 1, set()),
    ("GatherND", [random(3, 4, 2), np.array([[0, 1], [2, 3]])], {}, 1, set()),
    ("Pad", [random(3, 2), np.array([0, 2, 1, 0]), np.array([0.5], np.float32)], {}, 1, set()),
    ("Pad", [random(3, 2), np.array([0, 1, 1, 0])], {"mode": "reflect"}, 1, set()),
    ("Unique", [TOKENS], {}, 3, set()),
    ("GridSample", [IMAGE, GRID], {}, 1, set()),
    ("GridSample", [IMAGE, GRID], {"mode": "bicubic", "padding_mode": "border", "align_corners": 1}, 1, set()),
    ("MatMulInteger16", [np.arange(-6, 6, dtype=np.int16).reshape(3, 4), np.ones((4, 2), np.int16)], {}, 1, set()),
    ("NhwcMaxPool", [np.arange(96, dtype=np.uint8).reshape(1, 6, 8, 2) * 7 % 101],
     {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 0, 1]}, 1, set()),
    ("UnfoldTensor", [random(2, 7, 3)], {"dim": 1, "size": 3, "step": 2}, 1, set()),
    ("UnfoldTensor", [random(2, 7)], {"size": 2}, 1, set()),
)  # fmt: skip


def _model(op: str, inputs: Sequence[Any], attributes: Any, outputs: int, constant: set[int]) -> onnx.ModelProto:
    names, made = [f"x{i}" for i in range(len(inputs))], [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, made, domain="com.microsoft", **attributes)
    infos = [tensor_info(f"x{i}", x.shape, helper.np_dtype_to_tensor_dtype(x.dtype))
             for i, x in enumerate(inputs) if i not in constant]  # fmt: skip
    first = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    kinds = [
        onnx.TensorProto.INT32 if op == "MatMulInteger16" else first,
        onnx.TensorProto.INT64,
        onnx.TensorProto.INT64,
    ]
    results = [tensor_info(n, None, t) for n, t in zip(made, kinds, strict=False)]
    return model_of([node], infos, results, {f"x{i}": inputs[i] for i in constant}, opset=17, ir_version=8,
                    domains={"com.microsoft": 1})  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_as_onnxruntime(case: tuple[str, Any, Any, int, set[int]]) -> None:
    op, inputs, attributes, outputs, constant = case
    model = _model(op, inputs, attributes, outputs, constant)
    feeds = {f"x{i}": x for i, x in enumerate(inputs) if i not in constant}
    want = run_ort(model, feeds)
    for got, expected in zip(arenaut.load_onnx(model).run(feeds).values(), want, strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "x", "attributes"),
    [
        ("Affine", random(6), {"alpha": 0.5, "beta": -1.0}),
        ("Scale", random(2, 3), {"scale": 3.0}),
        ("ScaledTanh", random(5), {"alpha": 1.5, "beta": 0.5}),
        ("ParametricSoftplus", random(5), {"alpha": 1.5, "beta": 0.5}),
        ("ImageScaler", IMAGE, {"scale": 2.0, "bias": [0.5, -1.0]}),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_experiments_of_the_standard_that_onnxruntime_kept(op: str, x: Any, attributes: Any) -> None:
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    model = model_of([node], [tensor_info("x", x.shape)], ["y"], opset=9, ir_version=6)
    (want,) = run_ort(model, {"x": x})
    np.testing.assert_allclose(arenaut.load_onnx(model).run(x=x)["y"], want, rtol=1e-5, atol=1e-6)


def test_those_that_onnxruntime_has_for_other_devices_alone() -> None:
    """By what their schemas say: a sum, and a product whose result goes through Gelu."""
    x, w, b = random(2, 3, 4), random(4, 5), random(5)
    model = _model("BiasAdd", [x, x[0, 0], x + 1], {}, 1, set())
    got = arenaut.load_onnx(model).run({"x0": x, "x1": x[0, 0], "x2": x + 1})["y0"]
    np.testing.assert_allclose(got, x + x[0, 0] + x + 1, rtol=1e-6)
    got = arenaut.load_onnx(_model("GemmFastGelu", [x, w, b], {}, 1, set())).run({"x0": x, "x1": w, "x2": b})["y0"]
    z = (x @ w + b).astype(np.float64)
    want = 0.5 * z * (1 + np.tanh(0.7978845608028654 * (z + 0.044715 * z**3)))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_every_op_of_onnxruntime_is_read_or_refused_for_a_reason() -> None:
    """By the schemas of the onnxruntime at hand; an op is not both."""
    domains = ("com.microsoft", "com.microsoft.nchwc")
    known = {(s.domain, s.name) for s in get_all_operator_schema() if s.domain in domains}
    assert not known - HANDLERS.keys() - REASONS.keys()
    assert not HANDLERS.keys() & REASONS.keys()


def test_a_refusal_gives_its_reason() -> None:
    model = _model("GreedySearch", [random(2, 3)], {}, 1, set())
    with pytest.raises(UnsupportedError, match=r"GreedySearch(.|\n)*generation loop"):
        arenaut.load_onnx(model)
