"""Tokens that arenaut.generate finds, beside loops on onnxruntime."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.errors import ExecutionError, InputError, OptionError
from arenaut.generation.decoder import CachedDecoder, StateDecoder, decoder_of
from bench.decoders import merge
from tests.support.decoding import beam_search, greedy, open_session, run
from tests.support.models import parse
from tests.support.skeletons import load_skeleton

DECODERS = ("gpt2-cached-tiny", "qwen3-cached-tiny", "llama-cached-tiny")
PROMPT = [5, 17, 42, 7, 99, 3]


@cache
def proto(name: str) -> onnx.ModelProto:
    if name.endswith("merged"):
        stem = name.removesuffix("-merged")
        return merge(load_skeleton(f"{stem}-first"), load_skeleton(stem))
    return load_skeleton(name)


@cache
def model(name: str) -> arenaut.Model:
    return arenaut.load_onnx(proto(name), threads=1)


@cache
def session(name: str) -> Any:
    return open_session(proto(name))


@pytest.mark.parametrize("name", DECODERS)
def test_greedy_tokens_are_onnxruntimes(name: str) -> None:
    expected = greedy(session(name), PROMPT, 256)
    assert len(set(expected)) > 3
    assert list(arenaut.generate(model(name), PROMPT, max_new_tokens=256)) == expected


@pytest.mark.parametrize("name", DECODERS)
def test_a_token_comes_as_soon_as_it_is_found(name: str) -> None:
    tokens = arenaut.generate(model(name), np.array([PROMPT]), max_new_tokens=10**9)
    assert [next(tokens) for _ in range(5)] == greedy(session(name), PROMPT, 5)


def test_caches_lie_in_a_state_where_one_can_append_to_them() -> None:
    for name in DECODERS:
        assert isinstance(decoder_of(model(name)), StateDecoder)
    assert isinstance(decoder_of(model("t5-tiny-cached"), model("t5-tiny-cached-first")), StateDecoder)
    assert isinstance(decoder_of(model("t5-tiny-cached-merged")), StateDecoder)
    stateless = arenaut.load_onnx(proto("t5-tiny-cached-merged"), threads=1, state=False)
    assert isinstance(decoder_of(stateless), CachedDecoder)


@pytest.mark.parametrize("name", DECODERS[:1])
def test_arrays_as_caches_give_the_same(name: str) -> None:
    """What a model without a state takes: here one that is loaded without."""
    plain = arenaut.load_onnx(proto(name), threads=1, state=False)
    assert isinstance(decoder_of(plain), CachedDecoder)
    expected = list(arenaut.generate(model(name), PROMPT, max_new_tokens=32, beams=3))
    assert list(arenaut.generate(plain, PROMPT, max_new_tokens=32, beams=3)) == expected


def test_a_stop_token_ends_the_sequence_and_is_not_given() -> None:
    expected = greedy(session(DECODERS[0]), PROMPT, 64)
    last = expected[20]
    found = list(arenaut.generate(model(DECODERS[0]), PROMPT, max_new_tokens=64, stop=last))
    assert found == expected[: expected.index(last)]
    assert found == list(arenaut.generate(model(DECODERS[0]), PROMPT, max_new_tokens=64, stop=[last, 10**6]))


def text_feeds() -> dict[str, np.ndarray]:
    return {"input_ids": np.array([PROMPT]), "attention_mask": np.array([[1, 1, 1, 1, 1, 0]])}


def sound_feeds() -> dict[str, np.ndarray]:
    return {"input_features": np.random.default_rng(0).standard_normal((1, 80, 40)).astype(np.float32)}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(("name", "feeds"), [("t5-tiny-cached", text_feeds), ("whisper-micro-cached", sound_feeds)])
def test_encoder_decoders(name: str, feeds: Any, merged: bool) -> None:
    states = run(session(f"{name}-encoder"), feeds())["last_hidden_state"]
    constant = {"encoder_hidden_states": states}
    if "attention_mask" in feeds():
        constant["encoder_attention_mask"] = feeds()["attention_mask"]
    first = f"{name}-first"
    expected = greedy(session(name), [0], 128, constant, session(first))
    decoder = model(f"{name}-merged" if merged else name)
    found = arenaut.generate(
        decoder, [0], max_new_tokens=128, encoder=model(f"{name}-encoder"), feeds=feeds(),
        first=None if merged else model(first),
    )  # fmt: skip
    assert list(found) == expected


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", DECODERS)
def test_a_prompt_that_is_read_in_chunks_goes_on_the_same(name: str, beams: int) -> None:
    prompt = np.random.default_rng(1).integers(0, 101, 200)
    expected = list(arenaut.generate(model(name), prompt, max_new_tokens=16, beams=beams))
    for chunk in (1, 64, 199, 512):
        assert list(arenaut.generate(model(name), prompt, max_new_tokens=16, beams=beams, chunk=chunk)) == expected


def test_a_decoder_without_caches_is_run_whole() -> None:
    table = np.random.default_rng(1).standard_normal((7, 7)).astype(np.float32)
    numbers = ", ".join(f"{x!r}" for x in table.ravel().tolist())
    text = f"""agraph (int64[b, n] input_ids) => (float[b, n, 7] logits) <float[7, 7] t = {{{numbers}}}> {{
        x = Gather (t, input_ids) axis = Constant <value_int = 1> () z = CumSum (x, axis)
        logits = Identity (z) }}"""
    sequence = [1, 2]
    for _ in range(12):
        sequence.append(int(table[sequence].sum(0).argmax()))
    found = arenaut.generate(arenaut.load_onnx(parse(text)), [1, 2], max_new_tokens=12)
    assert list(found) == sequence[2:]


@pytest.mark.parametrize("name", DECODERS[:2])
@pytest.mark.parametrize("beams", [2, 4])
def test_beams_are_those_of_a_plain_search(name: str, beams: int) -> None:
    for seed in range(3):
        prompt = np.random.default_rng(seed).integers(0, 101, 4).tolist()
        likely = greedy(session(name), prompt, 8)
        for stop in (likely[5], 10**6):  # one that ends hypotheses, and one that ends none
            expected = beam_search(session(name), prompt, 16, beams, stop)
            found = list(arenaut.generate(model(name), prompt, max_new_tokens=16, beams=beams, stop=stop))
            assert found == expected


def test_beams_of_an_encoder_decoder() -> None:
    name = "t5-tiny-cached"
    around = {"encoder": model(f"{name}-encoder"), "feeds": text_feeds()}
    apart = list(arenaut.generate(model(name), [0], max_new_tokens=12, beams=3, first=model(f"{name}-first"), **around))
    merged = list(arenaut.generate(model(f"{name}-merged"), [0], max_new_tokens=12, beams=3, **around))
    assert len(apart) == 12 and merged == apart


def test_drawn_tokens_follow_the_seed() -> None:
    def drawn(**options: Any) -> list[int]:
        return list(arenaut.generate(model(DECODERS[0]), PROMPT, max_new_tokens=32, **options))

    assert drawn(temperature=1.0, seed=7) == drawn(temperature=1.0, seed=7) != drawn(temperature=1.0, seed=8)
    assert drawn(temperature=1.0, seed=7, top_k=1) == drawn() == drawn(temperature=1.0, seed=7, top_p=0.0)


BAD: dict[str, dict[str, Any]] = {
    "ids=": {"ids": []}, "ids=[[1, 2], [3, 4]]": {"ids": [[1, 2], [3, 4]]}, "ids=[1.5]": {"ids": [1.5]},
    "ids=[-1]": {"ids": [-1]}, "max_new_tokens=0": {"max_new_tokens": 0}, "temperature=-1": {"temperature": -1},
    "temperature=nan": {"temperature": float("nan")}, "top_p=1.5": {"top_p": 1.5}, "top_k=-1": {"top_k": -1},
    "seed=-3": {"seed": -3}, "stop='x'": {"stop": "x"}, "stop=-1": {"stop": [-1]}, "beams=0": {"beams": 0},
    "chunk=0": {"chunk": 0},
    "temperature=1.0": {"beams": 2, "temperature": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("said", BAD)
def test_options_that_mean_nothing_are_refused(said: str) -> None:
    options = {"ids": PROMPT, **BAD[said]}
    with pytest.raises(OptionError, match=said.replace("[", r"\[").replace("]", r"\]")):
        arenaut.generate(model(DECODERS[0]), **options)


def test_models_that_are_no_decoders_are_refused() -> None:
    with pytest.raises(InputError, match=r"an input 'input_ids' and an output 'logits'.*inputs x; outputs y"):
        arenaut.generate(arenaut.load_onnx(parse("agraph (float[n] x) => (float[n] y) { y = Relu (x) }")), [1])
    other = "agraph (int64[b, n] input_ids, float[n] w) => (float[b, n] logits) { x = Cast <to = 1> (input_ids) "
    with pytest.raises(InputError, match="does not know what to feed to w"):
        arenaut.generate(arenaut.load_onnx(parse(other + "logits = Mul (x, w) }")), [1])


def test_parts_of_an_encoder_decoder_that_are_missing_are_named() -> None:
    later, first, encoder = (model(f"t5-tiny-cached{part}") for part in ("", "-first", "-encoder"))
    with pytest.raises(InputError, match=r"nothing makes past_key_values.0.encoder.key.*first="):
        arenaut.generate(later, [0])
    with pytest.raises(InputError, match="Give feeds= for input_ids"):
        arenaut.generate(later, [0], first=first, encoder=encoder)
    with pytest.raises(InputError, match="give generate encoder= too"):
        arenaut.generate(later, [0], first=first, feeds=text_feeds())
    with pytest.raises(InputError, match="'encoder_hidden_states': give generate encoder= and feeds="):
        list(arenaut.generate(later, [0], first=first))


def test_tokens_beyond_the_vocabulary_are_refused() -> None:
    with pytest.raises(ExecutionError):
        list(arenaut.generate(model(DECODERS[0]), [10**6], max_new_tokens=1))
