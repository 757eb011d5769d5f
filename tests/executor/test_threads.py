"""The process-wide thread pool: how many threads, the same bytes from any number, sleep when idle, and forks."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

import arenaut
from arenaut import _native
from arenaut.native import target as machine
from tests.support.models import parse

RNG = np.random.default_rng(3)


def products(size: int, depth: int = 6) -> Any:
    steps = ["t0 = MatMul (x, w)"] + [f"t{i} = MatMul (t{i - 1}, w)" for i in range(1, depth)]
    return parse(
        f"g (float[{size}, {size}] x, float[{size}, {size}] w) => (float[{size}, {size}] y) "
        f"{{ {' '.join(steps)} y = Softmax (t{depth - 1}) }}"
    )


def square(size: int) -> Any:
    return (RNG.standard_normal((size, size)) / size**0.5).astype(np.float32)


@pytest.fixture
def wide_pool() -> Iterator[None]:
    """More threads than processors."""
    _native.set_pool_limit(6)
    yield
    _native.set_pool_limit(machine.default_threads())


def load(model: Any, threads: int) -> arenaut.Model:
    """A model that may use more threads than there are processors."""
    loaded = arenaut.load_onnx(model, threads=threads)
    _native.set_pool_limit(6)
    return loaded


@pytest.mark.usefixtures("wide_pool")
def test_the_same_bytes_from_any_number_of_threads() -> None:
    for size in (33, 200, 384):
        feeds = {"x": square(size), "w": square(size)}
        model = products(size)
        want = arenaut.load_onnx(model, threads=1).run(feeds)["y"].tobytes()
        for threads in (2, 3, 6):
            loaded = load(model, threads)
            for _ in range(8):  # while steps are timed, and after
                assert loaded.run(feeds)["y"].tobytes() == want


@pytest.mark.usefixtures("wide_pool")
def test_models_share_the_pool() -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
    feeds = {"x": square(256), "w": square(256)}
    models = [load(products(256, depth), threads) for depth, threads in ((2, 2), (3, 4), (4, 6), (5, 3), (6, 6))]
    want = [m.run(feeds)["y"].tobytes() for m in models]
    with ThreadPoolExecutor(8) as callers:
        for _ in range(10):
            got = list(callers.map(lambda m: m.run(feeds)["y"].tobytes(), models))
            assert got == want
    assert threading.active_count() == before[0]
    if before[1]:
        assert len(os.listdir("/proc/self/task")) - before[1] <= 5


def test_no_more_threads_than_the_limit() -> None:
    feeds = {"x": square(256), "w": square(256)}
    code = (
        "import os, arenaut; from arenaut import _native\n"
        "from test_threads import products, square\n"
        "feeds = {'x': square(256), 'w': square(256)}\n"
        "m = arenaut.load_onnx(products(256), threads=9); _native.set_pool_limit(3)\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "[m.run(feeds) for _ in range(5)]; print(len(os.listdir('/proc/self/task')) - before)"
    )
    if not os.path.exists("/proc/self/task"):
        pytest.skip("needs /proc")
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, here])})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 2
    assert arenaut.load_onnx(products(256), threads=9).run(feeds)["y"].shape == (256, 256)


def test_an_idle_pool_uses_no_processor() -> None:
    model = arenaut.load_onnx(products(256), threads=2)
    feeds = {"x": square(256), "w": square(256)}
    for _ in range(10):
        model.run(feeds)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02


def child(model: arenaut.Model, feeds: Any, want: bytes, results: Any) -> None:
    results.put(all(model.run(feeds)["y"].tobytes() == want for _ in range(5)))


def test_forked_children_have_a_pool_of_their_own() -> None:
    model = arenaut.load_onnx(products(256), threads=2)
    feeds = {"x": square(256), "w": square(256)}
    want = [model.run(feeds) for _ in range(5)][-1]["y"].tobytes()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=child, args=(model, feeds, want, results)) for _ in range(3)]
    for c in children:
        c.start()
    assert [results.get(timeout=60) for _ in children] == [True] * 3
    for c in children:
        c.join(timeout=60)
        assert c.exitcode == 0
    assert model.run(feeds)["y"].tobytes() == want


def test_a_fork_while_runs_are_under_way() -> None:
    model = arenaut.load_onnx(products(128), threads=2)
    feeds = {"x": square(128), "w": square(128)}
    want = model.run(feeds)["y"].tobytes()
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            model.run(feeds)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                os._exit(0 if model.run(feeds)["y"].tobytes() == want else 1)
            deadline = time.monotonic() + 60
            while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
                assert time.monotonic() < deadline, "the child hangs"
                time.sleep(0.01)
            assert found[1] == 0
    finally:
        done.set()
        thread.join()


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, None),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000", "sys/fs/cgroup/a/b/cpu.max":
          "max 100000"}, 3.0),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000", "sys/fs/cgroup/a/b/cpu.max":
          "50000 100000"}, 0.5),
        ({"proc/self/cgroup": "0::/gone\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/job\n2:memory:/job\n", "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "400000",
          "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"}, 4.0),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/gone\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000",
          "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000"}, 2.5),
        ({"proc/self/cgroup": "1:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)  # fmt: skip
def test_quota_of_the_container(tmp_path: Path, files: dict[str, str], cpus: float | None) -> None:
    assert machine.cgroup_cpus(write(tmp_path, files)) == cpus


def test_threads_follow_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for quota, want in ((None, 8), (2.0, 2), (1.5, 2), (0.4, 1), (16.0, 8)):
        monkeypatch.setattr(machine, "cgroup_cpus", lambda quota=quota: quota)
        assert machine.default_threads() == want


def test_the_first_run_of_a_size_uses_all_threads() -> None:
    """Though its first step is not worth any: sizes that no run had before are the rule where caches grow."""
    width = 2048
    weight = numpy_helper.from_array(np.ones((width, width), np.float32), "w")
    nodes = [helper.make_node("Exp", ["s"], ["e"]), helper.make_node("MatMul", ["x", "w"], ["z"])]
    rows = [helper.make_tensor_value_info(name, 1, ["rows", width]) for name in ("x", "z")]
    small = [helper.make_tensor_value_info(name, 1, [1]) for name in ("s", "e")]
    graph = helper.make_graph(nodes, "g", [rows[0], small[0]], [rows[1], small[1]], [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model = load(proto, 2)
    own = by_all = 0.0
    for count in range(40, 52):
        x = np.ones((count, width), np.float32)
        began = time.thread_time(), time.process_time()
        model.run({"x": x, "s": x[0, :1]})
        own, by_all = own + time.thread_time() - began[0], by_all + time.process_time() - began[1]
    assert by_all > 1.1 * own
