"""Lower bounds on the arena, in bytes of 64-byte aligned sizes."""

from collections.abc import Callable, Iterable, Sequence

from arenaut.planner.problem import BufferKind, Problem, Rect, Share, StepUse, aligned, step_dependencies


def live_bytes(rects: Iterable[Rect], positions: int) -> list[int]:
    """Bytes live at each of `positions` positions of the order."""
    change = [0] * (positions + 1)
    for rect in rects:
        size = aligned(rect.size)
        change[rect.first] += size
        change[rect.last + 1] -= size
    live, total = [], 0
    for delta in change[:positions]:
        total += delta
        live.append(total)
    return live


def lower_bound(rects: Sequence[Rect]) -> int:
    """Maximum of live bytes: no packing of these rectangles needs less."""
    return max(live_bytes(rects, 1 + max((rect.last for rect in rects), default=-1)), default=0)


def order_free_bound(problem: Problem) -> int:
    """Largest working set of a single step: no order, sharing or packing of this problem needs less.

    Every offer to share is taken as accepted, what might lie in an output's own memory counts as nothing, and an output
    that may still be unwritten when a step runs is memory for what the step works on.
    """
    return bound_with_outputs(problem, working_sets(problem), step_dependencies(problem))


def bound_with_outputs(problem: Problem, sets: Sequence[tuple[int, int]], dependencies: Sequence[Sequence[int]]) -> int:
    """The largest of the working sets, less what unwritten outputs may take of them."""
    spare = _spare_bytes(problem, dependencies)
    return max((max(0, scratch + own - free) for (scratch, own), free in zip(sets, spare, strict=True)), default=0)


def working_sets(problem: Problem) -> list[tuple[int, int]]:
    """Per step: bytes of scratch, and bytes of what it reads and writes, with every offer to share accepted."""
    family = _families(problem, lambda share: True)
    kept = _families(problem, lambda share: share.keeps)
    in_output = {family[b] for b, buffer in enumerate(problem.buffers) if buffer.kind is BufferKind.OUTPUT}
    # Where parts lie at odd distances inside one region, only its sum is rounded up, not every part.
    odd = {family[s.write] for step in problem.steps for s in step.shares if s.keeps or s.any_size or s.offset}
    sizes = []
    for number, buffer in enumerate(problem.buffers):
        counts = buffer.kind is BufferKind.ARENA and family[number] not in in_output
        sizes.append((buffer.size if family[number] in odd else aligned(buffer.size)) if counts else 0)
    return [(aligned(step.scratch_bytes), _working_set(step, sizes, family, kept)) for step in problem.steps]


def _working_set(step: StepUse, sizes: Sequence[int], family: Sequence[int], kept: Sequence[int]) -> int:
    largest: dict[int, int] = {}  # of the buffers that may hold the same bytes
    family_of: dict[int, int] = {}
    for number in step.reads:
        size = sizes[number]
        if size:
            same = kept[number]
            if size > largest.get(same, 0):
                largest[same], family_of[same] = size, family[number]
    bytes_of: dict[int, int] = {}
    for same, size in largest.items():
        bytes_of[family_of[same]] = bytes_of.get(family_of[same], 0) + size
    for number in step.writes:
        size = sizes[number]
        if size and number not in step.reads:
            for share in step.shares:
                if share.write == number:
                    size -= sizes[share.read]
            if size > 0:
                bytes_of[family[number]] = bytes_of.get(family[number], 0) + size
    return sum([aligned(size) for size in bytes_of.values()])


def _spare_bytes(problem: Problem, needed: Sequence[Sequence[int]]) -> list[int]:
    """For each step, the bytes of outputs that some order leaves unwritten until after it."""
    total = sum(aligned(buffer.size) for buffer in problem.buffers if buffer.kind is BufferKind.OUTPUT)
    spare = [total] * len(problem.steps)
    if not total:
        return spare
    for number, buffer in enumerate(problem.buffers):
        if buffer.kind is not BufferKind.OUTPUT:
            continue
        after = [False] * len(problem.steps)
        for index, step in enumerate(problem.steps):
            after[index] = number in step.writes or any(after[earlier] for earlier in needed[index])
            if after[index]:
                spare[index] -= aligned(buffer.size)
    return spare


def _families(problem: Problem, joins: Callable[[Share], bool]) -> list[int]:
    """A number per buffer, equal for buffers that a chain of offers accepted by `joins` connects."""
    parent = list(range(len(problem.buffers)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for step in problem.steps:
        for share in step.shares:
            if joins(share):
                parent[root(share.write)] = root(share.read)
    return [root(number) for number in range(len(parent))]
