"""What works along lines: normalisations, softmax, reductions, running sums, elementwise programs, transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from arenaut.lowering.byte_rows import SCALE_BYTES, rows_as_bytes
from bench.grids.case import Array, Case, blob, noise, types
from tests.support.tileprog import F32, program

Row = Mapping[str, Any]
TABLES = ((128, 768), (1500, 384), (4096, 96))
"""Rows and columns of activations of transformers."""
IMAGES = ((64, 56), (512, 7))
"""Channels and pixels a side."""


def _name(x: Array) -> str:
    return "x".join(map(str, x.shape))


def layer_norm(row: Row) -> Iterator[Case]:
    inputs = types(row)[0]
    for shape in TABLES:
        x, scale = noise(shape, inputs[0]), noise(shape[1:], inputs[0])
        absent = len(inputs) - 2
        yield Case(_name(x), [x, scale, *[None] * absent], [np.zeros_like(x)], blob(row, axis=1, epsilon=1e-5))


def byte_lines(row: Row) -> Iterator[Case]:
    """Softmax and layer normalisation of bytes."""
    for shape in TABLES:
        x, one = noise(shape, np.uint8), np.ones((), np.float32)
        y = np.zeros(shape, np.float32)
        if row["family"] == "QSoftmax":
            yield Case(_name(x), [x, one, None], [y])
        else:
            gain, shift = noise(shape[1:]), noise(shape[1:])
            yield Case(_name(x), [x, gain, one, None, shift], [y], blob(row, epsilon=1e-5))


def lp_norm(row: Row) -> Iterator[Case]:
    for shape in TABLES:
        x = noise(shape, types(row)[0][0])
        yield Case(_name(x), [x], [np.zeros_like(x)], blob(row, axis=1, p=2))


def channel_norm(row: Row) -> Iterator[Case]:
    """Instance, group and batch normalisation: statistics are computed, or operands."""
    inputs = types(row)[0]
    groups = {"num_groups": 8} if row["family"] == "GroupNormalization" else {}
    for c, size in IMAGES:
        x = noise((1, c, size, size), inputs[0])
        each = [np.abs(noise((c,), inputs[0])) + np.asarray(1, inputs[0]) for _ in inputs[1:]]
        yield Case(_name(x), [x, *each], [np.zeros_like(x)], blob(row, epsilon=1e-5, **groups))


def lrn(row: Row) -> Iterator[Case]:
    for c, size in IMAGES:
        x = noise((1, c, size, size), types(row)[0][0])
        yield Case(_name(x), [x], [np.zeros_like(x)], blob(row, size=5, alpha=1e-4, beta=0.75, bias=1.0))


def softmax(row: Row) -> Iterator[Case]:
    for shape in TABLES:
        for axis in (0, 1):
            x = noise(shape, types(row)[0][0])
            yield Case(f"{_name(x)} over {axis}", [x, None], [np.zeros_like(x)], blob(row, axis=axis))


_MAX = 2


def reduce(row: Row) -> Iterator[Case]:
    """Sums; the largest, of types that have no sum. Bytes with a scale and a zero point have one of floats."""
    (dtype, *scales), (result, *_) = types(row)
    kind = _MAX if np.dtype(result).itemsize == 1 else 0
    more = [np.ones((), each) for each in scales]
    for shape in TABLES:
        for axis in (0, 1):
            x = noise(shape, dtype)
            y = np.zeros([1 if i == axis else n for i, n in enumerate(shape)], result)
            yield Case(f"{_name(x)} over {axis}", [x, *more], [y], blob(row, kind=kind, axes=1 << axis))


def arg_reduce(row: Row) -> Iterator[Case]:
    for shape in TABLES:
        for axis in (0, 1):
            x = noise(shape, types(row)[0][0])
            y = np.zeros([1 if i == axis else n for i, n in enumerate(shape)], np.int64)
            yield Case(f"{_name(x)} over {axis}", [x], [y], blob(row, axis=axis))


def running(row: Row) -> Iterator[Case]:
    for shape in TABLES:
        x = noise(shape, types(row)[0][0])
        yield Case(f"{_name(x)} over 1", [x], [np.zeros_like(x)], blob(row, axis=1))


def top_k(row: Row) -> Iterator[Case]:
    for m, n, k in ((1, 50257, 50), (128, 768, 8)):
        x = noise((m, n), types(row)[0][0])
        yield Case(f"{k} of {_name(x)}", [x], [np.zeros((m, k), x.dtype), np.zeros((m, k), np.int64)],
                   blob(row, axis=1, largest=1))  # fmt: skip


def tile(row: Row) -> Iterator[Case]:
    for m, n in ((128, 768), (1024, 1024), (4096, 4096)):
        x, y, bias = noise((m, n)), noise((m, n)), noise((n,))
        for name, inputs in (("add_f32", [x, y]), ("mul_f32", [x, bias]), ("relu_f32", [x]), ("gelu_f32", [x])):
            steps = [("r", name, *(f"i{k}" for k in range(len(inputs))))]
            form = "broadcast" if inputs[-1] is bias else "dense"
            yield Case(f"{name} {form} {m}x{n}", inputs, [np.zeros_like(x)],
                       tile=program([F32] * len(inputs), steps, ["r"]))  # fmt: skip


def rotary(row: Row) -> Iterator[Case]:
    for heads, length, size in ((12, 128, 64), (32, 512, 128)):
        x, angles = noise((1, heads, length, size)), noise((1, length, size // 2))
        yield Case(_name(x), [x, angles, angles, None], [np.zeros_like(x)], blob(row, width=size))


def fft(row: Row) -> Iterator[Case]:
    """Frames of speech, whole and by the real half of their spectrum."""
    dtype = types(row)[0][0]
    for lines, length in ((1, 4096), (100, 512), (100, 400)):
        turn = np.exp(-2j * np.pi * np.arange(length) / length)
        roots = np.stack([turn.real, turn.imag], -1).astype(dtype)
        x, y = noise((lines, length, 1), dtype), np.zeros((lines, length // 2 + 1, 2), dtype)
        yield Case(f"{lines} of {length}", [x, roots, None], [y], blob(row, length=length, half=1),
                   2.5 * lines * length * float(np.log2(length)))  # fmt: skip


def range_parts(row: Row) -> Iterator[Case]:
    for size in (1 << 16, 1 << 20):
        yield Case(str(size), [noise((size,))], [np.zeros((64, 2), np.float32)])


def dynamic_quantize(row: Row) -> Iterator[Case]:
    for size in (1 << 16, 1 << 20):
        x = noise((size,))
        parts = np.tile(np.array([[x.min(), x.max()]], np.float32), (64, 1))
        outputs = [np.zeros(size, np.uint8), np.zeros((), np.float32), np.zeros((), np.uint8)]
        yield Case(str(size), [x, parts], outputs)


def floats_to_bytes(row: Row) -> Iterator[Case]:
    for rows, numbers in ((16, 128), (4096, 128)):
        yield Case(f"{rows}x{numbers}", [noise((rows, numbers))], [np.zeros((rows, numbers + SCALE_BYTES), np.int8)])


def bytes_to_floats(row: Row) -> Iterator[Case]:
    for rows, numbers in ((16, 128), (4096, 128)):
        yield Case(
            f"{rows}x{numbers}", [rows_as_bytes(noise((rows, numbers)))], [np.zeros((rows, numbers), np.float32)]
        )


LINES: Mapping[str, Callable[[Row], Iterator[Case]]] = {
    "LayerNormalization": layer_norm, "RMSNormalization": layer_norm, "LpNormalization": lp_norm,
    "InstanceNormalization": channel_norm, "GroupNormalization": channel_norm, "BatchNormalization": channel_norm,
    "QLayerNormalization": byte_lines, "QSoftmax": byte_lines,
    "LRN": lrn, "Softmax": softmax, "LogSoftmax": softmax, "Reduce": reduce, "ArgReduce": arg_reduce,
    "CumSum": running, "CumProd": running, "TopK": top_k, "Tile": tile, "Rotary": rotary, "Fft": fft,
    "RangeParts": range_parts, "DynamicQuantize": dynamic_quantize,
    "FloatsToBytes": floats_to_bytes, "BytesToFloats": bytes_to_floats,
}  # fmt: skip
