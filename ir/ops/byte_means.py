"""arenaut.QMean: the mean, over some axes, of bytes that stand for (x - zero) * scale. The sum is exact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Node, Value
from arenaut.ir.ops.quantize import restored
from arenaut.ir.ops.reduce import KINDS, keep_axes, reduced_shape
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import axis_in
from arenaut.ir.ops.support.composite import ints
from arenaut.ir.record import Build, Infer, Lower, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type


def _axes(node: Node, rank: int) -> tuple[int, ...]:
    return tuple(sorted({int(axis) % rank for axis in node.attr("axes")}))


def _keeps(node: Node) -> bool:
    return bool(node.attr("keepdims", 1))


def _infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    for axis in context.node.attr("axes"):
        axis_in(context, int(axis), len(shape))
    return [TensorType(DType.FLOAT, reduced_shape(shape, _axes(context.node, len(shape)), _keeps(context.node)))]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, scale = np.asarray(inputs[0]), np.asarray(inputs[1])
    zero = 0 if len(inputs) < 3 or inputs[2] is None else int(np.asarray(inputs[2]).reshape(()))
    axes = _axes(node, x.ndim)
    count = math.prod(x.shape[axis] for axis in axes)
    total = x.astype(np.int64).sum(axis=axes, keepdims=_keeps(node)) - zero * count
    with np.errstate(all="ignore"):
        mean = np.divide(np.float64(total) * np.float64(scale.reshape(())), count)
        return [np.asarray(mean, np.float32)]


def _lower(lower: Lower, node: Node) -> None:
    zero = node.input(2)
    axes = _axes(node, node.operand(0).rank)
    operands = [lower.read(node.operand(0)), lower.read(node.operand(1)), None if zero is None else lower.read(zero)]
    target = keep_axes(lower.write(node.output), axes, _keeps(node))
    lower.call("Reduce", operands, [target], {"kind": KINDS.index("MEAN"), "axes": sum(1 << axis for axis in axes)})


def _decompose(build: Build, node: Node) -> Sequence[Value]:
    x = restored(build, node.operand(0), node.operand(1), node.input(2))
    axes = ints(build, *_axes(node, node.operand(0).rank))
    return [build.op("ReduceMean", x, axes, keepdims=int(_keeps(node)), noop_with_empty_axes=1)]


def _samples() -> Iterator[Sample]:
    scale = np.array(0.03, np.float32)
    for dtype in (DType.UINT8, DType.INT8):
        for shape, axes in (((2, 70, 5, 6), (2, 3)), ((3, 40), (1,)), ((4, 5, 6), (0, 2))):
            x = samples.draw(shape, dtype, 0, 127)
            yield Sample((x, scale, np.array(9, dtype.numpy)), {"axes": axes, "keepdims": len(shape) % 2})
            yield Sample((x, scale), {"axes": axes})


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="QMean", domain=ARENAUT_DOMAIN, infer=_infer, evaluate=_evaluate, lower=_lower, decompose=_decompose,
        family="Reduce", layout="follow", flops=lambda node: product(node.operand(0).shape),
        tolerance=Tolerance("ulp", 4), samples=_samples,
    ),
)  # fmt: skip
