"""`dataclass` as in dataclasses, whose classes cost next to nothing until one of them is made.

The standard one compiles six functions a class while a module is imported, which is a third of the time that a process
takes to its first result. Here `__init__` is compiled when the first object is made, and the others are closures. What
dataclasses offers for objects and classes (fields, replace, asdict) works on these too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, FrozenInstanceError, field
from inspect import get_annotations
from operator import attrgetter
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass, replace
    from functools import cached_property
else:

    class cached_property:
        """As functools.cached_property, without the lock that it takes before Python 3.12: what two threads compute at
        once is the same."""

        def __init__(self, function):
            self._function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            found = instance.__dict__[self._name] = self._function(instance)
            return found

    def dataclass(cls=None, /, *, frozen=False, eq=True, order=False, slots=False, kw_only=False):
        """As dataclasses.dataclass. Without InitVar and KW_ONLY; kw_only is of all fields."""
        if cls is None:
            return lambda made: _dataclass(made, frozen, eq, order, slots, kw_only)
        return _dataclass(cls, frozen, eq, order, slots, kw_only)

    def replace(each, /, **changes):
        """As dataclasses.replace, of classes made here."""
        for name, given in each._fields_of_plain.items():
            if given.init and name not in changes:
                changes[name] = getattr(each, name)
        return each.__class__(**changes)


def field_names(kind: type) -> tuple[str, ...]:
    """Of a class made here, without what dataclasses.fields makes."""
    return tuple(kind._fields_of_plain)  # type: ignore[attr-defined]


def _dataclass(cls: Any, frozen: bool, eq: bool, order: bool, slots: bool, kw_only: bool) -> Any:
    fields = _inherited(cls)
    own = [name for name, kind in get_annotations(cls).items() if not _is_class_variable(kind)]
    for name in own:
        given = cls.__dict__.get(name, MISSING)
        fields[name] = given if isinstance(given, Field) else field(default=given)
        if given is not MISSING and (slots or isinstance(given, Field)):
            delattr(cls, name)
        if fields[name].default is not MISSING and not slots:
            setattr(cls, name, fields[name].default)
    if slots:
        cls = _with_slots(cls, own)
    compared = _values([n for n, f in fields.items() if f.compare])
    shown = [n for n, f in fields.items() if f.repr]
    made: dict[str, Any] = {"__init__": _first_init(cls, fields, frozen, kw_only), "__repr__": _repr(shown)}
    if eq:
        made["__eq__"] = _eq(compared)
        if "__hash__" not in cls.__dict__ or (cls.__dict__["__hash__"] is None and "__eq__" in cls.__dict__):
            hashed = _values([n for n, f in fields.items() if (f.compare if f.hash is None else f.hash)])
            cls.__hash__ = _hash(hashed) if frozen else None
    if order:
        made |= {f"__{name}__": _order(compared, getattr(operator, name)) for name in ("lt", "le", "gt", "ge")}
    if frozen:
        made["__setattr__"], made["__delattr__"] = _frozen(cls, frozenset(fields))
    if frozen and slots:
        made["__getstate__"], made["__setstate__"] = _state(tuple(fields))
    for name, function in made.items():
        if name not in cls.__dict__:
            setattr(cls, name, function)
    setattr(cls, "__match_args__", tuple(n for n, f in fields.items() if f.init and not kw_only))  # noqa: B010
    cls._fields_of_plain = fields
    cls.__dataclass_fields__ = _StandardFields()
    return cls


class _StandardFields:
    """What dataclasses.fields, replace and asdict look for, made when they do."""

    def __get__(self, instance: Any, owner: Any) -> dict[str, Any]:
        from dataclasses import make_dataclass

        kinds = {n: k for c in reversed(owner.__mro__) for n, k in get_annotations(c).items()}
        fields = [(n, kinds[n], _copy(f)) for n, f in owner._fields_of_plain.items()]
        found: dict[str, Any] = make_dataclass(owner.__name__, fields, kw_only=True).__dict__["__dataclass_fields__"]
        owner.__dataclass_fields__ = found
        return found


def _copy(given: Any) -> Any:
    return field(default=given.default, default_factory=given.default_factory, init=given.init, repr=given.repr,
                 hash=given.hash, compare=given.compare, metadata=given.metadata)  # fmt: skip


def _inherited(cls: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in cls.__mro__[-1:0:-1]:
        found.update(base.__dict__.get("_fields_of_plain", {}))
    return found


def _is_class_variable(kind: Any) -> bool:
    return isinstance(kind, str) and kind.startswith(("ClassVar", "typing.ClassVar"))


def _with_slots(cls: Any, own: list[str]) -> Any:
    inherited = {s for c in cls.__mro__[1:-1] for s in c.__dict__.get("__slots__", ())}
    body = {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}
    body["__slots__"] = tuple(n for n in own if n not in inherited)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


def _values(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda each: tuple(getattr(each, n) for n in names)


def _first_init(cls: Any, fields: dict[str, Any], frozen: bool, kw_only: bool) -> Any:
    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        cls.__init__ = compiled()
        cls.__init__(self, *arguments, **named)

    def compiled() -> Any:
        return _init(cls, fields, frozen, kw_only)

    setattr(__init__, "compiled", compiled)  # noqa: B010
    return __init__


def _init(cls: Any, fields: dict[str, Any], frozen: bool, kw_only: bool) -> Any:
    names: dict[str, Any] = {"_made": MISSING}
    heads, lines = ["self", *(["*"] if kw_only else [])], []
    if frozen and hasattr(cls, "__dict__") and cls.__dictoffset__:
        lines.append("_dict = self.__dict__")
    for name, given in fields.items():
        value = name
        if given.default_factory is not MISSING:
            names[f"_make_{name}"] = given.default_factory
            value = f"_make_{name}() if {name} is _made else {name}" if given.init else f"_make_{name}()"
            heads += [f"{name}=_made"] if given.init else []
        elif given.default is not MISSING:
            names[f"_default_{name}"] = given.default
            value = name if given.init else f"_default_{name}"
            heads += [f"{name}=_default_{name}"] if given.init else []
        elif given.init:
            heads.append(name)
        else:
            continue
        slot = getattr(cls, name, None) if frozen else None
        if isinstance(slot, MemberDescriptorType):
            names[f"_set_{name}"] = slot.__set__
            lines.append(f"_set_{name}(self, {value})")
        else:
            lines.append(f"_dict[{name!r}] = {value}" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    exec(f"def __init__({', '.join(heads)}):\n " + "\n ".join(lines or ["pass"]), names)  # names of fields only
    made = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _repr(shown: list[str]) -> Any:
    from reprlib import recursive_repr

    @recursive_repr()
    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"

    return __repr__


def _eq(compared: Callable[[Any], tuple[Any, ...]]) -> Any:
    def __eq__(self: Any, other: Any) -> Any:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _order(compared: Callable[[Any], tuple[Any, ...]], compare: Callable[[Any, Any], Any]) -> Any:
    def ordered(self: Any, other: Any) -> Any:
        return compare(compared(self), compared(other)) if other.__class__ is self.__class__ else NotImplemented

    return ordered


def _hash(compared: Callable[[Any], tuple[Any, ...]]) -> Any:
    def __hash__(self: Any) -> int:
        return hash(compared(self))

    return __hash__


def _frozen(cls: Any, names: frozenset[str]) -> Iterator[Any]:
    def __setattr__(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    yield __setattr__
    yield __delattr__


def _state(names: tuple[str, ...]) -> Iterator[Any]:
    def __getstate__(self: Any) -> list[Any]:
        return [getattr(self, n) for n in names]

    def __setstate__(self: Any, state: list[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    yield __getstate__
    yield __setstate__


__all__ = ["cached_property", "dataclass", "field_names", "replace"]
