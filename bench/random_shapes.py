"""Memory of a process that runs one model at many sizes: does it stay what the largest size needs?

    python -m bench.random_shapes [--runs 10000] [--threads N] [--markdown FILE] [NAME...]

Runs the largest size alone, then random sizes, and compares the resident set then and after. Allowed: 2 % of the
largest size's plan and 1 MiB. Names are those of MODELS, which are texts of this file and models of bench/zoo.toml;
each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

import arenaut
from arenaut.measure.process import resident_bytes
from arenaut.measure.worker import Worker

if not __package__:  # run as a script: make `tests` importable
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import zoo
from bench.table import markdown_table, sizes_text
from tests.support.models import parse

WARM_RUNS: Final = 16
CYCLES: Final = WARM_RUNS
"""Different contents of the inputs; every one is drawn before anything is measured."""


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


def loop() -> onnx.ModelProto:
    """A state that is carried along, results that are stacked, and rows that data chooses in every iteration."""
    return parse(
        """g (int64 trips, float[n, 64] x) => (float[n, 64] y, float[k, n] sums, int64[2, c] found) {
          y, sums = Loop (trips, , x) <body = b (int64 i, bool go, float[n, 64] s)
            => (bool go2, float[n, 64] s2, float[n] t) <float half = {0.5}> {
              go2 = Identity (go)
              above = Greater (s, half)
              places = NonZero (above)
              size = Shape (places)
              count = Cast <to = 1> (size)
              total = ReduceSum <keepdims = 0> (count)
              limited = Sigmoid (total)
              e = Sin (s)
              s2 = Mul (e, limited)
              axis = Constant <value = int64[1] {1}> ()
              t = ReduceSum <keepdims = 0> (s2, axis)
            }>
          zero = Constant <value = float {0.0}> ()
          positive = Greater (y, zero)
          found = NonZero (positive)
        }"""
    )


def scan() -> onnx.ModelProto:
    return parse(
        """g (float[n, 64] x, float[t, n, 64] u) => (float[n, 64] y, float[t, n, 64] s) {
          y, s = Scan <num_scan_inputs = 1, body = b (float[n, 64] a, float[n, 64] v)
            => (float[n, 64] a2, float[n, 64] z) { m = Mul (a, v)  d = Add (m, v)  a2 = Tanh (d)  z = Neg (a2) }> (x, u)
        }"""
    )


def numbers(count: int) -> str:
    return ", ".join(f"{v:.3f}" for v in np.random.default_rng(1).standard_normal(count))


@dataclass(frozen=True)
class Subject:
    """A model and the largest of its sizes. least: the smallest, where that is not 1. model: None for the zoo's.

    scalars: sizes that are the values of inputs, not dims.
    """

    largest: Mapping[str, int]
    model: Callable[[], onnx.ModelProto] | None = None
    least: Mapping[str, int] = field(default_factory=dict)
    scalars: Mapping[str, str] = field(default_factory=dict)


MODELS: Final = {
    "convolutions": Subject({"n": 4, "h": 160, "w": 160}, convolutions),
    "attention": Subject({"n": 4, "s": 512}, attention),
    "loop": Subject({"n": 300, "trips": 40}, loop, scalars={"trips": "trips"}),
    "scan": Subject({"n": 100, "t": 60}, scan),
    "minilm-l3": Subject({"batch": 2, "sequence": 192}),
    "ppocr-rec": Subject({"batch": 1, "width": 320}, least={"width": 16}),
    "silero-vad-sequence": Subject({"chunks": 31}),
    "romanizer-decoder": Subject({"batch": 3, "written": 12, "letters": 24}),
    "asr-kaldi": Subject({"batch": 2, "samples": 48000}, least={"samples": 800}),
}


class Feeds:
    """Inputs of any size, in buffers that were made for the largest: memory of the feeds' own does not change."""

    def __init__(self, name: str, model: arenaut.Model) -> None:
        self.subject, self.random = MODELS[name], np.random.default_rng(0)
        entry = None if self.subject.model is not None else zoo.load_manifest()[name]
        self.shapes = {i.name: i.shape or () for i in (model.inputs if entry is None else entry.inputs)}
        self.lengths = {} if entry is None else {f.name: str(f.value) for f in entry.inputs if f.fill == "lengths"}
        largest = self.subject.largest
        self.drawn = [
            self._normal(seed) if entry is None else zoo.make_feeds(entry, largest, seed) for seed in range(CYCLES)
        ]

    def _normal(self, seed: int) -> dict[str, Any]:
        random, largest = np.random.default_rng(seed), self.subject.largest
        return {
            name: random.standard_normal(self._dims(name, largest)).astype(np.float32)
            for name in self.shapes
            if name not in self.subject.scalars
        }

    def _dims(self, name: str, sizes: Mapping[str, int]) -> list[int]:
        return [d if isinstance(d, int) else sizes[d] for d in self.shapes[name]]

    def of(self, turn: int, sizes: Mapping[str, int]) -> dict[str, Any]:
        feeds: dict[str, Any] = {}
        for name in self.shapes:
            if name in self.subject.scalars:
                feeds[name] = np.array(sizes[self.subject.scalars[name]])
                continue
            shape = self._dims(name, sizes)
            feeds[name] = self.drawn[turn % CYCLES][name].reshape(-1)[: math.prod(shape)].reshape(shape)
            if name in self.lengths:
                feeds[name] = np.minimum(feeds[name], sizes[self.lengths[name]])
        return feeds

    def sizes(self) -> dict[str, int]:
        """Small sizes are the most frequent, as they are the quickest."""
        least = self.subject.least
        return {
            k: max(least.get(k, 1), int((n + 1) * self.random.random() ** 4)) for k, n in self.subject.largest.items()
        }


