"""Linear quantisation: to and from integers and narrow floats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from arenaut.ir.dims import product
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.cast import cast_array
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, axis_in, tensor_like, to_dtype, widen
from arenaut.ir.ops.support.composite import cast, dims_of, ints, number, reshape
from arenaut.ir.record import Build, Infer, Lower, NoRowError, OpRecord, Reg, Sample, TileBuilder, Tolerance
from arenaut.ir.types import TensorType, Type

_RANGES = {
    DType.UINT8: (0, 255), DType.INT8: (-128, 127), DType.UINT16: (0, 65535), DType.INT16: (-32768, 32767),
    DType.UINT4: (0, 15), DType.INT4: (-8, 7), DType.UINT2: (0, 3), DType.INT2: (-2, 1),
}  # fmt: skip


def range_of(dtype: DType) -> tuple[int, int]:
    """The numbers that QuantizeLinear clips to; all there are, of types that it does not clip to."""
    return _RANGES.get(dtype, (-(1 << 62), 1 << 62))


# -- scales over a tensor ------------------------------------------------------------------------------------------


def _axis(node: Node, rank: int) -> int:
    return 0 if rank < 2 else int(node.attr("axis", 1)) % rank


def _check_scales(context: Infer) -> None:
    """Raises ShapeError unless scale and zero point are one number, one an index of the axis, or one a block."""
    _check_scale(context, 1, "scale")
    if context.has(2):
        _check_scale(context, 2, "zero point")


def _check_scale(context: Infer, index: int, what: str) -> None:
    x, scale = tensor_like(context).shape, tensor_like(context, index).shape
    if x is None or scale is None or len(scale) == 0 or product(scale) == 1:
        return
    axis = axis_in(context, int(context.node.attr("axis", 1)), len(x)) if len(x) > 1 else 0
    if len(scale) == 1 and not context.node.attr("block_size", 0):
        agree(context, scale[0], x[axis] if x else 1, f"the {what} against dim {axis}")
    elif len(scale) != len(x):
        raise context.fail(f"a {what} of rank {len(scale)} for an input of rank {len(x)}")


def _spread(scale: Array, shape: Sequence[int], axis: int, block: int) -> Array:
    """Scales, or zero points, so that they broadcast against a tensor of that shape."""
    if scale.size == 1:
        return scale.reshape(())
    if scale.ndim == 1 and not block:
        return scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    repeated = np.repeat(scale, block, axis)
    return repeated[tuple(slice(0, n) for n in shape)]


def spread_node(build: Build, scale: Value, x: Value, axis: int, block: int) -> Value:
    """The same as nodes. Raises NoRowError where a dim of the blocks is not known."""
    if scale.rank == 0:
        return scale
    if product(scale.shape) == 1 or (scale.rank == 1 and x.rank == 0):
        return build.op("Squeeze", scale, ints(build, *range(scale.rank)))
    if scale.rank == 1 and not block:
        around = [i for i in range(x.rank) if i != axis]
        return build.op("Unsqueeze", scale, ints(build, *around)) if around else scale
    length, blocks = x.shape[axis], scale.shape[axis]
    if not isinstance(length, int) or not isinstance(blocks, int):
        raise NoRowError("blocks along a dim that is not known")
    apart = build.op("Unsqueeze", scale, ints(build, axis + 1))
    repeats = build.op("Expand", apart, ints(build, *[block if i == axis + 1 else 1 for i in range(x.rank + 1)]))
    before, after = dims_of(build, scale, 0, axis), dims_of(build, scale, axis + 1, scale.rank)
    flat = reshape(build, repeats, before, blocks * block, after)
    if blocks * block == length:
        return flat
    return build.op("Slice", flat, ints(build, 0), ints(build, length), ints(build, axis))


# -- QuantizeLinear ------------------------------------------------------------------------------------------------


def _quantised_type(node: Node, zero_point: DType | None) -> DType:
    given = node.attr("output_dtype", 0)
    return DType(given) if given else zero_point or DType.UINT8


def _precision(node: Node, scale: DType) -> DType:
    """Of the quotient. A power of two in a type without a sign is a divisor, not a precision."""
    given = node.attr("precision", 0)
    return DType(given) if given else DType.FLOAT if scale is DType.FLOAT8E8M0 else scale


def _quantize_infer(context: Infer) -> Sequence[Type]:
    _check_scales(context)
    zero_point = context.dtype(2) if context.has(2) else None
    return [TensorType(_quantised_type(context.node, zero_point), tensor_like(context).shape)]


def saturated(x: Array, zero_point: Any, to: DType, saturate: bool = True) -> Array:
    """round(x) + zero_point clipped to a type's range, NaN its lowest number; into narrow floats x + zero_point as Cast
    does it."""
    if to not in _RANGES:
        return cast_array(x + zero_point, to, saturate)
    low, high = _RANGES[to]
    with np.errstate(all="ignore"):
        whole = np.nan_to_num(np.clip(np.rint(x) + zero_point, low, high), nan=low)
        return np.asarray(whole, np.int32).astype(to.numpy)


_TILED = frozenset({DType.UINT8, DType.INT8, DType.UINT16, DType.INT16})  # what tile functions quantise to


def of_one_scale(node: Node) -> bool:
    """Whether scale and zero point are single numbers that broadcast against the input."""
    x, given = node.operand(0), [v for v in node.inputs[1:] if v is not None]
    return x.has_shape and all(v.has_shape and (v.rank == 0 or (v.shape == (1,) and x.rank > 0)) for v in given)


def _quantize_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, scale = np.asarray(inputs[0]), np.asarray(inputs[1])
    zero = np.asarray(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else None
    to = _quantised_type(node, None if zero is None else dtype_of(zero))
    precision = _precision(node, dtype_of(scale)).numpy
    axis, block = _axis(node, x.ndim), int(node.attr("block_size", 0))
    work = np.float64 if precision == np.float64 else np.float32
    divisor = _spread(scale, x.shape, axis, block).astype(precision).astype(work)
    with np.errstate(all="ignore"):
        quotient = (x.astype(precision).astype(work) / divisor).astype(precision).astype(work)
    shift = np.zeros((), work) if zero is None else _spread(zero, x.shape, axis, block).astype(work)
    return [saturated(quotient, shift, to, bool(node.attr("saturate", 1)))]


def _quantize_on_tiles(node: Node) -> bool:
    x, scale = node.operand(0).dtype, node.operand(1).dtype
    plain = x is scale is _precision(node, scale) is DType.FLOAT
    return plain and node.output.dtype in _TILED and of_one_scale(node)


def _quantize_tile(builder: TileBuilder, node: Node, registers: Sequence[Reg | None]) -> Sequence[Reg]:
    x, scale, zero = [*registers, None][:3]
    assert x is not None and scale is not None
    return [builder.op(f"quantize_{node.output.dtype.short}", x, scale, zero or builder.imm(0, DType.INT32))]


def saturated_node(build: Build, x: Value, zero_point: Value | None, to: DType, saturate: int = 1) -> Value:
    """The same as nodes; zero_point in x's type."""
    if to not in _RANGES:
        shifted = x if zero_point is None else build.op("Add", x, zero_point)
        return build.op("Cast", shifted, to=int(to), saturate=saturate)
    low, high = _RANGES[to]
    whole = build.op("Round", x)
    shifted = whole if zero_point is None else build.op("Add", whole, zero_point)
    lowest = number(build, low, x.dtype)
    clipped = build.op("Clip", shifted, lowest, number(build, high, x.dtype))
    return build.op("Cast", build.op("Where", build.op("IsNaN", clipped), lowest, clipped), to=int(to))


