"""An op of our own is its record and nothing more: its oracle is what it decomposes into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from arenaut.ir import ops
from arenaut.ir.graph import ARENAUT_DOMAIN, Node, Value
from arenaut.ir.ops.support.composite import ints, through_decomposition
from arenaut.ir.record import Build, Infer, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type
from tests.support.oracle import expected
from tests.support.records import node_of, samples_of


def _decompose(build: Build, node: Node) -> Sequence[Value]:
    difference = build.op("Sub", node.operand(0), node.operand(1))
    return [build.op("ReduceSumSquare", difference, ints(build, -1), keepdims=0)]


def _infer(context: Infer) -> Sequence[Type]:
    return [TensorType(context.dtype(0), context.shape(0)[:-1])]


def _samples() -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    yield Sample(tuple(rng.normal(0, 1, (3, 5)).astype(np.float32) for _ in range(2)))


DISTANCE = OpRecord(
    op="SquaredDistance", domain=ARENAUT_DOMAIN, infer=_infer, decompose=_decompose,
    evaluate=through_decomposition(_decompose), tolerance=Tolerance("ulp", 8), samples=_samples,
)  # fmt: skip
CUBE = OpRecord(
    op="Cube", domain=ARENAUT_DOMAIN, infer=lambda context: [context.type(0)],
    evaluate=lambda node, inputs: [inputs[0] ** 3],
)  # fmt: skip


def test_the_oracle_of_a_composite_is_its_decomposition_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ops._asked, DISTANCE.key, DISTANCE)
    for sample in samples_of(DISTANCE):
        node, _ = node_of(DISTANCE, sample)
        a, b = (np.asarray(x, np.float64) for x in sample.inputs)
        (got,) = expected(node, sample.inputs, inexact=True)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, ((a - b) ** 2).sum(axis=-1).astype(np.float32))


def test_the_oracle_of_a_primitive_is_its_evaluator_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ops._asked, CUBE.key, CUBE)
    x = np.array([1.1, -2.3], np.float32)
    node, _ = node_of(CUBE, Sample((x,)))
    (got,) = expected(node, [x], inexact=True)
    np.testing.assert_array_equal(got, (x.astype(np.float64) ** 3).astype(np.float32))
