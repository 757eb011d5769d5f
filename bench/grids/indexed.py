"""Rows that make or read places, counts and draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.grids.case import Case, blob, noise, types

Row = Mapping[str, Any]


def _sparse(shape: tuple[int, ...]) -> Any:
    return (np.random.default_rng(0).random(shape) < 0.25).astype(np.float32)


def non_zero_count(row: Row) -> Iterator[Case]:
    yield Case("quarter of 1024x1024", [_sparse((1024, 1024))], [np.zeros(1, np.int64)])


def non_zero_fill(row: Row) -> Iterator[Case]:
    x = _sparse((1024, 1024))
    yield Case("quarter of 1024x1024", [x], [np.zeros((2, np.count_nonzero(x)), np.int64)])


def range_row(row: Row) -> Iterator[Case]:
    dtype = types(row)[0][0]
    for count in (1 << 10, 1 << 20):
        yield Case(str(count), [np.array(0, dtype), np.array(1, dtype)], [np.zeros(count, dtype)])


def range_count(row: Row) -> Iterator[Case]:
    dtype = types(row)[0][0]
    yield Case("one", [np.array(v, dtype) for v in (0, 1000, 1)], [np.zeros(1, np.int64)])


def trilu(row: Row) -> Iterator[Case]:
    for n in (128, 1024):
        yield Case(f"{n}x{n}", [noise((n, n))], [np.zeros((n, n), np.float32)], blob(row, upper=0))


def one_hot(row: Row) -> Iterator[Case]:
    at = np.random.default_rng(0).integers(0, 1000, 512).astype(types(row)[0][0])
    values = np.array([0, 1], np.float32)
    yield Case("512 of 1000", [at, values], [np.zeros((512, 1000), np.float32)], blob(row, axis=1))


def reverse_sequence(row: Row) -> Iterator[Case]:
    x, lengths = noise((128, 16, 256)), np.full(16, 100, np.int64)
    yield Case("100 of 128 steps, 16x256", [x, lengths], [np.zeros_like(x)], blob(row, time_axis=0, batch_axis=1))


def unique(row: Row) -> Iterator[Case]:
    n, dtype = 1 << 16, types(row)[0][0]
    x = np.random.default_rng(0).integers(0, 1000, n).astype(dtype)
    outputs = [np.zeros(n, dtype), *(np.zeros(n, np.int64) for _ in range(3)), np.zeros(1, np.int64)]
    yield Case(f"1000 among {n}", [x], outputs, blob(row, sorted=1))


def gram_counts(row: Row) -> Iterator[Case]:
    dtype, words, columns = types(row)[0][0], np.arange(64), np.arange(64)
    x = np.random.default_rng(0).integers(0, 80, (256, 64)).astype(dtype)
    tables = [words, words + 1, columns, np.ones(64, np.float32)]
    params = blob(row, mode=0, smallest=1, largest=1, steps=1, base=65, begin=[0, *[64] * 16])
    yield Case("256 rows of 64, 64 words", [x, *tables], [np.zeros((256, 64), np.float32)], params, constant=(3,))


def draw(row: Row) -> Iterator[Case]:
    dtype = types(row)[1][0]
    for kind, name in enumerate(("uniform", "normal") if dtype == np.float32 else ("uniform",)):
        params = blob(row, kind=kind, seeded=0, seed=0, first=0.0, second=1.0)
        yield Case(f"{name}, 1024x64", [], [np.zeros((1024, 64), dtype)], params)


def multinomial(row: Row) -> Iterator[Case]:
    draws = np.random.default_rng(0).random((128, 4))
    yield Case("4 of 64, 128 rows", [noise((128, 64)), draws], [np.zeros((128, 4), np.int32)])


def mel_weights(row: Row) -> Iterator[Case]:
    integers = [np.array(n, np.int64) for n in (80, 512, 16000)]
    bounds = [np.array(f, np.float32) for f in (20, 7600)]
    yield Case("80 bands, 512 points", [*integers, *bounds], [np.zeros((257, 80), np.float32)])


INDEXED = {"NonZeroCount": non_zero_count, "NonZeroFill": non_zero_fill, "Range": range_row,
           "RangeCount": range_count, "Trilu": trilu, "OneHot": one_hot, "ReverseSequence": reverse_sequence,
           "Unique": unique, "GramCounts": gram_counts, "Draw": draw,
           "Multinomial": multinomial, "MelWeights": mel_weights}  # fmt: skip
