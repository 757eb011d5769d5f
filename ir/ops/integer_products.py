"""Products and convolutions of integers: the standard's, and the two of the domain arenaut that all quantised models
are raised to. Sums are exact, in int32 that wraps.

QMatMul and QConv take the two operands, the scale and zero point of each, and a bias: (a, b, a_scale?, a_zero?,
b_scale?, b_zero?, bias?). a's are single numbers; b's are single, or one a column of the result (a filter). The result
is float(sum (a - a_zero)(b - b_zero) [+ int32 bias]) * (a_scale * b_scale) [+ float bias]; without scales the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.graph import ARENAUT_DOMAIN, Array, Node, Value
from arenaut.ir.ops.conv import check_bias, conv_attributes, conv_shape, conv_windows, convolve
from arenaut.ir.ops.matmul import PRODUCT, matmul_shape
from arenaut.ir.ops.quantize import product_of, restored, rounded, saturated, saturated_node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree
from arenaut.ir.ops.support.composite import cast, ints, transpose
from arenaut.ir.place import Place
from arenaut.ir.record import Build, Infer, IntegerForm, Lower, NoRowError, OpRecord, Param, Sample
from arenaut.ir.types import Shape, TensorType, Type

_FLOAT_EXACT = 1 << 24  # float32 holds every whole number up to this magnitude


# -- integer products ----------------------------------------------------------------------------------------------


def _matmul_zero(zero: Array, rank: int, is_left: bool) -> Array:
    """A zero point or scale against its matrix: a vector is one a row of A, or one a column of B."""
    if zero.size == 1:
        return zero.reshape(())
    return zero.reshape(-1, 1) if zero.ndim == 1 and is_left and rank > 1 else zero


def _matmul_zero_node(build: Build, zero: Value, rank: int, is_left: bool) -> Value:
    if zero.rank == 1 and zero.shape[0] == 1:
        return build.op("Squeeze", zero, ints(build, 0))
    return build.op("Unsqueeze", zero, ints(build, 1)) if zero.rank == 1 and is_left and rank > 1 else zero


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
    return build.op("MatMul", left, right)


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
    right = _matmul_zero(b_scale.astype(np.float32), b.ndim, False)
    factor = left * right / _matmul_zero(y_scale.astype(np.float32), total.ndim, True)
    zero = _matmul_zero(y_zero.astype(np.float32), total.ndim, True)
    return [saturated(total * factor, zero, dtype_of(y_zero))]


def _qlinear_matmul_decompose(build: Build, node: Node) -> Sequence[Value]:
    """DequantizeLinear, MatMul, QuantizeLinear. Scales and zero points of more than one dim are a row's or a column's
    of every matrix, which those ops do not have."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (node.operand(i) for i in range(8))
    left = _restored_matrix(build, a, a_scale, a_zero, True)
    result = build.op("MatMul", left, _restored_matrix(build, b, b_scale, b_zero, False))
    if max(y_scale.rank, y_zero.rank) <= 1:
        return [rounded(build, result, y_scale, y_zero, max(result.rank - 2, 0))]
    quotient = build.op("Div", result, cast(build, _matmul_zero_node(build, y_scale, result.rank, True), result.dtype))
    zero = cast(build, _matmul_zero_node(build, y_zero, result.rank, True), result.dtype)
    return [saturated_node(build, quotient, zero, y_zero.dtype)]


def _restored_matrix(build: Build, x: Value, scale: Value, zero: Value, is_left: bool) -> Value:
    if max(scale.rank, zero.rank) <= 1:
        return restored(build, x, scale, zero, max(x.rank - 2, 0) if is_left else x.rank - 1)
    shift = cast(build, _matmul_zero_node(build, zero, x.rank, is_left), DType.INT32)
    whole = cast(build, build.op("Sub", cast(build, x, DType.INT32), shift), scale.dtype)
    return build.op("Mul", whole, _matmul_zero_node(build, scale, x.rank, is_left))


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


