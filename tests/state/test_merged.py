"""Decoders of the first call and with past merged into one model with use_cache_branch, through a state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.compiled.container import WEIGHTS, CompiledFile
from arenaut.ir.dims import symbols_of
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
    state, given = model.new_state(batch=rows, sizes=sizes(name) if rows == 1 else None), sources(name, rows)
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
    given = sources("t5-tiny-cached", 1)
    state = model.new_state(sizes=sizes("t5-tiny-cached"))
    for length in range(2):
        model.run(wanted_by(model, {**decoding.fed(np.array([[5]]), length), **given}), state=state)
    before = {part: state.read(part) for part in state.names}
    with pytest.raises(arenaut.errors.ArenautError):
        model.run(wanted_by(model, {**decoding.fed(np.array([[10_000]]), 2), **given}), state=state)
    for part, array in before.items():
        np.testing.assert_array_equal(state.read(part), array)
    with pytest.raises(arenaut.errors.ArenautError):  # the branch of the first call
        model.run(wanted_by(model, {**decoding.fed(np.array([[10_000]]), 0), **given}), state=state)
    for part, array in before.items():
        np.testing.assert_array_equal(state.read(part), array)
    state.clear()
    assert state.length == 0 and not any(state.read(part).any() for part in state.names)


@pytest.mark.parametrize("name", ["t5-tiny-cached", "whisper-micro-cached"])
def test_the_branch_with_past_appends_in_place(name: str) -> None:
    """Only attention reads a cache, the encoder's included, and only what is new is written into one."""
    stateful = arenaut.load_onnx(merged(name), threads=1)._stateful
    assert stateful is not None and stateful.chosen is not None and stateful.chosen.value
    own = {part.name for part in stateful.parts if part.change is Change.APPENDS}
    assert own == {n for n in stateful.names if ".decoder." in n}
    assert {part.name for part in stateful.parts if part.change is Change.KEEPS} == set(stateful.names) - own
    assert stateful.output_names == ["logits"]
    lowered = stateful.built.lowered
    appended = {place.buffer for place in lowered.wholes.values()}
    kept = {lowered.inputs[p.input].buffer for p in stateful.pairs if p.change is Change.KEEPS}
    assert len(appended) == len(kept) == 4
    for step in lowered.steps:
        for place in step.outputs:
            if place is not None and place.buffer in appended:
                assert not {s.name for s in symbols_of(place.dims[2])} & stateful.lengths
            assert place is None or place.buffer not in kept
        if any(place is not None and place.buffer in appended | kept for place in step.inputs):
            assert step.row is not None and step.row.family == "Attention"


def test_the_first_call_may_come_again() -> None:
    """It begins another text: as in a new state, whatever was held. One from a source of another length asks for a
    state that was cleared, since the encoder's caches are inputs of both branches."""
    model = arenaut.load_onnx(merged("t5-tiny-cached"), threads=1)
    given = sources("t5-tiny-cached", 1)
    used = model.new_state(capacity=16)
    for other in (given, {k: v * v for k, v in given.items()}, {k: v[:, :5] for k, v in given.items()}):
        new = model.new_state(capacity=16)
        for length in range(3):
            feeds = wanted_by(model, {**decoding.fed(np.array([[9 + length]]), length), **other})
            if length == 0 and other["encoder_attention_mask"].shape[1] == 5:
                with pytest.raises(arenaut.errors.InputError, match=r"'past_key_values.0.encoder.key' axis 2 is 7"):
                    model.run(feeds, state=used)
                used.clear()
            results = [model.run(feeds, state=state)["logits"] for state in (used, new)]
            np.testing.assert_array_equal(*results)
        assert used.length == new.length == 3
    used.rewind(2)
    assert used.length == 1 and used.read("past_key_values.0.encoder.key").shape[2] == 5


def test_more_than_there_is_room_for_is_refused_by_either_branch() -> None:
    model = arenaut.load_onnx(merged("t5-tiny-cached"), threads=1)
    given, state = sources("t5-tiny-cached", 1), model.new_state(capacity=3)
    ids = np.array([[5, 6, 7, 8]])
    with pytest.raises(arenaut.errors.StateError, match="its capacity is 3, it holds 0 positions and the run adds 4"):
        model.run(wanted_by(model, {**decoding.fed(ids, 0), **given}), state=state)
    assert state.length == 0
    model.run(wanted_by(model, {**decoding.fed(ids[:, :3], 0), **given}), state=state)
    before = state.read("past_key_values.1.decoder.value")
    with pytest.raises(arenaut.errors.StateError, match="its capacity is 3, it holds 3 positions and the run adds 1"):
        model.run(wanted_by(model, {**decoding.fed(ids[:, :1], 3), **given}), state=state)
    np.testing.assert_array_equal(state.read("past_key_values.1.decoder.value"), before)


def test_rows_of_beams_share_what_the_first_call_made() -> None:
    model = arenaut.load_onnx(merged("t5-tiny-cached"), threads=1)
    given = sources("t5-tiny-cached", 1)
    state = model.new_state(capacity=16)
    model.run(wanted_by(model, {**decoding.fed(np.array([[5]]), 0), **given}), state=state)
    rows = state.select([0, 0, 0])
    wide = {k: np.repeat(v, 3, axis=0) for k, v in given.items()}
    model.run(wanted_by(model, {**decoding.fed(np.array([[4], [5], [6]]), 1), **wide}), state=rows)
    before = {part: rows.read(part) for part in rows.names}
    rows.reorder([2, 2, 0])
    for part, array in before.items():
        np.testing.assert_array_equal(rows.read(part), array[[2, 2, 0]])


@pytest.mark.parametrize("kept", ["stored", "bfloat16", "int8"])
def test_a_compiled_file_knows_which_branch_its_state_is_for(kept: Any, tmp_path: Path) -> None:
    model = arenaut.load_onnx(merged("t5-tiny-cached"), threads=1, cache_precision=kept)
    model.save(tmp_path / "model.arn")
    opened = arenaut.load_onnx(tmp_path / "model.arn", threads=1)
    given, states = sources("t5-tiny-cached", 2), [m.new_state(capacity=16, batch=2) for m in (model, opened)]
    for length in range(4):
        feeds = wanted_by(model, {**decoding.fed(np.array([[5], [7]]), length), **given})
        results = [m.run(feeds, state=s)["logits"] for m, s in zip((model, opened), states, strict=True)]
        np.testing.assert_array_equal(*results)
    assert [s.length for s in states] == [4, 4]
    arenaut.load_onnx(merged("t5-tiny-cached"), threads=1, state=False).save(tmp_path / "plain.arn")
    weights, plain = (
        len(CompiledFile(str(tmp_path / f"{file}.arn")).section(WEIGHTS, check=True)) for file in ("model", "plain")
    )
    assert weights - plain < 4096
