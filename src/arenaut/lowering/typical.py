"""The sizes that a program is planned for, while all sizes run: what unknown symbols count for."""

from __future__ import annotations

from collections.abc import Mapping

from arenaut.ir.dims import Expr, Sizes, evaluate
from arenaut.lowering.families import family_of
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered, Segment

# What an unknown symbol counts for, when nothing better is known.
REPRESENTATIVE_SIZE = 64
# A side of an image, and the length of a waveform: what windows slide over whose channels are colours, or one.
IMAGE_SIDE, WAVEFORM_LENGTH = 256, 16000
# What one of an input counts for where fewer leave intermediates empty: samples, of which a frame takes hundreds.
LARGER_SIZES = (1000, WAVEFORM_LENGTH)
_MOST_COLOURS = 4


class Typical:
    """sizes: of every symbol. facts: what the steps say to the planner at these sizes, worked out once."""

    def __init__(self, lowered: Lowered, hints: Mapping[str, int] | None = None) -> None:
        """hints: typical sizes of symbols, by name."""
        self._hints = hints or {}
        self._batches = _batches(lowered)
        self._signals = _signals(lowered)
        self._of_inputs = frozenset(lowered.symbols)
        self._size = REPRESENTATIVE_SIZE
        self.sizes = Sizes(guess=self._guess)
        empty = self._empty(lowered)
        for size in LARGER_SIZES if empty else ():
            before, self._size = (self._size, self.sizes), size
            self.sizes = Sizes(guess=self._guess)
            left = self._empty(lowered)
            if left < empty:
                empty = left
            else:
                self._size, self.sizes = before
        self.facts = Facts()

    def _guess(self, name: str) -> int:
        unknown = self._size if name in self._of_inputs else REPRESENTATIVE_SIZE
        return self._hints.get(name, 1 if name in self._batches else self._signals.get(name, unknown))

    def _empty(self, lowered: Lowered) -> int:
        """How many intermediates have no bytes."""
        changing = [b.bytes for b in lowered.buffers if b.segment is Segment.ARENA and isinstance(b.bytes, Expr)]
        return sum([evaluate(size, self.sizes) <= 0 for size in changing])


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


def _signals(lowered: Lowered) -> dict[str, int]:
    """Symbols that count pixels or samples of an input, with what they count for."""
    found: dict[str, int] = {}
    for step in lowered.steps:
        source = step.inputs[0] if step.inputs else None
        spatial = step.params.get("spatial")
        if family_of(step).rows is None or source is None or not isinstance(spatial, int) or source.rank != spatial + 2:
            continue
        channels, given = source.dims[1], lowered.buffers[source.buffer].segment is Segment.INPUT
        if given and isinstance(channels, int) and channels <= (1 if spatial == 1 else _MOST_COLOURS):
            size = WAVEFORM_LENGTH if spatial == 1 else IMAGE_SIDE
            found.update({str(d): size for d in source.dims[2:] if isinstance(d, Expr) and str(d) == d.symbols[0].name})
    return found
