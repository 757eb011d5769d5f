"""What lowering knows of kernel families: one record each, which slices, sharing, weights and profiles ask.

A family that is not listed has the defaults: it is not cut into slices, reads aligned constants, and computes what it
writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from arenaut.ir.dims import Dim, Expr
from arenaut.ir.dtypes import DType
from arenaut.ir.place import Place
from arenaut.ir.record import Param
from arenaut.lowering.program import LoweredStep
from arenaut.lowering.slices import adding_first
from arenaut.native.enumerations import enumeration
from arenaut.plain import dataclass, replace

Axes = list[int | None]
"""Per input of a step: the axis along which it is cut, or None where it is read whole."""


@dataclass(frozen=True)
class Cut:
    """Output 0 is cut along an axis. axes: of the inputs. params: of a part that is `count` of the output's `extent`.

    unit: parts must be multiples of so many elements of the output's axis.
    """

    axes: Axes
    params: Callable[[LoweredStep, int], Mapping[str, Param]] = lambda step, count: step.params
    unit: int = 1


@dataclass(frozen=True)
class Sum:
    """What a product sums over: an axis of its source, input 0, and one of its weight, input 1.

    outer: the axis of the weight that is left in the output.
    """

    source: int
    weight: int
    outer: int


@dataclass(frozen=True)
class Reach:
    """What row r of the output reads of an input: `extent` rows of its `axis` from row r * step - before on, of which
    those outside are padding: at most `before` above and `after` below."""

    axis: int
    step: int = 1
    extent: int = 1
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class Rows:
    """A band of rows of output 0 is made of bands of the inputs.

    reaches: per input; None where it is read whole. params: of a band with so much padding above and below. unit: a
    band that begins at a multiple of it has the very numbers that the whole step computes.
    """

    reaches: tuple[Reach | None, ...]
    params: Callable[[LoweredStep, Dim, Dim], Mapping[str, Param]] = lambda step, above, below: step.params
    unit: int = 1


@dataclass(frozen=True)
class Family:
    """
    cut             which parts of a step's inputs make a part of its only output along an axis; None: more than parts
    rows            which rows of a step's inputs make a band of rows of its only output along an axis; None: no such
    sum             what a step of one float32 output sums over; None: nothing, or not in parts
    add             the step with one more operand, the sum of the parts before, which its output begins with
    narrowest       columns or channels below which a slice is not worth a step: micro-kernels want whole panels
    winograd        filters of 3 x 3 taps may be packed transformed, which the parameter `form` says
    packs_without   the parameter that packing does not look at: steps that differ in it alone share packed operands
    copies          the output is the input, moved: where both lie alike it is made in its place
    elementwise     writes an element after it read all operands there: an operand read twice may be overwritten
    any_alignment   reads constants at any address: rows of bytes are moved
    computes        counts among the operations of its node: what only moves or fills does not
    filters         of integer convolutions, the operand that holds a filter for every channel of the output
    factor          the operand by whose bytes several steps of one node share its operations; None: the output
    gathers         reads of input 0 what the output holds
    squares         the axis along which it only sums the squares of what it reads; None: it does another thing
    power           of pairs along the last axis of what it writes it may write the sum of squares, as the parameter
                    `power` says
    """

    cut: Callable[[LoweredStep, int], Cut | None] | None = None
    rows: Callable[[LoweredStep, int], Rows | None] | None = None
    sum: Callable[[LoweredStep], Sum | None] | None = None
    add: Callable[[LoweredStep, Place], LoweredStep] | None = None
    narrowest: int = 1
    winograd: bool = False
    packs_without: str = ""
    copies: bool = False
    elementwise: bool = False
    any_alignment: bool = False
    computes: bool = True
    filters: int | None = None
    factor: int | None = None
    gathers: bool = False
    squares: Callable[[LoweredStep], int | None] | None = None
    power: bool = False


def family_of(step: LoweredStep) -> Family:
    """What is known of the step's kernel; the defaults where it has none."""
    return FAMILIES.get(step.row.family, DEFAULTS) if step.row is not None else DEFAULTS


def cut_output(step: LoweredStep, axis: int) -> Cut | None:
    """How to make a part of the step's only output along `axis`; None when that takes more than cutting operands."""
    cut, outputs = family_of(step).cut, [p for p in step.outputs if p is not None]
    if cut is None or len(outputs) != 1 or outputs[0] is not step.outputs[0]:
        return None
    return cut(step, axis)


