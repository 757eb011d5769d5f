"""AttributeProto to what ir.Node holds: ints, floats, text, arrays, types, and tuples of those; long lists of
numbers stay arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.frontend.messages import AttributeType
from arenaut.frontend.typeproto import type_of
from arenaut.frontend.weights import Weights
from arenaut.ir.errors import InvalidModelError
from arenaut.ir.limits import check_text
from arenaut.ir.numbers import Numbers

Converter = Callable[[Any, Weights, object], Any]


# Lists of more numbers than this stay arrays: the tables of tree ensembles hold millions.
LONGEST_TUPLE = 256


def _numbers(items: Any, dtype: Any) -> Sequence[Any]:
    if len(items) > LONGEST_TUPLE:
        return Numbers(np.asarray(items, dtype))
    return tuple(items.tolist() if isinstance(items, np.ndarray) else items)


def _texts(items: Sequence[bytes]) -> tuple[str, ...]:
    """The texts of a list attribute; equal ones are one object."""
    known = {raw: text(raw) for raw in set(items)}
    return tuple(map(known.__getitem__, items))


def text(raw: bytes) -> str:
    """Bytes as text; what is not UTF-8 survives as surrogates."""
    check_text(len(raw), "an attribute")
    return raw.decode("utf-8", "surrogateescape")


_CONVERTERS: Mapping[int, Converter] = MappingProxyType(
    {
        AttributeType.FLOAT: lambda a, w, o: a.f,
        AttributeType.INT: lambda a, w, o: a.i,
        AttributeType.STRING: lambda a, w, o: text(a.s),
        AttributeType.TENSOR: lambda a, w, o: w.array(a.t, o),
        AttributeType.SPARSE_TENSOR: lambda a, w, o: w.dense(a.sparse_tensor, o),
        AttributeType.TYPE_PROTO: lambda a, w, o: type_of(a.tp, str(o)),
        AttributeType.FLOATS: lambda a, w, o: _numbers(a.floats, np.float32),
        AttributeType.INTS: lambda a, w, o: _numbers(a.ints, np.int64),
        AttributeType.STRINGS: lambda a, w, o: _texts(a.strings),
        AttributeType.TENSORS: lambda a, w, o: tuple(w.array(t, o) for t in a.tensors),
        AttributeType.SPARSE_TENSORS: lambda a, w, o: tuple(w.dense(t, o) for t in a.sparse_tensors),
        AttributeType.TYPE_PROTOS: lambda a, w, o: tuple(type_of(t, str(o)) for t in a.type_protos),
    }
)

# Files of IR versions 1 and 2 could leave the type out; the one field set then tells it.
_FIELDS: Mapping[str, int] = MappingProxyType(
    {
        "f": AttributeType.FLOAT, "i": AttributeType.INT, "s": AttributeType.STRING, "t": AttributeType.TENSOR,
        "g": AttributeType.GRAPH, "floats": AttributeType.FLOATS, "ints": AttributeType.INTS,
        "strings": AttributeType.STRINGS, "tensors": AttributeType.TENSORS, "graphs": AttributeType.GRAPHS,
    }
)  # fmt: skip


def attribute_type(attribute: Any) -> int:
    """The AttributeType.AttributeType of an attribute, 0 when nothing tells."""
    if attribute.type:
        return int(attribute.type)
    present = [name for name in _FIELDS if _is_set(attribute, name)]
    return _FIELDS[present[0]] if len(present) == 1 else 0


def _is_set(attribute: Any, field: str) -> bool:
    repeated = field.endswith("s") and field != "s"
    return bool(len(getattr(attribute, field))) if repeated else bool(attribute.HasField(field))


def is_body(attribute: Any) -> bool:
    return attribute_type(attribute) in (AttributeType.GRAPH, AttributeType.GRAPHS)


_PLAIN: Mapping[int, tuple[type, ...]] = MappingProxyType(
    {AttributeType.FLOAT: (float, int), AttributeType.INT: (int,), AttributeType.STRING: (str, bytes)}
)
_LISTS: Mapping[int, int] = MappingProxyType(
    {
        AttributeType.FLOATS: AttributeType.FLOAT,
        AttributeType.INTS: AttributeType.INT,
        AttributeType.STRINGS: AttributeType.STRING,
    }
)


def fits(value: Any, kind: int) -> bool:
    """Whether a value that the call of a function gives can be one of this attribute type, as far as numbers, texts and
    lists of them go. Elements of a list have one type."""
    if kind in _LISTS:
        listed = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return listed and all(isinstance(v, _PLAIN[_LISTS[kind]]) for v in value[:1])
    return kind not in _PLAIN or isinstance(value, _PLAIN[kind])


def convert(attribute: Any, weights: Weights, owner: object) -> Any:
    """The value of an attribute that is no graph. owner: the node, for errors."""
    converter = _CONVERTERS.get(attribute_type(attribute))
    if converter is None:
        raise InvalidModelError(f"{owner}: attribute '{attribute.name}' has no readable type. Export the model again")
    return converter(attribute, weights, owner)
