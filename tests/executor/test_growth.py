"""Arenas never grow by repetition: after many runs at random sizes a process holds what the largest size needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["convolutions", "attention"])
def test_random_sizes(name: str) -> None:
    """bench/random_shapes.py does the same with 10,000 runs."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    done = subprocess.run(
        [sys.executable, "-m", "bench.random_shapes", "--runs", "400", name],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
