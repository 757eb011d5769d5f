"""Outputs as memory: what dies before an output is first written may lie in that output's own memory until then.

That is classes of buffers, and the scratch of steps, which lives during one step. Both go by the number of their
rectangle: classes first, then steps with scratch.
"""

from collections.abc import Sequence
from typing import NamedTuple

from arenaut.planner.bound import live_bytes
from arenaut.planner.problem import ALIGNMENT, BufferKind, Problem, Rect, aligned
from arenaut.planner.sharing import AliasClass

NO_ROOM = -1


class Guest(NamedTuple):
    """Rectangle `number` may lie in the memory of output buffer `output`."""

    number: int
    output: int


class _OutputSpace:
    """An output's memory up to its first write: `capacity` bytes for whatever ends before position `until`."""

    def __init__(self, buffer: int, capacity: int, until: int) -> None:
        self.buffer, self.capacity, self.until = buffer, capacity, until
        self.placed: list[tuple[int, int, int, int]] = []  # start, end, first, last

    def place(self, size: int, first: int, last: int) -> int:
        """The lowest offset at which so many bytes fit during [first, last], taken; NO_ROOM if there is none."""
        if last >= self.until or size > self.capacity:
            return NO_ROOM
        offset = 0
        for start, end, begins, ends in sorted(self.placed):
            if begins <= last and first <= ends:
                if start >= offset + size:
                    break
                offset = max(offset, aligned(end))
        if offset + size > self.capacity:
            return NO_ROOM
        self.placed.append((offset, offset + size, first, last))
        return offset


def _output_spaces(problem: Problem, classes: Sequence[AliasClass]) -> dict[int, _OutputSpace]:
    """By output buffer. Outputs whose size only running decides are no memory to plan with."""
    return {
        c.output: _OutputSpace(c.output, problem.buffers[c.output].size, c.first)
        for c in classes
        if c.output >= 0 and c.known_after < 0 and problem.buffers[c.output].known_after < 0 and c.first > 0
    }


def choose_guests(problem: Problem, classes: Sequence[AliasClass], rects: Sequence[Rect]) -> tuple[Guest, ...]:
    """What moves into outputs, in the order it takes its places there: from the fullest position on the largest that
    fits, until what is fullest cannot be helped. `rects`: of the classes, then of scratch."""
    if not any(buffer.kind is BufferKind.OUTPUT for buffer in problem.buffers):
        return ()
    spaces = list(_output_spaces(problem, classes).values())
    latest = max((space.until for space in spaces), default=0)
    if not latest:
        return ()
    live = live_bytes(rects, 1 + max((rect.last for rect in rects), default=-1))
    here: list[list[int]] = [[] for _ in live]
    for number, rect in enumerate(rects):
        outside = number >= len(classes) or classes[number].output < 0
        if outside and not rect.stage and rect.size and rect.last < latest:
            for position in range(rect.first, rect.last + 1):
                here[position].append(number)
    guests: list[Guest] = []
    done: set[int] = set()
    while live:
        peak = live.index(max(live))
        found = _largest(rects, len(classes), [n for n in here[peak] if n not in done], spaces)
        if found is None:
            break
        guests.append(found)
        done.add(found.number)
        rect = rects[found.number]
        for position in range(rect.first, rect.last + 1):
            live[position] -= aligned(rect.size)
    return tuple(guests)


def _largest(
    rects: Sequence[Rect], classes: int, numbers: Sequence[int], spaces: Sequence[_OutputSpace]
) -> Guest | None:
    for number in sorted(numbers, key=lambda n: -rects[n].size):
        rect = rects[number]
        for space in spaces:
            if space.place(_room(rect, number >= classes), rect.first, rect.last) != NO_ROOM:
                return Guest(number, space.buffer)
    return None


def _room(rect: Rect, scratch: bool) -> int:
    """Bytes that a rectangle takes in an output: that starts anywhere, while scratch is aligned."""
    return rect.size + ALIGNMENT if scratch and rect.size else rect.size


def place_guests(
    problem: Problem, classes: Sequence[AliasClass], rects: Sequence[Rect], guests: Sequence[Guest]
) -> dict[int, int]:
    """Rectangle -> offset in the output that spaces it, for those guests that fit with the problem's sizes."""
    spaces = _output_spaces(problem, classes)
    offsets: dict[int, int] = {}
    for number, buffer in guests:
        rect, space = rects[number], spaces.get(buffer)
        room = _room(rect, number >= len(classes))
        offset = NO_ROOM if space is None else space.place(room, rect.first, rect.last)
        if offset != NO_ROOM:
            offsets[number] = offset
    return offsets


def without_guests(rects: Sequence[Rect], in_outputs: dict[int, int]) -> list[Rect]:
    """The rectangles with no bytes for what lies in an output."""
    return [rect._replace(size=0) if number in in_outputs else rect for number, rect in enumerate(rects)]