@dataclass(frozen=True)
class Growth:
    """Bytes: the largest size's plan, the resident set after it alone, and what the random runs added."""

    plan: int
    before: int
    grown: int

    @property
    def allowed(self) -> int:
        return int(0.02 * self.plan) + (1 << 20)

    @property
    def failed(self) -> bool:
        return self.grown > self.allowed


class Probe:
    """Measures in a process of its own."""

    def growth(self, name: str, runs: int, threads: int) -> Growth:
        subject = MODELS[name]
        entry = zoo.load_manifest().get(name)
        source = subject.model() if subject.model is not None or entry is None else zoo.ensure(entry)
        model = arenaut.load_onnx(source, threads=threads)
        feeds = Feeds(name, model)
        for turn in range(WARM_RUNS):
            model.run(feeds.of(turn, subject.largest))
        feeds.sizes()  # the generator's code is in memory before anything is measured
        plan = model.plan.arena_bytes
        gc.collect()
        before = _resident()
        for turn in range(runs):
            model.run(feeds.of(turn, feeds.sizes()))
        gc.collect()
        return Growth(plan, before, _resident() - before)


def _resident() -> int:
    found = resident_bytes()
    if found is None:
        raise RuntimeError("this system does not tell the resident set")
    return found


def document(found: Mapping[str, Growth], runs: int, threads: int, command: str) -> str:
    """The page."""
    rows = [
        [name, sizes_text(MODELS[name].largest), *(f"{n / 1024:,.0f}" for n in (g.plan, g.before)),
         f"{g.grown / 1024:+,.0f}", f"{g.allowed / 1024:,.0f}", "no" if g.failed else "yes"]
        for name, g in found.items()
    ]  # fmt: skip
    return "\n".join(
        [
            "# Memory after runs of many sizes",
            "",
            f"Generated by `{command}`; not edited by hand.",
            "",
            f"{runs:,} runs at random sizes up to the largest, {threads} thread(s), after {WARM_RUNS} runs of the",
            "largest alone. Allowed: 2 % of the largest size's plan and 1 MiB. Figures in KiB.",
            "",
            *markdown_table(
                ("model", "largest sizes", "plan", "RSS after the largest", "grown", "allowed", "holds"), rows
            ),
        ]
    ) + "\n"  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args(arguments)
    found: dict[str, Growth] = {}
    for name in options.names or MODELS:
        with Worker("bench.random_shapes:Probe") as worker:
            g = found[name] = worker.call("growth", name, options.runs, options.threads)
        print(f"{name:20} {options.runs} runs: {g.grown / 1024:+9.0f} KiB, allowed {g.allowed / 1024:7.0f} KiB"
              f"{'   FAILED' if g.failed else ''}", flush=True)  # fmt: skip
    if options.markdown:
        command = " ".join(["python -m bench.random_shapes", *arguments])
        options.markdown.write_text(document(found, options.runs, options.threads, command))
    return 1 if any(g.failed for g in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
