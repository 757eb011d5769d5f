"""Boxes, sampling grids and regions: NonMaxSuppression, RoiAlign, AffineGrid, GridSample, Col2Im."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product as all_pairs
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, Expr, floordiv, minimum, product
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, check_rank, known_ints, ranked, tensor_like, to_dtype, widen
from arenaut.ir.ops.support.composite import reshape, transpose
from arenaut.ir.ops.support.windows import ints_attribute
from arenaut.ir.record import Build, Infer, Lower, NoRowError, OpRecord, Param, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

_SUMS = Tolerance("product", 8)


def _dims(data: Array) -> list[Dim]:
    return [d if isinstance(d, Expr) else int(d) for d in data.flat]


# -- NonMaxSuppression ---------------------------------------------------------------------------------------------


def _nms_infer(context: Infer) -> Sequence[Type]:
    for index in (0, 1):
        shape = tensor_like(context, index).shape
        if shape is not None and len(shape) != 3:
            raise context.fail(f"input {index} has rank {len(shape)}, expected 3")
    for index in (2, 3, 4):
        limit = tensor_like(context, index).shape if context.has(index) else None
        if limit is not None:
            agree(context, product(limit), 1, f"the number of elements of input {index}")
    return [TensorType(DType.INT64, (context.fresh(0, 0), 3))]


def _nms_most(node: Node, output: int, axis: int) -> Dim | None:
    """So many boxes of each class of each image as the third input allows, none without it."""
    batch, kinds, boxes = node.operand(1).shape
    limit = node.input(2)
    known = [0] if limit is None else known_ints(limit.data)
    return batch * kinds * (boxes if known is None else minimum(boxes, max(0, known[0])))


def _corners(boxes: Array, centered: bool) -> Array:
    """[N, 4] as (low 0, low 1, high 0, high 1)."""
    if centered:
        center, half = boxes[:, :2], boxes[:, 2:] / 2
        return np.concatenate([center - half, center + half], axis=1)
    first, second = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


def _kept(boxes: Array, scores: Array, limit: int, overlap: float, least: float | None) -> list[int]:
    """Boxes by falling score, without those that overlap a better one by more than `overlap`."""
    order = np.argsort(-scores, kind="stable")
    if least is not None:
        order = order[scores[order] > least]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while len(order) and len(kept) < limit:
        best, order = order[0], order[1:]
        kept.append(int(best))
        low, high = np.maximum(boxes[best, :2], boxes[order, :2]), np.minimum(boxes[best, 2:], boxes[order, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        with np.errstate(all="ignore"):
            ratio = np.where(common > 0, common / (area[best] + area[order] - common), 0)
        order = order[~(ratio > overlap)]
    return kept


def _nms_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    boxes, scores = np.asarray(inputs[0]), np.asarray(inputs[1])
    given = [None if x is None else np.asarray(x).reshape(-1)[0] for x in [*inputs[2:], None, None, None][:3]]
    limit = 0 if given[0] is None else int(given[0])
    overlap, least = 0.0 if given[1] is None else float(given[1]), None if given[2] is None else float(given[2])
    centered = bool(node.attr("center_point_box", 0))
    found = [
        (batch, kind, box)
        for batch in range(scores.shape[0])
        for kind in range(scores.shape[1])
        for box in _kept(_corners(boxes[batch], centered), scores[batch, kind], limit, overlap, least)
    ]
    return [np.array(found, np.int64).reshape(-1, 3)]


def _nms_lower(lower: Lower, node: Node) -> None:
    """Each class chooses, all that is chosen is counted, which is the symbol of the output's dim, then listed."""
    boxes, scores = lower.read(node.operand(0)), lower.read(node.operand(1))
    rest = [node.input(i) for i in (2, 3, 4)]
    limit = known_ints(rest[0].constant) if rest[0] is not None and rest[0].constant is not None else None
    most = scores.dims[2] if not limit else minimum(scores.dims[2], max(0, limit[0]))
    chosen = lower.temp(DType.INT32, (*scores.dims[:2], most))
    counts, total = lower.temp(DType.INT64, scores.dims[:2]), lower.temp(DType.INT64, (1, 1))
    operands = [boxes, scores, *(None if v is None else lower.read(v) for v in rest)]
    lower.call("NmsSelect", operands, [chosen, counts], {"centered": node.attr("center_point_box", 0)})
    lower.call("Reduce", [counts], [total], {"kind": 0, "axes": 3})
    lower.set_symbol(node.output.shape[0], total)
    lower.call("NmsFill", [chosen, counts], [lower.write(node.output)])


