"""An input that chooses a branch becomes a constant."""

from __future__ import annotations

import pytest

from arenaut.frontend import import_model
from arenaut.ir.graph import Graph
from arenaut.ir.verify import verify
from arenaut.passes import run_pipeline
from arenaut.passes.settle_input import decides, keep, settle_input
from tests.support.models import parse
from tests.support.rewriting import TARGET

BRANCHES = """t (bool[1] b, bool[1] unread, float[n, 2] past) => (float[m, 2] present)
<float[0, 2] nothing = {}> {
  one = Squeeze(b)
  no = Not(one)
  present = If (no) <then_branch = first () => (float[k, 2] t) { t = Identity(nothing) },
                     else_branch = later () => (float[k, 2] e) { e = Concat<axis = 0>(past, past) }>
}"""


def graph() -> Graph:
    return import_model(parse(BRANCHES)).graph


def test_an_input_that_an_if_asks_decides() -> None:
    assert [decides(graph(), i) for i in range(3)] == [True, False, False]


@pytest.mark.parametrize(("settled", "ops"), [(True, ["Concat"]), (False, [])])
def test_the_branch_of_one_value_is_what_stays(settled: bool, ops: list[str]) -> None:
    g = graph()
    settle_input(g, 0, settled)
    assert len(g.inputs) == 3 and not g.inputs[0].uses
    run_pipeline(g, TARGET)
    verify(g, "full")
    assert [node.op for node in g.nodes if node.op != "Identity"] == ops


def test_an_output_becomes_an_input() -> None:
    g = graph()
    settle_input(g, 0, False)
    run_pipeline(g, TARGET)
    name = g.outputs[0].name
    keep(g, 2, 0)
    verify(g, "full")
    assert g.outputs[0].name == name
    assert g.outputs[0].producer is not None and g.outputs[0].producer.operand(0) is g.inputs[2]
    assert all(node.op != "If" for node in g.nodes)
