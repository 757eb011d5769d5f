"""What the planner is told of steps: lifetimes' raw material, offers to share memory, parts."""

from __future__ import annotations

from dataclasses import replace

from arenaut.ir.dims import symbol
from arenaut.lowering.problem import Facts, facts_of, problem_of, setters_of
from arenaut.lowering.program import Lowered, LoweredStep
from arenaut.planner import BufferKind
from tests.support.lowering import lowered


def sharing(body: str) -> Lowered:
    return replace(lowered(body), shares=True)


def offers(program: Lowered, step: LoweredStep, **sizes: int) -> list[tuple[int, int]]:
    return [(share.write, share.read) for share, _ in facts_of(program, step, sizes, Facts()).offers]


def test_a_result_may_lie_where_an_operand_of_its_walk_ends() -> None:
    program = sharing("t (float[8] x) => (float[8] y) { a = Exp (x)  b = Neg (a)  y = Abs (b) }")
    first, second, third = program.steps
    assert offers(program, first) == []  # an input is not overwritten
    assert len(offers(program, second)) == 1
    assert offers(replace(program, shares=False), second) == []
    assert len(offers(program, third)) == 1


def test_an_operand_that_is_walked_otherwise_or_is_smaller_is_not_overwritten() -> None:
    turned = sharing("t (float[4, 4] x) => (float[4, 4] y) { a = Exp (x)  t = Transpose <perm = [1, 0]> (a)"
                     "  b = Neg (t)  y = Abs (b) }")  # fmt: skip
    assert offers(turned, turned.steps[1]) == []
    wider = sharing("t (float[1, 4] x, float[3, 4] z) => (float[3, 4] y) { a = Exp (x)  b = Add (a, z)  y = Abs (b) }")
    assert offers(wider, wider.steps[1]) == []


def test_only_elementwise_steps_overwrite_what_they_read_twice() -> None:
    twice = sharing("t (float[4, 4] x) => (float[4, 4] y) { a = Exp (x)  b = Mul (a, a)  y = Abs (b) }")
    assert len(offers(twice, twice.steps[1])) == 1


def test_a_copy_offers_its_target_as_the_place_to_make_its_source() -> None:
    program = sharing("""t (float[2, 4] x) => (float[2, 8] y)
                         { a = Exp (x)  b = Neg (x)  c = Concat <axis = 1> (a, b)  y = Abs (c) }""")
    copies = [s for s in program.steps if s.row is not None and s.row.family == "Copy"]
    flat = sharing("t (float[4] x) => (float[8] y) { a = Exp (x)  b = Neg (x)  c = Concat <axis = 0> (a, b)"
                   "  y = Abs (c) }")  # fmt: skip
    joined = [s for s in flat.steps if s.row is not None and s.row.family == "Copy"]
    assert [bool(offers(program, s)) for s in copies] == [False, False]  # rows of the whole lie apart
    assert [bool(offers(flat, s)) for s in joined] == [True, True]
    problem, _ = problem_of(flat, {})
    parts = [part for step in problem.steps for part in step.parts]
    assert [(part.start, part.size) for part in parts] == [(0, 16), (16, 16)]


def test_buffers_of_the_caller_are_fixed_and_sizes_follow_symbols() -> None:
    program = lowered("t (float[n, 4] x) => (float[n, 4] y) { a = Exp (x)  y = Neg (a) }")
    problem, _ = problem_of(program, {"n": 3})
    kinds = {info.kind for info in problem.buffers}
    assert kinds == {BufferKind.FIXED, BufferKind.ARENA, BufferKind.OUTPUT}
    assert {info.size for info in problem.buffers} == {3 * 4 * 4}


def test_steps_follow_what_decides_their_sizes() -> None:
    program = lowered("t (float[n] x) => (int64[1, k] y) { z = NonZero (x)  y = Neg (z) }")
    setters = setters_of(program)
    (name,) = setters
    problem, _ = problem_of(program, {"n": 4, name: 2})
    after = [step.after for step in problem.steps]
    assert all(setters[name] in later for later in after[setters[name] + 1 :])
    assert facts_of(program, program.steps[-1], {"n": 4, name: 2}, Facts()).needs == {name}


def test_equal_sizes_have_one_form_and_numbers_none() -> None:
    facts, n = Facts(), symbol("n")
    assert facts.form(4 * n) == facts.form(n * 4) != facts.form(5 * n)
    assert facts.form(7) is None and facts.exact(7) == ((0, 7),) and facts.exact(0) == ()
