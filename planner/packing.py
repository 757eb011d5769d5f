"""Packing: offsets for rectangles, by first fit in a placement order. Numbers in, offsets out.

First fit, exactly: rectangles are placed one by one. Each takes the lowest offset, a multiple of ALIGNMENT, at which
it overlaps no placed rectangle whose lifetime meets its own. A rectangle of no bytes is placed at 0 and blocks nothing.
A placement order is therefore all that is needed to place other sizes of the same rectangles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from arenaut.planner.bound import live_bytes, lower_bound
from arenaut.planner.problem import Rect, aligned


@dataclass(frozen=True, slots=True)
class Packing:
    """`offsets` in bytes, one per rectangle; first fit in `placement_order` yields exactly these.

    `bound_bytes` is the maximum of live bytes. `proved` says that no packing needs less than `arena_bytes`.
    """

    offsets: tuple[int, ...]
    arena_bytes: int
    bound_bytes: int
    placement_order: tuple[int, ...]
    method: str
    proved: bool


class Packer:
    """First fit over one set of rectangles, for many placement orders: who meets whom is found once."""

    def __init__(self, rects: Sequence[Rect]) -> None:
        self.sizes = [aligned(rect.size) for rect in rects]
        self.meets: list[list[int]] = [[] for _ in rects]
        live: list[int] = []
        lasts = [rect.last for rect in rects]
        for index in sorted(range(len(rects)), key=lambda i: rects[i].first):
            if not self.sizes[index]:
                continue
            first = rects[index].first
            live = [other for other in live if lasts[other] >= first]
            self.meets[index] = live[:]
            for other in live:
                self.meets[other].append(index)
            live.append(index)
        self.work = len(rects) + sum(map(len, self.meets))

    def place(self, placement_order: Sequence[int]) -> tuple[list[int], int]:
        """Offsets, and the bytes up to the highest end."""
        sizes, meets = self.sizes, self.meets
        offsets = [0] * len(sizes)
        blocks: list[list[tuple[int, int]] | None] = [[] for _ in sizes]
        top = 0
        for index in placement_order:
            size = sizes[index]
            mine = blocks[index]
            if not size or mine is None:
                continue
            blocks[index] = None
            offset = 0
            mine.sort()
            for start, end in mine:
                if start - offset >= size:
                    break
                if end > offset:
                    offset = end
            offsets[index] = offset
            span = (offset, offset + size)
            if span[1] > top:
                top = span[1]
            for other in meets[index]:
                theirs = blocks[other]
                if theirs is not None:
                    theirs.append(span)
        return offsets, top


def first_fit(rects: Sequence[Rect], placement_order: Sequence[int]) -> list[int]:
    """Offsets of `rects` placed in this order: the reference for the native resolver."""
    return Packer(rects).place(placement_order)[0]


Effort = Literal["fast", "default", "max"]
Key = Callable[[int], tuple[int, ...]]


def _by_size(rects: Sequence[Rect], packer: Packer) -> Key:
    return lambda i: (-packer.sizes[i], -_length(rects[i]))


def _by_length(rects: Sequence[Rect], packer: Packer) -> Key:
    return lambda i: (-_length(rects[i]), -packer.sizes[i])


def _by_area(rects: Sequence[Rect], packer: Packer) -> Key:
    return lambda i: (-packer.sizes[i] * _length(rects[i]), -packer.sizes[i])


def _by_first(rects: Sequence[Rect], packer: Packer) -> Key:
    return lambda i: (rects[i].first, -packer.sizes[i])


def _by_conflict(rects: Sequence[Rect], packer: Packer) -> Key:
    weight = [sum([packer.sizes[other] for other in met]) for met in packer.meets]
    return lambda i: (-weight[i], -packer.sizes[i])


def _by_crowding(rects: Sequence[Rect], packer: Packer) -> Key:
    live = live_bytes(rects, 1 + max((rect.last for rect in rects), default=-1))
    peak = [max(live[rect.first : rect.last + 1], default=0) for rect in rects]
    return lambda i: (-peak[i], -packer.sizes[i])


def _length(rect: Rect) -> int:
    return rect.last - rect.first


PLACEMENTS: Mapping[str, Callable[[Sequence[Rect], Packer], Key]] = MappingProxyType(
    {
        "size": _by_size,
        "length": _by_length,
        "area": _by_area,
        "first": _by_first,
        "conflict": _by_conflict,
        "crowding": _by_crowding,
    }
)


def placement_order(rects: Sequence[Rect], packer: Packer, name: str) -> list[int]:
    """Indices of `rects` by stage, then by the named rule, then by index."""
    key = PLACEMENTS[name](rects, packer)
    return sorted(range(len(rects)), key=lambda i: (rects[i].stage, *key(i), i))


def pack(rects: Sequence[Rect], effort: Effort = "default", seed: int = 0) -> Packing:
    """Places `rects` with the fewest bytes that `effort` finds. Deterministic: budgets count work, not time.

    "fast" places by size only; "default" tries every placement rule, then improves the best one a little; "max"
    improves it for long. All of them stop as soon as the lower bound is met.
    """
    bound = lower_bound(rects)
    packer = Packer(rects)
    best_order, best_offsets, best_top, method = [], [0] * len(rects), -1, ""
    for name in ("size",) if effort == "fast" else tuple(PLACEMENTS):
        order = placement_order(rects, packer, name)
        offsets, top = packer.place(order)
        if best_top < 0 or top < best_top:
            best_order, best_offsets, best_top, method = order, offsets, top, name
        if best_top <= bound:
            break
    return Packing(tuple(best_offsets), best_top, bound, tuple(best_order), method, best_top <= bound)
