"""A user's own step before and after the model: columns to columns, as many rows as there were."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arenaut.errors import OptionError

Function = Callable[[dict[str, Any]], Mapping[str, Sequence[Any]]]


def function_of(given: str | Function | None) -> Function | None:
    """A callable, or one by name: "module:function" or "file.py:function". Raises OptionError."""
    if given is None or callable(given):
        return given
    place, _, name = given.rpartition(":")
    try:
        module = _from_file(place) if place.endswith(".py") else importlib.import_module(place)
        found: Function = getattr(module, name)
    except (ImportError, OSError, AttributeError, ValueError) as error:
        raise OptionError(f"'{given}' names no function: {error}. Write module:function or file.py:function") from error
    return found


def _from_file(path: str) -> Any:
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


def applied(function: Function, columns: Mapping[str, Any]) -> tuple[dict[str, list[Any]], dict[int, str]]:
    """What the function makes of the columns, and why it refuses rows, by number: where it fails for all, it is called
    for each. Columns of the rest have gaps (None) at refused rows."""
    count = len(next(iter(columns.values()))) if columns else 0
    try:
        return _called(function, columns, count), {}
    except Exception as error:
        if count <= 1:
            return {}, dict.fromkeys(range(count), f"{type(error).__name__}: {error}")
    made: list[Mapping[str, list[Any]]] = []
    bad: dict[int, str] = {}
    for i in range(count):
        part, failed = applied(function, {n: c[i : i + 1] for n, c in columns.items()})
        made.append(part)
        bad |= dict.fromkeys([i], failed[0]) if failed else {}
    names = dict.fromkeys(n for part in made for n in part)
    return {n: [part[n][0] if n in part else None for part in made] for n in names}, bad


def _called(function: Function, columns: Mapping[str, Any], count: int) -> dict[str, list[Any]]:
    given = function(dict(columns))
    if not isinstance(given, Mapping) or any(len(c) != count for c in given.values()):
        raise TypeError(f"the function must return columns of {count} rows, by name")
    return {name: list(column) for name, column in given.items()}
