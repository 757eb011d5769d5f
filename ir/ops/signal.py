"""Fourier transforms and window functions.

A transform of known length is a fast one (kernel family Fft) where the length has small prime factors. Others of
moderate length are products with a constant matrix, an STFT a strided convolution with the same matrix; what is left
runs through numpy's FFT.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, Expr, floordiv, maximum
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import axis_in, input_ints, known_ints, only_element, ranked, to_dtype, widen
from arenaut.ir.ops.support.composite import (
    cast,
    counting,
    dims_of,
    ints,
    number,
    reshape,
    transpose,
    unsqueeze,
)
from arenaut.ir.place import Place
from arenaut.ir.record import Build, Infer, Lower, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type
from arenaut.plain import replace

# The largest transform matrix, in elements, that is worth holding as a constant.
_MAX_MATRIX = 1 << 21
# The largest prime factor that the fast transform has a butterfly for.
_MOST_FACTOR = 61
_MOST_POINTS = 1 << 26  # whose roots take a gigabyte
# Rounding of the samples and of the transform's own sums: see Tolerance.
_SUMS = Tolerance("product", 8)


# -- transforms in numpy -------------------------------------------------------------------------------------------


def _complex(x: Array) -> Array:
    """[..., 1] or [..., 2] as numbers, in double precision."""
    wide = x.astype(np.float64)
    return wide[..., 0] if x.shape[-1] == 1 else wide[..., 0] + 1j * wide[..., 1]


def _pairs(x: Array) -> Array:
    """Complex numbers as [..., 2]."""
    return np.stack([x.real, x.imag], axis=-1)


def transformed(x: Array, length: int, inverse: bool, onesided: bool) -> Array:
    """The DFT of x [..., signal, 1 or 2] along its last but one dim, cut or padded to `length`; float64."""
    signal = _complex(x)
    if length < 1:
        raise RuleError(f"a transform of length {length}")
    if inverse and onesided:
        return np.asarray(np.fft.irfft(signal, length)[..., np.newaxis])
    if inverse:
        return _pairs(np.fft.ifft(signal, length))
    result = np.fft.fft(signal, length)
    return _pairs(result[..., : length // 2 + 1] if onesided else result)


def _matrix(points: int, width: int, length: int, inverse: bool, onesided: bool) -> Array:
    """The transform of `points` samples of `width` parts each as a matrix [points * width, results]."""
    basis = np.eye(points * width).reshape(points * width, points, width)
    return transformed(basis, length, inverse, onesided).reshape(points * width, -1)


# -- fast transforms -----------------------------------------------------------------------------------------------


def _has_small_factors(length: int) -> bool:
    for p in range(2, _MOST_FACTOR + 1):
        while length % p == 0:
            length //= p
    return length == 1


def _roots(length: int, dtype: DType) -> Array:
    """exp(-2 pi i k / length) for every k, as pairs. Eighths of the circle are exact."""
    turns = np.arange(length) * 8 / length
    octant = np.floor(turns)
    angle = np.where(octant % 2 == 0, turns - octant, octant + 1 - turns) * (np.pi / 4)
    near, far = np.cos(angle), np.sin(angle)
    swapped = np.isin(octant, (1, 2, 5, 6))
    cos, sin = np.where(swapped, far, near), np.where(swapped, near, far)
    pairs = [np.where((octant >= 2) & (octant < 6), -cos, cos), np.where(octant < 4, -sin, sin)]
    return np.stack(pairs, axis=-1).astype(dtype.numpy)


def _lower_transform(
    lower: Lower, x: Place, window: Place | None, out: Place, length: int, inverse: bool, half: bool
) -> None:
    """x [..., points, 1 or 2] -> out [..., results, 1 or 2] through the Fft row."""
    if not 0 < length <= _MOST_POINTS or not _has_small_factors(length):
        raise NoRowError("a length that the fast transform is not for")
    roots = lower.constant(_roots(length, DType.DOUBLE if x.dtype is DType.DOUBLE else DType.FLOAT))
    params = {"length": length, "inverse": int(inverse), "half": int(half), "power": 0}
    lower.call("Fft", [x, roots, window], [out], params)


def _planes(lower: Lower, value: Value) -> Place:
    """The place of a spectrum [..., bins, parts], its parts apart in memory: what follows works on whole vectors."""
    rank = value.rank
    place = lower.temp(value.dtype, (*value.shape[:-2], value.shape[-1], value.shape[-2]))
    spectrum = place.permute((*range(rank - 2), rank - 1, rank - 2))
    lower.alias(value, spectrum)
    return spectrum


# -- DFT -----------------------------------------------------------------------------------------------------------


def _flags(node: Node) -> tuple[bool, bool]:
    return bool(node.attr("inverse", 0)), bool(node.attr("onesided", 0))


def _natural_length(points: Dim, inverse: bool, onesided: bool) -> Dim:
    return 2 * (points - 1) if inverse and onesided else points


def _dft_infer(context: Infer) -> Sequence[Type]:
    node, shape = context.node, list(context.shape(0))
    inverse, onesided = _flags(node)
    given = input_ints(context, 2)
    axis = axis_in(context, given[0] if given else -2, len(shape))
    if axis == len(shape) - 1:
        raise context.fail("the last dim holds real and imaginary parts: it cannot be the axis")
    length = _natural_length(shape[axis], inverse, onesided)
    if context.has(1):
        known = context.known_data(1)
        length = context.fresh(0, axis) if known is None else only_element(context, 1, known)
    shape[axis] = floordiv(length, 2) + 1 if onesided and not inverse else length
    if context.has(1) and context.known_data(1) is None:
        shape[axis] = context.fresh(0, axis)
    shape[-1] = 1 if inverse and onesided else 2
    return [TensorType(context.dtype(0), tuple(shape))]


def _dft_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    axis = int(np.asarray(inputs[2]).reshape(-1)[0]) if len(inputs) > 2 and inputs[2] is not None else -2
    inverse, onesided = _flags(node)
    points = x.shape[axis]
    length = _natural_length(points, inverse, onesided)
    if len(inputs) > 1 and inputs[1] is not None:
        length = int(np.asarray(inputs[1]).reshape(-1)[0])
    assert isinstance(length, int)
    result = transformed(np.moveaxis(widen(x), axis, -2), length, inverse, onesided)
    return [to_dtype(np.moveaxis(result, -2, axis), x.dtype)]


def _constant_scalar(value: Value | None) -> int | None:
    known = None if value is None else known_ints(value.data)
    return known[0] if known else None


def _dft_plan(node: Node) -> tuple[int, Any]:
    """The axis, and the length of the transform as far as it is known."""
    x, rank = node.operand(0), node.operand(0).rank
    axis = -2 if node.input(2) is None else _constant_scalar(node.input(2))
    if axis is None:
        raise NoRowError("the axis is not known")
    length: Any = _natural_length(x.shape[axis % rank], *_flags(node))
    return axis % rank, _constant_scalar(node.input(1)) if node.input(1) is not None else length


def _dft_lower(lower: Lower, node: Node) -> None:
    axis, length = _dft_plan(node)
    if not isinstance(length, int):
        raise NoRowError("the length of the transform is not known")
    rank = node.operand(0).rank
    order = [*(i for i in range(rank - 1) if i != axis), axis, rank - 1]
    x = lower.read(node.operand(0)).permute(order)
    inverse, half = _flags(node)
    out = lower.write(node.output).permute(order)
    _lower_transform(lower, x, None, out, length, inverse, half)


def _dft_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, rank = node.operand(0), node.operand(0).rank
    inverse, onesided = _flags(node)
    axis, length = _dft_plan(node)
    points, width = x.shape[axis], x.shape[-1]
    if not isinstance(points, int) or not isinstance(width, int):
        raise NoRowError("the length of the transform is not known")
    if not isinstance(length, int) or points * width * 2 * length > _MAX_MATRIX:
        raise NoRowError("a transform that is too long for a matrix, or of unknown length")
    work = x.dtype.compute or x.dtype
    last = [i for i in range(rank - 1) if i != axis]
    moved = transpose(build, cast(build, x, work), (*last, axis, rank - 1))
    flat = reshape(build, moved, dims_of(build, moved, 0, rank - 2), points * width)
    matrix = build.constant(_matrix(points, width, length, inverse, onesided).astype(work.numpy))
    result = build.op("MatMul", flat, matrix)
    parts = 1 if inverse and onesided else 2
    columns = matrix.shape[1]
    assert isinstance(columns, int)
    apart = reshape(build, result, dims_of(build, result, 0, rank - 2), columns // parts, parts)
    back = [*range(axis), rank - 2, *range(axis, rank - 2), rank - 1]
    return [cast(build, transpose(build, apart, back), x.dtype)]


def _dft_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.DOUBLE):
        real, pairs = samples.draw((2, 10, 1), dtype), samples.draw((2, 10, 2), dtype)
        for length in (None, np.array(8, np.int64), np.array(13, np.int64)):
            yield Sample((real, length))
            yield Sample((pairs, length))
            yield Sample((pairs, length), {"inverse": 1})
            yield Sample((real, length), {"onesided": 1})
        spectrum = samples.draw((2, 6, 2), dtype)
        yield Sample((spectrum, np.array(10, np.int64)), {"onesided": 1, "inverse": 1})
        deep = samples.draw((3, 5, 4, 1), dtype)
        yield Sample((deep, None, np.array(1, np.int64)))
        yield Sample((deep, None, np.array(-4, np.int64)), {"onesided": 1})


# -- STFT ----------------------------------------------------------------------------------------------------------


def _first(context: Infer, index: int) -> Dim | None:
    """An optional scalar input as a dim; None when absent or not known."""
    known = context.known_data(index)
    return None if not context.has(index) or known is None else only_element(context, index, known)


def _stft_infer(context: Infer) -> Sequence[Type]:
    node, shape = context.node, context.shape(0)
    if len(shape) not in (2, 3):  # 2: real, which onnxruntime takes too
        raise context.fail(f"the signal must have rank 2 or 3, got {len(shape)}")
    step, length = _first(context, 1), _first(context, 3)
    for index, name, known in ((1, "frame_step", step), (3, "frame_length", length)):
        if isinstance(known, int) and known < 1:
            raise context.fail(f"input {index} ({name}) is {known}, expected at least 1")
    if length is None and not context.has(3):
        length = ranked(context, 2, 1)[0] if context.has(2) else shape[1]
    frames = context.fresh(0, 1) if step is None or length is None else floordiv(shape[1] - length, step) + 1
    bins = context.fresh(0, 2) if length is None else floordiv(length, 2) + 1 if node.attr("onesided", 1) else length
    return [TensorType(context.dtype(0), (shape[0], frames, bins, 2))]


def _stft_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, step = np.asarray(inputs[0]), int(np.asarray(inputs[1]).reshape(-1)[0])
    x = x[..., np.newaxis] if x.ndim == 2 else x
    window = None if len(inputs) < 3 or inputs[2] is None else widen(np.asarray(inputs[2]))
    length = x.shape[1] if window is None else len(window)
    if len(inputs) > 3 and inputs[3] is not None:
        length = int(np.asarray(inputs[3]).reshape(-1)[0])
    if step < 1:
        raise RuleError(f"input 1 (frame_step) is {step}, expected at least 1")
    if not 1 <= length <= x.shape[1]:
        raise RuleError(f"input 3 (frame_length) is {length}, expected 1 to {x.shape[1]}")
    frames = (x.shape[1] - length) // step + 1
    at = np.arange(frames).reshape(-1, 1) * step + np.arange(length)
    cut = widen(x)[:, at]
    if window is not None:
        cut = cut * window.reshape(-1, 1)
    return [to_dtype(transformed(cut, length, False, bool(node.attr("onesided", 1))), x.dtype)]


def _stft_plan(node: Node) -> tuple[int, int]:
    """The step from frame to frame and their length."""
    x, window = node.operand(0), node.input(2)
    step, length = _constant_scalar(node.input(1)), _constant_scalar(node.input(3))
    if length is None and node.input(3) is None:
        known = x.shape[1] if window is None else window.shape[0]
        length = known if isinstance(known, int) else None
    if step is None or length is None:
        raise NoRowError("the frame's length or step is not known")
    return step, length


def _stft_lower(lower: Lower, node: Node) -> None:
    """Frames are views of the signal that overlap."""
    step, length = _stft_plan(node)
    x = lower.read(node.operand(0))
    x = x if x.rank == 3 else x.insert(2)
    frames = node.output.shape[1]
    (batch, _, width), (outer, inner, part) = x.dims, x.strides
    cut = replace(x, dims=(batch, frames, length, width), strides=(outer, inner * step, inner, part))
    window = None if node.input(2) is None else lower.read(node.operand(2))
    half = bool(node.attr("onesided", 1))
    _lower_transform(lower, cut, window, _planes(lower, node.output), length, False, half)


def _stft_decompose(build: Build, node: Node) -> Sequence[Value]:
    """A convolution: one filter for each part of a bin, the frame step as stride."""
    x, window = node.operand(0), node.input(2)
    step, length = _stft_plan(node)
    width = x.shape[2] if x.rank == 3 else 1
    if not isinstance(width, int):
        raise NoRowError("whether the signal is complex is not known")
    if length * width * 2 * length > _MAX_MATRIX or x.dtype is DType.DOUBLE:
        raise NoRowError("frames that are too long for a matrix, or in double precision")
    matrix = _matrix(length, width, length, False, bool(node.attr("onesided", 1)))
    parts = matrix.astype(np.float32).reshape(length, width, -1)
    filters = build.constant(np.ascontiguousarray(parts.transpose(2, 1, 0)))
    if window is not None:
        filters = build.op("Mul", filters, cast(build, window, DType.FLOAT))
    wide = cast(build, x, DType.FLOAT)
    by_channel = transpose(build, wide, (0, 2, 1)) if x.rank == 3 else unsqueeze(build, wide, 1)
    spectra = transpose(build, build.op("Conv", by_channel, filters, strides=(step,)), (0, 2, 1))
    bins = matrix.shape[1] // 2
    return [cast(build, reshape(build, spectra, dims_of(build, spectra, 0, 2), bins, 2), x.dtype)]


def _stft_samples() -> Iterator[Sample]:
    step = np.array(3, np.int64)
    for dtype in (DType.FLOAT, DType.DOUBLE):
        x, window = samples.draw((2, 23, 1), dtype), samples.draw((8,), dtype, 0, 1, seed=1)
        yield Sample((x, step, window), {"onesided": 1})
        yield Sample((x, step, window, np.array(8, np.int64)), {"onesided": 0})
        yield Sample((x, step, None, np.array(7, np.int64)), {"onesided": 1})
        yield Sample((samples.draw((2, 23, 2), dtype), step, window), {"onesided": 0})


# -- window functions ----------------------------------------------------------------------------------------------

# Coefficients of cos(2 pi k n / N), k = 0, 1, ...
_WINDOWS = {
    "HannWindow": (0.5, -0.5),
    "HammingWindow": (25 / 46, -21 / 46),
    "BlackmanWindow": (0.42, -0.5, 0.08),
}


def _window_type(context: Infer) -> Sequence[Type]:
    size = context.data(0).reshape(-1)[0]
    length = maximum(size if isinstance(size, Expr) else int(size), 0)
    return [TensorType(DType(int(context.node.attr("output_datatype", 1))), (length,))]


def _window_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    size = int(np.asarray(inputs[0]).reshape(-1)[0])
    period = size if node.attr("periodic", 1) else size - 1
    with np.errstate(all="ignore"):
        angle = 2 * np.pi * np.arange(size) / period
        # The smallest first, so that the middle of a Blackman window is 1.
        values = sum(c * np.cos(k * angle) for k, c in reversed(list(enumerate(_WINDOWS[node.op]))))
    return [to_dtype(values, DType(int(node.attr("output_datatype", 1))).numpy)]


def _window_decompose(build: Build, node: Node) -> Sequence[Value]:
    """The same arithmetic; for floats, as integers would see the last bit of another cosine."""
    to = DType(int(node.attr("output_datatype", 1)))
    if not to.is_float:
        raise NoRowError("a window of integers")
    size = build.op("Reshape", cast(build, node.operand(0), DType.INT64), ints(build))
    period = cast(build, size, DType.DOUBLE)
    if not node.attr("periodic", 1):
        period = build.op("Sub", period, number(build, 1, DType.DOUBLE))
    turns = build.op("Mul", cast(build, counting(build, size), DType.DOUBLE), number(build, 2 * np.pi, DType.DOUBLE))
    angle = build.op("Div", turns, period)
    total: Value | None = None
    for k, c in reversed(list(enumerate(_WINDOWS[node.op]))):
        times = angle if k == 1 else build.op("Mul", angle, number(build, k, DType.DOUBLE))
        term = build.op("Mul", build.op("Cos", times), number(build, c, DType.DOUBLE)) if k else None
        part = number(build, c, DType.DOUBLE) if term is None else term
        total = part if total is None else build.op("Add", total, part)
    assert total is not None
    return [cast(build, total, to)]


def _window_samples() -> Iterator[Sample]:
    for size in (1, 2, 10, 33):
        yield Sample((np.array(size, np.int64),))
        yield Sample((np.array(size + 1, np.int32),), {"periodic": 0, "output_datatype": int(DType.DOUBLE)})


def _mel_infer(context: Infer) -> Sequence[Type]:
    bands, length = (context.data(i).reshape(-1)[0] for i in (0, 1))
    return [TensorType(DType(int(context.node.attr("output_datatype", 1))), (floordiv(length, 2) + 1, bands))]


def _mel_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Triangles over the bins of a one-sided spectrum, as the standard's reference places them."""
    bands, length, rate, low, high = (np.asarray(x).reshape(-1)[0] for x in inputs)
    edges = _mel_edges(int(bands), int(length), int(rate), float(low), float(high))
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    if bands and (left.min() < 0 or (center < left).any() or max(right.max(), center.max() + 1) > length // 2 + 1):
        raise RuleError(f"triangles from {low} to {high} Hz leave the {length // 2 + 1} bins up to {rate / 2} Hz")
    # Every bin of every triangle: its band, and its bin. The bin in the middle has weight 1.
    counts = np.maximum(right, center + 1) - left
    band = np.repeat(np.arange(len(counts)), counts)
    bins = np.arange(len(band)) - np.repeat(np.cumsum(counts) - counts - left, counts)
    middle = center[band]
    rising = (bins - left[band]) / np.maximum(middle - left[band], 1)
    falling = (right[band] - bins) / np.maximum(right[band] - middle, 1)
    out = np.zeros((int(length) // 2 + 1, int(bands)))
    out[bins, band] = np.where(bins < middle, rising, np.where(bins > middle, falling, 1))
    return [to_dtype(out, DType(int(node.attr("output_datatype", 1))).numpy)]


def _mel_edges(bands: int, length: int, rate: int, low: float, high: float) -> Array:
    """The bins at which triangles begin and end, by the C library's functions, as the kernel has them."""
    try:
        low_mel, high_mel = (2595 * math.log10(1 + f / 700) for f in (low, high))
        step = (high_mel - low_mel) / (bands + 2)
        hertz = [700 * (math.pow(10, (low_mel + i * step) / 2595) - 1) for i in range(bands + 2)]
        return np.array([math.floor((length + 1) * f / rate) for f in hertz], np.int64)
    except (ValueError, ArithmeticError) as error:
        raise RuleError(f"bands from {low} to {high} Hz of a rate of {rate} are none: {error}") from None


def _mel_decompose(build: Build, node: Node) -> Sequence[Value]:
    """In the types that the kernel has."""
    kinds, to = (*[DType.INT64] * 3, *[DType.FLOAT] * 2), DType(int(node.attr("output_datatype", 1)))
    if _has_mel_types(node) or any(v.dtype is DType.DOUBLE for v in node.inputs[3:] if v is not None):
        raise NoRowError("bounds of more than float32, or nothing to convert")
    given = [cast(build, node.operand(i), kind) for i, kind in enumerate(kinds)]
    wide = DType.DOUBLE if to is not DType.FLOAT else to
    return [cast(build, build.op("MelWeightMatrix", *given, output_datatype=int(wide)), to)]


def _has_mel_types(node: Node) -> bool:
    known = [node.operand(i).dtype for i in range(5)] == [*[DType.INT64] * 3, *[DType.FLOAT] * 2]
    return known and int(node.attr("output_datatype", 1)) in (DType.FLOAT, DType.DOUBLE)


def _mel_lower(lower: Lower, node: Node) -> None:
    if not _has_mel_types(node):
        raise NoRowError("other types")
    lower.call("MelWeights", [lower.read(node.operand(i)) for i in range(5)], [lower.write(node.output)])


def _mel_samples() -> Iterator[Sample]:
    for bands, length, rate, low, high in ((8, 16, 8192, 0.0, 4096.0), (20, 512, 16000, 20.0, 7600.0)):
        integers = (np.array(n, np.int64) for n in (bands, length, rate))
        yield Sample((*integers, np.array(low, np.float32), np.array(high, np.float32)))
    short = (np.array(n, np.int32) for n in (8, 16, 8192))
    bounds = (np.array([v], np.float16) for v in (0.0, 4096.0))
    yield Sample((*short, *bounds), {"output_datatype": int(DType.FLOAT16)})


_TRANSFORMS = (
    OpRecord(
        op="DFT", infer=_dft_infer, evaluate=_dft_evaluate, lower=_dft_lower, decompose=_dft_decompose,
        tolerance=_SUMS, samples=_dft_samples,
    ),
    OpRecord(
        op="STFT", infer=_stft_infer, evaluate=_stft_evaluate, lower=_stft_lower, decompose=_stft_decompose,
        tolerance=_SUMS, samples=_stft_samples,
    ),
    OpRecord(
        op="MelWeightMatrix", infer=_mel_infer, evaluate=_mel_evaluate, lower=_mel_lower, decompose=_mel_decompose,
        tolerance=Tolerance("ulp", 4), samples=_mel_samples,
    ),
)  # fmt: skip

RECORDS: tuple[OpRecord, ...] = (
    *_TRANSFORMS,
    *(
        OpRecord(
            op=op,
            infer=_window_type,
            evaluate=_window_evaluate,
            decompose=_window_decompose,
            tolerance=_SUMS,
            samples=_window_samples,
        )
        for op in _WINDOWS
    ),
)
