"""The native kernel rows as Python reads them: signatures, access, in-place pairs, parameter structs; selection."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from arenaut import _native
from arenaut.ir.dims import Dim, Expr
from arenaut.ir.dtypes import DType
from arenaut.ir.record import Param
from arenaut.ir.target import Target
from arenaut.plain import cached_property, dataclass

# In an in-place pair: the operands of the epilogue.
TILE_OPERANDS = "t"


@dataclass(frozen=True)
class Row:
    """One row of kernels.inc on one tier."""

    index: int
    name: str
    family: str
    tier: int
    features: int
    signature: str
    access: str
    inplace: str
    tile: bool
    packs: bool

    @cached_property
    def _sides(self) -> tuple[list[str], list[str]]:
        left, _, right = self.signature.partition(">")
        return [s for s in left.split(",") if s], [s for s in right.split(",") if s]

    @property
    def input_count(self) -> int:
        """Inputs of the signature, optional ones included; of a repeating signature, those written out."""
        return len(self._sides[0])

    @property
    def variadic(self) -> bool:
        return any(s.endswith("...") for s in self._sides[0])

    def accepts(self, inputs: Sequence[DType | None], outputs: Sequence[DType | None]) -> bool:
        """Whether the signature admits these element types (None: absent)."""
        return _side_accepts(self._sides[0], inputs) and _side_accepts(self._sides[1], outputs)

    def access_of(self, index: int, is_output: bool) -> str:
        """'s', 'u' or 'd' for an operand; the last letter of a side repeats."""
        left, _, right = self.access.partition(">")
        side = right if is_output else left
        return side[min(index, len(side) - 1)] if side else "s"

    @cached_property
    def inplace_pairs(self) -> list[tuple[int, str]]:
        """(output, input as a number, or TILE_OPERANDS)."""
        return [(int(p.split("<")[0]), p.split("<")[1]) for p in self.inplace.split()]


def _side_accepts(patterns: Sequence[str], dtypes: Sequence[DType | None]) -> bool:
    repeated = bool(patterns) and patterns[-1].endswith("...")
    if len(dtypes) > len(patterns) and not repeated:
        return False
    for i, pattern in enumerate(patterns):
        text = pattern.removesuffix("...")
        optional = text.endswith("?") or (repeated and i == len(patterns) - 1)
        dtype = dtypes[i] if i < len(dtypes) else None
        if dtype is None:
            if not optional:
                return False
        elif not _matches(text.removesuffix("?"), dtype):
            return False
    last = patterns[-1].removesuffix("...").removesuffix("?") if patterns else ""
    return all(d is None or _matches(last, d) for d in dtypes[len(patterns) :])


def _matches(pattern: str, dtype: DType) -> bool:
    if dtype is DType.STRING:
        return False
    for option in pattern.split("|"):
        if option == "any" or option == dtype.short:
            return True
        if option.startswith("*") and dtype.itemsize == int(option[1:]):
            return True
    return False


@cache
def all_rows() -> tuple[Row, ...]:
    return tuple(Row(**r) for r in _native.rows())


@cache
def _family(family: str) -> tuple[Row, ...]:
    """The family's rows, best tier first."""
    return tuple(sorted((r for r in all_rows() if r.family == family), key=lambda r: (-r.tier, -r.features)))


def select_row(
    family: str, inputs: Sequence[DType | None], outputs: Sequence[DType | None], target: Target
) -> Row | None:
    """The best row for these element types that the target runs."""
    return _selected(family, tuple(inputs), tuple(outputs), target.tier, target.features)


@lru_cache(1024)
def _selected(
    family: str, inputs: tuple[DType | None, ...], outputs: tuple[DType | None, ...], tier: int, features: int
) -> Row | None:
    for row in _family(family):
        if row.tier <= tier and row.features & ~features == 0 and row.accepts(inputs, outputs):
            return row
    return None


@cache
def params_layout(family: str) -> tuple[int, Mapping[str, tuple[int, int, bool]]]:
    """Bytes of the family's parameter struct, and name -> (offset, count, is_float)."""
    try:
        size, fields = _native.params(family)
    except KeyError:
        return 0, {}
    return size, {name: (offset, count, is_float) for name, offset, count, is_float in fields}


def pack_params(family: str, params: Mapping[str, Param]) -> tuple[bytes | None, list[tuple[int, Dim, bool]]]:
    """The parameter struct filled by name, and its symbolic members as (byte offset, dim, is_float).

    Raises KeyError for a name the struct lacks, ValueError for too many elements.
    """
    size, fields = params_layout(family)
    if size == 0:
        if params:
            raise KeyError(f"kernel family '{family}' takes no parameters, got {sorted(params)}")
        return None, []
    blob = bytearray(size)
    patches: list[tuple[int, Dim, bool]] = []
    for name, value in params.items():
        if name not in fields:
            raise KeyError(f"the parameter struct of kernel family '{family}' has no member '{name}'")
        offset, count, is_float = fields[name]
        items: Sequence[Any] = value if isinstance(value, Sequence) else [value]
        if len(items) > count:
            raise ValueError(f"'{family}.{name}' holds {count} elements, got {len(items)}")
        for i, item in enumerate(items):
            at = offset + 8 * i
            if isinstance(item, Expr):
                patches.append((at, item, is_float))
            else:
                struct.pack_into("<d" if is_float else "<q", blob, at, item)
    return bytes(blob), patches
