"""Room for tiles: several threads' blocks of Winograd tiles are smaller in steps where they would raise the peak.

Each thread holds a block of transformed tiles, which is faster the larger it is. For one thread that costs little; what
several take together may be more than all else that the widest step needs.
"""

from __future__ import annotations

from collections.abc import Mapping

from arenaut.ir.dims import product
from arenaut.ir.target import Target
from arenaut.lowering.live import profile_of
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered, LoweredStep
from arenaut.lowering.winograd import FORM
from arenaut.plain import replace
from arenaut.planner import aligned

ROOM = "room"
"""The parameter: bytes of scratch a thread."""
MOST, LEAST, LEAST_NEAR = 1 << 20, 512 << 10, 256 << 10
"""What a thread's block takes where there is room; below what it loses too much: filters are read once a block, which
costs little where they stay in half of the second-level cache."""
SHARE = 1 / 32
"""By how much of what is live without scratch the scratch of all threads may raise the peak."""


def share_room(lowered: Lowered, target: Target, env: Mapping[str, int], facts: Facts) -> Lowered:
    """The program with such limits, or the program itself. env: sizes of symbols. facts: of steps, at these sizes;
    grows."""
    tiled = [i for i, step in enumerate(lowered.steps) if step.params.get(FORM, 0)]
    if target.threads < 2 or not tiled:
        return lowered
    profile = profile_of(lowered, env, facts)
    scratch = [aligned(step.scratch_bytes) for step in profile.problem.steps]
    bare = [max(0, live - own) for live, own in zip(profile.live, scratch, strict=True)]
    most = int(max(bare) * (1 + SHARE))
    steps = list(lowered.steps)
    for i in tiled:
        room = (most - bare[i]) // target.threads
        if room < MOST:
            steps[i] = _limited(steps[i], max(room, _least(steps[i], target)))
    return replace(lowered, steps=steps)


def _least(step: LoweredStep, target: Target) -> int:
    form, filters = step.params[FORM], step.inputs[1]
    assert isinstance(form, int) and filters is not None
    count = product(filters.dims[:2])
    near = isinstance(count, int) and 2 * 4 * (form + 2) ** 2 * count <= target.l2_bytes
    return LEAST_NEAR if near else LEAST


def _limited(step: LoweredStep, room: int) -> LoweredStep:
    return replace(step, params={**step.params, ROOM: room})
