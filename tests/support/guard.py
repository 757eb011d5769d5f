"""Arrays in odd layouts inside guarded memory: what a kernel may not touch is filled with a sentinel and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.support.rowcall import call

SENTINEL = 0xFB  # as a float: a large negative number, or NaN; as an index: far outside


class Guarded:
    """`view` has the asked shape and some layout; the bytes around and between its elements hold the sentinel."""

    def __init__(self, shape: Sequence[int], dtype: Any, rng: np.random.Generator | None = None, odd: bool = True):
        dtype = np.dtype(dtype)
        rank = len(shape)
        order, gaps, signs = list(range(rank)), [1] * rank, [1] * rank
        if rng is not None and odd:
            order = list(rng.permutation(rank)) if rng.random() < 0.7 else order
            gaps = [int(rng.choice([1, 1, 2, 3])) for _ in order] if rng.random() < 0.5 else gaps
            signs = [int(rng.choice([1, 1, -1])) for _ in order] if rng.random() < 0.5 else signs
        strides = [0] * rank
        step = 1
        for axis in reversed(order):
            strides[axis] = step * gaps[axis]
            step = strides[axis] * max(1, shape[axis])
        lead = 64
        buffer = np.full((step + 2 * lead) * dtype.itemsize, SENTINEL, np.uint8)
        first = lead + sum((n - 1) * s for n, s, sign in zip(shape, strides, signs, strict=True) if sign < 0 and n)
        byte_strides = [s * sign * dtype.itemsize for s, sign in zip(strides, signs, strict=True)]
        self.buffer = buffer
        self.view = np.ndarray(shape, dtype, buffer, first * dtype.itemsize, byte_strides)
        used = np.zeros(buffer.shape, bool)
        for b in range(dtype.itemsize):
            np.ndarray(shape, np.bool_, used, first * dtype.itemsize + b, byte_strides)[...] = True
        self.outside = ~used

    def check(self) -> None:
        assert (self.buffer[self.outside] == SENTINEL).all(), "wrote outside its elements"


def place(array: np.ndarray, rng: np.random.Generator, zero: bool = False) -> np.ndarray:
    """A copy of `array` in a random layout between sentinels; with `zero`, maybe broadcast along some axes.

    A broadcast copy repeats the array's first slice, so read the values from what is returned.
    """
    source = array
    if zero and rng.random() < 0.3 and array.ndim and array.size:
        axis = int(rng.integers(array.ndim))
        source = array.take([0], axis)
    g = Guarded(source.shape, source.dtype, rng)
    g.view[...] = source
    return np.broadcast_to(g.view, array.shape)


def run(
    row: Any,
    inputs: Sequence[np.ndarray | None],
    outputs: Sequence[tuple[Sequence[int], Any] | None],
    rng: np.random.Generator | None = None,
    *,
    parts: Sequence[int] = (1, 2, 7),
    init: Callable[[int], np.ndarray] | None = None,
    status: int = 0,
    **kwargs: Any,
) -> list[np.ndarray]:
    """Calls `row` once per number of parts, on guarded outputs in one random layout; the bytes must not differ.

    Returns dense copies of the outputs (an absent one is left out). `init(i)` gives output i's content beforehand.
    """
    seen: list[list[np.ndarray]] = []
    seed = None if rng is None else int(rng.integers(1 << 32))
    for p in parts:
        again = None if seed is None else np.random.default_rng(seed)
        guards = [None if o is None else Guarded(o[0], o[1], again) for o in outputs]
        for i, g in enumerate(guards):
            if g is not None and init is not None:
                g.view[...] = init(i)
        result = call(row, inputs, [None if g is None else g.view for g in guards], parts=p, **kwargs)
        assert result["status"] == status, result
        for g in guards:
            if g is not None:
                g.check()
        seen.append([np.array(g.view) for g in guards if g is not None])
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            assert a.tobytes() == b.tobytes(), "the split over tasks changed the bytes"
    return seen[0]
