"""The sizes that a program is planned for, while all sizes run: what unknown symbols count for."""

from __future__ import annotations

from collections.abc import Mapping

from arenaut.ir.dims import Expr, Sizes
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered

# What an unknown symbol counts for, when nothing better is known.
REPRESENTATIVE_SIZE = 64


class Typical:
    """sizes: of every symbol. facts: what the steps say to the planner at these sizes, worked out once."""

    def __init__(self, lowered: Lowered, hints: Mapping[str, int] | None = None) -> None:
        """hints: typical sizes of symbols, by name."""
        self._hints = hints or {}
        self._batches = _batches(lowered)
        self.sizes = Sizes(guess=self._guess)
        self.facts = Facts()

    def _guess(self, name: str) -> int:
        return self._hints.get(name, 1 if name in self._batches else REPRESENTATIVE_SIZE)


def typical_of(lowered: Lowered) -> Typical:
    """Those that the lowered pipeline chose, else those of no hints."""
    return lowered.typical or Typical(lowered)


def _batches(lowered: Lowered) -> set[str]:
    """Symbols that count samples, of which there is one in the typical run: the first dim of images, sequences and the
    like. A first dim that alone varies, before a row of features, is as likely a number of rows."""
    return {
        str(place.dims[0])
        for place in lowered.inputs
        if place.rank >= 2 and isinstance(place.dims[0], Expr)
        and (place.rank >= 3 or isinstance(place.dims[1], Expr))
    }  # fmt: skip
