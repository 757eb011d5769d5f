"""Builds tile programs for tests, and arrays that show a write outside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from arenaut import _native

FUNCTIONS = {name: (index, result, [t for t in (a, b, c) if t]) for index, (name, result, a, b, c) in
             enumerate(_native.tile_functions())}  # fmt: skip

F32, I32, I64, BOOL, F64, U64 = 1, 6, 7, 9, 11, 13
COMPUTE = {np.dtype(t): n for t, n in {
    np.float32: F32, np.float64: F64, np.int32: I32, np.int64: I64, np.uint64: U64, np.bool_: BOOL,
    np.int8: I32, np.uint8: I32, np.int16: I32, np.uint16: I32, ml_dtypes.int4: I32, ml_dtypes.uint4: I32,
    np.uint32: I64, np.float16: F32, ml_dtypes.bfloat16: F32, ml_dtypes.float8_e4m3fn: F32,
    ml_dtypes.float8_e4m3fnuz: F32, ml_dtypes.float8_e5m2: F32, ml_dtypes.float8_e5m2fnuz: F32,
    ml_dtypes.float4_e2m1fn: F32, ml_dtypes.float8_e8m0fnu: F32,
}.items()}  # fmt: skip
NUMPY = {F32: np.float32, F64: np.float64, I32: np.int32, I64: np.int64, U64: np.uint64, BOOL: np.bool_,
         2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 10: np.float16}  # fmt: skip


def bits(value: float, dtype: int) -> int:
    """The bit pattern of an immediate of a compute type."""
    return int.from_bytes(np.array(value, NUMPY[dtype]).tobytes(), "little")


def program(
    inputs: Sequence[int],
    steps: Sequence[Sequence[Any]],
    outputs: Sequence[Any],
    immediates: Sequence[tuple[float, int]] = (),
    first_operand: int = 0,
) -> Any:
    """inputs: compute types; steps: (destination, function, *sources) by register name.

    Registers are "i0", "i1", ... (inputs), "k0", ... (immediates), anything else a temporary.
    """
    names = [f"i{n}" for n in range(len(inputs))] + [f"k{n}" for n in range(len(immediates))]
    types = [*inputs, *(t for _, t in immediates)]
    code = []
    for destination, function, *sources in steps:
        index, result, _ = FUNCTIONS[function]
        if destination not in names:
            names.append(destination)
            types.append(result)
        registers = [names.index(s) for s in sources] + [0] * (3 - len(sources))
        code.append((index, names.index(destination), *registers))
    return _native.TileProgram(types, len(inputs), [bits(v, t) for v, t in immediates], code,
                               [names.index(o) for o in outputs], first_operand)  # fmt: skip


def lone(function: str) -> Any:
    """A program of one instruction."""
    _, _, arguments = FUNCTIONS[function]
    return program(arguments, [("t", function, *(f"i{n}" for n in range(len(arguments))))], ["t"])


class Guarded:
    """An array inside a larger buffer of sentinel bytes; `intact` says whether the rest was left alone."""

    def __init__(self, shape: Sequence[int], dtype: Any, order: Sequence[int] | None = None,
                 steps: Sequence[int] | None = None, pad: int = 67) -> None:  # fmt: skip
        """order: dims from the slowest to the fastest in memory; steps: of each dim, negative runs backwards."""
        rank = len(shape)
        order = list(range(rank)) if order is None else list(order)
        steps = [1] * rank if steps is None else list(steps)
        extent = [max(1, n * abs(s)) for n, s in zip(shape, steps, strict=True)]
        size = np.dtype(dtype).itemsize
        total = int(np.prod([extent[d] for d in order], dtype=np.int64))
        self.bytes = np.full((total + 2 * pad) * size, 0x5B, np.uint8)
        body = self.bytes[pad * size : (pad + total) * size].view(dtype).reshape([extent[d] for d in order])
        body = body.transpose(np.argsort(order)) if rank else body.reshape(())
        stepped = body[(..., *(slice(None, None, s) for s in steps))]
        self.array = stepped[(..., *(slice(0, n) for n in shape))]

    def intact(self, before: np.ndarray) -> bool:
        """Whether every byte outside the array equals `before` (a copy of .bytes)."""
        keep = self.bytes.copy()
        inside = self.array.copy()
        self.bytes[:] = before
        self.array[...] = inside
        same = bool(np.array_equal(self.bytes, keep))
        self.bytes[:] = keep
        return same


@st.composite
def layouts(draw: Any, shape: list[int], dtype: Any) -> Guarded:
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, -1])) for _ in shape]
    if shape:
        steps[draw(st.integers(0, len(shape) - 1))] = draw(st.sampled_from([1, 2, -3]))
    return Guarded(shape, dtype, order, steps, pad=draw(st.integers(64, 80)))


def fill(guarded: Guarded, seed: int, low: int = -100, high: int = 100) -> np.ndarray:
    values = np.random.default_rng(seed).integers(low, high, guarded.array.shape)
    guarded.array[...] = values.astype(guarded.array.dtype)
    return guarded.array
