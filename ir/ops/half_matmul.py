"""arenaut.HalfMatMul: a product of float32 rows with constant weights of 16-bit floats, which stay 16 bits.

Inputs: A [..., K] float32; B [K, N], with transB [N, K], float16 or bfloat16. Y [..., N] is A times B widened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Node, Value
from arenaut.ir.ops.matmul import PRODUCT
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree
from arenaut.ir.ops.support.composite import cast, transpose
from arenaut.ir.record import Build, Infer, Lower, OpRecord, Sample
from arenaut.ir.types import TensorType, Type


def _infer(context: Infer) -> Sequence[Type]:
    a, b = context.shape(0), context.shape(1)
    if context.dtype(0) is not DType.FLOAT or context.dtype(1) not in (DType.FLOAT16, DType.BFLOAT16):
        raise context.fail(f"{context.dtype(0).short} times {context.dtype(1).short}, not float32 times 16-bit floats")
    if len(a) < 2 or len(b) != 2:
        raise context.fail(f"operands of rank {len(a)} and {len(b)}, not 2 or more and 2")
    depth, columns = b[::-1] if context.node.attr("transB", 0) else b
    agree(context, a[-1], depth, "the inner dims of A and B differ")
    return [TensorType(DType.FLOAT, (*a[:-1], columns))]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    a, b = (np.asarray(x) for x in inputs)
    wide = b.astype(np.float32)
    with np.errstate(all="ignore"):
        return [np.matmul(a, wide.T if node.attr("transB", 0) else wide)]


def _decompose(build: Build, node: Node) -> Sequence[Value]:
    wide = cast(build, node.operand(1), DType.FLOAT)
    return [build.op("MatMul", node.operand(0), transpose(build, wide, (1, 0)) if node.attr("transB", 0) else wide)]


def _lower(lower: Lower, node: Node) -> None:
    operands = [lower.read(node.operand(0)), lower.read(node.operand(1))]
    params = {"trans_a": 0, "trans_b": int(bool(node.attr("transB", 0))), "alpha": 1.0, "beta": 1.0}
    lower.call("HalfMatMul", operands, [lower.write(node.output)], params)


def _flops(node: Node) -> Dim:
    return 2 * product(node.output.shape) * node.operand(0).shape[-1]


def _samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT16, DType.BFLOAT16):
        for rows, depth, columns in ((1, 70, 33), (3, 32, 16), (37, 290, 5)):
            a, b = samples.draw((2, rows, depth)), samples.draw((depth, columns), dtype, -1, 1, seed=1)
            yield Sample((a, b))
            yield Sample((a, np.ascontiguousarray(b.T)), {"transB": 1})


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="HalfMatMul", domain=ARENAUT_DOMAIN, infer=_infer, evaluate=_evaluate, lower=_lower, decompose=_decompose,
        family="HalfMatMul", anchor=True, tolerance=PRODUCT, flops=_flops, samples=_samples,
    ),
)  # fmt: skip
