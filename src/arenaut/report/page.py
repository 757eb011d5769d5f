"""The parts that every page is made of: sections, tables, drawings with axes, and the page around them.

Every text of a model goes through `escaped`.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from importlib import resources

from arenaut.report.report import size_text
from arenaut.results.text import shown

SHOWN_ROWS = 15
"""Rows of a table before the rest is folded away."""


def page(title: str, parts: Iterable[str]) -> str:
    """A page that needs no network. Its policy allows nothing but its own style and script, whatever it holds."""
    folder = resources.files("arenaut") / "data"
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f'\n</main>\n<div id="tip" role="status"></div>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def escaped(text: str, limit: int = 10_000) -> str:
    return html.escape(shown(text, limit))


def section(title: str, note: str, *body: str) -> str:
    about = f'<p class="note">{note}</p>\n' if note else ""
    return f"<section>\n<h2>{title}</h2>\n{about}" + "\n".join(body) + "\n</section>"


def grid() -> str:
    return "".join(f'<line class="grid" x1="0" x2="100%" y1="{y}%" y2="{y}%"/>' for y in (25, 50, 75))


def plot(svg: str, top: int, steps: int) -> str:
    """A drawing with sizes up its left side, from 0 to `top` bytes, and step numbers below."""
    sizes = "".join(
        f'<span style="bottom:{part}%">{size_text(top * part // 100)}</span>' for part in (0, 25, 50, 75, 100)
    )
    marks = sorted({round((steps - 1) * part / 4) for part in range(5)})
    numbers = "".join(
        f'<span style="left:{100 * (mark + 0.5) / steps:.2f}%">{"step " if mark == 0 else ""}{mark}</span>'
        for mark in marks
    )
    return f'<div class="plot"><div class="ticks">{sizes}</div>{svg}<div class="steps">{numbers}</div></div>'


def legend(entries: Iterable[tuple[str, str, bool]]) -> str:
    """(colour, text, whether it is a line)."""
    items = (
        f'<li><i{" class=rule" if rule else ""} style="background:{colour}"></i>{escaped(name, 120)}</li>'
        for colour, name, rule in entries
    )
    return '<ul class="legend">' + "".join(items) + "</ul>"


def number_cell(text: str) -> str:
    return f'<td class="n">{html.escape(text)}</td>'


def name_cell(text: str, limit: int = 160) -> str:
    return f'<td class="name">{escaped(text, limit)}</td>'


def bar_cell(most: float, *bars: tuple[float, str]) -> str:
    """Bars of (value, colour) above each other, as wide as the cell for the value `most`."""
    drawn = "".join(
        f'<svg aria-hidden="true"><rect width="{100 * value / most if most else 0.0:.2f}%" height="100%" rx="2" '
        f'fill="{colour}"/></svg>'
        for value, colour in bars
    )
    return f'<td class="bar{" pair" if len(bars) > 1 else ""}">{drawn}</td>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], most: int = SHOWN_ROWS) -> str:
    """rows of finished cells; a head that starts with # stands over numbers. Rows over `most` are folded away."""
    folded = one_table(heads, rows[most:])
    rest = f"<details><summary>{len(rows) - most} more</summary>{folded}</details>" if rows[most:] else ""
    return one_table(heads, rows[:most]) + rest


def one_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th class="n">{h[1:]}</th>' if h.startswith("#") else f"<th>{h}</th>" for h in heads)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def tiles(cells: Iterable[tuple[str, str, str]]) -> str:
    """Boxes of (figure, what it is, a note), the first two of them large."""
    drawn = (
        f'<div class="tile"><b>{figure}</b><span>{name}</span><small>{note}</small></div>'
        for figure, name, note in cells
    )
    return '<div class="tiles">\n' + "\n".join(drawn) + "\n</div>"


def joined_cell(names: str) -> str:
    """The tensors of a block: the first two by name, all when pointed at."""
    tensors = names.split("+")
    text = "<br>+ ".join(escaped(name, 72) for name in tensors[:2])
    more = f"<br>+ {len(tensors) - 2} more" if len(tensors) > 2 else ""
    return f'<td class="name" title="{escaped(" + ".join(tensors), 2000)}">{text}{more}</td>'
