"""The messages of a model file as plain objects: which fields of onnx.proto are read, by number, and what each becomes.

They answer to the names that protobuf's own classes have, so the importer takes either. Lists of numbers are arrays;
raw_data is where the bytes lie, (offset, length) in what was read. A test holds the table to onnx's descriptors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import cache
from typing import Any, ClassVar

import numpy as np

from arenaut import _native
from arenaut.ir.errors import InvalidModelError

# Kinds: "int", "float", "text", "bytes", "span" (offset and length), arrays "ints", "uints", "floats", "doubles", or
# the name of a message; "*" behind one of the first group or a message: a list.
FIELDS: Mapping[str, Mapping[int, tuple[str, str]]] = {
    "ModelProto": {
        1: ("ir_version", "int"), 2: ("producer_name", "text"), 3: ("producer_version", "text"), 4: ("domain", "text"),
        5: ("model_version", "int"), 6: ("doc_string", "text"), 7: ("graph", "GraphProto"),
        8: ("opset_import", "OperatorSetIdProto*"), 14: ("metadata_props", "StringStringEntryProto*"),
        25: ("functions", "FunctionProto*"),
    },
    "OperatorSetIdProto": {1: ("domain", "text"), 2: ("version", "int")},
    "StringStringEntryProto": {1: ("key", "text"), 2: ("value", "text")},
    "GraphProto": {
        1: ("node", "NodeProto*"), 2: ("name", "text"), 5: ("initializer", "TensorProto*"),
        10: ("doc_string", "text"), 11: ("input", "ValueInfoProto*"), 12: ("output", "ValueInfoProto*"),
        15: ("sparse_initializer", "SparseTensorProto*"),
    },
    "FunctionProto": {
        1: ("name", "text"), 4: ("input", "text*"), 5: ("output", "text*"), 6: ("attribute", "text*"),
        7: ("node", "NodeProto*"), 9: ("opset_import", "OperatorSetIdProto*"), 10: ("domain", "text"),
        11: ("attribute_proto", "AttributeProto*"), 13: ("overload", "text"),
    },
    "NodeProto": {
        1: ("input", "text*"), 2: ("output", "text*"), 3: ("name", "text"), 4: ("op_type", "text"),
        5: ("attribute", "AttributeProto*"), 7: ("domain", "text"), 8: ("overload", "text"),
    },
    "AttributeProto": {
        1: ("name", "text"), 2: ("f", "float"), 3: ("i", "int"), 4: ("s", "bytes"), 5: ("t", "TensorProto"),
        6: ("g", "GraphProto"), 7: ("floats", "floats"), 8: ("ints", "ints"), 9: ("strings", "bytes*"),
        10: ("tensors", "TensorProto*"), 11: ("graphs", "GraphProto*"), 14: ("tp", "TypeProto"),
        15: ("type_protos", "TypeProto*"), 20: ("type", "int"), 21: ("ref_attr_name", "text"),
        22: ("sparse_tensor", "SparseTensorProto"), 23: ("sparse_tensors", "SparseTensorProto*"),
    },
    "TensorProto": {
        1: ("dims", "ints"), 2: ("data_type", "int"), 3: ("segment", "Segment"), 4: ("float_data", "floats"),
        5: ("int32_data", "ints"), 6: ("string_data", "bytes*"), 7: ("int64_data", "ints"), 8: ("name", "text"),
        9: ("raw_data", "span"), 10: ("double_data", "doubles"), 11: ("uint64_data", "uints"),
        13: ("external_data", "StringStringEntryProto*"), 14: ("data_location", "int"),
    },
    "Segment": {1: ("begin", "int"), 2: ("end", "int")},
    "SparseTensorProto": {1: ("values", "TensorProto"), 2: ("indices", "TensorProto"), 3: ("dims", "ints")},
    "ValueInfoProto": {1: ("name", "text"), 2: ("type", "TypeProto")},
    "TypeProto": {
        1: ("tensor_type", "TensorType"), 4: ("sequence_type", "ElementType"), 5: ("map_type", "MapType"),
        6: ("denotation", "text"), 7: ("opaque_type", "OpaqueType"), 8: ("sparse_tensor_type", "TensorType"),
        9: ("optional_type", "ElementType"),
    },
    "TensorType": {1: ("elem_type", "int"), 2: ("shape", "TensorShapeProto")},
    "ElementType": {1: ("elem_type", "TypeProto")},
    "MapType": {1: ("key_type", "int"), 2: ("value_type", "TypeProto")},
    "OpaqueType": {1: ("domain", "text"), 2: ("name", "text")},
    "TensorShapeProto": {1: ("dim", "Dimension*")},
    "Dimension": {1: ("dim_value", "int"), 2: ("dim_param", "text"), 3: ("denotation", "text")},
}  # fmt: skip

# The fields of a message of which at most one is set.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "TypeProto": (
        "tensor_type", "sequence_type", "map_type", "optional_type", "sparse_tensor_type", "opaque_type",
    ),
    "Dimension": ("dim_value", "dim_param"),
}  # fmt: skip


_TEXT = frozenset({str})


class AttributeType(IntEnum):
    """AttributeProto.AttributeType."""

    UNDEFINED = 0
    FLOAT = 1
    INT = 2
    STRING = 3
    TENSOR = 4
    GRAPH = 5
    FLOATS = 6
    INTS = 7
    STRINGS = 8
    TENSORS = 9
    GRAPHS = 10
    SPARSE_TENSOR = 11
    SPARSE_TENSORS = 12
    TYPE_PROTO = 13
    TYPE_PROTOS = 14


class Message:
    """One message: what the file states is in the instance, what it leaves out is the class's default."""

    choices: ClassVar[tuple[str, ...]] = ()

    def HasField(self, name: str) -> bool:
        return name in self.__dict__

    def WhichOneof(self, group: str) -> str | None:
        """The field of the message's one group of alternatives that was set; the last one, if the file sets several."""
        return next((name for name in reversed(self.__dict__) if name in self.choices), None)


