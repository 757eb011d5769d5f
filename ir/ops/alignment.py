"""onnxruntime's DynamicTimeWarping: the cheapest way through a matrix of costs, as Whisper times its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ExecutionError
from arenaut.ir.graph import MICROSOFT_DOMAIN, Array, Node
from arenaut.ir.ops.support import samples
from arenaut.ir.record import Infer, OpRecord, Sample
from arenaut.ir.types import TensorType, Type

_BOTH, _UP, _LEFT = 0, 1, 2


def _infer(context: Infer) -> Sequence[Type]:
    shape = context.shape(0)
    if len(shape) not in (2, 3):
        raise context.fail(f"rank {len(shape)}, expected 2 or 3")
    if len(shape) == 3 and isinstance(shape[0], int) and shape[0] != 1:
        raise context.fail(f"its first size is {shape[0]}, expected 1")
    return [TensorType(DType.INT32, (2, context.fresh(0, 1)))]


def _came_from(costs: Array) -> Array:
    """[rows + 1, columns + 1]: which neighbour the cheapest way to a cell comes from; ties go to the left.

    Cells of a diagonal do not depend on each other: each diagonal is one step.
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf, np.float32)
    total[0, 0] = 0
    came = np.full((rows + 1, columns + 1), -1, np.int8)
    came[0, :], came[:, 0] = _LEFT, _UP
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        both, up, left = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        from_both, from_up = (both < up) & (both < left), (up < both) & (up < left)
        came[i, j] = np.where(from_both, _BOTH, np.where(from_up, _UP, _LEFT))
        total[i, j] = costs[i - 1, j - 1] + np.where(from_both, both, np.where(from_up, up, left))
    return came


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    costs = np.asarray(inputs[0])
    if costs.ndim == 3 and len(costs) != 1:
        raise ExecutionError(f"{node}: its first size is {len(costs)}, expected 1")
    came = _came_from(costs.reshape(costs.shape[-2:]))
    i, j = costs.shape[-2:]
    path = []
    while i > 0 or j > 0:
        path.append((i - 1, j - 1))
        step = came[i, j]
        i, j = i - (step != _LEFT), j - (step != _UP)
    return [np.array(path[::-1], np.int32).reshape(-1, 2).T.copy()]


def _samples() -> Iterator[Sample]:
    for shape in ((5, 9), (1, 9, 5), (1, 1), (4, 1)):
        yield Sample((samples.draw(shape, DType.FLOAT),))
    yield Sample((np.zeros((3, 4), np.float32),))


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(op="DynamicTimeWarping", domain=MICROSOFT_DOMAIN, infer=_infer, evaluate=_evaluate, samples=_samples),
)
