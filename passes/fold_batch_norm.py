"""BatchNormalization with constant statistics: into the Conv before it, else one scale and one shift per channel."""

from __future__ import annotations

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Array, Graph, Node
from arenaut.ir.ops import record_of
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.scaling import scaled


def fold_batch_norm(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        if not is_op(node, "BatchNormalization"):
            continue
        factors = _scale_and_shift(node)
        if factors is None:
            context.missed("fold", node, "its statistics are not constants, or it is in training mode")
            continue
        scale, shift = factors
        convolution = _foldable(graph, node)
        if convolution is not None:
            _fold_into(graph, convolution, node, scale, shift)
            context.fired("into_conv", node)
        else:
            _as_scale_and_shift(graph, node, scale, shift)
            context.fired("scale_and_shift", node)
        changed = True
    return changed


def _scale_and_shift(node: Node) -> tuple[Array, Array] | None:
    """y = x * scale + shift per channel, in float64."""
    statistics = [node.operand(i).constant for i in range(1, 5)]
    extra = any(v is not None and v.uses for v in node.outputs[1:])
    if any(s is None for s in statistics) or node.attr("training_mode", 0) or extra or not node.operand(0).has_shape:
        return None
    gamma, beta, mean, variance = (np.asarray(s, np.float64) for s in statistics)
    scale = gamma / np.sqrt(variance + float(node.attr("epsilon", 1e-5)))
    return scale, beta - mean * scale


def _foldable(graph: Graph, node: Node) -> Node | None:
    """The Conv before, when only this node reads it and its weights are constants."""
    before = node.operand(0).producer
    if before is None or not is_op(before, "Conv"):
        return None
    weights, bias = before.operand(1), before.input(2)
    if weights.constant is None or (bias is not None and bias.constant is None):
        return None
    return before if len(before.output.uses) == 1 and not graph.is_output(before.output) else None


def _fold_into(graph: Graph, conv: Node, node: Node, scale: Array, shift: Array) -> None:
    weights = conv.operand(1)
    assert weights.constant is not None
    dtype = weights.constant.dtype
    channels = record_of(conv).channels
    assert channels is not None
    per_filter = channels.along(scale, channels.made, weights.constant.ndim)
    bias = conv.input(2)
    old = np.zeros_like(shift) if bias is None or bias.constant is None else bias.constant.astype(np.float64)
    new_weights = graph.add_constant(scaled(weights.constant, per_filter), weights.name)
    new_bias = graph.add_constant((old * scale + shift).astype(dtype), f"{weights.name}_bias")
    graph.set_inputs(conv, [conv.operand(0), new_weights, new_bias])
    graph.supersede(node.output, conv.output)
    graph.remove(node)


def _as_scale_and_shift(graph: Graph, node: Node, scale: Array, shift: Array) -> None:
    x = node.operand(0)
    dtype = x.dtype.numpy
    shape = (-1, *[1] * (x.rank - 2))
    build = GraphBuilder(graph, before=node, name=node.name)
    product = build.op("Mul", x, build.constant(scale.astype(dtype).reshape(shape)))
    result = build.op("Add", product, build.constant(shift.astype(dtype).reshape(shape)))
    graph.supersede(node.output, result)
    graph.remove(node)