def _nms_samples() -> Iterator[Sample]:
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 1, (2, 12, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.6, (2, 12, 2))], axis=2).astype(np.float32)
    scores = rng.uniform(0, 1, (2, 3, 12)).astype(np.float32)
    scores[0, 0, 3] = scores[0, 0, 7]
    limit = np.array([5], np.int64)
    for overlap in (0.0, 0.3, 0.75):
        yield Sample((boxes, scores, limit, np.array([overlap], np.float32)))
        thresholds = np.array([overlap], np.float32), np.array([0.4], np.float32)
        yield Sample((boxes[:, :, [2, 3, 0, 1]], scores, limit, *thresholds))
        yield Sample((boxes, scores, limit, *thresholds), {"center_point_box": 1})
    yield Sample((boxes, scores))


# -- RoiAlign ------------------------------------------------------------------------------------------------------


def _roi_infer(context: Infer) -> Sequence[Type]:
    x, rois, node = ranked(context, 0, 4), ranked(context, 1, 2), context.node
    check_rank(context, 2, 1)
    agree(context, 4, rois[1], "the coordinates of a region")
    size = (int(node.attr("output_height", 1)), int(node.attr("output_width", 1)))
    return [TensorType(context.dtype(0), (rois[0], x[1], *size))]


def _roi_points(start: float, size: float, bins: int, ratio: int) -> tuple[Array, int]:
    """The coordinates sampled along one axis, bin after bin, and how many a bin has."""
    each = ratio if ratio > 0 else int(np.ceil(size / bins))
    step = size / bins
    places = (np.arange(bins).reshape(-1, 1) + (np.arange(each) + 0.5) / max(each, 1)) * step + start
    return places.reshape(-1), each


def _linear_taps(places: Array, length: int) -> tuple[Array, Array]:
    """Two neighbours of each coordinate and their weights, [2, points]; weight zero beyond one pixel outside."""
    inside = (places >= -1) & (places <= length)
    clipped = np.clip(places, 0, length - 1)
    low = np.minimum(np.floor(clipped).astype(np.int64), length - 1)
    high = np.minimum(low + 1, length - 1)
    part = clipped - low
    return np.stack([low, high]), np.stack([1 - part, part]) * inside


