"""Values whose rank only running knows: right values, and the types that the model states."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

import arenaut
from tests.support.models import assert_matches_ort, parse

X = np.random.default_rng(0).standard_normal(2 * 3 * 8 * 8).astype(np.float32)
CHANNELS = np.abs(X[:3]) + 1


def reshaped(rest: str, opset: int, inputs: str = "", outputs: str = "float[] y") -> onnx.ModelProto:
    """x under a fed shape of any length, then `rest`, from z to y."""
    signature = f"agraph (float[n] x, int64[k] t{inputs}) => ({outputs})"
    return parse(f"{signature} {{ z = Reshape (x, t)\n {rest} }}", opset=opset, ir_version=7)


def feeds(*shape: int, **more: Any) -> dict[str, Any]:
    return {"x": X, "t": np.array(shape), **more}


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"])
def test_narrow_types_stay_themselves(dtype: str) -> None:
    name = dtype.replace("_", "")
    model = arenaut.load_onnx(parse(f"agraph ({name}[n] x, int64[k] t) => ({name}[] y) {{ y = Reshape (x, t) }}"))
    x = np.array([1, 2, 3, 4]).astype(getattr(ml_dtypes, dtype))
    for _ in range(2):  # the first run takes another way than the later ones
        y = model.run({"x": x, "t": np.array([2, 2])})["y"]
        assert y.dtype == x.dtype and y.tolist() == [[1, 2], [3, 4]]
    assert model.run({"x": x, "t": np.array([4])}, timeout=60)["y"].dtype == x.dtype


@pytest.mark.parametrize("opset", [7, 9, 14, 15, 21])
def test_batch_normalization_with_constant_statistics(opset: int) -> None:
    proto = parse("agraph (float[] x) => (float[] y) { y = BatchNormalization (x, s, s, s, s) }", opset=opset)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(CHANNELS, "s"))
    for shape in ((2, 3, 8, 8), (32, 3, 4), (128, 3)):
        x = X.reshape(shape)
        assert_matches_ort(proto, arenaut.load_onnx(proto).run({"x": x}), {"x": x}, rtol=1e-6)


def test_resize_by_fed_scales_counts_axes_from_the_back() -> None:
    scales = np.array([2, 2.5], np.float32)
    for inputs, x in (("float[a, b, c, d] x", X.reshape(2, 3, 8, 8)), ("float[] x", X.reshape(2, 3, 8, 8))):
        proto = parse(
            f'agraph ({inputs}, float[2] s) => (float[] y) {{ y = Resize <mode = "linear", axes = [-2, -1]> (x, , s) }}'
        )
        given = {"x": x, "s": scales}
        assert_matches_ort(proto, arenaut.load_onnx(proto).run(given), given, rtol=1e-6)


def test_max_pool_of_an_empty_batch() -> None:
    proto = parse("agraph (float[] x) => (float[] y, int64[] i) { y, i = MaxPool <kernel_shape = [2, 2]> (x) }")
    x = np.zeros((0, 3, 8, 8), np.float32)
    assert_matches_ort(proto, arenaut.load_onnx(proto).run({"x": x}), {"x": x}, rtol=0)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pools_of_any_rank(op: str) -> None:
    proto = reshaped(f"y = {op} <kernel_shape = [2, 2], strides = [2, 2]> (z)", 13)
    given = feeds(2, 3, 8, 8)
    assert_matches_ort(proto, arenaut.load_onnx(proto).run(given), given, rtol=1e-6)
