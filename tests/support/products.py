"""What the tests of products and convolutions share: the tolerance rule, and arrays that end where memory does."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tests.support.guard import place

PRODUCT_C = 8.0


def assert_product(got: np.ndarray, want: np.ndarray, magnitude: np.ndarray, terms: int, c: float = PRODUCT_C) -> None:
    """|got - want| <= c * eps * sqrt(terms) * magnitude + smallest normal; `want` is NaN or infinite where got must be.

    `want` and `magnitude` (the same sum over absolute values) are float64.
    """
    info = np.finfo(got.dtype)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(got[~finite & ~np.isnan(want)], want[~finite & ~np.isnan(want)])
    bound = c * info.eps * np.sqrt(max(terms, 1)) * magnitude[finite] + info.tiny
    error = np.abs(got[finite].astype(np.float64) - want[finite])
    assert (error <= bound).all(), f"error {np.max(error / bound):.3g} times the bound"


@contextmanager
def at_page_end(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Dense copies whose last element is the last of a mapped page: touching what follows is a segmentation fault."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    maps, copies = [], []
    for array in arrays:
        size = -(-max(array.nbytes, 1) // page) * page
        memory = mmap.mmap(-1, size + page)
        start = np.frombuffer(memory, np.uint8).ctypes.data
        assert libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(page), 0) == 0
        copy = np.ndarray(array.shape, array.dtype, memory, size - array.nbytes)
        copy[...] = array
        maps.append((memory, start, size))
        copies.append(copy)
    yield copies
    for _, start, size in maps:
        libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE)


def last_axis_channels(x: np.ndarray) -> np.ndarray:
    """The same dims with channels innermost in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def layout(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(3)
    return x if kind == 0 else last_axis_channels(x) if kind == 1 else place(x, rng)
