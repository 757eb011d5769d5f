"""Transforms in whole models: what the record samples do not reach."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

import arenaut
from tests.support.models import assert_close, ort_outputs


def stft_model(rank: int, length: int, step: int) -> onnx.ModelProto:
    shape = ["batch", "samples", 1][:rank]
    window = np.hanning(length).astype(np.float32)
    nodes = [
        helper.make_node("STFT", ["x", "step", "window"], ["spectra"], onesided=1),
        helper.make_node("ReduceSumSquare", ["spectra", "axis"], ["power"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "stft",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("power", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(step, np.int64), "step"), numpy_helper.from_array(window, "window"),
         numpy_helper.from_array(np.array([-1], np.int64), "axis")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(("length", "step"), [(400, 160), (512, 128), (67, 20), (25, 25)])
def test_power_spectra_of_any_signal(rank: int, length: int, step: int) -> None:
    """onnxruntime takes signals without the dim of parts, too; its own transforms are less exact."""
    proto = stft_model(rank, length, step)
    model = arenaut.load_onnx(proto)
    rng = np.random.default_rng(length)
    for shape in ((1, 2000), (3, 1311), (2, length)):
        x = rng.standard_normal(shape).astype(np.float32)
        feeds = {"x": x if rank == 2 else x[..., np.newaxis]}
        frames = sliding_window_view(x, length, axis=1)[:, ::step] * np.hanning(length).astype(np.float32)
        want = np.abs(np.fft.rfft(frames.astype(np.float64))) ** 2
        assert_close(model.run(feeds)["power"], want.astype(np.float32), rtol=1e-6)
        assert_close(ort_outputs(proto, feeds)[0], want.astype(np.float32), rtol=2e-4)
