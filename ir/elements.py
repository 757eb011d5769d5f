"""One element of a tensor as a formula of its coordinates: what the rules of records are written against.

An element exists only where no dim is zero, so symbols that are dims of the tensor itself are at least one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from arenaut.ir.dims import Dim, Expr, is_nonnegative, less
from arenaut.ir.graph import Node, Value
from arenaut.plain import dataclass

Coordinates = tuple[Dim, ...]


@dataclass(frozen=True)
class Choice:
    """A float element: yes where condition is not 0, else no."""

    condition: Dim
    yes: float
    no: float


class UnknownElementError(Exception):
    """The element depends on data, or in a way that is not followed."""


class Elements(Protocol):
    """Follows elements back through nodes. Booleans are 0 and 1. Raises UnknownElementError."""

    def integer(self, value: Value, at: Coordinates) -> Dim:
        """The integer or boolean element of a value at these coordinates."""
        ...

    def number(self, value: Value, at: Coordinates) -> Choice:
        """The float element, one of two numbers."""
        ...

    def operands(self, node: Node, at: Coordinates) -> list[Dim]:
        """The elements of all operands that broadcast to the element at `at` of the result."""
        ...

    def grounded(self, d: Dim) -> Dim:
        """d with each size s of the tensor written as s + 1: it is not empty, or there is no element."""
        ...


ReadsRule = Callable[[Elements, Node, Coordinates], Coordinates]
ElementRule = Callable[[Elements, Node, Coordinates], Dim]
ChoiceRule = Callable[[Elements, Node, Coordinates], Choice]


def precedes(a: Dim, b: Dim) -> Dim:
    """1 where a < b, else 0: one form for all that mean the same over whole numbers."""
    x = b - a
    if isinstance(x, int) or is_nonnegative(x - 1) or is_nonnegative(-x):
        return less(a, b)
    return less(0, x) if x.terms[0][1] > 0 else 1 - less(0, 1 - x)


def causal(row: Dim, column: Dim) -> Dim:
    """The element of a causal mask: 1 where column <= row."""
    return 1 - precedes(row, column)


def broadcast(value: Value, at: Coordinates) -> Coordinates:
    """Coordinates in an operand of the element at `at` of the broadcast result."""
    own = at[len(at) - value.rank :]
    return tuple(0 if d == 1 else c for c, d in zip(own, value.shape, strict=True))


def single(c: Choice) -> float:
    if c.yes != c.no and not isinstance(c.condition, int):
        raise UnknownElementError
    return c.yes if c.yes == c.no or c.condition else c.no


def as_choice(d: Dim) -> Choice:
    """A boolean as 1.0 or 0.0, or an integer."""
    if isinstance(d, int):
        return Choice(1, float(d), float(d))
    if not is_boolean(d):
        raise UnknownElementError
    return Choice(d, 1.0, 0.0)


def is_boolean(d: Dim) -> bool:
    """lt(a, b), eq(a, b), or one minus one of them."""
    for candidate in (d, 1 - d):
        if isinstance(candidate, Expr) and len(candidate.terms) == 1:
            monomial, coefficient = candidate.terms[0]
            if coefficient == 1 and len(monomial) == 1 and getattr(monomial[0][0], "kind", "") in ("lt", "eq"):
                return True
    return False
