"""Lifetimes: from an order of steps, and alias classes, to the rectangles that the packer places."""

from collections.abc import Sequence

from arenaut.planner.problem import BufferKind, Lifetime, Problem, Rect, positions
from arenaut.planner.sharing import AliasClass


def buffer_lifetimes(problem: Problem, order: Sequence[int]) -> list[Lifetime | None]:
    """From the first to the last use of each buffer, in positions of `order`; None for a buffer no step uses.

    Outputs live on to the last position.
    """
    first = [-1] * len(problem.buffers)
    last = [-1] * len(problem.buffers)
    for position, index in enumerate(order):
        step = problem.steps[index]
        for number in step.reads:
            if first[number] < 0:
                first[number] = position
            last[number] = position
        for number in step.writes:
            if first[number] < 0:
                first[number] = position
            last[number] = position
    for number, buffer in enumerate(problem.buffers):
        if buffer.kind is BufferKind.OUTPUT and first[number] >= 0:
            last[number] = len(order) - 1
    return [Lifetime(start, end) if start >= 0 else None for start, end in zip(first, last, strict=True)]


def steps_with_scratch(problem: Problem, order: Sequence[int]) -> list[int]:
    """The steps that ask for scratch, in order."""
    return [index for index in order if problem.steps[index].scratch_bytes]


def rectangles(
    problem: Problem, order: Sequence[int], classes: Sequence[AliasClass], with_scratch: Sequence[int]
) -> list[Rect]:
    """One rectangle per class, then one per step of `with_scratch`. Classes inside an output take no bytes."""
    at = positions(order)
    setters = sorted({at[b.known_after] for b in problem.buffers if b.known_after >= 0})
    stage_of = {-1: 0} | {order[position]: number + 1 for number, position in enumerate(setters)}
    rects = [
        Rect(c.size if c.output < 0 else 0, c.first, c.last, stage_of[c.known_after] if c.output < 0 else 0)
        for c in classes
    ]
    for index in with_scratch:
        step = problem.steps[index]
        stage = max((stage_of[problem.buffers[b].known_after] for b in (*step.reads, *step.writes)), default=0)
        rects.append(Rect(step.scratch_bytes, at[index], at[index], stage))
    return rects
