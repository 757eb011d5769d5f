"""Caches that a run is told where to write in: GroupQueryAttention, TensorScatter, Attention with past and present, and
what convolutions keep, through a state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

import arenaut
from arenaut.errors import ExecutionError, OptionError, StateError
from arenaut.lowering.pairs import Change
from arenaut.model import Model

WIDTH, HEADS, KEPT, SIZE, WORDS = 64, 4, 2, 16, 53


def normal(*dims: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(dims).astype(np.float32)


def grouped_model(layers: int = 2, window: int = -1) -> onnx.ModelProto:
    """A decoder as onnxruntime-genai exports it: sizes of rows and in total are read from the mask."""
    weights = {
        "table": normal(WORDS, WIDTH), "one": np.array([1]), "first": np.array(1),
        "cos": np.cos(np.arange(64)[:, None] / 10.0 ** np.arange(SIZE // 2)).astype(np.float32),
        "sin": np.sin(np.arange(64)[:, None] / 10.0 ** np.arange(SIZE // 2)).astype(np.float32),
        "head": normal(WIDTH, WORDS, seed=1) / 8,
    }  # fmt: skip
    make = helper.make_node
    nodes = [
        make("Gather", ["table", "input_ids"], ["x0"]),
        make("ReduceSum", ["attention_mask", "one"], ["held"], keepdims=1),
        make("Sub", ["held", "one"], ["last"]), make("Cast", ["last"], ["seqlens_k"], to=TensorProto.INT32),
        make("Shape", ["attention_mask"], ["sizes"]), make("Gather", ["sizes", "first"], ["all"], axis=0),
        make("Cast", ["all"], ["total"], to=TensorProto.INT32),
    ]  # fmt: skip
    inputs = [
        value("input_ids", ["batch_size", "sequence_length"], TensorProto.INT64),
        value("attention_mask", ["batch_size", "total_sequence_length"], TensorProto.INT64),
    ]
    outputs = [value("logits", ["batch_size", "sequence_length", WORDS])]
    for i in range(layers):
        for k, (name, heads) in enumerate((("q", HEADS), ("k", KEPT), ("v", KEPT))):
            weights[f"{name}_weight{i}"] = normal(WIDTH, heads * SIZE, seed=10 * i + k) / 5
            nodes.append(make("MatMul", [f"x{i}", f"{name}_weight{i}"], [f"{name}{i}"]))
        past = [f"past_key_values.{i}.key", f"past_key_values.{i}.value"]
        present = [f"present.{i}.key", f"present.{i}.value"]
        nodes.append(make(
            "GroupQueryAttention", [f"q{i}", f"k{i}", f"v{i}", *past, "seqlens_k", "total", "cos", "sin"],
            [f"a{i}", *present], domain="com.microsoft", num_heads=HEADS, kv_num_heads=KEPT, do_rotary=1,
            local_window_size=window,
        ))  # fmt: skip
        nodes.append(make("Add", [f"a{i}", f"x{i}"], [f"x{i + 1}"]))
        inputs += [value(n, ["batch_size", KEPT, "past_sequence_length", SIZE]) for n in past]
        outputs += [value(n, ["batch_size", KEPT, "total_sequence_length", SIZE]) for n in present]
    nodes.append(make("MatMul", [f"x{layers}", "head"], ["logits"]))
    graph = helper.make_graph(
        nodes, "decoder", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights.items()]
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)], ir_version=9
    )


def value(name: str, dims: list[int | str], dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


class Ort:
    """The same steps by onnxruntime, with caches that are fed and returned."""

    def __init__(self, model: onnx.ModelProto, batch: int) -> None:
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        self._names = [o.name for o in self._session.get_outputs()]
        self.caches = {i.name: np.zeros((batch, KEPT, 0, SIZE), np.float32)
                       for i in self._session.get_inputs() if i.name.startswith("past")}  # fmt: skip

    def run(self, feeds: Mapping[str, Any]) -> Any:
        found = dict(zip(self._names, self._session.run(None, {**feeds, **self.caches}), strict=True))
        self.caches = {n: found[n.replace("past_key_values", "present")] for n in self.caches}
        return found["logits"]


def changes(model: Model) -> set[Change]:
    assert model._stateful is not None
    return {part.change for part in model._stateful.parts}


def readers_of_caches(model: Model) -> set[str]:
    """The families of steps that read a cache."""
    assert model._stateful is not None
    lowered = model._stateful.built.lowered
    caches = {place.buffer for place in lowered.wholes.values()}
    return {step.row.family for step in lowered.steps if step.row is not None
            if any(p is not None and p.buffer in caches for p in step.inputs)}  # fmt: skip


@pytest.mark.parametrize("window", [-1, 6])
@pytest.mark.parametrize("batch", [1, 2])
def test_decoders_of_genai_append_in_place(batch: int, window: int) -> None:
    proto = grouped_model(window=window)
    model, theirs = arenaut.load_onnx(proto, threads=1), Ort(proto, batch)
    assert changes(model) == {Change.APPENDS}
    assert readers_of_caches(model) == {"Attention"}
    state = model.new_state(capacity=40, batch=batch)
    ids = np.random.default_rng(0).integers(0, WORDS, (batch, 5))
    for _ in range(20):
        feeds = {"input_ids": ids, "attention_mask": np.ones((batch, state.length + ids.shape[1]), np.int64)}
        found = model.run(feeds, state=state)
        assert list(found) == ["logits"]
        np.testing.assert_allclose(found["logits"], theirs.run(feeds), rtol=2e-4, atol=2e-4)
        ids = found["logits"][:, -1:].argmax(-1)
    assert state.length == 24
    for name, cache in theirs.caches.items():
        np.testing.assert_allclose(state.read(name), cache, rtol=1e-4, atol=1e-4)


def test_rows_of_other_lengths_go_on_where_each_ends() -> None:
    """A batch padded on the right: the mask says how long each row is, and a step writes behind that."""
    proto = grouped_model()
    model, theirs = arenaut.load_onnx(proto, threads=1), Ort(proto, 2)
    state, mask = model.new_state(capacity=32, batch=2), np.ones((2, 6), np.int64)
    mask[1, 4:] = 0
    ids = np.random.default_rng(3).integers(0, WORDS, (2, 6))
    for _ in range(8):
        feeds = {"input_ids": ids, "attention_mask": mask}
        found, expected = model.run(feeds, state=state)["logits"], theirs.run(feeds)
        last = [-1, 3 if ids.shape[1] > 1 else -1]
        for row in (0, 1):
            np.testing.assert_allclose(found[row, last[row]], expected[row, last[row]], rtol=2e-4, atol=2e-4)
        ids = np.array([[found[row, last[row]].argmax()] for row in (0, 1)])
        mask = np.concatenate([mask, np.zeros((2, 1), np.int64)], 1)
        mask[np.arange(2), mask.sum(1)] = 1
    assert state.length == 13


def logits_of_steps(*models: Model) -> Iterator[list[np.ndarray[Any, Any]]]:
    """What these models give for a prompt of five tokens and two steps, each with a state of its own."""
    states = [model.new_state(capacity=16) for model in models]
    for count in (5, 1, 1):
        mask = np.ones((1, states[0].length + count), np.int64)
        feeds = {"input_ids": np.full((1, count), 7), "attention_mask": mask}
        yield [model.run(feeds, state=state)["logits"] for model, state in zip(models, states, strict=True)]


def test_caches_that_are_written_to_may_be_narrow() -> None:
    exact = arenaut.load_onnx(grouped_model(), threads=1)
    model = arenaut.load_onnx(grouped_model(), threads=1, cache_precision="float16")
    assert readers_of_caches(model) == {"HalfAttention"}
    for found, expected in logits_of_steps(model, exact):
        np.testing.assert_allclose(found, expected, atol=2**-9 * np.abs(expected).max())
    static = arenaut.load_onnx(static_model("16"), threads=1, cache_precision="bfloat16")
    kept = static.new_state()
    feeds = {n: normal(1, 2, 3, 8) for n in "qkv"} | {"at": np.array([2]), "held": np.array([5])}
    static.run(feeds, state=kept)
    np.testing.assert_allclose(kept.read("past_key")[:, :, 2:5], feeds["k"], rtol=2**-8)


def test_a_grouped_decoder_forgets_and_refuses() -> None:
    model = arenaut.load_onnx(grouped_model(), threads=1)
    state = model.new_state(capacity=8)

    def step(ids: Any) -> Any:
        mask = np.ones((1, state.length + ids.shape[1]), np.int64)
        return model.run({"input_ids": ids, "attention_mask": mask}, state=state)["logits"]

    ids = np.random.default_rng(0).integers(0, WORDS, (1, 8))
    step(ids[:, :4])
    before = step(ids[:, 4:6])
    held = {n: state.read(n) for n in state.names}
    with pytest.raises(StateError, match="its capacity is 8"):
        step(ids[:, :3])
    with pytest.raises(ExecutionError):
        step(ids[:, :1] + WORDS)
    for name, cache in held.items():
        np.testing.assert_array_equal(state.read(name), cache)
    state.rewind(2)
    np.testing.assert_array_equal(step(ids[:, 4:6]), before)


STATIC = """<ir_version: 12, opset_import: ["" : 24]>
m (float[b, 2, s, 8] q, float[b, 2, s, 8] k, float[b, 2, s, 8] v, int64[b] at, int64[b] held,
   float[b, 2, ROOM, 8] past_key, float[b, 2, ROOM, 8] past_value)
    => (float[b, 2, s, 8] y, float[b, 2, ROOM, 8] present_key, float[b, 2, ROOM, 8] present_value) {
    present_key = TensorScatter<axis = 2, mode = "MODE">(past_key, k, at)
    present_value = TensorScatter<axis = 2, mode = "MODE">(past_value, v, at)
    y = Attention(q, present_key, present_value, , , , held)
}"""


def static_model(room: str, mode: str = "linear") -> onnx.ModelProto:
    return parser.parse_model(STATIC.replace("ROOM", room).replace("MODE", mode))


@pytest.mark.parametrize("room", ["16", "room"])
def test_caches_of_one_size_are_written_in_place(room: str) -> None:
    model = arenaut.load_onnx(static_model(room), threads=1)
    assert changes(model) == {Change.UPDATES}
    assert "Copy" not in readers_of_caches(model)
    state = model.new_state(capacity=16, batch=2)
    assert (state.capacity, state.length, state.nbytes) == (16, 0, 2 * 2 * 2 * 16 * 8 * 4)
    caches = {n: np.zeros((2, 2, 16, 8), np.float32) for n in ("past_key", "past_value")}
    at = np.zeros(2, np.int64)
    for i, count in enumerate((4, 1, 1, 2, 1)):
        q, k, v = (normal(2, 2, count, 8, seed=3 * i + n) for n in range(3))
        feeds = {"q": q, "k": k, "v": v, "at": at, "held": at + count}
        plain = model.run({**feeds, **caches})
        found = model.run(feeds, state=state)
        assert list(found) == ["y"]
        np.testing.assert_array_equal(found["y"], plain["y"])
        caches = {n: plain[n.replace("past", "present")] for n in caches}
        at = at + np.array([count, 1])  # rows go on from places of their own
    for name, cache in caches.items():
        np.testing.assert_array_equal(state.read(name), cache)
    copy = state.copy()
    model.run({**feeds, "at": at * 0}, state=state)
    np.testing.assert_array_equal(copy.read("past_key"), caches["past_key"])


def test_caches_of_one_size_refuse_what_does_not_fit() -> None:
    model = arenaut.load_onnx(static_model("16"), threads=1)
    with pytest.raises(OptionError, match="have 16 positions"):
        model.new_state(capacity=17)
    with pytest.raises(OptionError, match="'room' positions"):
        arenaut.load_onnx(static_model("room"), threads=1).new_state()
    state = model.new_state()
    feeds = {n: normal(1, 2, 3, 8) for n in "qkv"} | {"at": np.array([14]), "held": np.array([16])}
    before = state.read("past_key")
    with pytest.raises(ExecutionError, match="out of range"):
        model.run(feeds, state=state)
    np.testing.assert_array_equal(state.read("past_key"), before)
    with pytest.raises(StateError, match="feed it an earlier position"):
        state.rewind(1)


def test_a_ring_is_replaced() -> None:
    """What a failing run wrote over would be lost: it was the oldest that still counts."""
    model = arenaut.load_onnx(static_model("4", "circular"), threads=1)
    assert changes(model) == {Change.REPLACES}
    state, cache = model.new_state(), np.zeros((1, 2, 4, 8), np.float32)
    for i in range(7):
        k = normal(1, 2, 1, 8, seed=i)
        feeds = {"q": k, "k": k, "v": k, "at": np.array([i]), "held": np.array([min(i + 1, 4)])}
        plain = model.run({**feeds, "past_key": cache, "past_value": cache})
        np.testing.assert_array_equal(model.run(feeds, state=state)["y"], plain["y"])
        cache = plain["present_key"]


def test_what_else_reads_a_cache_keeps_it_from_being_written_over() -> None:
    text = """<ir_version: 12, opset_import: ["" : 24]>
    m (float[1, 4, 2] x, int64[1] at, float[1, 8, 2] past) => (float[1, 8, 2] present, float[1, 8, 2] y) {
        present = TensorScatter<axis = 1>(past, x, at)
        y = Sub(present, past)
    }"""
    model = arenaut.load_onnx(parser.parse_model(text), threads=1)
    assert changes(model) == {Change.REPLACES}
    state, x = model.new_state(), np.ones((1, 4, 2), np.float32)
    for at in (0, 4):
        y = model.run({"x": x, "at": np.array([at])}, state=state)["y"]
        assert y.sum() == 8


ATTENTION = """<ir_version: 10, opset_import: ["" : 23]>
m (float[b, 4, s, 8] q, float[b, 2, s, 8] k, float[b, 2, s, 8] v, float[b, 2, past, 8] past_key,
   float[b, 2, past, 8] past_value)
    => (float[b, 4, s, 8] y, float[b, 2, total, 8] present_key, float[b, 2, total, 8] present_value) {
    y, present_key, present_value = Attention<is_causal = 1>(q, k, v, , past_key, past_value)
}"""


def test_attention_with_past_appends_in_place() -> None:
    proto = parser.parse_model(ATTENTION)
    model = arenaut.load_onnx(proto, threads=1)
    assert changes(model) == {Change.APPENDS}
    assert readers_of_caches(model) == {"Attention"}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    state = model.new_state(capacity=12, batch=2)
    caches = {n: np.zeros((2, 2, 0, 8), np.float32) for n in ("past_key", "past_value")}
    for i, count in enumerate((3, 1, 1, 2)):
        feeds = {
            "q": normal(2, 4, count, 8, seed=i),
            "k": normal(2, 2, count, 8, seed=9 + i),
            "v": normal(2, 2, count, 8),
        }
        y, *present = session.run(None, {**feeds, **caches})
        np.testing.assert_allclose(model.run(feeds, state=state)["y"], y, rtol=1e-5, atol=1e-5)
        caches = dict(zip(caches, present, strict=True))
    for name, cache in caches.items():
        np.testing.assert_array_equal(state.read(name), cache)


@pytest.mark.parametrize("kept", ["stored", "float16", "int8"])
def test_a_run_that_fails_behind_its_appends_changes_nothing(kept: Any) -> None:
    """What it wrote lies behind what the state holds."""
    text = ATTENTION.replace("float[b, 4, s, 8] y,", "float[b, 4, n, 8] z,").replace("8] q,", "8] q, int64[n] at,")
    text = text.replace("past_value)\n}", "past_value)\n    z = Gather<axis = 2>(y, at)\n}")
    model = arenaut.load_onnx(parser.parse_model(text), threads=1, cache_precision=kept)
    assert changes(model) == {Change.APPENDS}
    state = model.new_state(capacity=12, batch=2)
    feeds = {n: normal(2, h, 3, 8, seed=h) for n, h in (("q", 4), ("k", 2), ("v", 2))} | {"at": np.array([2])}
    model.run(feeds, state=state)
    before, twin = {n: state.read(n) for n in state.names}, state.copy()
    with pytest.raises(ExecutionError, match="out of range"):
        model.run({**feeds, "at": np.array([3])}, state=state)
    assert state.length == 3
    for name, cache in before.items():
        np.testing.assert_array_equal(state.read(name), cache)
    np.testing.assert_array_equal(model.run(feeds, state=state)["z"], model.run(feeds, state=twin)["z"])


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_convolutions_go_on_from_what_came_before(domain: str) -> None:
    """Chunks through a state are one long input."""
    node = helper.make_node(
        "CausalConvWithState", ["x", "w", "c", "past_conv"], ["y", "present_conv"], domain=domain, activation="silu"
    )
    graph = helper.make_graph(
        [node], "g", [value("x", ["b", 3, "n"]), value("past_conv", ["b", 3, 3])],
        [value("y", ["b", 3, "n"]), value("present_conv", ["b", 3, 3])],
        [numpy_helper.from_array(normal(3, 1, 4), "w"), numpy_helper.from_array(normal(3), "c")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 27 if not domain else 21), *([helper.make_opsetid(domain, 1)] if domain else [])]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    model = arenaut.load_onnx(proto, threads=1)
    x = normal(2, 3, 20, seed=5)
    wide = np.concatenate([np.zeros((2, 3, 3), np.float32), x], 2).astype(np.float64)
    sums = sum(wide[:, :, k : k + 20] * normal(3, 1, 4)[:, 0, k, None] for k in range(4)) + normal(3)[:, None]
    state = model.new_state(batch=2)
    found = [model.run({"x": x[:, :, a:b]}, state=state)["y"] for a, b in ((0, 7), (7, 8), (8, 9), (9, 20))]
    np.testing.assert_allclose(np.concatenate(found, 2), sums / (1 + np.exp(-sums)), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(state.read("past_conv"), x[:, :, -3:])
    if domain:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        y = session.run(None, {"x": x, "past_conv": np.zeros((2, 3, 3), np.float32)})[0]
        np.testing.assert_allclose(np.concatenate(found, 2), y, rtol=1e-4, atol=1e-5)
