"""Chains of windowed and elementwise steps in bands of rows: what lies between them exists for one band at a time.

y = pool(conv(x)) becomes, for each band of rows of y, the rows of conv(x) that the band's windows cover and that no
band before has made, then the band of y. Rows that the next band reads again are kept: every row is made once, by the
kernel that makes it in the whole step, and results are the same bytes. Windows of Winograd's algorithm keep to the
tiles of the whole step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from arenaut.ir.dims import Dim, ceildiv, evaluate, exact_div, maximum, minimum, product
from arenaut.ir.place import Place
from arenaut.ir.target import Target
from arenaut.lowering.families import COPY, Rows, rows_of
from arenaut.lowering.live import Uses
from arenaut.lowering.program import Lowered, LoweredBuffer, LoweredStep, Segment, StepKind
from arenaut.lowering.slices import compacted
from arenaut.native.rows import select_row
from arenaut.plain import dataclass, replace

ROW_AXIS = 2
"""The axis that bands cut: the first behind images and channels."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Steps that run band by band before step `end`, whose output is whole.

    parts: in step order. rows: of each of them and of `end`. reads: of a part, each (reader, input) of its output.
    """

    end: int
    parts: tuple[int, ...]
    rows: Mapping[int, Rows]
    reads: Mapping[int, tuple[tuple[int, int], ...]]

    @property
    def steps(self) -> tuple[int, ...]:
        return (*self.parts, self.end)


@dataclass(frozen=True)
class Span:
    """Of one step in one band: its memory holds rows [first, high), of which it makes [low, high); the others are kept
    from the band before."""

    first: Dim
    low: Dim
    high: Dim

    @property
    def makes_nothing(self) -> bool:
        return isinstance(self.low, int) and self.low == self.high

    @property
    def keeps_nothing(self) -> bool:
        return isinstance(self.first, int) and self.first == self.low


class Finder:
    """Finds the chains of one lowered program."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.uses = Uses(lowered)
        shown = (*lowered.outputs, *lowered.inputs, *lowered.wholes.values())
        self._shown = {place.buffer for place in shown}
        self._rows: dict[int, Rows | None] = {}

    def rows(self, index: int) -> Rows | None:
        """How bands of the step are made."""
        if index not in self._rows:
            self._rows[index] = self._find_rows(index)
        return self._rows[index]

    def chains(self, end: int, most: int) -> Iterator[Chain]:
        """The chains up to a step, from the shortest to one of at most `most` parts."""
        rows = self.rows(end)
        if rows is None:
            return
        inside, reads = {end: rows}, dict[int, tuple[tuple[int, int], ...]]()
        parts: list[int] = []
        reach = end
        while len(parts) < most:
            part = self._next(inside, reach)
            if part is None:
                return
            reach = part
            own = self.rows(part)
            readers = None if own is None else self._readers(part, inside)
            if own is None or readers is None:
                continue
            inside[part], reads[part] = own, readers
            parts.append(part)
            yield Chain(end, tuple(parts[::-1]), dict(inside), dict(reads))

    def _next(self, inside: Mapping[int, Rows], before: int) -> int | None:
        """The last step before that one which makes what a step inside reads in bands."""
        makers = [
            self.uses.writers.get(place.buffer, [-1])[0]
            for index, rows in inside.items()
            for place, reach in zip(self.lowered.steps[index].inputs, rows.reaches, strict=False)
            if place is not None and reach is not None
        ]
        return max((i for i in makers if 0 <= i < before), default=None)

    def _find_rows(self, index: int) -> Rows | None:
        """A kernel step of one output, whose operands may have any strides."""
        step = self.lowered.steps[index]
        out = step.outputs[0] if step.kind is StepKind.KERNEL and not step.sets and len(step.outputs) == 1 else None
        if step.row is None or out is None or out.rank <= ROW_AXIS or "d" in step.row.access:
            return None
        return rows_of(step, ROW_AXIS)

    def _readers(self, part: int, inside: Mapping[int, Rows]) -> tuple[tuple[int, int], ...] | None:
        """All (step, input) that read what the part makes; None where one does so from outside, or not by its rows."""
        out = self.lowered.steps[part].outputs[0]
        assert out is not None
        buffer = self.lowered.buffers[out.buffer]
        whole = out.offset == 0 and product(out.dims) * out.dtype.itemsize == buffer.bytes
        if buffer.segment is not Segment.ARENA or not whole or out.buffer in self._shown:
            return None
        if len(self.uses.writers[out.buffer]) != 1 or out.dims[ROW_AXIS] == 1:
            return None
        found: list[tuple[int, int]] = []
        for index in self.uses.readers.get(out.buffer, []):
            if index not in inside:
                return None
            for i, place in enumerate(self.lowered.steps[index].inputs):
                if place is None or place.buffer != out.buffer:
                    continue
                reaches = inside[index].reaches
                reach = reaches[i] if i < len(reaches) else None
                if reach is None or reach.axis != ROW_AXIS or _in_band(out, place, 1, 0) is None:
                    return None
                found.append((index, i))
        return tuple(found) or None


