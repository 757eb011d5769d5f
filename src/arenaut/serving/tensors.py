"""Tensors of the Open Inference Protocol v2, in JSON and in binary, as arrays and back.

Element types by their names there; BF16 and FP16 may also be numbers in JSON. BYTES are strings: UTF-8, each with its
length in four bytes before it in binary. JSON knows neither NaN nor infinity: in answers they are null.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

import ml_dtypes
import numpy as np

from arenaut.inputs import TensorInfo
from arenaut.ir.attribute_values import bytes_of, shown_text, text_of
from arenaut.plain import dataclass
from arenaut.serving.errors import BAD, RequestError

Array = np.ndarray[Any, Any]

_NUMPY: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8), "UINT16": np.dtype(np.uint16), "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64), "INT8": np.dtype(np.int8), "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64), "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32), "FP64": np.dtype(np.float64), "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _NUMPY.items()}
_MOST_AXES = 64


@dataclass(frozen=True)
class Request:
    """outputs: those asked for, None for all. timeout: seconds, None where the client says nothing."""

    feeds: Mapping[str, Array]
    outputs: tuple[str, ...] | None = None
    id: str = ""
    timeout: float | None = None
    binary: Mapping[str, bool] = field(default_factory=dict)  # by output, where the request says
    binary_else: bool = False


def datatype_of(info: TensorInfo) -> str | None:
    """The protocol's name of an input's or output's element type; None where it has none."""
    try:
        return "BYTES" if info.dtype == "string" else _NAMES.get(np.dtype(info.dtype))
    except TypeError:  # a sequence or a map
        return None


def described(info: TensorInfo) -> dict[str, Any]:
    """As the protocol's metadata says it: -1 for a dim of any size."""
    shape = [d if isinstance(d, int) else -1 for d in info.shape or ()]
    return {"name": info.name, "datatype": datatype_of(info), "shape": shape}


def _bad(text: str) -> RequestError:
    return RequestError(BAD, text)


def _dtype(name: str, datatype: Any) -> np.dtype[Any]:
    if not isinstance(datatype, str) or datatype.upper() not in _NUMPY:
        raise _bad(f"input '{name}': datatype {datatype!r} is none of {', '.join(_NUMPY)}")
    return _NUMPY[datatype.upper()]


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Iterable) and not isinstance(shape, (str, bytes, Mapping)) else None
    if sizes is None or len(sizes) > _MOST_AXES or any(type(n) is not int or n < 0 for n in sizes):
        raise _bad(f"input '{name}': its shape must be a list of sizes")
    return sizes


def from_binary(name: str, datatype: Any, shape: Any, data: bytes | memoryview) -> Array:
    """A tensor that is sent as bytes; a view of them, read-only."""
    dtype, sizes = _dtype(name, datatype), _shape(name, shape)
    count = math.prod(sizes)
    if dtype.kind == "O":
        return _strings(_split(name, data, count), sizes)
    if len(data) != count * dtype.itemsize:
        raise _bad(
            f"input '{name}': {datatype}{list(sizes)} takes {count * dtype.itemsize} bytes, and {len(data)} were sent"
        )
    if dtype.kind == "b" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise _bad(f"input '{name}': a BOOL is a byte 0 or 1")
    return np.frombuffer(data, dtype.newbyteorder("<") if dtype.kind in "iuf" else dtype).reshape(sizes)


def _split(name: str, data: bytes | memoryview, count: int) -> list[bytes]:
    """Strings with their lengths before them."""
    view, at = memoryview(data), 0
    found: list[bytes] = []
    while at < len(view):
        if len(found) >= count or at + 4 > len(view):
            raise _bad(f"input '{name}': {len(view)} bytes are not {count} strings, each after its length in 4 bytes")
        (length,) = struct.unpack_from("<I", view, at)
        at += 4 + length
        if at > len(view):
            raise _bad(f"input '{name}': a string of {length} bytes reaches beyond what was sent")
        found.append(bytes(view[at - length : at]))
    if len(found) != count:
        raise _bad(f"input '{name}': {len(found)} strings were sent, and its shape takes {count}")
    return found


def _strings(items: Sequence[Any], sizes: tuple[int, ...]) -> Array:
    array = np.empty(len(items), object)
    array[:] = [text_of(i) if isinstance(i, bytes) else i for i in items]
    return array.reshape(sizes)


def from_values(name: str, datatype: Any, shape: Any, data: Any) -> Array:
    """A tensor that is sent as values, nested or flat."""
    dtype, sizes = _dtype(name, datatype), _shape(name, shape)
    flat = _flat(data)
    if flat is None or len(flat) != math.prod(sizes):
        sent = "no list" if flat is None else f"{len(flat)} values"
        raise _bad(f"input '{name}': its shape {list(sizes)} takes {math.prod(sizes)} values; data is {sent}")
    if dtype.kind == "O":
        if not all(isinstance(v, (str, bytes)) for v in flat):
            raise _bad(f"input '{name}': BYTES are strings")
        return _strings(flat, sizes)
    return _numbers(name, str(datatype), dtype, flat).reshape(sizes)


