"""Damaged models and hostile data end in results or in arenaut's own errors. The long search: tests/fuzz/run.py."""

from __future__ import annotations

import pytest

import arenaut
from arenaut.errors import ArenautError
from tests.fuzz import seeds
from tests.fuzz.run import search


@pytest.mark.parametrize("name", sorted(seeds.MODELS))
def test_seeds_are_models(name: str) -> None:
    arenaut.load_onnx(seeds.serialized(seeds.MODELS[name]), threads=1)


def test_damaged_models_are_results_or_errors() -> None:
    outcomes, failures = search(seed=7, first=0, seconds=120, most=250)
    assert not failures, "\n".join(failures)
    assert outcomes["ok"] > 30 and outcomes["refused: InvalidModelError"] > 30 and issubclass(ArenautError, Exception)
