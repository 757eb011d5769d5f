"""Graphs for the sizes of one run."""

from __future__ import annotations

from arenaut.executor.outcomes import Choices
from arenaut.frontend import import_model
from arenaut.ir.infer import asking
from arenaut.ir.verify import verify
from arenaut.passes.specialise import has_open_ranks, specialise
from tests.support.models import parse, squeezed_where_one


def test_what_the_sizes_decide_is_written_out_and_remembered() -> None:
    graph = import_model(parse(squeezed_where_one("y = Relu (z)"))).graph
    assert has_open_ranks(graph)
    twin, choices = graph.copy(), Choices({"n": 5, "m": 1})
    with asking(choices):
        specialise(twin, [v.type for v in graph.inputs])
    verify(twin, "full")
    assert not has_open_ranks(twin) and has_open_ranks(graph)
    assert [n.op for n in twin.nodes if n.op in ("If", "Squeeze")] == ["Squeeze"]
    assert choices.hold({"n": 9, "m": 1}) and not choices.hold({"n": 9, "m": 2})


def test_without_an_oracle_nothing_is_decided() -> None:
    graph = import_model(parse(squeezed_where_one("y = Relu (z)"))).graph
    twin = graph.copy()
    specialise(twin, [v.type for v in graph.inputs])
    assert has_open_ranks(twin) and [n.op for n in twin.nodes] == [n.op for n in graph.nodes]


def test_what_the_sizes_do_not_tell_stays_open() -> None:
    text = (
        "agraph (bool c, float[n] x, int64[k] t) => (float[] y) { a = If (c) <"
        """
        then_branch = one () => (float[] p) { p = Reshape (x, t) },
        else_branch = other () => (float[] q) { q = Identity (x) }>  y = Relu (a) }"""
    )
    graph = import_model(parse(text)).graph
    twin = graph.copy()
    with asking(Choices({"n": 6, "k": 2})):
        specialise(twin, [v.type for v in graph.inputs])
    verify(twin, "types")
    assert has_open_ranks(twin) and [n.op for n in twin.nodes] == ["If", "Relu"]
