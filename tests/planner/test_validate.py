"""The validator must be able to fail: each kind of damage to a sound plan is found, and named."""

from dataclasses import replace

import pytest

from arenaut.planner import BufferInfo, BufferKind, MemoryPlan, Problem, Rect, Share, StepUse, plan_memory
from arenaut.planner.validate import Reason, check_order, check_packing, check_plan

FIXED = BufferInfo(256, BufferKind.FIXED)
SOME = BufferInfo(256)


@pytest.fixture
def problem() -> Problem:
    """x -> a; a -> b; (a, b) -> c over b; c -> d; d -> out, with scratch in the middle."""
    steps = (
        StepUse((0,), (1,)),
        StepUse((1,), (2,), scratch_bytes=100),
        StepUse((1, 2), (3,), (Share(3, 2),)),
        StepUse((3,), (4,)),
        StepUse((4,), (5,)),
    )
    return Problem(steps, (FIXED, SOME, SOME, SOME, SOME, BufferInfo(256, BufferKind.OUTPUT)))


@pytest.fixture
def plan(problem: Problem) -> MemoryPlan:
    plan = plan_memory(problem, effort="fast")
    assert check_plan(problem, plan) == []
    return plan


def moved(plan: MemoryPlan, buffer: int, offset: int) -> MemoryPlan:
    """The plan with one buffer elsewhere, whatever its class and rectangle say."""
    offsets = list(plan.offsets)
    offsets[buffer] = offset
    return replace(plan, offsets=tuple(offsets))


def reasons(problem: Problem, plan: MemoryPlan) -> set[Reason]:
    return {violation.reason for violation in check_plan(problem, plan)}


def test_a_step_that_runs_before_its_input_is_written(problem: Problem, plan: MemoryPlan) -> None:
    assert reasons(problem, replace(plan, order=(0, 2, 1, 3, 4))) == {Reason.ORDER}


def test_a_step_that_is_left_out(problem: Problem, plan: MemoryPlan) -> None:
    assert reasons(problem, replace(plan, order=(0, 1, 2, 3))) == {Reason.ORDER}


def test_a_hidden_dependency_is_held() -> None:
    free = Problem((StepUse((0,), (1,)), StepUse((0,), (2,))), (FIXED, SOME, SOME))
    tied = Problem((free.steps[0], free.steps[1]._replace(after=(0,))), free.buffers)
    assert check_order(free, (1, 0)) == []
    assert [v.reason for v in check_order(tied, (1, 0))] == [Reason.ORDER]


def test_a_size_known_too_late() -> None:
    steps = (StepUse((0,), (1,)), StepUse((0,), (2,)))
    late = Problem(steps, (FIXED, SOME, SOME._replace(known_after=0)))
    assert [v.reason for v in check_order(late, (1, 0))] == [Reason.ORDER]


def test_a_buffer_written_over_while_it_is_needed(problem: Problem, plan: MemoryPlan) -> None:
    # Buffer 1 is read again by step 2, but step 1 writes buffer 2 there and never offered that.
    assert Reason.IN_PLACE in reasons(problem, moved(plan, 2, plan.offsets[1]))
    # Half an overlap with the offered pair is no in-place step either.
    assert Reason.IN_PLACE in reasons(problem, moved(plan, 3, plan.offsets[2] - 64 if plan.offsets[2] else 64))


def test_in_place_over_a_buffer_that_is_read_later() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1),)), StepUse((1, 2), (3,)))
    problem = Problem(steps, (FIXED, SOME, SOME, SOME))
    plan = plan_memory(problem)
    assert plan.shared == () and check_plan(problem, plan) == []
    assert reasons(problem, moved(plan, 2, plan.offsets[1])) == {Reason.STALE}


def test_an_output_written_over_after_its_last_reader() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1, keeps=True),)), StepUse((2,), (3,)))
    problem = Problem(steps, (FIXED, BufferInfo(256, BufferKind.OUTPUT), SOME, SOME))
    plan = plan_memory(problem)
    assert plan.in_output == {1: (1, 0), 2: (1, 0)} and check_plan(problem, plan) == []
    assert reasons(problem, replace(plan, in_output={**plan.in_output, 3: (1, 0)})) == {Reason.STALE, Reason.IN_PLACE}


def test_scratch_on_top_of_an_operand(problem: Problem, plan: MemoryPlan) -> None:
    on_input = (*plan.scratch_offsets[:1], plan.offsets[1], *plan.scratch_offsets[2:])
    assert Reason.OVERLAP in reasons(problem, replace(plan, scratch_offsets=on_input))
    outside = (*plan.scratch_offsets[:1], plan.arena_bytes, *plan.scratch_offsets[2:])
    assert Reason.OUT_OF_REGION in reasons(problem, replace(plan, scratch_offsets=outside))


def test_buffers_outside_the_arena(problem: Problem, plan: MemoryPlan) -> None:
    assert Reason.OUT_OF_REGION in reasons(problem, replace(plan, arena_bytes=plan.arena_bytes - 64))
    assert Reason.OUT_OF_REGION in reasons(problem, moved(plan, 4, plan.arena_bytes))
    assert Reason.NEGATIVE in reasons(problem, moved(plan, 4, -64))
    assert Reason.MISSING in reasons(problem, moved(plan, 4, -1))


@pytest.mark.parametrize(
    ("offsets", "arena", "reason"),
    [
        ((0, 128, 0), 256, None),
        ((0, 64, 0), 256, Reason.OVERLAP),
        ((0, 128, 128), 256, Reason.OVERLAP),
        ((32, 192, 0), 320, Reason.MISALIGNED),
        ((0, 128, 0), 192, Reason.OUT_OF_REGION),
        ((-64, 128, 0), 256, Reason.NEGATIVE),
        ((0, 128), 256, Reason.MISSING),
    ],
)
def test_each_defect_of_a_packing(offsets: tuple[int, ...], arena: int, reason: Reason | None) -> None:
    rects = (Rect(100, 0, 1), Rect(128, 1, 2), Rect(128, 2, 3))
    assert {v.reason for v in check_packing(rects, offsets, arena)} == (set() if reason is None else {reason})