def rows_of(step: LoweredStep, axis: int) -> Rows | None:
    """How bands of rows along `axis` of the step's only output are made; None when they cannot be."""
    rule = family_of(step).rows
    if rule is None or len(step.outputs) != 1 or step.outputs[0] is None or axis >= step.outputs[0].rank:
        return None
    return rule(step, axis)


def cut_sum(step: LoweredStep) -> Sum | None:
    """Over which axes of its source and weight the step sums, and can be split."""
    rule = family_of(step).sum
    if rule is None or len(step.outputs) != 1:
        return None
    if any(p is None or p.dtype is not DType.FLOAT for p in (step.outputs[0], *step.inputs[:2])):
        return None
    return rule(step)


# -- how steps are cut ------------------------------------------------------------------------------------------------


def _matmul(step: LoweredStep, axis: int) -> Cut | None:
    out, b, c = step.outputs[0], step.inputs[1], step.inputs[2] if len(step.inputs) > 2 else None
    assert out is not None and b is not None
    if axis != out.rank - 1 or b.rank < 2:
        return None
    axes: Axes = [None] * len(step.inputs)
    axes[1] = b.rank - (2 if step.params["trans_b"] else 1)
    if c is not None:
        axes[2] = _kept(c, c.rank - 1) if c.rank else None
    return Cut([*axes[:3], *_aligned(step, axis, 3)])


def _conv(step: LoweredStep, axis: int) -> Cut | None:
    x, w, bias, out = step.inputs[0], step.inputs[1], step.inputs[2] if len(step.inputs) > 2 else None, step.outputs[0]
    assert x is not None and w is not None and out is not None
    if axis != 1:
        return None
    lead: Axes = [None, 0, None if bias is None else _kept(bias, 0)]
    rest = _aligned(step, axis, 3)
    if step.params["group"] == 1:
        return Cut([*lead, *rest][: len(step.inputs)])
    if step.params["group"] == x.dims[1] == out.dims[1]:
        return Cut([1, *lead[1:], *rest][: len(step.inputs)], lambda s, count: {**s.params, "group": count})
    return None


def _windows(first: int) -> Callable[[LoweredStep, int], Rows | None]:
    """Rows of what slides windows over input 0. first: the first operand of its epilogue."""

    def rule(step: LoweredStep, axis: int) -> Rows | None:
        spatial, at = step.params["spatial"], axis - 2
        if not isinstance(spatial, int) or at < 0:
            return None
        kernel, step_by, dilation, before, after = (
            _number(step, name, i)
            for name, i in (("kernel", at), ("strides", at), ("dilations", at), ("pads", at), ("pads", spatial + at))
        )
        if kernel is None or step_by is None or dilation is None or before is None or after is None:
            return None
        extent, rest = (kernel - 1) * dilation + 1, _same_rows(step, axis, first)
        if rest is None or step_by < 1 or not 0 <= before < extent or not 0 <= after < extent:
            return None

        def params(step: LoweredStep, above: Dim, below: Dim) -> Mapping[str, Param]:
            pads = list(_sequence(step, "pads"))
            pads[at], pads[spatial + at] = above, below
            return {**step.params, "pads": pads}

        lead = [Reach(axis, step_by, extent, before, after), *[None] * (first - 1)]
        form = step.params.get("form", 0)
        reaches = (*lead[: len(step.inputs)], *rest)
        return Rows(reaches, params, form if isinstance(form, int) and form else 1)

    return rule


def _sequence(step: LoweredStep, name: str) -> Sequence[Dim]:
    value = step.params[name]
    return [d for d in value if isinstance(d, int | Expr)] if isinstance(value, Sequence) else []


def _number(step: LoweredStep, name: str, index: int) -> int | None:
    values = _sequence(step, name)
    value = values[index] if index < len(values) else None
    return value if isinstance(value, int) else None


def _same_row(step: LoweredStep, axis: int) -> Rows | None:
    reaches = _same_rows(step, axis, 0)
    return None if reaches is None else Rows(reaches)


def _same_rows(step: LoweredStep, axis: int, first: int) -> tuple[Reach | None, ...] | None:
    """Of operands from `first` on: row r reads row r, or all of what is broadcast; None where that is not known."""
    out = step.outputs[0]
    assert out is not None
    reaches: list[Reach | None] = []
    for place in step.inputs[first:]:
        if place is not None and (place.rank != out.rank or place.dims[axis] not in (1, out.dims[axis])):
            return None
        reaches.append(None if place is None or place.dims[axis] == 1 else Reach(axis))
    return tuple(reaches)


