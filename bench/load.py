"""What reading a model costs beside its weights: parsing, passes, lowering and planning, and how that grows.

    python bench/load.py [NAME...] [--repeat N] [--growth]

Names, families and tags of bench/zoo.toml. Times are CPU times of this thread, the smallest of N loads after one that
warms up, imports and the packing of weights (`WeightStore.pack`) excluded. The budget is 10 ms + 0.4 ms a stored node.
--growth: also a decoder of 4, 8 and 16 layers, whose time must grow no faster than its nodes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

DEFAULT: Final = ("gpt2", "light-densenet121-random", "swin-tiny", "ppocr-det", "qwen3-2l", "bert-base", "segformer-b0")
BASE_MS: Final = 10.0
NODE_MS: Final = 0.4
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Milliseconds by phase, and stored nodes."""

    nodes: int
    parse: float
    passes: float
    lower: float
    plan: float

    @property
    def total(self) -> float:
        return self.parse + self.passes + self.lower + self.plan

    @property
    def allowed(self) -> float:
        return BASE_MS + NODE_MS * self.nodes


class Clock:
    """CPU milliseconds of calls, without the packing of weights."""

    def __init__(self) -> None:
        from arenaut.lowering.weights import WeightStore

        self.packing = 0.0
        pack = WeightStore.pack

        def timed(store: WeightStore, threads: int) -> None:
            start = time.thread_time()
            pack(store, threads)
            self.packing += time.thread_time() - start

        setattr(WeightStore, "pack", timed)  # noqa: B010

    def of(self, call: Callable[[], T]) -> tuple[T, float]:
        start, packed = time.thread_time(), self.packing
        result = call()
        return result, (time.thread_time() - start - (self.packing - packed)) * 1e3


def measure(path: Path, clock: Clock, repeat: int) -> Cost:
    """The smallest of `repeat` loads, phase by phase."""
    found = [_load(path, clock) for _ in range(repeat + 1)][1:]
    phases = [min(getattr(c, name) for c in found) for name in ("parse", "passes", "lower", "plan")]
    return Cost(found[0].nodes, *phases)


def _load(path: Path, clock: Clock) -> Cost:
    from arenaut.frontend import import_model
    from arenaut.passes import run_pipeline

    from arenaut.executor.common import make_host_call
    from arenaut.lowering.build import build_program
    from arenaut.lowering.filters import choose_filters
    from arenaut.lowering.lower import lower_graph
    from arenaut.machine import current_target
    from arenaut.session import count_nodes

    target = current_target(1)
    imported, parse = clock.of(lambda: import_model(path))
    graph = imported.graph
    nodes = count_nodes(graph)
    _, passes = clock.of(lambda: run_pipeline(graph, target))
    lowered, lower = clock.of(lambda: lower_graph(graph, target))
    _, filters = clock.of(lambda: choose_filters(lowered, target))
    _, plan = clock.of(lambda: build_program(lowered, target, make_host_call))
    return Cost(nodes, parse, passes, lower + filters, plan)


def decoder(layers: int, folder: Path) -> Path:
    """A narrow GPT-2 of so many layers."""
    from bench.recognition import ARCHITECTURES, write

    path = folder / f"decoder-{layers}.onnx"
    write(ARCHITECTURES["GPT-2"], path, "dynamo", "sdpa", 18, layers)
    return path


def line(name: str, cost: Cost) -> str:
    phases = f"{cost.parse:8.1f}{cost.passes:8.1f}{cost.lower:8.1f}{cost.plan:8.1f}{cost.total:9.1f}"
    verdict = "" if cost.total <= cost.allowed else "  over"
    return f"{name:28}{cost.nodes:6}{phases}{cost.total / cost.nodes:8.3f}{cost.allowed:9.1f}{verdict}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--growth", action="store_true")
    options = parser.parse_args(arguments)
    from arenaut.report.subjects import find_subjects

    clock, over = Clock(), False
    columns = "".join(f"{name:>8}" for name in ("parse", "passes", "lower", "plan"))
    print(f"{'CPU ms':28}{'nodes':>6}{columns}{'all':>9}{'a node':>8}{'allowed':>9}")
    for subject in find_subjects(list(options.names or DEFAULT), {}, ROOT):
        cost = measure(subject.path, clock, options.repeat)
        over |= cost.total > cost.allowed
        print(line(subject.name, cost), flush=True)
    if options.growth:
        with tempfile.TemporaryDirectory() as folder:
            costs = [measure(decoder(layers, Path(folder)), clock, options.repeat) for layers in (4, 8, 16)]
        for layers, cost in zip((4, 8, 16), costs, strict=True):
            print(line(f"decoder of {layers} layers", cost))
        steps = [b.total / a.total / (b.nodes / a.nodes) for a, b in pairwise(costs)]
        print("growth of time over growth of nodes, doubling the layers:", ", ".join(f"{s:.2f}" for s in steps))
    return int(over)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