def _conv_integer_decompose(build: Build, node: Node) -> Sequence[Value]:
    """In float32. Raises NoRowError unless no sum can pass what float32 holds exactly."""
    x, w, x_zero, w_zero = node.operand(0), node.operand(1), node.input(2), node.input(3)
    bound = product(w.shape[1:]) * 255 * 255
    if w.constant is not None and (w_zero is None or w_zero.constant is not None):
        exact = w.constant.astype(np.int64)
        if w_zero is not None and w_zero.constant is not None:
            exact = exact - _per_filter(w_zero.constant.astype(np.int64), w.rank)
        bound = int(np.abs(exact).reshape(exact.shape[0], -1).sum(axis=1).max(initial=0)) * 255
    if not isinstance(bound, int) or bound > _FLOAT_EXACT:
        raise NoRowError("sums that float32 does not hold exactly")
    left, right = cast(build, x, DType.FLOAT), cast(build, w, DType.FLOAT)
    if x_zero is not None:
        left = build.op("Sub", left, _scalar(build, cast(build, x_zero, DType.FLOAT)))
    if w_zero is not None:
        right = build.op("Sub", right, _filter_node(build, cast(build, w_zero, DType.FLOAT), w.rank))
    return [cast(build, build.op("Conv", left, right, **conv_attributes(node)), DType.INT32)]


def _scalar(build: Build, x: Value) -> Value:
    return x if x.rank == 0 else build.op("Squeeze", x, ints(build, 0))


def _filter_node(build: Build, x: Value, rank: int) -> Value:
    if x.rank == 0 or x.shape[0] == 1:
        return _scalar(build, x)
    return build.op("Unsqueeze", x, ints(build, *range(1, rank)))


def _qlinear_conv_decompose(build: Build, node: Node) -> Sequence[Value]:
    """DequantizeLinear, Conv, QuantizeLinear; the bias counts in units of both scales."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (node.operand(i) for i in range(8))
    left, right = restored(build, x, x_scale, x_zero), restored(build, w, w_scale, w_zero, 0)
    bias = node.input(8)
    if bias is not None:
        bias = restored(build, bias, product_of(build, x_scale, w_scale), None, 0)
    result = build.op("Conv", left, right, bias, **conv_attributes(node))
    return [rounded(build, result, y_scale, y_zero)]


# -- arenaut.QMatMul, arenaut.QConv --------------------------------------------------------------------------------


def _swapped(shape: Shape, swap: bool) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if swap and len(shape) > 1 else shape


def _q_type(context: Infer, shape: Shape, columns: Dim) -> Sequence[Type]:
    """float32 of a product with scales, else int32."""
    for index in (0, 1):
        if context.dtype(index) not in (DType.UINT8, DType.INT8):
            raise context.fail(f"operand {index} is {context.dtype(index).short}, not of 8 bits")
    if context.has(2) != context.has(4):
        raise context.fail("only one operand has a scale")
    for index in (2, 3):
        if context.has(index) and product(context.shape(index)) != 1:
            raise context.fail(f"input {index} has more than one element")
    for index in (4, 5, 6):
        if context.has(index) and (index == 6 or product(context.shape(index)) != 1):
            agree(context, product(context.shape(index)), columns, f"input {index} against the result's columns")
    return [TensorType(DType.FLOAT if context.has(2) else DType.INT32, shape)]


def _q_matmul_infer(context: Infer) -> Sequence[Type]:
    a = _swapped(context.shape(0), bool(context.node.attr("transA", 0)))
    b = _swapped(context.shape(1), bool(context.node.attr("transB", 0)))
    if len(a) < 2 or len(b) < 2:
        raise context.fail("operands of rank 2 or more are multiplied")
    return _q_type(context, matmul_shape(context, a, b), b[-1])


def _scaled(total: Array, scales: Sequence[Any], spread: Callable[[Array], Array]) -> Array:
    """int32 sums as floats: with scales and bias, each spread over the result's columns or channels."""
    a_scale, _, b_scale, _, bias = scales
    if bias is not None and bias.dtype == np.int32:
        total = (total.astype(np.int64) + spread(bias)).astype(np.int32)
    if a_scale is None:
        return total
    result = total.astype(np.float32) * (a_scale.reshape(()) * spread(b_scale))
    return np.asarray(result if bias is None or bias.dtype == np.int32 else result + spread(bias))


def _scales_of(inputs: Sequence[Any]) -> list[Any]:
    return [None if _at(inputs, i) is None else np.asarray(inputs[i]) for i in range(2, 7)]


