"""Signs of floats, as far as the rules of what makes them prove them."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Value
from arenaut.ir.ops import record_of

MAX_DEPTH = 12


def is_signless(value: Value, depth: int = MAX_DEPTH) -> bool:
    """Whether every element is NaN or at least +0: not below, not minus infinity, not -0."""
    array = value.constant
    if array is not None:
        return array.dtype.kind == "f" and not bool((np.signbit(array) & ~np.isnan(array)).any())
    node = value.producer
    if node is None or depth == 0 or node.output is not value:
        return False
    record = record_of(node)
    if record.signless is not None:
        return record.signless(node, lambda v: is_signless(v, depth - 1))
    return record.view is not None and is_signless(node.operand(0), depth - 1)
