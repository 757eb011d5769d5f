"""Constant weights times constant factors."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Array


def scaled(weights: Array, factors: Array) -> Array:
    """weights * factors, multiplied as float64 and rounded once to the type of the weights."""
    if weights.dtype.kind != "f":  # numpy has no such type, so it converts whole arrays
        return (weights.astype(np.float64) * factors).astype(weights.dtype)
    out = np.empty(np.broadcast_shapes(weights.shape, factors.shape), weights.dtype)
    with np.errstate(all="ignore"):
        np.multiply(weights, factors, out=out, casting="same_kind", dtype=np.float64)
    return out


def keeps_all(weights: Array, scaled_weights: Array) -> bool:
    """Whether no element became infinite, NaN or so small that digits were lost."""
    tiny = np.finfo(weights.dtype).tiny
    sizes = np.abs(scaled_weights)
    if sizes.size and tiny <= sizes.min() <= sizes.max() < np.inf:
        return True
    lost = ~np.isfinite(scaled_weights) | ((sizes < tiny) & (weights != 0))
    return not lost.any()