_DEFAULTS: Mapping[str, Any] = {"int": 0, "float": 0.0, "text": "", "bytes": b"", "span": (0, 0)}


@cache
def message_class(name: str) -> type[Message]:
    """The class of a message of FIELDS."""
    defaults: dict[str, Any] = {"choices": CHOICES.get(name, ())}
    for field, kind in FIELDS[name].values():
        if kind in _DEFAULTS:
            defaults[field] = _DEFAULTS[kind]
        elif kind in FIELDS:  # read where the file leaves it out: every field of it is left out, too
            defaults[field] = _Absent(kind)
        else:
            defaults[field] = ()
    return type(name, (Message,), defaults)


class _Absent:
    """A message that the file leaves out, as a class's default: an empty one, made when it is looked at."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __get__(self, instance: object, owner: type) -> Message:
        return message_class(self._kind)()


@cache
def _reader() -> _native.WireReader:
    return _native.WireReader({name: (message_class(name), dict(fields)) for name, fields in FIELDS.items()})


def read_model(data: bytes | memoryview) -> Any:
    """A serialized ModelProto. Raises ValueError when the bytes are none."""
    return _reader().read(data, "ModelProto")


def check_text(names: Iterable[Any]) -> None:
    """Raises InvalidModelError for a name that is not UTF-8, which protobuf gives as bytes."""
    names = list(names)
    if {*map(type, names)} <= _TEXT:
        return
    for name in names:
        if not isinstance(name, str):
            raise InvalidModelError(f"the model holds the name {name!r}, which is not UTF-8 text. The file is damaged")


def to_protobuf(message: Any, proto: Any, bytes_of: Callable[[tuple[int, int]], bytes]) -> Any:
    """Fills the protobuf message `proto` from one of ours; bytes_of: what lies at an offset of what that was read
    from, for a length."""
    if not isinstance(message, Message):
        proto.CopyFrom(message)
        return proto
    kinds = dict(FIELDS[type(message).__name__].values())
    for name, value in vars(message).items():
        kind = kinds[name]
        if kind in ("text", "text*"):
            check_text([value] if kind == "text" else value)
        if kind == "span":
            setattr(proto, name, bytes_of(value))
        elif isinstance(value, Message):
            getattr(proto, name).SetInParent()
            to_protobuf(value, getattr(proto, name), bytes_of)
        elif isinstance(value, list) and kind.rstrip("*") in FIELDS:
            for item in value:
                to_protobuf(item, getattr(proto, name).add(), bytes_of)
        elif isinstance(value, (list, np.ndarray)):
            getattr(proto, name).extend(value if isinstance(value, list) else value.tolist())
        else:
            setattr(proto, name, value)
    return proto
