"""The lowered pipeline, what lowering leaves alone, and whose fault it is when something escapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.errors import InternalError, InvalidModelError, ShapeError
from arenaut.frontend import import_model
from arenaut.ir.errors import RuleError
from arenaut.ir.target import OPTIMISATIONS
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.pipeline import (
    LOWERED_PIPELINE,
    LoweringOptions,
    drop_unread_steps,
    offer_sharing,
    run_lowered_pipeline,
)
from arenaut.native.target import current_target
from tests.support.models import parse

TARGET = current_target(1)
ATTENTION = """agraph (double[1, 2, 4, 8] q, double[1, 2, 4, 8] k, double[1, 2, 4, 8] v) => (double[1, 2, 4, 8] y)
{ y = Attention (q, k, v) }"""


def test_every_lowered_pass_has_a_reason_and_its_parts_can_be_left_out() -> None:
    assert all(p.why for p in LOWERED_PIPELINE)
    assert {part for p in LOWERED_PIPELINE for part in p.parts} <= set(OPTIMISATIONS)


def test_steps_that_nobody_reads_are_dropped() -> None:
    model = parse("agraph (float[2, 3] x) => (float[2, 3] y) { n = Exp (x)  y = Neg (x) }")
    lowered = lower_graph(import_model(model).graph, TARGET)
    assert len(lowered.steps) == 2
    assert [step.node.op for step in drop_unread_steps(lowered, TARGET, LoweringOptions()).steps] == ["Neg"]


def test_sharing_is_offered_by_its_pass_alone() -> None:
    lowered = lower_graph(
        import_model(parse("agraph (float[8] x) => (float[8] y) { e = Exp (x)  y = Neg (e) }")).graph, TARGET
    )
    assert not lowered.shares and offer_sharing(lowered, TARGET, LoweringOptions()).shares
    left_out = [p for p in LOWERED_PIPELINE if p.run is not offer_sharing]
    assert not run_lowered_pipeline(lowered, TARGET, pipeline=left_out).shares


def test_lowering_leaves_the_graph_alone(tmp_path: Any) -> None:
    """In float64 Attention has no row and becomes simpler ops; the model's graph, and what is saved of it, does not."""
    model = parse(ATTENTION, opset=23)
    loaded = arenaut.load_onnx(model)
    assert [node.op for node in loaded.graph.nodes] == ["Attention"]
    assert len(loaded._built.lowered.steps) > 1
    assert all(len(value.uses) == 1 for value in loaded.graph.inputs)
    loaded.save_onnx(tmp_path / "saved.onnx")
    assert [node.op_type for node in onnx.load(tmp_path / "saved.onnx").graph.node] == ["Attention"]
    feeds = {name: np.random.default_rng(i).standard_normal((1, 2, 4, 8)) for i, name in enumerate("qkv")}
    scores = feeds["q"] @ feeds["k"].swapaxes(2, 3) / np.sqrt(8)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(loaded.run(feeds)["y"], weights @ feeds["v"], rtol=1e-12)


@pytest.mark.parametrize("fault", (AttributeError("no such thing"), AssertionError(), TypeError("not a number")))
def test_a_fault_of_our_own_is_not_the_models(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arenaut.lowering.lower.Lowerer._lower_natively", lambda self, node: _raise(fault))
    with pytest.raises(InternalError, match=r"Relu.*Please report") as caught:
        arenaut.load_onnx(parse("agraph (float[3] x) => (float[3] y) { y = Relu (x) }"))
    assert not isinstance(caught.value, InvalidModelError) and caught.value.__cause__ is fault


def test_a_value_that_a_rule_refuses_is_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = RuleError("no such mode")
    monkeypatch.setattr("arenaut.lowering.lower.Lowerer._lower_natively", lambda self, node: _raise(refused))
    with pytest.raises(InvalidModelError, match="Relu"):
        arenaut.load_onnx(parse("agraph (float[3] x) => (float[3] y) { y = Relu (x) }"))


def test_a_fault_in_a_decomposition_is_no_silent_host_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from arenaut.ir.ops import record_of

    model = parse(ATTENTION, opset=23)
    record = record_of(import_model(model).graph.nodes[0])
    broken = replace(record, decompose=lambda build, node: _raise(TypeError("a bug")))
    monkeypatch.setitem(__import__("arenaut.ir.ops", fromlist=["_asked"])._asked, ("", "Attention"), broken)
    with pytest.raises(InternalError, match="a bug"):
        arenaut.load_onnx(model, optimize=False)


def test_rotary_positions_without_a_number_of_heads_are_the_models_fault() -> None:
    text = """agraph (float[1, 4, 8] x, float[16, 4] c, float[16, 4] s, int64[1, 4] p) => (float[1, 4, 8] y)
    { y = RotaryEmbedding (x, c, s, p) }"""
    with pytest.raises(ShapeError, match="num_heads is required"):
        arenaut.load_onnx(parse(text, opset=23))


def test_a_name_of_an_output_stays_with_it() -> None:
    graph = import_model(parse("agraph (float[3] x) => (float[3] y) { h = Exp (x)  y = Neg (h) }")).graph
    old = graph.outputs[0]
    new = graph.add("Abs", [graph.inputs[0]], name="n").output
    graph.supersede(old, new)
    assert graph.outputs == [new] and new.name == "y" and old.name != "y"
    inner = graph.nodes[0].output
    graph.supersede(inner, graph.inputs[0])
    assert inner.name == "h" and not inner.uses and graph.inputs[0].name == "x"


def _raise(error: Exception) -> Any:
    raise error
