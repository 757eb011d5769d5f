"""Which offers to share hold, case by case. Positions and sizes are small enough to check by hand."""

import pytest

from arenaut.planner import BufferInfo, BufferKind, Part, PlanError, Problem, Share, StepUse, plan_memory, resize_plan
from arenaut.planner.problem import step_dependencies
from arenaut.planner.sharing import Member
from arenaut.planner.validate import check_plan

FIXED, ARENA, OUTPUT = BufferKind.FIXED, BufferKind.ARENA, BufferKind.OUTPUT


def sizes(*infos: int | tuple[int, BufferKind]) -> tuple[BufferInfo, ...]:
    return tuple(BufferInfo(i) if isinstance(i, int) else BufferInfo(*i) for i in infos)


def shared(problem: Problem) -> list[tuple[int, int]]:
    """Written and read buffers of the offers that hold in stored order, after checking the plan."""
    plan = plan_memory(problem, effort="fast")
    assert check_plan(problem, plan) == []
    held = [problem.steps[a.step].shares[a.offer] for a in plan.shared]
    return [(share.write, share.read) for share in held]


def test_a_chain_in_place_is_one_class() -> None:
    steps = (StepUse((0,), (1,)), *(StepUse((n,), (n + 1,), (Share(n + 1, n),)) for n in range(1, 5)))
    problem = Problem(steps, sizes((64, FIXED), *[128] * 5))
    assert shared(problem) == [(2, 1), (3, 2), (4, 3), (5, 4)]
    assert plan_memory(problem).arena_bytes == 128


def test_a_buffer_that_is_read_again_is_not_overwritten() -> None:
    steps = (
        StepUse((0,), (1,)),
        StepUse((1,), (2,), (Share(2, 1),)),
        StepUse((1, 2), (3,), (Share(3, 1), Share(3, 2))),
    )
    # Of the two that die at the last step, the longer-lived one is taken, and only one.
    assert shared(Problem(steps, sizes((64, FIXED), 128, 128, 128))) == [(3, 1)]


def test_inputs_and_weights_are_never_overwritten() -> None:
    assert shared(Problem((StepUse((0,), (1,), (Share(1, 0),)),), sizes((64, FIXED), 64))) == []


def test_only_equal_sizes_unless_the_step_bears_any() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1),)))
    assert shared(Problem(steps, sizes((64, FIXED), 256, 128))) == []
    bears = (steps[0], StepUse((1,), (2,), (Share(2, 1, any_size=True),)))
    assert shared(Problem(bears, sizes((64, FIXED), 256, 128))) == [(2, 1)]


def test_a_larger_result_may_not_raise_the_peak_by_reserving_its_bytes_early() -> None:
    # Buffer 1 is small while 2 and 3 are large; were 4 laid over it, its 4096 bytes would be held beside them.
    steps = (
        StepUse((0,), (1,)),
        StepUse((0,), (2,)),
        StepUse((2,), (3,)),
        StepUse((3,), (5,)),
        StepUse((1, 5), (4,), (Share(4, 1, any_size=True),)),
    )
    assert shared(Problem(steps, sizes((64, FIXED), 64, 4096, 4096, 4096, 64))) == []


def concat(*parts: int, extra_reader: bool = False) -> Problem:
    """Each part is made from the input, then all are joined; `extra_reader` reads the first part afterwards."""
    count = len(parts)
    whole = count + 1
    steps = [StepUse((0,), (n,)) for n in range(1, whole)]
    offers = tuple(Share(whole, n, -sum(parts[: n - 1]), keeps=True) for n in range(1, whole))
    steps.append(StepUse(tuple(range(1, whole)), (whole,), offers))
    if extra_reader:
        steps.append(StepUse((1, whole), (whole + 1,)))
    return Problem(tuple(steps), sizes((64, FIXED), *parts, sum(parts), *([64] if extra_reader else [])))