def _roi_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given, rois, batches = (np.asarray(x) for x in inputs)
    x, rois = widen(given), widen(rois)
    bins = (int(node.attr("output_height", 1)), int(node.attr("output_width", 1)))
    scale, ratio = float(node.attr("spatial_scale", 1.0)), int(node.attr("sampling_ratio", 0))
    half = node.text("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    out = np.zeros((len(rois), x.shape[1], *bins), x.dtype)
    for index, (roi, batch) in enumerate(zip(rois, batches, strict=True)):
        left, top, right, bottom = roi * roi.dtype.type(scale) - (0.5 if half else 0)
        sizes = [bottom - top, right - left]
        if not half:
            sizes = [max(s, 1) for s in sizes]
        (rows, row_count), (columns, column_count) = (
            _roi_points(start, size, count, ratio) for start, size, count in zip((top, left), sizes, bins, strict=True)
        )
        if not row_count or not column_count:
            continue
        row_taps, row_weights = _linear_taps(rows, x.shape[2])
        column_taps, column_weights = _linear_taps(columns, x.shape[3])
        grid = (x.shape[1], bins[0], row_count, bins[1], column_count)
        corners = np.stack(
            [
                x[batch][:, row_taps[i]][:, :, column_taps[j]] * (row_weights[i][:, None] * column_weights[j])
                for i, j in all_pairs((0, 1), (0, 1))
            ]
        ).reshape(4, *grid)
        if node.text("mode", "avg") == "avg":
            out[index] = corners.sum(axis=0).mean(axis=(2, 4))
        else:  # onnxruntime takes the largest weighted corner
            out[index] = corners.max(axis=(0, 3, 5))
    return [to_dtype(out, given.dtype)]


def _roi_lower(lower: Lower, node: Node) -> None:
    half = node.text("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    params = {
        "half_pixel": int(half), "maximum": int(node.text("mode", "avg") != "avg"),
        "sampling_ratio": int(node.attr("sampling_ratio", 0)), "spatial_scale": float(node.attr("spatial_scale", 1.0)),
    }  # fmt: skip
    lower.call("RoiAlign", [lower.read(node.operand(i)) for i in range(3)], [lower.write(node.output)], params)


def _roi_samples() -> Iterator[Sample]:
    rois = np.array([[0, 0, 8, 6], [2.5, 1.25, 6, 5], [4, 3, 4.5, 9], [-2, -3, 3, 3]], np.float32)
    batches = np.array([0, 1, 1, 0], np.int64)
    x = samples.draw((2, 3, 8, 9), DType.FLOAT, 0, 4)
    for mode in ("half_pixel", "output_half_pixel"):
        for chosen in (
            {"output_height": 3, "output_width": 2},
            {"output_height": 2, "output_width": 2, "sampling_ratio": 2, "spatial_scale": 0.5},
            {"output_height": 2, "output_width": 3, "mode": "max", "sampling_ratio": 2},
        ):
            yield Sample((x, rois, batches), {**chosen, "coordinate_transformation_mode": mode})


# -- AffineGrid ----------------------------------------------------------------------------------------------------


def _affine_infer(context: Infer) -> Sequence[Type]:
    size, theta = _dims(context.data(1)), tensor_like(context).shape
    if len(size) not in (4, 5):
        raise context.fail(f"input 1, the size, has {len(size)} elements, expected 4 or 5")
    check_rank(context, 0, 3)
    if theta is not None:
        for axis, d in enumerate((size[0], len(size) - 2, len(size) - 1)):
            agree(context, theta[axis], d, f"dim {axis} of input 0 against the size")
    return [TensorType(context.dtype(0), (size[0], *size[2:], len(size) - 2))]


def _base_grid(spatial: Sequence[int], align_corners: bool) -> Array:
    """[points, r + 1]: each place as (x, y, ..., 1), the last dim of `spatial` first, in [-1, 1]."""
    axes = [np.linspace(-1, 1, n) if align_corners else (2 * np.arange(n) + 1) / max(n, 1) - 1 for n in spatial]
    places = np.meshgrid(*axes, indexing="ij")
    flat = [p.reshape(-1) for p in reversed(places)]
    return np.stack([*flat, np.ones_like(flat[0])], axis=1)


def _affine_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    theta, size = np.asarray(inputs[0]), [int(d) for d in np.asarray(inputs[1]).flat]
    if len(size) not in (4, 5) or theta.shape != (size[0], len(size) - 2, len(size) - 1):
        raise RuleError(f"theta of {theta.shape} for a grid of size {size}")
    spatial = size[2:]
    base = _base_grid(spatial, bool(node.attr("align_corners", 0)))
    grid = np.matmul(base, widen(theta).astype(np.float64).swapaxes(1, 2))
    return [to_dtype(grid.reshape(theta.shape[0], *spatial, len(spatial)), theta.dtype)]


def _affine_decompose(build: Build, node: Node) -> Sequence[Value]:
    theta, size = node.operand(0), known_ints(node.operand(1).data)
    if size is None:
        raise NoRowError("the size of the grid is not known")
    base = _base_grid(size[2:], bool(node.attr("align_corners", 0))).astype(theta.dtype.numpy)
    # The many places are the columns of the product: as rows, two or three columns would leave lanes idle.
    lines = build.op("MatMul", theta, build.constant(np.ascontiguousarray(base.T)))
    return [reshape(build, transpose(build, lines, (0, 2, 1)), size[0], *size[2:], len(size) - 2)]


def _affine_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.DOUBLE):
        for size in ((2, 3, 5, 6), (2, 1, 4, 5, 6), (2, 3, 2, 2)):
            rank = len(size) - 2
            theta = samples.draw((2, rank, rank + 1), dtype)
            for align in (0, 1):
                yield Sample((theta, np.array(size, np.int64)), {"align_corners": align})


# -- GridSample ----------------------------------------------------------------------------------------------------


def _grid_infer(context: Infer) -> Sequence[Type]:
    x, grid = context.shape(0), context.shape(1)
    if len(x) != len(grid):
        raise context.fail(f"X has rank {len(x)} and the grid rank {len(grid)}")
    return [TensorType(context.dtype(0), (x[0], x[1], *grid[1:-1]))]


def _reflected(places: Array, low: float, high: float) -> Array:
    """Coordinates mirrored at both ends until they lie between them."""
    span = high - low
    if span <= 0:
        return np.zeros_like(places)
    past = np.abs(places - low) % (2 * span)
    return np.asarray(np.where(past > span, 2 * span - past, past) + low)


Placer = Callable[[Array], Array]  # coordinates that may lie outside -> coordinates inside


def _placer(padding: str, length: int, align_corners: bool) -> Placer:
    low, high = (0.0, length - 1.0) if align_corners else (-0.5, length - 0.5)
    if padding == "border":
        return lambda places: np.clip(places, 0, length - 1)
    if padding == "reflection":
        return lambda places: np.clip(
            np.where((places < low) | (places > high), _reflected(places, low, high), places), 0, length - 1
        )
    return lambda places: places


