"""Which nodes wait for a run that knows their ranks, and in which order the others are lowered."""

from __future__ import annotations

import pytest

from arenaut.errors import UnsupportedError
from arenaut.frontend import import_model
from arenaut.ir.graph import Graph
from arenaut.ir.verify import verify
from arenaut.lowering.fragments import Fragment, divide, size_of
from tests.support.models import parse


def graph_of(body: str, head: str = "(float[n, 4] x, int64[k] t) => (float[] y)") -> Graph:
    return import_model(parse(f"agraph {head} {{ {body} }}")).graph


def shown(graph: Graph, most: int | None = None) -> list[object]:
    """Ops, those of a fragment as a list of their own."""
    return [[n.op for n in p.graph.nodes] if isinstance(p, Fragment) else p.op for p in divide(graph, most)]


def test_without_open_ranks_nothing_is_divided() -> None:
    graph = graph_of("a = Relu (x)  y = Neg (a)", "(float[n, 4] x) => (float[n, 4] y)")
    assert divide(graph) == graph.nodes


def test_what_does_not_depend_on_an_open_rank_goes_before() -> None:
    graph = graph_of("z = Reshape (x, t)  b = Exp (x)  c = Neg (z)  d = ReduceSum <keepdims = 0> (b)  y = Add (c, d)")
    assert shown(graph) == ["Exp", "ReduceSum", ["Reshape", "Neg", "Add"]]


def test_what_computes_sizes_between_open_nodes_joins_them() -> None:
    graph = graph_of("z = Reshape (x, t)  s = Shape (z)  u = Neg (s)  v = Abs (u)  y = Reshape (z, v)")
    assert shown(graph) == [["Reshape", "Shape", "Neg", "Abs", "Reshape"]]


def test_a_fragment_ends_where_a_rank_is_known_again() -> None:
    head = "(float[n, 4] x, int64[k] t, int64[2] u) => (float[] y, int64[m] w)"
    graph = graph_of(
        "z = Reshape (x, t)  a = Reshape (z, u)  b = Exp (a)  y = Reshape (b, t)  s = Shape (z)  w = Neg (s)", head
    )
    parts = shown(graph)
    assert parts == [["Reshape", "Reshape"], "Exp", ["Reshape", "Shape"], "Neg"]


def test_a_fragment_is_a_graph_of_its_own() -> None:
    graph = graph_of("z = Reshape (x, t)  c = Neg (z)  y = Tanh (c)")
    (fragment,) = divide(graph)
    assert isinstance(fragment, Fragment)
    verify(fragment.graph, "structure")
    assert [v.name for v in fragment.graph.inputs] == ["x", "t"] == [v.name for v in fragment.node.inputs if v]
    assert [v.name for v in fragment.graph.outputs] == ["y"] and fragment.node.outputs == graph.outputs
    assert [str(d) for d in fragment.graph.inputs[0].shape] == ["x.0", "4"]
    assert [n.op for n in graph.nodes] == ["Reshape", "Neg", "Tanh"] and graph.nodes[0].graph is graph


def test_branches_that_only_look_wait_and_others_are_lowered_at_load() -> None:
    text = """c = If (b) < then_branch = one () => (float[] p) {{ p = {op} (x) }},
        else_branch = two () => (float[] q) {{ q = Reshape (x, s) }}>  y = Neg (c)"""
    head = "(bool b, float[n, 4] x, int64[3] s) => (float[] y)"
    assert shown(graph_of(text.format(op="Identity"), head)) == [["If", "Neg"]]
    assert shown(graph_of(text.format(op="Exp"), head)) == ["If", ["Neg"]]


def test_sequences_and_text_are_no_part_of_fragments() -> None:
    graph = graph_of("z = Reshape (x, t)  s = SequenceConstruct (z, x)  a = SequenceAt (s, i)  y = Neg (a)",
                     "(float[n, 4] x, int64[k] t, int64 i) => (float[] y)")  # fmt: skip
    assert shown(graph) == [["Reshape"], "SequenceConstruct", "SequenceAt", ["Neg"]]


def test_too_large_a_fragment_is_lowered_node_by_node() -> None:
    graph = graph_of("z = Reshape (x, t)  y = Neg (z)")
    assert size_of(graph) == 2 and shown(graph, 3) == [["Reshape", "Neg"]] and shown(graph, 2) == ["Reshape", "Neg"]


def test_what_nothing_can_run_is_refused_at_load() -> None:
    graph = graph_of("z = Reshape (x, t)  y = Neg (z)")
    for node in graph.nodes:
        node.domain, node.op = "nobody", "Knows"
    with pytest.raises(UnsupportedError, match="Knows"):
        divide(graph)
