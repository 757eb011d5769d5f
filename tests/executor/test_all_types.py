"""Ops for every type that the standard names, where kernels know fewer."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import arenaut
from tests.support.models import parse


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("equation", ["ii->i", "ij->", "ij->i", "ii", "ij,jk->ik"])
def test_einsum_of_narrow_integers_wraps(dtype: str, equation: str) -> None:
    operands = [np.arange(9).reshape(3, 3).astype(dtype) * 9 for _ in equation.split("->")[0].split(",")]
    names = [f"x{i}" for i in range(len(operands))]
    inputs = ", ".join(f"{dtype}[3, 3] {n}" for n in names)
    text = f'agraph ({inputs}) => ({dtype}[] y) {{ y = Einsum <equation = "{equation}"> ({", ".join(names)}) }}'
    got = arenaut.load_onnx(parse(text)).run(dict(zip(names, operands, strict=True)))["y"]
    want = np.einsum(equation, *(o.astype(np.int64) for o in operands)).astype(dtype)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float", "double", "float16", "bfloat16"])
def test_det(dtype: str) -> None:
    kind = {"float": np.float32, "double": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    x = np.array([[[2, 0, 1], [0, 3, 0], [1, 0, 2]], [[0, 1, 0], [1, 0, 0], [0, 0, 4]]]).astype(kind)
    for dims in ("2, 3, 3", "a, b, c"):
        y = arenaut.load_onnx(parse(f"agraph ({dtype}[{dims}] x) => ({dtype}[] y) {{ y = Det (x) }}", opset=22))
        got = y.run({"x": x})["y"]
        assert got.dtype == x.dtype
        np.testing.assert_allclose(got.astype(np.float64), [9, -4], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
@pytest.mark.parametrize("op, want", [("ReduceLogSumExp", 4), ("ReduceLogSum", 2), ("ReduceL2", 5)])
def test_integer_reductions_of_any_rank(dtype: str, op: str, want: int) -> None:
    for dims in ("2, 2", "a, b", ""):
        text = f"agraph ({dtype}[{dims}] x) => ({dtype}[] y) {{ y = {op} <keepdims = 0> (x) }}"
        got = arenaut.load_onnx(parse(text)).run({"x": np.array([[4, 3], [0, 1]], dtype)})["y"]
        assert got.dtype == np.dtype(dtype) and got == want
