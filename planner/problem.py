"""The planner's input and the rectangles it packs: plain data, bytes and step indices only.

A program is a list of steps in a valid sequential order (the *stored* order). A step reads and writes buffers. Values
that are views of one another carry the same buffer number and never appear here as separate buffers.

Numbers of bytes are those at the sizes planned for, which choose between plans. What a plan may rely on holds for every
size: where a number changes with the sizes, a form (`planner.forms`) beside it says how.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from arenaut.plain import dataclass
from arenaut.planner.forms import Form, constant, plus, proved_order

ALIGNMENT = 64
"""Bytes. Every rectangle starts at a multiple of it, and every size is rounded up to it before packing."""


class PlanError(ValueError):
    """The problem contradicts itself (a read before any write, an unknown buffer, a dependency on a later step)."""


class BufferKind(Enum):
    ARENA = "arena"  # packed by the planner
    FIXED = "fixed"  # inputs, weights: memory of its own; only orders the steps
    OUTPUT = "output"  # memory of its own that nobody looks at before its first write, so arena buffers may share it


class BufferInfo(NamedTuple):
    """`size` in bytes. `known_after` is the step that makes the size known (-1: known when the program is bound).

    form: of a size that changes.
    """

    size: int
    kind: BufferKind = BufferKind.ARENA
    known_after: int = -1
    form: Form | None = None

    @property
    def exact(self) -> Form:
        return constant(self.size) if self.form is None else self.form


class Share(NamedTuple):
    """A step's offer that buffer `write` may lie `offset` bytes after the start of buffer `read`, over its bytes.

    keeps=False: the step may destroy `read` (in place). Offer it only if every operand of the step that touches `read`
    bears it. Sizes must be equal for every binding, unless any_size says that the step bears any pair of sizes.
    keeps=True: while both buffers share memory the step leaves the bytes of `read` as they are, so `read` may live on.
    One of the two lies within the other: a part of a Concat within its result (offset = -position of the part), or a
    copy of a slice within its source. The step then has nothing to copy for this operand.
    form: of an offset that changes.
    """

    write: int
    read: int
    offset: int = 0
    keeps: bool = False
    any_size: bool = False
    form: Form | None = None

    @property
    def exact(self) -> Form:
        return constant(self.offset) if self.form is None else self.form


class Part(NamedTuple):
    """The `size` bytes of `buffer` from `start` on: all that a step writes of it, whatever the sizes.

    forms: of a start and a size that change; the size is never negative.
    """

    buffer: int
    start: int
    size: int
    forms: tuple[Form, Form] | None = None

    @property
    def exact(self) -> tuple[Form, Form]:
        """(start, end)"""
        start, size = self.forms or (constant(self.start), constant(self.size))
        return start, plus(start, size)


class StepUse(NamedTuple):
    """What a step does to memory. Numbers in `reads`, `writes` and `shares` are buffers, in `after` they are steps.

    `after` holds dependencies that no buffer shows (a symbol set by an earlier step). `scratch_bytes` live during this
    step only. A step without a part for a buffer it writes may write any of its bytes. With parts, the copies that make
    up one Concat may run in any order, and their sources may be made in place (`Share.keeps`).
    """

    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    shares: tuple[Share, ...] = ()
    after: tuple[int, ...] = ()
    scratch_bytes: int = 0
    parts: tuple[Part, ...] = ()

    def written_range(self, buffer: int, size: int) -> tuple[int, int]:
        """(start, end) of the bytes the step writes of `buffer`, which has `size` bytes."""
        for part in self.parts:
            if part.buffer == buffer:
                return part.start, part.start + part.size
        return 0, size


@dataclass(frozen=True, slots=True)
class Problem:
    """Steps in stored order, and the buffers they name. Raises PlanError if they contradict each other.

    A buffer may be written by several steps; what a later write does not reach keeps its contents.
    """

    steps: tuple[StepUse, ...]
    buffers: tuple[BufferInfo, ...]

    def __post_init__(self) -> None:
        count = len(self.buffers)
        for number, buffer in enumerate(self.buffers):
            if buffer.size < 0:
                raise PlanError(f"buffer {number} has a negative size: {buffer.size} bytes")
        written = [False] * count
        for index, step in enumerate(self.steps):
            for number in (*step.reads, *step.writes):
                if not 0 <= number < count:
                    raise PlanError(f"step {index} uses buffer {number}, but there are {count} buffers")
            for number in step.reads:
                if not written[number] and self.buffers[number].kind is not BufferKind.FIXED:
                    raise PlanError(f"step {index} reads buffer {number} before any step wrote it")
            for number in step.writes:
                written[number] = True
                if not -1 <= self.buffers[number].known_after < index:
                    raise PlanError(f"step {index} writes buffer {number} before its size is known")
            if len({*step.writes}) != len(step.writes):
                raise PlanError(f"step {index} lists a buffer twice among its writes: {step.writes}")
            for share in step.shares:
                if share.write not in step.writes or share.read not in step.reads or share.read in step.writes:
                    raise PlanError(f"step {index} offers {share}, but does not just read the one and write the other")
            for part in step.parts:
                if (
                    part.buffer not in step.writes
                    or not 0 <= part.start <= part.start + part.size <= self.buffers[part.buffer].size
                ):
                    raise PlanError(f"step {index} writes {part}, which is not a part of what it writes")
            for earlier in step.after:
                if not 0 <= earlier < index:
                    raise PlanError(f"step {index} must run after step {earlier}, which is not before it")
            if step.scratch_bytes < 0:
                raise PlanError(f"step {index} asks for {step.scratch_bytes} bytes of scratch")


class Lifetime(NamedTuple):
    """Inclusive positions in the order. A buffer is live while the step that last uses it runs."""

    first: int
    last: int


class Rect(NamedTuple):
    """`size` bytes needed from position `first` to position `last`, both included.

    `stage` orders knowledge: a rectangle is placed after every one of a lower stage, because its size is known later.
    """

    size: int
    first: int
    last: int
    stage: int = 0


def aligned(size: int) -> int:
    """`size` rounded up to a multiple of ALIGNMENT."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def positions(order: Sequence[int]) -> list[int]:
    """Position of each step in `order`."""
    result = [0] * len(order)
    for position, step in enumerate(order):
        result[step] = position
    return result


