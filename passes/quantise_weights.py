"""Constant weights of float products become codes in blocks, where load_onnx(weights=) says so.

A quarter or an eighth of the bytes, which is also what a product of one row reads. Tables that a Gather reads stay as
they are stored.
"""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Array, Graph
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.blocks import FEWEST, block_matmul, by_rows, quantised, replace_product, weight_product

REWRITE = "quantise_weights"
BITS = {"int8": 8, "int4": 4}
BLOCK = 32


def quantise_weights(graph: Graph, context: PassContext) -> bool:
    bits = BITS.get(context.target.weights)
    if bits is None:
        return False
    changed = False
    for node in list(graph.nodes):
        form = weight_product(node)
        constant = None if form is None else node.operand(1).constant
        if form is None or constant is None or constant.dtype != np.float32:
            continue
        weights = by_rows(constant, form)
        reason = _refusal(weights)
        if reason is not None:
            context.missed(REWRITE, node, reason)
            continue
        codes, scales, error = quantised(weights, bits, BLOCK)
        made = block_matmul(
            graph, node, node.operand(0), codes, scales, None, bits=bits, block=BLOCK, depth=len(weights)
        )
        replace_product(graph, node, form, made)
        context.fired(REWRITE, node, f"weights {tuple(weights.shape)} err by {error:.2e} of their root mean square")
        changed = True
    return changed


def _refusal(weights: Array) -> str | None:
    if weights.size < FEWEST or len(weights) < BLOCK:
        return f"weights of {weights.shape[0]} x {weights.shape[1]} gain nothing"
    return None if np.isfinite(weights).all() else "weights that are not finite"
