"""Test inputs for records: seeded arrays over the element types an op accepts. Same arrays on every call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array
from arenaut.ir.record import Sample

Samples = Callable[[], Iterator[Sample]]

FLOATS = (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.BFLOAT16)
SIGNED = (DType.INT32, DType.INT64, DType.INT8, DType.INT16)
UNSIGNED = (DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64)
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS
# One type of every element size, and those that are not numbers: for ops that only move data.
MOVABLE = (DType.FLOAT, DType.INT64, DType.UINT8, DType.BOOL, DType.FLOAT16, DType.DOUBLE)

SHAPE_PAIRS = (
    ((3, 5), (3, 5)),
    ((2, 3, 4), (1,)),
    ((4, 1, 6), (3, 1)),
    ((1, 33), (7, 33)),
    ((), (2, 2)),
    ((0, 3), (3,)),
)


def draw(shape: Sequence[int], dtype: DType = DType.FLOAT, low: float = -4, high: float = 4, seed: int = 0) -> Array:
    """Uniform values of [low, high], clipped to what the type holds."""
    rng = np.random.default_rng(seed)
    if dtype is DType.STRING:
        words = np.array(["", "a", "bc", "Ünï", "a b"], object)
        return words[rng.integers(0, len(words), tuple(shape))] if shape else np.array("bc", object)
    if dtype is DType.BOOL:
        return np.asarray(rng.integers(0, 2, tuple(shape)), np.bool_)
    if dtype.is_integer:
        narrow = dtype.short.startswith("u")
        least = max(0, int(low)) if narrow else int(low)
        return np.asarray(rng.integers(least, int(high) + 1, tuple(shape))).astype(dtype.numpy)
    values = np.asarray(rng.uniform(low, high, tuple(shape)))
    return values.astype(np.float32).astype(dtype.numpy) if dtype.itemsize < 4 else values.astype(dtype.numpy)


def special(dtype: DType) -> Array:
    """Zeros of both signs, infinities, NaN, the smallest normal and subnormal magnitudes, one."""
    tiny = float(np.finfo(np.float32).tiny)
    return np.array([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, 1.0, -1.0, 0.5], np.float32).astype(dtype.numpy)


def elementwise(
    arity: int,
    dtypes: Sequence[DType],
    low: float = -4,
    high: float = 4,
    *,
    attributes: Sequence[Mapping[str, Any]] = ({},),
    specials: bool = True,
) -> Samples:
    """Every dtype over broadcasting shapes, every attribute set, and special values for floats."""

    def generate() -> Iterator[Sample]:
        for dtype in dtypes:
            for chosen in attributes:
                for index, shapes in enumerate(SHAPE_PAIRS if arity > 1 else (((3, 7),), ((),), ((0, 2),), ((1, 65),))):
                    operands = [draw(shapes[i % len(shapes)], dtype, low, high, 7 * index + i) for i in range(arity)]
                    yield Sample(tuple(operands), chosen)
                if specials and dtype.is_float:
                    values = special(dtype)
                    yield Sample(tuple(np.roll(values, i * 3) for i in range(arity)), chosen)

    return generate


def cases(*samples: Sample) -> Samples:
    """A fixed list. Small arrays only: the list is built when the module is imported."""
    return lambda: iter(samples)


def of_types(dtypes: Sequence[DType], build: Callable[[DType], Iterator[Sample]]) -> Samples:
    """What build yields for each type in turn."""

    def generate() -> Iterator[Sample]:
        for dtype in dtypes:
            yield from build(dtype)

    return generate


def i64(*values: int) -> Array:
    return np.array(values, np.int64)
