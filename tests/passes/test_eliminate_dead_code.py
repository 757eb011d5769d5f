"""Nodes whose results nobody reads."""

from __future__ import annotations

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from tests.support.models import parse
from tests.support.rewriting import draw, rewrite


def run(nodes: str) -> list[str]:
    model = parse(f"t (float[n] x) => (float[n] y) {{ {nodes} }}")
    return rewrite(model, eliminate_dead_code, feeds={"x": draw(3)}).ops


def test_what_nobody_reads_goes_and_what_it_read_with_it() -> None:
    assert run("a = Exp (x) b = Neg (a) c = Abs (b) y = Sin (x)") == ["Sin"]


def test_one_reader_is_enough() -> None:
    assert run("a = Exp (x) b = Neg (a) y = Sin (a)") == ["Exp", "Sin"]


def test_a_second_output_keeps_the_node() -> None:
    assert run("k = Shape (x) v, i = TopK (x, k) y = Cast <to = 1> (i)") == ["Shape", "TopK", "Cast"]
