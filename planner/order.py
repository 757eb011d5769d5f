"""Memory-aware orders of the steps: topological orders that run next what frees most and allocates least.

The three variants differ in how they keep the scores of the ready steps: v1 scores a step once, when it becomes ready;
v2 starts from what it could free at best and scores it when it reaches the top; v3 scores it again whenever it becomes
the only step left that uses a buffer.
"""

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType
from typing import NamedTuple

from arenaut.planner.bound import live_bytes, order_free_bound
from arenaut.planner.lifetimes import buffer_lifetimes, rectangles
from arenaut.planner.problem import BufferKind, Problem, Rect, aligned, step_dependencies
from arenaut.planner.sharing import Sharing, share_buffers

Dependencies = Sequence[Sequence[int]]


class _Ready:
    """What has run, what is ready, and what a ready step would change in live bytes."""

    def __init__(self, problem: Problem, dependencies: Dependencies) -> None:
        self.steps = problem.steps
        self.sizes = [aligned(b.size) if b.kind is BufferKind.ARENA else 0 for b in problem.buffers]
        self.written = [False] * len(self.sizes)
        self.touched = [tuple({*step.reads, *step.writes}) for step in problem.steps]
        self.uses = [0] * len(self.sizes)  # steps yet to run that touch the buffer, and the sum of their numbers
        self.users = [0] * len(self.sizes)
        for index, touched in enumerate(self.touched):
            for number in touched:
                self.uses[number] += 1
                self.users[number] += index
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

    def best_net_bytes(self, index: int) -> int:
        """Lower bound of `net_bytes`: the step as the last user of all it touches."""
        sizes = self.sizes
        total = sum([sizes[number] for number in self.steps[index].writes])
        return total - sum([sizes[number] for number in self.touched[index]])

    def first(self) -> list[int]:
        return [index for index, count in enumerate(self.missing) if count == 0]

    def run(self, index: int) -> tuple[list[int], list[int]]:
        """Marks the step as run. Returns the steps that became ready, and the ready ones that became sole users."""
        for number in self.steps[index].writes:
            self.written[number] = True
        ready = []
        for follower in self.followers[index]:
            self.missing[follower] -= 1
            if self.missing[follower] == 0:
                ready.append(follower)
        sole = []
        for number in self.touched[index]:
            self.uses[number] -= 1
            self.users[number] -= index
            if self.uses[number] == 1 and self.sizes[number] and self.missing[self.users[number]] == 0:
                sole.append(self.users[number])
        return ready, sole


def stored_order(problem: Problem, dependencies: Dependencies) -> list[int]:
    """The steps as they come."""
    return list(range(len(problem.steps)))


def kahn_order(problem: Problem, dependencies: Dependencies) -> list[int]:
    """v1: the ready step with the smallest net bytes, as scored when it became ready."""
    state = _Ready(problem, dependencies)
    heap: list[tuple[int, int]] = []
    for index in state.first():
        heappush(heap, (state.net_bytes(index), index))
    order = []
    while heap:
        _, index = heappop(heap)
        order.append(index)
        for follower in state.run(index)[0]:
            heappush(heap, (state.net_bytes(follower), follower))
    return order


def lazy_order(problem: Problem, dependencies: Dependencies) -> list[int]:
    """v2: enters steps by their best score; the top one goes back once if its true score is no longer the smallest."""
    state = _Ready(problem, dependencies)
    heap: list[tuple[int, int]] = []
    for index in state.first():
        heappush(heap, (state.best_net_bytes(index), index))
    order = []
    while heap:
        score, index = heappop(heap)
        now = state.net_bytes(index)
        if now > score and heap and heap[0] < (now, index):
            heappush(heap, (now, index))
            continue
        order.append(index)
        for follower in state.run(index)[0]:
            heappush(heap, (state.best_net_bytes(follower), follower))
    return order


def event_order(problem: Problem, dependencies: Dependencies) -> list[int]:
    """v3: the ready step with the smallest net bytes, kept exact by entering a step again when its score falls."""
    state = _Ready(problem, dependencies)
    heap: list[tuple[int, int]] = []
    done = [False] * len(problem.steps)
    for index in state.first():
        heappush(heap, (state.net_bytes(index), index))
    order = []
    while heap:
        _, index = heappop(heap)
        if done[index]:
            continue
        done[index] = True
        order.append(index)
        ready, sole = state.run(index)
        for follower in {*ready, *sole}:
            heappush(heap, (state.net_bytes(follower), follower))
    return order


ORDERS: Mapping[str, Callable[[Problem, Dependencies], list[int]]] = MappingProxyType(
    {"stored": stored_order, "kahn": kahn_order, "lazy": lazy_order, "event": event_order}
)


class OrderChoice(NamedTuple):
    """An order with what follows from it: `bound_bytes` is the maximum of live bytes of its rectangles."""

    order: tuple[int, ...]
    name: str
    bound_bytes: int
    sharing: Sharing
    rects: tuple[Rect, ...]


def evaluate_order(problem: Problem, order: Sequence[int], name: str, floor_bytes: int) -> OrderChoice:
    """Shares buffers along `order` and measures it."""
    sharing = share_buffers(problem, order, buffer_lifetimes(problem, order), floor_bytes)
    rects = tuple(rectangles(problem, order, sharing.classes))
    bound = max(live_bytes(rects, len(order)), default=0)
    return OrderChoice(tuple(order), name, bound, sharing, rects)


def choose_order(problem: Problem, names: Sequence[str] = tuple(ORDERS)) -> OrderChoice:
    """The order with the smallest bound; the stored order, then the earlier name, where they tie."""
    dependencies = step_dependencies(problem)
    floor = order_free_bound(problem)
    best: OrderChoice | None = None
    tried: set[tuple[int, ...]] = set()
    for name in names:
        order = tuple(ORDERS[name](problem, dependencies))
        if order in tried:
            continue
        tried.add(order)
        choice = evaluate_order(problem, order, name, floor)
        if best is None or choice.bound_bytes < best.bound_bytes:
            best = choice
        if best.bound_bytes <= floor:
            break
    assert best is not None, "names is never empty"
    return best
