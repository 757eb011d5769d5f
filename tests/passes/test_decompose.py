from __future__ import annotations

import numpy as np
import pytest
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Graph
from arenaut.ir.ops import all_records
from arenaut.ir.record import OpRecord
from arenaut.ir.target import Target
from arenaut.ir.verify import verify
from arenaut.passes.context import PassContext
from arenaut.passes.decompose import decompose_composites
from oracle import expected
from records import assert_same, node_of, samples_of

TARGET = Target(0, 0, 1, 1 << 15, 1 << 20, 1 << 22)
COMPOSITES = [
    r
    for r in all_records().values()
    if r.decompose is not None and r.samples is not None and not (r.view or r.tile or r.lower)
]


@pytest.mark.parametrize("record", COMPOSITES, ids=lambda r: r.op)
@pytest.mark.parametrize("symbolic", [False, True])
def test_parts_compute_what_the_whole_does(record: OpRecord, symbolic: bool) -> None:
    fired = 0
    for sample in samples_of(record):
        node, _ = node_of(record, sample, symbolic=symbolic)
        want = expected(node, list(sample.inputs), inexact=record.tolerance.kind != "exact")
        graph = node.graph
        assert isinstance(graph, Graph)
        graph.outputs = list(node.outputs)
        types = [v.type for v in graph.outputs]
        context = PassContext(TARGET)
        fired += decompose_composites(graph, context)
        verify(graph, "full")
        assert [v.type for v in graph.outputs] == types
        feeds = [x for v, x in zip(node.inputs, sample.inputs, strict=True) if v is not None and v.constant is None]
        for actual, w in zip(evaluate_graph(graph, feeds), want, strict=True):
            scale = float(np.max(np.abs(np.asarray(w, np.float64)), initial=0)) if np.asarray(w).size else 0
            eps = 2.0**-7 if w.dtype.itemsize < 4 else 1e-5  # parts round on their own: a few units of the result
            assert_same(actual, w, tiny=scale * eps if w.dtype.kind not in "iub" else 0, what=str(sample))
    assert fired or symbolic  # a rule may need a dim to be known


def test_leaves_ops_with_kernels_alone() -> None:
    record = all_records()["", "Relu"]
    node, _ = node_of(record, samples_of(record)[0])
    graph = node.graph
    assert isinstance(graph, Graph)
    assert not decompose_composites(graph, PassContext(TARGET))
    assert graph.nodes == [node]
