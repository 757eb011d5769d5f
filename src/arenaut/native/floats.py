"""Floats as kernels compute with them."""

from __future__ import annotations

from functools import cache

import numpy as np

from arenaut import _native


class KernelFloats:
    """On this thread denormal operands and results count as zero, as they do while kernels run."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        _remember_limits()
        self._before = _native.flush_denormals()

    def __exit__(self, *_: object) -> None:
        _native.restore_floats(self._before)


@cache
def _remember_limits() -> None:
    """numpy works out the smallest denormal when it is first asked, and keeps what it found."""
    for dtype in (np.float16, np.float32, np.float64):
        np.finfo(dtype)
