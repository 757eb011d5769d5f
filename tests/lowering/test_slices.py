"""Where a slice of a tensor lies, and the epilogue that adds the slices before."""

from __future__ import annotations

from arenaut.ir.dims import symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.place import Place, dense_strides
from arenaut.lowering.slices import Overlay, adding_first, compacted, only_adds, overlay, part_of
from tests.support.lowering import lowered, step_of


def place(*dims: int, offset: int = 0) -> Place:
    return Place(0, DType.FLOAT, dims, dense_strides(dims), offset)


def test_a_part_is_whole_elements_or_none() -> None:
    heads = place(2, 12, 64)
    part = part_of(heads, 1, 256, 256, 768)  # columns 256 to 512 of 768 are heads 4 to 8
    assert part is not None and (part.dims, part.offset) == ((2, 4, 64), 4 * 64)
    assert part_of(heads, 1, 100, 256, 768) is None  # not a whole number of heads
    assert part_of(heads, 1, 0, 100, 768) is None
    symbolic = Place(0, DType.FLOAT, (symbol("n"), 4), (4, 1))
    assert part_of(symbolic, 0, 0, 1, 2) is None


def test_an_axis_that_is_read_is_found_on_what_was_written() -> None:
    written = place(5, 768)
    heads = written.split(1, 12, 64).permute([1, 0, 2])  # [12, 5, 64]
    assert overlay(heads, 0, written) == Overlay(axis=1, start=0, extent=768, pitch=768)
    beside = place(5, 2304).slice(1, 768, 768)  # keys between queries and values
    assert overlay(beside, 1, place(5, 2304)) == Overlay(axis=1, start=768, extent=768, pitch=2304)


def test_an_axis_that_goes_through_others_is_not() -> None:
    written = place(6, 8)
    assert overlay(Place(0, DType.FLOAT, (4, 12), (12, 1)), 1, written) is None  # 12 columns cross rows of 8
    assert overlay(written.slice(1, 0, 8, 1), 1, Place(0, DType.FLOAT, (6, 8), (8, 1), 3)) is None


def test_a_compacted_place_keeps_the_slice_alone() -> None:
    narrow = compacted(place(5, 768).slice(1, 0, 256), 768, 256, 7, 0)
    assert narrow is not None and (narrow.buffer, narrow.dims, narrow.strides) == (7, (5, 256), (256, 1))


def test_the_sum_before_is_added_first() -> None:
    alone = adding_first(None, 3)
    assert only_adds(alone) and (alone.n_in, alone.first_operand) == (2, 3)
    tile = step_of(lowered("t (float[4] x, float[4] z) => (float[4] y) { y = Sub (x, z) }"), "Tile").tile
    assert tile is not None and not only_adds(tile)
    more = adding_first(tile, 2)
    assert more.n_in == tile.n_in + 1 and more.names == ["add_f32", "sub_f32"]
    add, subtract = more.instructions
    assert add[2:4] == (0, 2)  # the block and the new operand, which is the last
    assert subtract[2] == add[1]  # what came first is what the rest works on
    assert subtract[3] == 1


def test_only_sums_of_operands_are_only_adds() -> None:
    spec = adding_first(adding_first(None, 3), 4)
    assert spec.names == ["add_f32", "add_f32"] and only_adds(spec)
