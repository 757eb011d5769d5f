from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.convref import Spec, conv
from tests.support.guard import place, run
from tests.support.products import assert_product, at_page_end, last_axis_channels, layout
from tests.support.rowcall import call, params_blob, rows
from tests.support.tileprog import F32, program

ROWS = rows("conv_f32")
by_tier = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"tier{r['tier']}")
by_form = pytest.mark.parametrize("form", [2, 4])
FORMS = {2: "winograd 2x2", 4: "winograd 4x4"}


class Problem:
    """A convolution of 3 x 3 taps, with what its result is and how large the terms of its sums are."""

    def __init__(self, rng: np.random.Generator, form: int, **given: Any):
        self.form = form
        self.group = given.get("group", int(rng.choice([1, 1, 1, 2, 3])))
        cg, og = given.get("channels", (int(rng.integers(1, 70)), int(rng.integers(1, 70))))
        batch = given.get("batch", int(rng.choice([1, 1, 2, 3])))
        pads = given.get("pads", [int(rng.integers(0, 4)) for _ in range(4)])
        dims = given.get("dims", [int(rng.integers(3, 23)) for _ in range(2)])
        self.spec = Spec(self.group, [3, 3], [1, 1], [1, 1], pads)
        self.x = rng.standard_normal((batch, cg * self.group, *dims)).astype(np.float32)
        self.w = rng.standard_normal((og * self.group, cg, 3, 3)).astype(np.float32)
        self.b = rng.standard_normal(og * self.group).astype(np.float32) if rng.random() < 0.7 else None
        self.terms = 9 * cg + 1
        self.blob = params_blob("Conv", {**self.spec.values(), "form": form})

    def oracle(self) -> tuple[np.ndarray, np.ndarray]:
        b = None if self.b is None else np.abs(self.b)
        return conv(self.x, self.w, self.b, self.spec), conv(np.abs(self.x), np.abs(self.w), b, self.spec)


