"""Text of models, made fit for people."""

from __future__ import annotations


def shown(text: str, limit: int = 10_000) -> str:
    """A model's text, made safe to print: unprintable characters replaced, and its middle left out over `limit`."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if len(clean) <= limit:
        return clean
    head = (limit - 1) // 3
    return clean[:head] + "…" + clean[len(clean) - (limit - 1 - head) :]
