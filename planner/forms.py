"""Numbers of bytes as they are for every size of the inputs, and what can be proved of them.

A form is a sum of coefficient * quantity. What a quantity is, the planner does not know: it only knows that quantity 0
is the number 1, that those above are never negative, and that nothing is known of those below.
"""

from collections.abc import Collection, Mapping
from functools import cmp_to_key
from itertools import pairwise

Form = tuple[tuple[int, int], ...]
"""(quantity, coefficient), sorted by quantity, coefficients not zero."""


def constant(number: int) -> Form:
    """The form that is `number` for every size."""
    return ((0, number),) if number else ()


def plus(a: Form, b: Form, factor: int = 1) -> Form:
    """a + factor * b."""
    total = dict(a)
    for quantity, coefficient in b:
        total[quantity] = total.get(quantity, 0) + factor * coefficient
    return tuple(sorted((quantity, coefficient) for quantity, coefficient in total.items() if coefficient))


def never_above(a: Form, b: Form) -> bool:
    """Whether a <= b is proved for every size."""
    return all(quantity >= 0 and coefficient > 0 for quantity, coefficient in plus(b, a, -1))


def proved_order(cuts: Mapping[Form, int], spans: Collection[tuple[Form, Form]]) -> list[Form] | None:
    """Positions in the order that holds for every size, or None if none is proved.

    cuts: each position with its number at the planned sizes. spans: (start, end) of what never has a negative size,
    which needs no other proof.
    """

    def proved(low: Form, high: Form) -> bool:
        return (low, high) in spans or never_above(low, high)

    def compare(a: Form, b: Form) -> int:
        if cuts[a] != cuts[b]:
            return cuts[a] - cuts[b]
        return proved(b, a) - proved(a, b)

    ordered = sorted(cuts, key=cmp_to_key(compare))
    return ordered if all(proved(low, high) for low, high in pairwise(ordered)) else None
