"""Decoders with a state that take several sequences at a time: what a step of all of them costs."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Final

import numpy as np

import arenaut
from bench import zoo
from bench.decode_engines import feeds_of

BATCHED: Final = ("llama-cached", "qwen3-cached", "qwen3-cached-float16", "qwen3-cached-4bits-level0")
ROWS: Final = (1, 2, 4, 8, 16)
LENGTH: Final = 64
STEPS: Final = 8
SKIPPED: Final = 3


def batches(entry: zoo.ZooEntry, path: Path) -> int:
    """0. Seconds of a step by how many sequences it takes, one thread, as `path` then holds them."""
    model = arenaut.load_onnx(zoo.ensure(entry), threads=1)
    feeds_at, found = feeds_of(entry), {}
    for rows in ROWS:
        state = model.new_state(capacity=LENGTH + SKIPPED + STEPS, batch=rows)
        tokens = np.random.default_rng(0).integers(0, 1000, (rows, LENGTH))
        seconds = []
        for _ in range(1 + SKIPPED + STEPS):
            feeds = {n: np.broadcast_to(a, (rows, a.shape[1])) for n, a in feeds_at(state.length, tokens).items()}
            began = time.perf_counter()
            model.run(feeds, state=state)
            seconds.append(time.perf_counter() - began)
            tokens = tokens[:, :1]
        found[rows] = statistics.median(seconds[-STEPS:])
    print(f"{entry.name}, sequences at a time: {found}", flush=True)
    path.write_text(json.dumps(found))
    return 0
