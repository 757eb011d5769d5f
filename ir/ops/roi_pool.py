"""Pooling over regions of interest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.graph import Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree
from arenaut.ir.record import Infer, Lower, OpRecord, Sample
from arenaut.ir.types import TensorType, Type


def _infer(context: Infer) -> Sequence[Type]:
    x, rois = context.shape(0), context.shape(1)
    if len(x) != 4 or len(rois) != 2:
        raise context.fail(f"ranks {len(x)} and {len(rois)}, expected 4 and 2")
    agree(context, rois[1], 5, "the numbers of a region")
    pooled = context.node.attr("pooled_shape")
    if len(pooled) != 2:
        raise context.fail(f"pooled_shape has {len(pooled)} entries, expected 2")
    return [TensorType(context.dtype(0), (rois[0], x[1], *pooled))]


def _edges(first: int, last: int, bins: int, size: int) -> list[slice]:
    """The elements of each bin along one axis; bins overlap where the region does not divide."""
    extent = max(last - first + 1, 1) / bins
    starts = [int(np.floor(i * extent)) + first for i in range(bins)]
    ends = [int(np.ceil((i + 1) * extent)) + first for i in range(bins)]
    return [slice(min(max(s, 0), size), min(max(e, 0), size)) for s, e in zip(starts, ends, strict=True)]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """A region is (batch, x1, y1, x2, y2), corners included; an empty bin gives 0."""
    x, rois = np.asarray(inputs[0]), np.asarray(inputs[1])
    high, wide = node.attr("pooled_shape")
    out = np.zeros((len(rois), x.shape[1], high, wide), x.dtype)
    for i, roi in enumerate(rois):
        corners = roi[1:] * np.float32(node.attr("spatial_scale", 1.0))
        left, top, right, bottom = (int(np.floor(c + 0.5)) for c in corners)
        rows, columns = _edges(top, bottom, high, x.shape[2]), _edges(left, right, wide, x.shape[3])
        for r, row in enumerate(rows):
            for c, column in enumerate(columns):
                part = x[int(roi[0])][:, row, column]
                if part.size:
                    out[i, :, r, c] = part.max(axis=(1, 2))
    return [out]


def _lower(lower: Lower, node: Node) -> None:
    operands = [lower.read(node.operand(0)), lower.read(node.operand(1))]
    lower.call(
        "MaxRoiPool", operands, [lower.write(node.output)], {"spatial_scale": float(node.attr("spatial_scale", 1.0))}
    )


def _samples() -> Iterator[Sample]:
    x = samples.draw((2, 3, 8, 9))
    rois = np.array([[0, 0, 0, 5, 5], [1, 2, 1, 8, 7], [1, 3, 3, 3, 3], [0, 6, 6, 20, 20]], np.float32)
    yield Sample((x, rois), {"pooled_shape": (2, 3)})
    doubled = np.concatenate([rois[:, :1], rois[:, 1:] * 2], axis=1)
    yield Sample((x, doubled), {"pooled_shape": (3, 3), "spatial_scale": 0.5})
    yield Sample((x, rois), {"pooled_shape": (1, 1)})


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(op="MaxRoiPool", infer=_infer, evaluate=_evaluate, lower=_lower, samples=_samples),
)
