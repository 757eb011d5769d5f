"""onnxruntime's ops that choose: crops, windows under a mask, words that would repeat, and the inverse of a matrix,
whose pivots are chosen too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.ir import DType, Value
from arenaut.ir.infer import settled
from arenaut.ir.ops.support.composite import (
    TO_THE_END,
    cast,
    concat,
    counting,
    dims_of,
    ints,
    length_of,
    number,
    reshape,
    slice_of,
    transpose,
    unsqueeze,
)
from arenaut.ir.record import Build, UnknownError

# -- CropAndResize, Crop, DynamicSlice ---------------------------------------------------------------------------------


def _places(build: Build, boxes: Value, axis: int, count: Value, limit: Value) -> Value:
    """Where the points of each box lie along a dim [boxes, count]. axis: of the box's start; limit: its last index."""
    start, end = (slice_of(build, boxes, 1, a, a + 1) for a in (axis, axis + 2))
    steps = cast(build, unsqueeze(build, counting(build, count), 0), boxes.dtype)
    gaps = cast(build, build.op("Sub", count, number(build, 1, DType.INT64)), boxes.dtype)
    one = number(build, 1, boxes.dtype)
    pace = build.op("Div", build.op("Mul", build.op("Sub", end, start), limit), build.op("Max", gaps, one))
    spread = build.op("Add", build.op("Mul", start, limit), build.op("Mul", steps, pace))
    middle = build.op("Mul", build.op("Mul", build.op("Add", start, end), number(build, 0.5, boxes.dtype)), limit)
    return build.op("Where", build.op("Less", gaps, one), middle, spread)


def _crop_and_resize(build: Build, spec: Spec) -> Outputs:
    x, boxes = spec.operand(0), spec.operand(1)
    mode = spec.text("mode")
    if mode not in ("bilinear", "nearest"):
        raise spec.invalid(f"its attribute mode is {mode}, expected bilinear or nearest")
    if x.rank != 4:
        raise spec.invalid(f"its image has rank {x.rank}, expected 4")
    sizes = cast(build, spec.operand(3), DType.INT64)
    one, zero = number(build, 1, DType.INT64), number(build, 0, boxes.dtype)
    lengths = [length_of(build, x, axis) for axis in (2, 3)]
    limits = [cast(build, build.op("Sub", n, one), boxes.dtype) for n in lengths]
    counts = [build.op("Gather", sizes, number(build, i, DType.INT64), axis=0) for i in (0, 1)]
    places = [unsqueeze(build, _places(build, boxes, i, counts[i], limits[i]), 2 - i) for i in (0, 1)]
    inside: list[Value] = []
    for place, limit in zip(places, limits, strict=True):
        inside += [build.op("GreaterOrEqual", place, zero), build.op("LessOrEqual", place, limit)]
    kept = build.op("And", build.op("And", *inside[:2]), build.op("And", *inside[2:]))
    places = [build.op("Clip", place, zero, limit) for place, limit in zip(places, limits, strict=True)]
    rows = reshape(build, transpose(build, x, (0, 2, 3, 1)), -1, dims_of(build, x, 1, 2))
    image = unsqueeze(build, build.op("Mul", cast(build, spec.operand(2), DType.INT64), lengths[0]), 1, 2)

    def at(y: Value, across: Value) -> Value:
        """Pixels [boxes, height, width, channels] at whole places."""
        line = build.op("Add", image, cast(build, y, DType.INT64))
        pixel = build.op("Add", build.op("Mul", line, lengths[1]), cast(build, across, DType.INT64))
        return build.op("Gather", rows, pixel, axis=0)

    if mode == "nearest":
        half = number(build, 0.5, boxes.dtype)
        y, across = (build.op("Floor", build.op("Add", place, half)) for place in places)
        result = at(y, across)
    else:
        low, high = [build.op("Floor", p) for p in places], [build.op("Ceil", p) for p in places]
        down, right = (unsqueeze(build, build.op("Sub", p, q), 3) for p, q in zip(places, low, strict=True))
        top, bottom = (_between(build, at(y, low[1]), at(y, high[1]), right) for y in (low[0], high[0]))
        result = _between(build, top, bottom, down)
    outside = number(build, float(spec.attr("extrapolation_value")), x.dtype)
    return [transpose(build, build.op("Where", unsqueeze(build, kept, 3), result, outside), (0, 3, 1, 2))]


def _between(build: Build, a: Value, b: Value, share: Value) -> Value:
    return build.op("Add", a, build.op("Mul", build.op("Sub", b, a), share))


def _crop(build: Build, spec: Spec) -> Outputs:
    border, scale = [int(n) for n in spec.attr("border") or ()], [int(n) for n in spec.attr("scale") or ()]
    if len(border) != 4 or len(scale) not in (0, 2):
        raise spec.invalid(f"border {border} and scale {scale}, expected four numbers and none or two")
    left, top, right, bottom = border
    ends = [top + scale[0], left + scale[1]] if scale else [-bottom or TO_THE_END, -right or TO_THE_END]
    return [build.op("Slice", spec.operand(0), ints(build, top, left), ints(build, *ends), ints(build, 2, 3))]


