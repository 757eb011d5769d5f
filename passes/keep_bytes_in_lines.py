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
from arenaut.passes.rewriting.quantised import BYTES, stored

REWRITE = "keep_bytes_in_lines"


def keep_bytes_in_lines(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        make = _line_op(node)
        if make is None:
            continue
        read = _bytes_of(node.operand(0))
        if read is None and not _is_rounded(graph, node):
            context.missed(REWRITE, node, "neither reads bytes of one scale nor is rounded to bytes")
            continue
        build = GraphBuilder(graph, node, node.name)
        graph.supersede(node.output, make(build, node, read or (node.operand(0), None, None)))
        graph.remove(node)
        context.fired(REWRITE, node)
        changed = True
    return changed


_Read = tuple[Value | None, ...]
_Make = Callable[[GraphBuilder, Node, _Read], Value]


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


def _bytes_of(x: Value) -> _Read | None:
    """The numbers, scale and zero point of what one scale of float32 makes of bytes."""
    numbers = stored(x)
    if numbers is None or not numbers.is_single or not numbers.is_bytes:
        return None
    in_float = numbers.scale.dtype is numbers.node.output.dtype is DType.FLOAT
    return (numbers.x, numbers.scale, numbers.zero) if in_float else None


def _softmax(build: GraphBuilder, node: Node, read: _Read) -> Value:
    return build.op("QSoftmax", *read, domain=ARENAUT_DOMAIN)


def _layer_norm(build: GraphBuilder, node: Node, read: _Read) -> Value:
    epsilon = node.attr("epsilon")
    return build.op("QLayerNormalization", *read, *node.inputs[1:3], domain=ARENAUT_DOMAIN, epsilon=epsilon)


def _is_rounded(graph: Graph, node: Node) -> bool:
    """Whether a QuantizeLinear to bytes is all that reads the result."""
    if graph.is_output(node.output) or len(node.output.uses) != 1:
        return False
    user, index = next(iter(node.output.uses))
    return is_op(user, "QuantizeLinear") and index == 0 and user.output.dtype in BYTES
