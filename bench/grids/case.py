"""One call of a kernel row, and how operands for it are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from tests.support.rowcall import params_blob

Array = np.ndarray[Any, Any]

DTYPES: Mapping[str, Any] = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "u8": np.uint8,
    "i16": np.int16, "u16": np.uint16, "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64,
    "bool": np.bool_, "any": np.float32,
}  # fmt: skip
"""By the short names of signatures; what takes any type is timed on f32."""


@dataclass
class Case:
    """One call of a row. flops: operations, a multiply-add being two. touched: bytes read and written, where those are
    not all operands' own."""

    name: str
    inputs: Sequence[Array | None]
    outputs: Sequence[Array | None]
    params: bytes | None = None
    flops: float = 0.0
    pack: tuple[int, ...] = ()
    constant: tuple[int, ...] = ()
    tile: Any = None
    touched: int | None = None

    @property
    def bytes(self) -> int:
        """Of the operands' distinct elements, or what is touched of them."""
        return self.touched or sum(a.nbytes for a in [*self.inputs, *self.outputs] if a is not None)


def types(row: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """The first element type that the row takes, of each input and output that its signature writes out."""
    sides = row["signature"].split(">")
    return tuple([_first(part) for part in side.split(",") if part] for side in sides)  # type: ignore[return-value]


def _first(part: str) -> Any:
    return DTYPES[part.removesuffix("...").removesuffix("?").split("|")[0]]


def noise(shape: Sequence[int], dtype: Any = np.float32) -> Array:
    """Standard normal floats, integers below 100 or flags; the same array for the same arguments, so read only."""
    return _noise(tuple(shape), np.dtype(dtype))


@lru_cache(64)
def _noise(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    rng = np.random.default_rng(0)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.standard_normal(shape, np.float32).astype(dtype)


def channels_last(x: Array) -> Array:
    """The same dims with channels innermost in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def blob(row: Mapping[str, Any], **values: Any) -> bytes:
    """The parameters of the row's family."""
    return params_blob(row["family"], values)
