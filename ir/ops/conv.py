"""Convolutions: Conv, ConvTranspose, DeformConv. Conv and ConvTranspose anchor an elementwise epilogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product as all_pairs
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, exact_div, maximum, minimum, product
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node, static_shape
from arenaut.ir.ops.matmul import PRODUCT, differ
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, to_dtype, widen
from arenaut.ir.ops.support.half_products import product_family
from arenaut.ir.ops.support.windows import (
    Windows,
    auto_pad_of,
    geometries,
    ints_attribute,
    numpy_windows,
    padded,
    split_total,
    windows_of,
)
from arenaut.ir.record import Channels, Infer, IntegerForm, Lower, NoRowError, OpRecord, Sample
from arenaut.ir.types import Shape, TensorType, Type

_FLOATS = (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.BFLOAT16)
FEWEST_CHANNELS = 8  # of a group that convolutions of 16-bit floats gain by: fewer are no matrix product


def kernel_of(node: Node, weights: Shape) -> Shape:
    """The kernel's spatial dims: those of the weights, or kernel_shape where it is better known."""
    given = node.attr("kernel_shape")
    own = weights[2:]
    if given is None or len(given) == 0:
        return own
    if len(given) != len(own) or any(differ(int(g), d) for g, d in zip(given, own, strict=True)):
        raise RuleError(f"kernel_shape {tuple(given)} is not that of the weights, {own}")
    return tuple(int(g) for g in given)


# -- Conv ----------------------------------------------------------------------------------------------------------


def conv_shape(context: Infer, x: Shape, w: Shape) -> Shape:
    """The output dims of a convolution of x by w. Raises ShapeError where they contradict."""
    if len(x) < 3 or len(w) != len(x):
        raise context.fail(f"X has rank {len(x)} and W rank {len(w)}, expected one rank of at least 3")
    group = int(context.node.attr("group", 1))
    agree(context, x[1], w[1] * group, "channels of X against group * W.shape[1]")
    if group < 1 or (isinstance(w[0], int) and w[0] % group):
        raise context.fail(f"{w[0]} output channels do not form {group} groups")
    try:
        windows = windows_of(context.node, x[2:], kernel_of(context.node, w))
    except RuleError as error:
        raise context.fail(str(error)) from None
    return (x[0], w[0], *windows.sizes)


def check_bias(context: Infer, index: int, channels: Dim) -> None:
    """Raises ShapeError unless the optional input is a vector of one element a channel."""
    if context.has(index):
        bias = context.shape(index)
        if len(bias) != 1:
            raise context.fail(f"input {index} must have rank 1, got {len(bias)}")
        agree(context, bias[0], channels, f"input {index} against the output channels")


def _conv_infer(context: Infer) -> Sequence[Type]:
    shape = conv_shape(context, context.shape(0), context.shape(1))
    check_bias(context, 2, shape[1])
    return [TensorType(context.dtype(0), shape)]


def convolve(node: Node, x: Array, w: Array) -> Array:
    """The convolution in the arrays' own type, without bias."""
    group = int(node.attr("group", 1))
    windows = windows_of(node, x.shape[2:], kernel_of(node, w.shape))
    n, spatial = x.shape[0], len(windows.kernel)
    views = numpy_windows(padded(x, windows, 0), windows)
    sizes = views.shape[2 : 2 + spatial]
    each_in, each_out = w.shape[1], w.shape[0] // group
    out = np.empty((n, w.shape[0], *sizes), np.result_type(x, w))
    for g in range(group):
        part = np.moveaxis(views[:, g * each_in : (g + 1) * each_in], 1, 1 + spatial)
        columns = part.reshape(n * int(np.prod(sizes)), each_in * int(np.prod(w.shape[2:])))
        rows = w[g * each_out : (g + 1) * each_out].reshape(each_out, columns.shape[1])
        result = np.matmul(columns, rows.T).reshape(n, *sizes, each_out)
        out[:, g * each_out : (g + 1) * each_out] = np.moveaxis(result, -1, 1)
    return out


def add_bias(y: Array, bias: Any) -> Array:
    """y [N, C, ...] plus one element a channel."""
    if bias is None:
        return y
    return np.asarray(y + widen(np.asarray(bias)).reshape(1, -1, *[1] * (y.ndim - 2)))


