"""Decompositions against the evaluator of the record they belong to, with known and with symbolic dims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import dtype_of
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Graph
from arenaut.ir.record import NoRowError, OpRecord, Sample
from records import assert_same, node_of, sampled, samples_of, unit

COMPOSITES = pytest.mark.parametrize("record", [r for r in sampled() if r.decompose is not None], ids=lambda r: r.op)


def decomposed(record: OpRecord, sample: Sample, *, symbolic: bool) -> tuple[Any, Graph]:
    """The sample's node, and its graph with the node's replacement as outputs. Raises NoRowError when it declines."""
    node, _ = node_of(record, sample, symbolic=symbolic)
    graph = node.graph
    assert record.decompose is not None and graph is not None
    graph.outputs = list(record.decompose(GraphBuilder(graph), node))
    graph.remove(node)
    return node, graph


@COMPOSITES
@pytest.mark.parametrize("symbolic", [False, True])
def test_replacement_computes_the_same(record: OpRecord, symbolic: bool) -> None:
    assert record.evaluate is not None
    done = 0
    for sample in samples_of(record):
        try:
            node, graph = decomposed(record, sample, symbolic=symbolic)
        except NoRowError:
            continue
        feeds = [x for x, v in zip(sample.inputs, node.inputs, strict=True) if v is not None and v.constant is None]
        results = evaluate_graph(graph, feeds)
        wanted = record.evaluate(node, list(sample.inputs))
        assert len(results) == len(wanted)
        for value, result, want in zip(graph.outputs, results, wanted, strict=True):
            assert value.dtype == dtype_of(np.asarray(result))
            tiny = 0.0
            if dtype_of(want).is_float:
                size = float(np.max(np.abs(np.asarray(want, np.float64)), initial=0))
                tiny = 32 * unit(np.ones((), want.dtype)).item() * size
            assert_same(result, want, tiny=tiny, what=f"{sample}")
        done += 1
    assert done or symbolic, "every sample was declined"


@COMPOSITES
def test_replacement_has_the_inferred_types(record: OpRecord) -> None:
    """With symbolic dims: the replacement's outputs have the node's types, dim for dim as far as it is decided by
    the inputs' dims."""
    for sample in samples_of(record):
        try:
            node, graph = decomposed(record, sample, symbolic=True)
        except NoRowError:
            continue
        for value, new in zip(node.outputs, graph.outputs, strict=True):
            assert value is not None
            assert new.dtype == value.dtype
            assert new.rank == value.rank
            for d, e in zip(value.shape, new.shape, strict=True):
                assert d == e or str(value.name) in str(d), f"{sample}: {value.type} became {new.type}"
