"""Powers of a constant exponent."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.expand_powers import expand_powers
from tests.support.models import parse
from tests.support.rewriting import Rewritten, rewrite


def run(exponent: str, kind: str = "float", before: str = "Neg") -> Rewritten:
    """A power of what `before` makes of the input."""
    dtype = {"float": np.float32, "double": np.float64, "int32": np.int32}[kind]
    model = parse(f"""t ({kind}[n] x) => ({kind}[n] y) <{kind} c = {{{exponent}}}> {{
        s = {before} (x) p = Pow (s, c) y = Neg (p) }}""")
    return rewrite(model, expand_powers, eliminate_dead_code, feeds={"x": np.array([0.5, 2, 3, 7], dtype)})


@pytest.mark.parametrize(
    ("exponent", "ops"),
    [
        ("2", ["Mul"]),
        ("3", ["Mul", "Mul"]),
        ("0.5", ["Sqrt"]),
        ("-1", ["Reciprocal"]),
        ("-0.5", ["Sqrt", "Reciprocal"]),
    ],
)
@pytest.mark.parametrize("kind", ["float", "double"])
def test_quicker_forms(exponent: str, ops: list[str], kind: str) -> None:
    assert run(exponent, kind, "Abs").ops == ["Abs", *ops, "Neg"]


@pytest.mark.parametrize("exponent", ["0.5", "-0.5"])
def test_roots_of_what_may_have_a_sign_stay(exponent: str) -> None:
    """Of minus infinity the power is infinite, and the square root no number."""
    result = run(exponent)
    assert result.ops == ["Neg", "Pow", "Neg"] and "minus infinity" in result.reasons("expand")[0]


def test_other_exponents_stay() -> None:
    result = run("2.5")
    assert result.ops == ["Neg", "Pow", "Neg"] and result.reasons("expand") == ["the exponent is 2.5"]


def test_integers_stay() -> None:
    assert run("2", "int32").ops == ["Neg", "Pow", "Neg"]