def _q_matmul_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    a, b = np.asarray(inputs[0]), np.asarray(inputs[1])
    a = np.swapaxes(a, -1, -2) if node.attr("transA", 0) else a
    b = np.swapaxes(b, -1, -2) if node.attr("transB", 0) else b
    scales = _scales_of(inputs)
    total = _integer_product(a, b, scales[1], scales[3])
    return [_scaled(total, scales, lambda x: x.reshape(()) if x.size == 1 else x.reshape(-1))]


def _q_conv_infer(context: Infer) -> Sequence[Type]:
    shape = conv_shape(context, context.shape(0), context.shape(1))
    return _q_type(context, shape, shape[1])


def _q_conv_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, w, scales = np.asarray(inputs[0]), np.asarray(inputs[1]), _scales_of(inputs)
    total = _integer_convolution(node, x, w, scales[1], scales[3])
    return [_scaled(total, scales, lambda v: _per_filter(v, x.ndim - 1))]


def _operands(lower: Lower, node: Node) -> list[Place | None]:
    """Places of all seven operands; scales and zero points of one element as scalars."""
    places: list[Place | None] = []
    for index in range(7):
        value = node.input(index)
        place = None if value is None else lower.read(value)
        if place is not None and 2 <= index < 6 and place.dims == (1,):
            place = place.drop(0)
        places.append(place)
    return places


def _q_matmul_lower(lower: Lower, node: Node) -> None:
    params = {"trans_a": int(bool(node.attr("transA", 0))), "trans_b": int(bool(node.attr("transB", 0)))}
    lower.call("QMatMul", _operands(lower, node), [lower.write(node.output)], params)


def _matmul_integer_lower(lower: Lower, node: Node) -> None:
    """The rows of QMatMul, without scales."""
    a, b, a_zero, b_zero = node.operand(0), node.operand(1), node.input(2), node.input(3)
    if a.rank < 2 or b.rank < 2:
        raise NoRowError("vectors")
    zeros = []
    for zero, columns in ((a_zero, 1), (b_zero, b.shape[-1])):
        place = None if zero is None else lower.read(zero)
        if place is not None and place.rank == 1 and place.dims[0] not in (1, columns):
            raise NoRowError("a zero point for each row")
        if place is not None and place.rank > 1:
            raise NoRowError("zero points for each matrix")
        zeros.append(place.drop(0) if place is not None and place.dims == (1,) else place)
    places = [lower.read(a), lower.read(b), None, zeros[0], None, zeros[1], None]
    lower.call("QMatMul", places, [lower.write(node.output)], {"trans_a": 0, "trans_b": 0})


def _matmul_integer_form(node: Node) -> IntegerForm | None:
    rank = node.operand(1).rank
    return IntegerForm("QMatMul", {}, rank - 1) if min(rank, node.operand(0).rank) > 1 else None


def _q_windows(node: Node) -> dict[str, Param]:
    windows = conv_windows(node)
    if len(windows.kernel) > 3:
        raise NoRowError("more than three spatial dims")
    return {"group": int(node.attr("group", 1)), **windows.params}


def _q_conv_lower(lower: Lower, node: Node) -> None:
    lower.call("QConv", _operands(lower, node), [lower.write(node.output)], _q_windows(node))


def _conv_integer_lower(lower: Lower, node: Node) -> None:
    """The rows of QConv, without scales."""
    places: list[Place | None] = [lower.read(node.operand(0)), lower.read(node.operand(1)), None]
    for index in (2, 3):
        zero = node.input(index)
        place = None if zero is None else lower.read(zero)
        if place is not None and (place.rank > 1 or (index == 2 and place.rank == 1 and place.dims != (1,))):
            raise NoRowError("zero points for each channel")
        places += [place.drop(0) if place is not None and place.dims == (1,) else place, None]
    lower.call("QConv", places, [lower.write(node.output)], _q_windows(node))


