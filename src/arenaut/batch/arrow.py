"""Arrow's tables as columns of Python and numpy values, and results as Arrow's columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from arenaut.inputs import TensorInfo

Array = np.ndarray[Any, Any]


def columns_of(batch: Any, names: Sequence[str] | None = None) -> dict[str, Sequence[Any]]:
    """Columns of a record batch: lists of values, arrays of one shape where the type says it."""
    return {n: _values(batch.column(n)) for n in (batch.schema.names if names is None else names)}


def _values(column: Any) -> Sequence[Any]:
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        if isinstance(kind, pa.FixedShapeTensorType) and not column.null_count:
            tensors: Sequence[Any] = column.to_numpy_ndarray()
            return tensors
        if hasattr(column, "to_numpy") and not column.null_count:  # Ray's tensors
            return list(column.to_numpy(zero_copy_only=False))
        return _values(column.storage)
    if pa.types.is_fixed_size_list(kind) and not column.null_count and _plain(kind.value_type):
        values = column.flatten().to_numpy(zero_copy_only=False)
        fixed: Sequence[Any] = values.reshape(len(column), kind.list_size)
        return fixed
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _plain(kind.value_type):
        values = column.values.to_numpy(zero_copy_only=False)
        offsets, valid = column.offsets.to_numpy(), column.is_valid().to_numpy(zero_copy_only=False)
        return [values[a:b] if v else None for a, b, v in zip(offsets, offsets[1:], valid, strict=False)]
    if _plain(kind) and not column.null_count:
        plain: Sequence[Any] = column.to_numpy(zero_copy_only=False)
        return plain
    listed: list[Any] = column.to_pylist()
    return listed


def _plain(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def field_of(info: TensorInfo, has_axis: bool) -> Any:
    """The field of an output's column: lists of fixed sizes where the model says them. has_axis: axis 0 counts rows."""
    shape = info.shape[1:] if has_axis and info.shape else info.shape
    kind = _element(info.dtype)
    for dim in reversed(shape or ()):
        kind = pa.list_(kind, dim) if isinstance(dim, int) else pa.list_(kind)
    return pa.field(info.name, kind)


def _element(dtype: str) -> Any:
    if dtype == "string":
        return pa.string()
    try:
        return pa.from_numpy_dtype(np.dtype(dtype))
    except (pa.ArrowNotImplementedError, TypeError):  # bfloat16 and narrower, which Arrow has no types for
        return pa.float32()


def column_of(arrays: Sequence[Array], kind: Any) -> Any:
    """Arrays of one row each as a column of the type that field_of gave."""
    levels = []
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        levels.append(kind)
        kind = kind.value_type
    if pa.types.is_string(kind):
        values = pa.array([str(item) for a in arrays for item in a.flat], pa.string())
    else:
        flat = np.concatenate([a.ravel() for a in arrays]) if arrays else np.empty(0)
        values = pa.array(flat.astype(kind.to_pandas_dtype(), copy=False), kind)
    for axis in reversed(range(len(levels))):
        if pa.types.is_fixed_size_list(levels[axis]):
            values = pa.FixedSizeListArray.from_arrays(values, type=levels[axis])
            continue
        counts = [int(np.prod(a.shape[:axis])) for a in arrays]
        lengths = np.repeat([a.shape[axis] for a in arrays], counts) if arrays else np.empty(0, np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        values = pa.ListArray.from_arrays(pa.array(offsets), values, type=levels[axis])
    return values
