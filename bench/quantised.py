"""Writes docs/measured/QUANTISED.md: speed and memory of the zoo's quantised models beside the peers.

    python -m bench.quantised [NAME...] [--threads 1,2] [--rounds N] [--slot SECONDS] [--seconds LIMIT] [--memory]

Every model's result is kept in a file (build/quantised.jsonl) as soon as it is there, and the next call goes on from
that file; --seconds: begin no further model after so long. The page holds what the file holds. A model that is not in
the zoo's cache is made when its turn comes, which takes up to minutes (`python -m bench.zoo fetch quantised` makes them
all). --memory: prints the table of memory alone, writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable, here and in child processes
    sys.path.insert(0, str(ROOT))

from arenaut.measure.engines import version_of  # noqa: E402
from arenaut.measure.memory import arenaut_memory  # noqa: E402
from arenaut.measure.process import machine  # noqa: E402
from arenaut.measure.render import mebibytes, milliseconds, ratio_text  # noqa: E402
from arenaut.measure.stats import geometric_mean  # noqa: E402
from arenaut.measure.subjects import Subject, find_subjects  # noqa: E402
from bench import load_memory, speed  # noqa: E402
from bench.measured import Measured, how, page_parser  # noqa: E402
from bench.table import markdown_table  # noqa: E402
from bench.zoo import Quantised, cache_path, load_manifest, select  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "QUANTISED.md"
MEASURED: Final = ROOT / "build" / "quantised.jsonl"
ENGINES: Final = ("arenaut", "onnxruntime", "openvino-default")
RSS_FACTOR: Final = 1.15
RSS_SLACK: Final = 20e6
ARENA_FACTOR: Final = 0.35
TAG: Final = "quantised"


@dataclass(frozen=True)
class Memory:
    """Bytes. stored: of the weights; loaded: what loading adds to the resident set, by engine; arena: of a run's plan;
    float_arena: that of the model before it was quantised, None where the zoo does not have it."""

    stored: int
    loaded: Mapping[str, int]
    arena: int
    float_arena: int | None


@dataclass(frozen=True)
class Result:
    """One model: medians and paired ratios by number of threads, memory with one thread."""

    model: str
    rows: tuple[speed.Row, ...]
    memory: Memory


def measure(subject: Subject, counts: Sequence[int], rounds: int, slot: float) -> Result:
    rows = tuple(speed.measure(subject, ENGINES, count, rounds, slot) for count in counts)
    return Result(subject.name, rows, memory_of(subject))


def memory_of(subject: Subject) -> Memory:
    loaded = {}
    for engine in ENGINES[:2]:
        found = load_memory.in_child(engine, subject.path, 1)
        if found is not None:
            loaded[engine] = int(found["grown"])
    source = load_manifest()[subject.name].source
    before = find_subjects([source.of], {})[0] if isinstance(source, Quantised) else None
    return Memory(
        load_memory.weight_bytes(subject.path), loaded, arena_bytes(subject),
        None if before is None else arena_bytes(before),
    )  # fmt: skip


def subjects(names: Sequence[str]) -> Iterator[Subject]:
    """One after the other, each made where it is not there yet."""
    for entry in select(names):
        if not cache_path(entry).exists():
            print(f"{entry.name} is not in the zoo's cache: it is made", file=sys.stderr, flush=True)
        yield from find_subjects([entry.name], {})


def arena_bytes(subject: Subject) -> int:
    return arenaut_memory(subject.path, subject.make_feeds(0)).peak_bytes


def read(fields: Mapping[str, Any]) -> Result:
    """From what `asdict` made of it."""
    rows = tuple(speed.row_from(each) for each in fields["rows"])
    return Result(fields["model"], rows, Memory(**fields["memory"]))


def line(result: Result) -> str:
    return f"{result.model} { {row.threads: round(row.ratio('onnxruntime') or 0, 2) for row in result.rows} }"


def summary(results: Sequence[Result]) -> list[str]:
    """The goals, and what holds."""
    lines = []
    for count in sorted({row.threads for result in results for row in result.rows}):
        here = [row for result in results for row in result.rows if row.threads == count]
        slower = [f"{r.model} {r.ratios[ENGINES[1]].median:.2f}" for r in here if is_slower(r)]
        against = [r.ratios[ENGINES[1]].median for r in here if ENGINES[1] in r.ratios]
        better = [min(ratio.median for ratio in r.ratios.values()) for r in here if r.ratios]
        lines += [
            f"- {speed.plural(count)}: slower than onnxruntime on {len(slower)} of {len(against)} (goal: none)"
            + (f": {', '.join(slower)}." if slower else "."),
            f"- {speed.plural(count)}, geometric mean: {geometric_mean(against):.2f} of onnxruntime's time (goal 1.3), "
            f"{geometric_mean(better):.2f} of the better peer's (goal 1.1).",
        ]
    over = [result.model for result in results if not fits(result.memory)]
    lines.append(
        f"- Resident memory after loading within {RSS_FACTOR:g} x the stored weights + 20 MB on "
        f"{len(results) - len(over)} of {len(results)}" + (f"; over: {', '.join(over)}." if over else ".")
    )
    return lines


def is_slower(row: speed.Row) -> bool:
    return row.slower_than(ENGINES[1], 1)


def fits(memory: Memory) -> bool:
    grown = memory.loaded.get(ENGINES[0])
    return grown is not None and grown <= RSS_FACTOR * memory.stored + RSS_SLACK


def speed_table(rows: Sequence[speed.Row]) -> list[str]:
    header = ["model", "ms", *(f"{each} ms" for each in ENGINES[1:]), *(f"{each} / arenaut" for each in ENGINES[1:])]
    lines = []
    for row in rows:
        times = [milliseconds(row.seconds[each]) if each in row.seconds else "refused" for each in ENGINES]
        lines.append([row.model, *times, *(ratio_text(row.ratios[e]) if e in row.ratios else "-" for e in ENGINES[1:])])
    return markdown_table(header, lines)


def memory_table(results: Sequence[Result]) -> list[str]:
    header = ["model", "weights MiB", "loaded MiB", "onnxruntime MiB", "bound", "arena MiB", "float arena MiB", "share"]
    lines = []
    for result in results:
        m = result.memory
        share = "-" if not m.float_arena else f"{m.arena / m.float_arena:.2f}"
        lines.append([
            result.model, mebibytes(m.stored), *(mebibytes(m.loaded.get(each)) for each in ENGINES[:2]),
            "yes" if fits(m) else "no", mebibytes(m.arena), mebibytes(m.float_arena), share,
        ])  # fmt: skip
    return markdown_table(header, lines)


def document(results: Sequence[Result], turns: str) -> str:
    measured = {result.model for result in results}
    missing = [entry.name for entry in select([TAG]) if entry.name not in measured]
    versions = ", ".join(f"{each} {version_of(each)}" for each in ENGINES)
    lines = [
        "# Quantised models",
        "",
        "Generated by `python -m bench.quantised`; not edited by hand.",
        "",
        f"- Machine: {machine()}",
        f"- Versions: {versions}. OpenVINO chooses its own precision.",
        "- Models: those of bench/zoo.toml with the tag quantised, made by onnxruntime's tools (bench/quantise.py).",
        f"- Engines in child processes pinned to the same cores, taking turns: {turns}. Ratios: the peer's time over",
        "  arenaut's in a round, median over the rounds with a 95 % interval; above 1 arenaut is faster.",
        "- loaded: what one load adds to the resident set, after another small model was loaded. bound: that it stays",
        f"  within {RSS_FACTOR:g} x the weights + 20 MB. share: of the arena of the model before it was quantised;",
        f"  the goal for networks that are byte-wide throughout is {ARENA_FACTOR:g}.",
        "",
        "## Goals",
        "",
        *summary(results),
        *([f"- Not measured: {', '.join(missing)}."] if missing else []),
    ]
    for count in sorted({row.threads for result in results for row in result.rows}):
        here = [row for result in results for row in result.rows if row.threads == count]
        lines += ["", f"## {speed.plural(count).capitalize()}", "", *speed_table(here)]
    return "\n".join([*lines, "", "## Memory", "", *memory_table(results)]) + "\n"


def print_memory(names: Sequence[str], seconds: float) -> int:
    """Returns how many models hold more than the bound."""
    start, results = time.monotonic(), []
    for subject in subjects(names):
        results.append(Result(subject.name, (), memory_of(subject)))
        if time.monotonic() - start > seconds:
            break
    print("\n".join(memory_table(results)))
    return sum(not fits(result.memory) for result in results)


def main(arguments: Sequence[str]) -> int:
    parser = page_parser(__doc__, [TAG])
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args(arguments)
    if options.memory:
        return print_memory(options.names, options.seconds)
    counts = [int(count) for count in options.threads.split(",")]

    def measured(name: str) -> Result:
        (subject,) = subjects([name])
        return measure(subject, counts, options.rounds, options.slot)

    kept = Measured(MEASURED, read, lambda result: result.model, line)
    results = kept.go_on([entry.name for entry in select(options.names)], measured, options.seconds)
    order = [name for name in load_manifest() if name in results]
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(document([results[name] for name in order], how(options)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
