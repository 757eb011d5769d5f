"""Linear quantisation: to and from integers and narrow floats, and the integer products built on it.

Integer products are exact: in int32, or in floats where every partial sum is proven to be a whole number they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.cast import cast_array
from arenaut.ir.ops.conv import check_bias, conv_shape, convolve
from arenaut.ir.ops.matmul import matmul_shape
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, axis_in, tensor_like, to_dtype, widen
from arenaut.ir.ops.support.composite import cast, dims_of, ints, number, one, reshape
from arenaut.ir.record import Build, Infer, NoRowError, OpRecord, Reg, Sample, TileBuilder, Tolerance
from arenaut.ir.types import TensorType, Type

_RANGES = {
    DType.UINT8: (0, 255), DType.INT8: (-128, 127), DType.UINT16: (0, 65535), DType.INT16: (-32768, 32767),
    DType.UINT4: (0, 15), DType.INT4: (-8, 7), DType.UINT2: (0, 3), DType.INT2: (-2, 1),
}  # fmt: skip
_FLOAT_EXACT = 1 << 24  # float32 holds every whole number up to this magnitude


# -- scales over a tensor ------------------------------------------------------------------------------------------


def _axis(node: Node, rank: int) -> int:
    return 0 if rank < 2 else int(node.attr("axis", 1)) % rank


def _check_scale(context: Infer, index: int) -> None:
    """Raises ShapeError unless the scale is one number, one an index of the axis, or one a block."""
    x, scale = tensor_like(context).shape, tensor_like(context, index).shape
    if x is None or scale is None or len(scale) == 0 or product(scale) == 1:
        return
    axis = axis_in(context, int(context.node.attr("axis", 1)), len(x)) if len(x) > 1 else 0
    if len(scale) == 1 and not context.node.attr("block_size", 0):
        agree(context, scale[0], x[axis], f"the scale against dim {axis}")
    elif len(scale) != len(x):
        raise context.fail(f"a scale of rank {len(scale)} for an input of rank {len(x)}")


def _spread(scale: Array, shape: Sequence[int], axis: int, block: int) -> Array:
    """Scales, or zero points, so that they broadcast against a tensor of that shape."""
    if scale.size == 1:
        return scale.reshape(())
    if scale.ndim == 1 and not block:
        return scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    repeated = np.repeat(scale, block, axis)
    return repeated[tuple(slice(0, n) for n in shape)]


def _spread_node(build: Build, scale: Value, x: Value, axis: int, block: int) -> Value:
    """The same as nodes. Raises NoRowError where a dim of the blocks is not known."""
    if scale.rank == 0:
        return scale
    if scale.rank == 1 and not block:
        if scale.shape[0] == 1:
            return one(build, "Squeeze", scale, ints(build, 0))
        around = [i for i in range(x.rank) if i != axis]
        return one(build, "Unsqueeze", scale, ints(build, *around)) if around else scale
    length, blocks = x.shape[axis], scale.shape[axis]
    if not isinstance(length, int) or not isinstance(blocks, int):
        raise NoRowError("blocks along a dim that is not known")
    apart = build.op("Unsqueeze", scale, ints(build, axis + 1))
    repeats = build.op("Expand", apart, ints(build, *[block if i == axis + 1 else 1 for i in range(x.rank + 1)]))
    before, after = dims_of(build, scale, 0, axis), dims_of(build, scale, axis + 1, scale.rank)
    flat = reshape(build, repeats, before, blocks * block, after)
    if blocks * block == length:
        return flat
    return one(build, "Slice", flat, ints(build, 0), ints(build, length), ints(build, axis))


# -- QuantizeLinear ------------------------------------------------------------------------------------------------


def _quantised_type(node: Node, zero_point: DType | None) -> DType:
    given = node.attr("output_dtype", 0)
    return DType(given) if given else zero_point or DType.UINT8


def _precision(node: Node, scale: DType) -> DType:
    given = node.attr("precision", 0)
    return DType(given) if given else scale


def _quantize_infer(context: Infer) -> Sequence[Type]:
    _check_scale(context, 1)
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


def _of_one_scale(node: Node) -> bool:
    """Whether scale and zero point are single numbers that broadcast against the input."""
    given = [v for v in node.inputs[1:] if v is not None]
    single = all(v.has_shape and (v.rank == 0 or (v.shape == (1,) and node.operand(0).rank > 0)) for v in given)
    return node.operand(0).has_shape and single


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
    return plain and node.output.dtype in _TILED and _of_one_scale(node)


def _quantize_tile(builder: TileBuilder, node: Node, registers: Sequence[Reg | None]) -> Sequence[Reg]:
    x, scale, zero = [*registers, None][:3]
    assert x is not None and scale is not None
    return [builder.op(f"quantize_{node.output.dtype.short}", x, scale, zero or builder.imm(0, DType.INT32))]


def _saturated_node(build: Build, x: Value, zero_point: Value | None, to: DType, saturate: int = 1) -> Value:
    """The same as nodes; zero_point in x's type."""
    if to not in _RANGES:
        shifted = x if zero_point is None else build.op("Add", x, zero_point)
        return one(build, "Cast", shifted, to=int(to), saturate=saturate)
    low, high = _RANGES[to]
    whole = build.op("Round", x)
    shifted = whole if zero_point is None else build.op("Add", whole, zero_point)
    clipped = build.op("Clip", shifted, number(build, low, x.dtype), number(build, high, x.dtype))
    return one(build, "Cast", clipped, to=int(to))


