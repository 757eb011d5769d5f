"""Intermediates and scratch that lie in an output before it is written."""

from arenaut.plain import replace
from arenaut.planner import BufferInfo, BufferKind, Problem, StepUse, plan_memory, resize_plan
from arenaut.planner.validate import Reason, check_plan


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


def with_scratch(problem: Problem, sizes: dict[int, int]) -> Problem:
    """The problem with scratch of these steps."""
    steps = tuple(step._replace(scratch_bytes=sizes.get(i, 0)) for i, step in enumerate(problem.steps))
    return Problem(steps, problem.buffers)


def test_scratch_lies_in_an_output_that_is_not_written_yet() -> None:
    problem = with_scratch(chain([1024, 256, 256], 4096), {1: 2048, 3: 128})
    plan = plan_memory(problem)
    assert check_plan(problem, plan) == []
    assert set(plan.scratch_in_output) == {1} and plan.scratch_in_output[1][0] == 4
    # What the last step reads, and its own scratch, are live while it writes the output.
    assert plan.arena_bytes == plan.lower_bound_bytes == 256 + 128


def test_scratch_leaves_room_for_an_output_that_starts_anywhere() -> None:
    problem = with_scratch(chain([64, 64], 1024), {0: 1024})
    plan = plan_memory(problem)
    assert check_plan(problem, plan) == []
    assert plan.scratch_in_output == {} and plan.arena_bytes == 1024


def test_scratch_goes_back_to_the_arena_where_the_output_is_small() -> None:
    sizes = {1: 2048}
    plan = plan_memory(with_scratch(chain([1024, 256, 256], 4096), sizes))
    assert set(plan.scratch_in_output) == {1}
    tiny = with_scratch(chain([1024, 256, 256], 512), sizes)
    resized = resize_plan(plan, tiny)
    assert check_plan(tiny, resized) == []
    assert resized.scratch_in_output == {} and resized.scratch_offsets[1] >= 0
    again = resize_plan(resized, with_scratch(chain([1024, 256, 256], 4096), sizes))
    assert set(again.scratch_in_output) == {1}


def test_the_validator_sees_scratch_on_what_lives_in_the_output() -> None:
    problem = with_scratch(chain([1024, 256, 256], 4096), {1: 2048})
    plan = plan_memory(problem)
    output, start = plan.in_output[1]
    wrong = replace(plan, scratch_in_output={1: (output, start - 1024)})
    assert {v.reason for v in check_plan(problem, wrong)} >= {Reason.OVERLAP}
    outside = replace(plan, scratch_in_output={1: (4, 4096 - 2048)})
    assert {v.reason for v in check_plan(problem, outside)} == {Reason.OUT_OF_REGION}
