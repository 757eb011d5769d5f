"""What takes too long or too much ends in an error of its own, wherever it runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from onnx import helper

import arenaut
from arenaut.errors import ArenautError, ExecutionError, MemoryLimitError, RunTimeoutError, ShapeError
from arenaut.native.target import machine_memory
from tests.support.models import parse

COUNTED = "agraph (seq(float[n]) x) => (int64 y) { y = SequenceLength (x) }"
"""Lists run through Python."""


def test_a_host_call_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    model = arenaut.load_onnx(parse(COUNTED))

    def forever(node: Any, inputs: Any) -> Any:
        while True:
            sum(range(100))

    monkeypatch.setattr("arenaut.executor.host.evaluator_of", lambda node: forever)
    start = time.monotonic()
    with pytest.raises(RunTimeoutError, match=r"0\.2 seconds"):
        model.run({"x": [np.ones(2, np.float32)]}, timeout=0.2)
    assert time.monotonic() - start < 5


def test_a_host_call_that_was_too_slow_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold the interpreter for long, in numpy: nothing can end it, but the run is late all the same."""
    model = arenaut.load_onnx(parse(COUNTED))

    def late(node: Any, inputs: Any) -> Any:
        time.sleep(0.3)
        return [np.int64(1)]

    monkeypatch.setattr("arenaut.executor.host.evaluator_of", lambda node: late)
    with pytest.raises(RunTimeoutError):
        model.run({"x": [np.ones(2, np.float32)]}, timeout=0.05)
    monkeypatch.undo()
    again = arenaut.load_onnx(parse(COUNTED))
    for _ in range(3):
        assert again.run({"x": [np.ones(2, np.float32)]}, timeout=60)["y"] == 1


def test_an_odd_frame_of_an_stft_is_refused() -> None:
    text = "agraph (float[1, n, 1] x, int64 step, int64 length) => (float[] y) { y = STFT (x, step, , length) }"
    model = arenaut.load_onnx(parse(text))
    x = np.ones((1, 16, 1), np.float32)
    assert model.run({"x": x, "step": np.array(4), "length": np.array(8)})["y"].shape == (1, 3, 5, 2)
    odd = ((4, -8, "frame_length.*-8"), (-4, 8, "frame_step.*-4"), (0, 8, "frame_step.*0"), (4, 17, "frame_length.*17"))
    for step, length, said in odd:
        with pytest.raises(ExecutionError, match=said):
            model.run({"x": x, "step": np.array(step), "length": np.array(length)}, timeout=30)
    fixed = text.replace("int64 step, ", "").replace("=> (float[] y) {", "=> (float[] y) <int64 step = {-1}> {")
    with pytest.raises(ShapeError, match=r"frame_step.* is -1"):
        arenaut.load_onnx(parse(fixed))


def test_what_exceeds_the_machine_is_refused() -> None:
    model = arenaut.load_onnx(parse(
        "agraph (int64[n] x, int64 d) => (float[] y) <float[2] v = {0, 1}> { y = OneHot (x, d, v) }"))  # fmt: skip
    depth = machine_memory() // 4 + 1
    with pytest.raises(MemoryLimitError, match="this machine has"):
        model.run({"x": np.array([0, 1]), "d": np.array(depth)})
    assert model.run({"x": np.array([0, 1]), "d": np.array(3)})["y"].shape == (2, 3)


def test_plan_and_repr_of_a_model_that_cannot_be() -> None:
    shape = "<int64[2] t = {1099511627776, 1048576}>"
    huge = arenaut.load_onnx(parse(f"agraph (float[1] x) => (float[] y) {shape} {{ y = Expand (x, t) }}"))
    with pytest.raises(ArenautError):
        _ = huge.plan
    assert "plan none" in str(huge)


def test_profile_of_text() -> None:
    model = arenaut.load_onnx(parse("agraph (string[n] x) => (bool[n] y) { y = Equal (x, x) }"))
    assert model.profile({"x": np.array(["a", "b"], object)}, repeat=2).steps


def test_positions_below_zero_are_refused() -> None:
    inputs = "float[1, 1, 2, 4] x, float[4, 2] c, int64[1, 2] p"
    text = f"agraph ({inputs}) => (float[] y) {{ y = RotaryEmbedding (x, c, c, p) }}"
    model = arenaut.load_onnx(parse(text, opset=23))
    x, c = np.ones((1, 1, 2, 4), np.float32), np.ones((4, 2), np.float32)
    for position in (-1, 4):
        with pytest.raises(ExecutionError, match=r"RotaryEmbedding.*out of range"):
            model.run({"x": x, "c": c, "p": np.array([[position, 0]])})