def _dynamic_slice(build: Build, spec: Spec) -> Outputs:
    return [build.op("Slice", *spec.inputs)]


# -- MaxpoolWithMask ---------------------------------------------------------------------------------------------------


def _masked_pool(build: Build, spec: Spec) -> Outputs:
    """The largest element of each window; in a line of it the elements from the first masked one on do not count. Of
    an image of two or three dims the first element always counts."""
    x, mask = spec.operand(0), spec.operand(1)
    kernel = [int(n) for n in spec.attr("kernel_shape") or ()]
    spatial = x.rank - 2
    strides = [int(n) for n in spec.attr("strides") or [1] * spatial]
    pads = [int(n) for n in spec.attr("pads") or [0] * (2 * spatial)]
    if spec.text("auto_pad") != "NOTSET" or spec.attr("storage_order"):
        raise spec.unsupported("auto_pad and storage_order are not known here")
    if len(kernel) != spatial or len(strides) != spatial or len(pads) != 2 * spatial or min(*kernel, *strides) < 1:
        raise spec.invalid(f"kernel_shape {kernel}, strides {strides} and pads {pads} of {spatial} spatial dims")
    if mask.rank != x.rank or any(settled(d) != 1 for d in mask.shape[:2]):
        raise spec.unsupported(
            "its mask has more than one channel, which onnxruntime reads at places that are no layout of it"
        )
    keep = build.op("Not", build.op("Equal", mask, number(build, 0, mask.dtype)))
    if spatial > 1:
        keep = build.op("Or", keep, _first(build, mask))
    widths = ints(build, 0, 0, *pads[:spatial], 0, 0, *pads[spatial:])
    lowest = number(build, float(np.finfo(x.dtype.numpy).min), x.dtype)
    x = build.op("Pad", x, widths, lowest)
    keep = cast(
        build, build.op("Pad", cast(build, keep, DType.FLOAT), widths, number(build, 1, DType.FLOAT)), DType.BOOL
    )
    best: Value | None = None
    for place in np.ndindex(*kernel[:-1]):
        alive: Value | None = None
        for last in range(kernel[-1]):
            tap = (*place, last)
            here = _tap(build, keep, tap, kernel, strides)
            alive = here if alive is None else build.op("And", alive, here)
            found = build.op("Where", alive, _tap(build, x, tap, kernel, strides), lowest)
            best = found if best is None else build.op("Max", best, found)
    assert best is not None
    return [best]


def _first(build: Build, like: Value) -> Value:
    """Whether an element of [1, 1, spatial...] is the first one."""
    zero, result = number(build, 0, DType.INT64), None
    for axis in range(2, like.rank):
        others = [a for a in range(like.rank) if a != axis]
        here = build.op("Equal", unsqueeze(build, counting(build, length_of(build, like, axis)), *others), zero)
        result = here if result is None else build.op("And", result, here)
    assert result is not None
    return result


