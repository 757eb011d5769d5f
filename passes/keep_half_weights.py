"""Constant float32 weights of products whose numbers 16-bit floats hold without loss are stored as these.

Weights that were trained or shipped as float16 or bfloat16 and cast to float32 are such: half the memory, and half of
what a product of one row reads. Results are those of the float32 weights.
"""

from __future__ import annotations

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Graph, Node, Value
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.blocks import FEWEST, replace_product, weight_product

REWRITE = "keep_half_weights"
_SOME = 1024  # elements that are looked at first: few models go on from there
_SHALLOWEST = 32  # terms of a sum that kernels read at once


def keep_half_weights(graph: Graph, context: PassContext) -> bool:
    """On tiers that widen float16 numbers in one instruction, where operands are not rounded anyway."""
    if context.target.tier < 1 or context.target.precision != "stored":
        return False
    made: dict[Value, Value | None] = {}
    changed = False
    for node in list(graph.nodes):
        form = weight_product(node)
        if form is None or node.operand(1).constant is None or node.operand(0).rank < 2:
            continue
        weights = node.operand(1)
        if weights not in made:
            made[weights] = _halved(graph, node, bool(form.attributes))
        half = made[weights]
        if half is None:
            context.missed(REWRITE, node, "its weights are small, or no 16-bit floats")
            continue
        build = GraphBuilder(graph, before=node, name=node.name or node.op)
        product = build.op("HalfMatMul", node.operand(0), half, domain=ARENAUT_DOMAIN, **form.attributes)
        replace_product(graph, node, form, product)
        context.fired(REWRITE, node)
        changed = True
    return changed


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
