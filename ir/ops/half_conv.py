"""arenaut.HalfConv: a convolution of float32 images with constant weights of 16-bit floats, which stay 16 bits.

Inputs: X [N, C, ...] float32; W [M, C / group, ...] float16 or bfloat16; B [M] float32, optional. Attributes as of
Conv. Y is the convolution of X by W widened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Node, Value
from arenaut.ir.ops.conv import (
    add_bias,
    call_conv,
    check_bias,
    conv_attributes,
    conv_flops,
    conv_shape,
    conv_windows,
    convolve,
)
from arenaut.ir.ops.matmul import PRODUCT
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.composite import cast
from arenaut.ir.record import Build, Channels, Infer, Lower, OpRecord, Sample
from arenaut.ir.types import TensorType, Type


def _infer(context: Infer) -> Sequence[Type]:
    if context.dtype(0) is not DType.FLOAT or context.dtype(1) not in (DType.FLOAT16, DType.BFLOAT16):
        raise context.fail(f"{context.dtype(0).short} by {context.dtype(1).short}, not float32 by 16-bit floats")
    shape = conv_shape(context, context.shape(0), context.shape(1))
    check_bias(context, 2, shape[1])
    return [TensorType(DType.FLOAT, shape)]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, w = (np.asarray(each) for each in inputs[:2])
    return [add_bias(convolve(node, x, w.astype(x.dtype)), inputs[2] if len(inputs) > 2 else None)]


def _decompose(build: Build, node: Node) -> Sequence[Value]:
    wide = cast(build, node.operand(1), DType.FLOAT)
    bias = node.input(2)
    operands = [node.operand(0), wide] if bias is None else [node.operand(0), wide, bias]
    return [build.op("Conv", *operands, **conv_attributes(node))]


def _lower(lower: Lower, node: Node) -> None:
    call_conv(lower, node, "HalfConv", conv_windows(node))


def _samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT16, DType.BFLOAT16):
        for kernel, more in ((1, {}), (3, {"pads": (1, 1, 1, 1)}), (3, {"strides": (2, 2), "group": 2})):
            group = int(more.get("group", 1))  # type: ignore[call-overload]
            x = samples.draw((2, 16, 9, 7), DType.FLOAT, -1, 1)
            w = samples.draw((10, 16 // group, kernel, kernel), dtype, -1, 1, seed=1)
            yield Sample((x, w, samples.draw((10,), DType.FLOAT, seed=2)) if kernel == 3 else (x, w), dict(more))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="HalfConv", domain=ARENAUT_DOMAIN, infer=_infer, evaluate=_evaluate, lower=_lower, decompose=_decompose,
        family="HalfConv", layout="channels", anchor=True, channels=Channels(1, 1, 0), flops=conv_flops,
        tolerance=PRODUCT, samples=_samples,
    ),
)  # fmt: skip
