"""Types of values: tensors with symbolic shapes, sequences, optionals, maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Union

from arenaut.ir.dims import Dim, equal, symbol
from arenaut.ir.dtypes import DType
from arenaut.plain import dataclass

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


@cache
def _tensor_text(dtype: DType) -> str:
    return f"tensor({dtype.name.lower()})"


def onnx_text(t: Type) -> str:
    """The type as ONNX's schemas write it, without dims."""
    if isinstance(t, TensorType):
        return _tensor_text(t.dtype)
    if isinstance(t, MapType):
        return f"map({t.key.name.lower()},{onnx_text(t.value)})"
    return f"{'seq' if isinstance(t, SequenceType) else 'optional'}({onnx_text(t.element)})"


def schema_text(t: Type) -> str:
    """The same, and maps as ai.onnx.ml's schemas write them: their values are tensors in a file, numbers there."""
    if isinstance(t, MapType) and isinstance(t.value, TensorType):
        return f"map({t.key.name.lower()}, {t.value.dtype.name.lower()})"
    return onnx_text(t)


def same_shape(a: Shape | None, b: Shape | None) -> bool | None:
    """Whether two shapes are the same at every size: True and False are proved; None: nobody knows before running.

    The one question of this kind. Two shapes that nobody knows are equal as Python objects and prove nothing, so no
    rewrite asks `==` of types or shapes.
    """
    if a is None or b is None:
        return None
    return len(a) == len(b) and _all([_same_dim(x, y) for x, y in zip(a, b, strict=True)])


def same_type(a: Type | None, b: Type | None) -> bool | None:
    """Likewise of types."""
    if a is None or b is None:
        return None
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        return a.dtype is b.dtype and same_shape(a.shape, b.shape)
    if isinstance(a, SequenceType) and isinstance(b, SequenceType):
        return same_type(a.element, b.element)
    if isinstance(a, OptionalType) and isinstance(b, OptionalType):
        return same_type(a.element, b.element)
    if isinstance(a, MapType) and isinstance(b, MapType):
        return a.key is b.key and same_type(a.value, b.value)
    return False


def same_dtype(a: Type | None, b: Type | None) -> bool:
    """Whether two tensors have one element type, whatever their shapes."""
    return isinstance(a, TensorType) and isinstance(b, TensorType) and a.dtype is b.dtype


def _same_dim(a: Dim, b: Dim) -> bool | None:
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if ANY_DIM in (a, b) or NO_ELEMENT[0] in (a, b):
        return None
    answer = equal(a, b)
    return bool(answer) if isinstance(answer, int) else None


def _all(answers: Sequence[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True
