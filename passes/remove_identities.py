"""Removal of ops that change nothing: Identity, inference Dropout, x + 0, x * 1, x / 1, casts to the same type."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.ops.support.common import same_as_input
from arenaut.ir.types import same_dtype, same_type
from arenaut.passes.context import PassContext


def remove_identities(graph: Graph, context: PassContext) -> bool:
    """A node that repeats one of its inputs goes where it has that input's shape, which has to be proved: x + 0 may
    broadcast x."""
    gone: list[Node] = []
    for node in graph.nodes:
        same = _repeated(node)
        if same is None or not (same_type(same.type, node.output.type) or _keeps_shape(node, same)):
            continue
        if graph.is_output(node.output) and (same.producer is None or graph.is_output(same)):
            continue  # an output needs a value of its own
        graph.replace(node.output, same)
        gone.append(node)
        context.fired(node.op.lower(), node)
    graph.remove(gone)
    return bool(gone)


def _repeated(node: Node) -> Value | None:
    """The input that output 0 equals, broadcast."""
    record = record_of(node)
    if record.repeats is not None:
        return record.repeats(node)
    for index, number in record.neutral.items():
        if len(node.inputs) == 2 and _is_constant(node.input(index), number):
            return node.operand(1 - index)
    return None


def _is_constant(value: Value | None, number: float) -> bool:
    return value is not None and value.constant is not None and value.constant.size > 0 and bool(
        np.all(value.constant == number)
    )  # fmt: skip


def _keeps_shape(node: Node, same: Value) -> bool:
    """Whether the result has the shape of `same`, whatever that is: a scalar added or multiplied broadcasts nothing."""
    record = record_of(node)
    if record.keeps_shape and record.infer is same_as_input:
        return True
    if not same_dtype(same.type, node.output.type):
        return False
    others = [v.constant for v in node.inputs if v is not None and v is not same]
    scalar = bool(record.neutral) and all(array is not None and array.ndim == 0 for array in others)
    return scalar or record.keeps_shape
