"""Elementwise results that wait for later readers are computed again before these, where that lowers the peak.

A voice's residual blocks all read one activation of what they are added to: the activation waits through each block,
beside its own operand, which has to be there anyway. Nothing lives longer for it: what is computed again reads what a
later step reads too, so the one price is another pass over it, which has to be a small part of what all steps move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from arenaut.ir.dims import product
from arenaut.lowering.families import family_of
from arenaut.lowering.live import SLOWEST, WORTH_BYTES, WORTH_SHARE, Profile, Uses, profile_of
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered, LoweredBuffer, LoweredStep, Segment, StepKind
from arenaut.plain import dataclass, replace


@dataclass(frozen=True)
class _Waiting:
    """What `step` writes, `buffer`, is read by the steps `readers`, in order."""

    step: int
    buffer: int
    readers: tuple[int, ...]


def recompute(lowered: Lowered, env: Mapping[str, int], facts: Facts) -> Lowered:
    """The program with such steps repeated, or the program itself. env: sizes of symbols. facts: of steps, at these
    sizes; grows."""
    waiting = list(_waiting(lowered))
    if not waiting:
        return lowered
    before = profile_of(lowered, env, facts)
    again = {each.step: cuts for each in waiting if (cuts := _worthwhile(each, before))}
    once = dict.fromkeys(range(len(lowered.steps)), (0,))
    if not again or _moved_bytes(before, again) > SLOWEST * _moved_bytes(before, once):
        return lowered
    changed = _repeated(lowered, {each.step: each for each in waiting}, again)
    saved = before.peak - profile_of(changed, env, facts).peak
    return lowered if saved < max(WORTH_BYTES, WORTH_SHARE * before.peak) else changed


def _waiting(lowered: Lowered) -> Iterator[_Waiting]:
    """Elementwise results that steps far apart read, and whose operands are read as late."""
    uses = Uses(lowered)
    readers, writers = uses.readers, uses.writers

    def lasts(buffer: int, until: int) -> bool:
        """Whether it is there until a step, as it was."""
        segment = lowered.buffers[buffer].segment
        if segment in (Segment.WEIGHT, Segment.INPUT):
            return buffer not in writers
        return segment is Segment.ARENA and len(writers[buffer]) == 1 and readers[buffer][-1] >= until

    for index, step in enumerate(lowered.steps):
        out = step.outputs[0] if len(step.outputs) == 1 else None
        if step.kind is not StepKind.KERNEL or out is None or step.sets or not family_of(step).elementwise:
            continue
        late = readers.get(out.buffer, [])
        whole = product(out.dims) * out.dtype.itemsize == lowered.buffers[out.buffer].bytes
        if len(late) < 2 or late[-1] - late[0] < 2 or not whole or writers[out.buffer] != [index]:
            continue
        if lowered.buffers[out.buffer].segment is not Segment.ARENA:
            continue
        if all(lasts(p.buffer, late[-1]) for p in step.inputs if p is not None):
            yield _Waiting(index, out.buffer, tuple(late))


def _worthwhile(each: _Waiting, profile: Profile) -> tuple[int, ...]:
    """The readers before which it is made anew: where, while it waits for them, so much is live that it raises the
    peak."""
    limit = profile.peak - profile.size(each.buffer)
    if each.buffer not in profile.homes:
        return ()
    return tuple(
        reader
        for earlier, reader in zip(each.readers, each.readers[1:], strict=False)
        if max(profile.live[earlier + 1 : reader], default=0) > limit
    )


def _moved_bytes(profile: Profile, times: Mapping[int, Sequence[int]]) -> int:
    """Bytes that steps read and write. times: as often as each step has elements."""
    steps = profile.problem.steps
    touched = {step: {*steps[step].reads, *steps[step].writes} for step in times}
    return sum([len(times[step]) * sum(map(profile.size, touched[step])) for step in times])


def _repeated(lowered: Lowered, waiting: Mapping[int, _Waiting], again: Mapping[int, Sequence[int]]) -> Lowered:
    buffers, steps = list(lowered.buffers), list[LoweredStep]()
    made: dict[int, list[int]] = {}  # before which reader which steps are repeated
    for number, readers in again.items():
        for reader in readers:
            made.setdefault(reader, []).append(number)
    now = {waiting[number].buffer: waiting[number].buffer for number in again}  # where what they write is at present
    for index, step in enumerate(lowered.steps):
        for repeated in made.get(index, ()):
            old = waiting[repeated].buffer
            now[old] = len(buffers)
            buffers.append(LoweredBuffer(Segment.ARENA, buffers[old].bytes, name=f"{buffers[old].name} (again)"))
            steps.append(_moved(lowered.steps[repeated], now, outputs=True))
        steps.append(_moved(step, now))
    return lowered.rewritten(buffers, steps, now)


def _moved(step: LoweredStep, now: Mapping[int, int], *, outputs: bool = False) -> LoweredStep:
    """The step with operands where they are at present; the step itself where none has moved."""
    places = step.operands() if outputs else step.inputs
    if not any(p is not None and now.get(p.buffer, p.buffer) != p.buffer for p in places):
        return step
    moved = [p if p is None else replace(p, buffer=now.get(p.buffer, p.buffer)) for p in step.operands()]
    count = len(step.inputs)
    return replace(step, inputs=moved[:count], outputs=moved[count:] if outputs else step.outputs)
