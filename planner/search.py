"""Search for a packing within a capacity: exhaustive if the budget allows, and good at its first descent.

Two ideas make it affordable. *Peeling* sets aside every rectangle that fits into the capacity wherever the others lie,
so that only the crowded part is searched. The search itself places rectangles in ascending order of offset, each
resting on what is below it: every packing can be pushed down into one of this form, so nothing is lost.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from enum import Enum
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple

from arenaut.plain import dataclass
from arenaut.planner.problem import ALIGNMENT


class Outcome(Enum):
    FOUND = "found"
    IMPOSSIBLE = "impossible"
    GAVE_UP = "gave up"


@dataclass(frozen=True, slots=True)
class Search:
    """What a search came to. `order` (if FOUND): a placement order for which first fit stays within the capacity.

    `at_least` (if IMPOSSIBLE): bytes that every packing needs. `work`: numbers looked at, proportional to time.
    """

    outcome: Outcome
    order: tuple[int, ...]
    at_least: int
    work: int


def peel(sizes: Sequence[int], meets: Sequence[Sequence[int]], capacity: int) -> tuple[list[int], list[int]]:
    """(core, peeled): the peeled ones, placed after the core in this order, fit into `capacity` wherever that lies.

    A rectangle of s bytes fits if what it meets, each widened by the s - ALIGNMENT bytes below in which s would hit it,
    leaves an offset free.
    """
    blocked = [0] * len(sizes)
    count = [0] * len(sizes)
    for index, met in enumerate(meets):
        blocked[index] = sum([sizes[other] for other in met])
        count[index] = len(met)

    def fits(index: int) -> bool:
        size = sizes[index]
        return blocked[index] + count[index] * (size - ALIGNMENT) + size <= capacity

    peeled = [size == 0 for size in sizes]
    order = [index for index, gone in enumerate(peeled) if gone]
    waiting = [index for index, gone in enumerate(peeled) if not gone]
    while waiting:
        again: set[int] = set()
        for index in waiting:
            if not peeled[index] and fits(index):
                peeled[index] = True
                order.append(index)
                for other in meets[index]:
                    blocked[other] -= sizes[index]
                    count[other] -= 1
                    again.add(other)
        waiting = sorted(index for index in again if not peeled[index])
    return [index for index, gone in enumerate(peeled) if not gone], order[::-1]


class _Core:
    """The rectangles to search, numbered by rank: candidates at one offset are tried in this order.

    `spans` are (first, last) section numbers. A section stands for a maximal set of rectangles live together.
    """

    def __init__(self, sizes: Sequence[int], lives: Sequence[tuple[int, int]], meets: Sequence[Sequence[int]]) -> None:
        self.sizes = sizes
        self.meets = meets
        self.sections = _maximal_live_sets(lives)
        self.spans = [(0, 0)] * len(sizes)
        first_in: dict[int, int] = {}
        for number, section in enumerate(self.sections):
            for index in section:
                self.spans[index] = (first_in.setdefault(index, number), number)
        # Of rectangles that differ in nothing, a later one is placed only after an earlier one.
        seen: dict[tuple[int, int, int], int] = {}
        self.twin = [-1] * len(sizes)
        for index, (size, span) in enumerate(zip(sizes, self.spans, strict=True)):
            kind = (size, *span)
            self.twin[index] = seen.get(kind, -1)
            seen[kind] = index


def _maximal_live_sets(lives: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Sets of rectangles live together that no other such set contains, in order of time."""
    sets: list[list[int]] = []
    live: list[int] = []
    grown = False  # since the last set was noted
    for index in sorted(range(len(lives)), key=lambda i: lives[i][0]):
        staying = [other for other in live if lives[other][1] >= lives[index][0]]
        if len(staying) < len(live) and grown:
            sets.append(live)
            grown = False
        live = [*staying, index]
        grown = True
    return [*sets, live] if live else sets


class _Undo(NamedTuple):
    """What one placement changed: (rectangle, where it rested) and (section, its height before)."""

    rested: list[tuple[int, int]]
    heights: list[tuple[int, int]]


class _Level:
    """An open choice: the keys above `tried` and below `end` are left."""

    __slots__ = ("end", "tried")

    def __init__(self, tried: int, end: int) -> None:
        self.tried = tried
        self.end = end