def _cubic_weights(part: Array) -> list[Array]:
    """Of the four neighbours from -1 to 2 around a coordinate, a = -0.75."""
    a = -0.75

    def near(t: Array) -> Array:
        return np.asarray(((a + 2) * t - (a + 3)) * t * t + 1)

    def far(t: Array) -> Array:
        return np.asarray(((a * t - 5 * a) * t + 8 * a) * t - 4 * a)

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _axis_taps(places: Array, mode: str, place: Placer, length: int) -> list[tuple[Array, Array]]:
    """(index, weight) of each neighbour along one axis; weight zero where zeros are read."""
    if mode == "nearest":
        taps = [(np.rint(place(places)), np.ones_like(places))]
    elif mode == "cubic":
        low = np.floor(places)
        taps = [(place(low + i - 1), w) for i, w in enumerate(_cubic_weights(places - low))]
    else:
        inside = place(places)
        low = np.floor(inside)
        taps = [(low, 1 - (inside - low)), (low + 1, inside - low)]
    return [
        (np.clip(at, 0, length - 1).astype(np.int64), np.where((at >= 0) & (at <= length - 1), weight, 0))
        for at, weight in taps
    ]


def _grid_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given = np.asarray(inputs[0])
    x, grid = widen(given).astype(np.float64), widen(np.asarray(inputs[1])).astype(np.float64)
    mode, padding = node.text("mode", "linear"), node.text("padding_mode", "zeros")
    align = bool(node.attr("align_corners", 0))
    spatial, outer = x.shape[2:], grid.shape[1:-1]
    out = np.zeros((x.shape[0], x.shape[1], *outer))
    for batch in range(x.shape[0]):
        taps = []
        for axis, length in enumerate(spatial):
            unit = grid[batch, ..., len(spatial) - 1 - axis].reshape(-1)
            places = (unit + 1) / 2 * (length - 1) if align else ((unit + 1) * length - 1) / 2
            taps.append(_axis_taps(places, mode, _placer(padding, length, align), length))
        total = np.zeros((x.shape[1], int(np.prod(outer))))
        for chosen in all_pairs(*taps):
            weight = np.prod([w for _, w in chosen], axis=0)
            picked: tuple[Any, ...] = (slice(None), *(at for at, _ in chosen))
            total += x[batch][picked] * weight
        out[batch] = total.reshape(x.shape[1], *outer)
    return [to_dtype(out, given.dtype)]


# At the numbers of the C enumerations.
GRID_MODES = ("linear", "nearest", "cubic")
GRID_PADDINGS = ("zeros", "border", "reflection")


def _grid_lower(lower: Lower, node: Node) -> None:
    mode, padding = node.text("mode", "linear"), node.text("padding_mode", "zeros")
    if mode not in GRID_MODES or padding not in GRID_PADDINGS or node.operand(0).rank > 5:
        raise NoRowError(f"mode {mode}, padding {padding}")
    params = {
        "mode": GRID_MODES.index(mode), "padding": GRID_PADDINGS.index(padding),
        "align_corners": node.attr("align_corners", 0),
    }  # fmt: skip
    lower.call("GridSample", [lower.read(node.operand(i)) for i in range(2)], [lower.write(node.output)], params)


def _grid_flops(node: Node) -> Dim:
    taps = {"nearest": 1, "cubic": 4}.get(node.text("mode", "linear"), 2)
    return 2 * product([taps] * (node.operand(0).rank - 2)) * product(node.output.shape)


def _grid_samples() -> Iterator[Sample]:
    x, deep = samples.draw((2, 3, 5, 6), DType.FLOAT), samples.draw((1, 2, 4, 3, 5), DType.FLOAT)
    grid = samples.draw((2, 4, 3, 2), DType.FLOAT, -1.7, 1.7, seed=1)
    deep_grid = samples.draw((1, 2, 4, 3, 3), DType.FLOAT, -1.7, 1.7, seed=1)
    for align in (0, 1):
        for padding in ("zeros", "border", "reflection"):
            chosen = {"align_corners": align, "padding_mode": padding}
            for mode in ("linear", "nearest", "cubic"):
                yield Sample((x, grid), {**chosen, "mode": mode})
            for mode in ("linear", "nearest"):
                yield Sample((deep, deep_grid), {**chosen, "mode": mode})


# -- Col2Im --------------------------------------------------------------------------------------------------------


