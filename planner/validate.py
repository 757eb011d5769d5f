"""An independent check of memory plans: it shares no code with the planner, only its data types.

Two parts. The rectangles are compared pair by pair, which is quadratic and says what is wrong. The plan is then run on
a model of memory in which every byte is tagged with the values it holds, which trusts no lifetime, class or rectangle:
only the raw steps, the order and the addresses.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum

from arenaut.plain import dataclass
from arenaut.planner.plan import NOT_IN_ARENA, MemoryPlan
from arenaut.planner.problem import ALIGNMENT, BufferKind, Problem, Rect, StepUse


class Reason(Enum):
    MISSING = "missing"  # a step, rectangle or buffer has no place
    NEGATIVE = "negative"  # an offset below zero
    MISALIGNED = "misaligned"  # a rectangle does not start at a multiple of ALIGNMENT
    OUT_OF_REGION = "out of region"  # an end above the arena or the output that holds it
    OVERLAP = "overlap"  # two rectangles share bytes and time, or a step's own operands do
    ORDER = "order"  # not a permutation of the steps, or a step before one it depends on
    IN_PLACE = "in place"  # a step writes over what it reads without having offered it
    STALE = "stale"  # a step reads bytes that no longer hold what was written


@dataclass(frozen=True, slots=True)
class Violation:
    """`subjects` are rectangles, buffers or steps, as `message` says."""

    reason: Reason
    subjects: tuple[int, ...]
    message: str


def check_packing(rects: Sequence[Rect], offsets: Sequence[int], arena_bytes: int) -> list[Violation]:
    """Every defect of a packing, by comparing all pairs of rectangles. O(n^2)."""
    found = []
    if len(offsets) != len(rects):
        found.append(Violation(Reason.MISSING, (), f"{len(rects)} rectangles, but {len(offsets)} offsets"))
    count = min(len(offsets), len(rects))
    for i in range(count):
        rect, start = rects[i], offsets[i]
        if start < 0:
            found.append(Violation(Reason.NEGATIVE, (i,), f"rectangle {i} starts at {start}"))
        if start % ALIGNMENT:
            found.append(Violation(Reason.MISALIGNED, (i,), f"rectangle {i} starts at {start}"))
        if start + rect.size > arena_bytes:
            message = f"rectangle {i} ends at {start + rect.size}, the arena at {arena_bytes}"
            found.append(Violation(Reason.OUT_OF_REGION, (i,), message))
        for j in range(i):
            other, other_start = rects[j], offsets[j]
            bytes_meet = start < other_start + other.size and other_start < start + rect.size
            if bytes_meet and rect.size and other.size and rect.first <= other.last and other.first <= rect.last:
                found.append(Violation(Reason.OVERLAP, (j, i), f"rectangles {j} and {i} share bytes and time"))
    return found


def check_plan(problem: Problem, plan: MemoryPlan) -> list[Violation]:
    """Every defect of the plan's packing, order and addresses; [] if it is sound."""
    found = check_packing(plan.rects, plan.rect_offsets, plan.arena_bytes)
    order = check_order(problem, plan.order)
    if order:
        return found + order
    return found + _Simulation(problem, plan).run()


def check_order(problem: Problem, order: Sequence[int]) -> list[Violation]:
    """Whether `order` runs every step once, after the steps it names and with the contents it reads in stored order."""
    if sorted(order) != list(range(len(problem.steps))):
        return [Violation(Reason.ORDER, (), "the order is not a permutation of the steps")]
    found = []
    expected = [_versions_read(problem, range(len(problem.steps))), _versions_read(problem, order)]
    at = {index: position for position, index in enumerate(order)}
    for index, step in enumerate(problem.steps):
        if expected[0][index] != expected[1][index]:
            found.append(Violation(Reason.ORDER, (index,), f"step {index} runs before or after a write it must not"))
        setters = [problem.buffers[number].known_after for number in step.writes]
        for earlier in (*step.after, *(setter for setter in setters if setter >= 0)):
            if at[earlier] > at[index]:
                found.append(Violation(Reason.ORDER, (index, earlier), f"step {index} runs before step {earlier}"))
    return found


