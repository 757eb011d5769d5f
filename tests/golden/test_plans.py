"""Ten reference models are compiled to the stored steps and offsets, and compute the stored values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arenaut import _native
from tests.golden.plans import FOLDER, MODELS, TIER, caches, differences, stored

RTOL = 2e-4  # of the largest value: another compiler contracts and orders sums otherwise

pytestmark = pytest.mark.skipif(
    _native.cpu()["vendor"] != "x86-64" or _native.cpu()["tier"] < 1, reason="the plans are those of x86-64-v3"
)


@cache
def made() -> dict[str, Any]:
    """All plans, from one process that is capped at the tier."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.golden.plans", "--json"],
        env={**os.environ, "ARENAUT_ISA_MAX": TIER, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    return {document["model"]: document for document in documents}


def test_every_plan_is_stored() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_steps_kernels_and_offsets_are_the_stored_ones(name: str) -> None:
    want, got = stored(name), made()[name]
    keys = ["sizes", "steps"] + (["placement"] if want["caches"] == caches() else [])
    found = [line for key in keys for line in differences(want[key], got[key], key)]
    assert not found, "\n".join([*found[:20], "meant? python -m tests.golden.plans --write"])


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_stored_ones(name: str) -> None:
    want, got = stored(name)["outputs"], made()[name]["outputs"]
    assert list(want) == list(got)
    for key, expected in want.items():
        actual = got[key]
        assert (actual["dtype"], actual["shape"]) == (expected["dtype"], expected["shape"])
        assert len(expected["samples"]) > 0
        np.testing.assert_allclose(actual["samples"], expected["samples"], rtol=0, atol=RTOL * expected["scale"])
