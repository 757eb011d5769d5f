"""QuantizeLinear of what has the same scale already, or of what it would clip anyway, has nothing to do."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops import record_of
from arenaut.ir.ops.quantize import range_of
from arenaut.ir.types import same_type
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.rewriting.quantised import Stored, stored


def drop_requantising(graph: Graph, context: PassContext) -> bool:
    """A number times its scale, divided by that scale again, is the number; a limit that rounds to the ends of the
    type's range changes nothing that the rounding does not change."""
    changed = False
    for node in list(graph.nodes):
        if not is_op(node, "QuantizeLinear"):
            continue
        while _drops_clip(graph, node):
            context.fired("clipped_anyway", node)
            changed = True
        source = stored(node.operand(0))
        if source is None:
            continue
        if not source.means_as(Stored(node, node.operand(0))):
            context.missed("same_scale", node, f"'{source.node.output.name}' has another scale")
        elif graph.is_output(node.output):
            context.missed("same_scale", node, f"the output '{node.output.name}' needs a value of its own")
        else:
            graph.supersede(node.output, source.x)
            graph.remove(node)
            context.fired("same_scale", node)
            changed = True
    return changed


def _drops_clip(graph: Graph, node: Node) -> bool:
    """Whether node rounded a clipped value, and now rounds it as it was before."""
    clip = node.operand(0).producer
    rule = None if clip is None else record_of(clip).clips
    bounds = None if clip is None or rule is None else rule(clip)
    if clip is None or bounds is None or not same_type(clip.operand(0).type, clip.output.type):
        return False
    scale, zero = node.operand(1).constant, node.input(2)
    if scale is None or (zero is not None and zero.constant is None):
        return False
    shift = np.int64(0) if zero is None or zero.constant is None else zero.constant.astype(np.int64)
    least, most = range_of(node.output.dtype)
    with np.errstate(all="ignore"):
        low, high = (np.rint(np.asarray(bound, scale.dtype) / scale) + shift for bound in bounds)
    if not (np.all(scale > 0) and np.all(low <= least) and np.all(high >= most)):
        return False
    graph.set_input(node, 0, clip.operand(0))
    if not clip.output.uses and not graph.is_output(clip.output):
        graph.remove(clip)
    return True
