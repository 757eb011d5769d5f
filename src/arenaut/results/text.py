"""Text of models, made fit for people."""

from __future__ import annotations

import textwrap


def shown(text: str, limit: int = 10_000) -> str:
    """A model's text, made safe to print: unprintable characters replaced, and its middle left out over `limit`."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if len(clean) <= limit:
        return clean
    head = (limit - 1) // 3
    return clean[:head] + "…" + clean[len(clean) - (limit - 1 - head) :]


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most `width` columns; a line that goes on is indented further than it began."""
    out = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        out += (
            textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=False)
            if len(line) > width
            else [line]
        )
    return "\n".join(part.rstrip() for part in out)