def _q_decompose(build: Build, node: Node, b_axis: int, multiply: Callable[[Value, Value], Value]) -> Value:
    """The floating-point product of what the numbers stand for; b_axis: along which b's scales differ."""
    a, b = node.operand(0), node.operand(1)
    a_scale, a_zero, b_scale, b_zero, bias = (node.input(i) for i in range(2, 7))
    assert a_scale is not None and b_scale is not None
    result = multiply(restored(build, a, a_scale, a_zero), restored(build, b, b_scale, b_zero, b_axis))
    if bias is None:
        return result
    if bias.dtype is DType.INT32:
        bias = restored(build, bias, product_of(build, a_scale, b_scale), None, 0)
    trailing = range(1, result.rank - 1) if node.op == "QConv" else ()
    bias = build.op("Unsqueeze", bias, ints(build, *trailing)) if trailing else bias
    return build.op("Add", result, bias)


def _q_matmul_decompose(build: Build, node: Node) -> Sequence[Value]:
    swaps = [bool(node.attr(name, 0)) for name in ("transA", "transB")]

    def multiply(*operands: Value) -> Value:
        return build.op("MatMul", *(_transposed(build, x, s) for x, s in zip(operands, swaps, strict=True)))

    rank = node.operand(1).rank
    if node.input(2) is not None:
        return [_q_decompose(build, node, rank - 2 if swaps[1] else rank - 1, multiply)]
    a, b = (_transposed(build, node.operand(i), swaps[i]) for i in (0, 1))
    total = build.op("MatMulInteger", a, b, node.input(3), node.input(5))
    return [total if node.input(6) is None else build.op("Add", total, node.input(6))]


def _q_matmul_flops(node: Node) -> Dim:
    return 2 * product(node.output.shape) * node.operand(0).shape[-2 if node.attr("transA", 0) else -1]


def _transposed(build: Build, x: Value, swap: bool) -> Value:
    return transpose(build, x, (*range(x.rank - 2), x.rank - 1, x.rank - 2)) if swap else x


def _q_conv_decompose(build: Build, node: Node) -> Sequence[Value]:
    settings = conv_attributes(node)
    if node.input(2) is not None:
        return [_q_decompose(build, node, 0, lambda x, w: build.op("Conv", x, w, **settings))]
    total = build.op("ConvInteger", node.operand(0), node.operand(1), node.input(3), node.input(5), **settings)
    if node.input(6) is not None:
        total = build.op("Add", total, _filter_node(build, node.operand(6), node.operand(0).rank - 1))
    return [total]


# -- samples -------------------------------------------------------------------------------------------------------


def _scales(*values: float) -> Array:
    return np.array(values, np.float32)


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
        a, b = samples.draw((2, 3, 7), dtype, -100, 100), samples.draw((2, 7, 4), dtype, -100, 100, seed=1)
        rows = _scales(0.01, 0.02, 0.005, 0.03, 0.06, 0.015).reshape(2, 3, 1)
        columns = _scales(0.01, 0.02, 0.005, 0.03, 0.02, 0.04, 0.01, 0.06).reshape(2, 1, 4)
        tall = np.arange(6).astype(dtype.numpy).reshape(2, 3, 1)
        wide = np.arange(8).astype(dtype.numpy).reshape(2, 1, 4)
        yield Sample((a, rows, tall, b, columns, wide, rows * 3, tall[::-1]))
        yield Sample((a, rows, tall, b, scale[1], at, scale[2], at))


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


def _q_matmul_samples() -> Iterator[Sample]:
    scale, columns = np.array(0.02, np.float32), _scales(0.01, 0.02, 0.005, 0.03, 0.0125)
    bias = samples.draw((5,), DType.INT32, -1000, 1000, seed=2)
    for left, right in (
        (DType.UINT8, DType.INT8),
        (DType.UINT8, DType.UINT8),
        (DType.INT8, DType.INT8),
        (DType.INT8, DType.UINT8),
    ):
        a, b = samples.draw((3, 7), left, -128, 127), samples.draw((7, 5), right, -128, 127, seed=1)
        a_zero, b_zero = np.array(3, left.numpy), np.array(2, right.numpy)
        yield Sample((a, b))
        yield Sample((a, b, None, a_zero, None, b_zero, bias))
        yield Sample((a, b, scale, a_zero, columns, np.arange(5).astype(right.numpy), bias))
        yield Sample((a, b, scale.reshape(1), a_zero, scale, None, bias.astype(np.float32) / 8))
        yield Sample((a, b.T.copy(), scale, a_zero, columns, None), {"transB": 1})
        yield Sample((a.T.copy(), b, scale, None, columns, None), {"transA": 1})
        batched = samples.draw((2, 3, 7), left, -128, 127), samples.draw((2, 7, 5), right, -128, 127, seed=1)
        yield Sample((*batched, scale, a_zero, scale, b_zero))
        yield Sample((batched[0], b, scale, a_zero, columns, None, bias))
        wide = samples.draw((1, 70), left, -128, 127), samples.draw((70, 33), right, -128, 127, seed=1)
        yield Sample((*wide, scale, a_zero, scale, b_zero))
        rows = samples.draw((33, 70), left, -128, 127)
        yield Sample((rows, wide[1], scale, a_zero, scale, b_zero))


