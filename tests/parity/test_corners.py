"""Corners of single ops that random models found, with their right values."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import arenaut
from arenaut.errors import ExecutionError

UNKNOWN = object()  # a feed is declared without a shape
FARTHEST = (1 << 63) - 1


def run_one(op: str, feeds: list[Any], *, domain: str = "", opset: int = 28, constants: dict[int, Any] | None = None,
            declared: Any = None, optimize: bool = True, outputs: int = 1, **attributes: Any) -> list[Any]:  # fmt: skip
    """One node over feeds and constants by position; declared: UNKNOWN, or each feed's own shape."""
    names = [f"x{i}" for i in range(len(feeds) + len(constants or {}))]
    given = iter(feeds)
    arrays = {n: (constants or {}).get(i) if i in (constants or {}) else next(given) for i, n in enumerate(names)}
    fed = {n: np.asarray(a) for i, (n, a) in enumerate(arrays.items()) if i not in (constants or {})}
    infos = [
        helper.make_tensor_value_info(n, kind_of(a), None if declared is UNKNOWN else a.shape) for n, a in fed.items()
    ]
    stored = [tensor(a, n) for i, (n, a) in enumerate(arrays.items()) if i in (constants or {})]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **attributes)
    graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=n) for n in results], stored)
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return list(arenaut.load_onnx(model, optimize=optimize).run(fed).values())


def kind_of(array: Any) -> int:
    return TensorProto.STRING if array.dtype == object else int(helper.np_dtype_to_tensor_dtype(array.dtype))


def tensor(array: Any, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


@pytest.mark.parametrize("optimize", [True, False])
def test_slice_from_the_largest_integer(optimize: bool) -> None:
    x = np.arange(10).reshape(2, 5)
    bounds = [np.array([FARTHEST, 1]), np.array([0, FARTHEST])]
    steps = {3: np.array([0, 1]), 4: np.array([1 << 31, 2])}
    (y,) = run_one("Slice", [x, *bounds], constants=steps, optimize=optimize)
    assert y.shape == (0, 2)
    (y,) = run_one("Slice", [x, -bounds[0], bounds[0]], constants={3: steps[3]}, optimize=optimize)
    assert y.tolist() == x[:, -1:1].tolist()


@pytest.mark.parametrize("optimize", [True, False])
def test_texts_are_arrays_of_objects(optimize: bool) -> None:
    words = np.array(["a", "longer"], object)
    (y,) = run_one("GatherND", [words, np.array([1])], declared=UNKNOWN, optimize=optimize)
    assert (y.dtype, y.shape, y.item()) == (np.dtype(object), (), "longer")
    (y,) = run_one("OneHot", [np.array([0, 2])], constants={1: np.array(2), 2: words}, optimize=optimize)
    assert (y.dtype, y.tolist()) == (np.dtype(object), [["longer", "a"], ["a", "a"]])
    rows = np.array([["b", "a"], ["b", "a"], ["a", "c"]], object)
    values, first, *_ = run_one("Unique", [rows], axis=0, outputs=4, optimize=optimize)
    assert (values.tolist(), first.tolist()) == ([["a", "c"], ["b", "a"]], [2, 0])


@pytest.mark.parametrize("optimize", [True, False])
def test_results_of_no_bytes_whose_dims_only_running_knows(optimize: bool) -> None:
    (y,) = run_one("NonZero", [np.array(2)], optimize=optimize)
    assert (y.dtype, y.shape) == (np.dtype(np.int64), (0, 1))
    (y,) = run_one("Tile", [np.zeros((0, 3), np.float32), np.array([2, 2])], optimize=optimize)
    assert y.shape == (0, 6)


def test_categories_of_text_in_any_rank() -> None:
    words = np.array([[["b", "x"]]], object)
    settings = {"domain": "ai.onnx.ml", "cats_strings": ["a", "b"]}
    (y,) = run_one("OneHotEncoder", [words], zeros=1, **settings)
    assert y.tolist() == [[[[0, 1], [0, 0]]]]
    with pytest.raises(ExecutionError, match="'x', which is none of its categories"):
        run_one("OneHotEncoder", [words], zeros=0, **settings)


def test_text_becomes_any_number() -> None:
    texts = np.array(["1.5", "-2"], object)
    for kind, dtype in ((TensorProto.BFLOAT16, ml_dtypes.bfloat16), (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2)):
        (y,) = run_one("Cast", [texts], to=kind)
        assert (y.dtype, y.astype(np.float32).tolist()) == (np.dtype(dtype), [1.5, -2])


@pytest.mark.parametrize("dtype", [ml_dtypes.float6_e2m3fn, ml_dtypes.float6_e3m2fn])
@pytest.mark.parametrize("optimize", [True, False])
def test_six_bits(dtype: Any, optimize: bool) -> None:
    every = np.arange(64, dtype=np.uint8).view(dtype)
    (y,) = run_one("Cast", [every], to=TensorProto.FLOAT, optimize=optimize)
    np.testing.assert_array_equal(y, every.astype(np.float32))
    (y,) = run_one("Cast", [], constants={0: every[:5]}, to=TensorProto.FLOAT, optimize=optimize)
    np.testing.assert_array_equal(y, every[:5].astype(np.float32))
    floats = np.array([0.06, 7.6, -1e9, np.nan, np.inf, -0.3], np.float32)
    (y,) = run_one("Cast", [floats], to=kind_of(every), optimize=optimize)
    assert y.view(np.uint8).tolist() == floats.astype(dtype).view(np.uint8).tolist()


@pytest.mark.parametrize("optimize", [True, False])
def test_a_scale_that_is_a_power_of_two_divides_floats(optimize: bool) -> None:
    x = np.array([-3.0, 0.5, 9.0], np.float32)
    (y,) = run_one("QuantizeLinear", [x, np.array(2.0, ml_dtypes.float8_e8m0fnu)], optimize=optimize)
    assert (y.dtype, y.tolist()) == (np.dtype(np.uint8), [0, 0, 4])


@pytest.mark.parametrize("optimize", [True, False])
def test_matrices_turned_at_a_rank_that_running_decides(optimize: bool) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4)), np.random.default_rng(1).normal(size=(2, 3, 5))
    turned = {"domain": "com.microsoft", "declared": UNKNOWN, "optimize": optimize}
    (y,) = run_one("FusedMatMul", [a.astype(np.float32), b.astype(np.float32)], transA=1, **turned)
    np.testing.assert_allclose(y, a.transpose(0, 2, 1) @ b, rtol=1e-5, atol=1e-5)
    (y,) = run_one(
        "FusedMatMul", [a.astype(np.float32), b.astype(np.float32)], transA=1, transBatchA=1, transBatchB=1, **turned
    )
    np.testing.assert_allclose(y, a.transpose(1, 2, 0) @ b.transpose(1, 0, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("optimize", [True, False])
def test_complex_numbers_are_moved(optimize: bool) -> None:
    x = np.array([1 + 2j, 0, 3j])
    (y,) = run_one("NonZero", [x], optimize=optimize)
    assert y.tolist() == [[0, 2]]
    (y,) = run_one("ScatterND", [x, np.array([[1]]), np.array([5j])], optimize=optimize)
    assert y.tolist() == [1 + 2j, 5j, 3j]