def _image_infer(context: Infer) -> Sequence[Type]:
    if context.dtype(0) is DType.STRING:
        raise context.fail("its columns are texts, which have no sum")
    x, image, block = ranked(context, 0, 3), _dims(context.data(1)), _dims(context.data(2))
    if len(image) != len(block):
        raise context.fail(f"an image of {len(image)} dims from blocks of {len(block)}")
    return [TensorType(context.dtype(0), (x[0], floordiv(x[1], product(block)), *image))]


def _image_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Adds every block at its place, the inverse of cutting overlapping blocks out."""
    given = np.asarray(inputs[0])
    image, block = ([int(d) for d in np.asarray(x).flat] for x in inputs[1:3])
    rank = len(image)
    if min(block, default=0) < 1:
        raise RuleError(f"input 2 is {block}, expected blocks of at least one element")
    strides, dilations = ints_attribute(node, "strides", rank, 1), ints_attribute(node, "dilations", rank, 1)
    pads = ints_attribute(node, "pads", 2 * rank, 0)
    wide = [n + before + after for n, before, after in zip(image, pads[:rank], pads[rank:], strict=True)]
    counts = [
        (n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(wide, block, dilations, strides, strict=True)
    ]  # fmt: skip
    channels = given.shape[1] // int(np.prod(block))
    columns = widen(given).reshape(given.shape[0], channels, *block, *counts)
    out = np.zeros((given.shape[0], channels, *wide), columns.dtype)
    every = (slice(None), slice(None))
    for at in all_pairs(*(range(k) for k in block)):
        place: tuple[Any, ...] = tuple(
            slice(i * d, i * d + (c - 1) * s + 1, s) for i, d, c, s in zip(at, dilations, counts, strides, strict=True)
        )
        out[every + place] += columns[every + at]
    crop = tuple(slice(before, before + n) for before, n in zip(pads[:rank], image, strict=True))
    return [to_dtype(out[every + crop], given.dtype)]


def _image_lower(lower: Lower, node: Node) -> None:
    image, block = (known_ints(node.operand(i).data) for i in (1, 2))
    if image is None or block is None or len(image) > 3:
        raise NoRowError("sizes that are not known, or more than three axes")
    rank = len(image)
    params: dict[str, Param] = {
        "block": list(block),
        "strides": list(ints_attribute(node, "strides", rank, 1)),
        "dilations": list(ints_attribute(node, "dilations", rank, 1)),
        "pads": list(ints_attribute(node, "pads", 2 * rank, 0)),
    }
    lower.call("Col2Im", [lower.read(node.operand(0))], [lower.write(node.output)], params)


def _image_samples() -> Iterator[Sample]:
    def sizes(*values: int) -> Array:
        return np.array(values, np.int64)

    for dtype in (DType.FLOAT, DType.INT32):
        yield Sample((samples.draw((1, 5, 5), dtype), sizes(5, 5), sizes(1, 5)))
        yield Sample((samples.draw((2, 18, 12), dtype), sizes(5, 6), sizes(3, 3)))
        yield Sample((samples.draw((1, 9, 4), dtype), sizes(5, 5), sizes(3, 3)), {"strides": (2, 2)})
        yield Sample((samples.draw((1, 5, 15), dtype), sizes(5, 5), sizes(1, 5)), {"pads": (0, 1, 0, 1)})
        yield Sample((samples.draw((1, 4, 5), dtype), sizes(6, 6), sizes(2, 2)), {"dilations": (1, 5)})
        yield Sample((samples.draw((1, 10, 12), dtype), sizes(3, 4, 5), sizes(1, 1, 5)))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="NonMaxSuppression", infer=_nms_infer, size_limit=_nms_most, evaluate=_nms_evaluate, lower=_nms_lower,
        samples=_nms_samples,
    ),
    OpRecord(
        op="RoiAlign", infer=_roi_infer, evaluate=_roi_evaluate, lower=_roi_lower, tolerance=_SUMS,
        samples=_roi_samples,
    ),
    OpRecord(
        op="AffineGrid", infer=_affine_infer, evaluate=_affine_evaluate, decompose=_affine_decompose, tolerance=_SUMS,
        samples=_affine_samples,
    ),
    OpRecord(
        op="GridSample", infer=_grid_infer, evaluate=_grid_evaluate, lower=_grid_lower, flops=_grid_flops,
        tolerance=_SUMS, samples=_grid_samples,
    ),
    OpRecord(
        op="Col2Im", infer=_image_infer, evaluate=_image_evaluate, lower=_image_lower, tolerance=_SUMS,
        samples=_image_samples,
    ),
)  # fmt: skip