def test_parts_are_produced_inside_the_result() -> None:
    problem = concat(128, 100, 28)
    assert len(shared(problem)) == 3
    plan = plan_memory(problem)
    assert plan.arena_bytes == 256
    (region,) = plan.classes
    assert region.members == (Member(1, 0), Member(2, 128), Member(3, 228), Member(4, 0))


def join(*parts: int, made_first: bool = False) -> Problem:
    """As `concat`, but every part is copied by a step of its own: right after it is made, or when all are made."""
    count = len(parts)
    whole = count + 1
    make = [StepUse((0,), (n,)) for n in range(1, whole)]
    starts = [sum(parts[: n - 1]) for n in range(1, whole)]
    copy = [
        StepUse((n,), (whole,), (Share(whole, n, -start, keeps=True),), parts=(Part(whole, start, parts[n - 1]),))
        for n, start in zip(range(1, whole), starts, strict=True)
    ]
    paired = [step for pair in zip(make, copy, strict=True) for step in pair]
    steps = (*(make + copy if made_first else paired), StepUse((whole,), (whole + 1,)))
    return Problem(steps, sizes((64, FIXED), *parts, sum(parts), 64))


@pytest.mark.parametrize("made_first", [False, True])
def test_copies_of_parts_are_spared(made_first: bool) -> None:
    problem = join(128, 100, 28, made_first=made_first)
    assert shared(problem) == [(4, 1), (4, 2), (4, 3)]
    plan = plan_memory(problem)
    assert plan.arena_bytes == 256 + 64
    assert (plan.offsets[1], plan.offsets[2], plan.offsets[3]) == (0, 128, 228)


def test_a_part_that_lives_on_is_not_shared_with_bytes_that_another_step_writes() -> None:
    base = join(128, 128)
    reads_both = StepUse((1, 3), (4,))
    assert shared(Problem((*base.steps[:4], reads_both), base.buffers)) == [(3, 1), (3, 2)]
    overlapping = base.steps[3]._replace(parts=(Part(3, 64, 192),))
    assert shared(Problem((*base.steps[:3], overlapping, reads_both), base.buffers)) == [(3, 2)]


def test_copies_of_parts_may_run_in_any_order() -> None:
    steps = join(128, 128, made_first=True).steps
    dependencies = step_dependencies(Problem(steps, join(128, 128).buffers))
    assert dependencies == [[], [], [0], [1], [2, 3]]


def test_a_part_may_live_on_beside_the_result() -> None:
    assert len(shared(concat(128, 128, extra_reader=True))) == 2


def test_a_part_that_is_rewritten_later_keeps_its_own_bytes() -> None:
    base = concat(128, 128)
    steps = (*base.steps, StepUse((1,), (1,)), StepUse((1, 3), (4,)))
    assert (3, 1) not in shared(Problem(steps, (*base.buffers, BufferInfo(64))))


def test_the_same_buffer_twice_in_a_result_is_copied_once() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1, 0, True), Share(2, 1, -128, True))))
    assert len(shared(Problem(steps, sizes((64, FIXED), 128, 256)))) == 1


def test_two_parts_for_the_same_place_are_not_merged_both() -> None:
    steps = (
        StepUse((0,), (1,)),
        StepUse((0,), (2,)),
        StepUse((1, 2), (3,), (Share(3, 1, 0, True), Share(3, 2, 0, True))),
    )
    assert len(shared(Problem(steps, sizes((64, FIXED), 128, 128, 128)))) == 1


def test_nested_results_are_one_region() -> None:
    steps = (
        StepUse((0,), (1,)),
        StepUse((1,), (2,)),
        StepUse((1, 2), (3,), (Share(3, 1, 0, True), Share(3, 2, -64, True))),
        StepUse((3,), (4,)),
        StepUse((3, 4), (5,), (Share(5, 3, 0, True), Share(5, 4, -128, True))),
    )
    problem = Problem(steps, sizes((64, FIXED), 64, 64, 128, 64, 192))
    assert len(shared(problem)) == 4
    assert plan_memory(problem).arena_bytes == 192


