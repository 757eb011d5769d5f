"""Matrix products, MatMul and Gemm, which anchor an elementwise epilogue; Det."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, broadcast_shapes, to_dtype, widen
from arenaut.ir.ops.support.half_products import product_family
from arenaut.ir.record import Channels, Infer, IntegerForm, Lower, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import Shape, TensorType, Type

PRODUCT = Tolerance("product", 4)
_MULTIPLIABLE = (
    DType.FLOAT, DType.DOUBLE, DType.INT32, DType.INT64, DType.UINT32, DType.UINT64, DType.FLOAT16, DType.BFLOAT16
)  # fmt: skip


def differ(a: Dim, b: Dim) -> bool:
    """Whether two dims are known to be different numbers."""
    return isinstance(a, int) and isinstance(b, int) and a != b


# -- MatMul --------------------------------------------------------------------------------------------------------


def matmul_shape(context: Infer, a: Shape, b: Shape) -> Shape:
    """numpy.matmul's shape: operands of rank 1 get a dim that the result drops again."""
    if not a or not b:
        raise context.fail("a scalar has no matrix product; use Mul")
    depth_b = b[-2] if len(b) > 1 else b[0]
    agree(context, a[-1], depth_b, "the inner dims of a matrix product differ")
    rows: Shape = a[-2:-1] if len(a) > 1 else ()
    columns: Shape = b[-1:] if len(b) > 1 else ()
    return (*broadcast_shapes(context, [a[:-2], b[:-2]]), *rows, *columns)


def _matmul_infer(context: Infer) -> Sequence[Type]:
    if context.dtype(0) != context.dtype(1):
        raise context.fail("both operands must have one element type")
    return [TensorType(context.dtype(0), matmul_shape(context, context.shape(0), context.shape(1)))]


def _matmul_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    a, b = (np.asarray(x) for x in inputs)
    with np.errstate(all="ignore"):
        return [to_dtype(np.matmul(widen(a), widen(b)), a.dtype)]


def _matmul_lower(lower: Lower, node: Node) -> None:
    a, b, out = lower.read(node.operand(0)), lower.read(node.operand(1)), lower.write(node.output)
    if b.rank == 1:
        b, out = b.insert(1), out.insert(out.rank)
    if a.rank == 1:
        a, out = a.insert(0), out.insert(out.rank - 1)
    columns = b.dims[-1] if node.operand(1).constant is None else None
    family, rounded = product_family(lower, "MatMul", a.dtype, b.dtype, a.dims[-1], columns)
    lower.call(family, [a, b], [out], {"trans_a": 0, "trans_b": 0, "alpha": 1.0, "beta": 1.0, **rounded})


def _matmul_integer(node: Node) -> IntegerForm | None:
    rank = node.operand(1).rank
    return IntegerForm("QMatMul", {}, rank - 1) if min(rank, node.operand(0).rank) > 1 else None


def _matmul_flops(node: Node) -> Dim:
    return 2 * product(node.output.shape) * node.operand(0).shape[-1]


