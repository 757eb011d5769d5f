"""Memory-aware orders of the steps: topological orders that run next what frees most and allocates least."""

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType
from typing import NamedTuple

from arenaut.planner.bound import bound_with_outputs, working_sets
from arenaut.planner.lifetimes import buffer_lifetimes, rectangles, steps_with_scratch
from arenaut.planner.order_search import OrderSearch
from arenaut.planner.problem import ALIGNMENT, BufferKind, Problem, Rect, aligned, step_dependencies
from arenaut.planner.sharing import SharedOrder, Sharer, Sharing

Dependencies = Sequence[Sequence[int]]


class _Ready:
    """What has run, what is ready, and what a ready step would change in live bytes."""

    def __init__(self, problem: Problem, dependencies: Dependencies) -> None:
        self.steps = problem.steps
        self.sizes = [aligned(b.size) if b.kind is BufferKind.ARENA else 0 for b in problem.buffers]
        self.written = [False] * len(self.sizes)
        self.touched = [tuple({*step.reads, *step.writes}) for step in problem.steps]
        self.uses = [0] * len(self.sizes)  # steps yet to run that touch the buffer
        for touched in self.touched:
            for number in touched:
                self.uses[number] += 1
        self.missing = [len(needed) for needed in dependencies]
        self.followers: list[list[int]] = [[] for _ in problem.steps]
        for index, needed in enumerate(dependencies):
            for earlier in needed:
                self.followers[earlier].append(index)

    def net_bytes(self, index: int) -> int:
        """Live bytes after the step minus those before it."""
        sizes, uses = self.sizes, self.uses
        total = sum([sizes[number] for number in self.steps[index].writes if not self.written[number]])
        return total - sum([sizes[number] for number in self.touched[index] if uses[number] == 1])

    def first(self) -> list[int]:
        return [index for index, count in enumerate(self.missing) if count == 0]

    def run(self, index: int) -> list[int]:
        """Marks the step as run. Returns the steps that became ready."""
        for number in self.steps[index].writes:
            self.written[number] = True
        ready = []
        for follower in self.followers[index]:
            self.missing[follower] -= 1
            if self.missing[follower] == 0:
                ready.append(follower)
        for number in self.touched[index]:
            self.uses[number] -= 1
        return ready


def stored_order(problem: Problem, dependencies: Dependencies) -> list[int]:
    """The steps as they come."""
    return list(range(len(problem.steps)))


def kahn_order(problem: Problem, dependencies: Dependencies) -> list[int]:
    """The ready step with the smallest net bytes, as scored when it became ready."""
    state = _Ready(problem, dependencies)
    heap: list[tuple[int, int]] = []
    for index in state.first():
        heappush(heap, (state.net_bytes(index), index))
    order = []
    while heap:
        _, index = heappop(heap)
        order.append(index)
        for follower in state.run(index):
            heappush(heap, (state.net_bytes(follower), follower))
    return order


ORDERS: Mapping[str, Callable[[Problem, Dependencies], list[int]]] = MappingProxyType(
    {"stored": stored_order, "kahn": kahn_order}
)


GREEDY = ("kahn",)
"""The orders that `choose_order` compares with the stored one unless it is told otherwise."""


PATIENCE = 250
"""States after which the search for an order gives up on one capacity."""


class OrderChoice(NamedTuple):
    """An order with what follows from it: `bound_bytes` is the maximum of live bytes of its rectangles."""

    order: tuple[int, ...]
    name: str
    bound_bytes: int
    order_free_bound_bytes: int
    sharing: Sharing
    rects: tuple[Rect, ...]


def choose_order(problem: Problem, names: Sequence[str] = GREEDY, states: int = 0) -> OrderChoice:
    """The order with the smallest bound: the stored one, a named one, or one found by a search of so many states.

    Where bounds tie, the stored order wins, then the earlier name.
    """
    dependencies = step_dependencies(problem)
    contest = _Contest(problem, dependencies)
    contest.enter(stored_order(problem, dependencies), "stored")
    for name in names:
        if contest.peak > contest.floor:
            contest.enter(ORDERS[name](problem, dependencies), name)
    if contest.peak > contest.floor and states:
        _search(contest, OrderSearch(problem, dependencies), states)
    return contest.result()


class _Contest:
    """Measures orders of one problem and keeps the best."""

    def __init__(self, problem: Problem, dependencies: Dependencies) -> None:
        self.problem = problem
        self.dependencies = dependencies
        self.working_sets = working_sets(problem)
        self.floor = max(map(sum, self.working_sets), default=0)
        self.sharer = Sharer(problem)
        self.best: SharedOrder | None = None
        self.name = ""
        self.peak = 0

    def enter(self, order: Sequence[int], name: str) -> bool:
        """Whether `order` is better than all before it."""
        shared = self.sharer.along(order, buffer_lifetimes(self.problem, order), self.floor)
        if self.best is not None and shared.peak_bytes >= self.peak:
            return False
        self.best, self.name, self.peak = shared, name, shared.peak_bytes
        return True

    def result(self) -> OrderChoice:
        assert self.best is not None, "the stored order is always entered"
        order, best = self.best.order, self.best
        if any(share.keeps for step in self.problem.steps for share in step.shares):
            # Once more, with the peak as the floor: away from the peak, more results may spare their copies.
            again = self.sharer.along(order, buffer_lifetimes(self.problem, order), self.peak)
            best = again if again.peak_bytes <= self.peak else best
        sharing = best.sharing()
        rects = tuple(rectangles(self.problem, order, sharing.classes, steps_with_scratch(self.problem, order)))
        free = bound_with_outputs(self.problem, self.working_sets, self.dependencies)
        return OrderChoice(tuple(order), self.name, self.peak, free, sharing, rects)


def _search(contest: _Contest, search: OrderSearch, states: int) -> None:
    """Halves the gap between the floor and the best bound, trying the floor first, down to half a percent."""
    failed, capacity = contest.floor - ALIGNMENT, contest.floor
    while states > 0 and contest.peak - failed > max(ALIGNMENT, contest.peak // 200):
        order, visited = search.within(capacity, min(PATIENCE, states))
        states -= max(visited, 1)
        if order is None or not contest.enter(order, "search"):
            failed = capacity
        capacity = (failed + contest.peak) // 2


def evaluate_order(problem: Problem, order: Sequence[int], name: str) -> OrderChoice:
    """What follows from one order."""
    contest = _Contest(problem, step_dependencies(problem))
    contest.enter(order, name)
    return contest.result()
