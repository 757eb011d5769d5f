"""Cast and CastLike, with ONNX's rules for every pair of element types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim, equal
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.elements import Choice, Coordinates, Elements, UnknownElementError, as_choice, is_boolean
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import map_dims, tensor_like
from arenaut.ir.record import Build, Infer, NoRowError, OpRecord, Reg, Sample, TileBuilder, the_first_input
from arenaut.ir.types import TensorType, Type

_FLOAT8 = (DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ)
_SIGNED_NAN = (DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2FNUZ)  # whose NaN is what -0 would be
_SATURATING = (DType.FLOAT4E2M1, DType.FLOAT6E2M3, DType.FLOAT6E3M2)  # which have neither NaN nor infinity
_BITS = {DType.UINT4: 4, DType.INT4: 4, DType.UINT2: 2, DType.INT2: 2}


def cast_array(x: Array, to: DType, saturate: bool = True) -> Array:
    """x in element type `to`: floats to integers toward zero, integers wrap, what is not 0 is true, floats round to
    nearest even. Into float8, saturate clips to the largest finite value; else what does not fit is NaN or infinity.
    Values that no standard defines (NaN to integer) give something, never an error."""
    target = to.numpy
    if x.dtype == target:
        return x
    with np.errstate(all="ignore"):
        if to is DType.BOOL:
            return np.asarray(x != 0)
        if to in _FLOAT8 and saturate:
            limit = _largest(to)
            wide = x if x.dtype.kind == "f" and x.dtype.itemsize >= 4 else x.astype(np.float32)
            return np.clip(wide, -limit, limit).astype(target)
        if to.is_integer and dtype_of(x).is_float:
            return _from_float(np.trunc(x.astype(np.float64)), to)
        if to.is_integer and to.itemsize < 8:
            return _wrap(x.astype(np.int64), to)
        if DType.FLOAT8E8M0 in (to, dtype_of(x)) and x.dtype.itemsize == target.itemsize == 1:
            x = x.astype(np.float32)  # ml_dtypes does not convert it and other narrow types
        if to in _SATURATING and dtype_of(x) in _BITS:  # which ml_dtypes does not convert directly
            return x.astype(np.int8).astype(target)
        if to in _SATURATING and dtype_of(x) in _SIGNED_NAN:
            return np.where(np.isnan(x), np.array(-0.0, target), x.astype(target))
        return x.astype(target)


def _from_float(whole: Array, to: DType) -> Array:
    """Whole numbers in an integer type: through int64 or int32, as kernels compute, in which NaN and what does not fit
    is the lowest number; that modulo the width of narrower types. Above int64, into uint64, by way of the
    difference."""
    lowest = np.int64(-(2**63))
    if to is DType.UINT64:
        low, high = _in_range(whole, np.int64), _in_range(whole - 2.0**63, np.int64)
        wrapped = np.where(whole < 2.0**63, low, np.bitwise_xor(high, lowest))
        return np.where(np.isnan(whole), lowest, wrapped).astype(np.uint64)
    return _wrap(_in_range(whole, np.int64 if to.compute is DType.INT64 else np.int32).astype(np.int64), to)


def _in_range(whole: Array, integer: type[np.integer[Any]]) -> Array:
    info = np.iinfo(integer)
    fits = (whole >= float(info.min)) & (whole < -float(info.min))
    return np.where(fits, np.where(fits, whole, 0).astype(integer), integer(info.min))


def _largest(dtype: DType) -> float:
    """The largest finite value of a float8 type."""
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype.numpy).max)


def _wrap(x: Array, to: DType) -> Array:
    """int64 to a narrower integer type, modulo its width."""
    bits = _BITS.get(to)
    if bits is None:
        return x.astype(to.numpy)
    low = x & ((1 << bits) - 1)
    if to in (DType.INT4, DType.INT2):
        low = np.where(low >> (bits - 1) != 0, low - (1 << bits), low)
    return low.astype(np.int8).astype(to.numpy)


def _target(node: Node, like: Any = None) -> DType:
    return DType(node.attr("to")) if node.op == "Cast" else dtype_of(like)


def _infer(context: Infer) -> Sequence[Type]:
    to = DType(context.node.attr("to")) if context.node.op == "Cast" else context.dtype(1)
    return [TensorType(to, tensor_like(context).shape)]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x = np.asarray(inputs[0])
    to = _target(node, inputs[1] if len(inputs) > 1 else None)
    if dtype_of(x) is DType.STRING and to.numpy.type.__module__ != np.__name__:
        x = x.astype(np.float64 if to.is_float else np.int64)  # numpy reads no text into these types itself
    if to is DType.FLOAT8E8M0 or DType.STRING in (to, dtype_of(x)):
        from arenaut.ir.ops.support.fallback import evaluate_reference

        attributes = {**node.attributes, "to": int(to)}
        plain = Node("Cast", node.inputs[:1], node.outputs, attributes, name=node.name)
        narrow = to is DType.STRING and dtype_of(x) in _BITS  # which numpy writes no text of itself
        return evaluate_reference(plain, [x.astype(np.int8)] if narrow else inputs[:1])
    return [cast_array(x, to, bool(node.attr("saturate", 1)))]


def _cast_dim(a: Dim, to: DType) -> Dim | None:
    """Sizes fit every integer type that holds shapes; narrower ones may wrap."""
    if to is DType.BOOL:
        return 1 - dims.equal(a, 0)
    if isinstance(a, int):
        return int(cast_array(np.asarray(a, np.int64), to)) if to.is_integer else None
    return a if to in (DType.INT64, DType.INT32) else None


def _data(context: Infer) -> Sequence[Array | None]:
    known = context.known_data(0)
    to = DType(context.node.attr("to")) if context.node.op == "Cast" else context.dtype(1)
    return [None if known is None else map_dims(lambda a: _cast_dim(a, to), known)]


def _tile(builder: TileBuilder, node: Node, registers: Sequence[Reg | None]) -> Sequence[Reg]:
    x, to = registers[0], node.output.dtype
    assert x is not None
    if to is DType.FLOAT8E8M0 or to.compute is None:
        raise NoRowError(f"stores to {to.short}")
    if x.dtype is DType.DOUBLE and to.is_float and to.itemsize < 4:
        x = builder.op("cast_odd", x)  # the store then rounds once
    if x.dtype != to.compute:
        x = builder.cast(x, to.compute)
    if (
        to in _FLOAT8 and node.operand(0).dtype is not to and node.attr("saturate", 1)
    ):  # a store gives NaN or infinity for what does not fit
        limit = _largest(to)
        x = builder.op("clip", x, builder.imm(-limit, x.dtype), builder.imm(limit, x.dtype))
    return [x]


def _sources() -> Iterator[Array]:
    for dtype in (*samples.NUMBERS, DType.BOOL):
        yield samples.draw((3, 11), dtype, -100, 100, seed=int(dtype))
    yield samples.special(DType.FLOAT)
    yield np.array([448, 449, -500, 1e6, 3e4, 1e-8, 2.5, 3.5], np.float32)


def _cast_samples() -> Iterator[Sample]:
    for x in _sources():
        finite = bool(np.all(np.isfinite(x.astype(np.float64)) & (np.abs(x.astype(np.float64)) < 128)))
        for to in (*samples.NUMBERS, DType.BOOL, *_FLOAT8):
            if finite or not to.is_integer:
                yield Sample((x,), {"to": int(to)})
    yield Sample((np.array([448, 449, -500, np.inf, 3e5], np.float32),), {"to": int(_FLOAT8[0]), "saturate": 0})


def _like_samples() -> Iterator[Sample]:
    for to in (DType.INT64, DType.FLOAT16, DType.BOOL, DType.DOUBLE):
        yield Sample((samples.draw((3, 5)), samples.draw((2,), to)))
    yield Sample((samples.draw((3, 5), DType.INT64), samples.draw((2,), DType.STRING)))


def _like_decompose(build: Build, node: Node) -> Sequence[Value]:
    saturate = None if node.output.dtype not in _FLOAT8 else node.attr("saturate", 1)
    return [build.op("Cast", node.operand(0), to=int(node.output.dtype), saturate=saturate)]


def _element(elements: Elements, node: Node, at: Coordinates) -> Dim:
    source, target = node.operand(0), node.output
    result = elements.integer(source, at)
    if target.dtype.is_integer or source.dtype == target.dtype or is_boolean(result) or result in (0, 1):
        return result
    if target.dtype.is_float:
        raise UnknownElementError
    return 1 - equal(result, 0)


def _choice(elements: Elements, node: Node, at: Coordinates) -> Choice:
    source = node.operand(0)
    return elements.number(source, at) if source.dtype.is_float else as_choice(elements.integer(source, at))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Cast",
        repeats=the_first_input,
        keeps_shape=True,
        infer=_infer,
        evaluate=_evaluate,
        data=_data,
        element=_element,
        choice=_choice,
        tile=_tile,
        samples=_cast_samples,
    ),
    OpRecord(
        op="CastLike", infer=_infer, evaluate=_evaluate, data=_data, decompose=_like_decompose, samples=_like_samples
    ),
)
