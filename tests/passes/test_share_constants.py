"""Equal large constants share one array; nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.ir.graph import Graph
from arenaut.ir.target import Target
from arenaut.native.target import current_target
from arenaut.passes.context import PassContext
from arenaut.passes.share_constants import MIN_BYTES, share_constants

COUNT = MIN_BYTES // 4


def shared(first: np.ndarray, second: np.ndarray) -> bool:  # type: ignore[type-arg]
    graph = Graph()
    a, b = graph.add_constant(first, "a"), graph.add_constant(second, "b")
    node = graph.add("Add", [a, b])
    graph.outputs = [node.output]
    target: Target = current_target(1)
    changed = share_constants(graph, PassContext(target))
    assert changed == (a.constant is b.constant)
    assert a.constant is first
    return changed


def test_equal_arrays_are_one() -> None:
    array = np.arange(COUNT, dtype=np.float32)
    assert shared(array, array.copy())
    array[5] = np.nan
    assert shared(array, array.copy())


@pytest.mark.parametrize("at", [0, COUNT // 2, COUNT - 1])
def test_one_bit_keeps_them_apart(at: int) -> None:
    array = np.zeros(COUNT, np.float32)
    other = array.copy()
    other[at] = -0.0
    assert not shared(array, other)


def test_type_and_shape_keep_them_apart() -> None:
    array = np.zeros(COUNT, np.float32)
    assert not shared(array, np.zeros(COUNT, np.int32))
    assert not shared(array, array.copy().reshape(2, -1))
    assert not shared(array[:100], array[:100].copy())
