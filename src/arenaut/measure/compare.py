"""How far the outputs of two engines lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Difference:
    """The largest difference over a set of outputs.

    `max_abs` is max |actual - reference|. `max_rel` is, per output, max |actual - reference| / max |reference|, and
    the largest of these: the error in relation to the size of the tensor, not of one element that may be near zero.
    Equal infinities and NaN against NaN count as equal; an infinity or NaN on one side only makes both infinite.
    `unequal` counts elements that differ in outputs that are not floating point. `compared` counts arrays.
    """

    max_abs: float
    max_rel: float
    unequal: int
    compared: int


def difference(reference: Mapping[str, Any], actual: Mapping[str, Any]) -> Difference:
    """Compares every output that `reference` has; raises ValueError for one that `actual` lacks or shapes otherwise.

    An output is an array, or a list or mapping of outputs (ONNX sequences and maps), whose members are compared.
    """
    max_abs, max_rel, unequal = 0.0, 0.0, 0
    present = dict(_leaves(actual))
    wanted = dict(_leaves(reference))
    for name, expected in wanted.items():
        if name not in present:
            raise ValueError(f"output {name!r} is missing; there are {', '.join(sorted(present))}")
        got = present[name]
        if got.shape != expected.shape:
            raise ValueError(f"output {name!r} has shape {list(got.shape)}, the reference {list(expected.shape)}")
        if not _is_floating(expected):
            unequal += int(np.count_nonzero(got != expected))
            continue
        absolute, scale = _float_difference(expected, got)
        max_abs = max(max_abs, absolute)
        if absolute > 0.0:
            max_rel = max(max_rel, absolute / scale if scale > 0.0 else np.inf)
    return Difference(max_abs, max_rel, unequal, len(wanted))


def _leaves(outputs: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """All arrays in nested outputs, each with the path that leads to it, such as "scores[0][cat]"."""
    for key, value in outputs.items():
        path = f"{prefix}[{key}]" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        elif isinstance(value, list | tuple):
            yield from _leaves(dict(enumerate(value)), path)
        else:
            yield path, np.asarray(value)


def _is_floating(array: np.ndarray[Any, Any]) -> bool:
    """Whether differences are a matter of rounding: IEEE floats, complex, and the small floats of ml_dtypes."""
    return array.dtype.kind in "fc" or "float" in array.dtype.name


def _float_difference(expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any]) -> tuple[float, float]:
    """max |got - expected| and max |finite expected|, in double precision."""
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    a, b = expected.astype(wide), got.astype(wide)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    finite = np.isfinite(a)
    scale = float(np.abs(a[finite]).max(initial=0.0))
    if bool(np.any(~same & ~(finite & np.isfinite(b)))):
        return np.inf, scale
    return float(np.abs(a[~same] - b[~same]).max(initial=0.0)), scale
