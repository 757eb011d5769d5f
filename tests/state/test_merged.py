"""Decoders of the first call and with past merged into one model with use_cache_branch, through a state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.lowering.pairs import Change
from arenaut.model import Model
from bench.decoders import merge
from tests.support import decoding
from tests.support.skeletons import load_skeleton

STEPS = 12


def sources(name: str, rows: int) -> dict[str, np.ndarray]:
    """What an encoder gives, with a mask where the decoder reads one."""
    places = 20 if name.startswith("whisper") else 7
    states = np.random.default_rng(3).standard_normal((rows, places, 64)).astype(np.float32)
    return {"encoder_hidden_states": states, "encoder_attention_mask": np.ones((rows, places), np.int64)}


def sizes(name: str) -> dict[str, int]:
    """Of the encoder's caches, where other inputs are as long."""
    return {} if name.startswith("whisper") else {"source": 7}


def merged(name: str) -> onnx.ModelProto:
    return merge(load_skeleton(f"{name}-first"), load_skeleton(name))


def wanted_by(model: Model, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = {i.name for i in model.inputs}
    return {n: a for n, a in feeds.items() if n in names}


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", ["t5-tiny-cached", "whisper-micro-cached"])
def test_a_merged_decoder_goes_on_with_what_its_first_call_made(name: str, rows: int, tmp_path: Path) -> None:
    proto = merged(name)
    model, session = arenaut.load_onnx(proto, threads=1), decoding.open_session(proto)
    state, given = model.new_state(batch=rows, sizes=sizes(name)), sources(name, rows)
    caches, tokens, length = decoding.nothing(session, rows), np.arange(3, 3 + 2 * rows).reshape(rows, 2), 0
    for step in range(STEPS):
        feeds = {**decoding.fed(tokens, length), **given}
        theirs = decoding.run(session, {**feeds, **caches})
        ours = model.run(wanted_by(model, feeds), state=state)
        assert list(ours) == ["logits"]
        np.testing.assert_allclose(ours["logits"], theirs["logits"], rtol=1e-4, atol=1e-5)
        caches |= {n.replace("present", "past_key_values"): a for n, a in theirs.items() if n != "logits" and a.size}
        length += tokens.shape[1]
        tokens = theirs["logits"][:, -1].argmax(-1)[:, None]
        if step == STEPS // 2:  # a file goes on as the state does
            state.save(tmp_path / "state")
            state = model.load_state(tmp_path / "state")
    for part, array in caches.items():
        np.testing.assert_allclose(state.read(part), array, rtol=1e-4, atol=1e-5)


def test_a_merged_decoder_that_fails_changes_nothing() -> None:
    model = arenaut.load_onnx(merged("t5-tiny-cached"), threads=1)
    assert model._stateful is not None
    assert {part.change for part in model._stateful.parts} == {Change.REPLACES, Change.RENEWS}
    given = sources("t5-tiny-cached", 1)
    state = model.new_state(sizes=sizes("t5-tiny-cached"))
    for length in range(2):
        model.run(wanted_by(model, {**decoding.fed(np.array([[5]]), length), **given}), state=state)
    before = {part: state.read(part) for part in state.names}
    with pytest.raises(arenaut.errors.ArenautError):
        model.run(wanted_by(model, {**decoding.fed(np.array([[10_000]]), 2), **given}), state=state)
    for part, array in before.items():
        np.testing.assert_array_equal(state.read(part), array)
    state.clear()
    assert not any(state.read(part).any() for part in state.names)
