"""onnxruntime's ops whose weights are codes of a few bits in bytes of their own layouts: what the codes stand for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.ir import DType, Value
from arenaut.ir.graph import Array
from arenaut.ir.ops.support.composite import cast, concat, dims_of, number, reshape, unsqueeze
from arenaut.ir.record import Build


def unpacked(build: Build, x: Value, bits: int) -> Value:
    """Codes of 8, 4 or 2 bits that lie in bytes along the last axis, the lowest bits first, as bytes of their own."""
    if bits == 8:
        return x
    mask, shifts = (1 << bits) - 1, range(0, 8, bits)
    if x.constant is not None:
        parts = np.stack([x.constant >> s & mask for s in shifts], axis=-1)
        return build.constant(parts.reshape(*parts.shape[:-2], parts.shape[-2] * parts.shape[-1]))
    pieces = [
        build.op("BitwiseAnd", build.op("BitShift", x, number(build, s, DType.UINT8), direction="RIGHT"),
                 number(build, mask, DType.UINT8))
        for s in shifts
    ]  # fmt: skip
    joined = concat(build, [unsqueeze(build, p, -1) for p in pieces], -1)
    return reshape(build, joined, dims_of(build, x, 0, x.rank - 1), -1)


def dequantised(
    build: Build, codes: Value, scales: Value, zeros: Value | None, bits: int, block: int, axis: int = -1
) -> Value:
    """Unsigned codes as floats, a scale each `block` along an axis; without zero points zero is the middle code."""
    if zeros is None:
        zeros = build.op("Expand", number(build, 1 << (bits - 1), DType.UINT8), build.op("Shape", scales))
    return build.op("DequantizeLinear", codes, scales, zeros, axis=axis, block_size=block)


# -- GatherBlockQuantized ----------------------------------------------------------------------------------------------


def _gather(build: Build, spec: Spec) -> Outputs:
    data, scales, zeros = spec.operand(0), spec.operand(2), spec.input(3)
    axis, along = int(spec.attr("quantize_axis")), int(spec.attr("gather_axis"))
    block, bits = int(spec.attr("block_size")), int(spec.attr("bits"))
    if block < 16 or block & (block - 1):
        raise spec.invalid(f"block_size is {block}, expected a power of two of at least 16")
    if data.dtype is DType.UINT8:
        if bits not in (2, 4, 8):
            raise spec.invalid(f"bits is {bits}, expected 2, 4 or 8")
        if along != 0 or axis % data.rank != data.rank - 1:
            raise spec.unsupported("bytes are gathered along axis 0, with blocks along the last axis, in onnxruntime")
        zeros = None if zeros is None else unpacked(build, zeros, bits)
        floats = dequantised(build, unpacked(build, data, bits), scales, zeros, bits, block, axis)
    else:
        floats = build.op("DequantizeLinear", data, scales, zeros, axis=axis, block_size=block)
    return [build.op("Gather", floats, spec.operand(1), axis=along)]


# -- MatMulBnb4, MatMulFpQ4 --------------------------------------------------------------------------------------------

# What the sixteen codes stand for, as bitsandbytes defines them: floats of four bits, and quantiles of a normal
# distribution.
_FP4 = (0.0, 1 / 192, 2 / 3, 1.0, 1 / 3, 1 / 2, 1 / 6, 1 / 4)
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
_CODES: Mapping[int, Array] = MappingProxyType(
    {0: np.array([*_FP4, *(-v for v in _FP4)], np.float32), 1: np.array(_NF4, np.float32)}
)


def _bnb4(build: Build, spec: Spec) -> Outputs:
    """The weight is stored by columns, two codes a byte with the first in the high bits; blocks run over its end."""
    kind, block, depth, columns = (int(spec.attr(n) or 0) for n in ("quant_type", "block_size", "K", "N"))
    stored, largest = spec.operand(1).constant, spec.operand(2)
    if kind not in _CODES or block < 1 or depth < 1 or columns < 1:
        raise spec.invalid(f"quant_type {kind}, blocks of {block}, a {depth} x {columns} weight")
    if stored is None:
        raise spec.unsupported("its weight is not stored in the model")
    count = depth * columns
    if stored.dtype != np.uint8 or stored.size != (count + 1) // 2:
        raise spec.invalid(f"the weight has {stored.size} bytes, not those of {count} codes")
    codes = np.stack([stored.reshape(-1) >> 4, stored.reshape(-1) & 15], axis=-1).reshape(-1)[:count]
    blocks = -(-count // block)
    known = np.zeros(blocks * block, np.float32)
    known[:count] = _CODES[kind][codes]
    numbers = cast(build, build.constant(known.reshape(blocks, block)), largest.dtype)
    scaled = build.op("Mul", numbers, reshape(build, largest, blocks, 1))
    flat = build.op("Slice", reshape(build, scaled, -1), *(build.constant(np.array([n])) for n in (0, count, 0)))
    weight = reshape(build, flat, columns, depth)
    if spec.attr("transB"):
        weight = build.op("Transpose", weight, perm=(1, 0))
    return [build.op("MatMul", spec.operand(0), weight)]


_BLOCK = 32  # codes that share a scale, of MatMulFpQ4


def _fpq4(build: Build, spec: Spec) -> Outputs:
    """The weight is a row of blocks, column by column: a float32, with blk_quant_type 1 a zero point, and 16 bytes of
    which the low bits hold the first half."""
    stored, shape, kind = spec.operand(1).constant, spec.operand(2).constant, int(spec.attr("blk_quant_type"))
    if stored is None or shape is None:
        raise spec.unsupported("its weight is not stored in the model")
    if kind not in (0, 1) or shape.shape != (2,) or min(shape) < 1:
        raise spec.invalid(f"blk_quant_type {kind} and a weight of shape {shape.tolist()}")
    depth, columns = (int(n) for n in shape)
    blocks, size = -(-depth // _BLOCK), 20 + kind
    if stored.dtype != np.uint8 or stored.size != columns * blocks * size:
        raise spec.invalid(f"the weight has {stored.size} bytes, not those of {columns} x {blocks} blocks of {size}")
    rows = np.ascontiguousarray(stored.reshape(columns * blocks, size))
    scales = np.ascontiguousarray(rows[:, :4]).view(np.float32)
    zeros = rows[:, 4:5].astype(np.float32) if kind else np.float32(8)
    codes = np.concatenate([rows[:, 4 + kind :] & 15, rows[:, 4 + kind :] >> 4], axis=1).astype(np.float32)
    weight = ((codes - zeros) * scales).reshape(columns, blocks * _BLOCK)[:, :depth].T
    return [build.op("MatMul", spec.operand(0), build.constant(np.ascontiguousarray(weight)))]


OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "GatherBlockQuantized"): ContribOp(
            _gather, (3, 4), {"bits": 4, "block_size": 128, "gather_axis": 0, "quantize_axis": 1}, dtypes=(2,)
        ),
        (MICROSOFT, "MatMulBnb4"): ContribOp(
            _bnb4,
            (3, 3),
            {"K": None, "N": None, "block_size": None, "quant_type": None, "training_mode": 0, "transB": 1},
        ),
        (MICROSOFT, "MatMulFpQ4"): ContribOp(_fpq4, (3, 3), {"blk_quant_type": 1}),
    }
)
