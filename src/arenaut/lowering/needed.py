"""Which steps of a program some of its outputs need."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from arenaut.lowering.program import Lowered


def needed_steps(lowered: Lowered, order: Sequence[int], outputs: Collection[int]) -> list[int]:
    """Per step in this order, 1 where one of these outputs needs it and 0 where none does.

    A step that decides sizes is always needed: later steps are bound by them. Of a buffer that is read, whatever
    writes to it is.
    """
    wanted = {lowered.outputs[i].buffer for i in outputs}
    needed = [0] * len(order)
    for position in range(len(order) - 1, -1, -1):
        step = lowered.steps[order[position]]
        if step.sets or any(p is not None and p.buffer in wanted for p in step.outputs):
            needed[position] = 1
            wanted.update(p.buffer for p in step.inputs if p is not None)
    return needed