def of_tiles(size: np.ndarray, m: int) -> np.ndarray:
    """The largest magnitude of the m x m outputs of a tile, for each of them."""
    n, c, h, w = size.shape
    padded = np.zeros((n, c, -(-h // m) * m, -(-w // m) * m))
    padded[:, :, :h, :w] = size
    most = padded.reshape(n, c, padded.shape[2] // m, m, padded.shape[3] // m, m).max((3, 5))
    return most.repeat(m, 2).repeat(m, 3)[:, :, :h, :w]


def both_layouts(row: Any, p: Problem, x: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The result, whose bytes neither the output's layout nor the split over tasks may change."""
    (got,) = run(row, [x, p.w, p.b], [(shape, np.float32)], rng, params=p.blob, pack=[1])
    for view in (np.zeros(shape, np.float32), last_axis_channels(np.zeros(shape, np.float32))):
        result = call(row, [x, p.w, p.b], [view], params=p.blob, pack=[1], parts=2)
        assert result["status"] == 0 and result["variant"] == FORMS[p.form]
        assert np.ascontiguousarray(view).tobytes() == got.tobytes()
    return got


@by_tier
@by_form
@pytest.mark.parametrize("seed", range(25))
def test_follows_the_tolerance_rule_in_any_layout(row: dict[str, Any], form: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = Problem(rng, form)
    want, size = p.oracle()
    got = both_layouts(row, p, layout(p.x, rng), want.shape, rng)
    bound = size if max(p.spec.pads) <= 1 and p.terms > 100 else of_tiles(size, form)  # few terms are seldom alike
    assert_product(got, want, bound, p.terms)


@by_tier
@by_form
@pytest.mark.parametrize("channels, dims, batch", [
    ((128, 128), (28, 28), 1), ((64, 96), (57, 55), 1), ((256, 200), (14, 14), 1), ((512, 64), (7, 7), 2),
    ((600, 24), (8, 9), 1), ((16, 300), (30, 31), 1), ((64, 64), (1, 40), 1),
])  # fmt: skip
def test_the_shapes_of_networks(
    row: dict[str, Any], form: int, channels: tuple[int, int], dims: tuple[int, int], batch: int
) -> None:
    rng = np.random.default_rng(1)
    p = Problem(rng, form, channels=channels, dims=dims, batch=batch, group=1, pads=[1, 1, 1, 1])
    want, size = p.oracle()
    got = both_layouts(row, p, last_axis_channels(p.x), want.shape, rng)
    assert_product(got, want, size, p.terms)


SPREADS = {
    "positive": lambda x, rng: np.abs(x),
    "far from zero": lambda x, rng: x + 30,
    "after relu": lambda x, rng: np.maximum(x, 0),
    "tiny": lambda x, rng: x * np.float32(1e-30),
    "huge": lambda x, rng: x * np.float32(1e30),
    "smooth": lambda x, rng: np.cumsum(np.cumsum(x, -1), -2) / 8,
}


@by_form
@pytest.mark.parametrize("spread", SPREADS)
def test_the_rule_holds_whatever_the_values_are_spread_over(form: int, spread: str) -> None:
    rng = np.random.default_rng(3)
    p = Problem(rng, form, channels=(48, 40), dims=(21, 22), group=1, pads=[1, 1, 1, 1])
    p.x = SPREADS[spread](p.x, rng).astype(np.float32)
    want, size = p.oracle()
    for row in ROWS:
        assert_product(both_layouts(row, p, p.x, want.shape, rng), want, size, p.terms)


@by_form
@pytest.mark.parametrize("which", ["outliers", "sparse", "one tap"])
def test_values_beside_much_larger_ones_err_as_those_do(form: int, which: str) -> None:
    """Sums of few or small terms share transformed sums with their tile: its largest magnitude bounds their error."""
    rng = np.random.default_rng(4)
    p = Problem(rng, form, channels=(32, 32), dims=(30, 31), group=1, pads=[1, 1, 1, 1])
    if which == "outliers":
        p.x *= np.exp(3 * rng.standard_normal(p.x.shape)).astype(np.float32)
    elif which == "sparse":
        p.x *= rng.random(p.x.shape) < 0.02
    else:
        p.w *= rng.random(p.w.shape) < 0.1
    want, size = p.oracle()
    for row in ROWS:
        assert_product(both_layouts(row, p, p.x, want.shape, rng), want, of_tiles(size, form), p.terms)


@by_tier
@by_form
def test_reads_end_where_the_operands_end(row: dict[str, Any], form: int) -> None:
    rng = np.random.default_rng(0)
    for group, channels in ((1, (12, 20)), (2, (16, 8)), (1, (9, 3))):
        p = Problem(rng, form, group=group, channels=channels, dims=(9, 17), pads=[1, 1, 0, 0])
        want, size = p.oracle()
        n, o, h, width = want.shape
        for channels_last in (False, True):
            moved = np.ascontiguousarray(np.moveaxis(p.x, 1, -1)) if channels_last else p.x
            with at_page_end(moved, p.w, np.zeros(want.size, np.float32)) as (gx, gw, flat):
                view = np.moveaxis(gx, -1, 1) if channels_last else gx
                out = np.moveaxis(flat.reshape(n, h, width, o), -1, 1) if channels_last else flat.reshape(want.shape)
                assert call(row, [view, gw, p.b], [out], params=p.blob, pack=[1])["status"] == 0
                assert_product(np.array(out), want, size, p.terms)


EPILOGUE = [("t", "add_f32", "i0", "i1"), ("u", "relu_f32", "t")]


@by_tier
@by_form
@pytest.mark.parametrize("seed", range(5))
def test_additions_and_programs_run_on_the_hot_tile(row: dict[str, Any], form: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = Problem(rng, form)
    shape = (p.x.shape[0], p.w.shape[0], *p.spec.output_dims(p.x.shape[2:]))
    residual = rng.standard_normal(shape).astype(np.float32)
    (plain,) = run(row, [p.x, p.w, p.b], [(shape, np.float32)], params=p.blob, pack=[1])
    want = np.maximum(plain + residual, np.float32(0))
    added = program([F32, F32], EPILOGUE, ["u"], first_operand=3)
    other = place(residual, rng)
    (got,) = run(row, [p.x, p.w, p.b, other], [(shape, np.float32)], rng, params=p.blob, pack=[1], tile=added)
    np.testing.assert_array_equal(got, want)
    for both in (np.array(residual), last_axis_channels(residual)):  # the output overwrites the residual
        inputs = [p.x, p.w, p.b, both]
        assert call(row, inputs, [both], params=p.blob, pack=[1], tile=added, parts=3)["status"] == 0
        np.testing.assert_array_equal(both, want)
    for steps, expected in (
        ([("t", "relu_f32", "i0")], np.maximum(plain, np.float32(0))),
        ([("t", "mul_f32", "i0", "i0")], plain * plain),
    ):
        tile = program([F32], steps, ["t"], first_operand=3)
        (got,) = run(row, [p.x, p.w, p.b], [(shape, np.float32)], rng, params=p.blob, pack=[1], tile=tile)
        np.testing.assert_array_equal(got, expected)
        last = last_axis_channels(np.zeros(shape, np.float32))
        assert call(row, [p.x, p.w, p.b], [last], params=p.blob, pack=[1], tile=tile)["status"] == 0
        np.testing.assert_array_equal(last, expected)


@by_tier
@by_form
def test_empty_batches_and_outputs(row: dict[str, Any], form: int) -> None:
    rng = np.random.default_rng(0)
    p = Problem(rng, form, batch=0, group=1, channels=(8, 8), dims=(6, 6), pads=[1, 1, 1, 1])
    (got,) = run(row, [p.x, p.w, p.b], [((0, 8, 6, 6), np.float32)], params=p.blob, pack=[1])
    assert got.size == 0
    p = Problem(rng, form, batch=1, group=1, channels=(8, 8), dims=(2, 6), pads=[0, 0, 0, 0])
    (got,) = run(row, [p.x, p.w, p.b], [((1, 8, 0, 4), np.float32)], params=p.blob, pack=[1])
    assert got.size == 0


@by_tier
def test_other_kernels_and_weights_that_are_not_packed_are_matrix_products(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 8, 9, 9)).astype(np.float32), rng.standard_normal((8, 8, 3, 3)).astype(np.float32)
    for kernel, strides, dilations, pack in (
        ([3, 3], [2, 1], [1, 1], [1]), ([3, 3], [1, 1], [1, 2], [1]), ([3, 3], [1, 1], [1, 1], []),
        ([3, 2], [1, 1], [1, 1], [1]), ([1, 3], [1, 1], [1, 1], [1]),
    ):  # fmt: skip
        spec = Spec(1, kernel, strides, dilations, [1, 1, 1, 1])
        part = np.ascontiguousarray(w[:, :, : kernel[0], : kernel[1]])
        want, size = conv(x, part, None, spec), conv(np.abs(x), np.abs(part), None, spec)
        blob = params_blob("Conv", {**spec.values(), "form": 4})
        got = np.zeros(want.shape, np.float32)
        result = call(row, [x, part], [got], params=blob, pack=pack)
        assert result["status"] == 0 and "winograd" not in result["variant"]
        assert_product(got, want, size, 72)
