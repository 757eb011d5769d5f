"""Equal large constants become one array: files that tie weights by copying them hold them once."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Array, Graph, Value
from arenaut.passes.context import PassContext

# Smaller arrays are not worth a look at their bytes.
MIN_BYTES = 1 << 16
_SAMPLE_BYTES = 1 << 10


def share_constants(graph: Graph, context: PassContext) -> bool:
    """Gives values with equal constants the same array. Candidates agree in type and in a sample of their bytes."""
    known: dict[tuple[object, ...], list[Array]] = {}
    changed = False
    for value in graph.constants():
        array = value.constant
        if array is None or array.nbytes < MIN_BYTES or array.dtype.kind in "OUST" or not array.flags.c_contiguous:
            continue
        seen = known.setdefault(_sample(array), [])
        if any(array is other for other in seen):
            continue
        same = next((other for other in seen if _equal(array, other)), None)
        if same is None:
            seen.append(array)
            continue
        value.constant = same
        changed = True
        _note(context, value)
    return changed


def _note(context: PassContext, value: Value) -> None:
    for node in value.users[:1]:
        context.fired("share", node)


def _sample(array: Array) -> tuple[object, ...]:
    raw = array.reshape(-1).view(np.uint8)
    return (array.shape, array.dtype.str, raw[:_SAMPLE_BYTES].tobytes(), raw[-_SAMPLE_BYTES:].tobytes())


def _equal(a: Array, b: Array) -> bool:
    """Bit by bit, so that NaN equals itself and 0 differs from -0."""
    return bool(np.array_equal(a.reshape(-1).view(np.uint8), b.reshape(-1).view(np.uint8)))