def _tap(build: Build, x: Value, tap: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> Value:
    """What every window has at one place."""
    ends = [t - k + 1 or TO_THE_END for t, k in zip(tap, kernel, strict=True)]
    axes = range(2, 2 + len(kernel))
    return build.op("Slice", x, *(ints(build, *numbers) for numbers in (tap, ends, axes, strides)))


# -- NGramRepeatBlock --------------------------------------------------------------------------------------------------


def _block_repeats(build: Build, spec: Spec) -> Outputs:
    """Minus infinity for every token that would end a sequence of n tokens that is there already."""
    ids, scores, size = spec.operand(0), spec.operand(1), int(spec.attr("ngram_size") or 0)
    if size < 1:
        raise spec.invalid(f"ngram_size is {size}")
    length, zero = length_of(build, ids, 1), number(build, 0, DType.INT64)
    starts = counting(build, build.op("Max", build.op("Sub", length, number(build, size - 1, DType.INT64)), zero))
    ends = build.op("Gather", ids, build.op("Add", starts, number(build, size - 1, DType.INT64)), axis=1)
    infinity = number(build, np.inf, scores.dtype)
    low = build.op("Expand", build.op("Neg", infinity), build.op("Shape", ends))
    if size > 1:
        within = build.constant(np.arange(size - 1)[None])
        earlier = build.op("Gather", ids, build.op("Add", unsqueeze(build, starts, 1), within), axis=1)
        tail = build.op("Add", build.op("Sub", length, number(build, size - 1, DType.INT64)), within)
        latest = build.op("Gather", ids, build.op("Max", tail, zero), axis=1)
        alike = cast(build, build.op("Equal", earlier, latest), DType.INT32)
        repeated = cast(build, build.op("ReduceMin", alike, ints(build, 2), keepdims=0), DType.BOOL)
        low = build.op("Where", repeated, low, infinity)
    return [build.op("ScatterElements", scores, ends, low, axis=1, reduction="min")]


# -- WordConvEmbedding -------------------------------------------------------------------------------------------------


def _word_embedding(build: Build, spec: Spec) -> Outputs:
    """Of words [words, letters], 0 being no letter: the largest activation over the windows of their letters."""
    words, weights = spec.operand(0), spec.operand(1)
    if words.rank != 2 or weights.rank != 4:
        raise spec.unsupported(f"words of rank {words.rank} and weights of rank {weights.rank}, expected 2 and 4")
    window = settled(weights.shape[2])
    if window is None:
        raise UnknownError(f"the window of '{weights.name}' is not known")
    letters = unsqueeze(build, build.op("Gather", spec.operand(3), words, axis=0), 1)
    filtered = build.op("Conv", letters, weights, spec.operand(2))
    active = build.op("Tanh", build.op("Squeeze", filtered, ints(build, 3)))
    present = cast(build, build.op("Greater", words, number(build, 0, words.dtype)), DType.INT64)
    lengths = build.op("ReduceSum", present, ints(build, 1), keepdims=1)
    one, below = number(build, 1, DType.INT64), number(build, -2, active.dtype)
    windows = build.op("Max", build.op("Sub", lengths, number(build, window - 1, DType.INT64)), one)
    there = build.op("Less", unsqueeze(build, counting(build, length_of(build, active, 2)), 0), windows)
    best = build.op(
        "ReduceMax", build.op("Where", unsqueeze(build, there, 1), active, below), ints(build, 2), keepdims=0
    )
    return [build.op("Where", build.op("Less", lengths, one), number(build, 0, best.dtype), best)]


# -- Inverse -----------------------------------------------------------------------------------------------------------

_LARGEST_MATRIX = 32  # of Inverse, whose elimination is written out


def _inverse(build: Build, spec: Spec) -> Outputs:
    """By Gauss and Jordan on [x | identity], the largest element of what is left of a column being its pivot."""
    x = spec.operand(0)
    if x.rank < 2:
        raise spec.invalid(f"its operand has rank {x.rank}, expected matrices")
    size = settled(x.shape[-1])
    if size is None:
        raise UnknownError(f"the size of the matrices '{x.name}' is not known")
    if settled(x.shape[-2]) not in (None, size):
        raise spec.invalid("its matrices are not square")
    if size > _LARGEST_MATRIX:
        raise spec.unsupported(f"matrices of more than {_LARGEST_MATRIX} rows are not inverted here")
    wide = cast(build, x, DType.FLOAT if x.dtype is DType.FLOAT16 else x.dtype)
    matrices = reshape(build, wide, -1, size, size)
    ones = unsqueeze(build, build.constant(np.eye(size, dtype=wide.dtype.numpy)), 0)
    batch = concat(build, [dims_of(build, matrices, 0, 1), ints(build, size, size)], 0)
    state = concat(build, [matrices, build.op("Expand", ones, batch)], 2)
    rows = build.constant(np.arange(size).reshape(1, size, 1))
    for step in range(size):
        state = _eliminated(build, state, rows, step)
    inverse = slice_of(build, state, 2, size, 2 * size)
    return [cast(build, build.op("Reshape", inverse, build.op("Shape", x)), x.dtype)]


def _eliminated(build: Build, state: Value, rows: Value, step: int) -> Value:
    """One column of `state` [batch, n, 2 n] made that of an identity."""
    column = slice_of(build, state, 2, step, step + 1)
    here = build.op("Equal", rows, number(build, step, DType.INT64))
    left = slice_of(build, build.op("Abs", column), 1, step, TO_THE_END)
    best = build.op("Add", build.op("ArgMax", left, axis=1, keepdims=1), number(build, step, DType.INT64))
    swapped = build.op(
        "Where", here, best, build.op("Where", build.op("Equal", rows, best), number(build, step, DType.INT64), rows)
    )
    places = build.op("Expand", swapped, build.op("Shape", state))
    state = build.op("GatherElements", state, places, axis=1)
    column = slice_of(build, state, 2, step, step + 1)
    pivot_row = build.op("Div", slice_of(build, state, 1, step, step + 1), slice_of(build, column, 1, step, step + 1))
    return build.op("Where", here, pivot_row, build.op("Sub", state, build.op("Mul", column, pivot_row)))


_MASKED_POOL = {"auto_pad": "NOTSET", "kernel_shape": None, "pads": None, "storage_order": 0, "strides": None}
_WORDS = {"char_embedding_size": None, "conv_window_size": None, "embedding_size": None}

OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "CropAndResize"): ContribOp(
            _crop_and_resize, (4, 4), {"extrapolation_value": 0.0, "mode": "bilinear"}
        ),
        (MICROSOFT, "MaxpoolWithMask"): ContribOp(_masked_pool, (2, 2), _MASKED_POOL),
        (MICROSOFT, "NGramRepeatBlock"): ContribOp(_block_repeats, (2, 2), {"ngram_size": None}, dtypes=(1,)),
        (MICROSOFT, "WordConvEmbedding"): ContribOp(_word_embedding, (4, 4), _WORDS, dtypes=(1,)),
        (MICROSOFT, "Inverse"): ContribOp(_inverse, (1, 1)),
        # Ops that onnxruntime keeps of the standard's experiments.
        ("", "Crop"): ContribOp(_crop, (1, 1), {"border": None, "scale": None}),
        ("", "DynamicSlice"): ContribOp(_dynamic_slice, (3, 4)),
    }
)
