from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.guard import place, run
from tests.support.rowcall import call, params_blob, rows

NAMES = ["softmax_f32", "softmax_f64", "log_softmax_f32", "log_softmax_f64"]


def every(*names: str) -> pytest.MarkDecorator:
    found = [r for name in names for r in rows(name)]
    return pytest.mark.parametrize("row", found, ids=lambda r: f"{r['name']}-tier{r['tier']}")


def facts(row: Any) -> tuple[bool, Any, str]:
    log = row["name"].startswith("log")
    return log, np.dtype(np.float32 if row["name"].endswith("f32") else np.float64), "LogSoftmax" if log else "Softmax"


def check(row: Any, got: np.ndarray, t: np.ndarray, axis: int, size: np.ndarray) -> None:
    """t in float64 is what the line's exponents are; `size` bounds the terms it was made of."""
    log, dtype, _ = facts(row)
    eps, k = np.finfo(dtype).eps, t.shape[axis]
    with np.errstate(all="ignore"):
        top = np.max(t, axis=axis, keepdims=True)
        e = np.exp(t - top)
        total = np.sum(e, axis=axis, keepdims=True)
        want = (t - top) - np.log(total) if log else e / total
        # An exponent is off by an ulp of its size and an ulp of the exponential; the sum by sqrt(K) of those.
        off = eps * (4 + np.sqrt(k) + 2 * size + 2 * np.max(size, axis=axis, keepdims=True))
        bound = (off + 4 * eps * np.abs(want)) if log else want * off + np.finfo(dtype).tiny
        bad = ~((np.abs(got - want) <= bound) | (got == want) | (np.isnan(got) & np.isnan(want)))
    assert not bad.any(), (got[bad][:4], want[bad][:4], t.shape, axis)


SHAPES = [(3, 7), (128, 128), (5, 1000), (2, 3, 5000), (2, 64, 9), (3, 200, 70), (2, 5, 1), (4,), (2, 3, 4, 5, 6)]


@every(*NAMES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["dense", "transposed", "odd"])
def test_lines(row: dict, shape: tuple[int, ...], layout: str) -> None:
    rng = np.random.default_rng(1)
    _, dtype, family = facts(row)
    for axis in range(len(shape)):
        x = (rng.standard_normal(shape) * 5).astype(dtype)
        if layout == "transposed":
            x = np.array(x.T, order="C").T
        elif layout == "odd":
            x = place(x, rng, zero=True)
        (got,) = run(row, [x, None], [(shape, dtype)], None if layout == "dense" else rng,
                     params=params_blob(family, {"axis": axis}))  # fmt: skip
        check(row, got, x.astype(np.float64), axis, np.abs(x.astype(np.float64)))


@every(*NAMES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scale_and_mask(row: dict, axis: int) -> None:
    rng = np.random.default_rng(2)
    _, dtype, family = facts(row)
    shape = (3, 40, 70)
    for mask_shape in [None, (3, 40, 70), (1, 1, 70), (70,), (40, 1), (3, 1, 1), (1,)]:
        for x in [rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[::-1]).astype(dtype).T]:
            mask = None
            if mask_shape is not None:
                values = np.where(rng.random(mask_shape) < 0.3, -np.inf, rng.standard_normal(mask_shape))
                mask = place(values.astype(dtype), rng)
            params = params_blob(family, {"axis": axis, "scale": 0.125})
            (got,) = run(row, [x, mask], [(shape, dtype)], rng, params=params)
            added = np.zeros(1) if mask is None else mask.astype(np.float64)
            t = x.astype(np.float64) * 0.125 + added
            size = np.abs(x) * 0.125 + np.where(np.isfinite(added), np.abs(added), 0)
            check(row, got, t, axis, size)


@every(*NAMES)
def test_in_place_and_without_a_mask_operand(row: dict) -> None:
    rng = np.random.default_rng(3)
    _, dtype, family = facts(row)
    for x in [rng.random((9, 130)).astype(dtype), rng.random((130, 90)).astype(dtype).T]:
        for axis in (0, 1):
            params = params_blob(family, {"axis": axis})
            apart, y = np.array(x), np.array(x)
            assert call(row, [np.array(x)], [apart], params=params)["status"] == 0
            assert call(row, [y], [y], params=params, parts=3)["status"] == 0
            assert y.tobytes() == apart.tobytes()


@every(*NAMES)
@pytest.mark.parametrize("axis", [0, 1])
def test_special_values_and_extremes(row: dict, axis: int) -> None:
    rng = np.random.default_rng(4)
    _, dtype, family = facts(row)
    x = rng.standard_normal((40, 40)).astype(dtype)
    x[3], x[:, 5] = -np.inf, -np.inf
    x[7, 7], x[20, 21], x[30, 31] = np.nan, np.inf, 1e30
    x[11, 11:15] = [500, -500, 88.7, -1e30]
    for view in (x, np.array(x.T, order="C").T):
        (got,) = run(row, [view], [(x.shape, dtype)], params=params_blob(family, {"axis": axis}))
        with np.errstate(invalid="ignore"):
            size = np.where(np.isfinite(x), np.abs(x), 0).astype(np.float64)
            check(row, got, x.astype(np.float64), axis, np.minimum(size, 1e30))
        all_lost = got[3] if axis == 1 else got[:, 5]
        assert np.isnan(all_lost).all()


@every(*NAMES)
def test_of_nothing_and_misfits(row: dict) -> None:
    _, dtype, family = facts(row)
    for shape, axis in [((0, 3), 1), ((3, 0), 1), ((3, 0), 0)]:
        run(row, [np.zeros(shape, dtype)], [(shape, dtype)], params=params_blob(family, {"axis": axis}))
    x = np.zeros((2, 3), dtype)
    assert call(row, [x], [np.zeros((3, 2), dtype)], params=params_blob(family, {"axis": 1}))["bind_status"] == 2
    assert call(row, [x], [x], params=params_blob(family, {"axis": 2}))["bind_status"] == 2
    mask = np.zeros((2, 4), dtype)
    assert call(row, [x, mask], [x], params=params_blob(family, {"axis": 1}))["bind_status"] == 2