def _optional(inputs: Sequence[Any], index: int) -> Any:
    return inputs[index] if index < len(inputs) else None


def _conv_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    y = convolve(node, widen(x), widen(np.asarray(inputs[1])))
    return [to_dtype(add_bias(y, _optional(inputs, 2)), x.dtype)]


def conv_windows(node: Node) -> Windows:
    """The windows of a node whose inputs 0 and 1 are X and W."""
    return windows_of(node, node.operand(0).shape[2:], kernel_of(node, node.operand(1).shape))


def conv_attributes(node: Node) -> dict[str, Any]:
    """The attributes that all convolutions share, where they are given."""
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    return {name: node.attr(name) for name in names if node.attr(name) is not None}


def _conv_integer(node: Node) -> IntegerForm:
    return IntegerForm("QConv", conv_attributes(node), 0, node.input(2))


def call_conv(
    lower: Lower, node: Node, family: str, windows: Windows, more: Mapping[str, int] = MappingProxyType({})
) -> None:
    if len(windows.kernel) > 3:
        raise NoRowError("more than three spatial dims")
    bias = node.input(2)
    lower.call(
        family,
        [lower.read(node.operand(0)), lower.read(node.operand(1)), None if bias is None else lower.read(bias)],
        [lower.write(node.output)],
        {"group": int(node.attr("group", 1)), **windows.params, **more},
    )


def _conv_lower(lower: Lower, node: Node) -> None:
    x, w = node.operand(0), node.operand(1)
    each = w.shape[1]
    if int(node.attr("group", 1)) > 1 and not (isinstance(each, int) and each >= FEWEST_CHANNELS):
        return call_conv(lower, node, "Conv", conv_windows(node))
    family, rounded = product_family(lower, "Conv", x.dtype, w.dtype)
    return call_conv(lower, node, family, conv_windows(node), rounded)


def conv_flops(node: Node) -> Dim:
    return 2 * product(node.output.shape) * product(node.operand(1).shape[1:])


