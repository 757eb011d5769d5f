"""Options of load_onnx, run and profile, checked: an error names the option, what was given and what it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from typing import Any, get_args

import numpy as np

from arenaut.ir.errors import OptionError
from arenaut.ir.limits import Limits
from arenaut.ir.target import OPTIMISATIONS, Precision, WeightForm

_MOST_SECONDS = 1e9  # a longer timeout, 31 years, is none


def refused(name: str, given: Any, takes: str) -> OptionError:
    text = " ".join(repr(given).split())
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
    return None if given > _MOST_SECONDS else float(given)


def targets_of(given: Any) -> Mapping[str, Any]:
    """out: arrays that receive outputs, by name; other memory of the CPU as the arrays that show it."""
    takes = 'a dict of writable arrays by the name of an output, such as {"y": np.empty((1, 10), np.float32)}'
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise refused("out", given, takes)
    targets = {name: _shown(target) for name, target in given.items()}
    for name, array in targets.items():
        if array is None:
            raise refused(f"out['{name}']", given[name], takes)
        if not array.flags.writeable:
            raise OptionError(f"out['{name}'] is a read-only array: expected {takes}")
    return targets


def _shown(target: Any) -> Any:
    """An array of the target's own memory; None for what has none that numpy can show."""
    if isinstance(target, np.ndarray):
        return target
    try:
        if hasattr(target, "__dlpack__"):
            return np.from_dlpack(target)
        return np.asarray(target if hasattr(target, "__array_interface__") else memoryview(target))
    except (TypeError, ValueError, RuntimeError, BufferError):
        return None


def one_of(name: str, given: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(given, str) or given not in choices:
        raise refused(name, given, " or ".join(repr(c) for c in choices))


def check_loading(given: Mapping[str, Any]) -> None:
    """Raises OptionError for an argument of load_onnx that no load takes, whatever the model and the machine."""
    for name in ("optimize", "exact_conv"):
        if not isinstance(given[name], (bool, np.bool_)):
            raise refused(name, given[name], "True or False")
    one_of("executor", given["executor"], ("compiled", "interpreted"))
    one_of("precision", given["precision"], get_args(Precision))
    one_of("weights", given["weights"], get_args(WeightForm))
    for name in ("max_memory", "winograd_limit"):
        bytes_of(name, given[name])
    threads_of(given["threads"])
    if given["stop_after"] is not None:
        whole("stop_after", given["stop_after"], 0, "how many passes, an integer from 0, or None for all")
    sizes, takes = given["shapes"], 'a dict of sizes by the names of symbolic dims, such as {"batch": 8}'
    if sizes is not None and not isinstance(sizes, Mapping):
        raise refused("shapes", sizes, takes)
    for dim, size in (sizes or {}).items():
        whole(f"shapes[{dim!r}]", size, 0, "a size, an integer from 0")
    _check_names("without", given["without"], OPTIMISATIONS)
    if isinstance(given["backends"], str) or not isinstance(given["backends"], Sequence):
        raise refused("backends", given["backends"], 'a list of names, such as ["native", "reference"]')
    _check_kind("isa", given["isa"], (str,), 'a tier such as "v3" or "v3+avx_vnni", or None for all of this machine')
    _check_kind("cache", given["cache"], (bool, str, PathLike), "a folder, True, False or None")
    _check_kind("limits", given["limits"], (Limits,), "arenaut.Limits(...) or None")


def _check_kind(name: str, given: Any, kinds: tuple[Any, ...], takes: str) -> None:
    if given is not None and not isinstance(given, kinds):
        raise refused(name, given, takes)


def _check_names(name: str, given: Any, known: Collection[str]) -> None:
    """Raises OptionError for what is no collection of known names."""
    takes = f"names of {', '.join(known)}"
    if isinstance(given, str) or not isinstance(given, Collection) or any(n not in known for n in given):
        raise refused(name, given, takes)
