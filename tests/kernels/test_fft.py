"""The Fft rows against numpy's transform in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

ROWS = rows("fft_f32") + rows("fft_f64")
LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 20, 30, 61, 122, 128, 200, 243, 343, 400, 512, 625, 1000, 1024, 1331]


def row_id(row: dict[str, Any]) -> str:
    return f"{row['name']}-tier{row['tier']}"


def dtype_of(row: dict[str, Any]) -> type:
    return np.float64 if row["name"].endswith("f64") else np.float32


def roots(length: int, dtype: type) -> np.ndarray:
    turn = np.exp(-2j * np.pi * np.arange(length) / length)
    return np.stack([turn.real, turn.imag], -1).astype(dtype)


def numbers(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    return wide[..., 0] if x.shape[-1] == 1 else wide[..., 0] + 1j * wide[..., 1]


def oracle(x: np.ndarray, length: int, inverse: int, half: int) -> np.ndarray:
    if inverse and half:
        return np.fft.irfft(numbers(x), length)[..., np.newaxis]
    result = np.fft.ifft(numbers(x), length) if inverse else np.fft.fft(numbers(x), length)
    result = result[..., : length // 2 + 1] if half else result
    return np.stack([result.real, result.imag], -1)


def check(row: dict[str, Any], x: np.ndarray, length: int, inverse: int, half: int, window: Any, rng: Any) -> None:
    dtype = dtype_of(row)
    framed = x if window is None else x * window.astype(np.float64)[:, np.newaxis]
    want = oracle(framed, length, inverse, half)
    inputs = [place(x, rng), roots(length, dtype), window]
    blob = params_blob("Fft", {"length": length, "inverse": inverse, "half": half})
    (got,) = run(row, inputs, [(want.shape, dtype)], rng, params=blob)
    size = np.sqrt((np.abs(framed[..., :length, :]) ** 2).sum((-1, -2)))[..., np.newaxis, np.newaxis]
    most = 8 * np.finfo(dtype).eps * (1 + np.log2(length)) * size / (np.sqrt(length) if inverse else 1)
    assert (np.abs(got - want) <= most + np.finfo(dtype).tiny).all(), (length, np.abs(got - want).max(), most.max())


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("length", LENGTHS)
def test_transforms_of_every_kind(row: dict[str, Any], length: int) -> None:
    rng = np.random.default_rng(length)
    dtype = dtype_of(row)
    for lead in ((1,), (3, 7)):
        for width in (1, 2):
            x = rng.standard_normal((*lead, length, width)).astype(dtype)
            for inverse in (0, 1):
                check(row, x, length, inverse, 0, None, rng)
            check(row, x, length, 0, 1, None, rng)
        spectrum = rng.standard_normal((*lead, length // 2 + 1, 2)).astype(dtype)
        check(row, spectrum, length, 1, 1, None, rng)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_lines_are_cut_padded_and_windowed(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    dtype = dtype_of(row)
    for points, length in ((10, 16), (25, 16), (13, 15), (15, 13), (7, 7)):
        for width in (1, 2):
            x = rng.standard_normal((2, 9, points, width)).astype(dtype)
            check(row, x, length, 0, 1, rng.standard_normal(points).astype(dtype), rng)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_frames_that_overlap_are_read_in_place(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    dtype = dtype_of(row)
    signal, length, step = rng.standard_normal(300).astype(dtype), 40, 7
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::step][np.newaxis, ..., np.newaxis]
    want = oracle(frames, length, 0, 1)
    blob = params_blob("Fft", {"length": length, "inverse": 0, "half": 1})
    out = np.zeros(want.shape, dtype)
    assert call(row, [frames, roots(length, dtype), None], [out], params=blob)["status"] == 0
    np.testing.assert_allclose(out, want, rtol=0, atol=400 * np.finfo(dtype).eps)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_a_line_does_not_depend_on_its_neighbours(row: dict[str, Any]) -> None:
    dtype = dtype_of(row)
    x = np.random.default_rng(2).standard_normal((40, 24, 1)).astype(dtype)
    x[3, 5] = np.nan
    blob = params_blob("Fft", {"length": 24, "inverse": 0, "half": 1})
    whole = np.zeros((40, 13, 2), dtype)
    call(row, [x, roots(24, dtype), None], [whole], params=blob)
    assert np.isnan(whole[3]).any() and not np.isnan(np.delete(whole, 3, 0)).any()


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_what_the_rows_do_not_do_is_refused(row: dict[str, Any]) -> None:
    dtype = dtype_of(row)

    def bind(length: int, x: tuple[int, ...], out: tuple[int, ...], half: int = 0) -> int:
        blob = params_blob("Fft", {"length": length, "inverse": 0, "half": half})
        operands = [np.zeros(x, dtype), roots(length, dtype), None]
        return call(row, operands, [np.zeros(out, dtype)], params=blob)["bind_status"]

    assert bind(67, (3, 67, 1), (3, 67, 2)) == 1  # a prime over 61
    assert bind(16, (3, 16, 1), (3, 16, 2)) == 0
    assert bind(16, (3, 16, 3), (3, 16, 2)) == 2
    assert bind(16, (3, 16, 1), (3, 9, 2)) == 2
    assert bind(16, (3, 16, 1), (4, 9, 2), half=1) == 2
