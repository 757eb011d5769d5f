"""Which convolutions run by Winograd's algorithm: chosen once all steps are known, by time saved per byte of filters.

Transformed filters are 16/9 (tiles of 2 x 2 outputs) or 4 times (4 x 4) as large as the filters, so they share a limit.
Sums of integers, and of what was dequantised, stay sums: the algorithm rounds them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from arenaut.ir.dims import Dim, evaluate, symbols_of
from arenaut.ir.origins import body_inputs_on_a_grid, works_on_a_grid
from arenaut.ir.target import Target
from arenaut.lowering.families import family_of
from arenaut.lowering.program import Lowered, LoweredStep, Segment
from arenaut.plain import dataclass

# The parameter of families whose filters may be transformed, and its values: outputs along an axis of a tile.
FORM = "form"
TILES = (2, 4)

# Sums over fewer channels may be too small for the error that they share with their tile.
LEAST_CHANNELS = 16
# What a size that only a run decides counts for, when nothing better is known.
TYPICAL_SIZE = 56
# By default transformed filters may add as many bytes as the model has, and never fewer than this.
LEAST_LIMIT = 64 << 20

# The cost model counts multiply-adds. Filters in memory, a float: from main memory, from L3.
_FROM_MEMORY, _FROM_L3 = 16.0, 4.0
# Gathering an input element for a matrix product; transforming one of a tile's inputs or outputs.
_GATHER, _TRANSFORM = 12.0, 18.0
_PRODUCT, _TILE_PRODUCT = 1.1, 1.25
_BLOCK_OF_TILES = 24
# The share of the time that a form must save over the next smaller one to be worth its bytes.
_LEAST_SAVING = {2: 0.15, 4: 0.08}


@dataclass(frozen=True)
class Filter:
    """One constant filter that all `steps` may use transformed. pixels: outputs of each step's images."""

    steps: tuple[LoweredStep, ...]
    sizes: tuple[tuple[int, int, int], ...]  # images, rows and columns of each step's output
    groups: int
    inputs: int  # channels of a group
    outputs: int

    def bytes(self, form: int) -> int:
        """Bytes of the packed filter: form 0 for matrix products."""
        points = (form + 2) ** 2 if form else 9
        return 4 * points * self.groups * self.inputs * self.outputs

    def cost(self, form: int, l3_bytes: int) -> float:
        """Time of all steps, in multiply-adds."""
        return sum(self._cost_at(size, form, l3_bytes) for size in self.sizes)

    def _cost_at(self, size: tuple[int, int, int], form: int, l3_bytes: int) -> float:
        images, rows, columns = size
        area = self.inputs * self.outputs
        if form == 0:
            each = 9 * images * rows * columns * (_PRODUCT * area + _GATHER * self.inputs)
            return self.groups * each + _FROM_MEMORY * self.bytes(0) / 4
        tiles = images * -(-rows // form) * -(-columns // form)
        each = (form + 2) ** 2 * tiles * (_TILE_PRODUCT * area + _TRANSFORM * (self.inputs + self.outputs))
        again = _FROM_L3 if self.bytes(form) <= l3_bytes / 2 else _FROM_MEMORY
        sweeps = max(0, -(-tiles // _BLOCK_OF_TILES) - 1)
        return self.groups * each + (_FROM_MEMORY + again * sweeps) * self.bytes(form) / 4


def choose_filters(
    lowered: Lowered, target: Target, *, limit: int | None = None, hints: Mapping[str, int] | None = None
) -> None:
    """Sets the form of the convolutions' filters, bodies included. limit: bytes that transformed filters may add to
    the packed ones; None: as many as the model's constants have. hints: typical sizes of symbols, by name."""
    room = max(LEAST_LIMIT, sum(_constant_bytes(lowered))) if limit is None else limit
    offers: list[tuple[float, int, Filter, int]] = []
    for number, each in enumerate(_filters(lowered, hints or {})):
        plain = each.cost(0, target.l3_bytes)
        most = 0.0
        for form in TILES:
            saved = plain - each.cost(form, target.l3_bytes)
            if saved > most + _LEAST_SAVING[form] * plain:
                offers.append((saved, number, each, form))
                most = saved
    best: dict[int, float] = {}
    for saved, number, _, _ in offers:
        best[number] = max(saved, best.get(number, 0.0))
    # Each filter's fastest form first, dearest bytes last; then what is left of the room for the others.
    offers.sort(key=lambda o: (o[0] < best[o[1]], -o[0] / (o[2].bytes(o[3]) - o[2].bytes(0)), o[1]))
    taken: set[int] = set()
    for _, number, each, form in offers:
        extra = each.bytes(form) - each.bytes(0)
        if number in taken or extra > room:
            continue
        taken.add(number)
        room -= extra
        for step in each.steps:
            step.params = {**step.params, FORM: form}


def transformed_bytes(lowered: Lowered) -> int:
    """Bytes of all filters that Winograd's algorithm reads, bodies included."""
    seen: dict[tuple[int, Dim], int] = {}
    inner = 0
    for step in lowered.steps:
        inner += sum(map(transformed_bytes, step.bodies))
        form, weights = step.params.get(FORM, 0), step.inputs[1] if len(step.inputs) > 1 else None
        if form and weights is not None and isinstance(form, int):
            outputs, inputs = (int(d) for d in weights.dims[:2] if isinstance(d, int))
            seen[weights.buffer, weights.offset] = 4 * (form + 2) ** 2 * outputs * inputs
    return inner + sum(seen.values())


def _constant_bytes(lowered: Lowered) -> Iterator[int]:
    for buffer in lowered.buffers:
        if buffer.segment is Segment.WEIGHT and isinstance(buffer.bytes, int):
            yield buffer.bytes
    for step in lowered.steps:
        for body in step.bodies:
            yield from _constant_bytes(body)


def _filters(lowered: Lowered, hints: Mapping[str, int], known: Collection[int] = ()) -> Iterator[Filter]:
    """known: ids of the graph's inputs that hold whole numbers, or such times a scale."""
    users: dict[tuple[int, Dim], list[LoweredStep]] = {}
    for step in lowered.steps:
        inner = body_inputs_on_a_grid(step.node, known) if step.bodies else ()
        for body in step.bodies:
            yield from _filters(body, hints, inner)
        weights = step.inputs[1] if len(step.inputs) > 1 else None
        if weights is not None and _may_transform(step) and not works_on_a_grid(step.node, known):
            users.setdefault((weights.buffer, weights.offset), []).append(step)
    for steps in users.values():
        first = steps[0].inputs[1]
        assert first is not None
        group = steps[0].params["group"]
        outputs, inputs = first.dims[:2]
        alike = all(s.params["group"] == group and s.inputs[1] == first for s in steps)
        if alike and isinstance(group, int) and isinstance(outputs, int) and isinstance(inputs, int):
            sizes = tuple(_size(step, hints) for step in steps)
            yield Filter(tuple(steps), sizes, group, inputs, outputs // group)


def _may_transform(step: LoweredStep) -> bool:
    """A convolution of 3 x 3 taps with unit steps, whose filter is a constant over enough channels."""
    if not family_of(step).winograd or 1 not in step.pack:
        return False
    weights = step.inputs[1]
    assert weights is not None
    channels = weights.dims[1]
    return (
        weights.dims[2:] == (3, 3)
        and isinstance(channels, int)
        and channels >= LEAST_CHANNELS
        and _all(step, "strides", (1,))
        and _all(step, "dilations", (1,))
        and _all(step, "pads", (0, 1))  # farther out, some outputs would have hardly any terms
    )


def _all(step: LoweredStep, name: str, allowed: Sequence[int]) -> bool:
    values = step.params[name]
    return isinstance(values, Sequence) and all(isinstance(v, int) and v in allowed for v in values)


def _size(step: LoweredStep, hints: Mapping[str, int]) -> tuple[int, int, int]:
    output = step.outputs[0]
    assert output is not None
    n, h, w = (
        evaluate(d, {s.name: hints.get(s.name, 1 if i == 0 else TYPICAL_SIZE) for s in symbols_of(d)})
        for i, d in enumerate((output.dims[0], *output.dims[2:]))
    )
    return n, h, w
