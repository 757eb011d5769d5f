"""The planner's problem of a lowered graph: sizes, lifetimes' raw material and offers to share, at given symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arenaut.ir.dims import Dim, Expr, evaluate, symbols_of
from arenaut.ir.strided import Strided
from arenaut.lowering.program import Lowered, LoweredStep, Segment
from arenaut.lowering.rows import TILE_OPERANDS
from arenaut.planner import BufferInfo, BufferKind, Part, Problem, Share, StepUse

Offers = list[list[tuple[Share, Dim]]]
"""Per step its offers to share memory, each with its symbolic byte offset."""

_KINDS = {Segment.ARENA: BufferKind.ARENA, Segment.OUTPUT: BufferKind.OUTPUT}


def setters_of(lowered: Lowered) -> dict[str, int]:
    """symbol -> the step that sets it."""
    return {name: i for i, step in enumerate(lowered.steps) for _, _, name in step.sets}


def needs_of(lowered: Lowered, step: LoweredStep) -> set[str]:
    """Symbols that must be known when the step is bound."""
    dims: list[Dim] = []
    for place in step.operands():
        if place is not None:
            dims += [*place.dims, *place.strides, place.offset, lowered.buffers[place.buffer].bytes]
    for value in step.params.values():
        dims += [d for d in (value if isinstance(value, Sequence) else [value]) if isinstance(d, Expr)]
    return {s.name for d in dims if isinstance(d, Expr) for s in symbols_of(d)}


def problem_of(
    lowered: Lowered, env: Mapping[str, int], scratch: Sequence[int] | None = None
) -> tuple[Problem, Offers]:
    """The problem with symbols as `env` says. scratch: bytes of each step; none when left out."""
    setters = setters_of(lowered)
    buffers = [
        BufferInfo(
            max(0, evaluate(b.bytes, env)), _KINDS.get(b.segment, BufferKind.FIXED),
            max((setters.get(s.name, -1) for s in symbols_of(b.bytes)), default=-1),
        )
        for b in lowered.buffers
    ]  # fmt: skip
    sizes = [buffer.size for buffer in buffers]
    steps: list[StepUse] = []
    offers: Offers = []
    for i, step in enumerate(lowered.steps):
        reads = tuple(dict.fromkeys(p.buffer for p in step.inputs if p is not None))
        writes = tuple(dict.fromkeys(p.buffer for p in step.outputs if p is not None))
        offered = _shares(lowered, step, env)
        after = sorted({setters[name] for name in needs_of(lowered, step) if name in setters} - {i})
        shares = tuple(share for share, _ in offered)
        bytes_ = scratch[i] if scratch is not None else 0
        steps.append(StepUse(reads, writes, shares, tuple(after), bytes_, _parts(step, sizes, env)))
        offers.append(offered)
    return Problem(tuple(steps), tuple(buffers)), offers


def _shares(lowered: Lowered, step: LoweredStep, env: Mapping[str, int]) -> list[tuple[Share, Dim]]:
    if step.row is None or not lowered.shares:
        return []
    offers: list[tuple[Share, Dim]] = []
    for output, source in step.row.inplace_pairs:
        out = step.outputs[output] if output < len(step.outputs) else None
        first = step.tile.first_operand if step.tile is not None else len(step.inputs)
        picked = range(first, len(step.inputs)) if source == TILE_OPERANDS else [int(source)]
        for i in picked:
            place = step.inputs[i] if i < len(step.inputs) else None
            if out is not None and place is not None and _may_overwrite(lowered, step, out, place):
                offers.append((Share(out.buffer, place.buffer), 0))
    if step.row.family == "Copy":
        offers += _copy_shares(lowered, step, env)
    return list(dict.fromkeys(offers))


def _may_overwrite(lowered: Lowered, step: LoweredStep, out: Strided, place: Strided) -> bool:
    """In place: the same walk over the same bytes, and no other view of the buffer in this step; only a tile
    program reads all its operands at an element before it writes that element."""
    buffers = lowered.buffers
    same = _walk(out) == _walk(place) and out.dtype.itemsize == place.dtype.itemsize
    others = [p for p in step.operands() if p is not None and p.buffer in (out.buffer, place.buffer)]
    once = sum(p is not None and p.buffer == place.buffer for p in step.inputs) == 1
    return (
        same
        and (once or (step.row is not None and step.row.family == "Tile"))
        and buffers[place.buffer].segment is Segment.ARENA
        and buffers[out.buffer].bytes == buffers[place.buffer].bytes
        and all(_walk(p) == _walk(out) for p in others)
        and not any(p is not None and p.buffer == place.buffer for p in step.outputs)
    )


def _walk(place: Strided) -> tuple[object, ...]:
    """The order in which elements are met: along a dim of one element, no stride matters."""
    return place.dims, tuple(0 if d == 1 else s for d, s in zip(place.dims, place.strides, strict=True)), place.offset


def _copy_shares(lowered: Lowered, step: LoweredStep, env: Mapping[str, int]) -> list[tuple[Share, Dim]]:
    """A copy of a whole dense buffer into a part laid out alike: the source may be made there at once."""
    source, target = step.inputs[0], step.outputs[0]
    if source is None or target is None or source.buffer == target.buffer:
        return []
    buffers = lowered.buffers
    whole = source.is_dense and source.offset == 0 and _bytes(source) == buffers[source.buffer].bytes
    alike = all(d == 1 or a == b for d, a, b in zip(source.dims, source.strides, target.strides, strict=True))
    if not (whole and alike and buffers[source.buffer].segment is Segment.ARENA):
        return []
    offset = -1 * (target.offset * target.dtype.itemsize)
    return [(Share(target.buffer, source.buffer, evaluate(offset, env), keeps=True), offset)]


def _parts(step: LoweredStep, sizes: Sequence[int], env: Mapping[str, int]) -> tuple[Part, ...]:
    """The hull of the bytes the step writes of each buffer, where it writes a single place that is not all of it."""
    parts = []
    places = [place for place in step.outputs if place is not None]
    for place in places:
        low = high = evaluate(place.offset, env)
        for dim, stride in zip(place.dims, place.strides, strict=True):
            reach = (evaluate(dim, env) - 1) * evaluate(stride, env)
            low, high = low + min(reach, 0), high + max(reach, 0)
        start, size = low * place.dtype.itemsize, (high + 1 - low) * place.dtype.itemsize
        alone = sum(other.buffer == place.buffer for other in places) == 1
        if alone and size < sizes[place.buffer] and 0 <= start <= sizes[place.buffer] - size:
            parts.append(Part(place.buffer, start, size))
    return tuple(parts)


def _bytes(place: Strided) -> Dim:
    total: Dim = place.dtype.itemsize
    for d in place.dims:
        total = total * d
    return total
