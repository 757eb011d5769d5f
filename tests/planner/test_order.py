"""Orders: legal, never worse than the stored one, and optimal on small problems without sharing."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from arenaut.planner import BufferInfo, BufferKind, Problem, StepUse, aligned, plan_memory
from arenaut.planner.order import GREEDY, ORDERS, choose_order, evaluate_order
from arenaut.planner.order_search import OrderSearch
from arenaut.planner.problem import step_dependencies
from arenaut.planner.validate import check_order

FIXED = BufferInfo(64, BufferKind.FIXED)


@st.composite
def networks(draw: st.DrawFn, max_steps: int = 7) -> Problem:
    """Each step reads earlier values and writes one; nothing is shared."""
    buffers, steps = [FIXED], []
    for _ in range(draw(st.integers(1, max_steps))):
        reads = draw(st.sets(st.integers(0, len(buffers) - 1), min_size=1, max_size=3))
        steps.append(StepUse(tuple(sorted(reads)), (len(buffers),), scratch_bytes=draw(st.sampled_from((0, 0, 100)))))
        buffers.append(BufferInfo(draw(st.sampled_from((1, 64, 128, 320, 640)))))
    return Problem(tuple(steps), tuple(buffers))


def all_orders(dependencies: list[list[int]], done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if len(done) == len(dependencies):
        yield done
    for index, needed in enumerate(dependencies):
        if index not in done and all(earlier in done for earlier in needed):
            yield from all_orders(dependencies, (*done, index))


def peak(problem: Problem, order: tuple[int, ...]) -> int:
    """Maximum of live bytes, straight from the definition."""
    used = {
        b: [at for at, i in enumerate(order) if b in (*problem.steps[i].reads, *problem.steps[i].writes)]
        for b in range(1, len(problem.buffers))
    }
    best = 0
    for at, index in enumerate(order):
        live = [b for b, uses in used.items() if uses and uses[0] <= at <= uses[-1]]
        live_bytes = sum(aligned(problem.buffers[b].size) for b in live)
        best = max(best, live_bytes + aligned(problem.steps[index].scratch_bytes))
    return best


@given(networks())
@settings(max_examples=80, deadline=None)
def test_the_search_finds_the_best_of_all_orders(problem: Problem) -> None:
    dependencies = step_dependencies(problem)
    best = min(peak(problem, order) for order in all_orders(dependencies))
    choice = choose_order(problem, GREEDY, states=10**6)
    assert check_order(problem, choice.order) == []
    assert choice.bound_bytes == peak(problem, choice.order) == best
    assert OrderSearch(problem, dependencies).within(best - 64, 10**6)[0] is None


@given(networks(max_steps=12), st.sampled_from(tuple(ORDERS)))
@settings(max_examples=60, deadline=None)
def test_the_choice_is_never_worse_than_its_candidates(problem: Problem, name: str) -> None:
    order = ORDERS[name](problem, step_dependencies(problem))
    assert check_order(problem, order) == []
    candidate = evaluate_order(problem, order, name)
    assert candidate.bound_bytes == peak(problem, tuple(order))
    assert choose_order(problem, (name,)).bound_bytes <= candidate.bound_bytes


def test_the_stored_order_wins_a_tie() -> None:
    steps = (StepUse((0,), (1,)), StepUse((0,), (2,)), StepUse((1, 2), (3,)))
    problem = Problem(steps, (FIXED, *[BufferInfo(64)] * 3))
    assert plan_memory(problem).order_name == "stored"


def test_a_branch_is_finished_before_the_next_is_begun() -> None:
    # Four branches: widen to 1024 bytes, then reduce to 64. As stored, all are widened first.
    widen = [StepUse((0,), (n,)) for n in range(1, 5)]
    reduce = [StepUse((n,), (n + 4,)) for n in range(1, 5)]
    steps = (*widen, *reduce, StepUse((5, 6, 7, 8), (9,)))
    problem = Problem(steps, (FIXED, *[BufferInfo(1024)] * 4, *[BufferInfo(64)] * 5))
    assert evaluate_order(problem, range(9), "stored").bound_bytes == 4096 + 64
    assert choose_order(problem, GREEDY).bound_bytes == 1024 + 4 * 64


def test_kahn_takes_what_frees_most_first() -> None:
    """Two large values, each with a small one made of it: the first is reduced before the second is made."""
    large, small = BufferInfo(640), BufferInfo(64)
    steps = [StepUse((0,), (1,)), StepUse((0,), (2,)), StepUse((1,), (3,)), StepUse((2,), (4,)), StepUse((3, 4), (5,))]
    problem = Problem(tuple(steps), (FIXED, large, large, small, small, small))
    assert list(ORDERS["kahn"](problem, step_dependencies(problem))) == [0, 2, 1, 3, 4]
    choice = choose_order(problem, ("kahn",))
    assert choice.name == "kahn" and choice.bound_bytes < evaluate_order(problem, range(5), "stored").bound_bytes
