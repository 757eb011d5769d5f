"""Packing: offsets for rectangles, by first fit in a placement order. Numbers in, offsets out.

First fit, exactly: rectangles are placed one by one. Each takes the lowest offset, a multiple of ALIGNMENT, at which
it overlaps no placed rectangle whose lifetime meets its own. A rectangle of no bytes is placed at 0 and blocks nothing.
A placement order is therefore all that is needed to place other sizes of the same rectangles.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from arenaut.plain import dataclass
from arenaut.planner.bound import live_bytes, lower_bound
from arenaut.planner.problem import ALIGNMENT, Rect, aligned
from arenaut.planner.search import Outcome, Searcher


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
        self.orders: dict[str, list[int]] = {}  # what `placement_order` found

    def place(self, placement_order: Sequence[int]) -> tuple[list[int], int]:
        """Offsets, and the bytes up to the highest end."""
        sizes, meets = self.sizes, self.meets
        offsets = [0] * len(sizes)
        spans: list[tuple[int, int] | None] = [None] * len(sizes)  # start and end of what is placed
        span_of = spans.__getitem__
        top = 0
        for index in placement_order:
            size = sizes[index]
            if not size or spans[index] is not None:
                continue
            offset = 0
            for start, end in sorted(filter(None, map(span_of, meets[index]))):
                if start - offset >= size:
                    break
                if end > offset:
                    offset = end
            offsets[index] = offset
            spans[index] = (offset, offset + size)
            if offset + size > top:
                top = offset + size
        return offsets, top


def first_fit(rects: Sequence[Rect], placement_order: Sequence[int]) -> list[int]:
    """Offsets of `rects` placed in this order: the reference for the native resolver."""
    return Packer(rects).place(placement_order)[0]


Effort = Literal["fast", "default", "max"]
Weights = list[int]


def _size(rects: Sequence[Rect], packer: Packer) -> Weights:
    return packer.sizes


def _length(rects: Sequence[Rect], packer: Packer) -> Weights:
    return [rect.last - rect.first for rect in rects]


def _area(rects: Sequence[Rect], packer: Packer) -> Weights:
    return [size * (rect.last - rect.first + 1) for size, rect in zip(packer.sizes, rects, strict=True)]


def _first(rects: Sequence[Rect], packer: Packer) -> Weights:
    return [-rect.first for rect in rects]


def _conflict(rects: Sequence[Rect], packer: Packer) -> Weights:
    """Bytes of all that a rectangle meets."""
    return [sum([packer.sizes[other] for other in met]) for met in packer.meets]


def _crowding(rects: Sequence[Rect], packer: Packer) -> Weights:
    """Most bytes live at once during a rectangle's life."""
    live = live_bytes(rects, 1 + max((rect.last for rect in rects), default=-1))
    return [max(live[rect.first : rect.last + 1], default=0) for rect in rects]


PLACEMENTS: Mapping[str, Callable[[Sequence[Rect], Packer], Weights]] = MappingProxyType(
    {
        "size": _size,
        "length": _length,
        "area": _area,
        "first": _first,
        "conflict": _conflict,
        "crowding": _crowding,
    }
)
"""Rules of placement: the heaviest rectangle first."""
PORTFOLIO = ("size", "crowding", "area", "length", "conflict")
"""Placement rules in the order they are tried."""
RANKINGS = ("area", "length", "size", "crowding")
"""Rules that rank the candidates of the search."""
SEARCH_WORK: Mapping[Effort, int] = MappingProxyType({"fast": 0, "default": 2_000_000, "max": 50_000_000})
"""Budget of the search: how many numbers it may look at."""


def placement_order(rects: Sequence[Rect], packer: Packer, name: str) -> list[int]:
    """Indices of `rects` by stage; then, descending, by weight, size and length; then by index."""
    found = packer.orders.get(name)
    if found is None:
        # Sorting is stable: the least important criterion first.
        found = sorted(range(len(rects)), key=[rect.first - rect.last for rect in rects].__getitem__)
        found.sort(key=[-size for size in packer.sizes].__getitem__)
        if name != "size":
            found.sort(key=[-weight for weight in PLACEMENTS[name](rects, packer)].__getitem__)
        found.sort(key=[rect.stage for rect in rects].__getitem__)
        packer.orders[name] = found
    return found


def pack(rects: Sequence[Rect], effort: Effort = "default") -> Packing:
    """Places `rects` with the fewest bytes that `effort` finds. Deterministic: budgets count work, not time.

    "fast" places by size only; "default" tries the placement rules of PORTFOLIO, then searches a little; "max" searches
    for long, and on small problems until the result is proved. All of them stop as soon as the lower bound is met.
    """
    bound = lower_bound(rects)
    packer = Packer(rects)
    best = _Best(packer, bound)
    for name in PORTFOLIO[:1] if effort == "fast" else PORTFOLIO:
        best.offer(placement_order(rects, packer, name), name)
        if best.top <= bound:
            break
    if best.top > bound and effort != "fast" and len({rect.stage for rect in rects}) == 1:
        _search(rects, packer, best, SEARCH_WORK[effort], repeat=effort == "max")
    return Packing(tuple(best.offsets), best.top, bound, tuple(best.order), best.method, best.top <= best.at_least)


class _Best:
    """The best placement so far, and `at_least`: bytes that every packing is known to need."""

    def __init__(self, packer: Packer, at_least: int) -> None:
        self.packer = packer
        self.at_least = at_least
        self.order: Sequence[int] = ()
        self.offsets: list[int] = []
        self.top = -1
        self.method = ""

    def offer(self, order: Sequence[int], method: str) -> None:
        offsets, top = self.packer.place(order)
        if self.top < 0 or top < self.top:
            self.order, self.offsets, self.top, self.method = order, offsets, top, method


def _search(rects: Sequence[Rect], packer: Packer, best: _Best, work: int, repeat: bool) -> None:
    """Halves the gap between what is known to be needed and the best, first trying the former itself.

    Each capacity gets one descent with a little backtracking per ranking (the first two, above the bottom); `repeat`
    starts over with longer and longer searches. `work` is the sum of what all of them may look at.
    """
    searcher = Searcher(packer.sizes, [(rect.first, rect.last) for rect in rects], packer.meets)
    rankings = {name: placement_order(rects, packer, name) for name in RANKINGS}
    patience = 64
    while work > 0 and best.top > best.at_least:
        failed = best.at_least - ALIGNMENT
        while work > 0 and failed + ALIGNMENT < best.top:
            # The gap is halved down to half a percent; the bottom of the gap is tried first.
            close = best.top - failed <= max(ALIGNMENT, best.top // 200)
            if failed >= best.at_least and close:
                break
            capacity = best.at_least if failed < best.at_least else (failed + best.top) // 2 // ALIGNMENT * ALIGNMENT
            outcome = Outcome.GAVE_UP
            for name in RANKINGS if capacity == best.at_least else RANKINGS[:2]:
                result = searcher.search(rankings[name], capacity, patience, work)
                work -= result.work
                outcome = result.outcome
                if outcome is Outcome.FOUND:
                    best.offer(result.order, f"search by {name}")
                if outcome is Outcome.IMPOSSIBLE:
                    best.at_least = max(best.at_least, result.at_least)
                if outcome is not Outcome.GAVE_UP or work <= 0:
                    break
            if outcome is Outcome.GAVE_UP:
                failed = capacity
            elif outcome is Outcome.IMPOSSIBLE:
                failed = best.at_least - ALIGNMENT
        if not repeat:
            break
        patience *= 4