EVERYTHING = (0, 1 << 62)
"""What a step writes of a buffer that it may write any byte of, whatever its size."""


def written_ranges(problem: Problem) -> dict[tuple[int, int], tuple[int, int]]:
    """(step, buffer) -> numbers [low, high) that stand for the bytes the step writes of the buffer, for each part of
    which that can be said: ranges that do not meet are bytes that do not meet, for every size."""
    parts: dict[int, list[tuple[int, Part]]] = {}
    for index, step in enumerate(problem.steps):
        for part in step.parts:
            parts.setdefault(part.buffer, []).append((index, part))
    ranges: dict[tuple[int, int], tuple[int, int]] = {}
    for number, written in parts.items():
        if all(part.forms is None for _, part in written):
            ranges.update({(index, number): (part.start, part.start + part.size) for index, part in written})
            continue
        cuts: dict[Form, int] = {}
        for _, part in written:
            start, end = part.exact
            cuts |= {start: part.start, end: part.start + part.size}
        order = proved_order(cuts, {part.exact for _, part in written})
        if order is not None:
            rank = {cut: i for i, cut in enumerate(order)}
            ranges.update({(index, number): (rank[p.exact[0]], rank[p.exact[1]]) for index, p in written})
    return ranges


def step_dependencies(problem: Problem) -> list[list[int]]:
    """For each step, the earlier steps that must stay before it, whatever the sizes.

    They are its `after`, the steps that set the sizes of what it writes, and every read/write hazard.
    """
    ranges = written_ranges(problem)
    writers: list[list[tuple[int, int, int]]] = [[] for _ in problem.buffers]  # low, high, step: what stands written
    readers: list[list[int]] = [[] for _ in problem.buffers]
    result = []
    for index, step in enumerate(problem.steps):
        needed = set(step.after)
        for number in step.reads:
            for _, _, writer in writers[number]:
                needed.add(writer)
            readers[number].append(index)
        for number in step.writes:
            known_after = problem.buffers[number].known_after
            start, end = ranges.get((index, number), EVERYTHING) if step.parts else EVERYTHING
            if known_after >= 0:
                needed.add(known_after)
            if not writers[number] and not readers[number]:
                writers[number].append((start, end, index))
                continue
            standing = []
            for low, high, writer in writers[number]:
                if low < end and start < high:
                    needed.add(writer)
                    if start <= low and high <= end:
                        continue
                standing.append((low, high, writer))
            writers[number] = [*standing, (start, end, index)]
            needed.update(readers[number])
            if (start, end) == EVERYTHING:
                readers[number].clear()
        needed.discard(index)
        result.append(sorted(needed))
    return result
