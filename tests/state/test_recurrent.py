"""Recurrent states, windows and caches that another model made, through a state."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import arenaut
from arenaut.errors import InputError, StateError
from arenaut.model import Model
from tests.support.skeletons import load_skeleton

HEAD = '<ir_version: 10, opset_import: ["" : 23]>'
GRU = """m (float[s, b, 4] x, float[1, b, 8] h) => (float[s, 1, b, 8] y, float[1, b, 8] hn) {
    y, hn = GRU<hidden_size = 8>(x, w, r, , , h)
}"""
WINDOW = """m (float[b, 3, n] x, float[b, 3, 4] conv_cache) => (float[b, 3, n] y, float[b, 3, 4] new_conv_cache) {
    whole = Concat<axis = 2>(conv_cache, x)
    y = MaxPool<kernel_shape = [5]>(whole)
    last = Constant<value_ints = [-4]>()
    end = Constant<value_ints = [9223372036854775807]>()
    axis = Constant<value_ints = [2]>()
    new_conv_cache = Slice(whole, last, end, axis)
}"""


def gru() -> Model:
    """One whose state is h, then hn."""
    model = parser.parse_model(HEAD + GRU)
    rng = np.random.default_rng(0)
    for name, dims in (("w", (1, 24, 4)), ("r", (1, 24, 8))):
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(dims).astype(np.float32), name))
    return arenaut.load_onnx(model, threads=1)


def test_a_recurrent_state_is_that_of_plain_calls() -> None:
    model = gru()
    state, h = model.new_state(batch=2), np.zeros((1, 2, 8), np.float32)
    for i in range(20):
        x = np.random.default_rng(i).standard_normal((1 + i % 3, 2, 4)).astype(np.float32)
        plain = model.run({"x": x, "h": h})
        kept = model.run({"x": x}, state=state)
        assert list(kept) == ["y"]
        np.testing.assert_array_equal(kept["y"], plain["y"])
        h = plain["hn"]
    np.testing.assert_array_equal(state.read("h"), h)
    assert (state.length, state.capacity, state.batch, state.nbytes) == (0, 0, 2, 2 * 64)


def test_rows_of_a_recurrent_state_lie_along_another_axis() -> None:
    model = gru()
    state = model.new_state(batch=3)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    model.run({"x": x}, state=state)
    h = state.read("h")
    np.testing.assert_array_equal(state.select([2, 0]).read("h"), h[:, [2, 0]])
    state.reorder([1, 1, 0])
    np.testing.assert_array_equal(state.read("h"), h[:, [1, 1, 0]])
    with pytest.raises(StateError, match="'h' is replaced by every run"):
        state.rewind(1)


def test_a_recurrent_state_may_be_fed() -> None:
    model = gru()
    state = model.new_state()
    x, h = np.ones((1, 1, 4), np.float32), np.full((1, 1, 8), 0.5, np.float32)
    expected = model.run({"x": x, "h": h})
    np.testing.assert_array_equal(model.run({"x": x, "h": h}, state=state)["y"], expected["y"])
    before = state.read("h")
    with pytest.raises(InputError):  # and what was fed is gone again
        model.run({"x": np.ones((1, 1, 5), np.float32), "h": h}, state=state)
    np.testing.assert_array_equal(state.read("h"), before)
    with pytest.raises(InputError, match="expected float32 of rank 3"):
        model.run({"x": x, "h": h[0]}, state=state)


def test_a_window_is_replaced() -> None:
    model = arenaut.load_onnx(parser.parse_model(HEAD + WINDOW), threads=1)
    state, cache = model.new_state(batch=2), np.zeros((2, 3, 4), np.float32)
    for i in range(6):
        x = np.random.default_rng(i).standard_normal((2, 3, 1 + i)).astype(np.float32)
        plain = model.run({"x": x, "conv_cache": cache})
        np.testing.assert_array_equal(model.run({"x": x}, state=state)["y"], plain["y"])
        cache = plain["new_conv_cache"]
    np.testing.assert_array_equal(state.read("conv_cache"), cache)


WINDOWED = """<ir_version: 10, opset_import: ["" : 18]>
m (float[b, 2, s, 8] q, float[b, 2, s, 8] k, float[b, 2, past, 8] past_key)
    => (float[b, 2, s, total] y, float[b, 2, held, 8] present_key)
