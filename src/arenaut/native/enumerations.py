"""The enumerations and limits of the native side, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from arenaut import _native

LIMITS: Final[Mapping[str, int]] = MappingProxyType(_native.limits())
"""rank, operands (of a step), alignment (bytes), tile_registers, tile_instructions; refused: the status of a check."""


@cache
def enumeration(name: str) -> Mapping[str, int]:
    """Number by name, in lower case and without what all names begin with: ARN_PAD_EDGE is "edge", kFloorDiv
    "floordiv"."""
    numbers: dict[str, int] = {}
    for item in _native.enumerations()[name].split(","):
        stated, _, number = (part.strip() for part in item.partition("="))
        if stated:
            numbers[stated] = int(number) if number else 1 + max(numbers.values(), default=-1)
    stem = next(iter(numbers))
    while not all(stated.startswith(stem) for stated in numbers):
        stem = stem[: stem.rstrip("_").rfind("_") + 1]
    return MappingProxyType({stated.removeprefix(stem or "k").lower(): number for stated, number in numbers.items()})
