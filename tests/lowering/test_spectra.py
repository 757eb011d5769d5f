"""Spectra whose bins are only squared and summed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.frontend import import_model
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.pipeline import LoweringOptions, drop_unread_steps
from arenaut.lowering.spectra import take_powers
from arenaut.native.target import current_target
from tests.support.models import parse

TARGET = current_target(1)
FRONT_END = """agraph ({type}[b,n] x) => ({type}[b,f,k] y)
<int64 step = {{160}}, {type}[400] window = {{{window}}}, int64[1] parts = {{-1}}>
{{ s = STFT <onesided = {onesided}> (x, step, window)  y = ReduceSumSquare <keepdims = 0> (s, parts) }}"""


def front_end(dtype: str = "float", onesided: int = 1) -> onnx.ModelProto:
    window = ", ".join(f"{v:.6f}" for v in np.hanning(400))
    return parse(FRONT_END.format(type=dtype, window=window, onesided=onesided), opset=18)


def steps_of(model: onnx.ModelProto) -> list[str]:
    lowered = lower_graph(import_model(model).graph, TARGET)
    lowered = take_powers(drop_unread_steps(lowered, TARGET, LoweringOptions()))
    return [step.row.family for step in lowered.steps if step.row is not None]


@pytest.mark.parametrize("dtype", ["float", "double"])
@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_power_of_a_spectrum_is_its_only_result(dtype: str, onesided: int, batch: int) -> None:
    model = front_end(dtype, onesided)
    assert steps_of(model) == ["Fft"]
    x = np.random.default_rng(0).standard_normal((batch, 2000)).astype(dtype if dtype == "double" else "float32")
    loaded = arenaut.load_onnx(model, threads=1)
    got = loaded.run({"x": x})["y"]
    frames = np.stack([x[:, at : at + 400] for at in range(0, 1601, 160)], 1) * np.round(np.hanning(400), 6)
    want = np.abs(np.fft.rfft(frames) if onesided else np.fft.fft(frames)) ** 2
    np.testing.assert_allclose(got, want, rtol=1e-4 if dtype == "float" else 1e-9, atol=1e-3)
    bins = 201 if onesided else 400
    assert loaded.plan.arena_bytes - loaded.plan.scratch_bytes <= batch * 11 * bins * x.itemsize + 128


def test_frames_that_nobody_reads_are_not_transformed() -> None:
    model = parse(
        """agraph (float[1,n] x) => (float[1,f,k] y)
        <int64 step = {100}, int64 length = {200}, int64[1] parts = {-1}, int64[1] start = {0}, int64[1] last = {7},
         int64[1] axis = {1}>
        { s = STFT <onesided = 1> (x, step, , length)  c = Slice (s, start, last, axis)
          y = ReduceSumSquare <keepdims = 0> (c, parts) }""".replace("[1,n]", "[1,1000]"),
        opset=18,
    )
    assert steps_of(model) == ["Fft"]
    x = np.random.default_rng(1).standard_normal((1, 1000)).astype(np.float32)
    got = arenaut.load_onnx(model, threads=1).run({"x": x})["y"]
    want = np.abs(np.fft.rfft(np.stack([x[0, at : at + 200] for at in range(0, 700, 100)]))) ** 2
    np.testing.assert_allclose(got[0], want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "rest",
    [
        "y = ReduceSumSquare <keepdims = 0> (s, parts)  z = Neg (s)",  # the bins have another reader
        "y = ReduceSumSquare <keepdims = 0> (s, bins)  z = Neg (y)",  # sums over bins, not over parts
        "y = ReduceL2 <keepdims = 0> (s, parts)  z = Neg (y)",
    ],
)
def test_other_sums_stay_steps_of_their_own(rest: str) -> None:
    model = parse(
        f"""agraph (float[1,1000] x) => (float[1,f,k] y, float[a,b,c] z)
        <int64 step = {{100}}, int64 length = {{200}}, int64[1] parts = {{-1}}, int64[1] bins = {{2}}>
        {{ s = STFT <onesided = 1> (x, step, , length)  {rest} }}""".replace("float[a,b,c] z", "float z"),
        opset=18,
    )
    assert "Reduce" in steps_of(model)
