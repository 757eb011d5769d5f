"""arenaut.Fused: a body graph run as one step. Its type rule, evaluator and ONNX form come from the body.

The body's nodes are an optional anchor (MatMul, Gemm, Conv, a norm, ...; see OpRecord.anchor) followed by elementwise
ops on its result, or elementwise ops only. Node inputs are the body's inputs, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arenaut.ir.dims import Dim
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Graph, Node
from arenaut.ir.ops import record_of
from arenaut.ir.record import Infer, OpRecord
from arenaut.ir.types import Type


def _infer(context: Infer) -> Sequence[Type]:
    """The body is inlined when it is lowered, so it shares the symbols of the graph around it."""
    from arenaut.ir.infer import infer_graph

    body = _body(context.node)
    for i, value in enumerate(body.inputs):
        value.type = context.type(i)
        value.data = context.known_data(i)
    infer_graph(body)
    types = [v.type for v in body.outputs]
    if any(t is None for t in types):
        raise context.fail("its body has an output without a type")
    return [t for t in types if t is not None]


def _data(context: Infer) -> Sequence[Array | None]:
    """What inference of the body found of elements."""
    return [v.data for v in _body(context.node).outputs]


def _body(node: Node) -> Graph:
    body = node.attr("body")
    assert isinstance(body, Graph)
    return body


def _flops(node: Node) -> Dim:
    total: Dim = 0
    for inner in _body(node).nodes:
        rule = record_of(inner).flops
        total = total + (rule(inner) if rule is not None else 0)
    return total


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return evaluate_graph(_body(node), inputs)


FUSED = (ARENAUT_DOMAIN, "Fused")

RECORDS: tuple[OpRecord, ...] = (
    OpRecord(op=FUSED[1], domain=FUSED[0], infer=_infer, data=_data, evaluate=_evaluate, flops=_flops),
)
