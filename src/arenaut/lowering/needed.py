"""Which steps of a program some of its outputs need."""

from __future__ import annotations

from collections.abc import Collection

from arenaut.lowering.outline import Outline


def needed_steps(outline: Outline, outputs: Collection[int]) -> list[int]:
    """Per step in the order of the run, 1 where one of these outputs needs it and 0 where none does.

    A step that decides sizes is always needed: later steps are bound by them. Of a buffer that is read, whatever
    writes to it is.
    """
    wanted = {outline.outputs[i] for i in outputs}
    needed = [0] * len(outline.steps)
    for position in range(len(needed) - 1, -1, -1):
        step = outline.steps[position]
        use = outline.uses[step.index]
        if step.decides or any(buffer in wanted for buffer in use.writes):
            needed[position] = 1
            wanted.update(use.reads)
    return needed