def _quantize_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, scale, zero = node.operand(0), node.operand(1), node.input(2)
    to = _quantised_type(node, None if zero is None else zero.dtype)
    precision = _precision(node, scale.dtype)
    axis, block = _axis(node, x.rank), int(node.attr("block_size", 0))
    work = DType.DOUBLE if precision is DType.DOUBLE else DType.FLOAT
    divisor = spread_node(build, cast(build, scale, precision), x, axis, block)
    quotient = cast(build, build.op("Div", cast(build, x, precision), divisor), work)
    shift = None if zero is None else cast(build, spread_node(build, zero, x, axis, block), work)
    return [saturated_node(build, quotient, shift, to, int(node.attr("saturate", 1)))]


# -- DequantizeLinear ----------------------------------------------------------------------------------------------


def _restored_type(node: Node, scale: DType) -> DType:
    given = node.attr("output_dtype", 0)
    return DType(given) if given else scale


def _dequantize_infer(context: Infer) -> Sequence[Type]:
    _check_scales(context)
    return [TensorType(_restored_type(context.node, context.dtype(1)), tensor_like(context).shape)]


def _dequantize_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, scale = np.asarray(inputs[0]), np.asarray(inputs[1])
    axis, block = _axis(node, x.ndim), int(node.attr("block_size", 0))
    to = _restored_type(node, dtype_of(scale))
    work = np.float64 if to is DType.DOUBLE else np.float32
    wide = x.astype(np.int64) if dtype_of(x).is_integer else widen(x)
    if len(inputs) > 2 and inputs[2] is not None:
        zero = np.asarray(inputs[2])
        wide = wide - _spread(zero, x.shape, axis, block).astype(wide.dtype)
    return [to_dtype(wide.astype(work) * _spread(scale, x.shape, axis, block).astype(work), to.numpy)]