def _q_conv_samples() -> Iterator[Sample]:
    x_scale, w_scale = np.array(0.02, np.float32), _scales(0.01, 0.02, 0.005, 0.03)
    bias = np.array([5, -300, 1000, 0], np.int32)
    settings: tuple[dict[str, Any], ...] = (
        {}, {"pads": (1, 1, 1, 1)}, {"strides": (2, 1)}, {"dilations": (2, 1), "pads": (1, 0, 0, 1)},
        {"auto_pad": "SAME_UPPER", "strides": (2, 2)},
    )  # fmt: skip
    for left, right in ((DType.UINT8, DType.INT8), (DType.UINT8, DType.UINT8), (DType.INT8, DType.INT8)):
        x_zero = np.array(17, left.numpy)
        x, w = samples.draw((2, 4, 6, 5), left, -128, 127), samples.draw((4, 4, 3, 2), right, -128, 127, seed=1)
        yield Sample((x, w, None, x_zero, None, None, bias))
        for chosen in settings:
            yield Sample((x, w, x_scale, x_zero, w_scale, np.arange(4).astype(right.numpy), bias), chosen)
        for group in (2, 4):
            part = samples.draw((4, 4 // group, 3, 3), right, -128, 127, seed=2)
            inputs = (x, part, x_scale, x_zero, w_scale, None, bias.astype(np.float32) / 8)
            yield Sample(inputs, {"group": group, "pads": (1, 1, 1, 1)})
        pointwise = samples.draw((4, 4, 1, 1), right, -128, 127, seed=3)
        yield Sample((x, pointwise, x_scale, None, x_scale, None))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="MatMulInteger", infer=_matmul_integer_infer, evaluate=_matmul_integer_evaluate,
        decompose=_matmul_integer_decompose, lower=_matmul_integer_lower, family="QMatMul",
        integer=_matmul_integer_form,
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
        decompose=_conv_integer_decompose, lower=_conv_integer_lower, family="QConv", layout="channels",
        integer=lambda node: IntegerForm("QConv", conv_attributes(node), 0),
        flops=lambda node: 2 * product(node.output.shape) * product(node.operand(1).shape[1:]),
        samples=_conv_integer_samples,
    ),
    OpRecord(
        op="QLinearConv", infer=_qlinear_conv_infer, evaluate=_qlinear_conv_evaluate,
        decompose=_qlinear_conv_decompose,
        flops=lambda node: 2 * product(node.output.shape) * product(node.operand(3).shape[1:]),
        samples=_qlinear_conv_samples,
    ),
    OpRecord(
        op="QMatMul", domain=ARENAUT_DOMAIN, infer=_q_matmul_infer, evaluate=_q_matmul_evaluate,
        decompose=_q_matmul_decompose, lower=_q_matmul_lower, family="QMatMul", anchor=True, tolerance=PRODUCT,
        flops=_q_matmul_flops, samples=_q_matmul_samples,
    ),
    OpRecord(
        op="QConv", domain=ARENAUT_DOMAIN, infer=_q_conv_infer, evaluate=_q_conv_evaluate, decompose=_q_conv_decompose,
        lower=_q_conv_lower, family="QConv", anchor=True, layout="channels", tolerance=PRODUCT,
        flops=lambda node: 2 * product(node.output.shape) * product(node.operand(1).shape[1:]), samples=_q_conv_samples,
    ),
)  # fmt: skip
