"""Which steps the asked outputs need."""

from __future__ import annotations

from collections.abc import Collection

from arenaut.lowering.build import build_program
from arenaut.lowering.needed import needed_steps
from arenaut.lowering.outline import Outline
from tests.support.lowering import TARGET, NoHost, lowered


def outline(body: str) -> Outline:
    return build_program(lowered(body), TARGET, NoHost).outline


def needed_ops(program: Outline, outputs: Collection[int]) -> set[str]:
    return {s.op for s, needed in zip(program.steps, needed_steps(program, outputs), strict=True) if needed}


def test_steps_of_other_outputs_are_left_out() -> None:
    program = outline("t (float[4] x) => (float[4] y, float[4] z) { a = Exp (x)  y = Neg (a)  z = Abs (x) }")
    assert needed_ops(program, [0]) == {"Exp", "Neg"}
    assert needed_ops(program, [1]) == {"Abs"}
    assert needed_ops(program, [0, 1]) == {"Exp", "Neg", "Abs"}


def test_every_step_that_writes_into_what_is_read_is_needed() -> None:
    program = outline("t (float[4] x) => (float[8] y) { a = Exp (x)  b = Neg (x)  c = Concat <axis = 0> (a, b)"
                      "  y = Abs (c) }")  # fmt: skip
    assert set(needed_steps(program, [0])) == {1}


def test_a_step_that_decides_sizes_is_always_needed() -> None:
    program = outline("t (float[n] x) => (int64[1, k] y, float[n] z) { y = NonZero (x)  z = Exp (x) }")
    kept = [s for s, needed in zip(program.steps, needed_steps(program, [1]), strict=True) if needed]
    assert any(step.decides for step in kept) and "Exp" in {step.op for step in kept}
    assert "NonZeroFill" not in [step.family for step in kept]
