"""A constant per channel that is added to a convolution is its bias: nothing is left to do on the finished block."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op, made_by


def absorb_bias(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        if not is_op(node, "Add", "Sub"):
            continue
        for at in (0, 1) if record_of(node).commutative else (0,):
            found = made_by(node.operand(at), "Conv", "ConvTranspose")
            if found is None:
                continue
            reason = _absorb(graph, found, node, node.operand(1 - at))
            if reason is None:
                context.fired("into_bias", node)
                changed = True
                break
            context.missed("into_bias", node, reason)
    return changed


def _absorb(graph: Graph, conv: Node, node: Node, term: Value) -> str | None:
    """Does it; why not, where it cannot be done."""
    weights, bias = conv.operand(1), conv.input(2)
    if term.constant is None:
        return "what is added is not a constant"
    if weights.constant is None or (bias is not None and bias.constant is None):
        return "the weights or the bias are not constants"
    if len(conv.output.uses) != 1 or graph.is_output(conv.output):
        return "something else reads the convolution's result"
    channels = record_of(conv).channels
    assert channels is not None
    count = channels.count(conv, weights.constant)
    each = _per_channel(term.constant, weights.constant.ndim, count)
    if each is None:
        return "what is added differs from pixel to pixel"
    old = np.zeros(count) if bias is None or bias.constant is None else bias.constant.astype(np.float64)
    total = (old + (-each if is_op(node, "Sub") else each)).astype(weights.constant.dtype)
    graph.set_inputs(conv, [conv.operand(0), weights, graph.add_constant(total, f"{weights.name}_bias")])
    graph.supersede(node.output, conv.output)
    graph.remove(node)
    return None


def _per_channel(array: Array, rank: int, channels: int) -> Array | None:
    """The addend of each channel in float64, when it does not vary along any other axis of [N, C, ...]."""
    if array.ndim > rank:
        return None
    dims = [1] * (rank - array.ndim) + list(array.shape)
    if array.size not in (1, channels) or dims[1] != array.size:
        return None
    return np.broadcast_to(array.reshape(-1), channels).astype(np.float64)