def _quantize_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, scale, zero = node.operand(0), node.operand(1), node.input(2)
    to = _quantised_type(node, None if zero is None else zero.dtype)
    precision = _precision(node, scale.dtype)
    axis, block = _axis(node, x.rank), int(node.attr("block_size", 0))
    work = DType.DOUBLE if precision is DType.DOUBLE else DType.FLOAT
    divisor = _spread_node(build, cast(build, scale, precision), x, axis, block)
    quotient = cast(build, build.op("Div", cast(build, x, precision), divisor), work)
    shift = None if zero is None else cast(build, _spread_node(build, zero, x, axis, block), work)
    return [_saturated_node(build, quotient, shift, to, int(node.attr("saturate", 1)))]


# -- DequantizeLinear ----------------------------------------------------------------------------------------------


def _restored_type(node: Node, scale: DType) -> DType:
    given = node.attr("output_dtype", 0)
    return DType(given) if given else scale


def _dequantize_infer(context: Infer) -> Sequence[Type]:
    _check_scale(context, 1)
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
    return x in _TILED and scale is node.output.dtype is DType.FLOAT and _of_one_scale(node)


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
        shift = _spread_node(build, cast(build, zero, exact), x, axis, block)
        x = build.op("Sub", cast(build, x, exact), shift)
    restored = build.op("Mul", cast(build, x, work), cast(build, _spread_node(build, scale, x, axis, block), work))
    return [cast(build, restored, to)]


# -- DynamicQuantizeLinear -----------------------------------------------------------------------------------------


def _dynamic_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    types = [TensorType(DType.UINT8, t.shape), TensorType(DType.FLOAT, ()), TensorType(DType.UINT8, ())]
    return types[: len(context.node.outputs)]


def _dynamic_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    low, high = np.float32(x.min(initial=0)), np.float32(x.max(initial=0))
    scale = (np.float32(1) if high == low else high - low) / np.float32(255)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    results = [saturated(x / scale, zero, DType.UINT8), np.asarray(scale), np.asarray(zero).astype(np.uint8)]
    return results[: len(node.outputs)]


def _dynamic_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, zero, one = node.operand(0), number(build, 0, DType.FLOAT), number(build, 1, DType.FLOAT)
    low = build.op("Min", build.op("ReduceMin", x, keepdims=0), zero)
    high = build.op("Max", build.op("ReduceMax", x, keepdims=0), zero)
    span = build.op("Sub", high, low)
    used = build.op("Where", build.op("Equal", span, zero), one, span)
    scale = build.op("Div", used, number(build, 255, DType.FLOAT))
    middle = build.op("Clip", build.op("Div", build.op("Neg", low), scale), zero, number(build, 255, DType.FLOAT))
    shift = build.op("Round", middle)
    y = _saturated_node(build, build.op("Div", x, scale), shift, DType.UINT8)
    return [y, scale, build.op("Cast", shift, to=int(DType.UINT8))][: len(node.outputs)]


# -- integer products ----------------------------------------------------------------------------------------------


def _matmul_zero(zero: Array, rank: int, is_left: bool) -> Array:
    """A zero point or scale against its matrix: a vector is one a row of A, or one a column of B."""
    if zero.size == 1:
        return zero.reshape(())
    return zero.reshape(-1, 1) if zero.ndim == 1 and is_left and rank > 1 else zero


