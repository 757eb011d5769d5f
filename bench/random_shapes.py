"""Memory of a process that runs one model at many sizes: does it stay what the largest size needs?

    python -m bench.random_shapes [--runs 10000] [NAME...]

Runs the largest size alone, then random sizes, and compares the resident set then and after. Allowed: 2 % of the
largest size's plan and 1 MiB. Names are those of MODELS.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

import arenaut
from arenaut.report.process import resident_bytes

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from models import parse

WARM_RUNS: Final = 5


class Source:
    """Random inputs, all in one buffer that is as large as the largest of them."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.buffer = np.empty(0, np.float32)

    def floats(self, *shape: int) -> np.ndarray:
        count = math.prod(shape)
        if self.buffer.size < count:
            self.buffer = np.empty(count, np.float32)
        return self.random.standard_normal(dtype=np.float32, out=self.buffer[:count]).reshape(shape)


def convolutions() -> onnx.ModelProto:
    return parse(
        """g (float[n, 3, h, w] x) => (float[n, 8, h, w] y, float[n, 4] z) <float[8, 3, 3, 3] a, float[8, 8, 3, 3] b> {
          c = Conv <pads = [1, 1, 1, 1]> (x, a)
          d = Relu (c)
          y = Conv <pads = [1, 1, 1, 1]> (d, b)
          p = GlobalAveragePool (y)
          f = Flatten (p)
          s, r = Split <num_outputs = 2> (f)
          z = Mul (s, r)
        }"""
        .replace("float[8, 3, 3, 3] a, float[8, 8, 3, 3] b", f"float[8, 3, 3, 3] a = {{{numbers(216)}}}, "
                 f"float[8, 8, 3, 3] b = {{{numbers(576)}}}")
    )  # fmt: skip


def attention() -> onnx.ModelProto:
    return parse(
        """g (float[n, s, 64] x) => (float[n, s, 64] y) <float[64, 64] a> {
          q = MatMul (x, a)
          k = Transpose <perm = [0, 2, 1]> (x)
          t = MatMul (q, k)
          p = Softmax (t)
          y = MatMul (p, x)
        }""".replace("float[64, 64] a", f"float[64, 64] a = {{{numbers(4096)}}}")
    )


def numbers(count: int) -> str:
    return ", ".join(f"{v:.3f}" for v in np.random.default_rng(1).standard_normal(count))


@dataclass(frozen=True)
class Subject:
    model: Callable[[], onnx.ModelProto]
    largest: Mapping[str, int]
    feed: Callable[[Source, Mapping[str, int]], Any]


MODELS: Final = {
    "convolutions": Subject(
        convolutions, {"n": 4, "h": 160, "w": 160}, lambda source, s: source.floats(s["n"], 3, s["h"], s["w"])
    ),
    "attention": Subject(attention, {"n": 4, "s": 512}, lambda source, s: source.floats(s["n"], s["s"], 64)),
}


def growth(name: str, runs: int, threads: int = 1) -> tuple[int, int]:
    """Bytes of the resident set that the random runs added, and how many are allowed."""
    subject = MODELS[name]
    source = Source()
    model = arenaut.load_onnx(subject.model(), threads=threads)
    x = subject.feed(source, subject.largest)
    for _ in range(WARM_RUNS):
        model.run(x)
    plan = model.plan.arena_bytes
    gc.collect()
    before = resident_bytes()
    for _ in range(runs):
        # Small sizes are the most frequent, as they are the quickest.
        sizes = {k: max(1, int(n * source.random.random() ** 4)) for k, n in subject.largest.items()}
        model.run(subject.feed(source, sizes))
    gc.collect()
    after = resident_bytes()
    if before is None or after is None:
        raise RuntimeError("this system does not tell the resident set")
    return after - before, int(0.02 * plan) + (1 << 20)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    failed = 0
    for name in options.names:
        grown, allowed = growth(name, options.runs, options.threads)
        failed += grown > allowed
        print(f"{name:16} {options.runs} runs: {grown / 1024:+9.0f} KiB, allowed {allowed / 1024:7.0f} KiB"
              f"{'' if grown <= allowed else '   FAILED'}")  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
