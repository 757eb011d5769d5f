"""Sizes, types and plain records as JSON, and back from bytes that nobody trusts.

A size is a number, or a list of one number: its place in a table of expressions, each of which names earlier ones only.
So shared parts are written once, however often they occur.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from arenaut.ir.dims import OPAQUE_KINDS, REBUILD, Dim, Expr, Opaque, Symbol, symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import CompiledFileError
from arenaut.ir.types import MapType, OptionalType, SequenceType, TensorType, Type
from arenaut.plain import field_names

_SIZE: Any = Dim
_HIGHEST_POWER = 16
_MOST_TERMS = 4096
_TYPES: tuple[type, ...] = (TensorType, SequenceType, OptionalType, MapType)


class Writer:
    """Collects the expressions of one document."""

    def __init__(self) -> None:
        self.dims: list[Any] = []
        self._known: dict[Expr, int] = {}

    def dim(self, d: Dim) -> Any:
        if isinstance(d, int):
            return int(d)
        if d not in self._known:
            terms = [[[[self._atom(a), power] for a, power in monomial], c] for monomial, c in d.terms]
            self._known[d] = len(self.dims)
            self.dims.append(terms)
        return [self._known[d]]

    def _atom(self, atom: Symbol | Opaque) -> list[Any]:
        if isinstance(atom, Symbol):
            return ["", atom.name, atom.signed]
        return [atom.kind, *[self.dim(a) for a in atom.args]]

    def type(self, t: Type | None) -> Any:
        if t is None:
            return None
        if isinstance(t, TensorType):
            return ["tensor", int(t.dtype), None if t.shape is None else [self.dim(d) for d in t.shape]]
        if isinstance(t, MapType):
            return ["map", int(t.key), self.type(t.value)]
        return ["sequence" if isinstance(t, SequenceType) else "optional", self.type(t.element)]

    def record(self, value: Any) -> Any:
        """A dataclass of numbers, texts, sizes, types, and tuples of these, as a list."""
        if isinstance(value, Expr):
            return self.dim(value)
        if isinstance(value, _TYPES):
            return self.type(value)  # type: ignore[arg-type]
        if is_dataclass(value):
            return [self.record(getattr(value, name)) for name in field_names(type(value))]
        if isinstance(value, (tuple, list)):
            return [self.record(v) for v in value]
        return value

    def document(self, content: Any) -> bytes:
        return json.dumps({"dims": self.dims, "content": content}, separators=(",", ":")).encode()


class Reader:
    """Reads one document. What does not fit raises ValueError, KeyError, TypeError or IndexError; see `read`."""

    def __init__(self, data: bytes | memoryview) -> None:
        document = json.loads(bytes(data))
        self.content: Any = document["content"]
        self._dims: list[Dim] = []
        for terms in document["dims"]:
            self._dims.append(self._sum(terms))

    def _sum(self, terms: Any) -> Dim:
        total: Dim = 0
        for monomial, coefficient in terms:
            term: Dim = number(coefficient)
            for atom, power in monomial:
                if not 0 < number(power) <= _HIGHEST_POWER:
                    raise ValueError("a power out of range")
                factor = self._atom(atom)
                for _ in range(power):
                    term = term * factor
                    if isinstance(term, Expr) and len(term.terms) > _MOST_TERMS:
                        raise ValueError("an expression too long")
            total = total + term
        return total

    def _atom(self, given: Any) -> Dim:
        kind, *arguments = given
        if kind == "":
            name, signed = arguments
            return symbol(text(name), signed=boolean(signed))
        if kind not in OPAQUE_KINDS:
            raise ValueError("an expression of no kind")
        return REBUILD[kind](*[self.dim(a) for a in arguments])

    def dim(self, given: Any) -> Dim:
        if isinstance(given, list):
            (index,) = given
            if number(index) < 0:
                raise ValueError("an expression of no number")
            return self._dims[index]
        return number(given)

    def type(self, given: Any) -> Type | None:
        return None if given is None else self._type(given, 0)

    def type_that_is(self, given: Any) -> Type:
        return self._type(given, 0)

    def _type(self, given: Any, depth: int) -> Type:
        if depth > 32:
            raise ValueError("a type that nests too deeply")
        kind, *rest = given
        if kind == "tensor":
            dtype, shape = rest
            return TensorType(DType(dtype), None if shape is None else tuple([self.dim(d) for d in shape]))
        if kind == "map":
            key, value = rest
            return MapType(DType(key), self._type(value, depth + 1))
        (element,) = rest
        inner = self._type(element, depth + 1)
        if kind not in ("sequence", "optional"):
            raise ValueError("a type of no kind")
        return SequenceType(inner) if kind == "sequence" else OptionalType(inner)

    def record(self, kind: Any, given: Any) -> Any:
        """A value of a type of Python's, as `Writer.record` wrote it."""
        return _converter(kind)(self, given)


Converter = Callable[[Reader, Any], Any]


@cache
def _converter(kind: Any) -> Converter:
    """How values of a type of Python's are read."""
    if kind == _SIZE:
        return Reader.dim
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return lambda reader, given: scalar(given)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        rest = tuple([a for a in arguments if a is not NoneType])
        if rest == _TYPES:
            return Reader.type if NoneType in arguments else Reader.type_that_is
        inner = _converter(_SIZE if rest == get_args(_SIZE) else rest[0])
        return (
            (lambda reader, given: None if given is None else inner(reader, given)) if NoneType in arguments else inner
        )
    if origin is tuple:
        return _sequence(arguments)
    fields = [_converter(hint) for hint in _hints(kind)]

    def record(reader: Reader, given: Any) -> Any:
        return kind(*[convert(reader, v) for convert, v in zip(fields, _list(given), strict=True)])

    return record


def _sequence(arguments: tuple[Any, ...]) -> Converter:
    if arguments[-1] is not Ellipsis:
        each = [_converter(a) for a in arguments]
        return lambda reader, given: tuple([c(reader, v) for c, v in zip(each, _list(given), strict=True)])
    element = _converter(arguments[0])
    return lambda reader, given: tuple([element(reader, v) for v in _list(given)])


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise TypeError("a list is missing")
    return given


def _hints(kind: type) -> list[Any]:
    """The types of a record's fields. Its module's own texts are evaluated, which costs a third of get_type_hints."""
    names = vars(sys.modules[kind.__module__])
    return [
        eval(text, names) if isinstance(text, str) else text
        for text in (kind.__annotations__[name] for name in field_names(kind))
    ]


def number(given: Any) -> int:
    if type(given) is not int:
        raise TypeError("a number is missing")
    if not -(1 << 63) <= given < 1 << 63:
        raise ValueError("a number too large")
    return given


def text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError("a text is missing")
    return given


def boolean(given: Any) -> bool:
    if not isinstance(given, bool):
        raise TypeError("a truth value is missing")
    return given


_SCALARS: dict[Any, Callable[[Any], Any]] = {int: number, str: text, bool: boolean}

DAMAGES = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)
"""What reading damaged tables raises."""


def damaged(path: str, what: str, error: BaseException) -> CompiledFileError:
    return CompiledFileError(
        f"'{path}' is damaged: {what} makes no sense ({type(error).__name__}: {error}). "
        "Compile the model again: arenaut compile model.onnx -o model.arn"
    )
