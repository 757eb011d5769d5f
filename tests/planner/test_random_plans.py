"""Random problems: every plan is sound by the independent validator, and damaged plans are not."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from arenaut.planner import (
    BufferInfo,
    BufferKind,
    Effort,
    Part,
    Problem,
    Share,
    StepUse,
    aligned,
    plan_memory,
    resize_plan,
)
from arenaut.planner.order import ORDERS, evaluate_order
from arenaut.planner.problem import step_dependencies
from arenaut.planner.validate import check_order, check_plan

FORMS = ("plain", "plain", "in place", "in place", "concat", "join", "join", "slice", "update", "any")
SIZES = (0, 1, 40, 64, 64, 128, 128, 200, 256, 4096)


@st.composite
def problems(draw: st.DrawFn, max_steps: int = 14) -> Problem:
    """Steps that read earlier values and write one or two new ones, with honest offers of every kind to share them."""
    buffers = [BufferInfo(draw(st.sampled_from(SIZES)), BufferKind.FIXED) for _ in range(2)]
    steps: list[StepUse] = []
    setters = [-1]
    for _ in range(draw(st.integers(1, max_steps))):
        index = len(steps)
        reads = draw(st.lists(st.integers(0, len(buffers) - 1), max_size=3, unique=True))
        writes: list[int] = []
        shares: list[Share] = []
        form = draw(st.sampled_from(FORMS))
        old = [n for n in reads if buffers[n].kind is not BufferKind.FIXED]
        kind = draw(st.sampled_from((BufferKind.ARENA,) * 6 + (BufferKind.FIXED, BufferKind.OUTPUT)))
        stage = draw(st.sampled_from(setters)) if draw(st.booleans()) else -1
        new = len(buffers)
        if form == "join" and reads:
            at = 0
            buffers.append(BufferInfo(sum(buffers[number].size for number in reads), kind, stage))
            for number in reads:
                offer = (Share(new, number, -at, keeps=True),)
                size = buffers[number].size
                steps.append(StepUse((number,), (new,), offer, parts=(Part(new, at, size),)))
                at += size
            continue
        if form == "concat" and reads:
            at = 0
            for number in reads:
                shares.append(Share(new, number, -at, keeps=True))
                at += buffers[number].size
            buffers.append(BufferInfo(at, kind, stage))
            writes.append(new)
        elif form == "slice" and old and buffers[old[0]].size:
            start = draw(st.integers(0, buffers[old[0]].size - 1))
            size = draw(st.integers(1, buffers[old[0]].size - start))
            buffers.append(BufferInfo(size, kind, stage))
            shares.append(Share(new, old[0], start, keeps=True))
            writes.append(new)
        elif form == "update" and old:
            writes.append(old[0])
        else:
            for number in range(new, new + draw(st.integers(1, 2))):
                size = buffers[reads[0]].size if form == "in place" and reads else draw(st.sampled_from(SIZES))
                buffers.append(BufferInfo(size, kind, stage))
                writes.append(number)
                if form in ("in place", "any"):
                    shares += [Share(number, read, any_size=form == "any") for read in reads]
        after = tuple(draw(st.sets(st.integers(0, index - 1), max_size=1))) if index else ()
        scratch = draw(st.sampled_from((0, 0, 0, 100, 500)))
        steps.append(StepUse(tuple(reads), tuple(writes), tuple(shares), after, scratch))
        if draw(st.integers(0, 5)) == 0:
            setters.append(index)
    return Problem(tuple(steps), tuple(buffers))


@given(problems(), st.sampled_from(("fast", "default")))
@settings(max_examples=100, deadline=None)
def test_plans_are_sound_and_within_their_bounds(problem: Problem, effort: Effort) -> None:
    plan = plan_memory(problem, effort=effort)
    assert check_plan(problem, plan) == []
    assert plan.order_free_bound_bytes <= plan.lower_bound_bytes <= plan.arena_bytes
    assert plan.lower_bound_bytes == max(
        (sum(aligned(r.size) for r in plan.rects if r.first <= t <= r.last) for t in range(len(problem.steps))),
        default=0,
    )
    assert plan.arena_bytes <= sum(aligned(rect.size) for rect in plan.rects)
    assert resize_plan(plan, problem) == plan


@given(problems(), st.sampled_from(tuple(ORDERS)))
@settings(max_examples=60, deadline=None)
def test_every_order_variant_respects_dependencies(problem: Problem, name: str) -> None:
    order = ORDERS[name](problem, step_dependencies(problem))
    assert check_order(problem, order) == []
    shared = evaluate_order(problem, order, name)
    alone = evaluate_order(replace_shares(problem), order, name)
    assert shared.bound_bytes <= alone.bound_bytes


def replace_shares(problem: Problem) -> Problem:
    """The problem with no offer to share."""
    return Problem(tuple(step._replace(shares=()) for step in problem.steps), problem.buffers)


@given(problems(), st.sampled_from((0, 3, 50)), st.sampled_from(("fast", "default")))
@settings(max_examples=60, deadline=None)
def test_a_plan_serves_other_sizes(problem: Problem, factor: int, effort: Effort) -> None:
    """Every size, distance and scratch multiplied; what was equal stays equal, and what lay inside stays inside."""
    steps = tuple(
        step._replace(
            shares=tuple(share._replace(offset=share.offset * factor) for share in step.shares),
            scratch_bytes=step.scratch_bytes * factor,
            parts=tuple(Part(part.buffer, part.start * factor, part.size * factor) for part in step.parts),
        )
        for step in problem.steps
    )
    other = Problem(steps, tuple(buffer._replace(size=buffer.size * factor) for buffer in problem.buffers))
    plan = resize_plan(plan_memory(problem, effort=effort), other)
    assert check_plan(other, plan) == []
    assert plan.lower_bound_bytes <= plan.arena_bytes


@given(problems(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_buffer_moved_onto_one_that_is_needed_later_is_found(problem: Problem, data: st.DataObject) -> None:
    plan = plan_memory(problem)
    writes: dict[int, int] = {}
    reads: dict[int, int] = {}
    for position, index in enumerate(plan.order):
        reads.update(dict.fromkeys(problem.steps[index].reads, position))
        for number in problem.steps[index].writes:
            writes.setdefault(number, position)
    offered = {(share.write, share.read) for step in problem.steps for share in step.shares}
    placed = [n for n in writes if plan.offsets[n] >= 0 and problem.buffers[n].size]
    victims = [
        (needed, moved)
        for needed in placed
        for moved in placed
        if writes[needed] < writes[moved] <= reads.get(needed, -1)
        and (moved, needed) not in offered
        and plan.offsets[moved] != plan.offsets[needed]
    ]
    if victims:
        needed, moved = data.draw(st.sampled_from(victims))
        offsets = list(plan.offsets)
        offsets[moved] = plan.offsets[needed]
        assert check_plan(problem, replace(plan, offsets=tuple(offsets))) != []


@given(problems(), st.data())
@settings(max_examples=60, deadline=None)
def test_two_steps_that_depend_on_each_other_may_not_be_swapped(problem: Problem, data: st.DataObject) -> None:
    plan = plan_memory(problem)
    edges = [(first, second) for second, needed in enumerate(step_dependencies(problem)) for first in needed]
    if edges:
        swap = data.draw(st.sampled_from(edges))
        renamed = {swap[0]: swap[1], swap[1]: swap[0]}
        order = tuple(renamed.get(index, index) for index in plan.order)
        assert check_plan(problem, replace(plan, order=order)) != []
