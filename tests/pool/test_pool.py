"""Processes that run models side by side, share their weights and may end at any time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import onnx
import pytest

from arenaut.measure.worker import WorkerError
from arenaut.pool.pool import Loading, Pool
from tests.support.serving import doubling, weighty

pytestmark = pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="processes of POSIX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pool")
    onnx.save(doubling(), made / "double.onnx")
    onnx.save(weighty(), made / "weighty.onnx")
    return made


@pytest.fixture(scope="module")
def pool(folder: Path) -> Iterator[Pool]:
    with Pool(2, threads=1, cache=str(folder / "cache")) as made:
        made.load("double", Loading(str(folder / "double.onnx")))
        yield made


def row(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full((1, 4), value, np.float32)}


def test_a_run_gives_outputs_by_name(pool: Pool) -> None:
    outputs, arena = pool.submit("double", row(3)).result()
    assert outputs["y"].tolist() == [[6] * 4] and arena > 0


def test_what_a_model_refuses_is_told_by_its_error(pool: Pool) -> None:
    with pytest.raises(WorkerError, match="expected dtype float32, got float64") as caught:
        pool.submit("double", {"x": np.zeros((1, 4))}).result()
    assert caught.value.kind == "InputError"


def test_what_waited_too_long_is_not_begun(pool: Pool) -> None:
    with pytest.raises(WorkerError, match="time limit") as caught:
        pool.submit("double", row(1), deadline=time.monotonic() - 1).result()
    assert caught.value.kind == "RunTimeoutError"


def test_processes_that_are_killed_lose_nothing(pool: Pool) -> None:
    before = pool.restarts
    futures = []
    for i in range(200):
        futures.append(pool.submit("double", row(i)))
        if i in (50, 100):
            pid = pool.pids[i // 100]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
    assert not wait(futures, timeout=120).not_done
    assert [f.result()[0]["y"][0, 0] for f in futures] == [2 * i for i in range(200)]
    outputs = [pool._to(i, lambda w: w.call("run", "double", row(1), None, None)).result() for i in range(2)]
    assert [o["y"][0, 0] for o, _ in outputs] == [2, 2] and pool.restarts == before + 2


def test_a_model_that_cannot_be_loaded_is_refused_and_others_stay(pool: Pool, folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(WorkerError) as caught:
        pool.load("bad", Loading(str(folder / "bad.onnx")))
    assert caught.value.kind == "NotAModelError"
    assert pool.submit("double", row(2)).result()[0]["y"][0, 0] == 4


def test_a_run_that_ends_every_process_is_given_up(folder: Path) -> None:
    with Pool(1, target="tests.support.serving:Dying") as pool, pytest.raises(WorkerError) as caught:
        pool.submit("any", {}).result()
    assert caught.value.kind == "died"


def test_closing_finishes_what_was_submitted(folder: Path) -> None:
    with Pool(1, threads=1, cache=str(folder / "cache")) as pool:
        pool.load("double", Loading(str(folder / "double.onnx")))
        futures = [pool.submit("double", row(i)) for i in range(50)]
    assert [f.result()[0]["y"][0, 0] for f in futures] == [2 * i for i in range(50)]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system has no /proc/*/smaps_rollup")
def test_processes_map_the_same_weights(pool: Pool, folder: Path) -> None:
    """32 MiB of weights: each process has them resident, and both together hold them once."""
    before = pool.memory()
    face = pool.load("weighty", Loading(str(folder / "weighty.onnx")))
    assert face.mapped
    after = pool.memory()
    grown = {name: sum(m[name] for m in after) - sum(m[name] for m in before) for name in ("rss", "pss")}
    assert grown["rss"] > 60 << 20 and grown["pss"] < 40 << 20
    pool.unload("weighty")