def _versions_read(problem: Problem, order: Sequence[int]) -> dict[int, tuple[frozenset[int], ...]]:
    """For each step, the steps that had by then written what it reads, and those whose bytes it writes over."""
    writers: list[list[int]] = [[] for _ in problem.buffers]
    seen = {}
    for index in order:
        step = problem.steps[index]
        read = [frozenset(writers[number]) for number in step.reads]
        overwritten = []
        for number in step.writes:
            start, end = _range(problem, index, number)
            before = [(writer, *_range(problem, writer, number)) for writer in writers[number]]
            overwritten.append(frozenset(writer for writer, low, high in before if low < end and start < high))
            writers[number].append(index)
        seen[index] = (*read, *overwritten)
    return seen


def _range(problem: Problem, index: int, number: int) -> tuple[int, int]:
    """(start, end) of the bytes that a step writes of a buffer."""
    return problem.steps[index].written_range(number, problem.buffers[number].size)


Value = tuple[int, int]  # buffer, the step that wrote it
ARENA_SEGMENT = -1


class _Memory:
    """One segment as disjoint spans, each with the values that its bytes hold at their proper places."""

    def __init__(self, size: int) -> None:
        self.starts = [0]
        self.values: list[frozenset[Value]] = [frozenset()]
        self.size = size

    def _cut(self, at: int) -> int:
        index = bisect_right(self.starts, at) - 1
        if self.starts[index] == at:
            return index
        self.starts.insert(index + 1, at)
        self.values.insert(index + 1, self.values[index])
        return index + 1

    def spans(self, start: int, end: int) -> range:
        """Indices of the spans of [start, end), cut to fit."""
        first = self._cut(start)
        return range(first, self._cut(end)) if end > start else range(first, first)

    def holds(self, start: int, end: int, value: Value) -> bool:
        return all(value in self.values[i] for i in self.spans(start, end))

    def put(self, start: int, end: int, value: Value, kept: Sequence[tuple[int, int, Value]]) -> None:
        """Writes `value`. Where a value of `kept` (start, end, value) holds within its span, all that holds stays."""
        for low, high, _ in kept:
            if max(low, start) < min(high, end):
                self.spans(max(low, start), min(high, end))
        for i in self.spans(start, end):
            at = self.starts[i]
            survives = any(low <= at < high and v in self.values[i] for low, high, v in kept)
            self.values[i] = self.values[i] | {value} if survives else frozenset({value})


