"""Options of load_onnx, run and profile, checked: an error names the option, what was given and what it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from arenaut.ir.errors import OptionError


def refused(name: str, given: Any, takes: str) -> OptionError:
    text = repr(given)
    return OptionError(f"{name}={text if len(text) <= 60 else text[:57] + '...'}: expected {takes}")


def whole(name: str, given: Any, least: int, takes: str) -> int:
    """An integer of at least that much. takes: what the error says."""
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < least:
        raise refused(name, given, takes)
    return int(given)


def threads_of(given: Any) -> int | None:
    return None if given is None else whole("threads", given, 1, "how many threads, an integer from 1, or None for all")


def bytes_of(name: str, given: Any) -> int | None:
    return None if given is None else whole(name, given, 0, "bytes, an integer such as 1_000_000_000, or None")


def seconds_of(given: Any) -> float | None:
    """A timeout; None where there is no limit."""
    takes = "seconds, a number from 0, or None for no limit"
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float, np.integer, np.floating)) or not given >= 0:
        raise refused("timeout", given, takes)
    return None if math.isinf(given) else float(given)


def targets_of(given: Any) -> Mapping[str, Any]:
    """out: arrays that receive outputs, by name."""
    takes = 'a dict of writable arrays by the name of an output, such as {"y": np.empty((1, 10), np.float32)}'
    if given is None:
        return {}
    if not isinstance(given, Mapping) or any(not isinstance(a, np.ndarray) for a in given.values()):
        raise refused("out", given, takes)
    for name, array in given.items():
        if not array.flags.writeable:
            raise OptionError(f"out['{name}'] is a read-only array: expected {takes}")
    return given


def one_of(name: str, given: Any, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise refused(name, given, " or ".join(repr(c) for c in choices))
