"""Intermediates that lie in an output before it is written."""

from arenaut.planner import BufferInfo, BufferKind, Problem, StepUse, plan_memory, resize_plan
from arenaut.planner.validate import check_plan


def chain(sizes: list[int], output: int) -> Problem:
    """input -> sizes[0] -> sizes[1] ... -> output, without offers to share."""
    buffers = [BufferInfo(64, BufferKind.FIXED), *map(BufferInfo, sizes), BufferInfo(output, BufferKind.OUTPUT)]
    return Problem(tuple(StepUse((i,), (i + 1,)) for i in range(len(sizes) + 1)), tuple(buffers))


def test_a_large_output_takes_everything_in() -> None:
    problem = chain([1024, 512, 1024, 256], 4096)
    plan = plan_memory(problem)
    assert check_plan(problem, plan) == []
    # What the last step reads is live while it writes: that stays in the arena.
    assert plan.arena_bytes == plan.lower_bound_bytes == 256
    assert sorted(guest.number for guest in plan.guests) == [0, 1, 2]
    assert {plan.in_output[buffer][0] for buffer in (1, 2, 3)} == {5}


def test_a_small_output_takes_what_lowers_the_peak() -> None:
    problem = chain([1024, 512, 2048, 256], 512)
    plan = plan_memory(problem)
    assert check_plan(problem, plan) == []
    assert plan.in_output[2] == (5, 0)
    assert plan.arena_bytes == 2048 + 256


def test_what_lives_while_the_output_is_written_stays_outside() -> None:
    buffers = (BufferInfo(64, BufferKind.FIXED), BufferInfo(512), BufferInfo(1024, BufferKind.OUTPUT), BufferInfo(512))
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,)), StepUse((1, 2), (3,)), StepUse((3,), ()))
    problem = Problem(steps, buffers)
    plan = plan_memory(problem)
    assert check_plan(problem, plan) == []
    assert plan.guests == () and plan.arena_bytes == 1024


def test_other_sizes_place_in_the_output_what_still_fits() -> None:
    plan = plan_memory(chain([1024, 512, 1024, 256], 4096))
    smaller = chain([1024, 512, 1024, 256], 1536)
    resized = resize_plan(plan, smaller)
    assert check_plan(smaller, resized) == []
    tiny = chain([1024, 512, 1024, 256], 64)
    resized = resize_plan(plan, tiny)
    assert check_plan(tiny, resized) == []
    assert all(buffer not in resized.in_output for buffer in (1, 2, 3))


def test_fast_plans_leave_outputs_alone() -> None:
    assert plan_memory(chain([1024, 512], 4096), effort="fast").guests == ()
