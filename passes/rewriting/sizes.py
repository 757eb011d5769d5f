"""Sizes as values: int64 operands for Reshape, Expand and Slice, from the inputs where they are symbols."""

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
    return _of_an_input(build, (size,))


def shape_value(build: GraphBuilder, shape: Sequence[Dim]) -> Value | None:
    """int64[n]; None where a size is not to be had."""
    if all(isinstance(d, int) for d in shape):
        return build.constant(np.array(list(shape), np.int64))
    whole = _of_an_input(build, tuple(shape))
    if whole is not None:
        return whole
    made, sizes = len(build.made), [size_value(build, d) for d in shape]
    if any(s is None for s in sizes):
        build.graph.remove(build.made[made:])
        del build.made[made:]
        return None
    result = build.op("Concat", *sizes, axis=0)
    return result


def _of_an_input(build: GraphBuilder, shape: tuple[Dim, ...]) -> Value | None:
    """Dims that stand beside each other in one input."""
    for value in build.graph.inputs:
        dims = value.shape if value.has_shape else ()
        for start in range(len(dims) - len(shape) + 1):
            if dims[start : start + len(shape)] == shape:
                result = build.op("Shape", value, start=start, end=start + len(shape))
                return result
    return None
