"""Weights of products as codes in blocks: the operands of arenaut.BlockMatMul."""

from __future__ import annotations

from typing import Any

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.record import IntegerForm

FEWEST = 4096  # elements of a weight that codes are worth: fewer gain nothing that a product would notice
_COLUMNS = 512  # quantised at a time, so that what is made on the way stays small


def quantised(weights: Array, bits: int, block: int) -> tuple[Array, Array, float]:
    """Codes [N, blocks, block * bits / 8] and scales [N, blocks] of float32 weights [K, N], and the root mean square of
    what they miss, relative to that of the weights.

    A code c stands for (c - 2 ** (bits - 1)) * scale. Of 8 bits the greatest magnitude of a block is 127 codes away
    from zero; of fewer the element of that magnitude is the lowest code, so that none is left over.
    """
    depth, columns = weights.shape
    blocks = -(-depth // block)
    codes = np.empty((columns, blocks, block * bits // 8), np.uint8)
    scales = np.empty((columns, blocks), np.float32)
    missed = total = 0.0
    for first in range(0, columns, _COLUMNS):
        part = np.zeros((min(_COLUMNS, columns - first), blocks * block), np.float32)
        part[:, :depth] = weights[:, first : first + _COLUMNS].T
        part = part.reshape(len(part), blocks, block)
        farthest = np.take_along_axis(part, np.abs(part).argmax(axis=2, keepdims=True), axis=2)
        scale = np.abs(farthest) / 127 if bits == 8 else farthest / -(2.0 ** (bits - 1))
        scale = scale.astype(np.float32)
        steps = np.rint(part / np.where(scale == 0, np.float32(1), scale))
        numbers = np.clip(steps, -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
        missed += float(np.square(part - numbers * scale, dtype=np.float64).sum())
        total += float(np.square(part, dtype=np.float64).sum())
        codes[first : first + _COLUMNS] = packed((numbers + 2.0 ** (bits - 1)).astype(np.uint8), bits)
        scales[first : first + _COLUMNS] = scale[..., 0]
    return codes, scales, float(np.sqrt(missed / total)) if total else 0.0


def packed(numbers: Array, bits: int) -> Array:
    """Codes of 8 or 4 bits along the last axis in bytes, the lowest bits first."""
    return numbers if bits == 8 else numbers[..., ::2] | numbers[..., 1::2] << 4


def weight_product(node: Node) -> IntegerForm | None:
    """How a product multiplies rows by a matrix, with nothing but a bias beside; None for other nodes."""
    rule = record_of(node).integer
    if rule is None or len(node.inputs) < 2 or not all(v is not None and v.has_shape for v in node.inputs[:2]):
        return None
    form = rule(node) if node.operand(1).rank == 2 else None
    return form if form is not None and form.factor == 1 and set(form.attributes) <= {"transB"} else None


def by_rows(weights: Array, form: IntegerForm) -> Array:
    """The weights of a product as [K, N], a view."""
    return weights.T if form.attributes else weights


def replace_product(graph: Graph, node: Node, form: IntegerForm, made: Value) -> None:
    """`made` is the product without its bias. Weights that nobody reads any more are let go at once."""
    weights = node.operand(1)
    if form.bias is not None:
        made = GraphBuilder(graph, before=node, name=node.name or node.op).op("Add", made, form.bias)
    graph.replace(node.output, made)
    graph.remove([node])
    if not weights.uses and not graph.is_output(weights):
        weights.constant = None


def block_matmul(
    graph: Graph, node: Node, a: Value, codes: Array, scales: Array, zeros: Array | None, *, bits: int, block: int,
    depth: int,
) -> Value:  # fmt: skip
    """The product of `a` by the weight that these stand for, before `node`."""
    build = GraphBuilder(graph, before=node, name=node.name or node.op)
    name = node.operand(1).name
    constants: list[Value] = [graph.add_constant(codes, f"{name}_codes"), graph.add_constant(scales, f"{name}_scales")]
    if zeros is not None:
        constants.append(graph.add_constant(zeros, f"{name}_zeros"))
    sizes: dict[str, Any] = {"bits": bits, "block_size": block, "K": depth, "N": len(codes)}
    return build.op("BlockMatMul", a, *constants, domain=ARENAUT_DOMAIN, **sizes)
