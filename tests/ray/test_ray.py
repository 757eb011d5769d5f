"""Real Ray clusters of several local nodes, each scenario in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs pip install 'arenaut[ray]'")


def scenario(name: str, folder: Path) -> str:
    paths = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    environment = {**os.environ, "PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0",
                   "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # fmt: skip
    for turn in range(3):
        place = folder / str(turn)
        place.mkdir()
        done = subprocess.run([sys.executable, "-m", "tests.ray.scenarios", name, str(place)], env=environment,
                              cwd=place, capture_output=True, text=True, timeout=400)  # fmt: skip
        if "timed out during startup" not in done.stderr:  # Ray gives its own processes 30 s to start, however busy
            break
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


def test_a_killed_node_loses_no_row_of_a_batch_and_doubles_none(tmp_path: Path) -> None:
    scenario("parts", tmp_path)


def test_a_killed_node_loses_no_row_of_a_dataset_and_doubles_none(tmp_path: Path) -> None:
    scenario("tables", tmp_path)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system has no /proc/*/smaps_rollup")
def test_actors_of_a_node_map_the_same_weights(tmp_path: Path) -> None:
    assert "PSS grows" in scenario("memory", tmp_path)