class _Simulation:
    """Runs the steps of a plan on tagged memory."""

    def __init__(self, problem: Problem, plan: MemoryPlan) -> None:
        self.problem = problem
        self.plan = plan
        self.found: list[Violation] = []
        self.contents = [_Memory(buffer.size) for buffer in problem.buffers]  # as if each had memory of its own
        self.memory = {ARENA_SEGMENT: _Memory(plan.arena_bytes)}
        self.places: dict[int, tuple[int, int, int]] = {}  # buffer -> segment, start, end
        for number, buffer in enumerate(problem.buffers):
            if buffer.kind is not BufferKind.ARENA:
                self.memory[number] = _Memory(buffer.size)
        for number in sorted({b for step in problem.steps for b in (*step.reads, *step.writes)}):
            self._locate(number)

    def _locate(self, number: int) -> None:
        buffer, plan = self.problem.buffers[number], self.plan
        if buffer.kind is BufferKind.FIXED:
            self.places[number] = (number, 0, buffer.size)
            return
        if number in plan.in_output:
            segment, start = plan.in_output[number]
        else:
            segment, start = ARENA_SEGMENT, plan.offsets[number]
            if start == NOT_IN_ARENA:
                self._report(Reason.MISSING, (number,), f"buffer {number} has no place")
                return
        end = start + buffer.size
        if buffer.kind is BufferKind.OUTPUT and (segment, start) != (number, 0):
            self._report(Reason.MISSING, (number,), f"output {number} is not in its own memory")
        elif start < 0:
            self._report(Reason.NEGATIVE, (number,), f"buffer {number} starts at {start}")
        elif segment not in self.memory or end > self.memory[segment].size:
            self._report(Reason.OUT_OF_REGION, (number,), f"buffer {number} ends at {end}, beyond its region")
        else:
            self.places[number] = (segment, start, end)

    def _report(self, reason: Reason, subjects: tuple[int, ...], message: str) -> None:
        self.found.append(Violation(reason, subjects, message))

    def run(self) -> list[Violation]:
        if not self.found:
            for index in self.plan.order:
                self._run_step(index, self.problem.steps[index])
            for number, buffer in enumerate(self.problem.buffers):
                if buffer.kind is BufferKind.OUTPUT and number in self.places:
                    self._expect(number, f"at the end, output {number}")
        return self.found

    def _expect(self, number: int, subject: str) -> None:
        segment, start, _ = self.places[number]
        if not all(self.memory[segment].holds(start + low, start + high, v) for low, high, v in self._written(number)):
            self._report(Reason.STALE, (number,), f"{subject} no longer holds what was written to it")

    def _written(self, number: int) -> list[tuple[int, int, Value]]:
        """(start, end, value) of all that was written to a buffer and not written over since."""
        contents = self.contents[number]
        ends = [*contents.starts[1:], contents.size]
        spans = zip(contents.starts, ends, contents.values, strict=True)
        return [(low, high, value) for low, high, values in spans for value in values if low < high]

    def _run_step(self, index: int, step: StepUse) -> None:
        self._use_scratch(index, step)
        partly = {part.buffer for part in step.parts}
        for number in dict.fromkeys((*step.reads, *(b for b in step.writes if b not in partly))):
            self._expect(number, f"when step {index} runs, buffer {number}")
        writes = tuple(dict.fromkeys(step.writes))
        for number in writes:
            self._check_overwriting(index, step, number, writes)
        for number in writes:
            segment, origin, _ = self.places[number]
            kept = [
                (at + low, at + high, v) for b, at, _ in self._kept(step, number) for low, high, v in self._written(b)
            ]
            start, end = _range(self.problem, index, number)
            self.contents[number].put(start, end, (number, index), [])
            self.memory[segment].put(origin + start, origin + end, (number, index), kept)

    def _use_scratch(self, index: int, step: StepUse) -> None:
        if not step.scratch_bytes:
            return
        where, start = self.plan.scratch_in_output.get(index, (ARENA_SEGMENT, self.plan.scratch_offsets[index]))
        # Its start is rounded up where it lies in an output, which starts anywhere.
        end = start + step.scratch_bytes + (0 if where == ARENA_SEGMENT else ALIGNMENT)
        if start < 0 or where not in self.memory or end > self.memory[where].size:
            self._report(Reason.OUT_OF_REGION, (index,), f"the scratch of step {index} is [{start}, {end})")
            return
        for number in (*step.reads, *step.writes):
            segment, low, high = self.places[number]
            if segment == where and max(start, low) < min(end, high):
                self._report(Reason.OVERLAP, (index, number), f"the scratch of step {index} overlaps buffer {number}")
        self.memory[where].put(start, end, (-1, index), [])

    def _kept(self, step: StepUse, write: int) -> list[tuple[int, int, int]]:
        """(buffer, start, end) of what the step reads and leaves as it is where `write` covers it."""
        segment, start, _ = self.places[write]
        result = []
        for share in step.shares:
            if share.write == write and share.keeps:
                its_segment, low, high = self.places[share.read]
                if its_segment == segment and low + share.offset == start:
                    result.append((share.read, low, high))
        return result

    def _check_overwriting(self, index: int, step: StepUse, write: int, writes: Sequence[int]) -> None:
        segment, start, _ = self.places[write]
        first, last = _range(self.problem, index, write)
        changed = [(start + first, start + last)]
        for _, low, high in self._kept(step, write):
            changed = [
                piece for a, b in changed for piece in ((a, min(b, low)), (max(a, high), b)) if piece[0] < piece[1]
            ]
        for number in dict.fromkeys((*step.reads, *writes)):
            its_segment, low, high = self.places[number]
            if number == write or its_segment != segment or not any(max(a, low) < min(b, high) for a, b in changed):
                continue
            if number in writes:
                self._report(Reason.OVERLAP, (write, number), f"step {index} writes {write} and {number} to one place")
            elif not self._in_place_offered(step, write, number, start - low):
                message = f"step {index} writes buffer {write} over buffer {number}, which it reads"
                self._report(Reason.IN_PLACE, (write, number), message)

    def _in_place_offered(self, step: StepUse, write: int, read: int, distance: int) -> bool:
        same_size = self.problem.buffers[write].size == self.problem.buffers[read].size
        return any(
            share.write == write
            and share.read == read
            and share.offset == distance
            and (same_size or share.any_size or share.keeps)
            for share in step.shares
        )
