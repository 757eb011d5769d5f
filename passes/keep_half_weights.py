"""Constant float32 weights of products and convolutions whose numbers 16-bit floats hold without loss are stored so.

Weights that were trained or shipped as float16 or bfloat16 and cast to float32 are such: half the memory, and half of
what a product of one row reads. Results are those of the float32 weights.

The smallest filters that Winograd's algorithm may transform stay float32, up to a limit in bytes: small filters are
those of large images, where the algorithm saves most for each byte.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Graph, Node, Value, static_shape
from arenaut.ir.ops.conv import FEWEST_CHANNELS, conv_windows
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.blocks import FEWEST, replace_product, weight_product
from arenaut.passes.rewriting.pattern import is_op

REWRITE = "keep_half_weights"
_SOME = 1024  # elements that are looked at first: few models go on from there
_SHALLOWEST = 32  # terms of a sum that kernels read at once
_MOST_SPATIAL = 3  # dims of images that kernels know
_TRANSFORMED_ROOM = 12 << 20  # bytes that filters which stay float32 may add
_TRANSFORMED_BYTES = 4 * 36 // 9 - 2  # that an element adds where tiles are 4 x 4, at most


def keep_half_weights(graph: Graph, context: PassContext) -> bool:
    """On tiers that widen float16 numbers in one instruction, where operands are not rounded anyway."""
    if context.target.tier < 1 or context.target.precision != "stored":
        return False
    made: dict[Value, Value | None] = {}
    changed = False
    filters = _filters(graph)
    transformed = set() if "winograd" in context.target.without else _transformed(filters)
    for node in list(graph.nodes):
        reason = _convolve(graph, node, transformed, made) if node in filters else _multiply(graph, node, made)
        if reason is None:
            context.fired(REWRITE, node)
            changed = True
        elif reason:
            context.missed(REWRITE, node, reason)
    return changed


def _multiply(graph: Graph, node: Node, made: dict[Value, Value | None]) -> str | None:
    """Rewrites a product; why not, where it cannot; nothing to say of other nodes."""
    form = weight_product(node)
    if form is None or node.operand(1).constant is None or node.operand(0).rank < 2:
        return ""
    weights = node.operand(1)
    if weights not in made:
        made[weights] = _halved(graph, node, bool(form.attributes))
    half = made[weights]
    if half is None:
        return "its weights are small, or no 16-bit floats"
    build = GraphBuilder(graph, before=node, name=node.name or node.op)
    replace_product(
        graph, node, form, build.op("HalfMatMul", node.operand(0), half, domain=ARENAUT_DOMAIN, **form.attributes)
    )
    return None


def _convolve(graph: Graph, node: Node, transformed: Collection[Value], made: dict[Value, Value | None]) -> str | None:
    """Rewrites a convolution; why not, where it cannot."""
    weights = node.operand(1)
    array = weights.constant
    assert array is not None
    if weights in transformed:
        return "its filters are small ones that may be transformed"
    if weights not in made:
        half = half_of(array)
        made[weights] = None if half is None else graph.add_constant(half, f"{weights.name}_half")
    kept = made[weights]
    if kept is None:
        return "its weights are no 16-bit floats"
    build = GraphBuilder(graph, before=node, name=node.name or node.op)
    bias = node.inputs[2:3]
    graph.replace(
        node.output, build.op("HalfConv", node.operand(0), kept, *bias, domain=ARENAUT_DOMAIN, **node.attributes)
    )
    graph.remove([node])
    if not weights.uses and not graph.is_output(weights):
        weights.constant = None
    return None


def _filters(graph: Graph) -> set[Node]:
    """Convolutions of float32 with constant weights that kernels of 16 bits gain by."""

    def known(node: Node) -> bool:
        if not is_op(node, "Conv") or not node.operand(0).has_shape or node.operand(0).dtype is not DType.FLOAT:
            return False
        array = node.operand(1).constant
        return (
            array is not None
            and array.size >= FEWEST
            and array.shape[1] >= FEWEST_CHANNELS
            and array.ndim - 2 <= _MOST_SPATIAL
        )

    return {node for node in graph.nodes if known(node)}


def _transformed(filters: Collection[Node]) -> set[Value]:
    """The filters that stay float32."""
    sizes: dict[Value, int] = {}
    for node in filters:
        windows, array = conv_windows(node), node.operand(1).constant
        steps = {*windows.strides, *windows.dilations}
        if array is not None and static_shape(windows.kernel) == (3, 3) and steps == {1}:
            sizes[node.operand(1)] = array.size
    kept: set[Value] = set()
    room = _TRANSFORMED_ROOM
    for value, size in sorted(sizes.items(), key=lambda each: each[1]):
        room -= size * _TRANSFORMED_BYTES
        if room < 0:
            break
        kept.add(value)
    return kept


def _halved(graph: Graph, node: Node, transposed: bool) -> Value | None:
    weights = node.operand(1)
    array = weights.constant
    if array is None or array.dtype != np.float32 or node.operand(0).dtype is not DType.FLOAT or array.size < FEWEST:
        return None
    if (array.T if transposed else array).shape[0] < _SHALLOWEST:
        return None
    half = half_of(array)
    return None if half is None else graph.add_constant(half, f"{weights.name}_half")


def half_of(array: Array) -> Array | None:
    """A float32 array's numbers as float16 or else bfloat16, where these are the same numbers."""
    in_memory_order = array.ravel(order="K")  # of a transposed one a view, where reshape would copy it
    some = in_memory_order[:: max(1, array.size // _SOME)]
    for narrowed in (_as_float16, _as_bfloat16):
        found = None if narrowed(some) is None else narrowed(array)
        if found is not None:
            return found
    return None


def _as_float16(array: Array) -> Array | None:
    with np.errstate(all="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), array) else None


def _as_bfloat16(array: Array) -> Array | None:
    bits = array.view(np.uint32)
    if (bits & 0xFFFF).any():
        return None
    return np.asarray((bits >> 16).astype(np.uint16).view(DType.BFLOAT16.numpy))
