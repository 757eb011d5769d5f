"""arenaut.BlockMatMul: a product with constant weights of few bits, which keep the packed form that files store.

Inputs: A [..., K]; B [N, blocks, block_size * bits / 8] uint8, numbers of `bits` bits with the lowest first; scales
[N, blocks]; zero points, packed a column after the other, or absent for 2 ** (bits - 1). Y [..., N] is A times the
weight [K, N] that they stand for. accuracy_level 4 allows A to be rounded to 8 bits by block, or A and the weights to
the nearest bfloat16; precision="bfloat16" allows the latter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Node, Value
from arenaut.ir.ops.matmul import PRODUCT
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, to_dtype, widen
from arenaut.ir.ops.support.composite import cast, number, reshape, slice_of, transpose, unsqueeze
from arenaut.ir.record import Build, Infer, Lower, NoRowError, OpRecord, Sample
from arenaut.ir.types import TensorType, Type

BITS = (2, 3, 4, 8)
_SIZES = ((64, 5, 32, (3,)), (40, 18, 16, (2, 2)), (33, 3, 64, (1,)), (128, 33, 32, (20,)))  # of samples


def _sizes(node: Node) -> tuple[int, int, int, int, int]:
    """bits, block_size, K, N, and how many blocks a column has."""
    bits, block, depth, columns = (int(node.attr(name)) for name in ("bits", "block_size", "K", "N"))
    return bits, block, depth, columns, -(-depth // block)


def _infer(context: Infer) -> Sequence[Type]:
    bits, block, depth, columns, blocks = _sizes(context.node)
    if bits not in BITS or block < 16 or block & (block - 1) or depth < 1 or columns < 1:
        raise context.fail(f"{bits} bits in blocks of {block} of a {depth} x {columns} weight")
    a = context.shape(0)
    if not a:
        raise context.fail("a scalar has no matrix product; use Mul")
    agree(context, a[-1], depth, "the inner dim of A against K")
    held = [columns * blocks * (block * bits // 8), columns * blocks, columns * -(-blocks * bits // 8)]
    for index, size in enumerate(held, 1):
        if context.has(index):
            agree(context, product(context.shape(index)), size, f"elements of input {index}")
    return [TensorType(context.dtype(0), (*a[:-1], columns))]


def unpacked(packed: Array, bits: int, count: int) -> Array:
    """[rows, bytes] of numbers of `bits` bits, lowest first, as uint8 [rows, count]."""
    bitwise = np.unpackbits(packed, axis=1, count=count * bits, bitorder="little")
    weights = np.left_shift(np.uint8(1), np.arange(bits, dtype=np.uint8))
    apart = bitwise.reshape(packed.shape[0], count, bits) * weights
    return np.asarray(apart.sum(axis=-1, dtype=np.uint8))


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    bits, block, depth, columns, blocks = _sizes(node)
    a, b, scales = (np.asarray(x) for x in inputs[:3])
    numbers = unpacked(b.reshape(columns, -1), bits, blocks * block).reshape(columns, blocks, block)
    zeros: Any = 1 << (bits - 1)
    if len(inputs) > 3 and inputs[3] is not None:
        zeros = unpacked(np.asarray(inputs[3]).reshape(columns, -1), bits, blocks).astype(np.float32)[..., None]
    weight = (numbers - np.float32(zeros)) * widen(scales).reshape(columns, blocks, 1)
    return [to_dtype(np.matmul(widen(a), weight.reshape(columns, -1)[:, :depth].T), a.dtype)]


def _lower(lower: Lower, node: Node) -> None:
    if "packing" in lower.target.without:
        raise NoRowError("weights that are not packed")
    bits, block, depth, columns, blocks = _sizes(node)
    zeros = node.input(3)
    places = [
        lower.read(node.operand(0)), lower.reshape(lower.read(node.operand(1)), (columns, blocks, block * bits // 8)),
        lower.reshape(lower.read(node.operand(2)), (columns, blocks)),
        None if zeros is None else lower.reshape(lower.read(zeros), (columns, -(-blocks * bits // 8))),
    ]  # fmt: skip
    if not all(place is None or lower.is_constant(place) for place in places[1:]):
        raise NoRowError("weights that only running decides")
    params = {"bits": bits, "block": block, "k": depth, "n": columns, "accuracy": int(node.attr("accuracy_level", 0)),
              "rounded": int(lower.target.precision == "bfloat16")}  # fmt: skip
    lower.call("BlockMatMul", places, [lower.write(node.output)], params)


def _numbers(build: Build, packed: Value, rows: int, bits: int, count: int) -> Value:
    """The packed numbers as float32 [rows, count]: each from the byte that it begins in, and the next one."""
    wide = cast(build, reshape(build, packed, rows, -1), DType.INT32)
    first = np.arange(count, dtype=np.int64) * bits
    word = build.op("Gather", wide, build.constant(first // 8), axis=1)
    if 8 % bits:
        following = build.constant(np.minimum(first // 8 + 1, (first[-1] + bits - 1) // 8))
        word = build.op("Add", word, build.op("Mul", build.op("Gather", wide, following, axis=1), _whole(build, 256)))
    shifted = build.op("Div", word, build.constant((1 << first % 8).astype(np.int32)))
    return cast(build, build.op("BitwiseAnd", shifted, _whole(build, (1 << bits) - 1)), DType.FLOAT)


def _whole(build: Build, value: int) -> Value:
    return number(build, value, DType.INT32)


def _decompose(build: Build, node: Node) -> Sequence[Value]:
    bits, block, depth, columns, blocks = _sizes(node)
    numbers = _numbers(build, node.operand(1), columns, bits, blocks * block)
    zeros = node.input(3)
    shift = number(build, 1 << (bits - 1), DType.FLOAT)
    if zeros is not None:
        shift = unsqueeze(build, _numbers(build, zeros, columns, bits, blocks), 2)
    centred = build.op("Sub", reshape(build, numbers, columns, blocks, block), shift)
    scales = reshape(build, cast(build, node.operand(2), DType.FLOAT), columns, blocks, 1)
    weight = reshape(build, build.op("Mul", centred, scales), columns, blocks * block)
    turned = transpose(build, slice_of(build, weight, 1, 0, depth), (1, 0))
    return [build.op("MatMul", node.operand(0), cast(build, turned, node.operand(0).dtype))]


def _flops(node: Node) -> Dim:
    return 2 * product(node.output.shape) * int(node.attr("K"))


def _samples() -> Iterator[Sample]:
    for bits in BITS:
        for depth, columns, block, rows in (
            (64, 5, 32, (3,)),
            (40, 18, 16, (2, 2)),
            (33, 3, 64, (1,)),
            (128, 33, 32, (20,)),
        ):
            blocks = -(-depth // block)
            a = samples.draw((*rows, depth), DType.FLOAT, -1, 1)
            b = samples.draw((columns, blocks, block * bits // 8), DType.UINT8, 0, 255, seed=1)
            scales = samples.draw((columns, blocks), DType.FLOAT, 0.01, 0.1, seed=2)
            zeros = samples.draw((columns, -(-blocks * bits // 8)), DType.UINT8, 0, 255, seed=3)
            sizes = {"bits": bits, "block_size": block, "K": depth, "N": columns}
            yield Sample((a, b, scales), sizes)
            yield Sample((a, b, scales, zeros), sizes)


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="BlockMatMul", domain=ARENAUT_DOMAIN, infer=_infer, evaluate=_evaluate, lower=_lower, decompose=_decompose,
        family="BlockMatMul", anchor=True, tolerance=PRODUCT, flops=_flops, samples=_samples,
    ),
)  # fmt: skip
