"""Tensor data: TensorProto in all its encodings to numpy arrays, large data mapped from its file and not copied.

Arrays made here are read-only views of the file or of the bytes given, where alignment allows. A mapped file must not
be truncated while its model lives.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from arenaut.frontend.blobs import Blob, ExternalFiles, Storage
from arenaut.frontend.typeproto import dtype_of_number
from arenaut.ir import DType
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from arenaut.ir.graph import Array
from arenaut.ir.limits import check_tensor, check_text

# The repeated field of TensorProto that holds each element type when raw_data is absent, and the integer type whose
# bits its entries are (None: the entries are the values themselves).
_TYPED_FIELDS: Mapping[DType, tuple[str, Any]] = {
    DType.FLOAT: ("float_data", None),
    DType.COMPLEX64: ("float_data", None),
    DType.DOUBLE: ("double_data", None),
    DType.COMPLEX128: ("double_data", None),
    DType.INT64: ("int64_data", None),
    DType.UINT64: ("uint64_data", None),
    DType.UINT32: ("uint64_data", None),
    DType.FLOAT16: ("int32_data", np.uint16),
    DType.BFLOAT16: ("int32_data", np.uint16),
    **dict.fromkeys(
        (DType.INT32, DType.INT16, DType.INT8, DType.UINT16, DType.UINT8, DType.BOOL), ("int32_data", None),
    ),
    **dict.fromkeys(
        (DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ, DType.FLOAT8E8M0,
         DType.UINT4, DType.INT4, DType.FLOAT4E2M1, DType.UINT2, DType.INT2, DType.FLOAT6E2M3,
         DType.FLOAT6E3M2), ("int32_data", np.uint8),
    ),
}  # fmt: skip

# Bits per element of types that a file packs several to a byte, lowest bits first.
_PACKED_BITS: Mapping[DType, int] = {
    DType.UINT4: 4, DType.INT4: 4, DType.FLOAT4E2M1: 4, DType.UINT2: 2, DType.INT2: 2, DType.FLOAT6E2M3: 6,
    DType.FLOAT6E3M2: 6,
}  # fmt: skip
_SIGNED_PACKED = frozenset({DType.INT4, DType.INT2})
_COMPLEX_PARTS: Mapping[DType, Any] = {DType.COMPLEX64: np.float32, DType.COMPLEX128: np.float64}


class Weights:
    """Reads the tensors of one model."""

    def __init__(self, storage: Storage | None, files: ExternalFiles) -> None:
        self._storage = storage  # what the model was read from; None: a ModelProto, which holds its data
        self._files = files

    def bytes_of(self, span: tuple[int, int]) -> bytes:
        """What lies at an offset of the model's bytes, for a length."""
        assert self._storage is not None
        return self._storage.view(np.dtype(np.uint8), *span).tobytes()

    def array(self, tensor: Any, owner: object = "") -> Array:
        """The tensor as an array. owner: what to name in errors when the tensor has no name of its own.

        Raises InvalidModelError when data and shape disagree, ExternalDataError for external data that cannot be used.
        """
        where = _Where(tensor, owner)
        dtype = dtype_of_number(tensor.data_type, where)
        dims = tuple(np.asarray(tensor.dims, np.int64).tolist())
        if dims and min(dims) < 0:
            raise InvalidModelError(f"{where} has the shape {list(dims)}: a stored tensor cannot have negative dims")
        if tensor.HasField("segment"):
            raise UnsupportedError(f"{where} is stored in segments, which no runtime reads. Save the model again whole")
        if dtype is DType.STRING:
            return _strings(tensor, dims, where)
        check_tensor(prod(dims) * dtype.itemsize, where)
        blob = self._blob(tensor, where)
        if blob is not None:
            return _from_blob(blob, dtype, dims, where)
        return _from_field(tensor, dtype, dims, where)

    def dense(self, sparse: Any, owner: object = "") -> Array:
        """A SparseTensorProto as a dense array."""
        values = self.array(sparse.values, owner)
        indices = self.array(sparse.indices, owner).astype(np.int64)
        dims = tuple(int(d) for d in sparse.dims)
        where = f"the sparse tensor '{sparse.values.name or owner}'"
        if any(d < 0 for d in dims) or values.ndim != 1:
            raise InvalidModelError(f"{where} has dims {list(dims)} and values of rank {values.ndim}, expected rank 1")
        if indices.ndim == 2 and indices.shape == (values.size, len(dims)):
            limits = np.array(dims, np.int64)
            if ((indices < 0) | (indices >= limits)).any():
                raise InvalidModelError(f"{where} has indices outside its dims {list(dims)}")
            place: Any = tuple(indices.T)
        elif indices.ndim == 1 and indices.shape == values.shape:
            if ((indices < 0) | (indices >= prod(dims))).any():
                raise InvalidModelError(f"{where} has indices outside its dims {list(dims)}")
            place = indices
        else:
            raise InvalidModelError(
                f"{where} has {values.size} values and indices of shape {list(indices.shape)}, expected "
                f"[{values.size}] or [{values.size}, {len(dims)}]"
            )
        check_tensor(prod(dims) * values.dtype.itemsize, where)
        try:
            out = np.zeros(dims, values.dtype)
        except (MemoryError, ValueError):
            raise InvalidModelError(f"{where} would be dense at {list(dims)}, more than memory holds") from None
        if isinstance(place, tuple):
            out[place] = values
        else:
            out.reshape(-1)[place] = values
        return out

    def _blob(self, tensor: Any, where: object) -> Blob | None:
        """Where the tensor's little-endian bytes lie; None when it uses a typed field."""
        if tensor.data_location == 1:  # EXTERNAL
            return self._files.blob({e.key: e.value for e in tensor.external_data}, where)
        if not tensor.HasField("raw_data"):
            return None
        raw = tensor.raw_data
        if isinstance(raw, bytes):
            return Blob.of_bytes(raw)
        assert self._storage is not None
        return Blob(self._storage, *raw)


