"""Sizes as values: int64 operands for Reshape, Expand and Slice, taken from the graph's inputs where they are symbols,
so that they keep nothing alive that is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.graph import Value


def size_value(build: GraphBuilder, size: Dim) -> Value | None:
    """int64[1]; None for a symbol or expression that no input of the graph has as a dim."""
    if isinstance(size, int):
        return build.constant(np.array([size], np.int64))
    places = ((v, i) for v in build.graph.inputs if v.has_shape for i, d in enumerate(v.shape) if d == size)
    value, axis = next(places, (None, 0))
    if value is None:
        return None
    result: Value = build.op("Shape", value, start=axis, end=axis + 1)
    return result


def shape_value(build: GraphBuilder, shape: Sequence[Dim]) -> Value | None:
    """int64[n]; None where a size is not to be had."""
    if all(isinstance(d, int) for d in shape):
        return build.constant(np.array(list(shape), np.int64))
    sizes = [size_value(build, d) for d in shape]
    if any(s is None for s in sizes):
        return None
    result: Value = build.op("Concat", *sizes, axis=0)
    return result
