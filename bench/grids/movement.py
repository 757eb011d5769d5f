"""Copies, gathers and scatters: what moves elements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.grids.case import Case, blob, noise

Row = Mapping[str, Any]


def copy(row: Row) -> Iterator[Case]:
    for m, n in ((128, 768), (1024, 1024), (4096, 4096)):
        x = noise((m, n))
        yield Case(f"{m}x{n}", [x], [np.zeros_like(x)])
        yield Case(f"transpose {m}x{n}", [x.T], [np.zeros((n, m), np.float32)])
    heads = noise((1, 128, 12, 64)).transpose(0, 2, 1, 3)
    yield Case("split heads 128x12x64", [heads], [np.zeros(heads.shape, np.float32)])
    every_other = noise((1024, 1024))[:, ::2]
    yield Case("every other column 1024x512", [every_other], [np.zeros((1024, 512), np.float32)])


def fill(row: Row) -> Iterator[Case]:
    for m, n in ((128, 768), (1024, 1024)):
        yield Case(f"{m}x{n}", [], [np.zeros((m, n), np.float32)], blob(row, bits=[0, 0]))


def _picks(high: int, shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).integers(0, high, shape)


def gather(row: Row) -> Iterator[Case]:
    """Rows of a table of embeddings, and single columns."""
    table = noise((30522, 768))
    for count in (1, 128, 512):
        out = np.zeros((count, 768), np.float32)
        at = _picks(30522, (count,))
        yield Case(f"{count} of 30522x768", [table, at], [out], blob(row, axis=0), touched=2 * out.nbytes)
    out = np.zeros((30522, 16), np.float32)
    yield Case("16 columns of 30522x768", [table, _picks(768, (16,))], [out], blob(row, axis=1),
               touched=2 * out.nbytes)  # fmt: skip


def gather_elements(row: Row) -> Iterator[Case]:
    for m, n in ((128, 768), (1024, 1024)):
        x = noise((m, n))
        yield Case(f"{m}x{n}", [x, _picks(n, (m, n))], [np.zeros_like(x)], blob(row, axis=1))


def gather_nd(row: Row) -> Iterator[Case]:
    table = noise((512, 64, 64))
    out = np.zeros((1000, 64), np.float32)
    yield Case("1000 rows of 512x64x64", [table, _picks(64, (1000, 2))], [out], blob(row, batch_dims=0),
               touched=2 * out.nbytes)  # fmt: skip


def scatter_elements(row: Row) -> Iterator[Case]:
    """Set, and added."""
    for reduction in (0, 1):
        x, at = noise((512, 512)), _picks(512, (512, 512))
        yield Case(f"512x512, reduction {reduction}", [at, x], [np.zeros_like(x)],
                   blob(row, axis=1, reduction=reduction))  # fmt: skip


def scatter_nd(row: Row) -> Iterator[Case]:
    updates, out = noise((1000, 64)), np.zeros((64, 64, 64), np.float32)
    yield Case("1000 rows into 64x64x64", [_picks(64, (1000, 2)), updates], [out], blob(row),
               touched=2 * updates.nbytes)  # fmt: skip


def tensor_scatter(row: Row) -> Iterator[Case]:
    """One token's keys into a cache."""
    update, cache = noise((4, 12, 1, 64)), np.zeros((4, 12, 1024, 64), np.float32)
    yield Case("one row into 4x12x1024x64", [update, _picks(1024, (4,))], [cache], blob(row, axis=2),
               touched=2 * update.nbytes)  # fmt: skip


def pad(row: Row) -> Iterator[Case]:
    """An image reflected by three pixels."""
    for c, size in ((3, 224), (64, 56)):
        x, y = noise((1, c, size, size)), np.zeros((1, c, size + 6, size + 6), np.float32)
        yield Case(f"{c}x{size} by 3", [x], [y], blob(row, mode=0, begin=[0, 0, 3, 3]))


MOVEMENT = {"Copy": copy, "Fill": fill, "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd,
            "ScatterElements": scatter_elements, "ScatterND": scatter_nd, "TensorScatter": tensor_scatter,
            "Pad": pad}  # fmt: skip
