"""The planner's problem of a lowered graph: sizes, lifetimes' raw material and offers to share, at given symbols."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from arenaut.ir.dims import Dim, Expr, Monomial, evaluate, is_nonnegative, product, symbols_of
from arenaut.ir.place import Place
from arenaut.lowering.families import family_of
from arenaut.lowering.program import Lowered, LoweredStep, Segment
from arenaut.native.rows import TILE_OPERANDS
from arenaut.planner import BufferInfo, BufferKind, Part, Problem, Share, StepUse
from arenaut.planner.forms import Form

Offers = list[list[tuple[Share, Dim]]]
"""Per step its offers to share memory, each with its symbolic byte offset."""

_KINDS = {Segment.ARENA: BufferKind.ARENA, Segment.OUTPUT: BufferKind.OUTPUT}


def setters_of(lowered: Lowered) -> dict[str, int]:
    """symbol -> the step that sets it."""
    return {name: i for i, step in enumerate(lowered.steps) for _, _, name in step.sets}


class StepFacts(NamedTuple):
    """What a step says to the planner wherever it stands. needs: symbols that must be known when it is bound."""

    step: LoweredStep
    needs: frozenset[str]
    use: StepUse  # without scratch and dependencies
    offers: Sequence[tuple[Share, Dim]]


class Facts(dict[int, StepFacts]):
    """By id of the step: kept while a program is rewritten, since most steps stay. Buffers keep their numbers and
    sizes, and what changes with the sizes has one name throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.profiled: deque[tuple[Lowered, object]] = deque(maxlen=2)
        self._quantities: dict[Monomial, int] = {(): 0}

    def form(self, d: Dim) -> Form | None:
        """The planner's form of a size that changes; None of one that does not."""
        if isinstance(d, int):
            return None
        return tuple(sorted((self._quantity(monomial), coefficient) for monomial, coefficient in d.terms))

    def exact(self, d: Dim) -> Form:
        return self.form(d) or (((0, d),) if isinstance(d, int) and d else ())

    def _quantity(self, monomial: Monomial) -> int:
        known = self._quantities.get(monomial)
        if known is None:
            sign = 1 if is_nonnegative(Expr(((monomial, 1),))) else -1
            known = self._quantities[monomial] = sign * len(self._quantities)
        return known


def facts_of(lowered: Lowered, step: LoweredStep, env: Mapping[str, int], known: Facts) -> StepFacts:
    """Worked out once for each step, at the same sizes."""
    facts = known.get(id(step))
    if facts is None:
        offers = _shares(lowered, step, env, known)
        use = StepUse(
            tuple(dict.fromkeys([p.buffer for p in step.inputs if p is not None])),
            tuple(dict.fromkeys([p.buffer for p in step.outputs if p is not None])),
            tuple([share for share, _ in offers]),
            parts=_parts(lowered, step, env, known),
        )
        facts = known[id(step)] = StepFacts(step, _needs(lowered, step), use, offers)
    return facts


def _needs(lowered: Lowered, step: LoweredStep) -> frozenset[str]:
    dims: set[Dim] = set()
    for place in step.operands():
        if place is not None:
            dims.update(place.dims, place.strides, (place.offset, lowered.buffers[place.buffer].bytes))
    for value in step.params.values():
        dims.update([d for d in (value if isinstance(value, Sequence) else [value]) if isinstance(d, Expr)])
    return frozenset([s.name for d in dims if isinstance(d, Expr) for s in d.symbols])


def problem_of(
    lowered: Lowered, env: Mapping[str, int], scratch: Sequence[int] | None = None, known: Facts | None = None
) -> tuple[Problem, Offers]:
    """The problem with symbols as `env` says. scratch: bytes of each step; none when left out. known: of these and
    other steps of the program, at the same sizes; grows."""
    setters = setters_of(lowered)
    facts = Facts() if known is None else known
    buffers = [
        BufferInfo(
            max(0, evaluate(b.bytes, env)), _KINDS.get(b.segment, BufferKind.FIXED),
            max([setters.get(s.name, -1) for s in symbols_of(b.bytes)], default=-1),
            facts.form(b.bytes),
        )
        for b in lowered.buffers
    ]  # fmt: skip
    every = [facts_of(lowered, step, env, facts) for step in lowered.steps]
    steps: list[StepUse] = []
    for i, each in enumerate(every):
        after = sorted({setters[name] for name in each.needs if name in setters} - {i}) if setters else ()
        reads, writes, shares, _, _, parts = each.use
        steps.append(StepUse(reads, writes, shares, tuple(after), 0 if scratch is None else scratch[i], parts))
    return Problem(tuple(steps), tuple(buffers)), [list(each.offers) for each in every]


