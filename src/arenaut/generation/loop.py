"""Tokens after tokens: the loop around a decoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.generation.beams import search
from arenaut.generation.choose import Sampling, choose
from arenaut.generation.decoder import Decoder, decoder_of
from arenaut.ir.errors import InputError
from arenaut.ir.graph import Array
from arenaut.model import Model
from arenaut.options import refused, whole

COUNT = "how many tokens, an integer from 1"


def generate(
    model: Model,
    ids: Sequence[int] | Array,
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = None,
    stop: int | Iterable[int] = (),
    beams: int = 1,
    chunk: int | None = None,
    encoder: Model | None = None,
    feeds: Mapping[str, Any] | None = None,
    first: Model | None = None,
) -> Iterator[int]:
    """The tokens that follow `ids`, one by one, as a decoder finds them; without `ids` and the token that stopped it.

    model: a decoder with inputs and outputs as optimum and torch export them (input_ids, logits, and where it has them
    attention_mask, position_ids, caches past_key_values.* that come out as present.*, use_cache_branch).
    ids: the prompt, at least one token; for an encoder-decoder its start tokens.
    temperature: 0 takes the likeliest token (of equal ones the first); above, tokens are drawn, from the top_k
    likeliest (0: all), of those the fewest whose probabilities sum to top_p. The same seed draws the same tokens.
    stop: tokens that end the sequence. beams: above 1, so many hypotheses are followed, and the tokens of the best come
    when all is found (see generation/beams.py).
    chunk: the prompt is read so many tokens at a time: memory is that of so many, the tokens that follow are the same.
    encoder, feeds: of an encoder-decoder, the encoder and what it is fed; what it returns is what the decoder looks at.
    first: the decoder of the first call, where `model` cannot make the caches of the encoder's states.

    Raises InputError for a model that is no such decoder, OptionError for options that are no such numbers.
    """
    most = whole("max_new_tokens", max_new_tokens, 1, COUNT)
    beams = whole("beams", beams, 1, "how many hypotheses, an integer from 1")
    sampling = sampling_of(temperature, top_k, top_p)
    if beams > 1 and sampling.temperature > 0:
        raise refused("temperature", temperature, "0 beside beams: beam search draws nothing")
    if seed is not None:
        whole("seed", seed, 0, "an integer from 0, or None")
    prompt = prompt_of(ids)
    ends = stop_of(stop)
    states, source_mask = encoded(encoder, feeds)
    length = prompt.shape[1] if chunk is None else whole("chunk", chunk, 1, COUNT)
    pieces = [prompt[:, at : at + length] for at in range(0, prompt.shape[1], length)]
    decoder = decoder_of(model, first, states, source_mask)
    if beams > 1:
        return follow(decoder, pieces, beams, most, ends)
    return walk(decoder, pieces, sampling, np.random.default_rng(seed), most, ends)


def read(decoder: Decoder, pieces: Sequence[Array]) -> Array:
    """The logits of what follows the last piece of a prompt."""
    for tokens in pieces[:-1]:
        decoder.extend(tokens)
    return decoder.extend(pieces[-1])


def walk(
    decoder: Decoder, prompt: Sequence[Array], sampling: Sampling, random: np.random.Generator, most: int,
    stop: frozenset[int],
) -> Iterator[int]:  # fmt: skip
    pieces = prompt
    for _ in range(most):
        token = choose(read(decoder, pieces)[0], sampling, random)
        if token in stop:
            return
        yield token
        pieces = [np.array([[token]])]


def follow(decoder: Decoder, prompt: Sequence[Array], beams: int, most: int, stop: frozenset[int]) -> Iterator[int]:
    def advance(rows: Sequence[int], tokens: Sequence[int]) -> Array:
        decoder.reorder(rows)
        return decoder.extend(np.array(tokens)[:, None])

    yield from search(read(decoder, prompt)[0], advance, beams, most, stop)


def encoded(encoder: Model | None, feeds: Mapping[str, Any] | None) -> tuple[Array | None, Array | None]:
    """What the encoder makes of its feeds, [batch, places, width], and its mask of places."""
    if encoder is None:
        if feeds is not None:
            raise InputError("feeds are the encoder's: give generate encoder= too")
        return None, None
    if feeds is None:
        raise InputError(f"what is the encoder fed? Give feeds= for {', '.join(map(str, encoder.inputs))}")
    outputs = encoder.run(feeds)
    states = outputs[encoder.outputs[0].name]
    if states.ndim != 3 or states.shape[0] != 1:
        raise InputError(f"the encoder made {list(states.shape)}: expected [1, places, width], one sequence")
    mask = feeds.get("attention_mask", np.ones(states.shape[:2], np.int64))
    return states, np.asarray(mask)


def sampling_of(temperature: float, top_k: int, top_p: float) -> Sampling:
    for name, given, most in (("temperature", temperature, np.inf), ("top_p", top_p, 1.0)):
        number = isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(given, bool)
        if not number or not 0 <= given <= most or given == np.inf:
            raise refused(name, given, "a number from 0" if name == "temperature" else "a number from 0 to 1")
    return Sampling(float(temperature), whole("top_k", top_k, 0, "how many tokens, an integer from 0"), float(top_p))


def prompt_of(ids: Sequence[int] | Array) -> Array:
    prompt = np.asarray(ids)
    if prompt.ndim == 2 and prompt.shape[0] == 1:
        prompt = prompt[0]
    if prompt.ndim != 1 or prompt.size == 0 or prompt.dtype.kind not in "iu" or prompt.min() < 0:
        raise refused("ids", ids, "at least one token of one sequence, integers from 0")
    return prompt[None].astype(np.int64)


def stop_of(stop: int | Iterable[int]) -> frozenset[int]:
    tokens = [stop] if isinstance(stop, (int, np.integer)) and not isinstance(stop, bool) else stop
    if isinstance(tokens, (bool, str)) or not isinstance(tokens, Iterable):
        raise refused("stop", stop, "a token or several, integers from 0")
    return frozenset(whole("stop", t, 0, "a token or several, integers from 0") for t in tokens)