def _in_band(written: Place, place: Place, rows: Dim, buffer: int) -> Place | None:
    """The place, a view of all rows of the one that is written, on memory for only so many rows."""
    axis = ROW_AXIS
    if place.rank != written.rank or place.dims[axis] != written.dims[axis]:
        return None
    pairs = zip(place.dims, place.strides, written.strides, strict=True)
    if any(d != 1 and s != own for d, s, own in pairs):
        return None
    step = written.strides[axis]
    pitch, width = step * written.dims[axis], step * rows
    turns = exact_div(place.offset, pitch)
    if turns is None and not (isinstance(place.offset, int) and isinstance(step, int) and 0 <= place.offset < step):
        return None
    return compacted(place, pitch, width, buffer, place.offset if turns is None else turns * width)


# -- rows -------------------------------------------------------------------------------------------------------------


def bands_of(rows: Dim, bands: int, unit: int) -> list[tuple[Dim, Dim]]:
    """Nearly equal bands [low, high) of so many rows, none of them empty: fewer where there are not enough rows. Of a
    number of rows that a run decides, the last bands may be made of rows that were made before; all are empty where
    there is no row."""
    size = ceildiv(ceildiv(rows, unit), bands) * unit
    if isinstance(rows, int) and isinstance(size, int):
        return [(low, min(low + size, rows)) for low in range(0, rows, size)] if rows > 0 else [(0, 0)]
    highs = [minimum(rows, size * (i + 1)) for i in range(bands)]
    highs[-1] = rows
    return [(0 if i == 0 else maximum(0, minimum(size * i, high - 1)), high) for i, high in enumerate(highs)]


def spans_of(chain: Chain, heights: Mapping[int, Dim], bands: int) -> list[dict[int, Span]]:
    """Per band, the rows of each step. heights: of the outputs."""
    spans: list[dict[int, Span]] = []
    for low, high in bands_of(heights[chain.end], bands, chain.rows[chain.end].unit):
        before = spans[-1] if spans else {}
        now = {chain.end: Span(low, low, high)}
        for part in reversed(chain.parts):
            now[part] = _span(chain, part, heights[part], now, before)
        spans.append(now)
    return spans


