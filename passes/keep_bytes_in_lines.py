"""A softmax or layer normalisation of dequantised bytes reads the bytes, and one whose result is quantised rounds it:
lines are widened, computed and rounded while they are hot, and no floats are written."""

from __future__ import annotations

from collections.abc import Callable

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.types import same_shape
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.quantised import stored

REWRITE = "keep_bytes_in_lines"
_BYTES = (DType.UINT8, DType.INT8)


def keep_bytes_in_lines(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        make = _line_op(node)
        if make is None:
            continue
        numbers = stored(node.operand(0))
        from_bytes = (
            numbers is not None
            and numbers.is_single
            and numbers.dtype in _BYTES
            and numbers.scale.dtype is DType.FLOAT
            and numbers.node.output.dtype is DType.FLOAT
        )
        if not from_bytes and not _is_rounded(graph, node):
            context.missed(REWRITE, node, "neither reads bytes of one scale nor is rounded to bytes")
            continue
        read: tuple[Value | None, ...] = (node.operand(0), None, None)
        if from_bytes and numbers is not None:
            read = (numbers.x, numbers.scale, numbers.zero)
        build = GraphBuilder(graph, node, node.name)
        graph.supersede(node.output, make(build, node, read))
        graph.remove(node)
        context.fired(REWRITE, node)
        changed = True
    return changed


_Make = Callable[[GraphBuilder, Node, tuple[Value | None, ...]], Value]


def _line_op(node: Node) -> _Make | None:
    """What makes the op that reads lines, where there is one for this node."""
    if not is_op(node, "Softmax", "LayerNormalization") or any(v is not None for v in node.outputs[1:]):
        return None
    x = node.operand(0)
    if not x.has_shape or x.rank < 1 or x.dtype is not DType.FLOAT or node.output.dtype is not DType.FLOAT:
        return None
    if int(node.attr("axis", -1)) % x.rank != x.rank - 1:
        return None
    if is_op(node, "Softmax"):
        return _softmax
    vectors = [v for v in node.inputs[1:3] if v is not None]
    alike = all(v.has_shape and same_shape(v.shape, x.shape[-1:]) and v.dtype is DType.FLOAT for v in vectors)
    return _layer_norm if alike else None


def _softmax(build: GraphBuilder, node: Node, read: tuple[Value | None, ...]) -> Value:
    return build.op("QSoftmax", *read, domain=ARENAUT_DOMAIN)


def _layer_norm(build: GraphBuilder, node: Node, read: tuple[Value | None, ...]) -> Value:
    epsilon = node.attr("epsilon")
    return build.op("QLayerNormalization", *read, *node.inputs[1:3], domain=ARENAUT_DOMAIN, epsilon=epsilon)


def _is_rounded(graph: Graph, node: Node) -> bool:
    """Whether a QuantizeLinear to bytes is all that reads the result."""
    if graph.is_output(node.output) or len(node.output.uses) != 1:
        return False
    user, index = next(iter(node.output.uses))
    return is_op(user, "QuantizeLinear") and index == 0 and user.output.dtype in _BYTES
