"""Floats as kernels compute with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from arenaut import _native


@contextmanager
def kernel_floats() -> Iterator[None]:
    """On this thread denormal operands and results count as zero, as they do while kernels run."""
    _remember_limits()
    before = _native.flush_denormals()
    try:
        yield
    finally:
        _native.restore_floats(before)


@cache
def _remember_limits() -> None:
    """numpy works out the smallest denormal when it is first asked, and keeps what it found."""
    for dtype in (np.float16, np.float32, np.float64):
        np.finfo(dtype)
