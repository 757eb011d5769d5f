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
        words = [sys.executable, "-m", "tests.ray.scenarios", name, str(place)]
        # A file and no pipe: what a killed node leaves behind holds on to it for a while.
        with open(place / "said", "w+") as said:
            code = subprocess.run(words, env=environment, cwd=place, stdout=said, stderr=said, timeout=400).returncode
            said.seek(0)
            text = said.read()
        if "timed out during startup" not in text:  # Ray gives its own processes 30 s to start, however busy
            break
    assert code == 0, text[-6000:]
    return text


def test_a_killed_node_loses_no_row_of_a_batch_and_doubles_none(tmp_path: Path) -> None:
    scenario("parts", tmp_path)


def test_a_killed_node_loses_no_row_of_a_dataset_and_doubles_none(tmp_path: Path) -> None:
    scenario("tables", tmp_path)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system has no /proc/*/smaps_rollup")
def test_actors_of_a_node_map_the_same_weights(tmp_path: Path) -> None:
    assert "PSS grows" in scenario("memory", tmp_path)
