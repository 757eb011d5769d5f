"""Writes docs/measured/SPEED.md and .svg: the zoo's speed beside the peers, by model and family, against the goals.

    python bench/speed.py [NAME...] [--threads 1,2] [--engines arenaut,onnxruntime,openvino] [--rounds N]
                          [--slot SECONDS] [--output FILE] [--measured FILE] [--resume]

Names, families and tags of bench/zoo.toml; the tag `bench` when none is given. Every model's result is appended to a
file (build/speed.jsonl) as soon as it is there; --resume goes on from that file instead of measuring all anew.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable, here and in child processes
    sys.path.insert(0, str(ROOT))

from arenaut.measure.engines import version_of  # noqa: E402
from arenaut.measure.process import choose_cores, machine, pin  # noqa: E402
from arenaut.measure.render import mebibytes, milliseconds, one_line, ratio_text, scientific, significant  # noqa: E402
from arenaut.measure.speed import SpeedResult, bench  # noqa: E402
from arenaut.measure.stats import Interval, PairedRatio, family_means, geometric_mean  # noqa: E402
from arenaut.measure.worker import Worker, WorkerError  # noqa: E402
from bench.subjects import Subject, find_subjects  # noqa: E402
from bench.table import markdown_table  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "SPEED.md"
MEASURED: Final = ROOT / "build" / "speed.jsonl"
SLOWER: Final = 0.98
"""A model is slower than a peer when the 95 % interval of the paired ratio lies below this."""
PLAIN_GOAL: Final = 1.0
GOALS: Final[Mapping[str, float]] = {
    "transformer": 1.05, "cnn3x3": 1.4, "cnn": 1.05, "mobile": 1.2, "recurrent": 1.6, "tabular": 1.2,
}  # fmt: skip
"""Against the better of the two peers, in geometric mean; other families: not slower."""
OVERHEAD_GOAL: Final = 2.0
OVERHEAD_SECONDS: Final = 100e-6
BANDWIDTH_BYTES: Final = 256 << 20
"""Read for the bandwidth of memory: far more than caches hold."""


@dataclass(frozen=True)
class Work:
    """What one run computes and moves, and what the machine could do just then. Per second; bytes of all operands."""

    flops: int
    bytes: int
    peak: float
    bandwidth: float

    @property
    def counted(self) -> bool:
        """False where bodies of control flow, whose steps are not counted, hide the work."""
        return 100 * self.flops > self.bytes


@dataclass(frozen=True)
class Row:
    """One model at one number of threads. By engine, in seconds and bytes; ratios by peer."""

    model: str
    family: str
    threads: int
    seconds: Mapping[str, float]
    ratios: Mapping[str, PairedRatio]
    load: Mapping[str, float]
    first: Mapping[str, float]
    resident: Mapping[str, int]
    max_rel: float | None
    work: Work | None
    failed: Mapping[str, str]

    def ratio(self, peer: str | None) -> float | None:
        """The median ratio to a peer, None: to the one of both that comes closest. None where it did not run, or
        other work left no interval."""
        peers = ("onnxruntime", "openvino") if peer is None else (peer,)
        return min((self.ratios[each].median for each in peers if self.interval(each)), default=None)

    def interval(self, peer: str) -> Interval | None:
        """Of the ratio to a peer, None where there is none."""
        return self.ratios[peer].interval if peer in self.ratios else None

    def slower_than(self, peer: str, bound: float) -> bool:
        """True where the whole interval lies below the bound."""
        interval = self.interval(peer)
        return interval is not None and interval.high < bound


class WorkProbe:
    """Counts a model's work and measures the machine's limits, in a child process."""

    def measure(self, path: Path, feeds: Mapping[str, Any], threads: int) -> Work:
        import arenaut
        from arenaut import _native
        from arenaut.native.target import allowed_tier

        pin(choose_cores(threads))
        tier = allowed_tier()
        steps = arenaut.load_onnx(path, threads=threads).profile(dict(feeds), repeat=1).steps
        peak = max(_native.peak_flops(tier, 0.01) for _ in range(5)) * threads
        bandwidth = max(_native.read_bandwidth(tier, BANDWIDTH_BYTES, 0.02) for _ in range(3))
        return Work(sum(step.flops for step in steps), sum(step.bytes for step in steps), peak, bandwidth)


def measure(subject: Subject, engines: Sequence[str], threads: int, rounds: int, slot: float) -> Row:
    """Measures one model."""
    result = bench(
        subject.path,
        subject.make_feeds,
        engines,
        threads=threads,
        rounds=rounds,
        slot_seconds=slot,
        name=subject.name,
    )
    work = None
    try:
        with Worker("bench.speed:WorkProbe") as worker:
            work = worker.call("measure", subject.path, dict(subject.make_feeds(0)), threads)
    except WorkerError as error:
        print(f"{subject.name}: work not counted: {one_line(str(error))}", file=sys.stderr)
    return row_of(subject.family, result, work)


def row_of(family: str, result: SpeedResult, work: Work | None) -> Row:
    ran = [each for each in result.engines if each.error is None]
    apart = result.engines[0].difference
    return Row(
        result.model,
        family,
        result.threads,
        {each.engine: each.median_seconds for each in ran},
        result.ratios,
        {each.engine: each.load_seconds for each in ran},
        {each.engine: each.first_run_seconds for each in ran},
        {each.engine: each.resident_peak or 0 for each in ran},
        None if apart is None else apart.max_rel,
        work,
        {each.engine: one_line(each.error, 120) for each in result.engines if each.error is not None},
    )


def stored(path: Path) -> list[Row]:
    """The rows that an earlier run left behind."""
    return [row_from(json.loads(line)) for line in (path.read_text().splitlines() if path.exists() else ())]


def row_from(fields: Mapping[str, Any]) -> Row:
    """A row from what `asdict` made of it."""
    work = fields["work"]
    paired = {
        peer: PairedRatio(**{**ratio, "interval": ratio["interval"] and Interval(**ratio["interval"])})
        for peer, ratio in fields["ratios"].items()
    }
    return Row(**{**fields, "ratios": paired, "work": None if work is None else Work(**work)})


def goal_lines(rows: Sequence[Row]) -> list[str]:
    """What the project set itself, and what holds."""
    lines = []
    for threads in sorted({row.threads for row in rows}):
        here = [row for row in rows if row.threads == threads]
        slower = [
            f"{row.model} {row.ratios['onnxruntime'].median:.2f}"
            for row in here
            if row.slower_than("onnxruntime", SLOWER)
        ]
        count = sum(row.interval("onnxruntime") is not None for row in here)
        lines.append(
            f"- {plural(threads)}: slower than onnxruntime on {len(slower)} of {count} (goal: none)"
            + (f": {', '.join(slower)}." if slower else ".")
        )
        closest = [(row.model, ratio) for row in here if (ratio := row.ratio(None)) is not None]
        behind = [f"{model} {ratio:.2f}" for model, ratio in closest if ratio < SLOWER]
        lines.append(
            f"- {plural(threads)}: below {SLOWER:g} of the better of onnxruntime and OpenVINO on {len(behind)} of "
            f"{len(closest)} (goal: none)" + (f": {', '.join(behind)}." if behind else ".")
        )
        against_ort, against_best = means(here, "onnxruntime"), means(here, None)
        if against_ort and against_best:
            lines.append(
                f"- {plural(threads)}, geometric mean of the families' means: onnxruntime's time over arenaut's "
                f"{geometric_mean(list(against_ort.values())):.2f} (goal 1.3), the better of onnxruntime and OpenVINO "
                f"{geometric_mean(list(against_best.values())):.2f} (goal 1.3)."
            )
        light = [row for row in here if row.seconds.get("onnxruntime", math.inf) < OVERHEAD_SECONDS]
        if light:
            ratios = ", ".join(f"{row.model} {row.ratios['onnxruntime'].median:.2f}" for row in light)
            lines.append(f"- {plural(threads)}, below 100 us in onnxruntime (goal {OVERHEAD_GOAL:g}): {ratios}.")
    return lines


def plural(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def means(rows: Iterable[Row], peer: str | None) -> dict[str, float]:
    """By family, of the ratio to a peer; None: to the better of both."""
    return family_means((row.family, ratio) for row in rows if (ratio := row.ratio(peer)) is not None)


def family_table(rows: Sequence[Row]) -> list[str]:
    counts = sorted({row.threads for row in rows})
    header = ["family", "models"]
    for threads in counts:
        header += [f"onnxruntime, {plural(threads)}", f"the better, {plural(threads)}"]
    header.append("goal against the better")
    columns = [
        means([row for row in rows if row.threads == threads], peer)
        for threads in counts
        for peer in ("onnxruntime", None)
    ]
    lines = []
    for family in dict.fromkeys(row.family for row in rows):
        models = {row.model for row in rows if row.family == family}
        cells = [f"{column[family]:.2f}" if family in column else "-" for column in columns]
        lines.append([family, str(len(models)), *cells, f"{GOALS.get(family, PLAIN_GOAL):g}"])
    return markdown_table(header, lines)


def speed_table(rows: Sequence[Row], engines: Sequence[str]) -> list[str]:
    """Times and ratios of one number of threads."""
    peers = engines[1:]
    header = ["model", "family", "ms", *(f"{peer} ms" for peer in peers), *(f"{peer} / arenaut" for peer in peers)]
    header += ["GFLOP/s", "of peak", "FLOP a byte", "max rel"]
    lines = []
    for row in rows:
        ours = row.seconds.get(engines[0], math.nan)
        ratios = [ratio_text(row.ratios[peer]) if peer in row.ratios else "refused" for peer in peers]
        rates = ["-", "-", "-"]
        if row.work is not None and row.work.counted and ours > 0:
            rate = row.work.flops / ours
            share, intensity = rate / row.work.peak, row.work.flops / max(1, row.work.bytes)
            rates = [significant(rate / 1e9), f"{share:.0%}", significant(intensity)]
        lines.append(
            [
                row.model,
                row.family,
                milliseconds(ours),
                *(milliseconds(row.seconds.get(peer, math.nan)) for peer in peers),
                *ratios,
                *rates,
                "-" if row.max_rel is None else scientific(row.max_rel),
            ]
        )
    return markdown_table(header, lines)


def cost_table(rows: Sequence[Row], engines: Sequence[str]) -> list[str]:
    """Loading, first run and peak resident set."""
    header = ["model", "family"]
    header += [f"{what} {engine}" for what in ("load ms", "first ms", "RSS MiB") for engine in engines]
    lines = [
        [
            row.model,
            row.family,
            *(milliseconds(row.load.get(engine, math.nan)) for engine in engines),
            *(milliseconds(row.first.get(engine, math.nan)) for engine in engines),
            *(mebibytes(row.resident.get(engine)) for engine in engines),
        ]
        for row in rows
    ]
    return markdown_table(header, lines)


def document(rows: Sequence[Row], versions: Mapping[str, str], command: str, how: str) -> str:
    """The whole page. versions: of the engines, the subject first."""
    engines = list(versions)
    counts = sorted({row.threads for row in rows})
    lines = [
        "# Speed",
        "",
        f"Generated by `{command}`; not edited by hand.",
        "",
        f"- Machine: {machine()}",
        f"- Versions: {', '.join(' '.join(pair) for pair in versions.items())}. OpenVINO computes in fp32.",
        f"- Engines in child processes pinned to the same cores, one per thread, taking turns: {how}; other data",
        "  in every run, Python call included. Ratios: the peer's time over arenaut's in a round, median over the",
        "  rounds with a 95 % interval; above 1 arenaut is faster. Rounds in which other work took more than 5 % of a",
        "  slot's cores were played again; disturbed: too few were left, and the ratio counts nowhere.",
        "- GFLOP/s: multiply-adds count two, Winograd's as if it were direct, bodies of control flow not.",
        "  of peak: of the multiply-add peak of all threads, measured after it.",
        "  FLOP a byte: of the operands of all steps, weights included. max rel: largest difference from",
        "  onnxruntime's outputs by the largest element.",
        "",
        "## Goals",
        "",
        *goal_lines(rows),
        "",
        *family_table(rows),
        "",
        "![GFLOP/s over operations a byte, under the machine's limits](SPEED.svg)",
    ]
    for threads in counts:
        here = [row for row in rows if row.threads == threads]
        lines += ["", f"## {plural(threads).capitalize()}", "", *speed_table(here, engines)]
    first = [row for row in rows if row.threads == counts[0]]
    lines += [
        "",
        f"## Loading, first run, memory of the process ({plural(counts[0])})",
        "",
        *cost_table(first, engines),
    ]
    refused = [f"- {row.model}, {engine}: {why}" for row in first for engine, why in row.failed.items()]
    return "\n".join([*lines, *(["", "## Refused", "", *refused] if refused else [])]) + "\n"


def roofline(rows: Sequence[Row], path: Path) -> None:
    """One point a model and number of threads below the machine's limits."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    for color, threads in zip(
        ("tab:blue", "tab:orange", "tab:green"), sorted({row.threads for row in rows}), strict=False
    ):
        known = [
            (row, row.work) for row in rows if row.threads == threads and row.work is not None and row.work.counted
        ]
        if not known:
            continue
        peak = max(work.peak for _, work in known) / 1e9
        bandwidth = max(work.bandwidth for _, work in known) / 1e9
        intensities = [work.flops / max(1, work.bytes) for _, work in known]
        rates = [work.flops / row.seconds["arenaut"] / 1e9 for row, work in known]
        line = [min(intensities) / 2, peak / bandwidth, max(intensities) * 2]
        axes.plot(line, [min(peak, bandwidth * x) for x in line], color=color, linewidth=1)
        axes.scatter(intensities, rates, s=14, color=color, label=plural(threads))
        if threads == 1:
            for (row, _), x, y in zip(known, intensities, rates, strict=True):
                if y < min(peak, bandwidth * x) / 2:
                    axes.annotate(row.model, (x, y), fontsize=6, xytext=(3, -2), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="FLOP a byte of operands", ylabel="GFLOP/s")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["bench"], metavar="NAME")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--engines", default="arenaut,onnxruntime,openvino")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slot", type=float, default=0.1)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--measured", type=Path, default=MEASURED)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)
    from rich.console import Console
    from rich.progress import track

    engines = options.engines.split(",")
    counts = [int(count) for count in options.threads.split(",")]
    rows = stored(options.measured) if options.resume else []
    done = {(row.model, row.threads) for row in rows}
    subjects = find_subjects(options.names, {})
    todo = [(subject, count) for subject in subjects for count in counts if (subject.name, count) not in done]
    options.measured.parent.mkdir(exist_ok=True)
    with options.measured.open("a" if options.resume else "w") as file:
        for subject, count in track(todo, "measuring", console=Console(stderr=True)):
            row = measure(subject, engines, count, options.rounds, options.slot)
            file.write(json.dumps(asdict(row)) + "\n")
            file.flush()
            rows.append(row)
    order = {subject.name: index for index, subject in enumerate(subjects)}
    rows = sorted((row for row in rows if row.model in order), key=lambda row: (row.threads, order[row.model]))
    how = f"{options.rounds} rounds of {options.slot:g} s"
    command = " ".join(["python bench/speed.py", *(a for a in arguments if a != "--resume")])
    options.output.write_text(document(rows, {engine: version_of(engine) for engine in engines}, command, how))
    roofline(rows, options.output.with_suffix(".svg"))
    print(f"{options.output}: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