def _matmul_zero_node(build: Build, zero: Value, rank: int, is_left: bool) -> Value:
    if zero.rank == 1 and zero.shape[0] == 1:
        return one(build, "Squeeze", zero, ints(build, 0))
    return one(build, "Unsqueeze", zero, ints(build, 1)) if zero.rank == 1 and is_left and rank > 1 else zero


def _integer_product(a: Array, b: Array, a_zero: Any, b_zero: Any) -> Array:
    """(A - a_zero)(B - b_zero) in int32 that wraps, by way of float64, which holds every sum exactly."""
    left, right = a.astype(np.float64), b.astype(np.float64)
    if a_zero is not None:
        left = left - _matmul_zero(np.asarray(a_zero).astype(np.float64), a.ndim, True)
    if b_zero is not None:
        right = right - _matmul_zero(np.asarray(b_zero).astype(np.float64), b.ndim, False)
    return np.asarray(np.matmul(left, right)).astype(np.int64).astype(np.int32)


def _integer_product_node(build: Build, a: Value, b: Value, a_zero: Value | None, b_zero: Value | None) -> Value:
    left, right = cast(build, a, DType.INT32), cast(build, b, DType.INT32)
    if a_zero is not None:
        zero = cast(build, _matmul_zero_node(build, a_zero, a.rank, True), DType.INT32)
        left = build.op("Sub", left, zero)
    if b_zero is not None:
        zero = cast(build, _matmul_zero_node(build, b_zero, b.rank, False), DType.INT32)
        right = build.op("Sub", right, zero)
    return one(build, "MatMul", left, right)


def _matmul_integer_infer(context: Infer) -> Sequence[Type]:
    return [TensorType(DType.INT32, matmul_shape(context, context.shape(0), context.shape(1)))]


def _at(inputs: Sequence[Any], index: int) -> Any:
    return inputs[index] if index < len(inputs) else None


def _matmul_integer_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [_integer_product(np.asarray(inputs[0]), np.asarray(inputs[1]), _at(inputs, 2), _at(inputs, 3))]


def _matmul_integer_decompose(build: Build, node: Node) -> Sequence[Value]:
    return [_integer_product_node(build, node.operand(0), node.operand(1), node.input(2), node.input(3))]


def _qlinear_matmul_infer(context: Infer) -> Sequence[Type]:
    return [TensorType(context.dtype(7), matmul_shape(context, context.shape(0), context.shape(3)))]


def _qlinear_matmul_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (np.asarray(x) for x in inputs)
    total = _integer_product(a, b, a_zero, b_zero).astype(np.float32)
    left = _matmul_zero(a_scale.astype(np.float32), a.ndim, True)
    factor = left * _matmul_zero(b_scale.astype(np.float32), b.ndim, False) / y_scale.astype(np.float32)
    return [saturated(total * factor, y_zero.astype(np.float32), dtype_of(y_zero))]


def _qlinear_matmul_decompose(build: Build, node: Node) -> Sequence[Value]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (node.operand(i) for i in range(8))
    total = cast(build, _integer_product_node(build, a, b, a_zero, b_zero), DType.FLOAT)
    left = _matmul_zero_node(build, cast(build, a_scale, DType.FLOAT), a.rank, True)
    right = _matmul_zero_node(build, cast(build, b_scale, DType.FLOAT), b.rank, False)
    factor = build.op("Div", build.op("Mul", left, right), cast(build, y_scale, DType.FLOAT))
    shift = cast(build, y_zero, DType.FLOAT)
    return [_saturated_node(build, build.op("Mul", total, factor), shift, y_zero.dtype)]


# -- integer convolutions ------------------------------------------------------------------------------------------


def _conv_integer_infer(context: Infer) -> Sequence[Type]:
    return [TensorType(DType.INT32, conv_shape(context, context.shape(0), context.shape(1)))]


def _per_filter(x: Array, rank: int) -> Array:
    """One element a filter, against the weights or (moved one dim) the output."""
    return x.reshape(()) if x.size == 1 else x.reshape(-1, *[1] * (rank - 1))


def _integer_convolution(node: Node, x: Array, w: Array, x_zero: Any, w_zero: Any) -> Array:
    left, right = x.astype(np.float64), w.astype(np.float64)
    if x_zero is not None:
        left = left - np.asarray(x_zero).astype(np.float64).reshape(())
    if w_zero is not None:
        right = right - _per_filter(np.asarray(w_zero).astype(np.float64), w.ndim)
    return convolve(node, left, right).astype(np.int64).astype(np.int32)


