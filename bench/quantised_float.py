"""Writes docs/measured/QUANTISED_FLOAT.md: the zoo's quantised models beside the float models they were made of.

    python -m bench.quantised_float [NAME...] [--tiers v4+vnni,v4,v3+avx_vnni,v3] [--rounds N] [--slot SECONDS]
                                    [--seconds LIMIT] [--print]

Both models are loaded in one process for each tier (as load_onnx(isa=...) names them, `best` for all that the machine
has) and take turns on one thread. Every result is kept in a file (build/quantised_float.jsonl) as soon as it is there,
and the next call goes on from that file; --seconds: begin no further model after so long. --print: measures the models
anew, prints them, keeps and writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

import arenaut  # noqa: E402
from arenaut.measure.engines import Feeds  # noqa: E402
from arenaut.measure.process import choose_cores, machine, pin  # noqa: E402
from arenaut.measure.render import milliseconds, ratio_text  # noqa: E402
from arenaut.measure.stats import Interval, PairedRatio, geometric_mean, paired_ratio  # noqa: E402
from arenaut.measure.subjects import find_subjects  # noqa: E402
from arenaut.native.rows import all_rows  # noqa: E402
from bench.measured import Measured, how, page_parser  # noqa: E402
from bench.table import markdown_table  # noqa: E402
from bench.zoo import Quantised, load_manifest, select  # noqa: E402

OUTPUT: Final = ROOT / "docs" / "measured" / "QUANTISED_FLOAT.md"
MEASURED: Final = ROOT / "build" / "quantised_float.jsonl"
TAG: Final = "quantised"
TIERS: Final = ("best", "v4+vnni", "v4", "v3+avx_vnni", "v3")
DOMINATE: Final = 0.8
"""The share of a float model's time in products and convolutions from which they dominate it."""


@dataclass(frozen=True)
class Result:
    """One model on one tier. products: the share of the float model's time in rows that pack an operand."""

    model: str
    tier: str
    seconds: float
    float_seconds: float
    ratio: PairedRatio
    products: float

    @property
    def goal(self) -> float:
        """What the ratio is to reach: 2.5 with products of bytes, 1.2 without, where products and convolutions
        dominate; else 1."""
        if self.products < DOMINATE:
            return 1.0
        return 2.5 if self.tier == "best" or "vnni" in self.tier else 1.2

    @property
    def is_slower(self) -> bool:
        return self.ratio.interval.high < 1


def float_model_of(name: str) -> str | None:
    """The zoo's model that a quantised one was made of; None where that is not known."""
    source = load_manifest()[name].source
    return source.of if isinstance(source, Quantised) else None


def slot(model: arenaut.Model, feeds: Feeds, seconds: float) -> float:
    """Median seconds of a run, of at least three after one that is not counted."""
    model.run(dict(feeds))
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        model.run(dict(feeds))
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def share_of_products(model: arenaut.Model, feeds: Feeds) -> float:
    names = {row.name for row in all_rows() if row.packs}
    profile = model.profile(dict(feeds), repeat=2)
    return sum(s.microseconds for s in profile.steps if s.kernel in names) / max(profile.total_microseconds, 1e-9)


