"""ONNX's conformance suite: every official case, with the graph optimised and as stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from arenaut.errors import ModelError
from tests.conformance.__main__ import outcome
from tests.conformance.cases import SUITES, Case, cases, run_case
from tests.conformance.known import FAILURES, NOT_COMPARABLE, RANDOM

MODES = pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "stored"])


def in_modes(chosen: Callable[[Case, bool], bool]) -> Any:
    """Cases that are chosen as they run, with the graph optimised or not."""
    modes = {True: "optimised", False: "stored"}
    found = [(c, mode) for mode in modes for c in cases() if chosen(c, mode)]
    return pytest.mark.parametrize(("case", "optimize"), found, ids=[f"{c}-{modes[mode]}" for c, mode in found])


def fails(case: Case, optimize: bool) -> bool:
    return case.name in FAILURES


def is_ordinary(case: Case, optimize: bool) -> bool:
    return not fails(case, optimize) and case.name not in RANDOM | NOT_COMPARABLE


def named(names: Any) -> Any:
    return pytest.mark.parametrize("case", [c for c in cases() if c.name in names], ids=str)


def test_no_case_is_left_out() -> None:
    found = {suite: [c for c in cases() if c.suite == suite] for suite in SUITES}
    assert len(found["node"]) >= 1884 and len(found["simple"]) >= 23 and len(found["real"]) >= 9
    assert len(found["pytorch-converted"]) >= 82 and len(found["pytorch-operator"]) >= 35
    assert {c.name for c in cases()} >= FAILURES.keys() | RANDOM | NOT_COMPARABLE


@in_modes(is_ordinary)
def test_official_case(case: Case, optimize: bool) -> None:
    for outputs, expected in run_case(case, optimize=optimize):
        case.compare(outputs, expected)


THROUGH_FILES = [c for c in cases() if is_ordinary(c, True)][::40]
# Its fragment decides sizes, which the outline in the file tells of.
THROUGH_FILES += [c for c in cases() if c.name == "test_affine_grid_2d_expanded"]


@pytest.mark.parametrize("case", THROUGH_FILES, ids=str)
def test_official_case_by_way_of_a_compiled_file(case: Case) -> None:
    """A part; all of it: python -m tests.conformance --compiled"""
    assert outcome(case, True, True) == "passed"


@in_modes(fails)
def test_known_failure(case: Case, optimize: bool) -> None:
    with pytest.raises((AssertionError, ModelError)):  # it passed, so take it off the list
        for outputs, expected in run_case(case, optimize=optimize):
            case.compare(outputs, expected)


@MODES
@named(RANDOM)
def test_random_case(case: Case, optimize: bool) -> None:
    for outputs, expected in run_case(case, optimize=optimize):
        for y, want in zip(outputs, expected, strict=True):
            assert (y.dtype, y.shape) == (want.dtype, want.shape)
            assert set(np.unique(y)) <= {0, 1}


@MODES
@named(NOT_COMPARABLE)
def test_case_without_official_comparison(case: Case, optimize: bool) -> None:
    for outputs, expected in run_case(case, optimize=optimize):
        with pytest.raises(TypeError, match="Unable to compare"):
            case.compare(expected, expected)
        assert_equal(outputs, expected)


def assert_equal(actual: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_equal(a, e)
    else:
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(actual, expected)


def causal_attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


@pytest.mark.parametrize(
    ("name", "formula", "optimize"),
    [
        ("test_attention_4d_causal_fp16_expanded", causal_attention, True),
        ("test_attention_4d_causal_fp16_expanded", causal_attention, False),
    ],
)
def test_failures_that_are_nearer_to_float64(name: str, formula: Any, optimize: bool) -> None:
    """These cannot be passed by computing better: where the official comparison refuses ours, the expected values are
    farther from the exact ones."""
    (case,) = [c for c in cases() if c.name == name]
    ((inputs, (want,)),) = case.data_sets(case.model())
    exact = formula(*(x.astype(np.float64) for x in inputs))
    (((got,), _),) = run_case(case, optimize=optimize)
    assert got.dtype == want.dtype
    limit = case.official.atol + case.official.rtol * np.abs(want)
    refused = np.abs(got.astype(np.float64) - want) > limit
    assert refused.any() and np.all(np.abs(got - exact)[refused] < np.abs(want - exact)[refused])
