"""arenaut.Fused: a body graph run as one step. Its type rule, evaluator and ONNX form come from the body.

The body's nodes are an optional anchor (MatMul, Gemm, Conv, a norm, ...; see OpRecord.anchor) followed by elementwise
ops on its result, or elementwise ops only. Node inputs are the body's inputs, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node
from arenaut.ir.record import Infer, OpRecord
from arenaut.ir.types import Type


def _infer(context: Infer) -> Sequence[Type]:
    return context.infer_body("body", [context.type(i) for i in range(len(context.node.inputs))])


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    body = node.attr("body")
    assert isinstance(body, Graph)
    return evaluate_graph(body, inputs)


RECORDS: tuple[OpRecord, ...] = (OpRecord(op="Fused", domain=ARENAUT_DOMAIN, infer=_infer, evaluate=_evaluate),)