def test_a_copied_slice_stays_inside_its_source() -> None:
    steps = (
        StepUse((0,), (1,)),
        StepUse((1,), (2, 3), (Share(2, 1, 0, True), Share(3, 1, 64, True))),
        StepUse((2, 3), (4,), (Share(4, 3),)),
    )
    problem = Problem(steps, sizes((64, FIXED), 128, 64, 64, 64))
    assert shared(problem) == [(2, 1), (3, 1), (4, 3)]
    assert plan_memory(problem).arena_bytes == 128


def test_a_result_as_large_as_its_class_but_over_a_part_of_it_widens_the_class() -> None:
    steps = (
        StepUse((0,), (1,)),
        StepUse((1,), (2,), (Share(2, 1, 1, keeps=True),)),
        StepUse((2,), (3,), (Share(3, 2, any_size=True),)),
    )
    plan = plan_memory(Problem(steps, sizes((64, FIXED), 40, 1, 40)))
    (region,) = plan.classes
    assert (region.members, region.size) == ((Member(1, 0), Member(2, 1), Member(3, 1)), 41)


def test_what_an_output_is_made_from_lies_in_the_output() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1),)))
    problem = Problem(steps, sizes((64, FIXED), 256, (256, OUTPUT)))
    assert shared(problem) == [(2, 1)]
    plan = plan_memory(problem)
    assert (plan.arena_bytes, plan.in_output) == (0, {1: (2, 0), 2: (2, 0)})


def test_an_output_is_not_overwritten_and_two_do_not_meet() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1),)), StepUse((1,), (3,), (Share(3, 1, keeps=True),)))
    assert shared(Problem(steps, sizes((64, FIXED), (64, OUTPUT), 64, (64, OUTPUT)))) == []


def test_a_buffer_whose_size_is_known_later_is_not_merged_with_one_placed_before() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1),)))
    assert shared(Problem(steps, (BufferInfo(64, FIXED), BufferInfo(64), BufferInfo(64, ARENA, 0)))) == []


def test_resizing_moves_the_parts_with_their_sizes() -> None:
    small, large = concat(128, 100, 28), concat(1280, 1000, 280)
    plan = resize_plan(plan_memory(small), large)
    assert check_plan(large, plan) == []
    assert plan.arena_bytes == 2560
    assert plan.offsets == (-1, 0, 1280, 2280, 0)


def test_resizing_refuses_what_sticks_out_of_an_output() -> None:
    steps = (StepUse((0,), (1,)), StepUse((1,), (2,), (Share(2, 1, any_size=True),)))
    plan = plan_memory(Problem(steps, sizes((64, FIXED), 256, (256, OUTPUT))))
    with pytest.raises(PlanError, match="output 2"):
        resize_plan(plan, Problem(steps, sizes((64, FIXED), 512, (256, OUTPUT))))


def test_scratch_may_vanish_but_not_appear() -> None:
    def program(scratch: int) -> Problem:
        return Problem((StepUse((0,), (1,), scratch_bytes=scratch),), sizes((64, FIXED), 64))

    vanished = resize_plan(plan_memory(program(100)), program(0))
    assert (vanished.arena_bytes, check_plan(program(0), vanished)) == (64, [])
    with pytest.raises(PlanError, match="step 0 needs scratch"):
        resize_plan(plan_memory(program(0)), program(100))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((StepUse((1,), ()),), "before any step wrote it"),
        ((StepUse((7,), ()),), "there are 3 buffers"),
        ((StepUse((0,), (1,), (Share(1, 2),)),), "does not just read"),
        ((StepUse((0,), (1,), after=(0,)),), "not before it"),
        ((StepUse((0,), (1,), scratch_bytes=-1),), "scratch"),
        ((StepUse((0,), (1, 1)),), "twice"),
        ((StepUse((0,), (1,), parts=(Part(1, 60, 8),)),), "not a part"),
    ],
)
def test_contradictions_are_refused(steps: tuple[StepUse, ...], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Problem(steps, sizes((64, FIXED), 64, 64))
