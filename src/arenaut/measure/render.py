"""Measurements as tables that stay readable at 60 columns, and as plain data for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from arenaut.measure.memory import PeerMemory
from arenaut.measure.speed import EngineResult, SpeedResult
from arenaut.measure.stats import PairedRatio, family_means, geometric_mean

if TYPE_CHECKING:
    from rich.table import Table


def milliseconds(seconds: float) -> str:
    """A duration in ms with three significant digits."""
    return "-" if math.isnan(seconds) else significant(seconds * 1e3)


def kibibytes(size: int | None) -> str:
    """A size in KiB, rounded up."""
    return "-" if size is None else f"{math.ceil(size / 1024):,}"


def mebibytes(size: int | None) -> str:
    """A size in MiB, rounded up."""
    return "-" if size is None else f"{math.ceil(size / 2**20):,}"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, never in exponent form above 1e-4."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}" if decimals < 8 else f"{value:.{digits - 1}e}"


def scientific(value: float) -> str:
    """An error with two significant digits, such as 1.2e-07."""
    return "0" if value == 0 else f"{value:.1e}"


def one_line(text: str, limit: int = 300) -> str:
    """A message without its line breaks, cut at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def ratio_text(ratio: PairedRatio) -> str:
    """A paired ratio with its interval, such as "1.31 [1.28, 1.35]"."""
    if ratio.interval is None:
        return f"{ratio.median:.2f} (disturbed)"
    return f"{ratio.median:.2f} [{ratio.interval.low:.2f}, {ratio.interval.high:.2f}]"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(
        title=title, box=None, padding=(0, 1, 0, 0), title_justify="left", title_style="bold", header_style="dim"
    )
    for index, column in enumerate(columns):
        worded = index == 0 or column == "setting"
        table.add_column(column, justify="left" if worded else "right", no_wrap=column != "setting")
    for row in rows:
        table.add_row(*row)
    return table


def note(result: SpeedResult) -> str:
    """How the figures of a result are to be read."""
    subject = result.engines[0].engine
    cores = "" if result.cores is None else " All engines are pinned to the same cores, one per thread."
    return (
        f"time / {subject}: the engine's median time over {subject}'s in the same round, median over "
        f"{_rounds(result)} rounds with a 95 % interval; above 1, {subject} is faster. Times include the Python call."
        f"{cores}{_about_load(result)} max abs, max rel: largest difference from the reference's outputs; rel divides "
        "it by the largest element of the output."
    )


def _rounds(result: SpeedResult) -> int:
    return max(len(each.rounds) for each in result.engines)


def _about_load(result: SpeedResult) -> str:
    """What other work on the machine did to the figures."""
    if result.disturbed:
        return " Other work took more than 5 % of the cores in most rounds: these times say little."
    return f" {result.lost_rounds} rounds were left out: other work took their cores." if result.lost_rounds else ""


def speed_tables(result: SpeedResult, sizes: str = "") -> list[Table]:
    """The times of all engines with ratios to the subject, and what loading and running cost besides."""
    subject = result.engines[0].engine
    ran = [engine for engine in result.engines if engine.error is None]
    plural = "s" if result.threads > 1 else ""
    title = f"{result.model}{f' ({sizes})' if sizes else ''}, {result.threads} thread{plural}"
    if not ran:
        return []
    times = _table(
        title,
        ("engine", "median ms", "best ms", f"time / {subject}"),
        [
            (
                each.engine,
                milliseconds(each.median_seconds),
                milliseconds(each.best_seconds),
                ratio_text(result.ratios[each.engine]) if each.engine in result.ratios else "",
            )
            for each in ran
        ],
    )
    costs = _table(
        "",
        ("engine", "load ms", "first ms", "RSS MiB", "max abs", "max rel"),
        [_cost_row(each, result.reference) for each in ran],
    )
    return [times, costs]


def _cost_row(each: EngineResult, reference: str | None) -> tuple[str, ...]:
    apart = each.difference
    errors = ("ref", "ref") if each.engine == reference else ("-", "-")
    if apart is not None:
        unequal = f", {apart.unequal} unequal" if apart.unequal else ""
        errors = (f"{scientific(apart.max_abs)}{unequal}", scientific(apart.max_rel))
    load, first = milliseconds(each.load_seconds), milliseconds(each.first_run_seconds)
    return (each.engine, load, first, mebibytes(each.resident_peak), *errors)


def failures(result: SpeedResult) -> list[str]:
    """One line for each engine that dropped out."""
    return [f"{each.engine}: {one_line(each.error)}" for each in result.engines if each.error is not None]


def memory_table(rows: Sequence[PeerMemory]) -> Table:
    """What a run takes in each engine: intermediates, scratch and outputs."""
    return _table(
        "memory of a run (intermediates + scratch + outputs)",
        ("engine", "setting", "KiB"),
        [(row.engine, row.setting, kibibytes(row.peak_bytes)) for row in rows],
    )


@dataclasses.dataclass(frozen=True)
class Overall:
    """How much faster the subject is than one peer at one thread count, over everything measured."""

    threads: int
    peer: str
    ratio: float
    """The geometric mean over families of the geometric means of their models' ratios."""
    models: int


def overall(results: Iterable[tuple[str, SpeedResult]]) -> list[Overall]:
    """The overall figures of `results`, pairs of a model's family and its result."""
    ratios: dict[tuple[int, str], list[tuple[str, float]]] = {}
    for family, result in results:
        for peer, ratio in result.ratios.items():
            ratios.setdefault((result.threads, peer), []).append((family, ratio.median))
    return [
        Overall(threads, peer, geometric_mean(list(family_means(values).values())), len(values))
        for (threads, peer), values in ratios.items()
    ]


def time_text(microseconds: float) -> str:
    """A time with three digits, in the unit that keeps the number short."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{significant(microseconds / size)} {unit}"
    return f"{significant(microseconds)} µs"


def plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences as what json.dumps takes; numbers that are not finite become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, EngineResult):
            fields["median_seconds"] = plain(value.median_seconds)
        return fields
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
