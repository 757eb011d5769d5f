"""A comparison of two models as one HTML page."""

from __future__ import annotations

from arenaut.report.comparison import Change, Comparison, ratio_text
from arenaut.report.drawings import curve_section, map_section
from arenaut.report.html import header
from arenaut.report.page import bar_cell, escaped, name_cell, number_cell, page, section, table

FIRST, SECOND = "var(--other)", "var(--accent)"


def comparison_html(comparison: Comparison) -> str:
    """The page, which needs no network: what a run takes in both, what changed by op and step, and both maps."""
    first, second = _titles(comparison)
    parts = [
        header(first, comparison.first),
        header(second, comparison.second),
        _figures(comparison),
        _times("Time by op", "Microseconds, the largest change first.", comparison.times_by_op()),
        _nodes(comparison),
        map_section(comparison.first.plan, f"Memory map: {escaped(first, 120)}"),
        map_section(comparison.second.plan, f"Memory map: {escaped(second, 120)}"),
        curve_section(comparison.first, f"Live bytes: {escaped(first, 120)}"),
        curve_section(comparison.second, f"Live bytes: {escaped(second, 120)}"),
        _times("Steps of the same name", "Microseconds, the largest change first.", comparison.times_by_step()),
    ]
    return page(f"{first} and {second}: arenaut comparison", parts)


def _titles(comparison: Comparison) -> tuple[str, str]:
    """The models' names, told apart where they are the same."""
    first, second = comparison.first.model, comparison.second.model
    return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")


def _figures(comparison: Comparison) -> str:
    rows = [
        [
            name_cell(change.name),
            number_cell(written(change.first)),
            number_cell(written(change.second)),
            number_cell(ratio_text(change)),
            _bars(change, max(change.first, change.second)),
        ]
        for change, written in comparison.figures()
    ]
    return section(
        "What a run takes",
        f"{escaped(comparison.outputs_text().capitalize())}. Ratio: the second over the first; the upper bar is the "
        "first's.",
        table(("", "#first", "#second", "#ratio", ""), rows),
    )


def _times(title: str, note: str, changes: list[Change]) -> str:
    if not changes:
        return ""
    most = max(max(change.first, change.second) for change in changes)
    rows = [
        [
            name_cell(change.name),
            number_cell(f"{change.first:,.1f}"),
            number_cell(f"{change.second:,.1f}"),
            number_cell(ratio_text(change)),
            _bars(change, most),
        ]
        for change in changes
    ]
    return section(title, note, table(("", "#first", "#second", "#ratio", ""), rows))


def _nodes(comparison: Comparison) -> str:
    rows = [
        [name_cell(c.name), number_cell(str(int(c.first))), number_cell(str(int(c.second)))]
        for c in comparison.nodes_by_op()
    ]
    if not rows:
        return section("Nodes by op", "Both have the same optimised nodes.")
    return section("Nodes by op", "Optimised nodes, where they differ.", table(("op", "#first", "#second"), rows))


def _bars(change: Change, most: float) -> str:
    return bar_cell(most, (change.first, FIRST), (change.second, SECOND))
