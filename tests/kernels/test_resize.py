from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

COORDINATES = [
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
]  # fmt: skip
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
MODES = ["nearest", "linear", "cubic"]


def every(*names: str) -> pytest.MarkDecorator:
    found = [r for name in names for r in rows(name)]
    return pytest.mark.parametrize("row", found, ids=lambda r: f"{r['name']}-tier{r['tier']}")


class Case:
    """One Resize node, its result by onnx's reference, and the row's parameters."""

    def __init__(self, x: np.ndarray, mode: str, how: str, scales: Any = None, sizes: Any = None, **attributes: Any):
        crop = how == "tf_crop_and_resize"
        rank = x.ndim
        begin, end = ([0.125] * rank, [1.25] + [0.75] * (rank - 1)) if crop else ([0.0] * rank, [1.0] * rank)
        node = onnx.helper.make_node(
            "Resize", ["x", "roi" if crop else "", "scales" if scales else "", "sizes" if sizes else ""], ["y"],
            mode=mode, coordinate_transformation_mode=how, **attributes,
        )  # fmt: skip
        feeds: dict[str, Any] = {"x": np.ascontiguousarray(x).astype(np.float64)}
        if crop:
            feeds["roi"] = np.array(begin + end, np.float32)
        if scales:
            feeds["scales"] = np.array(scales, np.float32)
        if sizes:
            feeds["sizes"] = np.array(sizes, np.int64)
        self.want = np.asarray(ReferenceEvaluator(node).run(None, feeds)[0])  # type: ignore[arg-type]
        self.family = "ResizeNearest" if mode == "nearest" else "Resize"
        self.params = params_blob(self.family, {
            "mode": MODES.index(mode), "coordinates": COORDINATES.index(how),
            "rounding": ROUNDINGS.index(attributes.get("nearest_mode", ROUNDINGS[0])),
            "antialias": attributes.get("antialias", 0), "exclude_outside": attributes.get("exclude_outside", 0),
            "cubic_coeff_a": attributes.get("cubic_coeff_a", -0.75),
            "extrapolation_value": attributes.get("extrapolation_value", 0.0),
            "scales": scales or [0.0] * rank, "roi_begin": begin, "roi_end": end,
        })  # fmt: skip


def sources(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> list[np.ndarray]:
    x = rng.integers(0, 100, shape).astype(dtype)
    last = np.moveaxis(np.array(np.moveaxis(x, 1, -1), order="C"), -1, 1) if len(shape) > 2 else x
    return [x, last, place(x, rng, zero=True)]


def reference_errs(how: str, case: Case) -> bool:
    """See test_a_length_of_one_takes_the_first_element."""
    return how == "pytorch_half_pixel" and 1 in case.want.shape


TARGETS: list[dict[str, Any]] = [
    {"scales": [1, 1, 2, 3]}, {"scales": [1, 1, 0.5, 1.5]}, {"scales": [1, 1, 2.25, 0.375]},
    {"sizes": [2, 3, 5, 9]}, {"sizes": [2, 3, 1, 2]}, {"sizes": [1, 5, 4, 10]},
]  # fmt: skip


@every("resize_nearest")
@pytest.mark.parametrize("how", COORDINATES)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nearest(row: dict, how: str, rounding: str) -> None:
    rng = np.random.default_rng(1)
    dtypes = itertools.cycle([np.float32, np.uint8, np.float16, np.int64])
    for target, dtype in zip(TARGETS, dtypes, strict=False):
        for x in sources((2, 3, 4, 5), dtype, rng):
            case = Case(x, "nearest", how, nearest_mode=rounding, extrapolation_value=7.0, **target)
            if reference_errs(how, case):
                continue
            (got,) = run(row, [x], [(case.want.shape, dtype)], rng, params=case.params)
            np.testing.assert_array_equal(got, case.want)


@every("resize_f32", "resize_f64")
@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("how", COORDINATES)
@pytest.mark.parametrize("options", [{}, {"exclude_outside": 1}, {"antialias": 1}, {"cubic_coeff_a": -0.5}], ids=str)
def test_interpolation(row: dict, mode: str, how: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    dtype = np.float32 if row["name"].endswith("f32") else np.float64
    for target in TARGETS:
        for x in sources((2, 3, 4, 5), dtype, rng):
            case = Case(x, mode, how, extrapolation_value=2.5, **options, **target)
            if reference_errs(how, case):
                continue
            (got,) = run(row, [x], [(case.want.shape, dtype)], rng, params=case.params)
            # Weights are products of up to four of at most 2 in magnitude; elements are below 100. The reference
            # holds the scales in float32 in places.
            np.testing.assert_allclose(got, case.want, rtol=0, atol=100 * 64 * float(np.finfo(np.float32).eps))


@every("resize_f32", "resize_f64")
@pytest.mark.parametrize("scale", [0.5, 0.75])
def test_a_length_of_one_takes_the_first_element(row: dict, scale: float) -> None:
    """pytorch_half_pixel's position is 0 there, by the standard's text and onnxruntime; onnx.reference takes -0.5."""
    x = np.array([[1, 3], [5, 8]], np.float32 if row["name"].endswith("f32") else np.float64)
    case = Case(x, "cubic", "pytorch_half_pixel", scales=[scale, 1.0])
    (got,) = run(row, [x], [((1, 2), x.dtype)], params=case.params)
    np.testing.assert_array_equal(got, x[:1])


@every("resize_f32", "resize_nearest")
@pytest.mark.parametrize("shape, sizes", [((40,), [93]), ((30, 1), [7, 5]), ((1, 3, 37, 2000), [1, 3, 50, 1500])])
def test_other_ranks_and_longer_rows(row: dict, shape: tuple[int, ...], sizes: list[int]) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape).astype(np.float32)
    mode = "nearest" if row["name"] == "resize_nearest" else "linear"
    for view in (x, np.array(x.T, order="C").T):
        case = Case(x, mode, "half_pixel", sizes=sizes)
        (got,) = run(row, [view], [(case.want.shape, np.float32)], rng, params=case.params)
        np.testing.assert_allclose(got, case.want, rtol=0, atol=1e-5)


@every("resize_f32", "resize_nearest")
def test_of_nothing_and_misfits(row: dict) -> None:
    family = "ResizeNearest" if row["name"] == "resize_nearest" else "Resize"
    params = params_blob(family, {"mode": 0 if family == "ResizeNearest" else 1})
    x = np.zeros((2, 3), np.float32)
    run(row, [x], [((2, 0), np.float32)], params=params)
    run(row, [x[:0]], [((0, 7), np.float32)], params=params)
    assert call(row, [x[:0]], [np.zeros((2, 3), np.float32)], params=params)["bind_status"] == 2
    assert call(row, [x], [np.zeros((2, 3, 1), np.float32)], params=params)["bind_status"] == 2
    for scale in (1e-300, 1e300, float("nan"), float("inf")):  # whatever the coordinates, reads stay inside
        odd = params_blob(family, {"mode": 0 if family == "ResizeNearest" else 2, "scales": [scale, scale]})
        run(row, [place(x, np.random.default_rng(4))], [((5, 4), np.float32)], params=odd)
