"""Constants while programs are built: known by their memory, packed once, held only where they are read as stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.place import Place
from arenaut.lowering.build import build_program
from arenaut.lowering.program import Lowered, Segment
from arenaut.lowering.weights import WeightStore, address_of, dense_copy, dense_view
from tests.support.lowering import TARGET, NoHost, lowered

PRODUCT = "t (float[3, 8] x, float[8, 16] w) => (float[3, 16] y) { y = MatMul (x, w) }"
GATHER = "t (int64[3] i, float[8, 16] w) => (float[3, 16] y) { y = Gather (w, i) }"


def weight() -> Any:
    return np.arange(128, dtype=np.float32).reshape(8, 16)


def build(program: Lowered, store: WeightStore) -> None:
    build_program(program, TARGET, NoHost, weights=store)


def held(program: Lowered) -> list[bool]:
    return [b.array is not None for b in program.buffers if b.segment is Segment.WEIGHT]


def test_arrays_that_show_the_same_memory_are_one_weight() -> None:
    store, array = WeightStore(), weight()
    assert store.number_of(array) == store.number_of(array[:]) != store.number_of(array.copy())
    assert store.number_of(array[1:]) not in (store.number_of(array),)
    assert address_of(array[1:]) == address_of(array) + 64


def test_what_was_packed_is_let_go_and_what_is_read_as_stored_is_held() -> None:
    released: list[Any] = []
    program = lowered(PRODUCT, w=weight())
    build(program, WeightStore((), released.append))
    assert held(program) == [False] and len(released) == 1
    released.clear()
    program = lowered(GATHER, w=weight())
    store = WeightStore((), released.append)
    build(program, store)
    assert held(program) == [True] and not released and store.raw_bytes == 512


def test_programs_that_come_later_find_what_was_packed() -> None:
    store = WeightStore()
    array = weight()
    build(lowered(PRODUCT, w=array), store)
    jobs = len(store.native.jobs())
    build(lowered(PRODUCT, w=array), store)
    assert jobs == 0 == len(store.native.jobs())


def test_a_turned_array_is_dense_in_the_order_of_its_strides() -> None:
    array = weight()
    dense, places = dense_view(array.T)
    assert address_of(dense) == address_of(array) and places == (1, 0)
    dense, places = dense_view(array[:, ::2])
    assert address_of(dense) != address_of(array) and places == (0, 1)
    np.testing.assert_array_equal(dense, array[:, ::2])


def test_a_place_in_a_constant_is_copied_unless_that_grows_it() -> None:
    array = weight()
    turned = Place(0, DType.FLOAT, (16, 8), (1, 16))
    copied = dense_copy(array, turned)
    assert copied is not None
    np.testing.assert_array_equal(copied, array.T)
    assert dense_copy(array, Place(0, DType.FLOAT, (100, 16), (0, 1))) is None  # a broadcast
