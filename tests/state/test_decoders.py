"""Decoders with a state beside the same decoders whose caches are fed and returned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import arenaut
from arenaut.compiled import write
from arenaut.compiled.container import WEIGHTS, CompiledFile
from arenaut.errors import CompiledFileError, ExecutionError, InputError, MemoryLimitError, OptionError, StateError
from arenaut.ir.dims import symbols_of
from arenaut.ir.dtypes import DType
from arenaut.lowering.pairs import Change
from arenaut.model import Model
from arenaut.plain import replace
from arenaut.state import State
from tests.support.skeletons import load_skeleton

DECODERS = ("gpt2-cached-tiny", "qwen3-cached-tiny", "llama-cached-tiny")


@pytest.fixture(scope="module", params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> Model:
    return arenaut.load_onnx(load_skeleton(request.param), threads=1)


@pytest.fixture(scope="module")
def gpt2() -> Model:
    return arenaut.load_onnx(load_skeleton(DECODERS[0]), threads=1)


class Plain:
    """The same steps with caches that are fed and returned."""

    def __init__(self, model: Model, batch: int) -> None:
        self.model = model
        self.caches: dict[str, Any] = {
            i.name: np.zeros([batch if a == 0 else 0 if isinstance(d, str) else d for a, d in enumerate(i.shape or ())],
                             np.float32)
            for i in model.inputs if i.name.startswith("past")
        }  # fmt: skip

    def run(self, feeds: Mapping[str, Any]) -> Any:
        results = self.model.run({**feeds, **self.caches})
        self.caches = {n: results[n.replace("past_key_values", "present")] for n in self.caches}
        return results["logits"]


def fed(model: Model, ids: Any, before: int) -> dict[str, Any]:
    """Feeds for new ids behind so many others."""
    batch, count = ids.shape
    known = {
        "input_ids": ids,
        "attention_mask": np.ones((batch, before + count), np.int64),
        "position_ids": np.broadcast_to(np.arange(before, before + count), (batch, count)).copy(),
    }
    return {i.name: known[i.name] for i in model.inputs if i.name in known}


def prompt(batch: int, count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 101, (batch, count))


def decode(model: Model, state: State, ids: Any) -> Any:
    return model.run(fed(model, ids, state.length), state=state)["logits"]


@pytest.mark.parametrize("batch", [1, 3])
def test_steps_are_those_of_plain_calls(decoder: Model, batch: int) -> None:
    state, plain = decoder.new_state(capacity=64, batch=batch), Plain(decoder, batch)
    ids = prompt(batch, 5)
    for _ in range(30):
        feeds = fed(decoder, ids, state.length)
        results = decoder.run(feeds, state=state)
        assert list(results) == ["logits"]
        np.testing.assert_array_equal(results["logits"], plain.run(feeds))
        ids = results["logits"][:, -1:].argmax(-1)
    assert state.length == 34
    for name, cache in plain.caches.items():
        np.testing.assert_array_equal(state.read(name), cache)


def test_caches_are_appended_to_in_place(decoder: Model) -> None:
    """No step of the program copies a cache, and none of it is among what a run returns."""
    stateful = decoder._stateful
    assert stateful is not None
    assert {part.change for part in stateful.parts} == {Change.APPENDS}
    lowered = stateful.built.lowered
    caches = {place.buffer for place in lowered.wholes.values()}
    assert len(caches) == 4
    for step in lowered.steps:
        for place in step.outputs:
            if place is not None and place.buffer in caches:
                assert not {s.name for s in symbols_of(place.dims[2])} & stateful.lengths
        if any(place is not None and place.buffer in caches for place in step.inputs):
            assert step.row is not None and step.row.family == "Attention"


def test_a_plan_tells_of_the_state(decoder: Model) -> None:
    state = decoder.new_state(capacity=64)
    plan = decoder.memory(sequence=1, total=64, state=state)
    assert plan.state_bytes == state.nbytes
    with pytest.raises(InputError, match="'total' is missing"):
        decoder.memory(sequence=1, state=state)
    with pytest.raises(StateError, match="1 positions more than the state's capacity of 64"):
        decoder.memory(sequence=65, total=65, state=state)
    decoder.trim()
    for _ in range(4):
        decode(decoder, state, prompt(1, 1))
    assert decoder.trim() == plan.intermediate_bytes


def test_a_prompt_in_chunks_is_the_same(decoder: Model) -> None:
    ids = prompt(2, 48)
    whole, chunked = decoder.new_state(capacity=64, batch=2), decoder.new_state(capacity=64, batch=2)
    expected = decode(decoder, whole, ids)
    parts = [decode(decoder, chunked, ids[:, i : i + 16]) for i in range(0, 48, 16)]
    np.testing.assert_allclose(np.concatenate(parts, 1), expected, rtol=2e-5, atol=2e-5)
    assert chunked.length == whole.length == 48


def test_padding_on_the_left_is_told_by_the_mask(gpt2: Model) -> None:
    state, plain = gpt2.new_state(capacity=32, batch=2), Plain(gpt2, 2)
    ids = prompt(2, 6)
    for step in range(6):
        feeds = fed(gpt2, ids, state.length)
        feeds["attention_mask"][1, :3] = 0
        logits = gpt2.run(feeds, state=state)["logits"]
        np.testing.assert_array_equal(logits, plain.run(feeds), err_msg=str(step))
        ids = logits[:, -1:].argmax(-1)


def test_a_state_forgets_what_is_rewound(gpt2: Model) -> None:
    state = gpt2.new_state(capacity=32)
    decode(gpt2, state, prompt(1, 6))
    expected = decode(gpt2, state, prompt(1, 3, seed=1))
    state.rewind(3)
    assert state.length == 6
    decode(gpt2, state, prompt(1, 9, seed=2))
    state.rewind(9)
    np.testing.assert_array_equal(decode(gpt2, state, prompt(1, 3, seed=1)), expected)
    with pytest.raises(StateError, match=r"rewind\(10\): the state holds 9 positions"):
        state.rewind(10)
    assert state.length == 9
    state.clear()
    assert state.length == 0


def test_rows_are_copied_selected_and_reordered(gpt2: Model) -> None:
    state = gpt2.new_state(capacity=32, batch=3)
    decode(gpt2, state, prompt(3, 6))
    ids = prompt(3, 1, seed=1)
    twin = state.copy()
    expected = decode(gpt2, twin, ids)
    assert (state.length, twin.length) == (6, 7)
    chosen = state.select([2, 0, 2, 1])
    assert (chosen.batch, chosen.length, chosen.capacity) == (4, 6, 32)
    np.testing.assert_allclose(decode(gpt2, chosen, ids[[2, 0, 2, 1]]), expected[[2, 0, 2, 1]], rtol=1e-5, atol=1e-5)
    state.reorder(np.array([1, 1, 0]))
    np.testing.assert_allclose(decode(gpt2, state, ids[[1, 1, 0]]), expected[[1, 1, 0]], rtol=1e-5, atol=1e-5)
    for wrong in ([0, 1, 3], [-1, 0, 1]):
        with pytest.raises(StateError, match="of a batch of 3"):
            state.reorder(wrong)
    with pytest.raises(StateError, match="2 indices for a batch of 3"):
        state.reorder([0, 1])
    with pytest.raises(OptionError):
        state.reorder([0.5, 1, 2])  # type: ignore[list-item]


def test_beams_copy_what_is_behind_where_they_parted(gpt2: Model) -> None:
    """Rows that come from one row have its positions in common, and whatever is done to them later."""
    first = gpt2.new_state(capacity=32)
    decode(gpt2, first, prompt(1, 6))
    state, plain = first.select([0, 0, 0]), first.select([0, 0, 0])
    rng = np.random.default_rng(7)
    for step in range(20):
        ids = rng.integers(0, 101, (3, 1))
        np.testing.assert_array_equal(decode(gpt2, state, ids), decode(gpt2, plain, ids))
        rows = rng.integers(0, 3, 3).tolist()
        state.reorder(rows)
        plain = plain.select(rows)
        if step % 7 == 6:
            state.rewind(4)
            plain.rewind(4)
        if step == 11:
            state = state.copy()
    assert state._alike.min() >= 6
    for name in state.names:
        np.testing.assert_array_equal(state.read(name), plain.read(name))
    caches = {name: np.asarray(rng.standard_normal((3, 4, 9, 16)), np.float32) for name in state.names}
    gpt2.run({**fed(gpt2, rng.integers(0, 101, (3, 1)), 9), **caches}, state=state)
    state.reorder([1, 2, 0])
    for name, cache in caches.items():
        np.testing.assert_array_equal(state.read(name)[:, :, :9], cache[[1, 2, 0]])


@pytest.mark.parametrize(("kept", "error"), [("bfloat16", 2**-8), ("float16", 2**-11)])
@pytest.mark.parametrize("name", DECODERS[:2])
def test_caches_are_kept_as_narrower_floats(name: str, kept: str, error: float) -> None:
    """A row is rounded once, and the caches of the steps after differ by no more than that makes of logits."""
    proto = load_skeleton(name)
    exact = arenaut.load_onnx(proto, threads=1)
    model = arenaut.load_onnx(proto, threads=1, cache_precision=kept)  # type: ignore[arg-type]
    state, other = model.new_state(capacity=64), exact.new_state(capacity=64)
    assert 2 * state.nbytes == other.nbytes
    assert model._stateful is not None
    lowered = model._stateful.built.lowered
    caches = {place.buffer for place in lowered.wholes.values()}
    readers = {step.row.family for step in lowered.steps if step.row is not None
               if any(place is not None and place.buffer in caches for place in step.inputs)}  # fmt: skip
    assert readers == {"HalfAttention"}  # read as they lie
    ids = prompt(1, 20)
    found, expected = decode(model, state, ids), decode(exact, other, ids)
    first = state.names[0]
    np.testing.assert_allclose(state.read(first), other.read(first), rtol=error, atol=1e-7)
    for seed in range(20):
        np.testing.assert_allclose(found, expected, atol=8 * error * np.abs(expected).max())
        found, expected = (decode(m, s, prompt(1, 1, seed)) for m, s in ((model, state), (exact, other)))
    assert np.abs(found - expected).max() > 0
    assert state.read(first).dtype == np.float32
    assert state.copy().read(first).tobytes() == state.read(first).tobytes()
    np.testing.assert_array_equal(state.select([0, 0]).read(first)[1], state.read(first)[0])
    with pytest.raises(OptionError, match="cache_precision"):
        arenaut.load_onnx(proto, cache_precision="int4")  # type: ignore[arg-type]


def test_narrow_caches_take_what_another_model_made_and_are_saved(tmp_path: Path) -> None:
    model = arenaut.load_onnx(load_skeleton(DECODERS[0]), threads=1, cache_precision="bfloat16")
    state = model.new_state(capacity=16)
    caches = {name: np.asarray(prompt(4, 5 * 16, 3).reshape(1, 4, 5, 16), np.float32) / 101 for name in state.names}
    model.run({**fed(model, prompt(1, 1), 5), **caches}, state=state)
    for name, cache in caches.items():
        np.testing.assert_allclose(state.read(name)[:, :, :5], cache, rtol=2**-8)
    state.save(tmp_path / "state.npz")
    other = model.load_state(tmp_path / "state.npz")
    ids = prompt(1, 2)
    np.testing.assert_array_equal(decode(model, other, ids), decode(model, state, ids))
    with pytest.raises(StateError, match="another model"):
        arenaut.load_onnx(load_skeleton(DECODERS[0]), threads=1).load_state(tmp_path / "state.npz")


def test_a_full_state_is_left_as_it_was(gpt2: Model) -> None:
    state = gpt2.new_state(capacity=8)
    decode(gpt2, state, prompt(1, 6))
    before = {n: state.read(n) for n in state.names}
    with pytest.raises(StateError, match="full: its capacity is 8, it holds 6 positions and the run adds 3"):
        decode(gpt2, state, prompt(1, 3))
    assert state.length == 6
    for name, kept in before.items():
        np.testing.assert_array_equal(state.read(name), kept)
    decode(gpt2, state, prompt(1, 2))
    assert state.length == 8


def test_a_state_without_a_capacity_grows(gpt2: Model) -> None:
    state, plain = gpt2.new_state(), Plain(gpt2, 1)
    assert state.capacity == 256
    for i in range(3):
        feeds = fed(gpt2, prompt(1, 120, seed=i), state.length)
        np.testing.assert_array_equal(gpt2.run(feeds, state=state)["logits"], plain.run(feeds))
    assert (state.capacity, state.length) == (512, 360)


def test_a_run_that_fails_changes_nothing(gpt2: Model) -> None:
    state = gpt2.new_state(capacity=32)
    decode(gpt2, state, prompt(1, 6))
    before = {n: state.read(n) for n in state.names}
    with pytest.raises(ExecutionError, match="out of range"):
        decode(gpt2, state, np.array([[1, 2, 1000]]))
    stop = arenaut._native.Stop()
    stop.set()
    with pytest.raises(ExecutionError, match="stopped"):
        gpt2._run(fed(gpt2, prompt(1, 2), 6), state=state, stop=stop)
    assert state.length == 6
    for name, kept in before.items():
        np.testing.assert_array_equal(state.read(name), kept)


def test_one_run_at_a_time_has_a_state(gpt2: Model) -> None:
    state = gpt2.new_state(capacity=32)
    decode(gpt2, state, prompt(1, 6))
    assert state._take()
    try:
        for attempt in (lambda: decode(gpt2, state, prompt(1, 1)), lambda: state.rewind(1), state.copy):
            with pytest.raises(StateError, match="in use by another run"):
                attempt()
        with pytest.raises(StateError, match="in use by another run"):
            gpt2.run(fed(gpt2, prompt(1, 1), 6), state=state, timeout=10)
    finally:
        state._give()
    decode(gpt2, state, prompt(1, 1))


def test_states_of_other_models_and_batches_are_refused(gpt2: Model) -> None:
    other = arenaut.load_onnx(load_skeleton(DECODERS[1]), threads=1)
    with pytest.raises(StateError, match="of another model"):
        decode(gpt2, other.new_state(capacity=8), prompt(1, 1))
    with pytest.raises(StateError, match="a batch of 2, but the state is of 1"):
        decode(gpt2, gpt2.new_state(capacity=8), prompt(2, 1))
    with pytest.raises(OptionError, match="new_state"):
        gpt2.run(fed(gpt2, prompt(1, 1), 0), state=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="are fed together"):
        past = np.zeros((1, 4, 0, 16), np.float32)
        gpt2.run({**fed(gpt2, prompt(1, 1), 0), "past_key_values.0.key": past}, state=gpt2.new_state(capacity=8))


def test_a_saved_state_goes_on(gpt2: Model, tmp_path: Path) -> None:
    state = gpt2.new_state(capacity=32, batch=2)
    decode(gpt2, state, prompt(2, 6))
    state.save(tmp_path / "state.npz")
    expected = decode(gpt2, state, prompt(2, 1, seed=1))
    again = gpt2.load_state(tmp_path / "state.npz")
    assert (again.length, again.batch, again.capacity, again.nbytes) == (6, 2, 32, state.nbytes)
    np.testing.assert_array_equal(decode(gpt2, again, prompt(2, 1, seed=1)), expected)
    assert gpt2.load_state(tmp_path / "state.npz", capacity=7).capacity == 7
    with pytest.raises(StateError, match="no room"):
        gpt2.load_state(tmp_path / "state.npz", capacity=5)
    other = arenaut.load_onnx(load_skeleton(DECODERS[1]), threads=1)
    with pytest.raises(StateError, match=r"holds another|of another model"):
        other.load_state(tmp_path / "state.npz")
    raw = (tmp_path / "state.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(StateError, match="holds no state"):
        gpt2.load_state(tmp_path / "cut.npz")


def test_the_bytes_of_a_state_are_predicted_and_limited() -> None:
    model = load_skeleton(DECODERS[0])
    wanted = 2 * 2 * 4 * 64 * 16 * 4
    limited = arenaut.load_onnx(model, threads=1, max_memory=wanted + (1 << 20))
    state = limited.new_state(capacity=64)
    assert state.nbytes == wanted
    decode(limited, state, prompt(1, 8))
    with pytest.raises(MemoryLimitError, match="ask for less capacity"):
        limited.new_state(capacity=1 << 12)
    tight = arenaut.load_onnx(model, threads=1, max_memory=wanted + 100)
    with pytest.raises(MemoryLimitError):
        decode(tight, tight.new_state(capacity=64), prompt(1, 8))


@pytest.mark.parametrize("kept", ["stored", "bfloat16", "int8"])
@pytest.mark.parametrize("name", ["gpt2-cached-tiny", "whisper-micro-cached"])
def test_a_compiled_file_holds_the_program_that_keeps_a_state(name: str, kept: Any, tmp_path: Path) -> None:
    """Without its original: the same bytes, the same plan, and the same weights as the other program's."""
    original = arenaut.load_onnx(load_skeleton(name), threads=1, cache_precision=kept)
    original.save(tmp_path / "model.arn")
    model = arenaut.load_onnx(tmp_path / "model.arn", threads=1)
    state, expected = model.new_state(capacity=16), original.new_state(capacity=16)
    assert (state.names, state.nbytes) == (expected.names, expected.nbytes)
    rng = np.random.default_rng(0)
    encoder = {}
    for i in model.inputs:
        if i.name.startswith("past") and i.name not in state.names:
            dims = [d if isinstance(d, int) else 1 + 7 * axis for axis, d in enumerate(i.shape or ())]
            encoder[i.name] = rng.standard_normal(dims).astype(np.float32)
    for seed in range(3):
        ids = prompt(1, 4, seed)
        found, wanted = (
            m.run({**fed(m, ids, s.length), **encoder}, state=s)["logits"]
            for m, s in ((model, state), (original, expected))
        )
        np.testing.assert_array_equal(found, wanted)
    state.save(tmp_path / "state.npz")
    np.testing.assert_array_equal(
        original.load_state(tmp_path / "state.npz").read(state.names[0]), state.read(state.names[0])
    )
    sizes = {"sequence": 2} | ({"total": 14} if name.startswith("gpt2") else {"source": 15})
    names = {str(d) for i in model.inputs for d in i.shape or () if isinstance(d, str)}
    sizes = {n: v for n, v in sizes.items() if n in names}
    assert repr(model.memory(sizes, state=state)) == repr(original.memory(sizes, state=expected))
    arenaut.load_onnx(load_skeleton(name), threads=1, state=False).save(tmp_path / "plain.arn")
    weights, plain = (
        len(CompiledFile(str(tmp_path / f"{file}.arn")).section(WEIGHTS, check=True)) for file in ("model", "plain")
    )
    assert weights - plain < 4096


