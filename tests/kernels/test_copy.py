from __future__ import annotations

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

SIZES = [np.uint8, np.float16, np.float32, np.float64, np.complex128]


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows(name), ids=lambda r: f"tier{r['tier']}")


def some(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) * 7 % 251).astype(dtype).reshape(shape)


@each("copy")
@pytest.mark.parametrize("dtype", SIZES)
def test_copies_any_strides_both_ways(row: dict, dtype: type) -> None:
    source = some((2, 3, 4, 5), dtype)
    views = [source, source.transpose(0, 2, 3, 1), source[:, ::-1, ::2], np.broadcast_to(source[:, :1], (2, 7, 4, 5))]
    for view in views:
        for order in "CF":
            target = np.zeros(view.shape, dtype, order=order)
            assert call(row, [view], [target], parts=3)["status"] == 0
            np.testing.assert_array_equal(target, view)


@each("copy")
@pytest.mark.parametrize("dtype", SIZES)
def test_copies_random_layouts_and_touches_nothing_else(row: dict, dtype: type) -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(0, 7)))
        view = place(some(shape, dtype), rng, zero=True)
        (got,) = run(row, [view], [(shape, dtype)], rng, parts=(1, 3))
        np.testing.assert_array_equal(got, view)


@each("copy")
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("shape", [(70, 300), (1000, 3), (3, 1000), (2, 129, 130), (2, 40, 3, 40), (9, 8, 17, 5)])
def test_copies_transposes_larger_than_a_block(row: dict, dtype: type, shape: tuple[int, ...]) -> None:
    source = some(shape, dtype)
    for view in [np.swapaxes(source, -1, -2), np.moveaxis(source, 0, -1), source[..., ::-1].T]:
        (got,) = run(row, [view], [(view.shape, dtype)])
        np.testing.assert_array_equal(got, view)


@each("copy")
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("width", [1, 3, 9, 40])
def test_enlarges(row: dict, dtype: type, width: int) -> None:
    source = some((2, 3, 5, width), dtype)
    for tall, wide in [(1, 2), (2, 2), (3, 4), (2, 9), (4, 1)]:
        view = np.broadcast_to(source[:, :, :, None, :, None], (2, 3, 5, tall, width, wide))
        (got,) = run(row, [view], [(view.shape, dtype)], parts=(1, 3))
        np.testing.assert_array_equal(got, view)


@each("copy")
@pytest.mark.parametrize("dtype", SIZES)
def test_repeats_a_dense_piece(row: dict, dtype: type) -> None:
    for shape, times in [((3, 5), 2), ((2, 7), 400), ((1, 300), 33), ((2, 3, 16), 9), ((40, 200), 3)]:
        source = some(shape, dtype)
        for piece in [source, source.T, source[::-1], np.broadcast_to(source[:, None], (shape[0], 4, *shape[1:]))]:
            view = np.broadcast_to(piece, (times, *piece.shape))
            (got,) = run(row, [view], [(view.shape, dtype)], parts=(1, 3))
            np.testing.assert_array_equal(got, view)
    a = np.broadcast_to(some((2, 64), dtype)[:, ::-1], (300, 2, 64))
    assert call(row, [a], [np.empty(a.shape, dtype)])["variant"] == "periods"


@each("copy")
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("step", [2, 3, 4, 8])
def test_copies_every_second_or_fourth_element(row: dict, dtype: type, step: int) -> None:
    for length in range(1, 80, 3):
        source = some((3, length * step), dtype)[:, step - 1 :: step]
        (got,) = run(row, [source], [(source.shape, dtype)])
        np.testing.assert_array_equal(got, source)


@each("copy")
@pytest.mark.parametrize("run_bytes", [*range(1, 70), 1000])
def test_copies_short_runs_exactly(row: dict, run_bytes: int) -> None:
    rng = np.random.default_rng(run_bytes)
    source = rng.integers(0, 200, (11, run_bytes + 3)).astype(np.uint8)[:, 1:-2]
    (got,) = run(row, [source], [(source.shape, np.uint8)], rng)
    np.testing.assert_array_equal(got, source)


@each("copy")
def test_variants_and_tasks_depend_on_the_layout(row: dict) -> None:
    a = np.zeros((512, 512), np.float32)
    assert call(row, [a], [np.empty_like(a)])["variant"] == "runs"
    assert call(row, [a.T], [np.empty_like(a)])["variant"] == "transpose"
    assert call(row, [a[:, ::2]], [np.empty((512, 256), np.float32)])["variant"] == "strided"
    assert call(row, [a], [np.empty_like(a)])["tasks"] > 1
    assert call(row, [a[:1]], [np.empty_like(a[:1])])["tasks"] == 1
    assert call(row, [a[:0]], [np.empty_like(a[:0])])["tasks"] == 0


@each("copy")
def test_rejects_other_dims_and_overlapping_outputs(row: dict) -> None:
    a = np.zeros((4, 4), np.float32)
    assert call(row, [a], [np.zeros((4, 5), np.float32)])["status"] == 2
    assert call(row, [a], [np.zeros((4, 4), np.int32)])["status"] == 2
    assert call(row, [a], [np.broadcast_to(np.zeros(4, np.float32), (4, 4))])["status"] == 1


@each("fill")
@pytest.mark.parametrize("dtype", SIZES)
def test_fills_any_layout(row: dict, dtype: type) -> None:
    rng = np.random.default_rng(3)
    value = np.array([3 - 2j if dtype is np.complex128 else 3], dtype)
    bits = np.frombuffer(value.tobytes().ljust(16, b"\0"), np.int64)
    for shape in [(), (0, 3), (1,), (70000,), (5, 6, 7), (33, 2, 9, 3)]:
        (got,) = run(row, [], [(shape, dtype)], rng, params=params_blob("Fill", {"bits": bits}))
        np.testing.assert_array_equal(got, np.full(shape, value[0]))
