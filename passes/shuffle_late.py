"""A shuffle of channels before a depthwise convolution that strides moves behind it, where there is less to move.

What a depthwise convolution does to a channel hangs on nothing but that channel: with its filters in the other order it
may as well come first. A shuffle is a Reshape to groups and channels of a group, a Transpose of these, and a Reshape.
"""

from __future__ import annotations

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.types import same_shape
from arenaut.passes.collapse_reshapes import reshape_target
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import Found, Match, Miss, Rule, Rules, made_by


def shuffle_late(graph: Graph, context: PassContext) -> bool:
    return Rules((Rule("behind_depthwise", ("Conv",), _find, _rewrite),)).apply(graph, context)


def _find(node: Node) -> Found:
    back = made_by(node.operand(0), "Reshape")
    swap = None if back is None else made_by(back.operand(0), "Transpose")
    apart = None if swap is None else made_by(swap.operand(0), "Reshape")
    if back is None or swap is None or apart is None or not node.output.has_shape:
        return None
    x = apart.operand(0)
    if not x.has_shape or not same_shape(x.shape, back.output.shape) or x.rank < 3:
        return None
    found = _groups(apart.output, swap, x.shape)
    if found is None:
        return Miss("it is no shuffle of channels")
    weights, bias = node.operand(1), node.input(2)
    if weights.constant is None or (bias is not None and bias.constant is None):
        return Miss("its weights are no constants")
    if not node.attr("group", 1) == x.shape[1] == weights.shape[0]:
        return Miss("it is not depthwise")
    if not any(n > 1 for n in node.attr("strides") or ()):
        return Miss("what it makes is no smaller")
    batch, _, *rest = node.output.shape
    if reshape_target(node.output.shape, (batch, *found, *rest)) is None:
        return Miss(f"of the sizes of {node.output.type} too many are not known")
    return Match(node, {"x": x}, (node, back, swap, apart))


def _groups(parts: Value, swap: Node, dims: tuple[Dim, ...]) -> tuple[int, int] | None:
    """Groups and channels of each, of which the transpose makes channels of each and groups."""
    rank = len(dims)
    if not parts.has_shape or parts.rank != rank + 1 or not same_shape((dims[0], *dims[2:]), _without_groups(parts)):
        return None
    groups, each = parts.shape[1:3]
    swapped = [0, 2, 1, *range(3, rank + 1)]
    if list(swap.attr("perm") or ()) != swapped or not isinstance(groups, int) or not isinstance(each, int):
        return None
    return groups, each


def _without_groups(parts: Value) -> tuple[Dim, ...]:
    return (parts.shape[0], *parts.shape[3:])


def _rewrite(build: GraphBuilder, match: Match) -> Value:
    old, x = match.root, match["x"]
    swap, apart = match.nodes[2:]
    found = _groups(apart.output, swap, x.shape)
    assert found is not None
    constants = [v.constant for v in old.inputs[1:] if v is not None and v.constant is not None]
    moved = [build.constant(_unshuffled(array, *found)) for array in constants]
    made = build.op(old.op, x, *moved, **old.attributes)
    batch, channels, *rest = made.shape
    parts = _reshaped(build, made, (batch, *found, *rest))
    swapped = build.op("Transpose", parts, perm=swap.attr("perm"))
    return _reshaped(build, swapped, (batch, channels, *rest))


def _unshuffled(array: Array, groups: int, each: int) -> Array:
    """Rows for shuffled channels in the order that the channels had before."""
    rows = array.reshape(each, groups, *array.shape[1:])
    return np.asarray(np.ascontiguousarray(np.swapaxes(rows, 0, 1)).reshape(array.shape))


def _reshaped(build: GraphBuilder, x: Value, dims: tuple[Dim, ...]) -> Value:
    target = reshape_target(x.shape, dims)
    assert target is not None
    return build.op("Reshape", x, build.constant(np.array(target, np.int64)), allowzero=0)