def test_a_program_refuses_ports_that_are_none(gpt2: Model) -> None:
    """What a damaged file may say."""
    assert gpt2._stateful is not None
    native, ports = gpt2._stateful.built.native, [(i, p.input, p.output, p.axis)
                                                  for i, p in enumerate(gpt2._stateful.use.ports)]  # fmt: skip
    total, (part, number, _, axis) = native.state_total, ports[0]
    for port, text in (
        ((part, 99, -1, axis), "no input or output"),
        ((part, number, 99, -1), "no input or output"),
        ((part, number, -1, 4), "along no axis"),
        ((part, 0, -1, 0), "has no room"),
        ((part, number, 0, -1), "becomes something else"),
    ):
        with pytest.raises(ValueError, match=text):
            native.use_state([port, *ports[1:]], total)
    with pytest.raises(ValueError, match="no expression"):
        native.use_state(ports, 1 << 20)


@pytest.mark.parametrize("change", [
    lambda parts: [replace(parts[0], kept=int(DType.INT8)), *parts[1:]],
    lambda parts: [replace(parts[0], input=-1), *parts[1:]],
    lambda parts: [replace(parts[0], axis=7), *parts[1:]],
    lambda parts: [replace(parts[0], output=99), *parts[1:]],
    lambda parts: [replace(parts[0], change="vanishes"), *parts[1:]],
    lambda parts: parts[1:],
])  # fmt: skip
def test_a_damaged_table_of_a_state_is_refused(
    gpt2: Model, change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write._state_table

    def damaged(*args: Any) -> Any:
        made = table(*args)
        return replace(made, parts=tuple(change(list(made.parts))))

    monkeypatch.setattr(write, "_state_table", damaged)
    gpt2.save(tmp_path / "model.arn")
    model = arenaut.load_onnx(tmp_path / "model.arn", threads=1)
    with pytest.raises(CompiledFileError, match="its state makes no sense"):
        model.new_state(capacity=8)


def test_memory_stays_where_it_is() -> None:
    """Over thousands of steps nothing more is held, and one arena serves all lengths."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    model = arenaut.load_onnx(load_skeleton("qwen3-cached-tiny"), threads=1)
    state = model.new_state(capacity=1024)
    ids = prompt(1, 1)
    for _ in range(1024):
        decode(model, state, ids)
    before = resident()
    for _ in range(5000):
        if state.length == state.capacity:
            state.rewind(state.length - 5)
        decode(model, state, ids)
    assert resident() - before < 1 << 20
