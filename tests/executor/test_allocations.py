"""What a run takes from the allocator, counted from outside: exactly what the plan says, and nothing in a warm loop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("alloc_counter.c")


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preloaded counter, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and LD_PRELOAD")
    library = tmp_path_factory.mktemp("counter") / "alloc_counter.so"
    built = subprocess.run(
        [compiler, "-O1", "-fPIC", "-shared", "-fno-builtin", "-fexceptions", str(SOURCE), "-o", str(library)],
        capture_output=True,
        text=True,
    )
    if built.returncode != 0:
        pytest.skip(f"the system's C library has no hooks to count with: {built.stderr[:200]}")
    return library


def count(counter: Path, case: str, *arguments: str) -> Any:
    """What alloc_case.py prints, run under the counter."""
    script = Path(__file__).with_name("alloc_case.py")
    done = subprocess.run(
        [sys.executable, str(script), str(counter), case, *arguments],
        env={**os.environ, "LD_PRELOAD": str(counter), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "cannot be preloaded" in done.stderr:
        pytest.skip("the counter cannot be preloaded")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CASES = ("digits", "loop", "scan", "if", "stages", "mlp-3x512", "transformer-block")


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("case", CASES)
def test_a_warm_run_allocates_no_memory_for_tensors(counter: Path, case: str, threads: str) -> None:
    found = count(counter, case, threads)
    for warm in found["warm"]:
        assert warm["small_calls"] == found["late_outputs"] * 2, (case, warm)
        assert warm["block_bytes"] == 0, (case, warm)


def test_a_step_with_a_state_allocates_nothing(counter: Path) -> None:
    """Each step of a decoder has sizes that no step had before; a recurrent one finds those of the step before."""
    cases = ("gpt2-cached-tiny", "qwen3-cached-tiny", "whisper-micro-cached", "gru")
    nothing = {"small_calls": 0, "small_bytes": 0, "block_calls": 0, "block_bytes": 0}
    assert count(counter, f"state:{','.join(cases)}", "1") == {case: [nothing] * 20 for case in cases}


@pytest.mark.parametrize("case", [*(c for c in CASES if c != "stages"), "unet-256", "gpt2-2l"])
def test_the_plan_is_what_a_cold_run_takes(counter: Path, case: str) -> None:
    found = count(counter, case, "2")
    arena = found["intermediate_bytes"] + found["body_bytes"]
    assert found["cold"]["block_bytes"] == arena + found["output_bytes"]
    assert found["planned_bytes"] == arena + found["all_output_bytes"]
    assert (found["body_bytes"] > 0) == (case == "loop")  # its data decides how much is stacked


def test_the_counter_counts(counter: Path) -> None:
    """A run of an interpreted model copies inputs and outputs of its own: the counter must see that."""
    found = count(counter, "interpreted", "1")
    assert all(warm["small_calls"] > 0 for warm in found["warm"])


@pytest.mark.usefixtures("counter")
def test_a_failing_allocation_leaves_a_usable_model() -> None:
    """The first run of a loop's body is made while it runs. All cases: python -m tests.soak.faults."""
    done = subprocess.run([sys.executable, "-m", "tests.soak.faults", "loop", "--rounds", "3"], capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing stays" in done.stdout