def measure(name: str, source: str, tier: str, rounds: int, slot_seconds: float) -> Result:
    quantised, floats = find_subjects([name, source], {})
    isa = None if tier == "best" else tier
    models = [arenaut.load_onnx(each.path, threads=1, isa=isa) for each in (quantised, floats)]
    feeds = [quantised.make_feeds(0), floats.make_feeds(0)]
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            times[which].append(slot(models[which], feeds[which], slot_seconds))
    ratio = paired_ratio(*times)
    medians = [sorted(each)[len(each) // 2] for each in times]
    return Result(name, tier, medians[0], medians[1], ratio, share_of_products(models[1], feeds[1]))


def read(fields: Mapping[str, Any]) -> Result:
    """From what `asdict` made of it."""
    ratio = fields["ratio"]
    paired = PairedRatio(**{**ratio, "interval": Interval(**ratio["interval"])})
    return Result(**{**fields, "ratio": paired})


def line(result: Result) -> str:
    return f"{result.model} {result.tier} {ratio_text(result.ratio)}, products {100 * result.products:.0f} %"


def summary(results: Sequence[Result]) -> list[str]:
    """By tier, what holds of the goals."""
    lines = []
    for tier in dict.fromkeys(each.tier for each in results):
        here = [each for each in results if each.tier == tier]
        slower = [f"{each.model} {each.ratio.median:.2f}" for each in here if each.is_slower]
        below = [
            f"{each.model} {each.ratio.median:.2f}" for each in here if each.goal > 1 and each.ratio.median < each.goal
        ]
        dominated = [each for each in here if each.goal > 1]
        lines.append(
            f"- {tier}: geometric mean {geometric_mean([each.ratio.median for each in here]):.2f}; slower than in "
            f"float {len(slower)} of {len(here)} (goal: none)"
            + (f": {', '.join(slower)}" if slower else "")
            + (
                f"; below {dominated[0].goal:g}, of {len(dominated)} that products dominate, {len(below)}"
                + (f": {', '.join(below)}" if below else "")
                if dominated
                else ""
            )
            + "."
        )
    return lines


def table(results: Sequence[Result]) -> list[str]:
    header = ["model", "tier", "ms", "float ms", "float / quantised", "goal", "products"]
    lines = [
        [
            each.model, each.tier, milliseconds(each.seconds), milliseconds(each.float_seconds),
            ratio_text(each.ratio), f"{each.goal:g}", f"{100 * each.products:.0f} %",
        ]
        for each in results
    ]  # fmt: skip
    return markdown_table(header, lines)


def document(results: Sequence[Result], turns: str, where: str) -> str:
    lines = [
        "# Quantised models beside themselves in float",
        "",
        "Generated by `python -m bench.quantised_float`; not edited by hand.",
        "",
        f"- Machine: {where}",
        f"- Both models in one process, one thread, taking turns: {turns}. Ratios: the float model's time over the",
        "  quantised one's in a round, median with a 95 % interval; above 1 the quantised one is faster.",
        "- Tiers: as `load_onnx(isa=...)` names them, `best` for all that the machine has.",
        "- products: the share of the float model's time in products, convolutions and recurrent layers. Where it is",
        f"  {100 * DOMINATE:g} % or more, the goal is 2.5 with products of bytes and 1.2 without; elsewhere it is 1.",
        "",
        "## Goals",
        "",
        *summary(results),
        "",
        "## Models",
        "",
        *table(results),
    ]
    return "\n".join(lines) + "\n"


def pairs(names: Sequence[str], tiers: Sequence[str]) -> Mapping[tuple[str, str], str]:
    """The float model of every quantised one and tier that are asked for."""
    sources = {entry.name: float_model_of(entry.name) for entry in select(names)}
    return {(name, tier): of for name, of in sources.items() if of is not None for tier in tiers}


def main(arguments: Sequence[str]) -> int:
    parser = page_parser(__doc__, [TAG])
    parser.add_argument("--tiers", default=",".join(TIERS))
    parser.add_argument("--print", action="store_true", dest="only_print")
    options = parser.parse_args(arguments)
    where = machine()
    pin(choose_cores(1))
    asked = pairs(options.names, options.tiers.split(","))
    kept = Measured(None if options.only_print else MEASURED, read, lambda each: (each.model, each.tier), line)
    results = kept.go_on(
        asked, lambda key: measure(key[0], asked[key], key[1], options.rounds, options.slot), options.seconds
    )
    if not options.only_print:
        order = [key for key in pairs([TAG], TIERS) if key in results]
        OUTPUT.write_text(document([results[key] for key in order], how(options), where))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
