"""Models that carry a recurrent state from call to call: plain calls beside calls with a state."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

import arenaut
from bench import zoo

STREAMS: Final = ("silero-vad", "silero-vad-ifless", "silero-vad-sequence", "gru-2x128-streaming")
CALLS: Final = 200
ROUNDS: Final = 10
Arrays = dict[str, np.ndarray]
Call = Callable[[Arrays], Arrays]


def ways(model: arenaut.Model, start: Arrays) -> dict[str, Call]:
    """How the model may be called again and again, from a state that is `start`: {"plain", "state"}."""
    state = model.new_state()
    becomes = dict(carried(model, state))
    held, first = dict(start), dict(start)

    def plain(feeds: Arrays) -> Arrays:
        outputs = model.run({**feeds, **held})
        for name, output in becomes.items():
            held[name] = outputs.pop(output)
        return outputs

    def kept(feeds: Arrays) -> Arrays:
        if first:
            feeds = {**feeds, **first}
            first.clear()
        return model.run(feeds, state=state)

    return {"plain": plain, "state": kept}


def carried(model: arenaut.Model, state: arenaut.State) -> list[tuple[str, str]]:
    """Which output becomes which part of the state: those that a call with a state leaves out, in order."""
    from arenaut.lowering.pairs import pairs_by_name

    pairs = pairs_by_name([i.name for i in model.inputs], [o.name for o in model.outputs])
    return [(name, output) for name, output in pairs if name in state.names]


def stream(name: str, path: Path) -> int:
    """0. Seconds a call, {"plain", "state"}, as `path` then holds them. Raises AssertionError where they give other
    bytes."""
    entry = zoo.load_manifest()[name]
    model = arenaut.load_onnx(zoo.ensure(entry), threads=1)
    own = set(model.new_state().names)
    feeds = [
        {n: a for n, a in zoo.make_feeds(entry, entry.bindings[0], seed).items() if n not in own} for seed in range(8)
    ]
    start = {n: a for n, a in zoo.make_feeds(entry, entry.bindings[0], 0).items() if n in own}
    calls = ways(model, start)
    for given in 5 * feeds:
        made = {way: call(given) for way, call in calls.items()}
        for output, array in made["plain"].items():
            np.testing.assert_array_equal(made["state"][output], array)
    seconds: dict[str, list[float]] = {way: [] for way in calls}
    for turn in range(ROUNDS):
        for way in list(calls)[:: 1 if turn % 2 else -1]:
            seconds[way].append(median_of(calls[way], feeds))
    found = {way: min(values) for way, values in seconds.items()}
    print(f"{name}: {found}", flush=True)
    path.write_text(json.dumps(found))
    return 0


def median_of(call: Call, feeds: list[Arrays]) -> float:
    seconds = []
    for i in range(CALLS):
        began = time.perf_counter()
        call(feeds[i % len(feeds)])
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
