"""Which steps the asked outputs need."""

from __future__ import annotations

from arenaut.lowering.needed import needed_steps
from tests.support.lowering import lowered


def test_steps_of_other_outputs_are_left_out() -> None:
    program = lowered("t (float[4] x) => (float[4] y, float[4] z) { a = Exp (x)  y = Neg (a)  z = Abs (x) }")
    order = range(len(program.steps))
    assert [program.steps[i].node.op for i in order] == ["Exp", "Neg", "Abs"]
    assert needed_steps(program, order, [0]) == [1, 1, 0]
    assert needed_steps(program, order, [1]) == [0, 0, 1]
    assert needed_steps(program, order, [0, 1]) == [1, 1, 1]


def test_every_step_that_writes_into_what_is_read_is_needed() -> None:
    program = lowered("t (float[4] x) => (float[8] y) { a = Exp (x)  b = Neg (x)  c = Concat <axis = 0> (a, b)"
                      "  y = Abs (c) }")  # fmt: skip
    assert set(needed_steps(program, range(len(program.steps)), [0])) == {1}


def test_a_step_that_decides_sizes_is_always_needed() -> None:
    program = lowered("t (float[n] x) => (int64[1, k] y, float[n] z) { y = NonZero (x)  z = Exp (x) }")
    order = range(len(program.steps))
    kept = [program.steps[i] for i, needed in zip(order, needed_steps(program, order, [1]), strict=True) if needed]
    assert any(step.sets for step in kept) and kept[-1].node.op == "Exp"
    assert "NonZeroFill" not in [step.row.family for step in kept if step.row is not None]