class _Search:
    """Depth-first placement of a core in ascending (offset, rank).

    Every open level with something to try has all its heights within the capacity, so of the heights only those that a
    placement changed are looked at. The heaps hold every current number, and old ones besides.
    """

    def __init__(self, core: _Core, capacity: int) -> None:
        self.core = core
        self.capacity = capacity
        self.rests_at = [0] * len(core.sizes)  # lowest offset above every placed rectangle that it meets
        self.placed = [False] * len(core.sizes)
        self.count = len(core.sizes)
        self.tops = [size * self.count + i for i, size in enumerate(core.sizes)]  # heap: (rests_at + size, rectangle)
        self.waiting = list(range(self.count))  # rests_at * count + number of what is not placed, ascending
        self.to_place = [sum([core.sizes[i] for i in section]) for section in core.sections]
        self.heights = list(self.to_place)  # where the section's next rectangle can rest at best, plus all to place
        self.highest = max(self.heights, default=0)  # of those that changed last
        self.most_left = [(-size, section) for section, size in enumerate(self.to_place)]  # heap: none is too small
        self.order: list[int] = []
        self.overshoot = 0  # smallest height that a refused branch would have needed
        self.work = 0
        heapify(self.tops)
        heapify(self.most_left)

    def run(self, placements: int, work: int) -> Outcome:
        """Searches until so many placements were tried, or so much work done."""
        levels = [self._open_level()]
        undo: list[_Undo] = []
        while len(self.order) < self.count:
            index = self._next(levels[-1])
            if index >= 0:
                if placements <= 0 or self.work >= work:
                    return Outcome.GAVE_UP
                placements -= 1
                undo.append(self._place(index))
                levels.append(self._open_level())
            else:
                levels.pop()
                if not levels:
                    return Outcome.IMPOSSIBLE
                self._take_back(undo.pop())
        return Outcome.FOUND

    def _place(self, index: int) -> _Undo:
        core, rests_at, placed = self.core, self.rests_at, self.placed
        placed[index] = True
        self.order.append(index)
        self._remove(rests_at[index] * self.count + index)
        size = core.sizes[index]
        end = rests_at[index] + size
        first, last = core.spans[index]
        touched = set(range(first, last + 1))
        for section in touched:
            self.to_place[section] -= size
        rested = []
        for other in core.meets[index]:
            if rests_at[other] < end and not placed[other]:
                rested.append((other, rests_at[other]))
                self._remove(rests_at[other] * self.count + other)
                insort(self.waiting, end * self.count + other)
                rests_at[other] = end
                heappush(self.tops, (end + core.sizes[other]) * self.count + other)
                low, high = core.spans[other]
                touched.update(range(low, high + 1))
        heights = []
        self.work += len(rested) + self.count // 4
        for section in touched:
            self.work += len(core.sections[section])
            heights.append((section, self.heights[section]))
            bytes_left = self.to_place[section]
            if bytes_left:
                bytes_left += min([rests_at[i] for i in core.sections[section] if not placed[i]])
            self.heights[section] = bytes_left
        self.highest = max([self.heights[section] for section in touched], default=0)
        return _Undo(rested, heights)

    def _remove(self, key: int) -> None:
        del self.waiting[bisect_left(self.waiting, key)]

    def _take_back(self, undo: _Undo) -> None:
        index = self.order.pop()
        self.placed[index] = False
        insort(self.waiting, self.rests_at[index] * self.count + index)
        heappush(self.tops, (self.rests_at[index] + self.core.sizes[index]) * self.count + index)
        first, last = self.core.spans[index]
        for section in range(first, last + 1):
            self.to_place[section] += self.core.sizes[index]
            heappush(self.most_left, (-self.to_place[section], section))
        for other, offset in undo.rested:
            self._remove(self.rests_at[other] * self.count + other)
            insort(self.waiting, offset * self.count + other)
            self.rests_at[other] = offset
            heappush(self.tops, (offset + self.core.sizes[other]) * self.count + other)
        for section, height in undo.heights:
            self.heights[section] = height

    def _open_level(self) -> _Level:
        """The keys of what may be placed next; none if the branch is hopeless."""
        last = self.order[-1] if self.order else -1
        floor = self.rests_at[last] if self.order else 0
        # Nothing more is placed below the floor, so every section needs what it has left on top of that.
        if max(self.highest, floor + self._most_to_place()) > self.capacity:
            needed = max(max(self.heights), floor + max(self.to_place))
            self.overshoot = min(self.overshoot or needed, needed)
            return _Level(0, 0)
        # Whatever could lie entirely below the next rectangle would have to be placed before it.
        return _Level(floor * self.count + last, self._lowest_top() * self.count)

    def _most_to_place(self) -> int:
        """The largest of `to_place`."""
        heap = self.most_left
        while heap:
            size, section = heap[0]
            if -size == self.to_place[section]:
                return -size
            heapreplace(heap, (-self.to_place[section], section))
        return 0

    def _lowest_top(self) -> int:
        """The lowest end that a rectangle would have where it rests now."""
        heap = self.tops
        while heap:
            top, index = divmod(heap[0], self.count)
            if not self.placed[index] and top == self.rests_at[index] + self.core.sizes[index]:
                return top
            heappop(heap)
        return 0

    def _next(self, level: _Level) -> int:
        """The level's next rectangle, or -1."""
        for at in range(bisect_right(self.waiting, level.tried), len(self.waiting)):
            key = self.waiting[at]
            if key >= level.end:
                break
            index = key % self.count
            twin = self.core.twin[index]
            if twin < 0 or self.placed[twin]:
                level.tried = key
                return index
        return -1


class Searcher:
    """Searches for packings of one set of rectangles within given capacities.

    `sizes` are multiples of ALIGNMENT, `lives` inclusive (first, last) positions, `meets` the others that each
    rectangle meets in time.
    """

    def __init__(self, sizes: Sequence[int], lives: Sequence[tuple[int, int]], meets: Sequence[Sequence[int]]) -> None:
        self.sizes, self.lives, self.meets = sizes, lives, meets

    def search(self, ranked: Sequence[int], capacity: int, patience: int, work: int) -> Search:
        """Looks for a packing within `capacity` bytes.

        `ranked`: all rectangles, those to try first at the front. `patience`: placements to try beyond one descent.
        """
        core, peeled = peel(self.sizes, self.meets, capacity)
        inside = set(core)
        numbers = [index for index in ranked if index in inside]
        rank = {index: number for number, index in enumerate(numbers)}
        meets = [[rank[other] for other in self.meets[i] if other in rank] for i in numbers]
        rects = _Core([self.sizes[i] for i in numbers], [self.lives[i] for i in numbers], meets)
        state = _Search(rects, capacity)
        outcome = state.run(len(core) + patience, work)
        order = (*(numbers[i] for i in state.order), *peeled) if outcome is Outcome.FOUND else ()
        return Search(outcome, order, state.overshoot if outcome is Outcome.IMPOSSIBLE else 0, state.work)
