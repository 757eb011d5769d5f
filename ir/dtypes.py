"""Element types: ONNX's number, name, numpy dtype and bytes held per element."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np


class DType(IntEnum):
    """Numbers are those of ONNX TensorProto.DataType. Sub-byte types are held one element per byte."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    FLOAT8E4M3FNUZ = 18
    FLOAT8E5M2 = 19
    FLOAT8E5M2FNUZ = 20
    UINT4 = 21
    INT4 = 22
    FLOAT4E2M1 = 23
    FLOAT8E8M0 = 24
    UINT2 = 25
    INT2 = 26
    FLOAT6E2M3 = 27
    FLOAT6E3M2 = 28

    # Of each type, set below: lookups of these are most of what loading asks.
    short: str
    """The name that dumps and signatures use, e.g. f32."""
    itemsize: int
    """Bytes held per element in memory; 8 (a reference) for strings."""
    compute: DType | None
    """The type that native arithmetic on this one is done in (kernels convert at load and store); None for strings and
    complex numbers."""
    is_float: bool
    is_integer: bool

    @property
    def numpy(self) -> np.dtype[Any]:
        plain = _PLAIN.get(self)
        return _narrow_dtypes()[self] if plain is None else plain


_SHORT = {
    DType.FLOAT: "f32", DType.UINT8: "u8", DType.INT8: "i8", DType.UINT16: "u16", DType.INT16: "i16",
    DType.INT32: "i32", DType.INT64: "i64", DType.STRING: "str", DType.BOOL: "bool", DType.FLOAT16: "f16",
    DType.DOUBLE: "f64", DType.UINT32: "u32", DType.UINT64: "u64", DType.COMPLEX64: "c64", DType.COMPLEX128: "c128",
    DType.BFLOAT16: "bf16", DType.FLOAT8E4M3FN: "f8e4m3fn", DType.FLOAT8E4M3FNUZ: "f8e4m3fnuz",
    DType.FLOAT8E5M2: "f8e5m2", DType.FLOAT8E5M2FNUZ: "f8e5m2fnuz", DType.UINT4: "u4", DType.INT4: "i4",
    DType.FLOAT4E2M1: "f4e2m1", DType.FLOAT8E8M0: "f8e8m0", DType.UINT2: "u2", DType.INT2: "i2",
    DType.FLOAT6E2M3: "f6e2m3", DType.FLOAT6E3M2: "f6e3m2",
}  # fmt: skip

_FLOATS = frozenset(
    {DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.BFLOAT16, DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ,
     DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ, DType.FLOAT4E2M1, DType.FLOAT8E8M0, DType.FLOAT6E2M3,
     DType.FLOAT6E3M2}
)  # fmt: skip
_INTEGERS = frozenset(
    {DType.UINT8, DType.INT8, DType.UINT16, DType.INT16, DType.INT32, DType.INT64, DType.UINT32, DType.UINT64,
     DType.UINT4, DType.INT4, DType.UINT2, DType.INT2}
)  # fmt: skip

_COMPUTE = {
    **dict.fromkeys(_FLOATS, DType.FLOAT), **dict.fromkeys(_INTEGERS, DType.INT32),
    DType.DOUBLE: DType.DOUBLE, DType.UINT32: DType.INT64, DType.INT64: DType.INT64, DType.UINT64: DType.UINT64,
    DType.BOOL: DType.BOOL,
}  # fmt: skip


_PLAIN: dict[DType, np.dtype[Any]] = {
    d: np.dtype(t) for d, t in (
        (DType.FLOAT, np.float32), (DType.UINT8, np.uint8), (DType.INT8, np.int8), (DType.UINT16, np.uint16),
        (DType.INT16, np.int16), (DType.INT32, np.int32), (DType.INT64, np.int64), (DType.STRING, np.object_),
        (DType.BOOL, np.bool_), (DType.FLOAT16, np.float16), (DType.DOUBLE, np.float64), (DType.UINT32, np.uint32),
        (DType.UINT64, np.uint64), (DType.COMPLEX64, np.complex64), (DType.COMPLEX128, np.complex128),
    )
}  # fmt: skip
# What numpy lacks and ml_dtypes has, under its names there.
_NARROW = {
    DType.BFLOAT16: "bfloat16", DType.FLOAT8E4M3FN: "float8_e4m3fn", DType.FLOAT8E4M3FNUZ: "float8_e4m3fnuz",
    DType.FLOAT8E5M2: "float8_e5m2", DType.FLOAT8E5M2FNUZ: "float8_e5m2fnuz", DType.UINT4: "uint4",
    DType.INT4: "int4", DType.FLOAT4E2M1: "float4_e2m1fn", DType.FLOAT8E8M0: "float8_e8m0fnu",
    DType.UINT2: "uint2", DType.INT2: "int2", DType.FLOAT6E2M3: "float6_e2m3fn", DType.FLOAT6E3M2: "float6_e3m2fn",
}  # fmt: skip
_BYTES = {d: n.itemsize for d, n in _PLAIN.items()} | dict.fromkeys(_NARROW, 1) | {DType.BFLOAT16: 2}

for _type in DType:
    _type.short, _type.itemsize, _type.compute = _SHORT[_type], _BYTES[_type], _COMPUTE.get(_type)
    _type.is_float, _type.is_integer = _type in _FLOATS, _type in _INTEGERS


@cache
def _narrow_dtypes() -> dict[DType, np.dtype[Any]]:
    import ml_dtypes  # imported by the first model that has such a type

    ml_dtypes.finfo(ml_dtypes.bfloat16)  # kept from now on, whatever becomes of denormals
    return {d: np.dtype(getattr(ml_dtypes, name)) for d, name in _NARROW.items()}


@cache
def _from_numpy() -> dict[np.dtype[Any], DType]:
    return {n: d for d, n in (_PLAIN | _narrow_dtypes()).items()}


# By numpy's one letter: what is looked up most.
_BY_LETTER = {"f": DType.FLOAT, "d": DType.DOUBLE, "?": DType.BOOL, "b": DType.INT8, "B": DType.UINT8}
_BY_LETTER |= {np.dtype(np.int64).char: DType.INT64, np.dtype(np.int32).char: DType.INT32}


def dtype_of(array_or_dtype: np.ndarray[Any, Any] | np.dtype[Any]) -> DType:
    """The DType of an array; text arrays are STRING. Raises TypeError for what ONNX cannot hold."""
    dt = array_or_dtype.dtype if isinstance(array_or_dtype, np.ndarray) else array_or_dtype
    known = _BY_LETTER.get(dt.char) if dt.isnative else None
    if known is not None:
        return known
    if dt.kind in "OUST":
        return DType.STRING
    try:
        return _from_numpy()[dt.newbyteorder("=")]
    except KeyError:
        raise TypeError(f"ONNX has no element type for numpy dtype {dt}") from None