def test_tuples_that_address_no_axis() -> None:
    model = arenaut.load_onnx(parse("agraph (float[a, b] x, int64[c, d] i) => (float[] y) { y = GatherND (x, i) }"))
    x = np.ones((2, 3), np.float32)
    assert model.run({"x": x, "i": np.zeros((4, 1), np.int64)})["y"].shape == (4, 3)
    for depth in (0, 3):
        with pytest.raises(ArenautError, match=f"GatherND.*{depth} axes of 2"):
            model.run({"x": x, "i": np.zeros((4, depth), np.int64)})


def grams(largest: int, skips: int) -> arenaut.Model:
    """Counts of 1, of 2, and of 1 before 2 with at most so many elements between them."""
    return arenaut.load_onnx(
        parse(
            f'agraph (int64[n] x) => (float[k] y) {{ y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, '
            f"max_gram_length = {largest}, max_skip_count = {skips}, ngram_counts = [0, 2], ngram_indexes = [0, 1, 2], "
            f"pool_int64s = [1, 2, 1, 2]> (x) }}"
        )
    )


@pytest.mark.parametrize("largest, skips", [(2, 2**63 - 1), (2, 2**62), (2**40, 5), (2**63 - 1, 2**63 - 1)])
def test_counts_of_n_grams_beyond_any_row(largest: int, skips: int) -> None:
    """Neither number is looked at further than rows are long."""
    y = grams(largest, skips).run({"x": np.array([1, 2, 7, 2])})["y"]
    np.testing.assert_array_equal(y, np.array([1, 2, 2], np.float32))


def test_counting_distant_n_grams_obeys_the_deadline() -> None:
    text = (
        'agraph (int64[m, n] x) => (float[m, k] y) { y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, '
        "max_gram_length = 2, max_skip_count = 10000, ngram_counts = [0, 2], ngram_indexes = [0, 1, 2], "
        "pool_int64s = [1, 2, 1, 2]> (x) }"
    )
    model = arenaut.load_onnx(parse(text))
    with pytest.raises(RunTimeoutError):
        model.run({"x": np.ones((100, 13_000), np.int64)}, timeout=0.01)
    with pytest.raises(ArenautError, match="a size is too large"):
        model.run({"x": np.ones((1, 100_000), np.int64)})


@pytest.mark.parametrize("start, end, step", [
    (-(2**63), 2**63 - 1, 1), (2**63 - 1, -(2**63), -1), (0, 2**63 - 1, 2**63 - 1), (2**63 - 1, -(2**63), -(2**63)),
    (-(2**63), 2**63 - 1, 2**40), (3, 2**63 - 1, 3), (1 - 2**63, 5, 1),
])  # fmt: skip
def test_slices_by_fed_bounds_at_the_limits(start: int, end: int, step: int) -> None:
    bounds = ", ".join(f"int64[1] {name}" for name in "abcs")
    text = f"agraph (float[n] x, {bounds}) => (float[] y) {{ y = Slice (x, a, b, c, s) }}"
    x = np.arange(9, dtype=np.float32)
    fed = {k: np.array([v]) for k, v in {"a": start, "b": end, "c": 0, "s": step}.items()}
    last = None if step < 0 and end < -9 else end
    np.testing.assert_array_equal(arenaut.load_onnx(parse(text)).run({"x": x, **fed})["y"], x[slice(start, last, step)])


@pytest.mark.parametrize("scale, message", [
    (1e9, "bytes"), (1e18, "a size is too large"), (1e38, "does not define"), (1e-38, "does not define"),
])  # fmt: skip
def test_hostile_scales_end_at_once(scale: float, message: str) -> None:
    model = arenaut.load_onnx(
        parse('agraph (float[1,1,n,m] x, float[4] s) => (float[] y) { y = Resize <mode = "cubic"> (x, "", s) }')
    )
    with pytest.raises(ArenautError, match=message):
        model.run({"x": np.ones((1, 1, 2, 2), np.float32), "s": np.array([1, 1, scale, 1], np.float32)}, timeout=60)


