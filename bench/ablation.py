"""Writes docs/measured/ABLATION.md: models timed with all optimisations, and with one at a time left out.

    python bench/ablation.py [MODEL...] [--threads N] [--rounds N] [--output FILE]

Names, families and tags of bench/zoo.toml, or files. All variants of a model are loaded in one process and take turns
on the same feeds; a cell is the median over the rounds of a variant's time by that of the whole, so 1.30 says that the
model takes 30 % longer without. Threads: one instead of N. CBLAS, where scipy-openblas32 is installed and on one
thread: what the model would take with the bare sgemm of OpenBLAS in place of every f32 product, whose fused operations
cost nothing then.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

import arenaut  # noqa: E402
from arenaut.ir.dims import evaluate  # noqa: E402
from arenaut.ir.target import OPTIMISATIONS  # noqa: E402
from arenaut.measure.engines import Feeds  # noqa: E402
from arenaut.measure.process import machine  # noqa: E402
from bench.subjects import Subject, find_subjects  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "ABLATION.md"
MODELS: Final = (
    "minilm-l3",
    "gpt2-2l",
    "mlp-3x512",
    "resnet18",
    "light-squeezenet-random",
    "mobilenet-v3-large",
    "bilstm-2x256",
)
SLOT: Final = 0.02
"""Seconds of a slot, at least one run."""


def seconds(run: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def variants(subject: Subject, threads: int) -> dict[str, arenaut.Model]:
    """The whole model first, then by name what is left out."""
    models = {"whole": arenaut.load_onnx(subject.path, threads=threads)}
    for name in OPTIMISATIONS:
        models[name] = arenaut.load_onnx(subject.path, threads=threads, without=[name])
    models["threads"] = arenaut.load_onnx(subject.path, threads=1)
    return models


def runs_at_all(run: Callable[[], object]) -> bool:
    """Whether the variant runs; the reason is printed where it does not."""
    try:
        run()
    except arenaut.errors.ArenautError as error:
        print(error, file=sys.stderr)
        return False
    return True


def measure(subject: Subject, threads: int, rounds: int) -> tuple[float, dict[str, float]]:
    """Seconds of the whole, and by variant the median ratio of its time to the whole's."""
    models = variants(subject, threads)
    feeds = subject.make_feeds(0)
    runs = {name: (lambda m=model: m.run(feeds)) for name, model in models.items()}
    calls = {}
    failed = [name for name, run in runs.items() if name != "whole" and not runs_at_all(run)]
    for name in failed:
        del runs[name]
    for name, run in runs.items():
        calls[name] = max(1, int(SLOT / max(1e-7, seconds(run, 1))))
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        at = turn * len(names) // rounds  # who comes first changes from round to round
        for name in names[at:] + names[:at]:
            runs[name]()  # brings its memory back into the caches
            times[name].append(seconds(runs[name], calls[name]))
    whole = times.pop("whole")
    ratios = {name: statistics.median(t / w for t, w in zip(each, whole, strict=True)) for name, each in times.items()}
    ratios = {name: ratios.get(name, math.nan) for name in models if name != "whole"}
    single = models["threads"]
    ratios["cblas"] = with_cblas(single, feeds, rounds)
    return statistics.median(whole), ratios


def products(model: arenaut.Model) -> list[tuple[int, int, int, int]]:
    """Batch, M, N, K of every f32 product of the last run."""
    built = model._built
    facts = built.native.describe_last()
    assert facts is not None
    symbols = dict(zip(built.symbols, facts["symbols"], strict=True))
    sizes = []
    for step in (built.lowered.steps[index] for index in built.step_order):
        if step.row is None or step.row.name != "matmul_f32" or step.inputs[0] is None or step.outputs[0] is None:
            continue
        *lead, m, n = (evaluate(d, symbols) for d in step.outputs[0].dims)
        inner = step.inputs[0].dims[-2 if step.params["trans_a"] else -1]
        sizes.append((math.prod(lead), m, n, evaluate(inner, symbols)))
    return sizes


def with_cblas(model: arenaut.Model, feeds: Feeds, rounds: int) -> float:
    """The model's time with sgemm instead of matmul_f32, by its own, both by step; NaN without OpenBLAS."""
    from arenaut.backends.cblas import CblasMissingError, sgemm

    operands = [
        (batch, *(np.ones(dims, np.float32) for dims in ((m, k), (k, n), (m, n))))
        for batch, m, n, k in products(model)
        if batch * m * n * k
    ]
    ratios = []
    for _ in range(rounds):
        steps = model.profile(feeds, repeat=1).steps
        whole = 1e-6 * sum(step.microseconds for step in steps)
        ours = 1e-6 * sum(step.microseconds for step in steps if step.kernel == "matmul_f32")
        try:
            theirs = sum(batch * seconds(lambda x=a, y=b, z=out: sgemm(x, y, z), 1) for batch, a, b, out in operands)  # type: ignore[misc]
        except CblasMissingError:
            return math.nan
        ratios.append((whole - ours + theirs) / whole)
    return statistics.median(ratios)


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(results: Mapping[str, tuple[float, Mapping[str, float]]]) -> str:
    names = list(next(iter(results.values()))[1])
    rows = [line(["model", "whole, ms", *names]), line(["---", *["--:"] * (1 + len(names))])]
    for model, (whole, ratios) in results.items():
        rows.append(line([model, f"{whole * 1e3:.3f}", *(f"{ratios[name]:.2f}" for name in names)]))
    return "\n".join(rows)


def document(results: Mapping[str, tuple[float, Mapping[str, float]]], command: str, threads: int, rounds: int) -> str:
    """The whole page."""
    lines = [
        "# What each optimisation is worth",
        "",
        f"Generated by `{command}`; not edited by hand.",
        "",
        f"- Machine: {machine()}; {threads} thread(s).",
        f"- A cell: the model's time without that optimisation by its time with all, median over {rounds} rounds in",
        "  which all variants take turns in one process. Above 1 the optimisation pays. threads: one instead of all.",
        "  cblas: what the model would take on one thread with OpenBLAS's bare sgemm in place of every f32 product,",
        "  fused operations free. nan: the variant does not run.",
        "",
        table(results),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    for subject in find_subjects(args.models, {}):
        results[subject.name] = measure(subject, args.threads, args.rounds)
    command = " ".join(["python bench/ablation.py", *arguments])
    args.output.write_text(document(results, command, args.threads, args.rounds))
    print(args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
