"""Types of values: tensors with symbolic shapes, sequences, optionals, maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from arenaut.ir.dims import Dim, symbol
from arenaut.ir.dtypes import DType

Shape = tuple[Dim, ...]

# In the element type of a sequence or optional: a dim that need not be the same in every element. Never in the shape
# of a tensor value: whoever takes an element out gives that dim a symbol of its own.
ANY_DIM: Dim = symbol("?")

# The element shape of a sequence that has no elements yet: it merges with any other.
NO_ELEMENT: Shape = (symbol("!"),)


@dataclass(frozen=True)
class TensorType:
    """shape is None when even the rank is unknown until data decides it."""

    dtype: DType
    shape: Shape | None

    def __str__(self) -> str:
        dims = "*" if self.shape is None else ", ".join(str(d) for d in self.shape)
        return f"{self.dtype.short}[{dims}]"


@dataclass(frozen=True)
class SequenceType:
    element: Type

    def __str__(self) -> str:
        return f"seq({self.element})"


@dataclass(frozen=True)
class OptionalType:
    element: Type

    def __str__(self) -> str:
        return f"optional({self.element})"


@dataclass(frozen=True)
class MapType:
    key: DType
    value: Type

    def __str__(self) -> str:
        return f"map({self.key.short}, {self.value})"


Type = Union[TensorType, SequenceType, OptionalType, MapType]
