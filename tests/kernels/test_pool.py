from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.products import assert_product, at_page_end, last_axis_channels, layout
from tests.support.rowcall import call, params_blob, rows
from tests.support.tileprog import F32, program

MAX = rows("max_pool_f32") + rows("max_pool_f64")
AVERAGE = rows("average_pool_f32") + rows("average_pool_f64")
LP = rows("lp_pool_f32") + rows("lp_pool_f64")


def row_id(row: dict[str, Any]) -> str:
    return f"{row['name']}-tier{row['tier']}"


def dtype_of(row: dict[str, Any]) -> type:
    return np.float64 if row["name"].endswith("f64") else np.float32


@dataclass
class Window:
    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]  # begins, then ends
    dims: list[int]  # of the input
    out: list[int]

    @classmethod
    def random(cls, rng: np.random.Generator) -> Window:
        n = int(rng.choice([1, 2, 2, 2, 3]))
        kernel = [int(rng.integers(1, 5)) for _ in range(n)]
        dilations = [int(rng.choice([1, 1, 2])) for _ in range(n)]
        strides = [int(rng.integers(1, 4)) for _ in range(n)]
        pads = [int(rng.integers(0, k)) for k in kernel * 2] if rng.random() < 0.6 else [0] * (2 * n)
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
        dims = [int(rng.integers(r, {1: 150, 2: 40, 3: 10}[n] + r)) for r in reach]
        up = rng.random() < 0.4
        out = []
        for i in range(n):
            room = dims[i] + pads[i] + pads[n + i] - reach[i]
            extent = (-(-room // strides[i]) if up else room // strides[i]) + 1
            # a window that would begin in the padding behind is dropped
            out.append(extent - (up and (extent - 1) * strides[i] >= dims[i] + pads[i]))
        return cls(kernel, strides, dilations, pads, dims, out)

    @classmethod
    def wide(cls, rng: np.random.Generator) -> Window:
        """Far larger than the image: most taps lie in the padding for every output."""
        n = int(rng.integers(1, 3))
        kernel = [int(rng.integers(50, 500)) for _ in range(n)]
        dims = [int(rng.integers(1, 7)) for _ in range(n)]
        before = [int(rng.integers(0, k)) for k in kernel]
        after = [int(rng.integers(max(0, k - d - b), k)) for k, d, b in zip(kernel, dims, before, strict=True)]
        strides = [int(rng.integers(1, 40)) for _ in range(n)]
        out = [(dims[i] + before[i] + after[i] - kernel[i]) // strides[i] + 1 for i in range(n)]
        return cls(kernel, strides, [1] * n, before + after, dims, out)

    def values(self, **more: int) -> dict[str, object]:
        return {"spatial": len(self.kernel), "kernel": self.kernel, "strides": self.strides,
                "dilations": self.dilations, "pads": self.pads, **more}  # fmt: skip

    def windows(self) -> Any:
        """(output position, positions of its taps in the input, taps that lie in the padded input)."""
        n = len(self.kernel)
        for out in itertools.product(*map(range, self.out)):
            axes, counts = [], []
            for i in range(n):
                at = [out[i] * self.strides[i] - self.pads[i] + t * self.dilations[i] for t in range(self.kernel[i])]
                axes.append([a for a in at if 0 <= a < self.dims[i]])
                counts.append(len([a for a in at if a < self.dims[i] + self.pads[n + i]]))
            yield out, axes, int(np.prod(counts))


def gather(x: np.ndarray, axes: Sequence[Sequence[int]]) -> np.ndarray:
    """[N, C, taps] of one window, taps in row-major order."""
    return x[(slice(None), slice(None), *np.ix_(*axes))].reshape(*x.shape[:2], -1)


def layouts(x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    return [x, last_axis_channels(x), layout(x, rng), place(x, rng)]


@pytest.mark.parametrize("row", MAX, ids=row_id)
@pytest.mark.parametrize("seed", range(20))
def test_max_and_its_indices_are_exact(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = (Window.random if seed < 16 else Window.wide)(rng)
    n, c = int(rng.integers(1, 4)), int(rng.integers(1, 70 if len(w.dims) == 1 else 40))
    x = rng.integers(-20, 20, (n, c, *w.dims)).astype(dtype_of(row))  # ties are common
    x[rng.random(x.shape) < 0.02] = -np.inf
    order = int(rng.integers(2))
    numbers = np.arange(x[0, 0].size).reshape(w.dims[::-1]).T if order else np.arange(x[0, 0].size).reshape(w.dims)
    numbers = numbers + (np.arange(n * c) * x[0, 0].size).reshape(n, c, *[1] * len(w.dims))
    want, where = np.zeros((n, c, *w.out), x.dtype), np.zeros((n, c, *w.out), np.int64)
    for out, axes, _ in w.windows():
        taps = gather(x, axes)
        want[(..., *out)] = taps.max(-1)
        first = taps.argmax(-1)[..., None]
        where[(..., *out)] = np.take_along_axis(gather(numbers, axes), first, -1)[..., 0]
    blob = params_blob("MaxPool", w.values(storage_order=order))
    for view in layouts(x, rng):
        got, index = run(row, [view], [(want.shape, x.dtype), (want.shape, np.int64)], rng, params=blob)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(index, where)
        for made in (np.zeros_like(want), last_axis_channels(np.zeros_like(want))):
            assert call(row, [view], [made], params=blob, parts=3)["status"] == 0
            np.testing.assert_array_equal(made, want)


@pytest.mark.parametrize("row", MAX, ids=row_id)
def test_nan_wins_the_maximum(row: dict[str, Any]) -> None:
    x = np.zeros((1, 3, 6, 40), dtype_of(row))
    x[0, 1, 2, 5] = np.nan
    x[0, 1, 2, 6] = np.inf
    blob = params_blob("MaxPool", Window([2, 2], [1, 1], [1, 1], [0, 0, 0, 0], [6, 40], [5, 39]).values())
    for view in (x, last_axis_channels(x)):
        got, index = run(row, [view], [((1, 3, 5, 39), x.dtype), ((1, 3, 5, 39), np.int64)], params=blob)
        (alone,) = run(row, [view], [((1, 3, 5, 39), x.dtype)], params=blob)
        for result in (got, alone):
            expected = {(1, 4), (1, 5), (2, 4), (2, 5)}
            assert {(int(h), int(v)) for h, v in np.argwhere(np.isnan(result[0, 1]))} == expected
        assert index[0, 1, 1, 4] == 6 * 40 + 2 * 40 + 5


@pytest.mark.parametrize("row", AVERAGE, ids=row_id)
@pytest.mark.parametrize("seed", range(20))
def test_average_counts_padding_as_asked(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = (Window.random if seed < 16 else Window.wide)(rng)
    n, c = int(rng.integers(1, 4)), int(rng.integers(1, 40))
    x = rng.standard_normal((n, c, *w.dims)).astype(dtype_of(row))
    include = int(rng.integers(2))
    want, size = np.zeros((n, c, *w.out)), np.zeros((n, c, *w.out))
    for out, axes, padded in w.windows():
        taps = gather(x.astype(np.float64), axes)
        count = padded if include else taps.shape[-1]
        want[(..., *out)] = taps.sum(-1) / count
        size[(..., *out)] = np.abs(taps).sum(-1) / count
    blob = params_blob("AveragePool", w.values(count_include_pad=include))
    seen = set()
    for view in layouts(x, rng):
        (got,) = run(row, [view], [(want.shape, x.dtype)], rng, params=blob)
        assert_product(got, want, size, int(np.prod(w.kernel)))
        seen.add(got.tobytes())
    assert len(seen) == 1, "the layout changed the bytes"


@pytest.mark.parametrize("row", LP, ids=row_id)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_lp_norms(row: dict[str, Any], p: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = Window.random(rng)
    x = rng.standard_normal((2, int(rng.integers(1, 40)), *w.dims)).astype(dtype_of(row))
    want = np.zeros((*x.shape[:2], *w.out))
    for out, axes, _ in w.windows():
        want[(..., *out)] = (np.abs(gather(x.astype(np.float64), axes)) ** p).sum(-1) ** (1 / p)
    for view in layouts(x, rng):
        (got,) = run(row, [view], [(want.shape, x.dtype)], rng, params=params_blob("LpPool", w.values(p=p)))
        assert_product(got, want, want, int(np.prod(w.kernel)))
    refused = call(row, [x], [np.zeros(want.shape, x.dtype)], params=params_blob("LpPool", w.values(p=3)))
    assert refused["bind_status"] == 1


@pytest.mark.parametrize("row", [*rows("max_pool_f32"), *rows("average_pool_f32")], ids=row_id)
def test_epilogues_empty_images_and_the_ends_of_memory(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    w = Window([3, 2], [2, 1], [1, 1], [1, 0, 1, 1], [13, 21], [7, 21])
    blob = params_blob(row["family"], w.values())
    x = rng.standard_normal((2, 19, 13, 21)).astype(np.float32)
    residual = rng.standard_normal((2, 19, 7, 21)).astype(np.float32)
    tile = program([F32, F32], [("t", "add_f32", "i0", "i1")], ["t"], first_operand=1)
    (plain,) = run(row, [x], [(residual.shape, np.float32)], params=blob)
    for view, other in itertools.product((x, last_axis_channels(x)), (residual, last_axis_channels(residual))):
        (got,) = run(row, [view, other], [(residual.shape, np.float32)], rng, params=blob, tile=tile)
        np.testing.assert_array_equal(got, plain + residual)
        both = np.array(other)
        assert call(row, [view, both], [both], params=blob, tile=tile, parts=2)["status"] == 0
        np.testing.assert_array_equal(both, plain + residual)
    for empty in (x[:0], x[:, :0]):
        run(row, [empty], [((*empty.shape[:2], 7, 21), np.float32)], params=blob)
    moved = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    with at_page_end(x, moved, np.zeros(residual.size, np.float32)) as (planes, channels, flat):
        out = flat.reshape(residual.shape)
        assert call(row, [planes], [out], params=blob)["status"] == 0
        np.testing.assert_array_equal(out, plain)
        out = np.moveaxis(flat.reshape(2, 7, 21, 19), -1, 1)
        assert call(row, [np.moveaxis(channels, -1, 1)], [out], params=blob)["status"] == 0
        np.testing.assert_array_equal(out, plain)
