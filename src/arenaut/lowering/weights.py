"""The constants of a model while its programs are built: packed once, then held only where somebody reads them raw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field

import numpy as np

from arenaut import _native
from arenaut.ir.graph import Array
from arenaut.ir.place import Place
from arenaut.lowering.families import family_of
from arenaut.lowering.program import Lowered, LoweredBuffer, LoweredStep, Segment
from arenaut.plain import dataclass

# Packed bytes made between two looks at what may be freed.
_BATCH_BYTES = 32 << 20


_NOTHING = np.empty(0, np.uint8)


def address_of(array: Array) -> int:
    """Where the array's first element lies: names its memory for as long as somebody holds it."""
    return int(array.__array_interface__["data"][0])


@dataclass
class _Use:
    """One weight buffer of one program."""

    native: _native.Program
    number: int
    buffer: LoweredBuffer


@dataclass
class _Weight:
    """An array as the model has it, however many buffers show it, and whether those show an aligned copy.

    raw: somebody reads it as stored. jobs: how often it is still packed.
    """

    array: Array
    aligned: Array | None = None
    uses: list[_Use] = field(default_factory=list)
    raw: bool = False
    jobs: int = 0


class WeightStore:
    """The weights that the programs of one model share, each known by a number: what buffers show may be a copy of it.

    maps: (address, bytes) of the files that arrays are views of. released: called with each array that was packed and
    that no step reads as stored, when nothing here needs it any more. None: programs that are built later use the same
    weights, so arrays are held, and what was packed of them serves these programs too.
    """

    def __init__(self, maps: Iterable[tuple[int, int]] = (), released: Callable[[Array], None] | None = None) -> None:
        self.native = _native.Weights(list(maps))
        self._released = released
        self._weights: list[_Weight] = []
        self._numbers: dict[tuple[int, int], int] = {}  # by address and bytes of an array that a weight holds
        self.raw_bytes = 0

    def number_of(self, array: Array) -> int:
        """One number for all arrays that show the same memory."""
        number = self._numbers.setdefault((address_of(array), array.nbytes), len(self._weights))
        if number == len(self._weights):
            self._weights.append(_Weight(array))
        return number

    def settle(self, native: _native.Program, lowered: Lowered) -> None:
        """Takes note of a program whose steps are all known, before it is bound for the first time."""
        raw: set[int] = set()
        odd: set[int] = set()  # read by a row that wants whole elements
        for step, packed in zip(lowered.steps, native.packed_operands(), strict=True):
            for number in _read_as_stored(step, packed):
                if lowered.buffers[number].segment is Segment.WEIGHT:
                    raw.add(number)
                    if not family_of(step).any_alignment:
                        odd.add(number)
        for number, buffer in enumerate(lowered.buffers):
            if buffer.segment is not Segment.WEIGHT or buffer.array is None:
                continue
            weight = self._weights[self.number_of(buffer.array)]
            weight.uses.append(_Use(native, number, buffer))
            weight.raw |= number in raw
            if number in odd and not buffer.array.flags.aligned:
                if weight.aligned is None:
                    weight.aligned = buffer.array.copy()
                buffer.array = weight.aligned
                native.replace_weight(number, buffer.array)

    def pack(self, threads: int) -> None:
        """Packs all that was asked for. Afterwards only arrays that somebody reads as stored are held."""
        jobs = self.native.jobs()
        for number, _, _ in jobs:
            self._weights[number].jobs += 1
        for weight in self._weights:
            if weight.jobs == 0:
                self._let_go(weight)
        for first, last in _batches([size for _, size, _ in jobs]):
            self.native.pack(first, last, threads)
            for number, _, _ in jobs[first:last]:
                weight = self._weights[number]
                weight.jobs -= 1
                if weight.jobs == 0:
                    self._let_go(weight)
        keep = self._released is None
        self.native.finish(keep)
        self.native.drop_maps()
        self.raw_bytes = sum(w.uses[0].buffer.array.nbytes for w in self._weights
                             if w.uses and w.uses[0].buffer.array is not None)  # fmt: skip
        if keep:
            for weight in self._weights:
                weight.uses, weight.raw = [], False
        else:
            self._weights.clear()
            self._numbers.clear()

    def _let_go(self, weight: _Weight) -> None:
        if not weight.raw:
            for use in weight.uses:
                use.native.replace_weight(use.number, None)
                use.buffer.array = None
            if self._released is not None:
                self._released(weight.array)
                weight.array = _NOTHING


def _read_as_stored(step: LoweredStep, packed: int) -> set[int]:
    return {p.buffer for i, p in enumerate(step.operands()) if p is not None and not packed >> i & 1}


def _batches(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive jobs by about _BATCH_BYTES of results, as (first, last)."""
    batches: list[tuple[int, int]] = []
    first = total = 0
    for i, size in enumerate(sizes):
        total += size
        if total >= _BATCH_BYTES or i + 1 == len(sizes):
            batches.append((first, i + 1))
            first, total = i + 1, 0
    return batches


def dense_view(array: Array) -> tuple[Array, tuple[int, ...]]:
    """The array with its axes in the order of their strides, when that makes it dense, and for each axis of the
    original its place in that order. Otherwise a dense copy."""
    if array.flags.c_contiguous:
        return array, tuple(range(array.ndim))
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    turned = array.transpose(order)
    if not turned.flags.c_contiguous:
        return np.ascontiguousarray(array), tuple(range(array.ndim))
    return turned, tuple(order.index(axis) for axis in range(array.ndim))


def dense_copy(array: Array, place: Place) -> Array | None:
    """What a place in a constant's buffer shows, dense; None where that would grow or is not known at load."""
    numbers = [d for d in (*place.dims, *place.strides, place.offset) if isinstance(d, int)]
    if len(numbers) != 2 * place.rank + 1 or any(s <= 0 for s in numbers[place.rank : -1]):
        return None
    flat = array.reshape(-1).view(place.dtype.numpy)[numbers[-1] :]
    steps = [s * place.dtype.itemsize for s in numbers[place.rank : -1]]
    shown: Array = np.lib.stride_tricks.as_strided(flat, numbers[: place.rank], steps)
    return np.array(shown, order="C")