class _Where:
    """How errors name a tensor, put together where one is shown."""

    __slots__ = ("_owner", "_tensor")

    def __init__(self, tensor: Any, owner: object) -> None:
        self._tensor, self._owner = tensor, owner

    def __str__(self) -> str:
        name = self._tensor.name
        return f"tensor '{name}'" if name else f"the tensor of {self._owner or 'an attribute'}"


def _strings(tensor: Any, dims: tuple[int, ...], where: object) -> Array:
    if tensor.HasField("raw_data") or tensor.data_location == 1:
        raise InvalidModelError(f"{where} holds strings as raw or external data, which the standard forbids")
    # Text that is not UTF-8 survives as surrogates and is written back as the same bytes.
    check_text(max(map(len, tensor.string_data), default=0), where)
    items = [s.decode("utf-8", "surrogateescape") for s in tensor.string_data]
    if len(items) != prod(dims):
        raise _count_error(where, dims, prod(dims), len(items), "strings")
    out = np.empty(len(items), object)
    out[:] = items
    return out.reshape(dims)


def _from_blob(blob: Blob, dtype: DType, dims: tuple[int, ...], where: object) -> Array:
    bits = _PACKED_BITS.get(dtype)
    count = prod(dims)
    expected = -(-count * bits // 8) if bits else count * dtype.itemsize
    if blob.length != expected:
        raise InvalidModelError(
            f"{where} has the type {dtype.short}{list(dims)}, which takes {expected} bytes, but {blob.length} bytes "
            "are stored. The file is damaged or was written wrongly; export it again"
        )
    if count == 0:
        return np.zeros(dims, dtype.numpy)
    if bits:
        return _unpack(blob.view(np.dtype(np.uint8)), dtype, bits, count).reshape(dims)
    array = blob.view(dtype.numpy)
    if sys.byteorder == "big":
        array = _swapped(array, dtype)
    if dtype is DType.BOOL and (array.view(np.uint8) > 1).any():
        array = array.view(np.uint8) != 0
    return array.reshape(dims)


def _swapped(array: Array, dtype: DType) -> Array:
    """Little-endian elements in the order of a big-endian machine; complex numbers swap each part."""
    width = dtype.itemsize // 2 if dtype in _COMPLEX_PARTS else dtype.itemsize
    return np.ascontiguousarray(array.view(np.uint8).reshape(-1, width)[:, ::-1]).view(dtype.numpy).reshape(-1)


def _from_field(tensor: Any, dtype: DType, dims: tuple[int, ...], where: object) -> Array:
    field, bit_type = _TYPED_FIELDS[dtype]
    entries: Sequence[Any] = getattr(tensor, field)
    count, bits = prod(dims), _PACKED_BITS.get(dtype)
    if bits and 8 % bits:
        bits = None  # an entry holds one
    parts = _COMPLEX_PARTS.get(dtype)
    expected = -(-count * bits // 8) if bits else count * (2 if parts else 1)
    if len(entries) != expected:
        raise _count_error(where, dims, expected, len(entries), f"entries of {field}")
    if parts:
        return np.array(entries, parts).view(dtype.numpy).reshape(dims)
    if bit_type is None:
        wide = np.array(entries, np.float64 if dtype.is_float else np.uint64 if "uint64" in field else np.int64)
        return wide.astype(dtype.numpy).reshape(dims)
    stored = np.array(entries, np.int64).astype(bit_type)
    if bits:
        return _unpack(stored, dtype, bits, count).reshape(dims)
    return stored.view(dtype.numpy).reshape(dims)


def _unpack(packed: Array, dtype: DType, bits: int, count: int) -> Array:
    """One element per byte from elements of 2, 4 or 6 bits, which may straddle bytes."""
    fields: Array
    if 8 % bits:
        each = np.unpackbits(packed, bitorder="little")[: count * bits].reshape(count, bits)
        fields = np.packbits(each, axis=1, bitorder="little").reshape(-1)
    else:
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        fields = ((packed[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[:count]
    if dtype in _SIGNED_PACKED:
        half = 1 << (bits - 1)
        return ((fields.astype(np.int8) ^ half) - half).astype(np.int8).astype(dtype.numpy)
    return fields.view(dtype.numpy) if dtype.is_float else fields.astype(dtype.numpy)


def _count_error(where: object, dims: Sequence[int], expected: int, actual: int, what: str) -> InvalidModelError:
    return InvalidModelError(
        f"{where} has the shape {list(dims)} and needs {expected} {what}, but {actual} are stored. "
        "The file is damaged or was written wrongly; export it again"
    )


def packed_bytes(array: Array, dtype: DType) -> bytes:
    """The elements as a file stores them: little-endian, those of 2, 4 or 6 bits packed, lowest bits first."""
    bits = _PACKED_BITS.get(dtype)
    flat = np.ascontiguousarray(array).reshape(-1)
    if bits is None:
        return (_swapped(flat, dtype) if sys.byteorder == "big" else flat).tobytes()
    fields = flat.astype(np.int8).view(np.uint8) if dtype in _SIGNED_PACKED else flat.view(np.uint8)
    each = np.unpackbits(fields.reshape(-1, 1), axis=1, bitorder="little")[:, :bits]
    return bytes(np.packbits(each.reshape(-1), bitorder="little"))
