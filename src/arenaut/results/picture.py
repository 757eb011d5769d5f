"""A memory plan as text: time across, arena offset up, one letter a block."""

from __future__ import annotations

from arenaut.results.plan import Block, Plan
from arenaut.results.text import shown

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def memory_picture(plan: Plan, width: int = 56, height: int = 12) -> str:
    """The arena as `height` lines of at most `width` columns: rows are offsets (low at the bottom), columns steps.

    Scratch is drawn as '.', empty arena as ' '. Legend: the largest blocks by letter.
    """
    if not plan.intermediate_bytes:
        return "(no arena: everything lies in outputs and weights)"
    steps = max(1, len(plan.order))
    columns, rows = min(width, max(steps, 1)), height
    cells = [[" "] * columns for _ in range(rows)]
    named = sorted((b for b in plan.blocks if not b.scratch and b.bytes), key=lambda b: -b.bytes)
    for block in (b for b in plan.blocks if b.scratch):
        _draw(cells, block, ".", steps, plan.intermediate_bytes)
    for number, block in reversed(list(enumerate(named))):
        _draw(cells, block, _LETTERS[number % len(_LETTERS)], steps, plan.intermediate_bytes)
    top = f"{plan.intermediate_bytes / 1024:9.1f} KiB "
    margin = " " * len(top)
    lines = [(top if i == 0 else margin) + "|" + "".join(row) + "|" for i, row in enumerate(reversed(cells))]
    lines.append(margin + "+" + "-" * columns + "+")
    last = f"step {steps - 1}".rjust(columns - 6)
    lines.append(margin + (f" step 0{last}" if last.startswith(" ") else f" steps 0 to {steps - 1}"))
    for number, block in enumerate(named[:6]):
        lines.append(f"{margin} {_LETTERS[number]} {block.bytes / 1024:8.1f} KiB  {shown(block.name, 34)}")
    return "\n".join(lines)


def _draw(cells: list[list[str]], block: Block, mark: str, steps: int, arena: int) -> None:
    rows, columns = len(cells), len(cells[0])
    low = block.offset * rows // arena
    high = max(low + 1, -(-(block.offset + block.bytes) * rows // arena))
    left = block.first * columns // steps
    right = max(left + 1, -(-(block.last + 1) * columns // steps))
    for r in range(low, min(high, rows)):
        for c in range(left, min(right, columns)):
            cells[r][c] = mark
