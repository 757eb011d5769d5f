"""What a lowered program keeps at each step in stored order: what decides which chains run depth first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arenaut.ir.dims import evaluate, product
from arenaut.ir.place import Place
from arenaut.lowering.families import cut_sum, family_of
from arenaut.lowering.problem import Facts, problem_of
from arenaut.lowering.program import Lowered, LoweredStep, Segment
from arenaut.plain import dataclass
from arenaut.planner import Problem, aligned
from arenaut.planner.bound import live_bytes
from arenaut.planner.order import evaluate_order
from arenaut.planner.output_reuse import choose_guests, place_guests, without_guests
from arenaut.planner.sharing import AliasClass

WORTH_BYTES = 64 * 1024
WORTH_SHARE = 1 / 32
"""A rewrite is kept if it lowers the peak by both."""
CLOSE_ENOUGH = 1 / 8
"""By how much a chain may stay above the lowest peak that cuts could reach: the last bit would take many."""
SLOWEST = 1 / 16
"""What cutting a chain may add to its time, as the cost model sees it."""
FLOPS_PER_BYTE = 4.0
BYTE_FLOPS_PER_BYTE = 16.0
"""Multiplications and additions, of floats and of bytes, that take as long as moving one byte between cores' caches."""
SCRATCH_GUESS = 64 * 1024
WINDOW_SCRATCH_GUESS = 256 * 1024
"""What a product, and one over windows, takes as scratch, as long as no kernel is bound: it decides between steps whose
operands take the same."""


class Uses:
    """Which steps write and read the buffers of a lowered program."""

    def __init__(self, lowered: Lowered) -> None:
        self.writers: dict[int, list[int]] = {}
        self.readers: dict[int, list[int]] = {}
        for index, step in enumerate(lowered.steps):
            for place in step.outputs:
                if place is not None:
                    self.writers.setdefault(place.buffer, []).append(index)
            for buffer in {place.buffer for place in step.inputs if place is not None}:
                self.readers.setdefault(buffer, []).append(index)


@dataclass(frozen=True)
class Profile:
    """Arena bytes live at each step in stored order, with all sharing and what outputs take in. homes: of the buffers
    whose region takes arena bytes, that region."""

    problem: Problem
    live: list[int]
    homes: Mapping[int, AliasClass]

    @property
    def peak(self) -> int:
        return max(self.live, default=0)

    def size(self, buffer: int) -> int:
        return aligned(self.problem.buffers[buffer].size)

    def extra(self, buffer: int, position: int) -> int:
        """Bytes more if the buffer had to be live at `position`."""
        home = self.homes.get(buffer)
        return 0 if home is None or home.first <= position <= home.last else self.size(buffer)


def profile_of(lowered: Lowered, env: Mapping[str, int], facts: Facts) -> Profile:
    """At these sizes. facts: of steps at the same sizes; grows, and keeps the last two profiles."""
    for program, known in facts.profiled:
        if program is lowered and isinstance(known, Profile):
            return known
    problem, _ = problem_of(lowered, env, [_scratch_guess(step) for step in lowered.steps], facts)
    choice = evaluate_order(problem, range(len(problem.steps)), "stored")
    classes = choice.sharing.classes
    guests = choose_guests(problem, classes, choice.rects)
    in_outputs = place_guests(problem, classes, choice.rects, guests)
    homes = {
        member.buffer: region
        for number, region in enumerate(classes)
        for member in region.members
        if region.output < 0 and number not in in_outputs
    }
    profile = Profile(problem, live_bytes(without_guests(choice.rects, in_outputs), len(problem.steps)), homes)
    facts.profiled.append((lowered, profile))
    return profile


def _scratch_guess(step: LoweredStep) -> int:
    if cut_sum(step) is None:
        return 0
    kernel = step.params.get("kernel", ())
    windowed = isinstance(kernel, Sequence) and any(extent != 1 for extent in kernel)
    return WINDOW_SCRATCH_GUESS if windowed else SCRATCH_GUESS


def place_bytes(place: Place | None, env: Mapping[str, int]) -> int:
    """Bytes of the elements; none of a place that is absent."""
    return 0 if place is None else evaluate(product(place.dims), env) * place.dtype.itemsize


def work_of(lowered: Lowered, step: LoweredStep, env: Mapping[str, int]) -> float:
    """What a step takes, in bytes moved."""
    places = [p for p in step.operands() if p is not None]
    moved = sum(place_bytes(p, env) for p in places if lowered.buffers[p.buffer].segment is not Segment.WEIGHT)
    return moved + _multiplying(step, env)


def _multiplying(step: LoweredStep, env: Mapping[str, int]) -> float:
    """Of a product or a convolution, in bytes moved: two operations per element of the output and summand. Others are
    taken as free."""
    over, filters = cut_sum(step), family_of(step).filters
    if over is None and filters is None:
        return 0.0
    out, weight = step.outputs[0], step.inputs[1 if filters is None else filters]
    assert out is not None and weight is not None
    outer = evaluate(weight.dims[0 if over is None else over.outer], env)
    flops = 2 * evaluate(product(out.dims), env) * evaluate(product(weight.dims), env) // max(1, outer)
    return flops / (BYTE_FLOPS_PER_BYTE if weight.dtype.itemsize == 1 else FLOPS_PER_BYTE)
