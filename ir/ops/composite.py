"""Helpers of decompositions: nodes with one result, constants, dims as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Value
from arenaut.ir.record import Build


def one(build: Build, op: str, *inputs: Value | None, **attributes: Any) -> Value:
    """A node with one output; that output."""
    result = build.op(op, *inputs, **attributes)
    assert isinstance(result, Value)
    return result


def ints(build: Build, *values: int) -> Value:
    """A constant int64 vector."""
    return build.constant(np.array(values, np.int64))


def number(build: Build, value: float, dtype: DType) -> Value:
    """A constant scalar."""
    return build.constant(np.array(value, dtype.numpy))


def cast(build: Build, x: Value, to: DType) -> Value:
    return x if x.dtype is to else one(build, "Cast", x, to=int(to))


def dims_of(build: Build, x: Value, start: int, end: int) -> Value:
    """Dims start to end of x as an int64 vector."""
    return one(build, "Shape", x, start=start, end=end)


def merged_dim(build: Build, x: Value, start: int, end: int) -> Value:
    """The product of dims start to end of x as an int64 vector of one element; 1 when there are none."""
    if end - start == 1:
        return dims_of(build, x, start, end)
    if end <= start:
        return ints(build, 1)
    return one(build, "ReduceProd", dims_of(build, x, start, end), ints(build, 0), keepdims=1)


def reshape(build: Build, x: Value, *parts: Value | int) -> Value:
    """x under the dims that the parts list: vectors of dims, or single ints."""
    numbers = [p for p in parts if isinstance(p, int)]
    if len(numbers) == len(parts):
        shape = ints(build, *numbers)
    else:
        shape = concat(build, [ints(build, p) if isinstance(p, int) else p for p in parts], 0)
    return one(build, "Reshape", x, shape, allowzero=1)


def concat(build: Build, parts: Sequence[Value], axis: int) -> Value:
    return parts[0] if len(parts) == 1 else one(build, "Concat", *parts, axis=axis)


def transpose(build: Build, x: Value, order: Sequence[int]) -> Value:
    return x if list(order) == list(range(x.rank)) else one(build, "Transpose", x, perm=tuple(order))
