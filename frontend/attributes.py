"""AttributeProto to what ir.Node holds: ints, floats, text, arrays, types, and tuples of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from arenaut.frontend.typeproto import type_of
from arenaut.frontend.weights import Weights
from arenaut.ir.errors import InvalidModelError
from onnx import AttributeProto

Converter = Callable[[Any, Weights, str], Any]


def text(raw: bytes) -> str:
    """Bytes as text; what is not UTF-8 survives as surrogates."""
    return raw.decode("utf-8", "surrogateescape")


_CONVERTERS: Mapping[int, Converter] = MappingProxyType(
    {
        AttributeProto.FLOAT: lambda a, w, o: a.f,
        AttributeProto.INT: lambda a, w, o: a.i,
        AttributeProto.STRING: lambda a, w, o: text(a.s),
        AttributeProto.TENSOR: lambda a, w, o: w.array(a.t, o),
        AttributeProto.SPARSE_TENSOR: lambda a, w, o: w.dense(a.sparse_tensor, o),
        AttributeProto.TYPE_PROTO: lambda a, w, o: type_of(a.tp, o),
        AttributeProto.FLOATS: lambda a, w, o: tuple(a.floats),
        AttributeProto.INTS: lambda a, w, o: tuple(a.ints),
        AttributeProto.STRINGS: lambda a, w, o: tuple(text(s) for s in a.strings),
        AttributeProto.TENSORS: lambda a, w, o: tuple(w.array(t, o) for t in a.tensors),
        AttributeProto.SPARSE_TENSORS: lambda a, w, o: tuple(w.dense(t, o) for t in a.sparse_tensors),
        AttributeProto.TYPE_PROTOS: lambda a, w, o: tuple(type_of(t, o) for t in a.type_protos),
    }
)

# Files of IR versions 1 and 2 could leave the type out; the one field set then tells it.
_FIELDS: Mapping[str, int] = MappingProxyType(
    {
        "f": AttributeProto.FLOAT, "i": AttributeProto.INT, "s": AttributeProto.STRING, "t": AttributeProto.TENSOR,
        "g": AttributeProto.GRAPH, "floats": AttributeProto.FLOATS, "ints": AttributeProto.INTS,
        "strings": AttributeProto.STRINGS, "tensors": AttributeProto.TENSORS, "graphs": AttributeProto.GRAPHS,
    }
)  # fmt: skip


def attribute_type(attribute: Any) -> int:
    """The AttributeProto.AttributeType of an attribute, 0 when nothing tells."""
    if attribute.type:
        return int(attribute.type)
    present = [field.name for field, _ in attribute.ListFields() if field.name in _FIELDS]
    return _FIELDS[present[0]] if len(present) == 1 else 0


def is_body(attribute: Any) -> bool:
    return attribute_type(attribute) in (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def convert(attribute: Any, weights: Weights, owner: str) -> Any:
    """The value of an attribute that is no graph. owner: the node, for errors."""
    converter = _CONVERTERS.get(attribute_type(attribute))
    if converter is None:
        raise InvalidModelError(f"{owner}: attribute '{attribute.name}' has no readable type. Export the model again")
    return converter(attribute, weights, owner)
