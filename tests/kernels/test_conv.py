from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.convref import Spec, conv, conv_transpose
from tests.support.guard import place, run
from tests.support.products import assert_product, at_page_end, last_axis_channels, layout
from tests.support.rowcall import call, params_blob, rows
from tests.support.tileprog import F32, program

ROWS = rows("conv_f32")
TRANSPOSED = rows("conv_transpose_f32")
by_tier = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"tier{r['tier']}")


def random_spec(rng: np.random.Generator, spatial: int, group: int) -> Spec:
    kernel = [int(rng.integers(1, 5)) for _ in range(spatial)]
    if rng.random() < 0.25:
        kernel = [1] * spatial
    pads = [int(rng.integers(0, 3)) for _ in range(2 * spatial)] if rng.random() < 0.6 else [0] * (2 * spatial)
    return Spec(
        group, kernel, [int(rng.integers(1, 4)) for _ in range(spatial)],
        [int(rng.choice([1, 1, 2])) for _ in range(spatial)], pads,
    )  # fmt: skip


class Problem:
    def __init__(self, rng: np.random.Generator, transposed: bool, depthwise: bool = False):
        spatial = int(rng.choice([1, 2, 2, 2, 3]))
        self.group = int(rng.integers(1, 71)) if depthwise else int(rng.choice([1, 1, 2, 3]))
        self.spec = random_spec(rng, spatial, self.group)
        cg, og = (1, 1) if depthwise else (int(rng.integers(1, 40)), int(rng.integers(1, 50)))
        batch = int(rng.choice([1, 1, 2, 3]))
        most = {1: 90, 2: 24, 3: 9}[spatial]
        dims = [int(rng.integers(1, most)) for _ in range(spatial)]
        if not transposed:
            dims = [max(d, self.spec.reach(i)) for i, d in enumerate(dims)]
        self.x = rng.standard_normal((batch, cg * self.group, *dims)).astype(np.float32)
        first, second = (cg * self.group, og) if transposed else (og * self.group, cg)
        self.w = rng.standard_normal((first, second, *self.spec.kernel)).astype(np.float32)
        self.b = rng.standard_normal(og * self.group).astype(np.float32) if rng.random() < 0.6 else None
        self.terms = cg * int(np.prod(self.spec.kernel)) + 1
        self.extra = [int(rng.integers(0, s)) for s in self.spec.strides]

    def oracle(self) -> tuple[np.ndarray, np.ndarray]:
        b = None if self.b is None else np.abs(self.b)
        return conv(self.x, self.w, self.b, self.spec), conv(np.abs(self.x), np.abs(self.w), b, self.spec)


def check(row: Any, family: str, rng: np.random.Generator, p: Problem, want: np.ndarray, size: np.ndarray) -> None:
    blob = params_blob(family, p.spec.values())
    x, w = layout(p.x, rng), layout(p.w, rng)
    b = None if p.b is None else place(p.b, rng)
    seen = []
    for pack in ([], [1]):
        (got,) = run(row, [x, w, b], [(want.shape, np.float32)], rng, params=blob, pack=pack)
        assert_product(got, want, size, p.terms)
        seen.append(got.tobytes())
        for view in (np.zeros(want.shape, np.float32), last_axis_channels(np.zeros(want.shape, np.float32))):
            assert call(row, [x, w, b], [view], params=blob, pack=pack, parts=2)["status"] == 0
            assert np.ascontiguousarray(view).tobytes() == seen[0]
    assert seen[0] == seen[1], "packed weights give other bytes"


