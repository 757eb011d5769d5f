"""arenaut.plain's classes are what the standard's dataclass makes of them."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from arenaut import plain
from tests.contract.test_layers import ALLOWED, MAPPED, ROOT, sources


@plain.dataclass(frozen=True)
class Point:
    x: int
    y: int = 2
    names: list[str] = dataclasses.field(default_factory=list, compare=False)
    hidden: int = dataclasses.field(default=7, repr=False)
    count: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("below zero")


@plain.dataclass
class Open:
    x: int
    y: int = 2


@plain.dataclass(frozen=True, slots=True)
class Slotted:
    x: int
    y: int = 2


@plain.dataclass(frozen=True, order=True)
class Ordered:
    x: int
    y: int = 2


@plain.dataclass(frozen=True, eq=False)
class Named:
    x: int
    y: int = 2


@plain.dataclass(frozen=True, kw_only=True)
class Keyed:
    x: int = 1
    y: int


@plain.dataclass(frozen=True)
class Wider(Point):
    z: int = 5


CLASSES: list[tuple[type[Any], dict[str, Any]]] = [
    (Point, {"frozen": True}), (Open, {}), (Slotted, {"frozen": True, "slots": True}),
    (Ordered, {"frozen": True, "order": True}), (Named, {"frozen": True, "eq": False}),
    (Keyed, {"frozen": True, "kw_only": True}),
]  # fmt: skip


def standard(cls: type[Any], options: dict[str, Any]) -> type[Any]:
    """The class as the standard makes it of the same fields."""
    fields = [
        (f.name, f.type, dataclasses.field(default=f.default, default_factory=f.default_factory, repr=f.repr,
                                           compare=f.compare))  # type: ignore[call-overload]
        for f in dataclasses.fields(cls)
    ]  # fmt: skip
    return dataclasses.make_dataclass(cls.__qualname__, fields, **options)


@pytest.mark.parametrize(("cls", "options"), CLASSES, ids=lambda x: getattr(x, "__name__", ""))
def test_a_class_does_what_the_standards_does(cls: type[Any], options: dict[str, Any]) -> None:
    twin = standard(cls, options)
    ours, theirs = cls(x=1, y=3), twin(x=1, y=3)
    assert repr(ours) == repr(theirs).replace(twin.__qualname__, cls.__qualname__)
    assert str(inspect.signature(cls.__init__)).count("=") == str(inspect.signature(twin.__init__)).count("=")
    assert cls.__match_args__ == twin.__match_args__
    for values in ((1, 3), (1, 4), (2, 0)):
        given = dict(zip("xy", values, strict=True))
        assert (ours == cls(**given)) is (theirs == twin(**given))
        if "order" in options:
            assert (ours < cls(**given), ours >= cls(**given)) == (theirs < twin(**given), theirs >= twin(**given))
    assert ours != theirs
    assert (cls.__hash__ is None) is (twin.__hash__ is None)
    if options.get("frozen") and options.get("eq", True):
        assert hash(ours) == hash(theirs)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert repr(dataclasses.replace(ours, y=9)) == repr(plain.replace(ours, y=9)) != repr(ours)
    for again in (copy.copy(ours), pickle.loads(pickle.dumps(ours))):
        assert repr(again) == repr(ours)
    if options.get("frozen"):
        for change in (lambda: setattr(ours, "x", 5), lambda: delattr(ours, "x")):
            with pytest.raises(dataclasses.FrozenInstanceError):
                change()
    with pytest.raises(TypeError):
        cls(x=1, y=3, other=4)
    with pytest.raises(TypeError):
        cls()


def test_what_a_class_says_stays() -> None:
    assert Point(1).names is not Point(1).names
    with pytest.raises(ValueError, match="below zero"):
        Point(-1)
    wide = Wider(1, 2, ["a"], 3, 4)
    assert [f.name for f in dataclasses.fields(Wider)] == ["x", "y", "names", "hidden", "z"]
    assert wide == Wider(1, 2, [], 3, 4) != Wider(1, 2, [], 3, 5) and hash(wide) == hash(Wider(1, 2, [], 3, 4))
    assert not hasattr(Slotted(1), "__dict__") and Point.count == 3


EXTRA_ROOMS = {"serving", "batch", "ray"}  # their modules may need packages that an extra brings


def classes_of_arenaut() -> Iterator[type[Any]]:
    for room in sorted(set(ALLOWED) - {"plain", "measure", "cli", "report", "__main__"}):
        base = ROOT if room in MAPPED else ROOT / "src" / "arenaut"
        for path in sources(room):
            name = ".".join(["arenaut", *Path(path).relative_to(base).with_suffix("").parts]).removesuffix(".__init__")
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError:
                if room not in EXTRA_ROOMS:
                    raise
                continue
            yield from (c for c in vars(module).values() if isinstance(c, type) and "_fields_of_plain" in vars(c)
                        and c.__module__ == name)  # fmt: skip


def test_every_class_of_arenaut_has_its_standard_twin() -> None:
    """Each can be compiled, takes what the standard's would take, and states its fields to dataclasses."""
    seen = 0
    for cls in classes_of_arenaut():
        fields = dataclasses.fields(cls)
        init: Any = cls.__init__
        made = init.compiled() if hasattr(init, "compiled") else init
        taken = [n for n in inspect.signature(made).parameters if n != "self"]
        assert taken == [f.name for f in fields if f.init], cls
        seen += 1
    assert seen > 100