def _conv_integer_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [_integer_convolution(node, np.asarray(inputs[0]), np.asarray(inputs[1]), _at(inputs, 2), _at(inputs, 3))]


def _qlinear_conv_infer(context: Infer) -> Sequence[Type]:
    shape = conv_shape(context, context.shape(0), context.shape(3))
    check_bias(context, 8, shape[1])
    return [TensorType(context.dtype(7), shape)]


def _qlinear_conv_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (np.asarray(v) for v in inputs[:8])
    total = _integer_convolution(node, x, w, x_zero, w_zero).astype(np.int64)
    bias = _at(inputs, 8)
    if bias is not None:
        total = total + _per_filter(np.asarray(bias).astype(np.int64), x.ndim - 1)
    factor = x_scale.reshape(()) * _per_filter(w_scale, x.ndim - 1) / y_scale.reshape(())
    return [saturated(total.astype(np.float32) * factor, y_zero.astype(np.float32).reshape(()), dtype_of(y_zero))]


def _float_convolution(
    build: Build, node: Node, x: Value, w: Value, zeros: tuple[Value | None, Value | None], extra: int
) -> Value:
    """The integer convolution in float32. Raises NoRowError unless no sum can pass what float32 holds exactly; extra:
    the magnitude of what is added to it."""
    x_zero, w_zero = zeros
    largest_x, taps = 255, product(w.shape[1:])
    if w.constant is not None and (w_zero is None or w_zero.constant is not None):
        exact = w.constant.astype(np.int64)
        if w_zero is not None and w_zero.constant is not None:
            exact = exact - _per_filter(w_zero.constant.astype(np.int64), w.rank)
        bound: Dim = int(np.abs(exact).reshape(exact.shape[0], -1).sum(axis=1).max(initial=0)) * largest_x
    else:
        bound = taps * largest_x * 255
    if not isinstance(bound, int) or bound + extra > _FLOAT_EXACT:
        raise NoRowError("sums that float32 does not hold exactly")
    left, right = cast(build, x, DType.FLOAT), cast(build, w, DType.FLOAT)
    if x_zero is not None:
        left = build.op("Sub", left, _scalar(build, cast(build, x_zero, DType.FLOAT)))
    if w_zero is not None:
        right = build.op("Sub", right, _filter_node(build, cast(build, w_zero, DType.FLOAT), w.rank))
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    return one(build, "Conv", left, right, **{n: node.attr(n) for n in names})


def _scalar(build: Build, x: Value) -> Value:
    return x if x.rank == 0 else one(build, "Squeeze", x, ints(build, 0))


def _filter_node(build: Build, x: Value, rank: int) -> Value:
    if x.rank == 0 or x.shape[0] == 1:
        return _scalar(build, x)
    return one(build, "Unsqueeze", x, ints(build, *range(1, rank)))


def _conv_integer_decompose(build: Build, node: Node) -> Sequence[Value]:
    total = _float_convolution(build, node, node.operand(0), node.operand(1), (node.input(2), node.input(3)), 0)
    return [cast(build, total, DType.INT32)]


def _qlinear_conv_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (node.operand(i) for i in range(8))
    bias = node.input(8)
    if bias is not None and bias.constant is None:
        raise NoRowError("a bias of unknown magnitude")
    extra = 0 if bias is None or bias.constant is None else int(np.abs(bias.constant.astype(np.int64)).max(initial=0))
    total = _float_convolution(build, node, x, w, (x_zero, w_zero), extra)
    if bias is not None:
        total = build.op("Add", total, _filter_node(build, cast(build, bias, DType.FLOAT), x.rank - 1))
    per_filter = _filter_node(build, w_scale, x.rank - 1)
    factor = build.op("Div", build.op("Mul", _scalar(build, x_scale), per_filter), _scalar(build, y_scale))
    shift = _scalar(build, cast(build, y_zero, DType.FLOAT))
    return [_saturated_node(build, build.op("Mul", total, factor), shift, y_zero.dtype)]


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


def _matmul_integer_samples() -> Iterator[Sample]:
    for left, right in ((DType.UINT8, DType.INT8), (DType.UINT8, DType.UINT8), (DType.INT8, DType.INT8)):
        a, b = samples.draw((3, 7), left, -100, 100), samples.draw((7, 4), right, -100, 100, seed=1)
        yield Sample((a, b))
        yield Sample((a, b, np.array(3, left.numpy), np.array(2, right.numpy)))
        yield Sample((a, b, np.array(3, left.numpy), np.array([1, 2, 3, 4], right.numpy)))
    batched = samples.draw((2, 3, 7), DType.UINT8, 0, 255), samples.draw((7, 4), DType.INT8, -100, 100, seed=1)
    yield Sample((*batched, np.array(3, np.uint8)))


