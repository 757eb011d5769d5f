"""Two models, or two versions of one, side by side as data and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from arenaut.measure.compare import Difference, difference
from arenaut.measure.engines import Feeds
from arenaut.measure.render import significant, time_text
from arenaut.measure.speed import bench
from arenaut.measure.subjects import Subject
from arenaut.report.report import ROUNDS, TEXT_WIDTH, Report, costs, make_report, report_data, size_text
from arenaut.results.text import shown


@dataclass(frozen=True)
class Change:
    """A figure of the first model and the same of the second; 0 where one has nothing of that name."""

    name: str
    first: float
    second: float

    @property
    def ratio(self) -> float | None:
        """The second over the first; None where the first is 0."""
        return self.second / self.first if self.first else None


@dataclass(frozen=True)
class Comparison:
    """Both reports, made on the same machine with the same settings.

    run_microseconds: the median time of a whole run of each, measured in turns. outputs: how far the second's outputs
    lie from the first's on the same feeds; None where they cannot be compared, for which `unlike` is the reason.
    """

    first: Report
    second: Report
    run_microseconds: Change
    outputs: Difference | None
    unlike: str

    def figures(self) -> list[tuple[Change, Callable[[float], str]]]:
        """What a run takes in both, each with how its numbers are written."""
        a, b = self.first, self.second
        sizes = [
            ("memory of a run", a.plan.arena_bytes, b.plan.arena_bytes),
            ("arena", a.plan.intermediate_bytes, b.plan.intermediate_bytes),
            ("lower bound", a.plan.lower_bound_bytes, b.plan.lower_bound_bytes),
            ("packed weights", a.plan.packed_weight_bytes, b.plan.packed_weight_bytes),
        ]
        counts = [
            ("nodes stored", a.stored_nodes, b.stored_nodes),
            ("nodes optimised", a.optimised_nodes, b.optimised_nodes),
            ("steps", len(a.steps), len(b.steps)),
        ]
        return [
            (self.run_microseconds, time_text),
            *((Change(name, x, y), lambda size: size_text(int(size))) for name, x, y in sizes),
            *((Change(name, x, y), lambda count: str(int(count))) for name, x, y in counts),
        ]

    def times_by_op(self) -> list[Change]:
        """Microseconds of each op in both, the largest change first."""
        return _changes(*({cost.name: cost.microseconds for cost in costs(each.steps, lambda step: step.op)}
                          for each in (self.first, self.second)))  # fmt: skip

    def times_by_step(self) -> list[Change]:
        """Microseconds of the steps whose names both have, the largest change first."""
        first, second = ({step.name: step.microseconds for step in each.steps} for each in (self.first, self.second))
        common = first.keys() & second.keys()
        return _changes({n: t for n, t in first.items() if n in common}, {n: second[n] for n in common})

    def nodes_by_op(self) -> list[Change]:
        """How many optimised nodes of each op both have, where they differ."""
        changes = _changes(self.first.optimised_ops, self.second.optimised_ops)
        return [change for change in changes if change.first != change.second]

    def outputs_text(self) -> str:
        """One sentence on the outputs."""
        if self.outputs is None:
            return f"outputs not compared: {self.unlike}"
        if self.outputs.max_abs == 0 and not self.outputs.unequal:
            return f"outputs equal on the same feeds ({self.outputs.compared} compared)"
        other = f"; {self.outputs.unequal} other elements differ" if self.outputs.unequal else ""
        return (
            f"outputs differ by at most {significant(self.outputs.max_abs)}, "
            f"{significant(self.outputs.max_rel)} of the largest value{other}"
        )


def make_comparison(first: Subject, second: Subject, *, threads: int | None = None, repeat: int = 10) -> Comparison:
    """Reports of both, whole runs of both in turns, and their outputs on the feeds of the first.

    Raises ArenautError for a model that does not run.
    """
    reports = [make_report(each, [], threads=threads, repeat=repeat) for each in (first, second)]
    outputs, unlike = _outputs(first, second, threads)
    times = [_run_time(each, reports[0].threads) for each in (first, second, first, second)]
    run = Change("a run", min(times[0], times[2]), min(times[1], times[3]))
    return Comparison(reports[0], reports[1], run, outputs, unlike)


def _run_time(subject: Subject, threads: int) -> float:
    """Median microseconds of a run in a process of its own."""
    found = bench(subject.path, subject.make_feeds, ["arenaut"], threads=threads, rounds=ROUNDS)
    return found.engines[0].median_seconds * 1e6


def _outputs(first: Subject, second: Subject, threads: int | None) -> tuple[Difference | None, str]:
    from arenaut.loading import load_onnx

    feeds: Feeds = first.make_feeds(0)
    other = second.make_feeds(0)
    if {n: (a.dtype, a.shape) for n, a in feeds.items()} != {n: (a.dtype, a.shape) for n, a in other.items()}:
        return None, "the inputs are not the same"
    results = [load_onnx(each.path, threads=threads).run(dict(feeds)) for each in (first, second)]
    try:
        return difference(results[0], results[1]), ""
    except ValueError as error:
        return None, str(error)


def _changes(first: Mapping[str, float], second: Mapping[str, float]) -> list[Change]:
    names = dict.fromkeys([*first, *second])
    changes = [Change(name, first.get(name, 0), second.get(name, 0)) for name in names]
    return sorted(changes, key=lambda change: -abs(change.second - change.first))


def ratio_text(change: Change) -> str:
    """The second over the first, or whether it is new or gone."""
    if change.ratio is None:
        return "new" if change.second else ""
    return "gone" if change.second == 0 else f"{change.ratio:.2f}x"


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Both reports and what changed, as plain data for JSON."""
    return {
        "first": report_data(comparison.first),
        "second": report_data(comparison.second),
        "run_microseconds": [comparison.run_microseconds.first, comparison.run_microseconds.second],
        "outputs": comparison.outputs_text(),
        "times_by_op": [[c.name, c.first, c.second] for c in comparison.times_by_op()],
        "nodes_by_op": [[c.name, c.first, c.second] for c in comparison.nodes_by_op()],
    }


def comparison_text(comparison: Comparison) -> str:
    """The comparison for a terminal, at most TEXT_WIDTH columns wide."""
    return "\n".join(line[:TEXT_WIDTH] for line in _lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    names = [shown(each.model, 18) for each in (comparison.first, comparison.second)]
    yield f"{'':28} {names[0]:>18} {names[1]:>18} {'ratio':>8}"
    for change, written in comparison.figures():
        yield f"{change.name:28} {written(change.first):>18} {written(change.second):>18} {ratio_text(change):>8}"
    yield shown(comparison.outputs_text(), TEXT_WIDTH)
    yield ""
    yield "microseconds by op, the largest change first"
    for change in comparison.times_by_op()[:10]:
        yield f"{shown(change.name, 28):28} {change.first:18.1f} {change.second:18.1f} {ratio_text(change):>8}"
    if nodes := comparison.nodes_by_op()[:10]:
        yield ""
        yield "optimised nodes by op, where they differ"
        for change in nodes:
            yield f"{shown(change.name, 28):28} {int(change.first):18} {int(change.second):18} {ratio_text(change):>8}"