def _elementwise(step: LoweredStep, axis: int) -> Cut | None:
    return Cut(_aligned(step, axis, 0))


def _pool(step: LoweredStep, axis: int) -> Cut | None:
    return Cut([1, *_aligned(step, axis, 1)]) if axis == 1 else None


def _attention(step: LoweredStep, axis: int) -> Cut | None:
    """By heads. A head of the keys serves `group` heads of the queries, which stay together."""
    query, key, mask = step.inputs[0], step.inputs[1], step.inputs[3]
    assert query is not None and key is not None
    heads, kept = query.dims[1], key.dims[1]
    if axis != 1 or not isinstance(heads, int) or not isinstance(kept, int) or kept == 0 or heads % kept:
        return None
    return Cut([1, 1, 1, None if mask is None else _kept(mask, 1)], unit=heads // kept)


def _aligned(step: LoweredStep, axis: int, first: int) -> Axes:
    """Operands from `first` on that have the output's rank: cut alike, unless they are broadcast along the axis."""
    return [None if p is None else _kept(p, axis) for p in step.inputs[first:]]


def _kept(place: Place, axis: int) -> int | None:
    return None if place.dims[axis] == 1 else axis


def _matmul_sum(step: LoweredStep) -> Sum | None:
    a, b = step.inputs[0], step.inputs[1]
    assert a is not None and b is not None
    if a.rank < 2 or b.rank != 2:
        return None
    axis = 1 if step.params["trans_b"] else 0
    return Sum(a.rank - (2 if step.params["trans_a"] else 1), axis, 1 - axis)


def _conv_sum(step: LoweredStep) -> Sum | None:
    return Sum(1, 1, 0) if step.params["group"] == 1 else None


def _matmul_add(step: LoweredStep, total: Place) -> LoweredStep:
    inputs = [*step.inputs[:2], total, *step.inputs[3:]]
    return replace(step, inputs=inputs, params={**step.params, "beta": 1.0})


def _conv_add(step: LoweredStep, total: Place) -> LoweredStep:
    inputs = list(step.inputs)
    if step.tile is None:
        assert step.row is not None
        inputs += [None] * (step.row.input_count - len(inputs))
    return replace(step, inputs=[*inputs, total], tile=adding_first(step.tile, len(inputs)))


def _squares(step: LoweredStep) -> int | None:
    """Of a float reduction that does nothing more."""
    axes, out = step.params["axes"], step.outputs[0]
    assert isinstance(axes, int) and out is not None
    only = axes > 0 and axes & (axes - 1) == 0 and step.tile is None and len(step.inputs) == 1
    if not only or step.params["kind"] != enumeration("ReduceKind")["sum_square"]:
        return None
    return axes.bit_length() - 1


# -- the records ------------------------------------------------------------------------------------------------------

# Families that lowering itself calls; all others are named by the rules of op records.
COPY: Final = "Copy"
FILL: Final = "Fill"
TILE: Final = "Tile"

DEFAULTS: Final = Family()
FAMILIES: Final[Mapping[str, Family]] = {
    COPY: Family(rows=_same_row, copies=True, computes=False),
    FILL: Family(computes=False),
    TILE: Family(cut=_elementwise, rows=_same_row, elementwise=True),
    "MatMul": Family(cut=_matmul, sum=_matmul_sum, add=_matmul_add, narrowest=128, factor=1),
    "Conv": Family(
        cut=_conv,
        rows=_windows(3),
        sum=_conv_sum,
        add=_conv_add,
        narrowest=8,
        factor=1,
        winograd=True,
        packs_without="pads",
    ),
    "HalfConv": Family(rows=_windows(3), packs_without="pads"),
    "QConv": Family(rows=_windows(7), filters=1, packs_without="pads"),
    "MaxPool": Family(cut=_pool, rows=_windows(1)),
    "AveragePool": Family(cut=_pool, rows=_windows(1)),
    "LpPool": Family(rows=_windows(1)),
    "Attention": Family(cut=_attention, factor=1),
    "HalfAttention": Family(cut=_attention, factor=1),
    "Gather": Family(any_alignment=True, gathers=True),
    "Fft": Family(power=True),
    "Reduce": Family(squares=_squares),
}
