"""States that keep caches as rows of bytes, beside states that keep them as the model's floats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import parser

import arenaut
from arenaut.errors import InputError, OptionError, StateError
from arenaut.lowering.pairs import Change
from arenaut.model import Model
from tests.state.test_decoders import DECODERS, decode, fed, prompt
from tests.state.test_shared_caches import (
    ATTENTION,
    changes,
    grouped_model,
    logits_of_steps,
    normal,
    readers_of_caches,
    static_model,
)  # fmt: skip
from tests.support.skeletons import load_skeleton

SIZE = 16  # numbers of a head


@pytest.fixture(scope="module")
def gpt2() -> Model:
    return arenaut.load_onnx(load_skeleton(DECODERS[0]), threads=1, cache_precision="int8")


def close_rows(found: Any, expected: Any) -> None:
    """Within half a step of 127 to a row's largest magnitude."""
    most = np.abs(expected).max(-1, keepdims=True, initial=0)
    assert (np.abs(found - expected) <= most / 254 * 1.001).all()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", DECODERS)
def test_a_step_errs_by_what_bytes_leave_out(name: str, batch: int) -> None:
    proto = load_skeleton(name)
    exact, model = (arenaut.load_onnx(proto, threads=1, cache_precision=kept)
                    for kept in ("stored", "int8"))  # fmt: skip
    state, other = (m.new_state(capacity=64, batch=batch) for m in (model, exact))
    assert state.nbytes * 4 * SIZE == other.nbytes * (SIZE + 4)  # a byte a number, and a scale a row
    assert readers_of_caches(model) == {"HalfAttention"}  # read as they lie
    plans = [m.memory({n: 2 if n == "sequence" else 34 for n in _sizes(m)}, state=s)
             for m, s in ((model, state), (exact, other))]  # fmt: skip
    assert plans[0].state_bytes == state.nbytes < plans[1].state_bytes
    ids = prompt(batch, 20)
    found, expected = decode(model, state, ids), decode(exact, other, ids)
    close_rows(state.read(state.names[0]), other.read(state.names[0]))  # of the first layer, whose rows are the same
    for seed in range(12):
        assert np.abs(found - expected).max() <= 0.01 * np.abs(expected).max()
        found, expected = (decode(m, s, prompt(batch, 1, seed)) for m, s in ((model, state), (exact, other)))
    assert np.abs(found - expected).max() > 0


def _sizes(model: Model) -> set[str]:
    known = {"sequence", "total"}
    return {str(d) for i in model.inputs for d in i.shape or () if str(d) in known}


def test_a_prompt_in_chunks_leaves_the_same_bytes_in_the_first_layer(gpt2: Model) -> None:
    ids, whole, parts = prompt(2, 24), gpt2.new_state(capacity=24, batch=2), gpt2.new_state(capacity=24, batch=2)
    expected = decode(gpt2, whole, ids)
    for at in range(0, 24, 8):
        found = decode(gpt2, parts, ids[:, at : at + 8])
    np.testing.assert_array_equal(parts.read(parts.names[0]), whole.read(parts.names[0]))
    assert np.abs(found - expected[:, 16:]).max() <= 0.01 * np.abs(expected).max()


def test_what_is_rewound_reordered_copied_and_saved_are_the_same_bytes(gpt2: Model, tmp_path: Path) -> None:
    state = gpt2.new_state(capacity=32, batch=3)
    decode(gpt2, state, prompt(3, 9))
    held = {n: state.read(n) for n in state.names}
    before = decode(gpt2, state, prompt(3, 2, 1))
    state.rewind(2)
    assert all(state.read(n).tobytes() == a.tobytes() for n, a in held.items())
    np.testing.assert_array_equal(decode(gpt2, state, prompt(3, 2, 1)), before)
    state.rewind(2)
    state.save(tmp_path / "state.npz")
    loaded, copied = gpt2.load_state(tmp_path / "state.npz"), state.copy()
    for again in (loaded, copied):
        np.testing.assert_array_equal(decode(gpt2, again, prompt(3, 2, 1)), before)
    chosen = state.select([2, 0])
    state.reorder([2, 0, 0])
    for name, cache in held.items():
        np.testing.assert_array_equal(chosen.read(name), cache[[2, 0]])
        np.testing.assert_array_equal(state.read(name), cache[[2, 0, 0]])
    with pytest.raises(StateError, match="its capacity is 32"):
        decode(gpt2, state, prompt(3, 24))
    assert state.length == 9 and state.read(state.names[0]).tobytes() == held[state.names[0]][[2, 0, 0]].tobytes()
    with pytest.raises(StateError, match="another model"):
        arenaut.load_onnx(load_skeleton(DECODERS[0]), threads=1).load_state(tmp_path / "state.npz")


def test_caches_that_another_model_made_become_bytes(gpt2: Model) -> None:
    state = gpt2.new_state(capacity=16)
    caches = {n: normal(1, 4, 5, SIZE, seed=i) for i, n in enumerate(state.names)}
    gpt2.run({**fed(gpt2, prompt(1, 1), 5), **caches}, state=state)
    for name, cache in caches.items():
        close_rows(state.read(name)[:, :, :5], cache)
    with pytest.raises(InputError, match="expected 16 at axis 3"):
        gpt2.run({**fed(gpt2, prompt(1, 1), 5), **{n: normal(1, 4, 5, SIZE + 4) for n in caches}}, state=state)