def _conv_samples() -> Iterator[Sample]:
    for dtype in _FLOATS:
        for index, (spatial, attributes) in enumerate(geometries(dtype)):
            for group, channels, filters in ((1, 3, 4), (2, 4, 6), (4, 4, 4)):
                x = samples.draw((2, channels, *spatial), dtype, -1, 1, seed=index)
                kernel = attributes["kernel_shape"]
                assert isinstance(kernel, tuple)
                w = samples.draw((filters, channels // group, *kernel), dtype, -1, 1, seed=index + 1)
                bias = samples.draw((filters,), dtype, seed=index + 2)
                yield Sample((x, w, bias) if index % 2 else (x, w), {**attributes, "group": group})


# -- ConvTranspose -------------------------------------------------------------------------------------------------


def transposed_windows(node: Node, spatial: Shape, kernel: Shape) -> Windows:
    """Windows over the *output* of a ConvTranspose: sizes are the output's dims, pads crop it.
    Raises ValueError where attributes contradict."""
    count = len(spatial)
    strides, dilations = ints_attribute(node, "strides", count, 1), ints_attribute(node, "dilations", count, 1)
    extra = ints_attribute(node, "output_padding", count, 0)
    full = [
        s * (n - 1) + e + (k - 1) * d + 1
        for n, k, s, d, e in zip(spatial, kernel, strides, dilations, extra, strict=True)
    ]
    mode, wanted = auto_pad_of(node), node.attr("output_shape")
    sizes: Shape
    if wanted is not None and len(wanted):
        sizes = tuple(int(n) for n in wanted)[-count:]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        # Where stride outruns the kernel there is nothing to crop, and the output is shorter than input times stride.
        sizes = tuple(minimum(f, n * s) for f, n, s in zip(full, spatial, strides, strict=True))
    else:
        pads = (0,) * (2 * count) if mode == "VALID" else ints_attribute(node, "pads", 2 * count, 0)
        sizes = tuple(f - b - e for f, b, e in zip(full, pads[:count], pads[count:], strict=True))
        if any(isinstance(n, int) and n < 0 for n in sizes):
            raise RuleError(f"pads {pads} are larger than the output {tuple(full)}")
        return Windows(tuple(kernel), strides, dilations, pads[:count], pads[count:], sizes)
    totals = [maximum(f - n, 0) for f, n in zip(full, sizes, strict=True)]
    pairs = [split_total(t, mode == "SAME_UPPER") for t in totals]
    return Windows(
        tuple(kernel), strides, dilations, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs), sizes
    )  # fmt: skip


def _transpose_infer(context: Infer) -> Sequence[Type]:
    x, w = context.shape(0), context.shape(1)
    if len(x) < 3 or len(w) != len(x):
        raise context.fail(f"X has rank {len(x)} and W rank {len(w)}, expected one rank of at least 3")
    group = int(context.node.attr("group", 1))
    channels = agree(context, x[1], w[0], "channels of X against W.shape[0]")
    if group < 1 or (isinstance(channels, int) and exact_div(channels, group) is None):
        raise context.fail(f"{channels} channels do not form {group} groups")
    try:
        windows = transposed_windows(context.node, x[2:], kernel_of(context.node, w))
    except RuleError as error:
        raise context.fail(str(error)) from None
    check_bias(context, 2, w[1] * group)
    return [TensorType(context.dtype(0), (x[0], w[1] * group, *windows.sizes))]


def _inside(spatial: Sequence[Any]) -> tuple[Any, ...]:
    """An index of [N, C, spatial...] that keeps all of N and C."""
    return (slice(None), slice(None), *spatial)


def _transpose_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given = np.asarray(inputs[0])
    x, w = widen(given), widen(np.asarray(inputs[1]))
    group, kernel = int(node.attr("group", 1)), w.shape[2:]
    windows = transposed_windows(node, x.shape[2:], kernel_of(node, w.shape))
    begins, sizes = static_shape(windows.begins), static_shape(windows.sizes)
    assert begins is not None and sizes is not None
    each = x.shape[1] // group
    spatial = x.shape[2:]
    full = [
        max((n - 1) * s + (k - 1) * d + 1, max(b, 0) + size)
        for n, s, k, d, b, size in zip(spatial, windows.strides, kernel, windows.dilations, begins, sizes, strict=True)
    ]
    out = np.zeros((x.shape[0], w.shape[1] * group, *full), x.dtype)
    for g in range(group):
        block = x[:, g * each : (g + 1) * each]
        target = out[:, g * w.shape[1] : (g + 1) * w.shape[1]]
        for at in all_pairs(*(range(k) for k in kernel)):
            place: list[Any] = [
                slice(i * d, i * d + (n - 1) * s + 1, s) if n else slice(0, 0)
                for i, d, n, s in zip(at, windows.dilations, spatial, windows.strides, strict=True)
            ]
            tap: tuple[Any, ...] = (slice(g * each, (g + 1) * each), slice(None), *at)
            target[_inside(place)] += np.moveaxis(np.tensordot(block, w[tap], (1, 0)), -1, 1)
    crop: list[Any] = [slice(max(b, 0), max(b, 0) + size) for b, size in zip(begins, sizes, strict=True)]
    lead = [(0, 0), (0, 0), *((max(-b, 0), 0) for b in begins)]
    kept = np.pad(out, lead)[_inside(crop)]
    return [to_dtype(add_bias(kept, _optional(inputs, 2)), given.dtype)]


def _transpose_lower(lower: Lower, node: Node) -> None:
    x, w = node.operand(0).shape, node.operand(1).shape
    call_conv(lower, node, "ConvTranspose", transposed_windows(node, x[2:], kernel_of(node, w)))


def _transpose_flops(node: Node) -> Dim:
    return 2 * product(node.operand(0).shape) * product(node.operand(1).shape[1:])


def _transpose_samples() -> Iterator[Sample]:
    more: tuple[tuple[tuple[int, ...], dict[str, object]], ...] = (
        ((5, 4), {"kernel_shape": (3, 3), "strides": (2, 3), "output_padding": (1, 2)}),
        ((5, 4), {"kernel_shape": (3, 3), "strides": (2, 3), "output_shape": (11, 13)}),
        ((5, 4), {"kernel_shape": (3, 3), "strides": (2, 3), "output_shape": (10, 12), "auto_pad": "SAME_UPPER"}),
        ((5, 4), {"kernel_shape": (2, 4), "strides": (2, 2), "output_shape": (9, 8), "auto_pad": "SAME_LOWER"}),
    )
    for dtype in _FLOATS:
        single = dtype is not DType.FLOAT
        for index, (spatial, attributes) in enumerate((*geometries(dtype), *(() if single else more))):
            for group, channels, filters in ((1, 3, 4),) if single else ((1, 3, 4), (2, 4, 6), (4, 4, 4)):
                kernel = attributes["kernel_shape"]
                assert isinstance(kernel, tuple)
                x = samples.draw((2, channels, *spatial), dtype, -1, 1, seed=index)
                w = samples.draw((channels, filters // group, *kernel), dtype, -1, 1, seed=index + 1)
                bias = samples.draw((filters,), dtype, seed=index + 2)
                yield Sample((x, w, bias) if index % 2 else (x, w), {**attributes, "group": group})


# -- DeformConv ----------------------------------------------------------------------------------------------------


def _deform_infer(context: Infer) -> Sequence[Type]:
    shape = conv_shape(context, context.shape(0), context.shape(1))
    check_bias(context, 3, shape[1])
    return [TensorType(context.dtype(0), shape)]


def _deform_windows(node: Node) -> Windows:
    windows = conv_windows(node)
    if len(windows.kernel) != 2:
        raise NoRowError("other than two spatial dims")
    return windows


def _deform_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Samples between pixels, zero outside, then a product with the filters."""
    given = [None if x is None else np.asarray(x) for x in [*inputs, None, None][:5]]
    x, w, offset = (np.asarray(g) for g in given[:3])
    bias, mask = given[3:]
    windows, groups = _deform_windows(node), int(node.attr("offset_group", 1))
    taps, (high, wide) = w.shape[2] * w.shape[3], offset.shape[2:]
    shifts = offset.reshape(len(x), groups, taps, 2, high, wide).astype(np.float64)
    rows, columns = _tap_places(windows, high, wide)
    read = _between(widen(x).astype(np.float64), rows + shifts[:, :, :, 0], columns + shifts[:, :, :, 1], groups)
    if mask is not None:
        read = read * mask.reshape(len(x), groups, 1, taps, high, wide)
    parts = int(node.attr("group", 1))
    read = read.reshape(len(x), parts, -1, high * wide)
    filters = w.astype(np.float64).reshape(parts, w.shape[0] // parts, -1)
    y = np.einsum("gok,ngkp->ngop", filters, read).reshape(len(x), w.shape[0], high, wide)
    return [to_dtype(y if bias is None else y + bias.astype(np.float64)[:, None, None], x.dtype)]


def _tap_places(windows: Windows, high: int, wide: int) -> tuple[Array, Array]:
    """Row and column that each tap of each output pixel reads where nothing is shifted: [taps, high, wide]."""
    kernel, begins = static_shape(windows.kernel), static_shape(windows.begins)
    assert kernel is not None and begins is not None
    places = []
    for axis, count in enumerate((high, wide)):
        starts = np.arange(count) * windows.strides[axis] - begins[axis]
        steps = np.arange(kernel[axis]) * windows.dilations[axis]
        places.append(steps[:, None] + starts)
    shape = (*kernel, high, wide)
    rows = np.broadcast_to(places[0][:, None, :, None], shape).reshape(-1, high, wide)
    return rows, np.broadcast_to(places[1][None, :, None, :], shape).reshape(-1, high, wide)


def _between(x: Array, rows: Array, columns: Array, groups: int) -> Array:
    """[N, groups, channels of a group, taps, high, wide] at [N, groups, taps, high, wide], bilinear, zero outside."""
    n, channels, *size = x.shape
    grouped = x.reshape(n, groups, channels // groups, -1)
    inside = (rows > -1) & (rows < size[0]) & (columns > -1) & (columns < size[1])
    rows, columns = np.where(inside, rows, 0), np.where(inside, columns, 0)
    top, left = np.floor(rows), np.floor(columns)
    total = np.zeros(())
    for k in range(4):
        r, c = (top + k // 2).astype(int), (left + k % 2).astype(int)
        there = inside & (r >= 0) & (r < size[0]) & (c >= 0) & (c < size[1])
        weight = np.abs(1 - k // 2 - rows + top) * np.abs(1 - k % 2 - columns + left)
        flat = np.where(there, r * size[1] + c, 0).reshape(n, groups, 1, -1)
        read = np.take_along_axis(grouped, flat, -1).reshape(n, groups, -1, *rows.shape[2:])
        total = total + read * np.where(there, weight, 0)[:, :, None]
    return total


def _deform_lower(lower: Lower, node: Node) -> None:
    """What the taps read becomes an image, which a convolution of one by one sums up."""
    windows = _deform_windows(node)
    x, w, offset = (lower.read(node.operand(i)) for i in range(3))
    bias, mask = (None if v is None else lower.read(v) for v in (node.input(3), node.input(4)))
    taps, target = product(windows.kernel), lower.write(node.output)
    read = lower.temp(x.dtype, (x.dims[0], x.dims[1] * taps, *target.dims[2:]))
    shared = {n: windows.params[n] for n in ("kernel", "strides", "dilations")}
    params = {"groups": int(node.attr("offset_group", 1)), "pads": windows.begins, **shared}
    lower.call("DeformColumns", [x, offset, mask], [read], params)
    filters = lower.reshape(w, (w.dims[0], w.dims[1] * taps, 1, 1))
    single = Windows((1, 1), (1, 1), (1, 1), (0, 0), (0, 0), tuple(target.dims[2:]))
    lower.call("Conv", [read, filters, bias], [target], {"group": int(node.attr("group", 1)), **single.params})


def _deform_samples() -> Iterator[Sample]:
    geometries: tuple[tuple[int, int, dict[str, tuple[int, ...]]], ...] = (
        (1, 1, {"pads": (0, 0, 0, 0)}),
        (1, 2, {"pads": (1, 0, 1, 1), "strides": (2, 1)}),
        (2, 1, {"pads": (1, 1, 1, 1), "dilations": (2, 1)}),
        (2, 4, {"pads": (0, 1, 0, 1), "strides": (1, 2)}),
    )
    for index, (group, shared, attributes) in enumerate(geometries):
        x = samples.draw((2, 4, 7, 6), DType.FLOAT, -1, 1, seed=index)
        w = samples.draw((6, 4 // group, 3, 2), DType.FLOAT, -1, 1, seed=index + 1)
        high, wide = _deform_sizes(attributes)
        offset = samples.draw((2, 2 * shared * 6, high, wide), DType.FLOAT, -2, 2, seed=index + 2)
        mask = samples.draw((2, shared * 6, high, wide), DType.FLOAT, 0, 1, seed=index + 3)
        bias = samples.draw((6,), DType.FLOAT, seed=index + 4)
        chosen = {**attributes, "group": group, "offset_group": shared, "kernel_shape": (3, 2)}
        yield Sample((x, w, offset), chosen)
        yield Sample((x, w, offset, bias, mask), chosen)


def _deform_sizes(attributes: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """The output's of an image of 7 by 6 under filters of 3 by 2."""
    pads, strides, dilations = (attributes.get(n, (1, 1)) for n in ("pads", "strides", "dilations"))
    reach = 2 * dilations[0] + 1, dilations[1] + 1
    high, wide = ((n + pads[i] + pads[i + 2] - reach[i]) // strides[i] + 1 for i, n in enumerate((7, 6)))
    return high, wide


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Conv", infer=_conv_infer, evaluate=_conv_evaluate, lower=_conv_lower, layout="channels", anchor=True,
        channels=Channels(1, 1, 0), integer=_conv_integer, flops=conv_flops, tolerance=PRODUCT, samples=_conv_samples,
    ),
    OpRecord(
        op="ConvTranspose", infer=_transpose_infer, evaluate=_transpose_evaluate, lower=_transpose_lower,
        layout="channels", anchor=True, channels=Channels(1, 0, 1, grouped=True), flops=_transpose_flops,
        tolerance=PRODUCT, samples=_transpose_samples,
    ),
    OpRecord(
        op="DeformConv", infer=_deform_infer, evaluate=_deform_evaluate, lower=_deform_lower, flops=conv_flops,
        tolerance=PRODUCT, samples=_deform_samples,
    ),
)  # fmt: skip
