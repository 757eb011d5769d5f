"""Every record's samples through the native program, against oracles that share no code with the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.executor.compiled import CompiledExecutor
from arenaut.executor.host import ProgramHost
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops import all_records
from arenaut.ir.record import OpRecord, Sample
from arenaut.lowering.build import build_program
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.pipeline import run_lowered_pipeline
from arenaut.lowering.program import StepKind
from arenaut.native.target import current_target
from arenaut.passes.context import PassContext
from arenaut.passes.decompose_composites import decompose_composites
from tests.support.in_python import THROUGH_EVALUATOR
from tests.support.oracle import expected
from tests.support.records import assert_tolerable, node_of, sampled, samples_of

NATIVE = pytest.mark.parametrize("record", [r for r in sampled() if r.has_native_form], ids=lambda r: r.op)

PYTHON = "Python"


def run_natively(record: OpRecord, sample: Sample, symbolic: bool) -> tuple[Node, list[Any], list[str]]:
    """The node, its outputs, and its steps by the families of their kernels; PYTHON where one ran there."""
    node, _ = node_of(record, sample, symbolic=symbolic)
    graph = node.graph
    assert isinstance(graph, Graph)
    graph.outputs = [v for v in node.outputs if v is not None]
    target = current_target(1)
    decompose_composites(graph, PassContext(target))
    lowered = run_lowered_pipeline(lower_graph(graph, target, 0), target)
    executor = CompiledExecutor(build_program(lowered, target, ProgramHost, effort="fast"), None)
    pairs = zip(node.inputs, sample.inputs, strict=True)
    outputs = executor.run([x for v, x in pairs if v is not None and v.constant is None])
    ran = [PYTHON if step.kind is StepKind.HOST else step.row.family if step.row else "" for step in lowered.steps]
    return node, outputs, ran


def holds_text(node: Node) -> bool:
    return any(v is not None and v.dtype is DType.STRING for v in [*node.inputs, *node.outputs])


def half_product(families: list[str]) -> bool:
    return any(family.startswith("Half") for family in families)


def check(record: OpRecord, node: Node, sample: Sample, outputs: list[Any]) -> None:
    """Results against the oracle, within what the record declares."""
    wanted = expected(node, list(sample.inputs), inexact=record.tolerance.kind != "exact")
    for actual, want in zip(outputs, (w for w, v in zip(wanted, node.outputs, strict=True) if v), strict=True):
        assert_tolerable(record, node, sample, actual, want, least_ulp=0.5, flushed=True)


@NATIVE
def test_native_results_are_the_oracles(record: OpRecord) -> None:
    in_python = False
    for sample in samples_of(record):
        node, outputs, ran = run_natively(record, sample, symbolic=False)
        in_python |= PYTHON in ran and not holds_text(node)
        check(record, node, sample, outputs)
    assert in_python == (record.op in THROUGH_EVALUATOR)


@NATIVE
def test_symbolic_shapes_give_the_same_bytes(record: OpRecord) -> None:
    for sample in samples_of(record)[::3]:
        node, static, steps = run_natively(record, sample, symbolic=False)
        _, symbolic, open_steps = run_natively(record, sample, symbolic=True)
        if PYTHON in steps or PYTHON in open_steps:  # a decomposition may need a dim to be known
            continue
        if half_product(steps) != half_product(open_steps):  # which of the two kernels runs, known sizes decide
            check(record, node, sample, symbolic)
            continue
        for a, b in zip(symbolic, static, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            same = a == b if a.dtype == object else a.reshape(-1).view(np.uint8) == b.reshape(-1).view(np.uint8)
            assert np.all(same), f"{sample}"


def test_text_inputs_alone_set_sizes() -> None:
    record = all_records()["", "Equal"]
    sample = next(s for s in samples_of(record) if s.inputs[0] is not None and s.inputs[0].dtype == object)
    node, outputs, ran = run_natively(record, sample, symbolic=True)
    assert PYTHON in ran
    check(record, node, sample, outputs)
