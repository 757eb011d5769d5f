"""Boxes, regions, grids and trees: rows against the records' evaluators, in odd layouts between guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from arenaut.ir.dtypes import dtype_of
from arenaut.ir.evaluate import evaluate_node
from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops import trees, vision
from arenaut.ir.ops.trees import Table
from arenaut.ir.types import TensorType
from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

OUT_OF_RANGE, BAD_VALUE, MISMATCH = 3, 5, 2


def each(*names: str) -> pytest.MarkDecorator:
    found = [r for name in names for r in rows(name)]
    return pytest.mark.parametrize("row", found, ids=lambda r: f"{r['name']}-tier{r['tier']}")


def node(op: str, inputs: Sequence[np.ndarray], attributes: Mapping[str, Any]) -> Node:
    graph = Graph()
    values = [graph.add_input(f"x{i}", TensorType(dtype_of(x), x.shape)) for i, x in enumerate(inputs)]
    return graph.add(op, values, dict(attributes))


@each("nms_select")
@pytest.mark.parametrize("centered", [0, 1])
def test_suppression(row: dict, centered: int) -> None:
    rng = np.random.default_rng(1)
    (fill,) = rows("nms_fill")
    for batches, classes, count in [(1, 1, 1), (2, 3, 60), (1, 2, 0), (0, 3, 4), (3, 1, 300)]:
        corners = rng.uniform(0, 1, (batches, count, 4)).astype(np.float32)
        scores = rng.uniform(-1, 1, (batches, classes, count)).astype(np.float32)
        if count > 20:
            scores[..., :8] = [0.0, -0.0, 0.5, 0.5, np.nan, np.inf, -np.inf, 0.5]
        boxes, scores = place(corners, rng, zero=True), place(scores, rng, zero=True)
        for limit, overlap, least in [(5, 0.5, None), (1000, 0.3, -0.25), (0, 0.5, None), (1000, 0.0, 2.0)]:
            given = [np.array([limit]), np.array([overlap], np.float32)]
            given += [None if least is None else np.array([least], np.float32)]
            params = params_blob("NmsSelect", {"centered": centered})
            shapes = [((batches, classes, count), np.int32), ((batches, classes), np.int64)]
            chosen, counts = run(row, [boxes, scores, *given], shapes, rng, params=params, init=lambda i: np.array(-1))
            inputs = [boxes, scores, *(g for g in given if g is not None)]
            (want,) = evaluate_node(node("NonMaxSuppression", inputs, {"center_point_box": centered}), inputs)
            assert counts.sum() == len(want)
            (got,) = run(fill, [chosen, counts], [(want.shape, np.int64)], rng)
            np.testing.assert_array_equal(got, want)
            run(fill, [chosen, counts], [((len(want) + 1, 3), np.int64)], rng, status=BAD_VALUE)


@each("roi_align_f32", "roi_align_f64")
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("half", [0, 1])
def test_regions(row: dict, mode: str, half: int) -> None:
    rng = np.random.default_rng(2)
    dtype = np.float32 if row["name"].endswith("32") else np.float64
    for ratio, bins, scale in [(0, (3, 2), 1.0), (2, (2, 2), 0.5), (3, (1, 4), 0.25)]:
        x = place(rng.uniform(-2, 3, (3, 4, 9, 7)).astype(dtype), rng, zero=True)
        low = rng.uniform(-3, 9, (12, 2))
        regions = place(np.concatenate([low, low + rng.uniform(-1, 12, (12, 2))], 1).astype(dtype), rng)
        batches = place(rng.integers(0, 3, 12), rng)
        settings = {"half_pixel": half, "maximum": int(mode == "max"), "sampling_ratio": ratio, "spatial_scale": scale}
        attributes = {
            "mode": mode, "output_height": bins[0], "output_width": bins[1], "sampling_ratio": ratio,
            "spatial_scale": scale,
            "coordinate_transformation_mode": "half_pixel" if half else "output_half_pixel",
        }  # fmt: skip
        params, inputs = params_blob("RoiAlign", settings), [x, regions, batches]
        (want,) = vision._roi_evaluate(node("RoiAlign", inputs, attributes), inputs)
        (got,) = run(row, inputs, [(want.shape, dtype)], rng, params=params)
        np.testing.assert_allclose(got, want, atol=16 * np.finfo(dtype).eps * 3)
        for wrong in (-1, 3):
            bad = np.array(batches)
            bad[-1] = wrong
            run(row, [x, regions, bad], [(want.shape, dtype)], rng, params=params, status=OUT_OF_RANGE)
    vast = np.array([[0, 0, 1e30, 1], [0, 0, np.nan, np.inf]], dtype)
    shape = [((1, 4, 2, 2), dtype)]
    params = params_blob("RoiAlign", {"half_pixel": half, "maximum": int(mode == "max"), "spatial_scale": 1.0})
    run(row, [x, vast[:1], np.zeros(1, np.int64)], shape, rng, params=params, status=BAD_VALUE)
    few = params_blob("RoiAlign", {"sampling_ratio": 2, "half_pixel": half, "spatial_scale": 1.0})
    (got,) = run(row, [x, vast[1:], np.zeros(1, np.int64)], shape, rng, params=few)
    assert np.isfinite(got).all()


@each("grid_sample_f32", "grid_sample_f64")
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grids(row: dict, mode: str, padding: str) -> None:
    rng = np.random.default_rng(3)
    dtype = np.float32 if row["name"].endswith("32") else np.float64
    for spatial, outer, align in [
        ((5, 6), (4, 40), 0),
        ((1, 3), (9, 1), 1),
        ((7,), (70,), 0),
        ((3, 4, 2), (3, 2, 5), 1),
    ]:
        x = place(rng.uniform(-2, 2, (2, 3, *spatial)).astype(dtype), rng, zero=True)
        grid = rng.uniform(-2.5, 2.5, (2, *outer, len(spatial))).astype(dtype)
        grid.flat[:4] = [-1, 1, 0, 3.5]
        grid = place(grid, rng)
        settings = {
            "mode": ("linear", "nearest", "cubic").index(mode), "align_corners": align,
            "padding": ("zeros", "border", "reflection").index(padding),
        }  # fmt: skip
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": align}
        (want,) = vision._grid_evaluate(node("GridSample", [x, grid], attributes), [x, grid])
        (got,) = run(row, [x, grid], [(want.shape, dtype)], rng, params=params_blob("GridSample", settings))
        np.testing.assert_allclose(got, want, atol=32 * np.finfo(dtype).eps * 2)
    odd = np.full((2, *outer, 3), np.nan, dtype)
    odd[0] = 1e30
    odd[1, 0] = np.inf
    (got,) = run(row, [x, odd], [(want.shape, dtype)], rng, params=params_blob("GridSample", settings))
    assert padding != "zeros" or not got.any()


@each("trees_f32", "trees_f64")
def test_trees(row: dict) -> None:
    rng = np.random.default_rng(4)
    dtype = np.float32 if row["name"].endswith("32") else np.float64
    for outputs in (1, 3):
        attributes = trees._forest(outputs, trees=7)
        made = node("TreeEnsembleRegressor", [np.zeros((1, 4), dtype)], {**attributes, "n_targets": outputs})
        table = trees.table_of(made)
        for count in (0, 1, 100):
            values = rng.uniform(-3, 3, (count, 4)).astype(dtype)
            values[rng.random(values.shape) < 0.05] = np.nan
            x = place(values, rng, zero=True)
            for aggregate in range(4):
                operands = [x, *table.arrays(np.dtype(dtype))]
                params = params_blob("Trees", {"aggregate": aggregate})
                outs = [((count, outputs), dtype)]
                (got,) = run(row, operands, outs, rng, params=params, constant=range(1, 7))
                want = trees._scores(table, x, outputs, aggregate)
                np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@each("trees_f32")
def test_tables_that_lead_astray_are_refused(row: dict) -> None:
    good = trees.table_of(node("TreeEnsembleRegressor", [np.zeros((1, 4), np.float32)], trees._forest(2)))
    x, y = np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float32)

    def bind(table: Table) -> int:
        operands = [x, *table.arrays(np.dtype(np.float32))]
        return call(row, operands, [y], params=params_blob("Trees", {"aggregate": 1}), constant=range(1, 7))[
            "bind_status"
        ]

    assert bind(good) == 0
    for column, value in ((0, 4), (0, -1), (3, 0), (4, 1 << 20), (3, -(1 << 20))):
        nodes = good.nodes.copy()
        nodes[2, column] = value
        assert bind(Table(good.roots, nodes, good.splits, good.leaves, good.targets, good.weights)) == MISMATCH
    far = good.leaves.copy()
    far[-1] += 1
    assert bind(Table(good.roots, good.nodes, good.splits, far, good.targets, good.weights)) == MISMATCH
    assert bind(Table(good.roots, good.nodes, good.splits, good.leaves, good.targets + 1, good.weights)) == MISMATCH


@each("col2im_f32", "col2im_f64", "col2im_i32")
@pytest.mark.parametrize(
    ("image", "block", "attributes"),
    [
        ((70,), (5,), {}),
        ((9, 75), (3, 3), {"pads": (1, 2, 0, 1)}),
        ((11, 12), (2, 3), {"strides": (2, 3), "dilations": (3, 2)}),
        ((5, 6, 7), (2, 1, 3), {"dilations": (1, 1, 2), "pads": (0, 1, 2, 1, 0, 3)}),
        ((3, 90), (1, 81), {}),
    ],
)
def test_columns_add_up(row: dict, image: Any, block: Any, attributes: Any) -> None:
    rng = np.random.default_rng(4)
    axes = len(image)
    dtype = {"32": np.float32, "64": np.float64}[row["name"][-2:]] if "f" in row["name"][-3:] else np.int32
    strides, dilations = attributes.get("strides", (1,) * axes), attributes.get("dilations", (1,) * axes)
    pads = attributes.get("pads", (0,) * (2 * axes))
    counts = [
        (n + pads[i] + pads[axes + i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1
        for i, n in enumerate(image)
    ]
    shape = (2, 3 * int(np.prod(block)), int(np.prod(counts)))
    values = rng.integers(-9, 9, shape).astype(dtype)
    sizes = [np.array(image), np.array(block)]
    settings = {"block": list(block), "strides": list(strides), "dilations": list(dilations), "pads": list(pads)}
    blob = params_blob("Col2Im", settings)
    for x in (values, place(values, rng, zero=True)):
        (want,) = vision._image_evaluate(node("Col2Im", [x, *sizes], attributes), [x, *sizes])
        (got,) = run(row, [x], [(want.shape, dtype)], rng, params=blob)
        np.testing.assert_array_equal(got, want)
    run(row, [values[:, :-1]], [(want.shape, dtype)], rng, params=blob, status=MISMATCH)
