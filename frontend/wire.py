"""Reads protobuf's wire format just far enough to lift large tensor data out before protobuf copies it.

A message is a row of fields: a varint key (field number * 8 + wire type), then a varint, 4 or 8 bytes, or a length and
that many bytes. The scanner walks from the model through graphs, nodes and attributes to tensors, and puts a short tag
in the place of each large raw_data. What it does not understand it leaves to protobuf, as it stands.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Union

# Data below this many bytes is cheaper to copy than to lift.
MIN_LIFTED_BYTES = 4096
# protobuf refuses messages nested deeper than this.
_MAX_DEPTH = 100
# A tensor with more fields than this before its data keeps its elements one by one; nothing to lift.
_MAX_TENSOR_FIELDS = 4096

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RAW_DATA = 9

# Which fields of a message lead towards tensors, and to what message.
_CHILDREN: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "model": {7: "graph", 25: "function"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "function": {7: "node"},
        "node": {5: "attribute"},
        "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
        "sparse": {1: "tensor", 2: "tensor"},
        "tensor": {},
    }
)

Span = tuple[int, int]  # offset, length
Pieces = list[Union[bytes, memoryview]]


class _NotUnderstoodError(Exception):
    """The bytes are cut short or not what a model holds."""


def lift_tensor_data(data: memoryview) -> tuple[bytes, Mapping[bytes, Span]]:
    """The serialized model with a tag in place of each large raw_data, and where the data of each tag lies.

    The tags are random, so that no model can hold one on purpose. Malformed bytes come back unchanged: protobuf
    says what is wrong with them.
    """
    scanner = _Scanner(data)
    try:
        pieces = scanner.rewritten(0, data.nbytes, "model", 0)
    except _NotUnderstoodError:
        return bytes(data), {}
    return (bytes(data), {}) if pieces is None else (b"".join(pieces), scanner.spans)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Scanner:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._nonce = secrets.token_bytes(16)
        self.spans: dict[bytes, Span] = {}

    def rewritten(self, start: int, end: int, kind: str, depth: int) -> Pieces | None:
        """The message from start to end with its large tensor data lifted out; None when it has none."""
        if depth > _MAX_DEPTH:
            raise _NotUnderstoodError
        children = _CHILDREN[kind]
        pieces: Pieces = []
        copied = position = start
        fields = 0
        while position < end:
            field_start = position
            key, position = self._read_varint(position, end)
            number, wire_type = key >> 3, key & 7
            if wire_type == _BYTES:
                length, payload = self._read_varint(position, end)
                position = payload + length
                if position > end:
                    raise _NotUnderstoodError
                inner = None
                if length >= MIN_LIFTED_BYTES:
                    inner = self._lifted(number, payload, length, kind, children, depth)
                if inner is not None:
                    size = sum(map(len, inner))
                    pieces += [self._data[copied:field_start], _varint(key), _varint(size), *inner]
                    copied = position
            else:
                position = self._after_number(position, end, wire_type)
                fields += 1
                if kind == "tensor" and fields > _MAX_TENSOR_FIELDS:
                    return None
        if not pieces:
            return None
        pieces.append(self._data[copied:end])
        return pieces

    def _lifted(
        self, number: int, payload: int, length: int, kind: str, children: Mapping[int, str], depth: int
    ) -> Sequence[bytes | memoryview] | None:
        if kind == "tensor" and number == _RAW_DATA:
            tag = self._nonce + len(self.spans).to_bytes(8, "little")
            self.spans[tag] = (payload, length)
            return [tag]
        child = children.get(number)
        return None if child is None else self.rewritten(payload, payload + length, child, depth + 1)

    def _read_varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end and shift < 64:
            byte = self._data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise _NotUnderstoodError

    def _after_number(self, position: int, end: int, wire_type: int) -> int:
        """The place after a field that is no row of bytes."""
        if wire_type == _VARINT:
            return self._read_varint(position, end)[1]
        if wire_type not in (_FIXED32, _FIXED64):
            raise _NotUnderstoodError
        position += 4 if wire_type == _FIXED32 else 8
        if position > end:
            raise _NotUnderstoodError
        return position