def _flat(data: Any) -> list[Any] | None:
    """The values of nested lists, in order."""
    if not isinstance(data, (list, tuple)):
        return None
    level = list(data)
    for _ in range(_MOST_AXES):
        if not any(isinstance(v, (list, tuple)) for v in level):
            return level
        if not all(isinstance(v, (list, tuple)) for v in level):
            return None
        level = [v for part in level for v in part]
    return None


def _numbers(name: str, datatype: str, dtype: np.dtype[Any], flat: list[Any]) -> Array:
    kinds = set(map(type, flat))
    taken: set[type] = {bool} if dtype.kind == "b" else {int} if dtype.kind in "iu" else {int, float}
    if dtype.kind == "b" and kinds <= {bool, int} and set(flat) <= {0, 1}:
        kinds = {bool}
    if not kinds <= taken:
        wrong = next(v for v in flat if type(v) not in taken)
        raise _bad(f"input '{name}': {str(wrong)[:40]!r} is no {datatype}")
    try:
        return np.array(flat, dtype)
    except (OverflowError, ValueError) as error:
        raise _bad(f"input '{name}': not all values are {datatype}: {error}") from None


def to_binary(array: Array) -> bytes:
    """An array as the protocol's bytes."""
    if array.dtype.kind != "O":
        return array.tobytes()
    parts = []
    for item in array.flat:
        text = bytes_of(item if isinstance(item, bytes) else str(item))
        parts += [struct.pack("<I", len(text)), text]
    return b"".join(parts)


def to_values(array: Array) -> list[Any]:
    """An array as a flat list for JSON."""
    if array.dtype.kind == "O":
        return [shown_text(str(v)) for v in array.flat]
    wide = array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 or array.dtype == np.float16 else array
    values: list[Any] = wide.ravel().tolist()
    return values


def named(array: Any, name: str) -> str:
    """The protocol's name of an output's element type. Raises RequestError for what it has no name for."""
    found = _NAMES.get(array.dtype) if isinstance(array, np.ndarray) else None
    if found is None:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise _bad(f"output '{name}' is {kind}, which the protocol has no name for: ask for other outputs")
    return found


def parse(document: Any, tail: memoryview) -> Request:
    """A request's JSON, and the bytes after it. Raises RequestError."""
    if not isinstance(document, Mapping) or not isinstance(document.get("inputs"), list):
        raise _bad('a request is an object with a list of "inputs"')
    feeds: dict[str, Array] = {}
    for item in document["inputs"]:
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
            raise _bad('each input is an object with "name", "shape", "datatype" and "data"')
        name = item["name"]
        if name in feeds:
            raise _bad(f"input '{name}' is sent twice")
        size = _parameters(item).get("binary_data_size")
        if size is None:
            feeds[name] = from_values(name, item.get("datatype"), item.get("shape"), item.get("data"))
            continue
        if type(size) is not int or not 0 <= size <= len(tail):
            raise _bad(f"input '{name}': binary_data_size is {size!r}, and {len(tail)} bytes are left after the JSON")
        feeds[name] = from_binary(name, item.get("datatype"), item.get("shape"), tail[:size])
        tail = tail[size:]
    if len(tail):
        raise _bad(f"{len(tail)} bytes after the JSON belong to no input")
    parameters = _parameters(document)
    names, binary = _asked(document.get("outputs"))
    return Request(
        feeds, names, str(document.get("id") or ""), timeout_of(parameters.get("timeout")), binary,
        bool(parameters.get("binary_data_output", False)),
    )  # fmt: skip


def _parameters(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found = item.get("parameters") or {}
    if not isinstance(found, Mapping):
        raise _bad('"parameters" is an object')
    return found


def _asked(outputs: Any) -> tuple[tuple[str, ...] | None, Mapping[str, bool]]:
    if not outputs:
        return None, {}
    if not isinstance(outputs, list) or not all(isinstance(o, Mapping) and type(o.get("name")) is str for o in outputs):
        raise _bad('"outputs" is a list of objects with a "name"')
    said = {o["name"]: _parameters(o).get("binary_data") for o in outputs}
    return tuple(said), {name: bool(wanted) for name, wanted in said.items() if wanted is not None}


def timeout_of(microseconds: Any) -> float | None:
    """The protocol's request parameter "timeout", in seconds; 0 is none."""
    if not microseconds:
        return None
    try:
        return max(float(microseconds), 0.0) / 1e6 or None
    except (TypeError, ValueError):
        raise _bad(f'"timeout" is a number of microseconds, and no {microseconds!r}') from None
