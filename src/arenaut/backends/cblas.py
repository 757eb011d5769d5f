"""The CBLAS backend: f32 matrix products by OpenBLAS, for comparison.

The library is that of the package scipy-openblas32, loaded when the backend is first asked for.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final

import numpy as np

from arenaut import _native
from arenaut.backends.reference import read_input
from arenaut.lowering.build import Built
from arenaut.lowering.program import LoweredStep, StepKind
from arenaut.native.arrays import to_native

_ROW_MAJOR: Final = 101
_PLAIN: Final = 111

Array = np.ndarray[Any, Any]


class CblasMissingError(ImportError):
    """scipy-openblas32 is not installed."""


@cache
def _sgemm() -> Callable[..., None]:
    try:
        package = import_module("scipy_openblas32")
    except ImportError as error:
        raise CblasMissingError("the cblas backend needs OpenBLAS: pip install scipy-openblas32") from error
    library = ctypes.CDLL(os.path.join(package.get_lib_dir(), package.get_library(fullname=True)))
    library.scipy_openblas_set_num_threads(ctypes.c_int(1))
    function: Callable[..., None] = library.scipy_cblas_sgemm
    return function


def sgemm(a: Array, b: Array, out: Array) -> None:
    """out = a @ b on one thread: row-major f32 matrices, [M, K] by [K, N]. Raises CblasMissingError."""
    (m, k), n = a.shape, b.shape[1]
    i, real = ctypes.c_int, ctypes.c_float
    at_a, at_b, at_out = (ctypes.c_void_p(x.ctypes.data) for x in (a, b, out))
    how = (i(_ROW_MAJOR), i(_PLAIN), i(_PLAIN), i(m), i(n), i(k))
    _sgemm()(*how, real(1), at_a, i(k), at_b, i(n), real(0), at_out, i(n))


def product(a: Array, b: Array) -> Array:
    """np.matmul of f32 arrays of rank 2 and more, matrix by matrix."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = np.zeros((*lead, a.shape[-2], b.shape[-1]), np.float32)
    left, right = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (a, b))
    if out.size and a.shape[-1]:
        for at in np.ndindex(*lead):
            sgemm(np.ascontiguousarray(left[at]), np.ascontiguousarray(right[at]), out[at])
    return out


class CblasBackend:
    """Runs MatMul nodes on f32 that nothing was fused with; leaves the rest to the next backend."""

    name = "cblas"

    def __init__(self) -> None:
        _sgemm()

    def run_step(self, built: Built, run: _native.Run, step: LoweredStep) -> bool:
        node = step.node
        kernel = step.kind is StepKind.KERNEL and step.row is not None and step.row.name == "matmul_f32"
        if not kernel or node.key != ("", "MatMul") or step.tile is not None:
            return False
        values = [v for v in node.inputs if v is not None]
        output = node.outputs[0]
        known = all(v.constant is not None or id(v) in built.value_ids for v in values)
        whole = output is not None and id(output) in built.value_ids  # not made slice by slice
        if output is None or not whole or not known or any(len(v.shape) < 2 for v in values):
            return False
        a, b = (np.asarray(read_input(built, run, v), np.float32) for v in values)
        run.step()
        run.write(built.value_ids[id(output)], to_native(product(a, b)))
        return True
