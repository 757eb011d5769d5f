"""Types of values that come from one of several places: branches, iterations, elements of a sequence."""

from __future__ import annotations

from collections.abc import Callable

from arenaut.ir.dims import Dim
from arenaut.ir.record import Infer
from arenaut.ir.types import ANY_DIM, NO_ELEMENT, OptionalType, SequenceType, TensorType, Type

FreshDim = Callable[[int], Dim]  # the symbol for an axis that two types disagree on


def merge_types(context: Infer, a: Type, b: Type, fresh: FreshDim, what: str) -> Type:
    """The type of a value that is either of two: differing dims become fresh(axis), differing ranks unknown.
    Raises ShapeError when the kinds or element types differ."""
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        if a.dtype != b.dtype:
            raise context.fail(f"{what} is {a} in one place and {b} in another")
        if a.shape == NO_ELEMENT or b.shape == NO_ELEMENT:
            return b if a.shape == NO_ELEMENT else a
        if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
            return TensorType(a.dtype, None)
        dims = (x if x == y else fresh(i) for i, (x, y) in enumerate(zip(a.shape, b.shape, strict=True)))
        return TensorType(a.dtype, tuple(dims))
    if isinstance(a, SequenceType) and isinstance(b, SequenceType):
        return SequenceType(merge_elements(context, a.element, b.element, what))
    if isinstance(a, OptionalType) or isinstance(b, OptionalType):  # a value itself is an optional that holds it
        left, right = (t.element if isinstance(t, OptionalType) else t for t in (a, b))
        return OptionalType(merge_elements(context, left, right, what))
    if a == b:
        return a
    raise context.fail(f"{what} is {a} in one place and {b} in another")


def merge_elements(context: Infer, a: Type, b: Type, what: str) -> Type:
    """The same of elements that one sequence or optional may hold: dims need not agree."""
    return merge_types(context, a, b, lambda axis: ANY_DIM, what)


def taken_out(t: Type, fresh: FreshDim) -> Type:
    """The type of one element of a sequence or optional: dims that differ between elements become fresh(axis)."""
    if not isinstance(t, TensorType) or t.shape is None:
        return t
    if t.shape == NO_ELEMENT:
        return TensorType(t.dtype, None)
    return TensorType(t.dtype, tuple(fresh(i) if d == ANY_DIM else d for i, d in enumerate(t.shape)))
