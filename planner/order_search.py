"""Search for an order whose live bytes stay within a capacity.

Depth first over the sets of steps that have run. A step that fits and leaves no more bytes live than before is run at
once: every order that runs it later stays possible. So only steps that raise the live bytes are choices, and most
networks have few of them at a time. In-place results are modelled by crediting a step with what it may overwrite; what
an order really needs is measured by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arenaut.planner.problem import BufferKind, Problem, StepUse, aligned


class _Overlay(NamedTuple):
    """A result of `size` bytes that may lie over one of `reads` that dies, or over all of them if it keeps them."""

    size: int
    reads: tuple[int, ...]
    keeps: bool


class OrderSearch:
    """The steps of one problem, prepared for any number of searches."""

    def __init__(self, problem: Problem, dependencies: Sequence[Sequence[int]]) -> None:
        self.count = len(problem.steps)
        self.sizes = [aligned(b.size) if b.kind is BufferKind.ARENA else 0 for b in problem.buffers]
        self.scratch = [aligned(step.scratch_bytes) for step in problem.steps]
        sizes = self.sizes
        self.touched = [tuple([b for b in {*s.reads, *s.writes} if sizes[b]]) for s in problem.steps]
        self.users = [0] * len(sizes)
        for touched in self.touched:
            for number in touched:
                self.users[number] += 1
        writers = [0] * len(sizes)
        for step in problem.steps:
            for number in step.writes:
                writers[number] += 1
        # Bytes that only the step writes, and the buffers that others write, too.
        self.born = [sum([sizes[b] for b in step.writes if writers[b] == 1]) for step in problem.steps]
        self.joint = [[b for b in step.writes if writers[b] > 1 and sizes[b]] for step in problem.steps]
        self.overlays = [self._overlays(problem, step) if step.shares else [] for step in problem.steps]
        self.waits_for = [len(needed) for needed in dependencies]
        self.followers: list[list[int]] = [[] for _ in problem.steps]
        for index, needed in enumerate(dependencies):
            for earlier in needed:
                self.followers[earlier].append(index)

    def _overlays(self, problem: Problem, step: StepUse) -> list[_Overlay]:
        result = []
        for number in dict.fromkeys(share.write for share in step.shares if self.sizes[share.write]):
            shares = [s for s in step.shares if s.write == number and self.sizes[s.read]]
            keeping = tuple(s.read for s in shares if s.keeps)
            same = problem.buffers[number].size
            destroying = (s.read for s in shares if s.any_size or problem.buffers[s.read].size == same)
            result.append(_Overlay(self.sizes[number], keeping or tuple(destroying), bool(keeping)))
        return result

    def within(self, capacity: int, states: int) -> tuple[list[int] | None, int]:
        """An order whose live bytes stay within `capacity`, or None if so many states show none; and states visited."""
        start = _State(self)
        start.run_free_steps(capacity)
        stack = [start]
        seen: set[int] = set()
        visited = 0
        while stack and visited < states:
            state = stack.pop()
            if len(state.ready) == 0:
                return state.order(), visited
            if state.ran in seen:
                continue
            seen.add(state.ran)
            children = []
            for index in sorted(state.ready, reverse=True):
                if state.bytes + state.cost(index)[0] <= capacity:
                    child = _State(self, state)
                    child.run(index)
                    child.run_free_steps(capacity)
                    children.append(child)
            visited += len(children)
            # On top of the stack: the one that leaves least live; among equals the earlier step.
            children.sort(key=lambda child: -child.bytes)
            stack += [child for child in children if child.ran not in seen]
        return None, visited


class _State:
    """A set of steps that have run, as a bit mask, and what follows from it."""

    __slots__ = ("bytes", "parent", "ran", "ready", "search", "steps", "users", "waits_for")

    def __init__(self, search: OrderSearch, parent: _State | None = None) -> None:
        self.search = search
        self.parent = parent
        self.steps: list[int] = []  # run since the parent
        self.ran: int = parent.ran if parent else 0
        self.bytes: int = parent.bytes if parent else 0
        self.users: dict[int, int] = dict(parent.users) if parent else {}  # steps left, of buffers that are live
        self.waits_for: dict[int, int] = dict(parent.waits_for) if parent else {}  # of steps that wait for less by now
        roots = (index for index, waits in enumerate(search.waits_for) if not waits)
        self.ready: set[int] = set(parent.ready if parent else roots)

    def cost(self, index: int) -> tuple[int, int]:
        """(bytes the step needs beyond those live now, live bytes after it minus now)."""
        search, users = self.search, self.users
        born = search.born[index] + sum([search.sizes[number] for number in search.joint[index] if number not in users])
        freed = 0
        for number in search.touched[index]:
            if users.get(number, search.users[number]) == 1:
                freed += search.sizes[number]
        rise = born + search.scratch[index]
        for overlay in search.overlays[index]:
            dying = [search.sizes[number] for number in overlay.reads if users.get(number) == 1]
            if dying:
                rise -= min(overlay.size, sum(dying) if overlay.keeps else dying[0])
        return rise, born - freed

    def run(self, index: int) -> None:
        search = self.search
        self.bytes += self.cost(index)[1]
        self.steps.append(index)
        self.ran |= 1 << index
        self.ready.discard(index)
        for number in search.touched[index]:
            left = self.users.get(number, search.users[number]) - 1
            if left:
                self.users[number] = left
            else:
                self.users.pop(number, None)
        for follower in search.followers[index]:
            waits = self.waits_for.get(follower, search.waits_for[follower]) - 1
            if waits:
                self.waits_for[follower] = waits
            else:
                self.waits_for.pop(follower, None)
                self.ready.add(follower)

    def run_free_steps(self, capacity: int) -> None:
        """Runs whatever fits and does not raise the live bytes, in stored order, until nothing of the kind is ready."""
        running = True
        while running:
            running = False
            for index in sorted(self.ready):
                rise, net = self.cost(index)
                if net <= 0 and self.bytes + rise <= capacity:
                    self.run(index)
                    running = True
                    break

    def order(self) -> list[int]:
        """All steps run since the beginning."""
        parts = []
        state: _State | None = self
        while state is not None:
            parts.append(state.steps)
            state = state.parent
        return [index for part in reversed(parts) for index in part]
