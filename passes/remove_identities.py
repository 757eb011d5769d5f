"""Removal of ops that change nothing: Identity, inference Dropout, x + 0, x * 1, x / 1, casts to the same type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.types import same_dtype, same_type
from arenaut.passes.context import PassContext


def _is_constant(value: Value | None, number: float) -> bool:
    return value is not None and value.constant is not None and value.constant.size > 0 and bool(
        np.all(value.constant == number)
    )  # fmt: skip


def _neutral_right(number: float) -> Callable[[Node], Value | None]:
    return lambda node: node.operand(0) if _is_constant(node.operand(1), number) else None


def _neutral(number: float) -> Callable[[Node], Value | None]:
    def rule(node: Node) -> Value | None:
        if _is_constant(node.operand(1), number):
            return node.operand(0)
        return node.operand(1) if _is_constant(node.operand(0), number) else None

    return rule


def _first(node: Node) -> Value | None:
    return node.operand(0)


def _dropout(node: Node) -> Value | None:
    """Inference: the mask, when somebody reads it, keeps the node alive."""
    mask = node.outputs[1] if len(node.outputs) > 1 else None
    mask_read = mask is not None and (bool(mask.uses) or (node.graph is not None and node.graph.is_output(mask)))
    training = node.input(2)
    runs = training is not None and not _is_constant(training, 0)
    return None if mask_read or runs else node.operand(0)


# What output 0 equals, by op; None where the node does something.
_RULES: Mapping[str, Callable[[Node], Value | None]] = {
    "Identity": _first,
    "Dropout": _dropout,
    "Cast": _first,
    "Add": _neutral(0),
    "Sub": _neutral_right(0),
    "Mul": _neutral(1),
    "Div": _neutral_right(1),
    "Pow": _neutral_right(1),
    "Reshape": _first,
    "Expand": _first,
    "Concat": lambda node: node.operand(0) if len(node.inputs) == 1 else None,
    "Sum": lambda node: node.operand(0) if len(node.inputs) == 1 else None,
    "Slice": _first,
    "Pad": lambda node: node.operand(0) if _is_constant(node.input(1), 0) else None,
}

_SHAPE_KEEPING = frozenset({"Cast", "Dropout", "Concat", "Sum", "Pad"})
_BROADCASTING = frozenset({"Add", "Sub", "Mul", "Div", "Pow"})


def remove_identities(graph: Graph, context: PassContext) -> bool:
    """A rule names the value that the node equals where it has that value's shape, which has to be proved: x + 0 may
    broadcast x."""
    gone: list[Node] = []
    for node in graph.nodes:
        rule = _RULES.get(node.op) if node.domain == "" else None
        same = rule(node) if rule is not None else None
        if same is None or not (same_type(same.type, node.output.type) or _keeps_shape(node, same)):
            continue
        if node.op == "Slice" and not _forward(node):
            continue
        if graph.is_output(node.output) and (same.producer is None or graph.is_output(same)):
            continue  # an output needs a value of its own
        graph.replace(node.output, same)
        gone.append(node)
        context.fired(node.op.lower(), node)
    graph.remove(gone)
    return bool(gone)


def _keeps_shape(node: Node, same: Value) -> bool:
    """Whether the result has the shape of `same`, whatever that is: a scalar added or multiplied broadcasts nothing."""
    if node.op == "Identity":
        return True
    if not same_dtype(same.type, node.output.type):
        return False
    others = [v.constant for v in node.inputs if v is not None and v is not same]
    scalar = node.op in _BROADCASTING and all(array is not None and array.ndim == 0 for array in others)
    return scalar or node.op in _SHAPE_KEEPING


def _forward(node: Node) -> bool:
    """A Slice with the input's shape is the identity unless it reverses."""
    steps = node.input(4)
    return steps is None or (steps.data is not None and all(isinstance(s, int) and s > 0 for s in steps.data.flat))
