"""arenaut.QSoftmax and arenaut.QLayerNormalization: ops along the last axis that read bytes and round their results.

Inputs of QSoftmax: X, x_scale, x_zero_point; of QLayerNormalization: X, x_scale, x_zero_point, Scale, B. X is of
uint8 or int8 and stands for (X - x_zero_point) * x_scale, or of float32, without scale and zero point. Y is float32;
what rounds it is the node's epilogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Node, Value
from arenaut.ir.ops.norm import standardised
from arenaut.ir.ops.quantize import restored
from arenaut.ir.ops.softmax import softmax
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree
from arenaut.ir.record import Build, Infer, Lower, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

_EPSILON = float(np.float32(1e-5))


def _result(context: Infer) -> TensorType:
    dtype, shape = context.dtype(0), context.shape(0)
    if dtype not in (DType.FLOAT, DType.UINT8, DType.INT8) or (dtype is DType.FLOAT) == context.has(1):
        raise context.fail(f"X of {dtype.short} {'with' if context.has(1) else 'without'} a scale")
    if not shape:
        raise context.fail("X has no axis")
    return TensorType(DType.FLOAT, shape)


def _softmax_infer(context: Infer) -> Sequence[Type]:
    return [_result(context)]


def _norm_infer(context: Infer) -> Sequence[Type]:
    result = _result(context)
    assert result.shape is not None
    for index in (3, 4):
        if context.has(index):
            vector = context.shape(index)
            if len(vector) != 1:
                raise context.fail(f"input {index} must have rank 1, got {len(vector)}")
            agree(context, vector[0], result.shape[-1], f"input {index} against the last axis")
    return [result]


def _floats(inputs: Sequence[Any]) -> Array:
    x, scale, zero = [*inputs, None, None][:3]
    if scale is None:
        return np.asarray(x)
    shift = 0 if zero is None else int(np.reshape(zero, ()))
    return np.asarray((x.astype(np.int32) - shift).astype(np.float32) * np.float32(np.reshape(scale, ())))


def _softmax_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [softmax(_floats(inputs), -1)]


def _norm_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    gain, shift = [*inputs, None][3:5]
    y = standardised(_floats(inputs), (-1,), float(node.attr("epsilon", _EPSILON)))[0] * gain
    return [np.asarray(y if shift is None else y + shift, np.float32)]


def _read(build: Build, node: Node) -> Value:
    scale = node.input(1)
    return node.operand(0) if scale is None else restored(build, node.operand(0), scale, node.input(2))


def _softmax_decompose(build: Build, node: Node) -> Sequence[Value]:
    return [build.op("Softmax", _read(build, node), axis=-1)]


def _norm_decompose(build: Build, node: Node) -> Sequence[Value]:
    vectors = [v for v in node.inputs[3:5] if v is not None]
    epsilon = float(node.attr("epsilon", _EPSILON))
    return [build.op("LayerNormalization", _read(build, node), *vectors, axis=-1, epsilon=epsilon)]


def _operands(lower: Lower, node: Node, *order: int) -> list[Any]:
    values = [node.input(i) for i in order]
    return [None if v is None else lower.read(v) for v in values]


def _softmax_lower(lower: Lower, node: Node) -> None:
    lower.call("QSoftmax", _operands(lower, node, 0, 1, 2), [lower.write(node.output)], {})


def _norm_lower(lower: Lower, node: Node) -> None:
    params = {"epsilon": float(node.attr("epsilon", _EPSILON))}
    lower.call("QLayerNormalization", _operands(lower, node, 0, 3, 1, 2, 4), [lower.write(node.output)], params)


def _flops(per_element: int) -> Any:
    def flops(node: Node) -> Dim:
        return per_element * product(node.output.shape)

    return flops


def _sources() -> Iterator[tuple[Any, ...]]:
    for shape in ((3, 5), (2, 3, 40), (1, 65), (0, 3)):
        yield samples.draw(shape, DType.FLOAT, -5, 5), None, None
        for dtype in (DType.UINT8, DType.INT8):
            x, scale = samples.draw(shape, dtype, 0, 127), np.array(0.05, np.float32)
            yield x, scale, np.array(9, dtype.numpy)
            yield x, scale, None


def _softmax_samples() -> Iterator[Sample]:
    for source in _sources():
        yield Sample(source)


def _norm_samples() -> Iterator[Sample]:
    for index, source in enumerate(_sources()):
        gain = samples.draw(source[0].shape[-1:], DType.FLOAT, -2, 2, seed=1)
        yield Sample((*source, gain, samples.draw(gain.shape, DType.FLOAT, -2, 2, seed=2) if index % 2 else None))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="QSoftmax", domain=ARENAUT_DOMAIN, infer=_softmax_infer, evaluate=_softmax_evaluate, lower=_softmax_lower,
        decompose=_softmax_decompose, family="QSoftmax", anchor=True, flops=_flops(5), tolerance=Tolerance("ulp", 16),
        samples=_softmax_samples,
    ),
    OpRecord(
        op="QLayerNormalization", domain=ARENAUT_DOMAIN, infer=_norm_infer, evaluate=_norm_evaluate, lower=_norm_lower,
        decompose=_norm_decompose, family="QLayerNormalization", anchor=True, flops=_flops(8),
        tolerance=Tolerance("product", 8), samples=_norm_samples,
    ),
)  # fmt: skip