def _matmul_samples() -> Iterator[Sample]:
    shapes = (
        ((3, 4), (4, 5)), ((1, 7), (7, 33)), ((5, 1), (1, 6)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
        ((3, 1, 2, 4), (2, 4, 3)), ((4, 5), (3, 5, 2)), ((4,), (4,)), ((4,), (4, 3)), ((2, 3, 4), (4,)),
        ((4,), (2, 4, 3)), ((0, 4), (4, 3)), ((2, 0), (0, 3)), ((33, 70), (70, 65)),
    )  # fmt: skip
    for dtype in _MULTIPLIABLE:
        for a, b in shapes:
            yield Sample((samples.draw(a, dtype), samples.draw(b, dtype, seed=1)))


# -- Gemm ----------------------------------------------------------------------------------------------------------


def _gemm_dims(node: Node) -> tuple[Dim, Dim, Dim]:
    """Rows, depth, columns of op(A) op(B)."""
    a, b = node.operand(0).shape, node.operand(1).shape
    rows, depth = (a[1], a[0]) if node.attr("transA", 0) else (a[0], a[1])
    return rows, depth, b[0] if node.attr("transB", 0) else b[1]


def _gemm_infer(context: Infer) -> Sequence[Type]:
    a, b = context.shape(0), context.shape(1)
    if len(a) != 2 or len(b) != 2:
        raise context.fail(f"A and B must have rank 2, got {len(a)} and {len(b)}")
    rows, depth, columns = _gemm_dims(context.node)
    agree(context, depth, b[1] if context.node.attr("transB", 0) else b[0], "the inner dims of A and B differ")
    if context.has(2):
        c = context.shape(2)
        fits = all(
            have == 1 or not differ(have, want) for have, want in zip(reversed(c), (columns, rows), strict=False)
        )
        if len(c) > 2 or not fits:
            raise context.fail(f"C does not broadcast to ({rows}, {columns})")
    return [TensorType(context.dtype(0), (rows, columns))]


def _scalars(node: Node) -> tuple[float, float]:
    return float(node.attr("alpha", 1.0)), float(node.attr("beta", 1.0))


def _gemm_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    a, b = np.asarray(inputs[0]), np.asarray(inputs[1])
    c = inputs[2] if len(inputs) > 2 else None
    alpha, beta = _scalars(node)
    left, right = widen(a.T if node.attr("transA", 0) else a), widen(b.T if node.attr("transB", 0) else b)
    with np.errstate(all="ignore"):
        total = np.matmul(left, right)
        total = total if alpha == 1 else total * _as_scalar(alpha, total.dtype)
        if c is not None and beta != 0:
            added = widen(np.asarray(c))
            total = total + (added if beta == 1 else added * _as_scalar(beta, added.dtype))
        return [to_dtype(total, a.dtype)]


def _as_scalar(x: float, dtype: np.dtype[Any]) -> Any:
    """x in the computing type; integers are scaled in float64."""
    return np.float64(x) if dtype.kind in "iu" else dtype.type(x)


def _gemm_lower(lower: Lower, node: Node) -> None:
    alpha, beta = _scalars(node)
    if node.output.dtype.is_integer and not (alpha.is_integer() and beta.is_integer()):
        raise NoRowError("fractions of integers")
    c = node.input(2) if beta != 0 else None
    _, terms, columns = _gemm_dims(node)
    types = node.operand(0).dtype, node.operand(1).dtype
    fed = columns if node.operand(1).constant is None else None
    family, rounded = product_family(lower, "MatMul", *types, terms, fed)
    lower.call(
        family,
        [lower.read(node.operand(0)), lower.read(node.operand(1)), None if c is None else lower.read(c)],
        [lower.write(node.output)],
        {
            "trans_a": int(bool(node.attr("transA", 0))),
            "trans_b": int(bool(node.attr("transB", 0))),
            "alpha": alpha,
            "beta": beta,
            **rounded,
        },
    )


def _gemm_integer(node: Node) -> IntegerForm | None:
    """A C that is no row of the result's columns is left to the float product."""
    alpha, beta = _scalars(node)
    names = [name for name in ("transA", "transB") if node.attr(name, 0)]
    c = node.input(2) if beta != 0 else None
    if c is not None and (beta != 1 or not c.has_shape or c.shape != node.output.shape[1:]):
        return None
    return IntegerForm("QMatMul", dict.fromkeys(names, 1), 0 if "transB" in names else 1, c, alpha)


def _gemm_flops(node: Node) -> Dim:
    rows, depth, columns = _gemm_dims(node)
    return 2 * rows * depth * columns


def _gemm_samples() -> Iterator[Sample]:
    cases: tuple[tuple[tuple[int, ...] | None, dict[str, Any]], ...] = (
        (None, {}), ((6,), {}), ((5, 6), {"transB": 1}), ((1, 6), {"transA": 1}), ((5, 1), {"transA": 1, "transB": 1}),
        ((), {}), ((1,), {"alpha": 2.0, "beta": 3.0}), ((6,), {"beta": 0.0}),
    )  # fmt: skip
    for dtype in _MULTIPLIABLE:
        for c, attributes in cases:
            a = samples.draw((7, 5) if attributes.get("transA") else (5, 7), dtype)
            b = samples.draw((6, 7) if attributes.get("transB") else (7, 6), dtype, seed=1)
            inputs = (a, b) if c is None else (a, b, samples.draw(c, dtype, seed=2))
            yield Sample(inputs, attributes)
    for dtype in (DType.FLOAT, DType.DOUBLE):
        a, b, bias = (samples.draw(s, dtype, seed=i) for i, s in enumerate(((5, 7), (7, 6), (6,))))
        yield Sample((a, b, bias), {"alpha": 0.25, "beta": -0.5})


# -- Det -----------------------------------------------------------------------------------------------------------


def _det_infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    if len(shape) < 2:
        raise context.fail(f"a determinant needs rank 2 or more, got {len(shape)}")
    agree(context, shape[-2], shape[-1], "a determinant needs square matrices")
    return [TensorType(context.dtype(0), shape[:-2])]


def _det_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    return [to_dtype(np.linalg.det(widen(x).astype(np.float64)), x.dtype)]


def _det_lower(lower: Lower, node: Node) -> None:
    lower.call("Det", [lower.read(node.operand(0))], [lower.write(node.output)])


def _det_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.BFLOAT16):
        for shape in ((1, 1), (3, 3), (2, 4, 4), (2, 0, 3, 3)):
            yield Sample((samples.draw(shape, dtype),))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Det", infer=_det_infer, evaluate=_det_evaluate, lower=_det_lower, tolerance=Tolerance("product", 8),
        samples=_det_samples,
    ),
    OpRecord(
        op="MatMul", infer=_matmul_infer, evaluate=_matmul_evaluate, lower=_matmul_lower, anchor=True,
        channels=Channels(-1, -2, -1), integer=_matmul_integer,
        flops=_matmul_flops, tolerance=PRODUCT, samples=_matmul_samples,
    ),
    OpRecord(
        op="Gemm", infer=_gemm_infer, evaluate=_gemm_evaluate, lower=_gemm_lower, anchor=True,
        integer=_gemm_integer,
        flops=_gemm_flops, tolerance=PRODUCT, samples=_gemm_samples,
    ),
)  # fmt: skip