@pytest.mark.parametrize("op, weights", [("Conv", ", w"), ("MaxPool", ""), ("AveragePool", "")])
@pytest.mark.parametrize("channels", [1, 4])
def test_steps_that_are_never_taken_may_be_any(op: str, weights: str, channels: int) -> None:
    far = 2**63 - 1
    text = (
        f"agraph (float[1, {channels}, 3, 3] x) => (float[n, c, h, k] y) <float[4, {channels}, 3, 1] w = "
        f"{{{', '.join(str(i % 5) for i in range(12 * channels))}}}> "
        f"{{ y = {op} <kernel_shape = [3, 1], strides = [STEP, STEP], dilations = [1, STEP]> (x{weights}) }}"
    )
    x = np.arange(9.0 * channels, dtype=np.float32).reshape(1, channels, 3, 3)
    near, y = (
        arenaut.load_onnx(parse(text.replace("STEP", str(step)), opset=22)).run({"x": x})["y"] for step in (3, far)
    )
    assert y.shape[2:] == (1, 1)
    np.testing.assert_array_equal(y, near)


def test_an_array_of_no_elements_may_have_any_other_sizes() -> None:
    text = "agraph (float[a, b] x, int64[2] s) => (float[c, d] y) { y = Reshape <allowzero = 1> (x, s) }"
    model = arenaut.load_onnx(parse(text))
    huge = 2**40
    y = model.run({"x": np.zeros((0, 3), np.float32), "s": np.array([huge, 0])})["y"]
    assert y.shape == (huge, 0)
    assert model.run({"x": np.zeros((0, 3), np.float32), "s": np.array([0, huge])})["y"].shape == (0, huge)


@pytest.mark.parametrize("shape", [(2**31, 2**31, 2), (2**20, 2**20, 2**10)])
def test_more_elements_than_can_be_counted_are_refused(shape: tuple[int, ...]) -> None:
    """Expand repeats elements without memory, so no buffer tells."""
    text = "agraph (float[a] x, int64[3] s) => (float[m] y) { w = Expand (x, s)\nl = LogSoftmax (w)\n" + (
        "axes = Constant <value_ints = [0, 2]> ()\ny = ReduceMax <keepdims = 0> (l, axes) }"
    )
    with pytest.raises(ArenautError, match=r"too many elements|too large|impossible size|memory|overflows"):
        arenaut.load_onnx(parse(text)).run({"x": np.ones(1, np.float32), "s": np.array(shape)})


@pytest.mark.parametrize("pattern", ["(", "a\\", "[z-a]", "\\8"])
def test_a_pattern_that_cannot_be_read_is_the_models_fault(pattern: str) -> None:
    node = helper.make_node("RegexFullMatch", ["x"], ["y"], pattern=pattern)
    x, y = helper.make_tensor_value_info("x", 8, ["n"]), helper.make_tensor_value_info("y", 9, ["n"])
    proto = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 20)])
    with pytest.raises(ArenautError, match="its pattern cannot be read"):
        arenaut.load_onnx(proto).run({"x": np.array(["a"], object)})


@pytest.mark.parametrize("size", [2**63 - 1, 2**62, -(2**63)])
def test_sizes_that_no_memory_holds_end_in_an_error(size: int) -> None:
    text = (
        f"agraph (int64[2] s) => (float[m] y) <int64[1] n = {{{size}}}> "
        "{ r = ConstantOfShape <value = int64[1] {1}> (n)\nz = ConstantOfShape (r)\ny = Flatten (z) }"
    )
    with pytest.raises(ArenautError):
        arenaut.load_onnx(parse(text)).run({"s": np.array([1, 1])})


@pytest.mark.parametrize("channels", [1, 8])
def test_a_transposed_convolution_may_step_beyond_its_output(channels: int) -> None:
    """Only the first input of that axis reaches the output, whatever lies behind."""
    weights = ", ".join(str(i % 7 - 3) for i in range(18 * channels))
    text = (
        f"agraph (float[1, {channels}, 3, 3] x) => (float[] y) <float[{channels}, 2, 3, 3] w = {{{weights}}}> "
        "{ y = ConvTranspose <output_shape = [10, 8], strides = [STEP, 2], pads = [0, 0, 0, 0]> (x, w) }"
    )
    x = np.arange(9.0 * channels, dtype=np.float32).reshape(1, channels, 3, 3)
    near, far = (arenaut.load_onnx(parse(text.replace("STEP", str(s)), opset=22)) for s in (10, 2**40))
    want = near.run({"x": x})["y"]
    np.testing.assert_array_equal(far.run({"x": x}, timeout=30)["y"][:, :, :3], want[:, :, :3])


def test_a_transform_of_more_points_than_memory_makes_no_table_of_them() -> None:
    text = "agraph (float[1, 2147483648, 1] x) => (float[] y) { y = DFT <axis = 1> (x) }"
    model = arenaut.load_onnx(parse(text, opset=19))
    assert model.inputs[0].shape == (1, 2**31, 1)