def _dequantize_on_tiles(node: Node) -> bool:
    x, scale = node.operand(0).dtype, node.operand(1).dtype
    return x in _TILED and scale is node.output.dtype is DType.FLOAT and of_one_scale(node)


def _dequantize_tile(builder: TileBuilder, node: Node, registers: Sequence[Reg | None]) -> Sequence[Reg]:
    x, scale, zero = [*registers, None][:3]
    assert x is not None and scale is not None
    return [builder.op("dequantize", x, zero or builder.imm(0, DType.INT32), scale)]


def _dequantize_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, scale, zero = node.operand(0), node.operand(1), node.input(2)
    axis, block = _axis(node, x.rank), int(node.attr("block_size", 0))
    to = _restored_type(node, scale.dtype)
    work = DType.DOUBLE if to is DType.DOUBLE else DType.FLOAT
    if zero is not None:
        exact = DType.INT32 if x.dtype.is_integer else work
        shift = spread_node(build, cast(build, zero, exact), x, axis, block)
        x = build.op("Sub", cast(build, x, exact), shift)
    restored = build.op("Mul", cast(build, x, work), cast(build, spread_node(build, scale, x, axis, block), work))
    return [cast(build, restored, to)]


def restored(build: Build, x: Value, scale: Value, zero: Value | None, axis: int = 1) -> Value:
    """x as floats. Scale and zero point are single, or one an index of axis."""
    return build.op("DequantizeLinear", x, narrowest(build, scale), narrowest(build, zero), axis=axis)


def rounded(build: Build, x: Value, scale: Value, zero: Value | None, axis: int = 1) -> Value:
    """x quantised, by scales of all of it or one an index of axis; without a zero point as uint8."""
    shift = build.constant(np.zeros((), np.uint8)) if zero is None else narrowest(build, zero)
    return build.op("QuantizeLinear", x, narrowest(build, scale), shift, axis=axis)


@overload
def narrowest(build: Build, value: Value) -> Value: ...
@overload
def narrowest(build: Build, value: Value | None) -> Value | None: ...
def narrowest(build: Build, value: Value | None) -> Value | None:
    """A vector of one element as a scalar, which goes with any axis."""
    if value is None or not value.has_shape or value.shape != (1,):
        return value
    if value.constant is not None:
        return build.constant(value.constant.reshape(()))
    return build.op("Squeeze", value, ints(build, 0))


def product_of(build: Build, left: Value, right: Value) -> Value:
    """The product of two scales, at once where they are known."""
    left, right = narrowest(build, left), narrowest(build, right)
    if left.constant is not None and right.constant is not None:
        return build.constant(np.asarray(left.constant * right.constant))
    return build.op("Mul", left, right)


# -- DynamicQuantizeLinear -----------------------------------------------------------------------------------------


def _dynamic_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    types = [TensorType(DType.UINT8, t.shape), TensorType(DType.FLOAT, ()), TensorType(DType.UINT8, ())]
    return types[: len(context.node.outputs)]


def _dynamic_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    low, high = (np.float32(pick.reduce(x, axis=None, initial=0)) for pick in (np.fmin, np.fmax))  # passing over NaN
    with np.errstate(all="ignore"):
        scale = (np.float32(1) if high == low else high - low) / np.float32(255)
        zero = np.nan_to_num(np.rint(np.clip(-low / scale, 0, 255)))
        quotients = x / scale
    results = [saturated(quotients, zero, DType.UINT8), np.asarray(scale), np.asarray(zero).astype(np.uint8)]
    return results[: len(node.outputs)]


_RANGE_PARTS = 64  # stretches of the input whose range is looked for apart


