"""Real Ray clusters of several local nodes, each scenario in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Ray gives its own processes 30 s to start, and Serve its proxies 60 s, however busy the machine is; and its processes
# may take the port that was free before.
LATE = ("timed out during startup", "HTTP proxies not available", "Failed to bind to address")
PLAIN = (
    "import ray; ray.init(address='local', num_cpus=1, include_dashboard=False);"
    "assert ray.get(ray.remote(lambda: 1).remote()) == 1"
)
pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs pip install 'arenaut[ray]'")

ENVIRONMENT = {
    **os.environ,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Serve gives its proxy 5 s to start, and kills it after: too few beside other work.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}


@pytest.fixture(scope="module", autouse=True)
def ray_itself_starts() -> None:
    """Ray wants shared memory, interfaces and limits that not every container has."""
    for _ in range(2):
        words = [sys.executable, "-c", PLAIN]
        tried = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=200)
        if tried.returncode == 0:
            return
    pytest.skip(f"Ray itself does not start on this machine: {tried.stderr[-500:]}")


def scenario(name: str, folder: Path) -> str:
    paths = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    environment = {**ENVIRONMENT, "PYTHONPATH": paths}
    for turn in range(3):
        place = folder / str(turn)
        place.mkdir()
        words = [sys.executable, "-m", "tests.ray.scenarios", name, str(place)]
        # A file and no pipe: what a killed node leaves behind holds on to it for a while.
        with open(place / "said", "w+") as said:
            code = subprocess.run(words, env=environment, cwd=place, stdout=said, stderr=said, timeout=400).returncode
            said.seek(0)
            text = said.read()
        if not any(words in text for words in LATE):
            break
    assert code == 0, text[-6000:]
    return text


def test_a_killed_node_loses_no_row_of_a_batch_and_doubles_none(tmp_path: Path) -> None:
    scenario("parts", tmp_path)


def test_a_killed_node_loses_no_row_of_a_dataset_and_doubles_none(tmp_path: Path) -> None:
    scenario("tables", tmp_path)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system has no /proc/*/smaps_rollup")
def test_actors_of_a_node_map_the_same_weights(tmp_path: Path) -> None:
    assert "PSS by" in scenario("memory", tmp_path)


def test_serve_joins_the_requests_of_several_models(tmp_path: Path) -> None:
    scenario("served", tmp_path)
