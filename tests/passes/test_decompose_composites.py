from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Graph
from arenaut.ir.ops import all_records
from arenaut.ir.record import OpRecord
from arenaut.ir.target import Target
from arenaut.ir.types import TensorType
from arenaut.ir.verify import verify
from arenaut.passes.context import PassContext
from arenaut.passes.decompose_composites import decompose_composites
from tests.support.oracle import expected
from tests.support.records import assert_same, node_of, samples_of

TARGET = Target(0, 0, 1, 1 << 15, 1 << 20, 1 << 22)
COMPOSITES = [
    r
    for r in all_records().values()
    if r.decompose is not None and r.samples is not None and not (r.view or r.tile or r.lower)
]


def agrees(parts: Any, whole: Any) -> bool:
    """The same type; a size that the whole leaves open may be known from a part, which broadcasts a constant."""
    if not (isinstance(parts, TensorType) and isinstance(whole, TensorType)) or None in (parts.shape, whole.shape):
        return bool(parts == whole)
    sizes = zip(parts.shape or (), whole.shape or (), strict=True)
    return parts.dtype == whole.dtype and all(
        a == b or (isinstance(a, int) and not isinstance(b, int)) for a, b in sizes
    )


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
        for value, before in zip(graph.outputs, types, strict=True):
            assert agrees(value.type, before), sample
        feeds = [x for v, x in zip(node.inputs, sample.inputs, strict=True) if v is not None and v.constant is None]
        for actual, w in zip(evaluate_graph(graph, feeds), want, strict=True):
            numeric = w.dtype.kind != "O" and w.size > 0
            scale = float(np.max(np.abs(np.asarray(w, np.float64)))) if numeric else 0.0
            eps = 2.0**-7 if w.dtype.itemsize < 4 else 1e-5  # parts round on their own: a few units of the result
            last_bit = 2.0**-52  # what terms of magnitude 1 leave where they cancel
            tiny = max(scale * eps, last_bit) if w.dtype.kind not in "iubO" else 0
            assert_same(actual, w, tiny=tiny, what=str(sample))
    assert fired or symbolic  # a rule may need a dim to be known


def test_leaves_ops_with_kernels_alone() -> None:
    record = all_records()["", "Relu"]
    node, _ = node_of(record, samples_of(record)[0])
    graph = node.graph
    assert isinstance(graph, Graph)
    assert not decompose_composites(graph, PassContext(TARGET))
    assert graph.nodes == [node]