def test_a_state_without_a_capacity_grows(gpt2: Model) -> None:
    state, other = gpt2.new_state(capacity=None), gpt2.new_state(capacity=600)
    for seed in range(3):
        found, expected = (decode(gpt2, s, prompt(1, 190, seed)) for s in (state, other))
        np.testing.assert_array_equal(found, expected)


def test_caches_that_are_written_to_where_told() -> None:
    exact, model = (arenaut.load_onnx(grouped_model(), threads=1, cache_precision=kept)
                    for kept in ("stored", "int8"))  # fmt: skip
    assert readers_of_caches(model) == {"HalfAttention"}
    for found, expected in logits_of_steps(model, exact):
        assert np.abs(found - expected).max() <= 0.01 * np.abs(expected).max()
    static = arenaut.load_onnx(static_model("16"), threads=1, cache_precision="int8")
    kept = static.new_state()
    assert kept.nbytes == 2 * 2 * 16 * (8 + 4)
    feeds = {n: normal(1, 2, 3, 8) for n in "qkv"} | {"at": np.array([2]), "held": np.array([5])}
    static.run(feeds, state=kept)
    close_rows(kept.read("past_key")[:, :, 2:5], feeds["k"])


@pytest.mark.parametrize(("kept", "error"), [("stored", 1e-6), ("float16", 1e-3), ("bfloat16", 1e-2), ("int8", 3e-2)])
@pytest.mark.parametrize("extra", ["", ", left_window_size = 3", ", qk_matmul_output_mode = 1"])
def test_attention_appends_though_no_kernel_takes_it_whole(extra: str, kept: Any, error: float) -> None:
    """With windows, or scores as a result, it is done by simpler ops: their Concat appends."""
    text = ATTENTION.replace("is_causal = 1", f"is_causal = 1{extra}").replace(
        '"" : 23', f'"" : {26 if "left" in extra else 23}'
    )
    if "qk" in extra:
        text = text.replace("present_value = Att", "present_value, scores = Att")
        text = text.replace("present_value) {", "present_value, float[b, 4, s, total] scores) {")
    model = arenaut.load_onnx(parser.parse_model(text), threads=1, cache_precision=kept)
    assert changes(model) == {Change.APPENDS}
    assert "Copy" not in readers_of_caches(model)
    state, caches = model.new_state(capacity=12, batch=2), {n: normal(2, 2, 0, 8) for n in ("past_key", "past_value")}
    for i, count in enumerate((3, 1, 1, 2)):
        feeds = {n: normal(2, h, count, 8, seed=3 * i + h) for n, h in (("q", 4), ("k", 2), ("v", 2))}
        plain, found = model.run({**feeds, **caches}), model.run(feeds, state=state)
        np.testing.assert_allclose(found["y"], plain["y"], atol=error * np.abs(plain["y"]).max())
        caches = {n: plain[n.replace("past", "present")] for n in caches}
    assert state.length == 7
    for name, cache in caches.items():
        np.testing.assert_allclose(state.read(name), cache, atol=error * np.abs(cache).max())


TURNED = """<ir_version: 10, opset_import: ["" : 18]>
m (float[b, 2, s, 8] q, float[b, 2, 8, s] k, float[b, 2, 8, past] past_key)
    => (float[b, 2, s, total] y, float[b, 2, 8, total] present_key) {
    present_key = Concat<axis = 3>(past_key, k)
    y = MatMul(q, present_key)
}"""


def test_rows_that_grow_are_refused_as_bytes_and_kept_as_floats() -> None:
    with pytest.raises(OptionError, match=r"'past_key'.*'float16' halves"):
        arenaut.load_onnx(parser.parse_model(TURNED), threads=1, cache_precision="int8")
    narrow = arenaut.load_onnx(parser.parse_model(TURNED), threads=1, cache_precision="float16")
    assert changes(narrow) == {Change.APPENDS}


def test_other_readers_of_bytes_get_floats() -> None:
    text = (
        TURNED.replace("8, s] k", "s, 8] k").replace("8, past]", "past, 8]").replace("8, total] pres", "total, 8] pres")
    )
    text = text.replace("axis = 3", "axis = 2").replace(
        "MatMul(q, present_key)", 'Einsum<equation = "bhsd,bhtd->bhst">(q, present_key)'
    )
    model = arenaut.load_onnx(parser.parse_model(text), threads=1, cache_precision="int8")
    assert readers_of_caches(model) == {"BytesToFloats"}
    state, keys = model.new_state(capacity=8), normal(1, 2, 6, 8)
    for at in range(6):
        q = normal(1, 2, 1, 8, seed=at)
        found = model.run({"q": q, "k": keys[:, :, at : at + 1]}, state=state)["y"]
        np.testing.assert_allclose(found, q @ keys[:, :, : at + 1].swapaxes(2, 3), atol=0.1)
