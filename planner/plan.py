"""The memory plan: order, sharing, lifetimes and packing glued together."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypedDict

from arenaut.plain import dataclass, replace
from arenaut.planner.bound import lower_bound, order_free_bound
from arenaut.planner.lifetimes import rectangles, steps_with_scratch
from arenaut.planner.order import GREEDY, choose_order
from arenaut.planner.output_reuse import Guest, choose_guests, place_guests, without_guests
from arenaut.planner.packing import Effort, Packer, pack
from arenaut.planner.problem import PlanError, Problem, Rect
from arenaut.planner.sharing import AcceptedShare, AliasClass, Member

NOT_IN_ARENA = -1
SEARCH_STATES: Mapping[Effort, int] = MappingProxyType({"fast": 0, "default": 750, "max": 50_000})
"""States that the search for an order may visit."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where every buffer lives, in bytes.

    order: steps, by their index in the problem, in the order they run; order_name: the rule that found it.
    classes: buffers that share a region; rects: one per class, then one per step with scratch, in positions of `order`.
    rect_offsets: arena offsets of `rects`, which first fit in `placement_order` yields.
    offsets: per buffer, from the start of the arena, or NOT_IN_ARENA.
    in_output: buffer -> (output buffer whose memory holds it, offset there), for every used buffer of kind OUTPUT, for
    what shares its memory, and for what lies there before it is written.
    guests: the rectangles that lie in an output before it is written where they fit, in the order they take their
    places; they have no bytes then.
    scratch_offsets: per step of the problem, or NOT_IN_ARENA.
    scratch_in_output: step -> (output buffer, offset there), rounded up to ALIGNMENT once the output has an address.
    shared: the offers to share that hold.
    lower_bound_bytes: maximum of live bytes in this order; order_free_bound_bytes: what no order can go below.
    proved: no packing of these rectangles is smaller.
    """

    order: tuple[int, ...]
    order_name: str
    classes: tuple[AliasClass, ...]
    rects: tuple[Rect, ...]
    rect_offsets: tuple[int, ...]
    placement_order: tuple[int, ...]
    offsets: tuple[int, ...]
    in_output: dict[int, tuple[int, int]]
    scratch_offsets: tuple[int, ...]
    scratch_in_output: dict[int, tuple[int, int]]
    shared: tuple[AcceptedShare, ...]
    guests: tuple[Guest, ...]
    arena_bytes: int
    lower_bound_bytes: int
    order_free_bound_bytes: int
    method: str
    proved: bool


def plan_memory(problem: Problem, *, effort: Effort = "default") -> MemoryPlan:
    """Plans `problem`. Pure and deterministic; about 0.1 ms per step, except that "max" may search for seconds."""
    choice = choose_order(problem, () if effort == "fast" else GREEDY, SEARCH_STATES[effort])
    classes = choice.sharing.classes
    guests = () if effort == "fast" else choose_guests(problem, classes, choice.rects)
    in_outputs = place_guests(problem, classes, choice.rects, guests)
    rects = without_guests(choice.rects, in_outputs)
    packing = pack(rects, effort)
    with_scratch = steps_with_scratch(problem, choice.order)
    addresses = _addresses(problem, with_scratch, classes, packing.offsets, guests, in_outputs)
    return MemoryPlan(
        order=choice.order,
        order_name=choice.name,
        classes=classes,
        rects=tuple(rects),
        rect_offsets=packing.offsets,
        placement_order=packing.placement_order,
        **addresses,
        shared=choice.sharing.accepted,
        guests=guests,
        arena_bytes=packing.arena_bytes,
        lower_bound_bytes=packing.bound_bytes,
        order_free_bound_bytes=choice.order_free_bound_bytes,
        method=packing.method,
        proved=packing.proved,
    )


def resize_plan(plan: MemoryPlan, problem: Problem) -> MemoryPlan:
    """The same plan for other sizes: `problem` differs from the planned one in sizes and share offsets only.

    Order, classes and placement order stay; what is placed anew is what the native resolver places. Raises PlanError
    where a new plan is needed: a shared buffer sticks out of the output that held it, or a step needs scratch that had
    none.
    """
    classes = _resized_classes(plan, problem)
    with_scratch = [
        index for index in plan.order if plan.scratch_offsets[index] != NOT_IN_ARENA or index in plan.scratch_in_output
    ]
    new = set(steps_with_scratch(problem, plan.order)).difference(with_scratch)
    if new:
        raise PlanError(f"step {min(new)} needs scratch with these sizes, and needed none when it was planned")
    every = rectangles(problem, plan.order, classes, with_scratch)
    in_outputs = place_guests(problem, classes, every, plan.guests)
    rects = without_guests(every, in_outputs)
    rect_offsets, top = Packer(rects).place(plan.placement_order)
    addresses = _addresses(problem, with_scratch, classes, rect_offsets, plan.guests, in_outputs)
    bound = lower_bound(rects)
    return replace(
        plan,
        classes=classes,
        rects=tuple(rects),
        rect_offsets=tuple(rect_offsets),
        **addresses,
        arena_bytes=top,
        lower_bound_bytes=bound,
        order_free_bound_bytes=order_free_bound(problem),
        proved=top <= bound,
    )


class _Addresses(TypedDict):
    """Fields of a MemoryPlan."""

    offsets: tuple[int, ...]
    in_output: dict[int, tuple[int, int]]
    scratch_offsets: tuple[int, ...]
    scratch_in_output: dict[int, tuple[int, int]]


def _addresses(
    problem: Problem,
    with_scratch: Sequence[int],
    classes: Sequence[AliasClass],
    rect_offsets: Sequence[int],
    guests: Sequence[Guest],
    in_outputs: Mapping[int, int],
) -> _Addresses:
    offsets = [NOT_IN_ARENA] * len(problem.buffers)
    in_output: dict[int, tuple[int, int]] = {}
    output_of = dict(guests)
    for number, (region, start) in enumerate(zip(classes, rect_offsets, strict=False)):
        for member in region.members:
            if region.output >= 0:
                in_output[member.buffer] = (region.output, member.offset)
            elif number in in_outputs:
                in_output[member.buffer] = (output_of[number], in_outputs[number] + member.offset)
            else:
                offsets[member.buffer] = start + member.offset
    scratch = [NOT_IN_ARENA] * len(problem.steps)
    scratch_in_output: dict[int, tuple[int, int]] = {}
    for number, (index, start) in enumerate(zip(with_scratch, rect_offsets[len(classes) :], strict=True), len(classes)):
        if number in in_outputs:
            scratch_in_output[index] = (output_of[number], in_outputs[number])
        else:
            scratch[index] = start
    return _Addresses(
        offsets=tuple(offsets),
        in_output=in_output,
        scratch_offsets=tuple(scratch),
        scratch_in_output=scratch_in_output,
    )


def _resized_classes(plan: MemoryPlan, problem: Problem) -> tuple[AliasClass, ...]:
    distances: dict[int, list[tuple[int, int]]] = {}
    for accepted in plan.shared:
        share = problem.steps[accepted.step].shares[accepted.offer]
        distances.setdefault(share.read, []).append((share.write, share.offset))
        distances.setdefault(share.write, []).append((share.read, -share.offset))
    return tuple(_resized_class(region, problem, distances) for region in plan.classes)


def _resized_class(region: AliasClass, problem: Problem, distances: dict[int, list[tuple[int, int]]]) -> AliasClass:
    start = region.members[0].buffer
    places = {start: 0}
    open_ends = [start]
    while open_ends:
        current = open_ends.pop()
        for other, distance in distances.get(current, ()):
            if other not in places:
                places[other] = places[current] + distance
                open_ends.append(other)
    ends = {buffer: place + problem.buffers[buffer].size for buffer, place in places.items()}
    origin = places[region.output] if region.output >= 0 else min(places.values())
    high = max(ends.values())
    if region.output >= 0 and (min(places.values()) < origin or high > ends[region.output]):
        raise PlanError(f"with these sizes, buffers that share the memory of output {region.output} stick out of it")
    members = tuple(Member(member.buffer, places[member.buffer] - origin) for member in region.members)
    return replace(region, members=members, size=high - origin)
