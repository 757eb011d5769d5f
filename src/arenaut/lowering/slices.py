"""How one step is cut: which parts of its inputs make a part of its output, and which steps can be summed in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from arenaut.ir.dims import Dim, exact_div
from arenaut.ir.dtypes import DType
from arenaut.ir.record import Param
from arenaut.ir.strided import Strided
from arenaut.lowering.program import LoweredStep
from arenaut.lowering.tiles import TileSpec, tile_function

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


CutRule = Callable[[LoweredStep, int], "Cut | None"]


def cut_output(step: LoweredStep, axis: int) -> Cut | None:
    """How to make a part of the step's only output along `axis`; None when that takes more than cutting operands."""
    row, outputs = step.row, [p for p in step.outputs if p is not None]
    if row is None or row.family not in _CUTS or len(outputs) != 1 or outputs[0] is not step.outputs[0]:
        return None
    return _CUTS[row.family](step, axis)


def cut_sum(step: LoweredStep) -> Axes | None:
    """The axes of input 0 and of the constant it is multiplied with, over which the step sums and can be split."""
    row, out = step.row, step.outputs[0] if step.outputs else None
    if row is None or row.family not in ("MatMul", "Conv") or out is None or out.dtype is not DType.FLOAT:
        return None
    a, b = step.inputs[0], step.inputs[1]
    if len(step.outputs) != 1:
        return None
    if a is None or b is None or a.dtype is not DType.FLOAT or b.dtype is not DType.FLOAT:
        return None
    axes: Axes = [None] * len(step.inputs)
    if row.family == "MatMul" and a.rank >= 2 and b.rank == 2:
        axes[0] = a.rank - (2 if step.params["trans_a"] else 1)
        axes[1] = 1 if step.params["trans_b"] else 0
        return axes
    if row.family == "Conv" and step.params["group"] == 1:
        axes[0] = axes[1] = 1
        return axes
    return None


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


_CUTS: Mapping[str, CutRule] = MappingProxyType(
    {
        "MatMul": _matmul,
        "Conv": _conv,
        "Tile": _elementwise,
        "MaxPool": _pool,
        "AveragePool": _pool,
        "Attention": _attention,
    }
)


def _aligned(step: LoweredStep, axis: int, first: int) -> Axes:
    """Operands from `first` on that have the output's rank: cut alike, unless they are broadcast along the axis."""
    return [None if p is None else _kept(p, axis) for p in step.inputs[first:]]


def _kept(place: Strided, axis: int) -> int | None:
    return None if place.dims[axis] == 1 else axis


# -- places -----------------------------------------------------------------------------------------------------------


def part_of(place: Strided, axis: int, start: int, count: int, extent: int) -> Strided | None:
    """Elements [start, start + count) of `extent`, in units of the place's own axis; None if they are not whole."""
    size = place.dims[axis]
    if not isinstance(size, int) or (start * size) % extent or (count * size) % extent:
        return None
    return place.slice(axis, start * size // extent, count * size // extent)


@dataclass(frozen=True)
class Overlay:
    """Where a read place lies on the place that wrote it: [start, start + extent) of the writer's `axis`.

    pitch: elements of the buffer from one walk along that axis to the next.
    """

    axis: int
    start: int
    extent: int
    pitch: Dim


def overlay(read: Strided, axis: int, written: Strided) -> Overlay | None:
    """How a cut of `read` along `axis` is a cut of `written`, the one place that fills the buffer; None if it is none.

    The written axis may be finer (columns read as heads), coarser, or hold what is read beside other things (queries
    beside keys and values).
    """
    extent, stride = read.dims[axis], read.strides[axis]
    if not isinstance(extent, int) or written.offset != 0:
        return None
    for candidate, (size, step) in enumerate(zip(written.dims, written.strides, strict=True)):
        if not isinstance(size, int) or size == 1:
            continue
        pitch = step * size
        span, start = exact_div(stride * extent, step), exact_div(read.offset, step)
        if not isinstance(span, int) or not isinstance(start, int) or not 0 <= start <= size - span:
            continue
        if step != stride and not (isinstance(step, int) and isinstance(stride, int)):
            continue
        others = [(d, s) for i, (d, s) in enumerate(zip(read.dims, read.strides, strict=True)) if i != axis]
        if all(d == 1 or _outside(s, pitch) or _inside(d, s, stride) for d, s in others):
            return Overlay(candidate, start, span, pitch)
    return None


def _outside(stride: Dim, pitch: Dim) -> bool:
    return exact_div(stride, pitch) is not None


def _inside(dim: Dim, stride: Dim, unit: Dim) -> bool:
    if isinstance(dim, int) and isinstance(stride, int) and isinstance(unit, int):
        return stride > 0 and dim * stride <= unit
    return exact_div(unit, dim * stride) is not None


def compacted(place: Strided, pitch: Dim, width: Dim, buffer: int, offset: Dim) -> Strided | None:
    """The place in a buffer that keeps only `width` of every `pitch` elements, from element `offset` of it on."""
    strides: list[Dim] = []
    for d, s in zip(place.dims, place.strides, strict=True):
        turns = exact_div(s, pitch)
        inner = isinstance(s, int) and isinstance(pitch, int) and s < pitch
        strides.append(s if turns is None or inner or d == 1 else turns * width)
    return replace(place, buffer=buffer, strides=tuple(strides), offset=offset)


# -- epilogues --------------------------------------------------------------------------------------------------------


def only_adds(spec: TileSpec) -> bool:
    """Whether an epilogue does nothing but add operands to the block, one after the other."""
    total = 0
    for name, (_, dst, a, b, _) in zip(spec.names, spec.instructions, strict=True):
        operand = b if a == total else a
        if name != "add_f32" or total not in (a, b) or not 0 < operand < spec.n_in:
            return False
        total = dst
    return spec.out_regs == [total]


def adding_first(spec: TileSpec | None, first_operand: int) -> TileSpec:
    """The epilogue with one more operand, its last, which is added to the block before anything else."""
    add = tile_function("add_f32")
    kind = int(DType.FLOAT)
    if spec is None:
        return TileSpec([kind] * 3, 2, [], [(add, 2, 0, 1, 0)], [2], first_operand, ["add_f32"])
    extra, total = spec.n_in, len(spec.reg_dtypes) + 1

    def moved(register: int) -> int:
        if register == 0:
            return total
        return register if register < spec.n_in else register + 1

    code = [(f, moved(dst), moved(a), moved(b), moved(c)) for f, dst, a, b, c in spec.instructions]
    return TileSpec(
        [*spec.reg_dtypes[: spec.n_in], kind, *spec.reg_dtypes[spec.n_in :], kind], spec.n_in + 1, spec.immediates,
        [(add, total, 0, extra, 0), *code], [moved(r) for r in spec.out_regs], spec.first_operand,
        ["add_f32", *spec.names],
    )  # fmt: skip
