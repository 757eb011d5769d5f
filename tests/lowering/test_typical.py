"""What unknown sizes count for while a program is planned."""

from __future__ import annotations

from dataclasses import replace

from arenaut.lowering.typical import REPRESENTATIVE_SIZE, Typical, typical_of
from tests.support.lowering import lowered

IMAGE = "t (float[b, 3, h, 8] x) => (float[b, 3, h, 8] y) { y = Exp (x) }"
TABLE = "t (float[n, 8] x) => (float[n, 8] y) { y = Exp (x) }"


def test_the_first_dim_of_images_is_one_sample() -> None:
    sizes = Typical(lowered(IMAGE)).sizes
    assert (sizes["b"], sizes["h"]) == (1, REPRESENTATIVE_SIZE)


def test_a_number_of_rows_is_no_batch() -> None:
    assert Typical(lowered(TABLE)).sizes["n"] == REPRESENTATIVE_SIZE
    both = "t (float[b, s] x) => (float[b, s] y) { y = Exp (x) }"
    assert Typical(lowered(both)).sizes["b"] == 1


def test_hints_come_first() -> None:
    sizes = Typical(lowered(IMAGE), {"b": 5, "h": 7}).sizes
    assert (sizes["b"], sizes["h"]) == (5, 7)


def test_what_the_pipeline_chose_is_kept() -> None:
    program = lowered(IMAGE)
    chosen = Typical(program, {"b": 9})
    assert typical_of(replace(program, typical=chosen)) is chosen
    assert typical_of(program).sizes["b"] == 1
