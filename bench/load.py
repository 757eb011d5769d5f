"""What reading a model costs beside its weights: parsing, passes, lowering and planning, and how that grows.

    python bench/load.py [NAME...] [--repeat N] [--growth] [--markdown FILE]
    python bench/load.py [NAME...] --beside

Names, families and tags of bench/zoo.toml. Times are CPU times of this thread, the median of N loads after one that
warms up, imports and the packing of weights (`WeightStore.pack`) excluded. Shared machines change their pace by the
minute, so each load stands between two turns of a loop of plain Python, and its times are those of a machine on which
that loop takes LOOP_MS. The budget is 10 ms + 0.4 ms a stored node.
--growth: also a decoder of 4, 8 and 16 layers, whose time must grow no faster than its nodes.
--beside: instead, whole loads in turn with onnxruntime's, in this process, weights included: the medians of wall time
after one load each, and the geometric mean of the ratios.
docs/measured/LOAD.md is what `python bench/load.py --growth --markdown docs/measured/LOAD.md` wrote.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean, median
from typing import Final, TypeVar

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

from bench.pace import LOOP_MS, loop  # noqa: E402

DEFAULT: Final = (
    "digits", "mlp-3x512", "gpt2-2l", "gpt2-2l-dynamic", "bert-base", "qwen3-2l", "t5-small-encoder", "swin-tiny",
    "whisper-tiny-encoder", "light-densenet121-random", "light-inception-v2-random", "mobilenet-v3-large",
    "segformer-b0", "ppocr-det", "silero-vad", "minilm-l6-int8",
)  # fmt: skip
BESIDE: Final = (
    *DEFAULT, "logreg-iris", "magika", "minilm-l3", "ppocr-rec", "ppocr-cls", "basic-pitch", "asr-nemo80", "asr-kaldi",
    "asr-wespeaker", "centerface", "romanizer-encoder", "romanizer-decoder", "transformer-block",
    "light-squeezenet-random", "resnet50",
)  # fmt: skip
BASE_MS: Final = 10.0
NODE_MS: Final = 0.4
LAYERS: Final = (4, 8, 16)
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
    """The median of `repeat` loads, phase by phase, in time of the stated machine."""
    nodes = _load(path, clock).nodes
    found: list[Cost] = []
    before = clock.of(loop)[1]
    for _ in range(repeat):
        cost = _load(path, clock)
        after = clock.of(loop)[1]
        pace = 2 * LOOP_MS / (before + after)
        found.append(Cost(nodes, cost.parse * pace, cost.passes * pace, cost.lower * pace, cost.plan * pace))
        before = after
    return Cost(nodes, *[median(getattr(c, name) for c in found) for name in ("parse", "passes", "lower", "plan")])


def _load(path: Path, clock: Clock) -> Cost:
    from arenaut.executor.host import ProgramHost
    from arenaut.frontend import import_model
    from arenaut.lowering.build import build_program
    from arenaut.lowering.lower import lower_graph
    from arenaut.lowering.pipeline import run_lowered_pipeline
    from arenaut.model import count_nodes
    from arenaut.native.target import current_target
    from arenaut.passes import run_pipeline

    target = current_target(1)
    imported, parse = clock.of(lambda: import_model(path))
    graph = imported.graph
    nodes = count_nodes(graph)
    _, passes = clock.of(lambda: run_pipeline(graph, target))
    lowered, lower = clock.of(lambda: lower_graph(graph, target))
    steps, rewritten = clock.of(lambda: run_lowered_pipeline(lowered, target))
    _, plan = clock.of(lambda: build_program(steps, target, ProgramHost))
    return Cost(nodes, parse, passes, lower + rewritten, plan)


def beside(path: Path, repeat: int) -> tuple[float, float]:
    """Milliseconds of a load in arenaut and in onnxruntime, one thread each, in turns."""
    import onnxruntime

    import arenaut

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    loads: tuple[Callable[[], object], ...] = (
        lambda: arenaut.load_onnx(path, threads=1),
        lambda: onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"]),
    )
    times: tuple[list[float], ...] = ([], [])
    for turn in range(repeat + 1):
        for load, taken in zip(loads, times, strict=True):
            start = time.perf_counter()
            load()
            if turn:
                taken.append(1e3 * (time.perf_counter() - start))
    return median(times[0]), median(times[1])


def print_beside(names: Sequence[str], repeat: int) -> None:
    from bench.subjects import find_subjects

    ratios: list[float] = []
    print(f"{'ms':28}{'arenaut':>10}{'onnxruntime':>13}{'ratio':>8}")
    for subject in find_subjects(list(names or BESIDE), {}):
        ours, theirs = beside(subject.path, repeat)
        ratios.append(ours / theirs)
        print(f"{subject.name:28}{ours:10.2f}{theirs:13.2f}{ours / theirs:8.2f}", flush=True)
    print(f"geometric mean of {len(ratios)}: {geometric_mean(ratios):.2f}, largest {max(ratios):.2f}")


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


def growth(costs: Sequence[Cost]) -> list[float]:
    """Time by nodes, from each cost to the next: at most 1 where time grows no faster than nodes."""
    return [b.total / a.total / (b.nodes / a.nodes) for a, b in pairwise(costs)]


def document(models: Mapping[str, Cost], layers: Mapping[str, Cost], where: str, command: str) -> str:
    """The page of these costs."""
    head = [
        "# Loading", "", f"Generated by `{command}`; see its help for how. Nothing here is typed in.",
        f"{where}. CPU milliseconds of one thread, without weights, at the pace at which the bench's loop takes "
        f"{LOOP_MS} ms; allowed: {BASE_MS:.0f} ms + {NODE_MS} ms a node.",
        "", "| model | nodes | parse | passes | lower | plan | all | a node | allowed | |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]  # fmt: skip
    lines = [
        f"| {name} | {c.nodes} | {c.parse:.1f} | {c.passes:.1f} | {c.lower:.1f} | {c.plan:.1f} | {c.total:.1f} | "
        f"{c.total / c.nodes:.3f} | {c.allowed:.1f} | {'' if c.total <= c.allowed else 'over'} |"
        for name, c in {**models, **layers}.items()
    ]
    steps = ", ".join(f"{g:.2f}" for g in growth(list(layers.values())))
    tail = ["", f"Growth of time over growth of nodes, doubling the layers: {steps}."] if steps else []
    return "\n".join([*head, *lines, *tail]) + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.beside:
        print_beside(options.names, options.repeat)
        return 0
    from arenaut.measure.process import machine
    from bench.subjects import find_subjects

    clock = Clock()
    columns = "".join(f"{name:>8}" for name in ("parse", "passes", "lower", "plan"))
    print(f"{'CPU ms':28}{'nodes':>6}{columns}{'all':>9}{'a node':>8}{'allowed':>9}")
    models: dict[str, Cost] = {}
    for subject in find_subjects(list(options.names or DEFAULT), {}):
        models[subject.name] = measure(subject.path, clock, options.repeat)
        print(line(subject.name, models[subject.name]), flush=True)
    layers: dict[str, Cost] = {}
    if options.growth:
        with tempfile.TemporaryDirectory() as folder:
            for count in LAYERS:
                name = f"decoder of {count} layers"
                layers[name] = measure(decoder(count, Path(folder)), clock, options.repeat)
                print(line(name, layers[name]), flush=True)
        print("growth of time over growth of nodes:", ", ".join(f"{g:.2f}" for g in growth(list(layers.values()))))
    if options.markdown:
        command = " ".join(["python bench/load.py", *arguments])
        options.markdown.write_text(document(models, layers, machine(), command))
    return int(any(cost.total > cost.allowed for cost in models.values()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
