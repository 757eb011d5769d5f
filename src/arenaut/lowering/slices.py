"""Places and epilogues of slices: where a part of a tensor lies, and what a product adds to a sum of parts."""

from __future__ import annotations

from arenaut.ir.dims import Dim, exact_div
from arenaut.ir.dtypes import DType
from arenaut.ir.place import Place
from arenaut.lowering.tiles import TileSpec, tile_function
from arenaut.plain import dataclass, replace


def part_of(place: Place, axis: int, start: int, count: int, extent: int) -> Place | None:
    """Elements [start, start + count) of `extent`, in units of the place's own axis; None if they are not whole."""
    size = place.dims[axis]
    if not isinstance(size, int) or not extent or (start * size) % extent or (count * size) % extent:
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


def overlay(read: Place, axis: int, written: Place) -> Overlay | None:
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


def compacted(place: Place, pitch: Dim, width: Dim, buffer: int, offset: Dim) -> Place | None:
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