def _dynamic_lower(lower: Lower, node: Node) -> None:
    """The range of parts of the input, then what follows from them."""
    x = lower.read(node.operand(0))
    parts = lower.temp(DType.FLOAT, (_RANGE_PARTS, 2))
    lower.call("RangeParts", [x], [parts])
    results = []
    for index, (dtype, dims) in enumerate(((DType.UINT8, x.dims), (DType.FLOAT, ()), (DType.UINT8, ()))):
        value = node.outputs[index] if index < len(node.outputs) else None
        results.append(lower.temp(dtype, dims) if value is None else lower.write(value))
    lower.call("DynamicQuantize", [x, parts], results)


# -- samples -------------------------------------------------------------------------------------------------------


def _scales(*values: float) -> Array:
    return np.array(values, np.float32)


def _quantize_samples() -> Iterator[Sample]:
    x = samples.draw((3, 4, 5), DType.FLOAT, -40, 40)
    half = np.array(0.25, np.float32)
    for dtype, zero in ((DType.UINT8, 100), (DType.INT8, -3), (DType.UINT16, 1000), (DType.INT16, 5)):
        yield Sample((x, half, np.array(zero, dtype.numpy)))
        per_axis = _scales(0.5, 0.125, 1.0, 0.3)
        yield Sample((x, per_axis, np.array([0, 1, 2, 3], dtype.numpy)), {"axis": 1})
    yield Sample((x, half))
    yield Sample((x, half), {"output_dtype": int(DType.INT8)})
    yield Sample(
        (x, samples.draw((3, 2, 5), DType.FLOAT, 0.25, 1), np.full((3, 2, 5), 3, np.uint8)),
        {"axis": 1, "block_size": 2},
    )
    yield Sample(
        (x, samples.draw((3, 4, 3), DType.FLOAT, 0.25, 1), np.full((3, 4, 3), 3, np.int8)),
        {"axis": -1, "block_size": 2},
    )
    yield Sample((samples.draw((7,), DType.FLOAT, -40, 40), _scales(0.5), np.array([3], np.uint8)))


def _dequantize_samples() -> Iterator[Sample]:
    half = np.array(0.25, np.float32)
    for dtype, zero in ((DType.UINT8, 100), (DType.INT8, -3), (DType.UINT16, 1000), (DType.INT16, 5)):
        x = samples.draw((3, 4, 5), dtype, -100, 100)
        yield Sample((x, half, np.array(zero, dtype.numpy)))
        yield Sample((x, _scales(0.5, 0.125, 1.0, 0.3), np.array([0, 1, 2, 3], dtype.numpy)), {"axis": 1})
        yield Sample((x, half))
    yield Sample((samples.draw((3, 4), DType.INT32, -100000, 100000), half))
    x = samples.draw((3, 4, 5), DType.INT8, -100, 100)
    yield Sample(
        (x, samples.draw((3, 2, 5), DType.FLOAT, 0.25, 1), np.full((3, 2, 5), 3, np.int8)), {"axis": 1, "block_size": 2}
    )


def _dynamic_samples() -> Iterator[Sample]:
    for low, high in ((-3, 7), (1, 5), (-9, -2)):
        yield Sample((samples.draw((3, 5), DType.FLOAT, low, high),), {}, 3)
    yield Sample((np.zeros((2, 2), np.float32),), {}, 3)


_ELEMENT = Tolerance("ulp", 1)

RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="QuantizeLinear", infer=_quantize_infer, evaluate=_quantize_evaluate, tile=_quantize_tile,
        tile_when=_quantize_on_tiles, narrows=True, decompose=_quantize_decompose,
        flops=lambda node: 4 * product(node.output.shape), samples=_quantize_samples,
    ),
    OpRecord(
        op="DequantizeLinear", infer=_dequantize_infer, evaluate=_dequantize_evaluate, tile=_dequantize_tile,
        tile_when=_dequantize_on_tiles, widens=True, decompose=_dequantize_decompose,
        flops=lambda node: 2 * product(node.output.shape), tolerance=_ELEMENT, samples=_dequantize_samples,
    ),
    OpRecord(
        op="DynamicQuantizeLinear", infer=_dynamic_infer, evaluate=_dynamic_evaluate, lower=_dynamic_lower,
        flops=lambda node: 6 * product(node.output.shape), samples=_dynamic_samples,
    ),
)  # fmt: skip
