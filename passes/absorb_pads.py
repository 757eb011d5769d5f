"""A Pad before a convolution or a pooling becomes that op's own padding: no padded copy is made.

Zeros before Conv and, counted, before AveragePool; the lowest number before MaxPool, or zeros when nothing is negative
and every window keeps an element. Only the spatial axes, by amounts that are known and not negative.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.infer import infer_node
from arenaut.ir.ops.support.common import known_ints
from arenaut.ir.types import same_type
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import made_by, number_of

_WINDOWS = ("Conv", "AveragePool", "MaxPool")


def absorb_pads(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in graph.nodes:
        if node.domain != "" or node.op not in _WINDOWS:
            continue
        pad = made_by(node.operand(0), "Pad")
        if pad is None:
            continue
        reason = _absorb(graph, pad, node)
        if reason is None:
            context.fired(f"into_{node.op.lower()}", node)
            changed = True
        else:
            context.missed(f"into_{node.op.lower()}", node, reason)
    return changed


def _absorb(graph: Graph, pad: Node, node: Node) -> str | None:
    """Does it; why not, where it cannot be done."""
    amounts = _amounts(pad)
    if amounts is None:
        return "the amounts are not known"
    begin, end = amounts
    if any(begin[:2]) or any(end[:2]):
        return "the batch or the channels are padded"
    if min((*begin, *end)) < 0 or pad.attr("mode", "constant") != "constant":
        return "it cuts, or repeats what is there"
    if node.attr("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or node.attr("ceil_mode", 0):
        return "the padding depends on the size"
    axes = len(begin) - 2
    own = list(node.attr("pads") or [0] * (2 * axes)) if node.attr("auto_pad") != "VALID" else [0] * (2 * axes)
    changes = _fits(pad, node, begin, end, own)
    if isinstance(changes, str):
        return changes
    old, kept, source = node.output.type, dict(node.attributes), node.operand(0)
    pads = [a + b for a, b in zip(own, (*begin[2:], *end[2:]), strict=True)]
    node.attributes |= {"pads": tuple(pads), "auto_pad": "NOTSET", **changes}
    graph.set_input(node, 0, pad.operand(0))
    infer_node(node)
    if same_type(node.output.type, old):
        return None
    found = node.output.type
    node.attributes = kept
    graph.set_input(node, 0, source)
    infer_node(node)
    return f"the result would be {found} instead of {old}"


def _amounts(pad: Node) -> tuple[list[int], list[int]] | None:
    """What is put before and after each axis."""
    x, given = pad.operand(0), known_ints(pad.operand(1).data)
    if given is None or not x.has_shape or x.rank < 3:
        return None
    chosen: list[int] | None = list(range(x.rank))
    if pad.input(3) is not None:
        chosen = known_ints(pad.operand(3).data)
    if chosen is None or len(given) != 2 * len(chosen):
        return None
    begin, end = [0] * x.rank, [0] * x.rank
    for i, axis in enumerate(chosen):
        begin[axis], end[axis] = given[i], given[i + len(chosen)]
    return begin, end


def _fits(pad: Node, node: Node, begin: list[int], end: list[int], own: list[int]) -> dict[str, Any] | str:
    """Attributes that change with the padding, or why this op cannot pad as the Pad does."""
    value = 0.0 if pad.input(2) is None else number_of(pad.input(2))
    if value is None:
        return "the number put around is not known"
    if node.op == "Conv":
        return {} if value == 0 else f"{value} is put around, not 0"
    if node.op == "AveragePool":
        if value != 0 or any(own):
            return "what is put around is counted differently"
        return {"count_include_pad": 1}
    if len(node.outputs) > 1 and node.outputs[1] is not None and node.outputs[1].uses:
        return "the places of the largest elements are read"
    dtype = node.output.dtype
    lowest = float(np.finfo(dtype.numpy).min) if dtype.numpy.kind == "f" else math.nan
    kernel = node.attr("kernel_shape")
    inside = all(n < k for n, k in zip((*begin[2:], *end[2:]), (*kernel, *kernel), strict=True)) and not any(own)
    if set(node.attr("dilations") or [1]) != {1}:
        inside = False
    if value == -math.inf:
        return {}
    if inside and (value == lowest or (value == 0 and _not_negative(pad.operand(0)))):
        return {}
    return f"{value} is put around, and may be the largest"


def _not_negative(value: Value) -> bool:
    node = made_by(value, "Relu", "Sigmoid", "HardSigmoid", "Abs", "Clip")
    if node is None:
        return False
    low = number_of(node.input(1)) if node.op == "Clip" else 0.0
    return low is not None and low >= 0