def _span(chain: Chain, part: int, height: Dim, now: Mapping[int, Span], before: Mapping[int, Span]) -> Span:
    made: Dim = before[part].high if part in before else 0
    unit = chain.rows[part].unit
    keep: Dim = height
    high: Dim = made
    for reader, operand in chain.reads[part]:
        reach, span = chain.rows[reader].reaches[operand], now[reader]
        assert reach is not None
        keep = minimum(keep, maximum(0, span.low * reach.step - reach.before))
        if not span.makes_nothing:
            high = maximum(high, minimum(height, (span.high - 1) * reach.step - reach.before + reach.extent))
    high = minimum(height, ceildiv(high, unit) * unit)
    if isinstance(keep, int) and isinstance(high, int) and isinstance(made, int):
        from_here = made if high == made else max(made, keep // unit * unit)  # strides may skip rows
        return Span(min(keep, from_here), from_here, high)
    low = maximum(0, minimum(made, high - 1)) if part in before else 0
    return Span(minimum(keep, low), low, high)


@dataclass
class _Band:
    """What one band of a chain has made so far: the memory of each part."""

    spans: Mapping[int, Span]
    made: dict[int, Place] = field(default_factory=dict)


class Rewriter:
    """Writes a lowered program anew with some chains in bands."""

    def __init__(self, lowered: Lowered, target: Target, chosen: Mapping[int, tuple[Chain, int]]) -> None:
        self.lowered = lowered
        self.target = target
        self.chosen = chosen
        self.buffers: list[LoweredBuffer] = list(lowered.buffers)
        self.steps: list[LoweredStep] = []

    def run(self) -> Lowered:
        gone = {part for chain, _ in self.chosen.values() for part in chain.parts}
        dropped = {out.buffer for i in gone if (out := self.lowered.steps[i].outputs[0]) is not None}
        for index, step in enumerate(self.lowered.steps):
            if index in self.chosen:
                self._emit(*self.chosen[index])
            elif index not in gone:
                self.steps.append(step)
        return self.lowered.rewritten(self.buffers, self.steps, dropped)

    def _emit(self, chain: Chain, bands: int) -> None:
        spans = spans_of(chain, heights_of(self.lowered, chain), bands)
        kept: dict[int, Place] = {}  # rows of the band before that the next one reads
        for number, now in enumerate(spans):
            band, later = _Band(now), spans[number + 1] if number + 1 < len(spans) else {}
            for index in chain.parts:
                self._emit_part(chain, index, band, kept)
                if index in later and not later[index].keeps_nothing:
                    kept[index] = self._keep(index, band, later[index])
            out = self.lowered.steps[chain.end].outputs[0]
            assert out is not None
            span = now[chain.end]
            self._emit_rows(chain, chain.end, band, out.slice(ROW_AXIS, span.low, span.high - span.low))

    def _emit_part(self, chain: Chain, index: int, band: _Band, kept: Mapping[int, Place]) -> None:
        span = band.spans[index]
        place = band.made[index] = self._memory(index, span.first, span.high)
        if index in kept and not span.keeps_nothing:
            self._copy(index, kept[index], place.slice(ROW_AXIS, 0, span.low - span.first))
        if not span.makes_nothing:
            self._emit_rows(chain, index, band, place.slice(ROW_AXIS, span.low - span.first, span.high - span.low))

    def _keep(self, index: int, band: _Band, later: Span) -> Place:
        start, count = later.first - band.spans[index].first, later.low - later.first
        target = self._memory(index, later.first, later.low)
        self._copy(index, band.made[index].slice(ROW_AXIS, start, count), target)
        return target

    def _memory(self, index: int, first: Dim, high: Dim) -> Place:
        out = self.lowered.steps[index].outputs[0]
        assert out is not None
        place = _in_band(out, out, high - first, len(self.buffers))
        assert place is not None
        name = f"{self.lowered.buffers[out.buffer].name}[{first}:{high}]"
        place = place.slice(ROW_AXIS, 0, high - first)
        self.buffers.append(LoweredBuffer(Segment.ARENA, product(place.dims) * place.dtype.itemsize, name=name))
        return place

    def _copy(self, index: int, source: Place, target: Place) -> None:
        row = select_row(COPY, [source.dtype], [target.dtype], self.target)
        assert row is not None
        node = self.lowered.steps[index].node
        self.steps.append(LoweredStep(StepKind.KERNEL, node, [source], [target], row))

    def _emit_rows(self, chain: Chain, index: int, band: _Band, out: Place) -> None:
        """The step on the rows of its span, written to `out`."""
        step, rows, span = self.lowered.steps[index], chain.rows[index], band.spans[index]
        inputs, params = list(step.inputs), step.params
        for i, (place, reach) in enumerate(zip(step.inputs, rows.reaches, strict=False)):
            if place is None or reach is None:
                continue
            height = place.dims[reach.axis]
            start = span.low * reach.step - reach.before
            stop = (span.high - 1) * reach.step - reach.before + reach.extent
            first = maximum(0, start)
            last = maximum(first, minimum(height, stop))
            source = self._source(chain, index, i, band)
            if source is None:
                inputs[i] = place.slice(reach.axis, first, last - first)
            else:
                inputs[i] = source[0].slice(reach.axis, first - source[1], last - first)
            if reach.extent > 1 or reach.before or reach.after:
                below = minimum(reach.after, maximum(0, stop - height))
                params = rows.params(step, maximum(0, -start), below)
        self.steps.append(replace(step, inputs=inputs, outputs=[out], params=params))

    def _source(self, chain: Chain, reader: int, operand: int, band: _Band) -> tuple[Place, Dim] | None:
        """An operand that a part makes, on the part's memory, and the row that it begins at there."""
        for part, reads in chain.reads.items():
            if (reader, operand) in reads:
                written, place = self.lowered.steps[part].outputs[0], self.lowered.steps[reader].inputs[operand]
                assert written is not None and place is not None
                span, made = band.spans[part], band.made[part]
                source = _in_band(written, place, span.high - span.first, made.buffer)
                assert source is not None
                return source, span.first
        return None


def heights_of(lowered: Lowered, chain: Chain, env: Mapping[str, int] | None = None) -> dict[int, Dim]:
    """Rows of the outputs of a chain's steps; as numbers where sizes are given."""
    heights: dict[int, Dim] = {}
    for index in chain.steps:
        out = lowered.steps[index].outputs[0]
        assert out is not None
        heights[index] = out.dims[ROW_AXIS] if env is None else evaluate(out.dims[ROW_AXIS], env)
    return heights


def middle(spans: Sequence[Mapping[int, Span]]) -> Mapping[int, Span]:
    """A band that others stand before and behind, where there is one."""
    return spans[len(spans) // 2]
