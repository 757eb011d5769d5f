"""Images by coordinates: resizing, boxes, regions, grids; ensembles of trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.grids.case import Case, blob, channels_last, noise, types

Row = Mapping[str, Any]


def resize(row: Row) -> Iterator[Case]:
    """By two, channels first and last; nearest, or linear."""
    mode = 0 if row["family"] == "ResizeNearest" else 1
    for last in (False, True):
        for c, size in ((64, 56), (3, 224)):
            x = noise((1, c, size, size), types(row)[0][0])
            y = np.zeros((1, c, 2 * size, 2 * size), x.dtype)
            if last:
                x, y = channels_last(x), channels_last(y)
            params = blob(row, mode=mode, scales=[1.0, 1.0, 2.0, 2.0], cubic_coeff_a=-0.75)
            yield Case(f"{c}x{size} by 2{' channels-last' if last else ''}", [x, None], [y], params)


def resize_sizes(row: Row) -> Iterator[Case]:
    yield Case("four", [np.full(4, 1.5, np.float32)], [np.zeros(4, np.int64)], blob(row, extents=[1, 3, 224, 224]))


def _boxes(count: int, side: float, dtype: Any = np.float32) -> Any:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, side, (count, 2))
    return np.concatenate([low, low + rng.uniform(1, side / 4, (count, 2))], 1).astype(dtype)


def nms_select(row: Row) -> Iterator[Case]:
    for classes, count in ((1, 1000), (20, 400)):
        scores = np.random.default_rng(0).random((1, classes, count), np.float32)
        inputs = [_boxes(count, 100)[None], scores, np.array([100]), np.array([0.5], np.float32), None]
        outputs = [np.zeros((1, classes, 100), np.int32), np.zeros((1, classes), np.int64)]
        yield Case(f"{count} boxes of {classes} classes", inputs, outputs, blob(row))


def nms_fill(row: Row) -> Iterator[Case]:
    chosen, counts = np.zeros((1, 20, 100), np.int32), np.full((1, 20), 50, np.int64)
    yield Case("1000 of 20 classes", [chosen, counts], [np.zeros((1000, 3), np.int64)])


def roi_align(row: Row) -> Iterator[Case]:
    dtype = types(row)[0][0]
    x, regions = noise((1, 64, 50, 50), dtype), _boxes(100, 40, dtype)
    yield Case("100 regions of 64x50x50", [x, regions, np.zeros(100, np.int64)], [np.zeros((100, 64, 7, 7), dtype)],
               blob(row, half_pixel=1, sampling_ratio=2, spatial_scale=1.0))  # fmt: skip


def max_roi_pool(row: Row) -> Iterator[Case]:
    dtype = types(row)[0][0]
    regions = np.concatenate([np.zeros((100, 1)), _boxes(100, 40)], 1).astype(dtype)
    yield Case("100 regions of 64x50x50", [noise((1, 64, 50, 50), dtype), regions],
               [np.zeros((100, 64, 7, 7), dtype)], blob(row, spatial_scale=1.0))  # fmt: skip


def grid_sample(row: Row) -> Iterator[Case]:
    dtype = types(row)[0][0]
    grid = np.random.default_rng(0).uniform(-1, 1, (1, 56, 56, 2)).astype(dtype)
    x = noise((1, 64, 56, 56), dtype)
    yield Case("64x56, linear", [x, grid], [np.zeros_like(x)], blob(row))


def col2im(row: Row) -> Iterator[Case]:
    """Blocks of 3 x 3 that overlap, and of 2 x 2 that do not."""
    dtype = types(row)[0][0]
    for block, stride, pad in ((3, 1, 1), (2, 2, 0)):
        blocks = ((56 + 2 * pad - block) // stride + 1) ** 2
        params = blob(row, block=[block] * 2, strides=[stride] * 2, dilations=[1, 1], pads=[pad] * 4)
        yield Case(f"64x56, {block}x{block}/{stride}", [noise((1, 64 * block**2, blocks), dtype)],
                   [np.zeros((1, 64, 56, 56), dtype)], params)  # fmt: skip


def deform_columns(row: Row) -> Iterator[Case]:
    x, offset = noise((1, 64, 28, 28)), noise((1, 18, 28, 28))
    params = blob(row, groups=1, kernel=[3, 3], strides=[1, 1], dilations=[1, 1], pads=[1, 1])
    yield Case("64x28, 3x3", [x, offset, None], [np.zeros((1, 64 * 9, 28, 28), np.float32)], params)


def trees(row: Row) -> Iterator[Case]:
    """100 full trees of depth 6 over 20 features."""
    dtype, depth, count = types(row)[0][0], 6, 100
    inner, rng = 2**depth - 1, np.random.default_rng(0)
    nodes = np.zeros((count * inner, 5), np.int32)
    for t in range(count):
        for i in range(inner):
            at, below = t * inner + i, 2 * i + 1
            kids = [t * inner + k if k < inner else ~(t * (inner + 1) + k - inner) for k in (below, below + 1)]
            nodes[at] = [rng.integers(20), 0, 0, *kids]
    leaves = count * (inner + 1)
    table = [np.arange(count, dtype=np.int32) * inner, nodes, noise((len(nodes),), dtype),
             np.arange(leaves + 1, dtype=np.int32), np.zeros(leaves, np.int32), noise((leaves,), dtype)]  # fmt: skip
    for samples in (1, 1000):
        yield Case(f"{samples} rows, 100 trees of depth 6", [noise((samples, 20), dtype), *table],
                   [np.zeros((samples, 1), dtype)], blob(row, aggregate=1), constant=tuple(range(1, 7)))  # fmt: skip


REGIONS = {"Resize": resize, "ResizeNearest": resize, "ResizeSizes": resize_sizes, "NmsSelect": nms_select,
           "NmsFill": nms_fill, "RoiAlign": roi_align, "MaxRoiPool": max_roi_pool, "GridSample": grid_sample,
           "Col2Im": col2im, "DeformColumns": deform_columns, "Trees": trees}  # fmt: skip
