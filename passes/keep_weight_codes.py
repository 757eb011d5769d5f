"""A product with weights of 8 bits and their scales, its other side floats, keeps the bytes.

Folding would make floats of them, four times the memory. Scales of the whole weight or of its columns; what an integer
product multiplies is no longer there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.blocks import FEWEST, block_matmul, replace_product, weight_product
from arenaut.passes.rewriting.pattern import made_by
from arenaut.plain import dataclass

REWRITE = "keep_weight_codes"
BLOCK = 128  # of what shares a scale: there are few of them anyway


@dataclass(frozen=True)
class _Stored:
    """Bytes [K, N], and what they are shifted and multiplied by: one number, or one a column."""

    numbers: Array
    scale: Array
    zero: Array


def keep_weight_codes(graph: Graph, context: PassContext) -> bool:
    changed = False
    for node in list(graph.nodes):
        form = weight_product(node)
        if form is None or node.operand(0).dtype is not DType.FLOAT:
            continue
        stored = _stored(node.operand(1), form.axis)
        if stored is None:
            continue
        if stored.numbers.size < FEWEST or len(stored.numbers) < BLOCK:
            context.missed(REWRITE, node, f"weights of {stored.numbers.shape} gain nothing")
            continue
        replace_product(graph, node, form, _block_matmul(graph, node, stored))
        context.fired(REWRITE, node)
        changed = True
    return changed


def _block_matmul(graph: Graph, node: Node, stored: _Stored) -> Value:
    depth, columns = stored.numbers.shape
    blocks = -(-depth // BLOCK)
    shift = 128 if stored.numbers.dtype == np.int8 else 0
    codes = np.zeros((columns, blocks * BLOCK), np.uint8)
    codes[:, :depth] = np.ascontiguousarray(stored.numbers.T).view(np.uint8) ^ np.uint8(shift)
    zero = np.broadcast_to(stored.zero.astype(np.int16) + shift, (columns,)).astype(np.uint8)
    zeros = None if (zero == 128).all() else np.repeat(zero[:, None], blocks, axis=1)
    scales = np.repeat(np.broadcast_to(stored.scale, (columns,))[:, None], blocks, axis=1).astype(np.float32)
    return block_matmul(
        graph, node, node.operand(0), codes.reshape(columns, blocks, BLOCK), scales, zeros, bits=8, block=BLOCK,
        depth=depth,
    )  # fmt: skip


def _stored(weights: Value, axis: int) -> _Stored | None:
    """axis: of the product's columns."""
    node = made_by(weights, "DequantizeLinear")
    if node is not None:
        zero, scale = node.input(2), node.operand(1).constant
        along = scale is None or scale.size == 1 or int(node.attr("axis", 1)) % 2 == axis
        if scale is None or not along or node.attr("block_size", 0) or (zero is not None and zero.constant is None):
            return None
        return _made_of(node.operand(0).constant, scale, None if zero is None else zero.constant, axis)
    node = made_by(weights, "Mul")
    for one, other in () if node is None else ((0, 1), (1, 0)):
        assert node is not None
        cast, scale = made_by(node.operand(one), "Cast"), node.operand(other).constant
        if cast is not None and scale is not None and _along(scale, axis):
            return _made_of(cast.operand(0).constant, scale, None, axis)
    return None


def _along(scale: Array, axis: int) -> bool:
    """Whether a factor that is broadcast over [a, b] varies along this axis alone."""
    shape = (1,) * (2 - scale.ndim) + scale.shape
    return len(shape) == 2 and shape[1 - axis] == 1


def _made_of(numbers: Array | None, scale: Array, zero: Any, axis: int) -> _Stored | None:
    if numbers is None or numbers.ndim != 2 or numbers.dtype not in (np.int8, np.uint8) or scale.dtype != np.float32:
        return None
    shift = np.zeros((), np.int16) if zero is None else np.asarray(zero).astype(np.int16)
    columns = numbers.shape[axis]
    if scale.size not in (1, columns) or shift.size not in (1, columns):
        return None
    return _Stored(numbers if axis == 1 else numbers.T, scale.reshape(-1), shift.reshape(-1))