@by_tier
@pytest.mark.parametrize("seed", range(40))
def test_conv_follows_the_tolerance_rule_in_any_layout(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = Problem(rng, False)
    check(row, "Conv", rng, p, *p.oracle())


@by_tier
@pytest.mark.parametrize("seed", range(30))
def test_depthwise_follows_the_tolerance_rule_in_any_layout(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = Problem(rng, False, depthwise=True)
    check(row, "Conv", rng, p, *p.oracle())


@pytest.mark.parametrize("row", TRANSPOSED, ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize("seed", range(30))
def test_conv_transpose_follows_the_tolerance_rule_in_any_layout(row: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = Problem(rng, True)
    out = p.spec.transposed_dims(p.x.shape[2:], p.extra)
    b = None if p.b is None else np.abs(p.b)
    want = conv_transpose(p.x, p.w, p.b, p.spec, out)
    check(row, "ConvTranspose", rng, p, want, conv_transpose(np.abs(p.x), np.abs(p.w), b, p.spec, out))


LARGER = [  # x dims, w dims, group, strides, pads
    ((1, 3, 65, 61), (24, 3, 7, 7), 1, (2, 2), (3, 3, 3, 3)),
    ((1, 96, 14, 14), (130, 96, 3, 3), 1, (1, 1), (1, 1, 1, 1)),
    ((2, 200, 7, 7), (300, 200, 1, 1), 1, (1, 1), (0, 0, 0, 0)),
    ((3, 64, 28, 28), (72, 64, 1, 1), 1, (2, 2), (0, 0, 0, 0)),
    ((2, 512, 1, 1), (40, 512, 1, 1), 1, (1, 1), (0, 0, 0, 0)),
    ((1, 16, 33, 40), (16, 1, 3, 3), 16, (1, 1), (1, 1, 1, 1)),
    ((2, 37, 30, 31), (37, 1, 5, 5), 37, (2, 2), (2, 2, 2, 2)),
    ((1, 8, 20, 20), (24, 1, 3, 3), 8, (1, 1), (1, 1, 1, 1)),
    ((1, 1, 400), (33, 1, 64), 1, (16,), (0, 0)),
    ((2, 3, 57, 50), (16, 3, 5, 3), 1, (3, 2), (2, 1, 2, 1)),
    ((1, 48, 29, 27), (48, 16, 3, 3), 3, (2, 1), (1, 1, 1, 1)),
    ((1, 4, 20, 30), (40, 4, 9, 9), 1, (1, 1), (4, 4, 4, 4)),
    ((1, 12, 9, 10, 11), (20, 12, 3, 3, 3), 1, (1, 1, 1), (1, 1, 1, 1, 1, 1)),
]


@by_tier
@pytest.mark.parametrize("case", range(len(LARGER)))
def test_conv_on_the_shapes_of_networks(row: dict[str, Any], case: int) -> None:
    rng = np.random.default_rng(case)
    x_dims, w_dims, group, strides, pads = LARGER[case]
    p = Problem(rng, False)
    p.spec = Spec(group, w_dims[2:], strides, [1] * len(strides), pads)
    p.x, p.w = rng.standard_normal(x_dims).astype(np.float32), rng.standard_normal(w_dims).astype(np.float32)
    p.b = rng.standard_normal(w_dims[0]).astype(np.float32)
    p.terms = int(np.prod(w_dims[1:])) + 1
    check(row, "Conv", rng, p, *p.oracle())


@by_tier
def test_empty_batches_and_channels(row: dict[str, Any]) -> None:
    spec = Spec(1, [3, 3], [1, 1], [1, 1], [1, 1, 1, 1])
    blob = params_blob("Conv", spec.values())
    b = np.arange(5, dtype=np.float32)
    for x_dims, w_dims in [((0, 4, 6, 6), (5, 4, 3, 3)), ((2, 0, 6, 6), (5, 0, 3, 3)), ((2, 4, 6, 6), (0, 4, 3, 3))]:
        x, w = np.ones(x_dims, np.float32), np.ones(w_dims, np.float32)
        bias = b[: w_dims[0]]
        (got,) = run(row, [x, w, bias], [((x_dims[0], w_dims[0], 6, 6), np.float32)], params=blob)
        np.testing.assert_array_equal(got, conv(x, w, bias, spec).astype(np.float32))


@by_tier
@pytest.mark.parametrize("w_dims, group", [((20, 6, 3, 3), 2), ((12, 1, 3, 3), 12), ((33, 12, 1, 1), 1)])
def test_reads_end_where_the_operands_end(row: dict[str, Any], w_dims: tuple[int, ...], group: int) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 12, 9, 17)).astype(np.float32), rng.standard_normal(w_dims).astype(np.float32)
    spec = Spec(group, w_dims[2:], [1, 1], [1, 1], [1, 1, 0, 0])
    want, size = conv(x, w, None, spec), conv(np.abs(x), np.abs(w), None, spec)
    blob = params_blob("Conv", spec.values())
    for channels_last in (False, True):
        moved = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if channels_last else x
        with at_page_end(moved, w, np.zeros(want.size, np.float32)) as (gx, gw, flat):
            view = np.moveaxis(gx, -1, 1) if channels_last else gx
            n, o, h, width = want.shape
            out = np.moveaxis(flat.reshape(n, h, width, o), -1, 1) if channels_last else flat.reshape(want.shape)
            for pack in ([], [1]):
                assert call(row, [view, gw], [out], params=blob, pack=pack)["status"] == 0
                assert_product(np.array(out), want, size, int(np.prod(w_dims[1:])))


@by_tier
def test_nan_and_infinity_reach_exactly_their_windows(row: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 5, 12, 20)).astype(np.float32), rng.standard_normal((7, 5, 3, 3)).astype(np.float32)
    x[0, 1, 3, 4], x[0, 4, 11, 19] = np.nan, np.inf
    spec = Spec(1, [3, 3], [1, 1], [1, 1], [1, 1, 1, 1])
    with np.errstate(invalid="ignore"):
        want, size = conv(x, w, None, spec), conv(np.abs(x), np.abs(w), None, spec)
    for source in (x, last_axis_channels(x)):
        (got,) = run(row, [source, w], [(want.shape, np.float32)], params=params_blob("Conv", spec.values()))
        assert_product(got, want, size, 45)


EPILOGUE = [("t", "add_f32", "i0", "i1"), ("u", "relu_f32", "t")]


@pytest.mark.parametrize("family, depthwise", [("Conv", False), ("Conv", True), ("ConvTranspose", False)])
@pytest.mark.parametrize("seed", range(8))
def test_an_epilogue_runs_on_every_block(family: str, depthwise: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = Problem(rng, family == "ConvTranspose", depthwise)
    dims = p.x.shape[2:]
    out = p.spec.output_dims(dims) if family == "Conv" else p.spec.transposed_dims(dims, p.extra)
    shape = (p.x.shape[0], (p.w.shape[0] if family == "Conv" else p.w.shape[1] * p.group), *out)
    residual = rng.standard_normal(shape).astype(np.float32)
    blob = params_blob(family, p.spec.values())
    tile = program([F32, F32], EPILOGUE, ["u"], first_operand=3)
    for row in ROWS if family == "Conv" else TRANSPOSED:
        for view in (layout(p.x, rng), last_axis_channels(p.x)):
            (plain,) = run(row, [view, p.w, p.b], [(shape, np.float32)], params=blob, pack=[1])
            want = np.maximum(plain + residual, np.float32(0))
            other = place(residual, rng)
            (got,) = run(row, [view, p.w, p.b, other], [(shape, np.float32)], rng, params=blob, pack=[1], tile=tile)
            np.testing.assert_array_equal(got, want)
            for both in (np.array(residual), last_axis_channels(residual)):  # the output overwrites the residual
                inputs = [view, p.w, p.b, both]
                assert call(row, inputs, [both], params=blob, pack=[1], tile=tile, parts=3)["status"] == 0
                np.testing.assert_array_equal(both, want)
            relu = program([F32], [("t", "relu_f32", "i0")], ["t"], first_operand=3)
            (got,) = run(row, [view, p.w, p.b], [(shape, np.float32)], rng, params=blob, tile=relu)
            np.testing.assert_array_equal(got, np.maximum(plain, np.float32(0)))


@pytest.mark.parametrize("row", TRANSPOSED, ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize(
    "strides, kernel, dims", [((2, 2), (2, 2), (5, 6)), ((2, 3), (3, 4), (4, 5)), ((2,), (4,), (9,))]
)
def test_epilogues_of_phases_that_divide_the_output(row: Any, strides: Any, kernel: Any, dims: Any) -> None:
    """Operands of every broadcast, several images, and a part of something larger as output."""
    rng = np.random.default_rng(len(dims))
    pads = [k - s for k, s in zip(kernel, strides, strict=True)]
    spec = Spec(1, list(kernel), list(strides), [1] * len(dims), [*pads, *[0] * len(dims)])
    out = [d * s for d, s in zip(dims, strides, strict=True)]
    x, w = (rng.standard_normal(d).astype(np.float32) for d in ((3, 10, *dims), (10, 19, *kernel)))
    shape, blob = (3, 19, *out), params_blob("ConvTranspose", spec.values())
    tile = program([F32] * 3, [("t", "mul_f32", "i0", "i1"), ("u", "add_f32", "t", "i2")], ["u"], first_operand=3)
    (plain,) = run(row, [x, w, None], [(shape, np.float32)], rng, params=blob)
    spaces = [(shape, (1, 19, *[1] * len(dims))), ((3, 1, *out), (1, 1, 1, out[-1])[-len(shape) :]), ((1,), shape)]
    for dims_a, dims_b in spaces:
        a, b = (rng.standard_normal(d).astype(np.float32) for d in (dims_a, dims_b))
        want = plain.astype(np.float64) * a + b
        whole = np.zeros((3, *out, 23), np.float32)
        view = np.moveaxis(whole[..., 2:21], -1, 1)
        assert call(row, [last_axis_channels(x), w, None, a, b], [view], params=blob, tile=tile, parts=3)["status"] == 0
        np.testing.assert_allclose(view, want, rtol=1e-5, atol=1e-5)
        assert (whole[..., :2] == 0).all() and (whole[..., 21:] == 0).all()


@by_tier
@pytest.mark.parametrize("x_dims, w_dims, stride", [
    ((1, 64, 17, 19), (256, 64, 1, 1), 1), ((3, 20, 9, 9), (150, 20, 3, 3), 2), ((2, 512, 7, 7), (300, 512, 1, 1), 1),
    ((1, 33, 30, 1), (37, 33, 1, 1), 1),
])  # fmt: skip
def test_residuals_are_added_alike_in_registers_and_by_programs(
    row: dict[str, Any], x_dims: tuple[int, ...], w_dims: tuple[int, ...], stride: int
) -> None:
    rng = np.random.default_rng(5)
    spec = Spec(1, w_dims[2:], [stride] * 2, [1, 1], [w_dims[2] // 2] * 4)
    blob = params_blob("Conv", spec.values())
    x, w = rng.standard_normal(x_dims).astype(np.float32), rng.standard_normal(w_dims).astype(np.float32)
    shape = (x_dims[0], w_dims[0], *spec.output_dims(x_dims[2:]))
    residual = rng.standard_normal(shape).astype(np.float32)
    for b in (None, rng.standard_normal(w_dims[0]).astype(np.float32)):
        (plain,) = run(row, [x, w, b], [(shape, np.float32)], params=blob, pack=[1])
        for steps, want in ((EPILOGUE, np.maximum(plain + residual, 0)), (EPILOGUE[:1], plain + residual)):
            tile = program([F32, F32], steps, [steps[-1][0]], first_operand=3)
            for view in (x, last_axis_channels(x)):
                for other in (residual, last_axis_channels(residual), place(residual, rng)):
                    got = last_axis_channels(np.zeros(shape, np.float32))
                    result = call(row, [view, w, b, other], [got], params=blob, pack=[1], tile=tile, parts=2)
                    assert result["status"] == 0
                    np.testing.assert_array_equal(got, want)


@by_tier
def test_shapes_that_contradict_the_rule_are_refused(row: dict[str, Any]) -> None:
    f = np.float32
    blob = params_blob("Conv", Spec(1, [3, 3], [1, 1], [1, 1], [1, 1, 1, 1]).values())
    x, w = np.zeros((1, 4, 6, 6), f), np.zeros((5, 4, 3, 3), f)
    good = (1, 5, 6, 6)
    for bad_x, bad_w, bad_b, out in [
        (x, w, None, (1, 5, 6, 7)), (x, w, None, (1, 4, 6, 6)), (x, w[:, :3], None, good), (x[:, :3], w, None, good),
        (x, w, np.zeros(4, f), good), (x, w[..., :2], None, good), (x[0], w, None, good),
    ]:  # fmt: skip
        assert call(row, [bad_x, bad_w, bad_b], [np.zeros(out, f)], params=blob)["bind_status"] == 2


@by_tier
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [7, 8, 16, 37, 96, 136, 209])
def test_depthwise_channels_last_in_every_block(row: dict[str, Any], kernel: int, stride: int, channels: int) -> None:
    """Widths that end in blocks of every size, borders on both sides, and parts of something larger as output."""
    rng = np.random.default_rng(channels + kernel)
    for width, pads in ((29, [kernel // 2] * 4), (14 * stride, [1, 2, 0, kernel - 1]), (kernel, [0] * 4), (1, [3] * 4)):
        spec = Spec(channels, [kernel, kernel], [stride, stride], [1, 1], pads)
        p = Problem(rng, False)
        p.x = rng.standard_normal((2, channels, kernel + 4, width)).astype(np.float32)
        p.w = rng.standard_normal((channels, 1, kernel, kernel)).astype(np.float32)
        p.spec, p.b = spec, rng.standard_normal(channels).astype(np.float32)
        want, size = p.oracle()
        blob = params_blob("Conv", spec.values())
        n, _, height, wide = want.shape
        whole = np.full((n, height, wide, channels + 5), np.float32(3))
        out = np.moveaxis(whole[..., 2 : 2 + channels], -1, 1)
        assert call(row, [last_axis_channels(p.x), p.w, p.b], [out], params=blob, pack=[1], parts=3)["status"] == 0
        assert_product(np.ascontiguousarray(out), want, size, kernel * kernel + 1)
        assert (whole[..., :2] == 3).all() and (whole[..., 2 + channels :] == 3).all()
        (first,) = run(row, [p.x, p.w, p.b], [(want.shape, np.float32)], params=blob)
        np.testing.assert_array_equal(first, out)  # the layout does not change the bytes


ACTIVATIONS = [  # function, immediates
    ("relu_f32", []), ("clip_f32", [-0.25, 0.5]), ("hardswish_f32", []), ("silu_f32", []), ("sigmoid_f32", []),
    ("hardsigmoid_f32", [0.2, 0.5]), ("leaky_relu_f32", [0.1]), ("gelu_f32", []), ("elu_f32", [0.7]),
]  # fmt: skip
FORMS = [  # x dims, w dims, group, stride, form of the filters, variant
    ((1, 40, 9, 11), (40, 1, 3, 3), 40, 1, 0, "depthwise channels"),
    ((2, 40, 9, 11), (101, 40, 1, 1), 1, 1, 0, "pixel rows in place"),
    ((1, 12, 9, 21), (19, 12, 3, 3), 1, 2, 0, "lines"),
    ((1, 12, 9, 21), (16, 12, 1, 1), 1, 2, 0, "lines in place"),
    ((1, 20, 11, 12), (24, 20, 3, 3), 1, 1, 4, "winograd 4x4"),
]


@by_tier
@pytest.mark.parametrize("function, immediates", ACTIVATIONS, ids=[a for a, _ in ACTIVATIONS])
@pytest.mark.parametrize("x_dims, w_dims, group, stride, form, variant", FORMS, ids=[f[-1] for f in FORMS])
def test_activations_of_every_form_are_those_of_tiles(
    row: dict[str, Any], function: str, immediates: list[float], x_dims: tuple[int, ...], w_dims: tuple[int, ...],
    group: int, stride: int, form: int, variant: str,
) -> None:  # fmt: skip
    """NaN, infinities and both zeros included. Multiplied by one first, the same activation is a program over tiles."""
    rng = np.random.default_rng(len(function))
    x = rng.standard_normal(x_dims).astype(np.float32)
    x[0, 3, 4, 4], x[0, 5, 2, 3], x[0, 6, 7, 7], x[0, 7], x[0, 8] = np.nan, np.inf, -np.inf, 0.0, -0.0
    w = rng.standard_normal(w_dims).astype(np.float32)
    spec = Spec(group, w_dims[2:], [stride] * 2, [1, 1], [w_dims[2] // 2] * 4)
    blob = params_blob("Conv", {**spec.values(), "form": form})
    shape = (x_dims[0], w_dims[0], *spec.output_dims(x_dims[2:]))
    residual = rng.standard_normal(shape).astype(np.float32)
    bias = rng.standard_normal(w_dims[0]).astype(np.float32)
    known, one = [(v, F32) for v in immediates], [(1.0, F32)]
    sources = [f"k{i}" for i in range(len(known))]
    for b, other in ((None, None), (bias, None), (None, residual), (bias, residual)):
        steps = [("t", "add_f32", "i0", "i1")] if other is not None else []
        start, loads = ("t" if steps else "i0"), [F32] * (1 + len(steps))
        registers = [*steps, ("u", function, start, *sources)]
        spelt = [*steps, ("t", "mul_f32", start, f"k{len(known)}"), ("u", function, "t", *sources)]
        inputs = [last_axis_channels(x), w, b, *([] if other is None else [last_axis_channels(other)])]
        results = []
        for tile in (program(loads, registers, ["u"], known, 3), program(loads, spelt, ["u"], known + one, 3)):
            out = last_axis_channels(np.zeros(shape, np.float32))
            said = call(row, inputs, [out], params=blob, tile=tile, pack=[1], parts=2)
            assert said["status"] == 0 and said["variant"] == variant
            results.append(np.ascontiguousarray(out))
        np.testing.assert_array_equal(results[0], results[1])
        assert np.isnan(results[0]).any()


LINES = [  # x dims, w dims, group, strides, pads
    ((1, 8, 20, 40), (8, 8, 3, 39), 1, (1, 1), (1, 19, 1, 19)),  # several blocks of the inner index
    ((2, 48, 19, 23), (30, 48, 3, 3), 1, (2, 2), (1, 1, 1, 1)),
    ((1, 16, 14, 90), (24, 8, 3, 3), 2, (1, 1), (1, 1, 1, 1)),
    ((1, 1, 1500), (36, 1, 256), 1, (2,), (0, 0)),
    ((1, 24, 16, 16), (40, 24, 1, 1), 1, (2, 2), (0, 0, 0, 0)),
    ((1, 24, 17, 5), (9, 24, 2, 1), 1, (1, 1), (0, 0, 0, 0)),
    ((1, 3, 30, 700), (32, 3, 3, 3), 1, (1, 1), (1, 1, 1, 1)),
    ((3, 200, 7, 7), (20, 200, 3, 3), 1, (1, 1), (1, 1, 1, 1)),
    ((1, 20, 12, 12), (20, 20, 3, 1), 1, (1, 1), (1, 0, 1, 0)),
    ((2, 64, 9, 9), (17, 64, 2, 2), 1, (2, 2), (0, 0, 0, 0)),
    ((2, 24, 25, 9), (120, 6, 1, 1), 4, (1, 1), (0, 0, 0, 0)),  # an image is one line
    ((1, 136, 7, 7), (136, 34, 1, 1), 4, (1, 1), (0, 0, 0, 0)),
]


@by_tier
@pytest.mark.parametrize("case", range(len(LINES)))
def test_convolutions_over_lines(row: dict[str, Any], case: int) -> None:
    """Bytes depend neither on layouts nor on packing, and a part of something larger keeps what lies around it."""
    rng = np.random.default_rng(case)
    x_dims, w_dims, group, strides, pads = LINES[case]
    p = Problem(rng, False)
    p.spec = Spec(group, w_dims[2:], strides, [1] * len(strides), pads)
    p.x, p.w = rng.standard_normal(x_dims).astype(np.float32), rng.standard_normal(w_dims).astype(np.float32)
    p.b = rng.standard_normal(w_dims[0]).astype(np.float32)
    p.terms = int(np.prod(w_dims[1:])) + 1
    want, size = p.oracle()
    blob = params_blob("Conv", p.spec.values())
    (first,) = run(row, [p.x, p.w, p.b], [(want.shape, np.float32)], params=blob)
    assert_product(first, want, size, p.terms)
    n, c, *space = want.shape
    for view in (p.x, last_axis_channels(p.x)):
        for parts in (1, 3):
            whole = np.full((n, *space, c + 5), np.float32(3))
            out = np.moveaxis(whole[..., 2 : 2 + c], -1, 1)
            said = call(row, [view, p.w, p.b], [out], params=blob, pack=[1], parts=parts)
            assert said["status"] == 0 and said["variant"].startswith("lines")
            np.testing.assert_array_equal(first, out)
            assert (whole[..., :2] == 3).all() and (whole[..., 2 + c :] == 3).all()
    residual = rng.standard_normal(want.shape).astype(np.float32)
    tile = program([F32, F32], EPILOGUE[:1], ["t"], first_operand=3)
    for bias in (None, p.b):
        (plain,) = run(row, [p.x, p.w, bias], [(want.shape, np.float32)], params=blob)
        both = last_axis_channels(residual)
        inputs = [last_axis_channels(p.x), p.w, bias, both]
        assert call(row, inputs, [both], params=blob, pack=[1], tile=tile, parts=2)["status"] == 0
        np.testing.assert_array_equal(both, plain + residual)


APART = [  # x dims, kernel, channels out of a group, groups, extra rows and columns
    ((2, 24, 9, 14), (2, 2), 1, 1, (0, 0)),
    ((1, 24, 9, 14), (2, 2), 24, 1, (0, 0)),
    ((1, 30, 5, 13), (3, 2), 11, 2, (0, 0)),
    ((2, 6, 5, 13), (2, 3), 5, 1, (1, 2)),
    ((1, 7, 40), (4,), 3, 1, (0,)),
    ((1, 400, 6, 7), (2, 2), 70, 1, (0, 0)),
    ((1, 16, 6, 7), (2, 1), 150, 1, (1, 0)),
]


@pytest.mark.parametrize("row", TRANSPOSED, ids=lambda r: f"tier{r['tier']}")
@pytest.mark.parametrize("case", range(len(APART)))
def test_transposed_convolutions_whose_windows_do_not_overlap(row: Any, case: int) -> None:
    """Packed they are one product a kernel line; unpacked they go phase by phase, with the same bytes."""
    rng = np.random.default_rng(case)
    x_dims, kernel, og, group, extra = APART[case]
    ones = [1] * len(kernel)
    spec = Spec(group, list(kernel), list(kernel), ones, [0] * (2 * len(kernel)))
    x = rng.standard_normal(x_dims).astype(np.float32)
    w = rng.standard_normal((x_dims[1], og, *kernel)).astype(np.float32)
    out = spec.transposed_dims(x_dims[2:], list(extra))
    shape, blob = (x_dims[0], og * group, *out), params_blob("ConvTranspose", spec.values())
    residual = rng.standard_normal(shape).astype(np.float32)
    programs = [
        (None, False), (program([F32, F32], EPILOGUE, ["u"], first_operand=3), True),
        (program([F32], [("t", "silu_f32", "i0")], ["t"], first_operand=3), False),
        (program([F32, F32], [("t", "mul_f32", "i0", "i1"), ("u", "silu_f32", "t")], ["u"], first_operand=3), True),
    ]  # fmt: skip
    for b in (None, rng.standard_normal(og * group).astype(np.float32)):
        size = conv_transpose(np.abs(x), np.abs(w), None if b is None else np.abs(b), spec, out)
        for tile, two in programs:
            (want,) = run(row, [x, w, b, residual][: 4 if two else 3], [(shape, np.float32)], params=blob, tile=tile)
            if tile is None:
                assert_product(want, conv_transpose(x, w, b, spec, out), size, x_dims[1] // group + 1)
            for view, other in ((x, residual), (last_axis_channels(x), last_axis_channels(residual))):
                whole = np.full((shape[0], *out, shape[1] + 3), np.float32(3))
                for target in (np.zeros(shape, np.float32), last_axis_channels(np.zeros(shape, np.float32)),
                               np.moveaxis(whole[..., 2:-1], -1, 1)):  # fmt: skip
                    inputs = [view, w, b, other][: 4 if two else 3]
                    said = call(row, inputs, [target], params=blob, tile=tile, pack=[1], parts=3)
                    assert said["status"] == 0 and said["variant"].startswith("lines")
                    np.testing.assert_array_equal(target, want)
                assert (whole[..., :2] == 3).all() and (whole[..., -1] == 3).all()
