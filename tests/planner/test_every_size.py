"""A plan made at typical sizes holds at every size: dependencies and sharing rest on forms, not on numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
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
    plan_memory,
    resize_plan,
)
from arenaut.planner.forms import Form, constant, never_above, plus, proved_order
from arenaut.planner.problem import step_dependencies
from arenaut.planner.validate import check_order, check_plan

N, M, REST, SIGNED = 1, 2, 3, -4  # REST: of n beyond 100; SIGNED: n - 50, of which the planner knows nothing
TYPICAL = (64, 64)
SIZES = (TYPICAL, (0, 0), (1, 64), (64, 1), (0, 9), (9, 0), (128, 1), (101, 300), (300, 101))


def value(form: Form, sizes: tuple[int, int]) -> int:
    n, m = sizes
    quantities = {0: 1, N: n, M: m, REST: max(0, n - 100), SIGNED: n - 50}
    return sum(coefficient * quantities[quantity] for quantity, coefficient in form)


@dataclass
class Program:
    """A problem for every size: `steps` and `buffers` make theirs."""

    buffers: list[tuple[Form, BufferKind]] = field(default_factory=list)
    steps: list[Callable[[tuple[int, int]], StepUse]] = field(default_factory=list)

    def buffer(self, size: Form, kind: BufferKind = BufferKind.ARENA) -> int:
        self.buffers.append((size, kind))
        return len(self.buffers) - 1

    def step(self, reads: Sequence[int], writes: Sequence[int], in_place: Sequence[int] = ()) -> None:
        shares = tuple(Share(writes[0], read) for read in in_place)
        self.steps.append(lambda sizes: StepUse(tuple(reads), tuple(writes), shares))

    def part(self, read: int, write: int, start: Form, size: Form, shared: bool = True) -> None:
        """A copy of `read` to a part of `write`."""

        def made(sizes: tuple[int, int]) -> StepUse:
            offset = plus((), start, -1)
            offer = (Share(write, read, value(offset, sizes), keeps=True, form=offset),) if shared else ()
            part = Part(write, value(start, sizes), value(size, sizes), (start, size))
            return StepUse((read,), (write,), offer, parts=(part,))

        self.steps.append(made)

    def at(self, sizes: tuple[int, int]) -> Problem:
        buffers = tuple(BufferInfo(value(form, sizes), kind, form=form) for form, kind in self.buffers)
        return Problem(tuple(made(sizes) for made in self.steps), buffers)


FORMS: tuple[Form, ...] = (
    constant(64), ((N, 4),), ((M, 4),), ((N, 1),), ((0, 64), (N, 2)), ((0, 64), (M, 1)), ((REST, 4),),
)  # fmt: skip


@st.composite
def programs(draw: st.DrawFn) -> Program:
    program = Program()
    source = program.buffer(constant(64), BufferKind.FIXED)
    made: list[int] = []
    for _ in range(draw(st.integers(2, 12))):
        read = draw(st.sampled_from(made)) if made and draw(st.integers(0, 3)) else source
        kind = draw(st.sampled_from((BufferKind.ARENA,) * 5 + (BufferKind.OUTPUT,)))
        what = draw(st.sampled_from(("plain", "in place", "update", "join", "join", "join")))
        parts = draw(st.lists(st.sampled_from(made), min_size=1, max_size=4)) if made else []
        if what == "join" and parts:
            starts = [()]
            for each in parts:
                starts.append(plus(starts[-1], program.buffers[each][0]))
            new = program.buffer(starts[-1], kind)
            for each, start in zip(parts, starts, strict=False):
                program.part(each, new, start, program.buffers[each][0])
        elif what == "update" and made:
            new = draw(st.sampled_from(made))
            program.step((read,) if read != new else (), (new,))
            continue
        elif what == "in place" and made and read != source:
            new = program.buffer(program.buffers[read][0], kind)
            program.step((read,), (new,), (read,))
        else:
            new = program.buffer(draw(st.sampled_from(FORMS)), kind)
            program.step((read,), (new,))
        made.append(new)
    return program


@given(programs(), st.sampled_from(("fast", "default")))
@settings(max_examples=300, deadline=None)
def test_a_plan_holds_for_sizes_it_was_not_made_for(program: Program, effort: Effort) -> None:
    plan = plan_memory(program.at(TYPICAL), effort=effort)
    for sizes in SIZES:
        problem = program.at(sizes)
        assert check_order(problem, plan.order) == []
        assert check_plan(problem, resize_plan(plan, problem)) == []


def test_a_write_of_nothing_at_typical_sizes_stays_before_the_next() -> None:
    """A copy fills y, a scatter then changes some of it: y has no bytes where n is 64, and has some where n is 128."""
    program = Program()
    x = program.buffer(constant(64), BufferKind.FIXED)
    y = program.buffer(((REST, 4),), BufferKind.OUTPUT)
    program.part(x, y, (), ((REST, 4),), shared=False)
    program.step((x,), (y,))
    assert step_dependencies(program.at(TYPICAL)) == [[], [0]]


def test_parts_that_meet_at_some_size_stay_in_order() -> None:
    """Two parts lie apart where n is 64; where it is 16 the second begins within the first."""
    program = Program()
    x = program.buffer(constant(64), BufferKind.FIXED)
    y = program.buffer(((0, 64), (N, 8)), BufferKind.OUTPUT)
    program.part(x, y, (), constant(64), shared=False)
    program.part(x, y, ((N, 2),), constant(64), shared=False)
    assert step_dependencies(program.at(TYPICAL)) == [[], [0]]


def test_parts_of_a_concat_run_in_any_order() -> None:
    """Where one part ends the next begins, whatever its size, even one of a quantity that might be negative."""
    program = Program()
    x = program.buffer(constant(64), BufferKind.FIXED)
    y = program.buffer(((0, 64), (N, 4), (SIGNED, 4)), BufferKind.OUTPUT)
    program.part(x, y, (), ((N, 4),), shared=False)
    program.part(x, y, ((N, 4),), ((SIGNED, 4),), shared=False)
    program.part(x, y, ((N, 4), (SIGNED, 4))[::-1], constant(64), shared=False)
    assert step_dependencies(program.at(TYPICAL)) == [[], [], []]


@pytest.mark.parametrize(("other", "shared"), [(((N, 4),), True), (((0, 64), (M, 2)), False)])
def test_a_part_shares_with_two_results_only_where_their_ends_keep_order(other: Form, shared: bool) -> None:
    """a lies first in [a, b], then in [a, c]: only where b and c are alike is it known which result ends first."""
    program = Program()
    x = program.buffer(constant(64), BufferKind.FIXED)
    a, b, c = (program.buffer(size) for size in (constant(64), ((N, 4),), other))
    first, second = (program.buffer(plus(constant(64), size)) for size in (((N, 4),), other))
    for part, whole in ((b, first), (c, second)):
        if whole == first:
            program.step((x,), (a,))
        program.step((x,), (part,))
        program.part(a, whole, (), constant(64))
        program.part(part, whole, constant(64), program.buffers[part][0])
        program.step((whole,), (program.buffer(constant(64)),))
    program.steps.append(lambda sizes: StepUse((x,), (x,), scratch_bytes=4096))  # so that no merge raises the peak
    problem = program.at(TYPICAL)
    plan = plan_memory(problem, effort="fast")
    shares = [problem.steps[each.step].shares[each.offer] for each in plan.shared]
    assert ((second, a) in {(share.write, share.read) for share in shares}) is shared
    assert {share.write for share in shares} == {first, second}


def test_what_is_proved_of_forms() -> None:
    assert never_above(((N, 4),), ((0, 64), (N, 4)))
    assert never_above((), ((N, 4),))
    assert not never_above(((N, 4),), ((M, 4),))
    assert not never_above((), ((SIGNED, 4),))
    assert plus(((0, 64), (N, 4)), ((N, 2),), -2) == constant(64)
    n, both = ((N, 4),), ((N, 4), (M, 4))
    assert proved_order({both: 512, (): 0, n: 256}, ()) == [(), n, both]
    assert proved_order({both: 0, (): 0, n: 0}, ()) == [(), n, both]
    assert proved_order({n: 256, ((M, 4),): 512}, ()) is None
    assert proved_order({n: 256, ((M, 4),): 512}, {(n, ((M, 4),))}) == [n, ((M, 4),)]
