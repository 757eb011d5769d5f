"""The planned native program: its expressions, its stages, its order and what shares memory."""

from __future__ import annotations

import pytest

from arenaut import _native
from arenaut.errors import ShapeError
from arenaut.ir.dims import symbol
from arenaut.lowering.build import Built, Expressions, build_program
from arenaut.lowering.pipeline import run_lowered_pipeline
from arenaut.lowering.program import Lowered
from tests.support.lowering import TARGET, NoHost, lowered


def built(program: Lowered) -> Built:
    return build_program(run_lowered_pipeline(program, TARGET), TARGET, NoHost)


def test_an_expression_stands_in_the_table_once() -> None:
    exprs = Expressions(_native.Program(1, 0, 0, _native.Weights([])))
    n, m = symbol("n"), symbol("m")
    assert exprs.of(2 * n + m) == exprs.of(m + n * 2) != exprs.of(2 * n)
    assert exprs.of(n // 2) == exprs.of(n // 2) != exprs.of(m // 2)
    assert exprs.symbols == {"n": 0, "m": 1} or exprs.symbols == {"m": 0, "n": 1}


def test_a_size_that_no_register_holds_is_refused() -> None:
    exprs = Expressions(_native.Program(1, 0, 0, _native.Weights([])))
    with pytest.raises(ShapeError, match="does not fit 64 bits"):
        exprs.of(1 << 63)


def test_a_chain_of_results_lies_in_one_region() -> None:
    made = built(lowered("t (float[4, 4] x) => (float[4, 4] y) { a = Exp (x)  b = Softmax (a)  c = Neg (b)"
                         "  y = Softmax (c) }"))  # fmt: skip
    arena = {made.region_of[p.buffer] for step in made.lowered.steps[:-1] for p in step.outputs if p is not None}
    assert len(arena) == 1 and len(made.shares) >= 2
    assert sorted(made.step_order) == list(range(len(made.lowered.steps)))


def test_without_offers_every_result_has_a_region_of_its_own() -> None:
    body = "t (float[4, 4] x) => (float[4, 4] y) { a = Exp (x)  b = Softmax (a)  y = Softmax (b) }"
    program = lowered(body)

    made = build_program(program, TARGET, NoHost)
    outs = [made.region_of[p.buffer] for step in program.steps for p in step.outputs if p is not None]
    assert len(set(outs)) == len(outs) and not made.shares


def test_a_symbol_that_running_decides_starts_a_stage() -> None:
    plain = built(lowered("t (float[n] x) => (float[n] y) { y = Exp (x) }"))
    decided = built(lowered("t (float[n] x) => (int64[1, k] y) { z = NonZero (x)  y = Neg (z) }"))
    assert plain.symbols == ["n"] and len(decided.symbols) == 2
    assert plain.native.describe([[4]])["stages"] == 1
    assert decided.native.describe_with([[4]], {1: 2})["stages"] == 2


def test_bodies_become_programs_of_their_own() -> None:
    made = built(lowered("t (float[4] x, bool c) => (float[4] y) { y = If (c) <then_branch = a () => (float[4] p) "
                         "{ p = Exp (x) }, else_branch = b () => (float[4] q) { q = Neg (x) }> }"))  # fmt: skip
    assert [len(body.step_order) for body in made.bodies] == [1, 1]
