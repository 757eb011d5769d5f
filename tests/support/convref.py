"""Convolutions in float64, tap by tap: the oracle of the convolution tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Spec:
    group: int
    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[int]  # begins, then ends

    @property
    def spatial(self) -> int:
        return len(self.kernel)

    def values(self) -> dict[str, object]:
        return {"group": self.group, "spatial": self.spatial, "kernel": list(self.kernel),
                "strides": list(self.strides), "dilations": list(self.dilations), "pads": list(self.pads)}  # fmt: skip

    def reach(self, axis: int) -> int:
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1

    def output_dims(self, dims: Sequence[int]) -> list[int]:
        n = self.spatial
        room = [dims[i] + self.pads[i] + self.pads[n + i] - self.reach(i) for i in range(n)]
        return [r // s + 1 if r >= 0 else 0 for r, s in zip(room, self.strides, strict=True)]

    def transposed_dims(self, dims: Sequence[int], extra: Sequence[int]) -> list[int]:
        n = self.spatial
        return [
            max(0, (dims[i] - 1) * self.strides[i] + self.reach(i) + extra[i] - self.pads[i] - self.pads[n + i])
            for i in range(n)
        ]


def conv(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, spec: Spec) -> np.ndarray:
    """Conv of x [N, C, ...] with w [O, C / group, ...] in float64."""
    n, o, g = x.shape[0], w.shape[0], spec.group
    out = spec.output_dims(x.shape[2:])
    ends = spec.pads[spec.spatial :]
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(spec.pads[: spec.spatial], ends, strict=True)])
    y = np.zeros((n, g, o // g, int(np.prod(out))))
    weights = w.astype(np.float64).reshape(g, o // g, *w.shape[1:])
    for tap in itertools.product(*map(range, spec.kernel)):
        where = tuple(
            slice(t * d, t * d + s * (m - 1) + 1 if m else t * d, s)
            for t, d, s, m in zip(tap, spec.dilations, spec.strides, out, strict=True)
        )
        part = padded[(slice(None), slice(None), *where)].reshape(n, g, w.shape[1], int(np.prod(out)))
        y += np.einsum("goc,ngcp->ngop", weights[(..., *tap)], part)
    y = y.reshape(n, o, *out)
    return y if b is None else y + b.astype(np.float64).reshape(-1, *[1] * spec.spatial)


def conv_transpose(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, spec: Spec, out: Sequence[int]) -> np.ndarray:
    """ConvTranspose of x [N, C, ...] with w [C, O / group, ...] in float64, by scattering."""
    n, c, g = x.shape[0], x.shape[1], spec.group
    o = w.shape[1] * g
    begins = spec.pads[: spec.spatial]
    reached = replace(spec, pads=[0] * (2 * spec.spatial)).transposed_dims(x.shape[2:], [0] * spec.spatial)
    y = np.zeros((n, o, *(max(r, p + m) for r, p, m in zip(reached, begins, out, strict=True))))
    weights = w.astype(np.float64).reshape(g, c // g, *w.shape[1:])
    source = x.astype(np.float64).reshape(n, g, c // g, -1)
    for tap in itertools.product(*map(range, spec.kernel)):
        where = tuple(
            slice(t * d, t * d + s * (m - 1) + 1, s)
            for t, d, s, m in zip(tap, spec.dilations, spec.strides, x.shape[2:], strict=True)
        )
        part = np.einsum("gco,ngcp->ngop", weights[(..., *tap)], source).reshape(n, o, *x.shape[2:])
        if x.size:
            y[(slice(None), slice(None), *where)] += part
    y = y[(slice(None), slice(None), *(slice(p, p + m) for p, m in zip(begins, out, strict=True)))]
    return y if b is None else y + b.astype(np.float64).reshape(-1, *[1] * spec.spatial)