def _shares(lowered: Lowered, step: LoweredStep, env: Mapping[str, int], facts: Facts) -> list[tuple[Share, Dim]]:
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
    if family_of(step).copies:
        offers += _copy_shares(lowered, step, env, facts)
    return list(dict.fromkeys(offers))


def _may_overwrite(lowered: Lowered, step: LoweredStep, out: Place, place: Place) -> bool:
    """In place: the same walk over the same bytes, and no other view of the buffer in this step; only a tile
    program reads all its operands at an element before it writes that element."""
    buffers = lowered.buffers
    if buffers[place.buffer].segment is not Segment.ARENA or buffers[out.buffer].bytes != buffers[place.buffer].bytes:
        return False
    walk = _walk(out)
    if walk != _walk(place) or out.dtype.itemsize != place.dtype.itemsize:
        return False
    others = [p for p in step.operands() if p is not None and p.buffer in (out.buffer, place.buffer)]
    once = sum([p is not None and p.buffer == place.buffer for p in step.inputs]) == 1
    return (
        (once or family_of(step).elementwise)
        and all(p is out or _walk(p) == walk for p in others)
        and not any(p is not None and p.buffer == place.buffer for p in step.outputs)
    )


def _walk(place: Place) -> tuple[object, ...]:
    """The order in which elements are met: along a dim of one element, no stride matters."""
    return place.dims, tuple(0 if d == 1 else s for d, s in zip(place.dims, place.strides, strict=True)), place.offset


def _copy_shares(lowered: Lowered, step: LoweredStep, env: Mapping[str, int], facts: Facts) -> list[tuple[Share, Dim]]:
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
    share = Share(target.buffer, source.buffer, evaluate(offset, env), keeps=True, form=facts.form(offset))
    return [(share, offset)]


def _parts(lowered: Lowered, step: LoweredStep, env: Mapping[str, int], facts: Facts) -> tuple[Part, ...]:
    """The bytes the step writes of each buffer, where it writes a single place that is not all of it."""
    parts = []
    places = [place for place in step.outputs if place is not None]
    for place in places:
        alone = sum([other.buffer == place.buffer for other in places]) == 1
        span = _span(place) if alone else None
        if span is None:
            continue
        start, size = (d * place.dtype.itemsize for d in span)
        whole = lowered.buffers[place.buffer].bytes
        first, count, total = evaluate(start, env), evaluate(size, env), max(0, evaluate(whole, env))
        if (start, size) != (0, whole) and 0 <= first <= first + count <= total:
            changing = not isinstance(start, int) or not isinstance(size, int)
            forms = (facts.exact(start), facts.exact(size)) if changing else None
            parts.append(Part(place.buffer, first, count, forms))
    return tuple(parts)


def _span(place: Place) -> tuple[Dim, Dim] | None:
    """(start, count) in elements of a hull of the place that holds for every size; the count is never negative."""
    if _is_run(place):
        return place.offset, product(place.dims)
    low = high = place.offset
    for dim, stride in zip(place.dims, place.strides, strict=True):
        if not isinstance(dim, int) or not isinstance(stride, int):
            return None
        if dim == 0:
            return place.offset, 0
        reach = (dim - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + 1 - low


def _is_run(place: Place) -> bool:
    """Whether the elements lie one beside the other in some order of the axes."""
    axes = [(d, s) for d, s in zip(place.dims, place.strides, strict=True) if d != 1]
    want: Dim = 1
    while axes:
        inner = next((axis for axis in axes if axis[1] == want), None)
        if inner is None:
            return False
        axes.remove(inner)
        want = want * inner[0]
    return True


def _bytes(place: Place) -> Dim:
    return product(place.dims) * place.dtype.itemsize