def _qlinear_matmul_samples() -> Iterator[Sample]:
    for dtype, zero in ((DType.UINT8, 118), (DType.INT8, 5)):
        a, b = samples.draw((3, 7), dtype, -100, 100), samples.draw((7, 4), dtype, -100, 100, seed=1)
        scale = [np.array(s, np.float32) for s in (0.0066, 0.00705, 0.0107)]
        at = np.array(zero, dtype.numpy)
        yield Sample((a, scale[0], at, b, scale[1], at, scale[2], at))


def _conv_integer_samples() -> Iterator[Sample]:
    x, w = samples.draw((1, 3, 6, 5), DType.UINT8, 0, 255), samples.draw((4, 3, 3, 2), DType.UINT8, 0, 255, seed=1)
    for chosen in ({}, {"pads": (1, 1, 1, 1)}, {"strides": (2, 1)}):
        yield Sample((x, w), chosen)
        yield Sample((x, w, np.array(100, np.uint8), np.array(7, np.uint8)), chosen)


def _qlinear_conv_samples() -> Iterator[Sample]:
    x = samples.draw((1, 3, 6, 5), DType.UINT8, 0, 255)
    for w_type in (DType.UINT8, DType.INT8):
        w = samples.draw((4, 3, 3, 2), w_type, -100, 100, seed=1)
        for per_filter in (False, True):
            w_scale = _scales(0.01, 0.02, 0.005, 0.03) if per_filter else np.array(0.0125, np.float32)
            w_zero = np.zeros(w_scale.shape, w_type.numpy)
            head = (x, np.array(0.0369, np.float32), np.array(120, np.uint8), w, w_scale, w_zero)
            tail = (np.array(0.162, np.float32), np.array(123, np.uint8))
            yield Sample((*head, *tail), {"pads": (1, 1, 1, 1)})
            yield Sample((*head, *tail, np.array([5, -300, 1000, 0], np.int32)), {"strides": (2, 2)})


_ELEMENT = Tolerance("ulp", 1)

RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="QuantizeLinear", infer=_quantize_infer, evaluate=_quantize_evaluate, tile=_quantize_tile,
        tile_when=_quantize_on_tiles, decompose=_quantize_decompose,
        flops=lambda node: 4 * product(node.output.shape), samples=_quantize_samples,
    ),
    OpRecord(
        op="DequantizeLinear", infer=_dequantize_infer, evaluate=_dequantize_evaluate, tile=_dequantize_tile,
        tile_when=_dequantize_on_tiles, decompose=_dequantize_decompose,
        flops=lambda node: 2 * product(node.output.shape), tolerance=_ELEMENT, samples=_dequantize_samples,
    ),
    OpRecord(
        op="DynamicQuantizeLinear", infer=_dynamic_infer, evaluate=_dynamic_evaluate, decompose=_dynamic_decompose,
        flops=lambda node: 6 * product(node.output.shape), samples=_dynamic_samples,
    ),
    OpRecord(
        op="MatMulInteger", infer=_matmul_integer_infer, evaluate=_matmul_integer_evaluate,
        decompose=_matmul_integer_decompose,
        flops=lambda node: 2 * product(node.output.shape) * node.operand(0).shape[-1],
        samples=_matmul_integer_samples,
    ),
    OpRecord(
        op="QLinearMatMul", infer=_qlinear_matmul_infer, evaluate=_qlinear_matmul_evaluate,
        decompose=_qlinear_matmul_decompose,
        flops=lambda node: 2 * product(node.output.shape) * node.operand(0).shape[-1],
        samples=_qlinear_matmul_samples,
    ),
    OpRecord(
        op="ConvInteger", infer=_conv_integer_infer, evaluate=_conv_integer_evaluate,
        decompose=_conv_integer_decompose,
        flops=lambda node: 2 * product(node.output.shape) * product(node.operand(1).shape[1:]),
        samples=_conv_integer_samples,
    ),
    OpRecord(
        op="QLinearConv", infer=_qlinear_conv_infer, evaluate=_qlinear_conv_evaluate,
        decompose=_qlinear_conv_decompose,
        flops=lambda node: 2 * product(node.output.shape) * product(node.operand(3).shape[1:]),
        samples=_qlinear_conv_samples,
    ),
)  # fmt: skip