<int64[1] zero = {0}, int64[1] sinks = {SINKS}, int64[1] recent = {-4}, int64[1] end = {99}, int64[1] axis = {2}> {
    keys = Concat<axis = 2>(past_key, k)
    first = Slice(keys, zero, sinks, axis)
    rest = Slice(keys, sinks, end, axis)
    last = Slice(rest, recent, end, axis)
    present_key = Concat<axis = 2>(first, last)
    turned = Transpose<perm = [0, 1, 3, 2]>(keys)
    y = MatMul(q, turned)
}"""


@pytest.mark.parametrize("kept", ["stored", "float16", "int8"])
@pytest.mark.parametrize("sinks", [0, 2])
def test_the_last_positions_behind_the_first_ones_are_replaced(sinks: int, kept: Any) -> None:
    """A sliding window, and one behind attention sinks: it grows until it is full, then forgets. Its numbers stay as
    they are, since they would be rounded anew by each run."""
    proto = parser.parse_model(WINDOWED.replace("SINKS", str(sinks)))
    model = arenaut.load_onnx(proto, threads=1, cache_precision=kept)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    state, cache = model.new_state(batch=2), np.zeros((2, 2, 0, 8), np.float32)
    for i, count in enumerate((3, 1, 1, 1, 2, 1, 7, 1)):
        q, k = np.random.default_rng(i).standard_normal((2, 2, 2, count, 8)).astype(np.float32)
        y, cache = session.run(None, {"q": q, "k": k, "past_key": cache})
        np.testing.assert_allclose(model.run({"q": q, "k": k}, state=state)["y"], y, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(state.read("past_key"), cache)
    assert cache.shape[2] == sinks + 4
    assert state.nbytes == 2 * cache.nbytes
    state.reorder([1, 1])
    np.testing.assert_array_equal(state.read("past_key"), cache[[1, 1]])
    with pytest.raises(StateError, match="'past_key' is replaced by every run"):
        state.rewind(1)


def test_an_input_called_state_is_fed_as_before() -> None:
    text = "m (float[2] x, float[2] state) => (float[2] y, float[2] stateN) { y = Add(x, state) stateN = Mul(y, y) }"
    model = arenaut.load_onnx(parser.parse_model(HEAD + text), threads=1)
    x = np.array([1, 2], np.float32)
    plain = model.run(x=x, state=x)
    np.testing.assert_array_equal(plain["y"], 2 * x)
    state = model.new_state()
    model.run({"x": x}, state=state)
    np.testing.assert_array_equal(state.read("state"), x * x)
    np.testing.assert_array_equal(model.run(x, state=state)["y"], x + x * x)


@pytest.mark.parametrize("name", ["whisper-micro-cached", "t5-tiny-cached"])
def test_a_decoder_goes_on_from_what_another_model_made(name: str) -> None:
    """Prompts and cross-attention caches come from the first decoder; the later one appends to its own part of them."""
    later = arenaut.load_onnx(load_skeleton(name), threads=1)
    first = arenaut.load_onnx(load_skeleton(name + "-first"), threads=1)
    encoded = next(i for i in first.inputs if i.name not in ("input_ids", "attention_mask") and len(i.shape or ()) == 3)
    dims = [1, *[12 if isinstance(d, str) else d for d in (encoded.shape or ())[1:]]]
    feeds: dict[str, Any] = {
        "input_ids": np.array([[3, 5, 7]]),
        encoded.name: np.random.default_rng(0).standard_normal(dims).astype(np.float32),
    }
    feeds.update({i.name: np.ones((1, 12), np.int64) for i in first.inputs if i.name not in feeds})
    made = first.run(feeds)
    caches = {n.replace("present", "past_key_values"): a for n, a in made.items() if n.startswith("present")}
    cross = {n: a for n, a in caches.items() if "encoder" in n}
    own = {n: a for n, a in caches.items() if "encoder" not in n}
    state = later.new_state(capacity=16)
    assert set(state.names) == set(own)
    ids = made["logits"][:, -1:].argmax(-1)
    for step in range(8):
        fed = {"input_ids": ids, **cross}
        for i in later.inputs:
            if i.name not in fed and i.name not in own:
                fed[i.name] = np.array([[3 + step]]) if "position" in i.name else np.ones((1, 12), np.int64)
        plain = later.run({**fed, **own})
        kept = later.run({**fed, **own} if step == 0 else fed, state=state)
        np.testing.assert_array_equal(kept["logits"], plain["logits"])
        own = {n: plain[n.replace("past_key_values", "present")] for n in own}
        ids = plain["logits"][:, -1:].argmax(-1)
    assert state.length == 3 + 8
    one = {n: own[n] for n in list(own)[:1]}
    with pytest.raises(InputError, match="are fed together"):
        later.run({**fed, **one}, state=state)
