"""Convolutions and pools, over images as models have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.grids.case import Case, blob, channels_last, noise, types

Row = Mapping[str, Any]


def _window(row: Row, kernel: int, stride: int, pad: int, **more: Any) -> bytes:
    sizes = {"spatial": 2, "kernel": [kernel] * 2, "strides": [stride] * 2, "dilations": [1, 1], "pads": [pad] * 4}
    return blob(row, **sizes, **more)


def _convolution(row: Row, name: str, c: int, size: int, o: int, kernel: int, stride: int = 1, group: int = 1,
                 last: bool = False) -> Case:  # fmt: skip
    pad, quantised = kernel // 2, row["family"] == "QConv"
    inputs, _ = types(row)
    x, w = noise((1, c, size, size), inputs[0]), noise((o, c // group, kernel, kernel), inputs[1])
    out = (size + 2 * pad - kernel) // stride + 1
    y = np.zeros((1, o, out, out), np.int32 if quantised else np.float32)
    if last:
        x, y = channels_last(x), channels_last(y)
    rest = [None] * 5 if quantised else [noise((o,))]
    label = f"{name} {c}x{size} -> {o}, {kernel}x{kernel}/{stride}{' channels-last' if last else ''}"
    rounded = {"rounded": 1} if row["family"] == "HalfConv" else {}
    return Case(label, [x, w, *rest], [y], _window(row, kernel, stride, pad, group=group, **rounded),
                2.0 * w.size * out * out, (1,))  # fmt: skip


DEPTHWISE = ((32, 112, 3, 1), (96, 112, 3, 2), (144, 56, 3, 1), (240, 28, 5, 1), (480, 14, 3, 1), (672, 14, 5, 2),
             (960, 7, 5, 1))  # fmt: skip
"""Layers of MobileNets: channels, pixels a side, taps a side, stride."""


def conv(row: Row) -> Iterator[Case]:
    """Layers of ResNets and MobileNets, channels first and last."""
    for last in (False, True):
        yield _convolution(row, "stem", 3, 224, 64, 7, 2, last=last)
        for c, size in ((64, 56), (128, 28), (256, 14), (512, 7)):
            yield _convolution(row, "3x3", c, size, c, 3, last=last)
            yield _convolution(row, "expand", c, size, 4 * c, 1, last=last)
            yield _convolution(row, "reduce", 4 * c, size, c, 1, last=last)
        yield _convolution(row, "down", 256, 56, 512, 1, 2, last=last)
        for c, size, kernel, stride in DEPTHWISE:
            yield _convolution(row, "depthwise", c, size, c, kernel, stride, c, last)


def conv_transpose(row: Row) -> Iterator[Case]:
    """Upsampling by two: by windows that meet (2x2) and that overlap (4x4)."""
    for c, size, o, kernel, pad in ((128, 28, 64, 2, 0), (64, 56, 32, 2, 0), (128, 28, 64, 4, 1), (64, 56, 32, 4, 1)):
        x, w = channels_last(noise((1, c, size, size))), noise((c, o, kernel, kernel))
        y = channels_last(np.zeros((1, o, 2 * size, 2 * size), np.float32))
        yield Case(f"{c}x{size} -> {o}, {kernel}x{kernel}/2", [x, w, noise((o,))], [y],
                   _window(row, kernel, 2, pad, group=1), 2.0 * w.size * size * size, (1,))  # fmt: skip


def pool(row: Row) -> Iterator[Case]:
    dtype = types(row)[0][0]
    more = {"p": 2} if row["family"] == "LpPool" else {}
    for last in (False, True):
        for c, size, stride in ((64, 112, 2), (192, 28, 1)):
            x, out = noise((1, c, size, size), dtype), (size - 1) // stride + 1
            y = np.zeros((1, c, out, out), dtype)
            if last:
                x, y = channels_last(x), channels_last(y)
            yield Case(f"{c}x{size}, 3x3/{stride}{' channels-last' if last else ''}", [x], [y],
                       _window(row, 3, stride, 1, **more), 9.0 * y.size)  # fmt: skip


WINDOWS = {"Conv": conv, "HalfConv": conv, "QConv": conv, "ConvTranspose": conv_transpose, "MaxPool": pool,
           "AveragePool": pool, "LpPool": pool}  # fmt: skip
