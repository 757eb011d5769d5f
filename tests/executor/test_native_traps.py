"""Ops that once ran in Python, or slowly: where their kernels' forms meet, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arenaut
from arenaut.errors import ExecutionError
from tests.support.models import ort_outputs, parse

RNG = np.random.default_rng(11)


def pooled(text: str, x: np.ndarray) -> Any:
    return arenaut.load_onnx(parse(text), threads=1).run({"x": x})["y"]


@pytest.mark.parametrize("dtype", ["float", "double", "uint8", "int8"])
@pytest.mark.parametrize("width", [5, 16, 33, 70])
@pytest.mark.parametrize(
    "window",
    [
        "kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]",
        "kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1",
        "kernel_shape = [3, 2], dilations = [1, 2], pads = [0, 1, 1, 0]",
        "kernel_shape = [2, 3], strides = [1, 3], pads = [1, 0, 0, 2]",
    ],
)
def test_largest_of_windows_at_every_width_of_a_line(dtype: str, width: int, window: str) -> None:
    names = {"float": np.float32, "double": np.float64, "uint8": np.uint8, "int8": np.int8}
    text = f"g ({dtype}[2, 3, 7, {width}] x) => ({dtype}[a, b, c, d] y) {{ y = MaxPool <{window}> (x) }}"
    x = RNG.integers(-128 if dtype == "int8" else 0, 127, (2, 3, 7, width)).astype(names[dtype])
    (want,) = ort_outputs(parse(text), {"x": x})
    np.testing.assert_array_equal(pooled(text, x), want)


def test_a_nan_is_the_largest_wherever_it_stands_in_a_line() -> None:
    op = "MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)"
    text = f"g (float[1, 1, 4, 20] x) => (float[a, b, c, d] y) {{ y = {op} }}"
    for place in range(20):
        x = np.zeros((1, 1, 4, 20), np.float32)
        x[0, 0, 1, place] = np.nan
        want = np.zeros((2, 10), bool)
        want[0, place // 2] = True
        np.testing.assert_array_equal(np.isnan(pooled(text, x)[0, 0]), want)


def test_bytes_with_channels_innermost() -> None:
    text = """g (uint8[1, 9, 8, 70] x) => (uint8[a, b, c, d] y) {
      t = Transpose <perm = [0, 3, 1, 2]> (x)
      p = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (t)
      y = Transpose <perm = [0, 2, 3, 1]> (p) }"""
    x = RNG.integers(0, 255, (1, 9, 8, 70)).astype(np.uint8)
    (want,) = ort_outputs(parse(text), {"x": x})
    np.testing.assert_array_equal(pooled(text, x), want)


CACHE = """g (float[2, 3, 5, 4] c, float[2, 3, 2, 4] u, int64[2] at) => (float[2, 3, 5, 4] y) {{
  y = TensorScatter{} (c, u, at) }}"""


@pytest.mark.parametrize("starts", [(0, 4), (-1, 0), (2**62, 0)])
def test_a_cache_is_not_written_past_its_end(starts: tuple[int, int]) -> None:
    model = arenaut.load_onnx(parse(CACHE.format(""), opset=24))
    feeds = {"c": np.zeros((2, 3, 5, 4), np.float32), "u": np.ones((2, 3, 2, 4), np.float32)}
    with pytest.raises(ExecutionError, match=r"TensorScatter.*out of range"):
        model.run({**feeds, "at": np.array(starts)})


def test_a_circular_cache_wraps() -> None:
    model = arenaut.load_onnx(parse(CACHE.format(' <mode = "circular">'), opset=24))
    feeds = {"c": np.zeros((2, 3, 5, 4), np.float32), "u": np.ones((2, 3, 2, 4), np.float32)}
    written = model.run({**feeds, "at": np.array([4, 11])})["y"][:, 0, :, 0]
    np.testing.assert_array_equal(written, [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]])


@pytest.mark.parametrize("batch", [-1.0, 2.0, np.nan, np.inf])
def test_a_region_of_no_image_is_refused(batch: float) -> None:
    op = "MaxRoiPool <pooled_shape = [2, 2]> (x, r)"
    text = f"g (float[2, 1, 4, 4] x, float[1, 5] r) => (float[a, b, c, d] y) {{ y = {op} }}"
    model = arenaut.load_onnx(parse(text))
    with pytest.raises(ExecutionError, match=r"MaxRoiPool.*out of range"):
        model.run({"x": np.zeros((2, 1, 4, 4), np.float32), "r": np.array([[batch, 0, 0, 3, 3]], np.float32)})


def test_offsets_that_are_no_numbers_read_zero() -> None:
    text = """g (float[1, 1, 3, 3] x, float[1, 2, 3, 3] o) => (float[a, b, c, d] y)
    <float[1, 1, 1, 1] w = {1}> { y = DeformConv (x, w, o) }"""
    offset = np.zeros((1, 2, 3, 3), np.float32)
    offset[0, :, 0] = [[np.nan, np.inf, -np.inf], [1e30, -1e30, 5]]
    y = arenaut.load_onnx(parse(text)).run({"x": np.ones((1, 1, 3, 3), np.float32), "o": offset})["y"]
    np.testing.assert_array_equal(y[0, 0], [[0, 0, 0], [1, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("dtype", ["float", "uint8"])
def test_resize_by_scales_that_only_running_knows(mode: str, dtype: str) -> None:
    if dtype == "uint8" and mode == "cubic":
        pytest.skip("onnxruntime has no such kernel")
    op = f'Resize <mode = "{mode}", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">'
    text = f"g ({dtype}[1, 2, h, 6] x, float[4] s) => ({dtype}[a, b, c, d] y) {{ y = {op} (x, , s) }}"
    model = arenaut.load_onnx(parse(text, opset=19))
    x = RNG.integers(0, 100, (1, 2, 5, 6)).astype(np.uint8 if dtype == "uint8" else np.float32)
    for scales in ((1, 1, 2, 3), (1, 1, 0.5, 1), (1, 1, 1, 1), (1, 1, 1.6, 0.7)):
        feeds = {"x": x, "s": np.array(scales, np.float32)}
        (want,) = ort_outputs(parse(text, opset=19), feeds)
        got = model.run(feeds)["y"]
        assert got.shape == want.shape
        far = np.abs(got.astype(np.float64) - want.astype(np.float64)).max()
        assert far <= (1 if dtype == "uint8" and mode != "nearest" else 1e-4)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_fed_scale_that_is_none_is_refused(scale: float) -> None:
    text = "g (float[1, 4] x, float[2] s) => (float[a, b] y) { y = Resize (x, , s) }"
    model = arenaut.load_onnx(parse(text, opset=19))
    with pytest.raises(ExecutionError, match="Resize"):
        model.run({"x": np.zeros((1, 4), np.float32), "s": np.array([1, scale], np.float32)})


def test_a_constant_image_of_bytes_stays_constant_under_resize() -> None:
    """Weights add up to one only nearly, which no element may show."""
    text = """g (uint8[1, 1, 7, 7] x) => (uint8[a, b, c, d] y)
    <int64[4] sizes = {1, 1, 23, 31}> { y = Resize <mode = "linear"> (x, , , sizes) }"""
    for value in (1, 77, 255):
        y = arenaut.load_onnx(parse(text, opset=19)).run({"x": np.full((1, 1, 7, 7), value, np.uint8)})["y"]
        assert (y == value).all()


def test_draws_follow_the_log_probabilities_of_classes() -> None:
    text = "g (float[2, 3] x) => (int32[2, 4000] y) { y = Multinomial <sample_size = 4000, seed = 3.0> (x) }"
    shares = np.array([[0.5, 0.25, 0.25], [0.0, 0.1, 0.9]], np.float32)
    with np.errstate(divide="ignore"):
        y = arenaut.load_onnx(parse(text)).run({"x": np.log(shares) + 7})["y"]
    found = np.stack([np.bincount(row, minlength=3) for row in y]) / 4000
    assert y.dtype == np.int32 and np.abs(found - shares).max() < 0.04
    assert found[1, 0] == 0
