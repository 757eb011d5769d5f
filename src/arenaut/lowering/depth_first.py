"""Wide intermediates in slices: a chain of steps up to a product runs slice by slice of what that product sums over.

y = act(x W1) W2 becomes, for each block c of the hidden columns, h = act(x W1[:, c]) and y += h W2[c, :]. The hidden
tensor never exists whole, every weight is read once, and the blocks depend on shapes only, so the bytes of a result
do not depend on threads. The same holds for channels between convolutions (expand, depthwise, project) and for the
heads between the projections of attention and the product that joins them.

Chains are found on lowered steps, so graph and fusions stay as they are. Which are cut, and into how many slices, is
decided by the live bytes of the whole program: the peak has to fall, and what remains of it decides how far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import pairwise
from math import gcd

from arenaut.ir.dims import Dim, evaluate, product
from arenaut.ir.place import Place
from arenaut.lowering.families import Cut, Sum, cut_output, cut_sum, family_of
from arenaut.lowering.live import (
    CLOSE_ENOUGH,
    SLOWEST,
    WORTH_BYTES,
    WORTH_SHARE,
    Profile,
    Uses,
    place_bytes,
    profile_of,
    work_of,
)
from arenaut.lowering.problem import Facts
from arenaut.lowering.program import Lowered, LoweredBuffer, LoweredStep, Segment, SlicedChain, StepKind
from arenaut.lowering.slices import compacted, only_adds, overlay, part_of
from arenaut.plain import cached_property, dataclass, replace

MOST_SLICES = 4


@dataclass(frozen=True, eq=False)
class _Part:
    """A step of a chain and what of its output the chain wants: `extent` elements of `axis` from `start` on."""

    step: int
    axis: int
    start: int
    extent: int
    cut: Cut
    pitch: Dim


@dataclass
class _Chain:
    """Everything that runs slice by slice before the product `consumer`, which sums over `size` columns.

    parts: in step order; sources: (reading step, input) -> the part that makes it. unit: slices are multiples of it.
    """

    consumer: int
    size: int
    over: Sum
    parts: list[_Part] = field(default_factory=list)
    sources: dict[tuple[_Part | None, int], _Part] = field(default_factory=dict)
    unit: int = 1

    @property
    def axes(self) -> list[int | None]:
        """Of the consumer's inputs, where they are cut."""
        return [self.over.source, self.over.weight]

    @property
    def grain(self) -> int:
        """What slices are multiples of, so that kernels see whole panels where the sizes allow it."""
        panels = next(p for p in (32, 16, 8, 4, 2, 1) if self.size % (self.unit * p // gcd(self.unit, p)) == 0)
        return _join(self.unit, panels)

    def steps(self) -> set[int]:
        return {part.step for part in self.parts} | {self.consumer}


class _Finder:
    """Finds the chains of one lowered program."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        uses = Uses(lowered)
        self.writers, self.readers = uses.writers, uses.readers

    def chains(self) -> list[_Chain]:
        """Every chain. A step may be in several: the end of one, and inside the next."""
        return [chain for i in range(len(self.lowered.steps)) if (chain := self._chain(i)) is not None]

    def _chain(self, consumer: int) -> _Chain | None:
        step = self.lowered.steps[consumer]
        over = cut_sum(step) if step.kind is StepKind.KERNEL and not step.sets else None
        if over is None:
            return None
        source, weight = step.inputs[0], step.inputs[1]
        assert weight is not None and source is not None
        size = source.dims[over.source]
        if self.lowered.buffers[weight.buffer].segment is not Segment.WEIGHT or not isinstance(size, int) or not size:
            return None
        outside: set[int] = set()  # buffers that stay whole
        while True:
            chain = _Chain(consumer, size, over)
            self._demand(chain, None, 0, source, over.source, outside)
            inside = {out.buffer for part in chain.parts if (out := self._output(part.step)) is not None}
            steps = chain.steps()
            leaking = {b for b in inside if any(reader not in steps for reader in self.readers.get(b, ()))}
            leaking |= {b for b in inside if not self._reads_agree(chain, b)}
            if not leaking:
                break
            outside |= leaking
        if not chain.parts:
            return None
        chain.parts.sort(key=lambda part: (part.step, part.start))
        return chain if self._narrowest(chain) else None

    def _output(self, index: int) -> Place | None:
        return self.lowered.steps[index].outputs[0]

    def _reads_agree(self, chain: _Chain, buffer: int) -> bool:
        """Whether every operand of the chain that lies in `buffer` is read as a part of it."""
        for part in [None, *chain.parts]:
            step = self.lowered.steps[chain.consumer if part is None else part.step]
            for i, place in enumerate(step.inputs):
                if place is not None and place.buffer == buffer and (part, i) not in chain.sources:
                    return False
        return True

    def _demand(
        self, chain: _Chain, reader: _Part | None, operand: int, place: Place, axis: int, outside: set[int]
    ) -> None:
        """Adds the step that makes `place` to the chain where it can be cut along `axis`."""
        buffer, extent = self.lowered.buffers[place.buffer], place.dims[axis]
        if not isinstance(extent, int):
            return
        chain.unit = _join(chain.unit, chain.size // gcd(chain.size, extent))
        writers = self.writers.get(place.buffer, [])
        if buffer.segment is not Segment.ARENA or place.buffer in outside or len(writers) != 1:
            return
        step = self.lowered.steps[writers[0]]
        out = step.outputs[0] if step.kind is StepKind.KERNEL and not step.sets else None
        if out is None or out.buffer != place.buffer or product(out.dims) * out.dtype.itemsize != buffer.bytes:
            return
        over = overlay(place, axis, out)
        cut = None if over is None else cut_output(step, over.axis)
        if over is None or cut is None:
            return
        part = next((p for p in chain.parts if (p.step, p.axis, p.start) == (writers[0], over.axis, over.start)), None)
        if part is not None and part.extent != over.extent:
            return
        if part is None:
            part = _Part(writers[0], over.axis, over.start, over.extent, cut, over.pitch)
            chain.parts.append(part)
            chain.unit = _join(chain.unit, chain.size // gcd(chain.size, over.extent // gcd(over.extent, cut.unit)))
            for i, (source, at) in enumerate(zip(step.inputs, cut.axes, strict=False)):
                wanted = None if source is None or at is None else _wanted(self.lowered, part, source, at)
                if wanted is not None and at is not None:
                    self._demand(chain, part, i, wanted, at, outside)
        chain.sources[reader, operand] = part

    def _narrowest(self, chain: _Chain) -> bool:
        narrowest = family_of(self.lowered.steps[chain.consumer]).narrowest
        return chain.size >= 2 * narrowest and chain.size % chain.unit == 0


def _wanted(lowered: Lowered, reader: _Part | None, place: Place, axis: int) -> Place | None:
    """What of an operand the chain wants: its axis runs along all of the reader's output axis, of which the chain may
    want only a range (the keys of a joint projection). None where that range is not whole."""
    if reader is None:
        return place
    out = lowered.steps[reader.step].outputs[0]
    assert out is not None
    whole = out.dims[reader.axis]
    assert isinstance(whole, int)
    return part_of(place, axis, reader.start, reader.extent, whole)


def _join(a: int, b: int) -> int:
    return a * b // gcd(a, b)


def slice_bounds(size: int, slices: int, unit: int) -> list[int]:
    """Where at most `slices` nearly equal slices of `size` begin and end: multiples of `unit`, and `size`."""
    return sorted({min(size, round(i * size / slices / unit) * unit) for i in range(slices)} | {size})


class _Rewriter:
    """Writes a lowered program anew with some chains in slices."""

    def __init__(self, lowered: Lowered, chosen: Mapping[int, tuple[_Chain, int]]) -> None:
        self.lowered = lowered
        self.chosen = chosen
        self.buffers: list[LoweredBuffer] = list(lowered.buffers)
        self.steps: list[LoweredStep] = []

    def run(self) -> Lowered | None:
        """None where a chain cannot be cut after all."""
        gone = {part.step for chain, _ in self.chosen.values() for part in chain.parts}
        dropped = {out.buffer for i in gone if (out := self.lowered.steps[i].outputs[0]) is not None}
        for index, step in enumerate(self.lowered.steps):
            if index in self.chosen:
                if not self._emit(*self.chosen[index]):
                    return None
            elif index not in gone:
                self.steps.append(step)
        return self.lowered.rewritten(self.buffers, self.steps, dropped)

    def _emit(self, chain: _Chain, slices: int) -> bool:
        bounds = slice_bounds(chain.size, slices, chain.grain)
        step = self.lowered.steps[chain.consumer]
        total: Place | None = None
        for number, (low, high) in enumerate(pairwise(bounds)):
            made: dict[_Part, Place] = {}
            for part in chain.parts:
                if not self._emit_part(chain, part, low, high - low, made):
                    return False
            inputs = self._inputs(chain, None, step, chain.axes, low, high - low, made)
            out = step.outputs[0]
            assert out is not None
            if inputs is None:
                return False
            last = high == chain.size
            target = out if last else self._like(out)
            self.steps.append(_summing(step, inputs, total, target, first=number == 0, last=last))
            total = target
        return True

    def _emit_part(self, chain: _Chain, part: _Part, low: int, count: int, made: dict[_Part, Place]) -> bool:
        step = self.lowered.steps[part.step]
        out = step.outputs[0]
        assert out is not None
        width = count * part.extent // chain.size
        first = part.start + low * part.extent // chain.size
        inputs = self._inputs(chain, part, step, part.cut.axes, low, count, made)
        pitch = part.pitch
        whole = out.dims[part.axis]
        assert isinstance(whole, int)
        target = replace(out, dims=(*out.dims[: part.axis], width, *out.dims[part.axis + 1 :]))
        narrow = width * out.strides[part.axis]
        place = compacted(target, pitch, narrow, len(self.buffers), 0)
        if inputs is None or place is None:
            return False
        name = f"{self.lowered.buffers[out.buffer].name}[{first}:{first + width}]"
        self.buffers.append(LoweredBuffer(Segment.ARENA, product(place.dims) * place.dtype.itemsize, name=name))
        made[part] = place
        outputs = [place, *step.outputs[1:]]
        self.steps.append(
            replace(step, inputs=inputs, outputs=outputs, params=part.cut.params(step, width), pack=step.pack)
        )
        return True

    def _inputs(
        self,
        chain: _Chain,
        reader: _Part | None,
        step: LoweredStep,
        axes: Sequence[int | None],
        low: int,
        count: int,
        made: Mapping[_Part, Place],
    ) -> list[Place | None] | None:
        """The operands of one slice: parts made before, parts of whole tensors, or all of them."""
        inputs: list[Place | None] = []
        for i, place in enumerate(step.inputs):
            axis = axes[i] if i < len(axes) else None
            if place is None or axis is None:
                inputs.append(place)
                continue
            wanted = _wanted(self.lowered, reader, place, axis)
            if wanted is None:
                return None
            source = chain.sources.get((reader, i))
            if source is None:  # a tensor that stays whole
                cut = part_of(wanted, axis, low, count, chain.size)
            else:
                new = made[source]
                cut = part_of(wanted, axis, 0, count, chain.size)
                width = new.dims[source.axis] * new.strides[source.axis]
                cut = None if cut is None else compacted(cut, source.pitch, width, new.buffer, 0)
            if cut is None:
                return None
            inputs.append(cut)
        return inputs

    def _like(self, place: Place) -> Place:
        """Memory for a partial sum, laid out like the result."""
        old = self.lowered.buffers[place.buffer]
        self.buffers.append(LoweredBuffer(Segment.ARENA, old.bytes, name=f"{old.name} (partial)"))
        return replace(place, buffer=len(self.buffers) - 1)


def _summing(
    step: LoweredStep, inputs: Sequence[Place | None], total: Place | None, out: Place, *, first: bool, last: bool
) -> LoweredStep:
    """One slice of a product: added to `total`, the sum of those before. What the whole product adds is added in the
    first slice, everything else that follows the product runs in the last."""
    early = step.tile is not None and only_adds(step.tile)
    operands, tile = list(inputs), step.tile
    if not (first if early else last) and tile is not None:
        del operands[tile.first_operand :]
        tile = None
    if not first:
        operands += [None] * (3 - len(operands))
        operands[2] = None
    part = replace(step, inputs=operands, outputs=[out], tile=tile)
    if not first:
        add = family_of(step).add
        assert total is not None and add is not None
        part = add(part, total)
    operands = list(part.inputs)
    pack = tuple(i for i in step.pack if i < len(operands) and operands[i] is not None and operands[i] is not total)
    return replace(part, pack=pack)


# -- choice -----------------------------------------------------------------------------------------------------------


def run_depth_first(lowered: Lowered, env: Mapping[str, int], facts: Facts | None = None) -> Lowered:
    """The program with those chains in slices that lower its peak, or the program itself. env: sizes of symbols.
    facts: of steps, at these sizes; grows."""
    facts = Facts() if facts is None else facts
    chains = _Finder(lowered).chains()
    hidden = {b for chain in chains for b in _hidden(lowered, chain)}
    if sum([evaluate(lowered.buffers[b].bytes, env) for b in hidden]) < WORTH_BYTES:
        return lowered  # no cut saves more than what it hides
    before = profile_of(lowered, env, facts)
    chosen = _choose([_Candidate(chain, lowered, before, env) for chain in chains], before)
    if not chosen:
        return lowered
    changed = _Rewriter(lowered, {chain.consumer: (chain, n) for chain, n in chosen}).run()
    if changed is None:
        return lowered
    changed = replace(changed, chains=(*lowered.chains, *(_described(lowered, *each, env) for each in chosen)))
    saved = before.peak - profile_of(changed, env, facts).peak
    return lowered if saved < max(WORTH_BYTES, WORTH_SHARE * before.peak) else changed


def _described(lowered: Lowered, chain: _Chain, slices: int, env: Mapping[str, int]) -> SlicedChain:
    hidden = sum(evaluate(lowered.buffers[b].bytes, env) for b in _hidden(lowered, chain))
    node = lowered.steps[chain.consumer].node
    names = tuple(lowered.steps[part.step].node.name for part in chain.parts)
    return SlicedChain(node.name or node.op, names, slices, hidden, -(-hidden // slices))


def _hidden(lowered: Lowered, chain: _Chain) -> list[int]:
    return list(dict.fromkeys(out.buffer for p in chain.parts if (out := lowered.steps[p.step].outputs[0]) is not None))


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A chain in time: from step `first` to step `last`. The rest is worked out where somebody asks: most chains lie
    where little is live."""

    chain: _Chain
    lowered: Lowered
    profile: Profile
    env: Mapping[str, int]

    @cached_property
    def steps(self) -> frozenset[int]:
        return frozenset(self.chain.steps())

    @cached_property
    def first(self) -> int:
        return min(self.steps)

    @cached_property
    def last(self) -> int:
        return max(self.steps)

    @cached_property
    def most(self) -> int:
        return _most_slices(self.lowered, self.chain, self.env)

    @cached_property
    def hidden(self) -> tuple[int, ...]:
        """Bytes at each position from `first` on that only a slice of would be live."""
        profile, uses = self.profile, self._uses
        homes = [b for b in _hidden(self.lowered, self.chain) if b in profile.homes]
        return tuple(
            sum([profile.size(b) for b in homes if uses[b][0] <= index <= uses[b][-1]])
            for index in range(self.first, self.last + 1)
        )

    @cached_property
    def extra(self) -> tuple[int, ...]:
        """What would be live besides: partial sums, and what every slice reads whole."""
        steps = [self.profile.problem.steps[i] for i in self.steps]
        lasting = {b for step in steps for b in (*step.reads, *step.writes)} - {*_hidden(self.lowered, self.chain)}
        span = range(self.first, self.last + 1)
        return tuple(sum([self.profile.extra(b, index) for b in lasting]) for index in span)

    @cached_property
    def _uses(self) -> dict[int, list[int]]:
        uses: dict[int, list[int]] = {}
        for index in range(self.first, self.last + 1):
            step = self.profile.problem.steps[index]
            for b in {*step.reads, *step.writes}:
                uses.setdefault(b, []).append(index)
        return uses

    def change(self, at: int, slices: int) -> int:
        """How much less is live at position first + at, with so many slices."""
        hidden = self.hidden[at]
        return 0 if slices == 1 else hidden - -(-hidden // slices) - self.extra[at]

    def peak(self, live: Sequence[int], slices: int) -> int:
        return max(live[self.first + at] - self.change(at, slices) for at in range(len(self.hidden)))

    def best(self, live: Sequence[int]) -> int:
        return min(self.peak(live, n) for n in range(1, self.most + 1))

    def fewest(self, live: Sequence[int], level: int) -> int:
        """The fewest slices that bring the chain to `level`, and no more than their width asks for."""
        slices = next(n for n in range(2, self.most + 1) if self.peak(live, n) <= level)
        units = -(-self.chain.size // self.chain.grain)
        return max(2, -(-units // -(-units // slices)))


def _choose(candidates: Sequence[_Candidate], profile: Profile) -> list[tuple[_Chain, int]]:
    """The chains to cut, with the fewest slices that bring each below what no cut can lower.

    As long as a chain helps where most is live, the one that helps most is cut as far as it can be.
    """
    live = list(profile.live)
    chosen: list[tuple[_Candidate, list[int]]] = []
    taken: set[int] = set()
    while True:
        top = max(live)
        where = live.index(top)
        here = [c for c in candidates if c.first <= where <= c.last and not c.steps & taken and c.most > 1]
        best = min(here, key=lambda c: c.best(live), default=None)
        if best is None or best.best(live) >= top:
            break
        chosen.append((best, list(live)))
        taken |= best.steps
        slices = min(range(2, best.most + 1), key=lambda n: best.peak(live, n))
        for at in range(len(best.hidden)):
            live[best.first + at] -= best.change(at, slices)
    level = int(max(live, default=0) * (1 + CLOSE_ENOUGH))
    return [(each.chain, each.fewest(before, max(level, each.best(before)))) for each, before in chosen]


def _most_slices(lowered: Lowered, chain: _Chain, env: Mapping[str, int]) -> int:
    """The most slices that neither starve the kernels nor cost more than SLOWEST."""
    step = lowered.steps[chain.consumer]
    most = min(MOST_SLICES, chain.size // max(family_of(step).narrowest, chain.grain))
    for part in chain.parts:
        most = min(most, max(1, part.extent // family_of(lowered.steps[part.step]).narrowest))
    work = sum(work_of(lowered, lowered.steps[i], env) for i in chain.steps())
    again = 2 * place_bytes(step.outputs[0], env) + sum(_whole_bytes(lowered, chain, env))
    affordable = 1 + int(SLOWEST * work / max(again, 1))
    return max(1, min(most, affordable))


def _whole_bytes(lowered: Lowered, chain: _Chain, env: Mapping[str, int]) -> Iterator[int]:
    """Bytes of the activations that every slice reads whole."""
    for part in chain.parts:
        for place, axis in zip(lowered.steps[part.step].inputs, part.cut.axes, strict=False):
            if place is not None and axis is None and lowered.buffers[place.buffer].segment is not Segment.WEIGHT:
                yield place_bytes(place, env)
