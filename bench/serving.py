"""The server under load on the loopback: throughput, latency, memory, scaling; beside onnxruntime in the same server.

    python bench/serving.py table [--models NAMES] [--seconds S]      concurrency 1, 8 and 32
    python bench/serving.py soak [--requests N]                       resident memory over many requests
    python bench/serving.py scaling                                   one and two processes, in batch

Needs pip install '.[serve,batch,bench]' and 'tritonclient[http,grpc]'; models come by `python bench/zoo.py fetch`.
Clients speak gRPC with raw tensors from a process of their own. Both engines have as many threads as this machine has
CPUs, one process, the same server, the same batches; engines take turns.
docs/measured/SERVING.md is what these commands printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if not __package__:  # run as a script: make `bench` importable
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from tests.support.serving import Server  # noqa: E402

CONCURRENCY: Final = (1, 8, 32)
ENGINES: Final = ("arenaut", "onnxruntime")
DIGITS: Final = ROOT / "src" / "arenaut" / "data" / "digits.onnx"


@dataclass(frozen=True)
class Subject:
    """A model of the zoo. batch: rows that requests are joined to, 1 where rows are not independent."""

    name: str
    zoo: str
    batch: int


SUBJECTS: Final = (
    Subject("BERT-base, 128 tokens", "bert-base", 1),
    Subject("MobileNet v3 large", "mobilenet-v3-large", 1),
    Subject("Silero VAD", "silero-vad", 1),
)


class OrtModels:
    """What a process of the pool holds, with onnxruntime in it; see arenaut.pool.models.Models."""

    def __init__(self, threads: int | None, cache: str | None) -> None:
        self._threads = threads
        self._sessions: dict[str, Any] = {}
        self._faces: dict[str, Any] = {}

    def load(self, key: str, path: str, options: Mapping[str, Any]) -> Any:
        import onnxruntime

        from arenaut.pool.models import Models

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads or 0
        self._sessions[key] = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        self._faces[key] = Models(1, None).load(key, path, {"optimize": False})
        return self._faces[key]

    def warm(self, key: str, sizes: Mapping[str, int], rows: Sequence[int]) -> tuple[Any, str]:
        return self._faces[key], ""

    def run(
        self, key: str, feeds: Mapping[str, Any], outputs: Any, timeout: float | None
    ) -> tuple[dict[str, Any], int]:
        session = self._sessions[key]
        names = outputs or [o.name for o in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(feeds)), strict=True)), 0

    def unload(self, key: str) -> None:
        self._sessions.pop(key, None)

    def memory(self) -> Mapping[str, int]:
        from arenaut.measure.process import memory_bytes

        return {"pid": os.getpid(), **memory_bytes()}


# -- servers and clients ---------------------------------------------------------------------------------------


def serve_here(engine: str, path: str, batch: int, workers: int, threads: int, port: int, rpc_port: int) -> None:
    """The server, in this process."""
    from arenaut.pool.pool import MODELS
    from arenaut.serving.engine import Engine
    from arenaut.serving.repository import Repository
    from arenaut.serving.server import Server as RealServer

    target = MODELS if engine == "arenaut" else "bench.serving:OrtModels"
    made = Engine(workers, threads, True, batch, 0.002, target=target)
    RealServer(Repository([path], made, {}, {}), "127.0.0.1", port, rpc_port, 10, print).serve()


class Served(Server):
    """One of the two engines in the server, in a process of its own."""

    def __init__(self, engine: str, path: Path, batch: int, workers: int = 1, threads: int | None = None) -> None:
        super().__init__(script=ROOT / "bench" / "serving.py")
        self.model = path.stem
        own = threads or len(os.sched_getaffinity(0))
        self._command += ["serve-here", engine, path, batch, workers, own, self.port, self.rpc_port]
        self._command = [str(word) for word in self._command]
        self.start()
        self.wait_ready(300)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While the other engine is measured: spinning threads of an idle engine take none of its time."""
        import signal

        pids = [self.process.pid, *self.workers()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def resident(self) -> int:
        """Of the server and its processes, in bytes."""
        status = [Path(f"/proc/{pid}/status").read_text() for pid in (self.process.pid, *self.workers())]
        return sum(int(s.split("VmRSS:")[1].split()[0]) * 1024 for s in status)


def load_here(port: int, model: str, feeds_file: str, concurrency: int, seconds: float, requests: int) -> None:
    """Requests over gRPC for so long, or so many; prints how many, requests/s, and the latencies p50 and p99 in ms."""
    import tritonclient.grpc as triton

    feeds = np.load(feeds_file)
    names = {np.dtype(np.float32): "FP32", np.dtype(np.int64): "INT64"}
    inputs = [triton.InferInput(n, list(a.shape), names[a.dtype]) for n, a in feeds.items()]
    for given, array in zip(inputs, feeds.values(), strict=True):
        given.set_data_from_numpy(array)
    latencies: list[float] = []
    count = threading.Semaphore(requests) if requests else None

    def client() -> None:
        made = triton.InferenceServerClient(f"127.0.0.1:{port}")
        while time.perf_counter() < end and (count is None or count.acquire(blocking=False)):
            begun = time.perf_counter()
            made.infer(model, inputs)
            latencies.append(time.perf_counter() - begun)
        made.close()

    begun = time.perf_counter()
    end = begun + seconds
    threads = [threading.Thread(target=client) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    p50, p99 = (1e3 * float(np.percentile(latencies, p)) for p in (50, 99))
    print(len(latencies), len(latencies) / took, p50, p99)


def load(server: Served, feeds: Path, concurrency: int, seconds: float, requests: int = 0) -> tuple[float, ...]:
    """(requests, requests/s, p50 ms, p99 ms) as a client of its own process sees them."""
    words = ["load-here", server.rpc_port, server.model, feeds, concurrency, seconds, requests]
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "serving.py"), *map(str, words)],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return tuple(float(number) for number in done.stdout.split())


# -- what is measured ------------------------------------------------------------------------------------------


def soak(requests: int, folder: Path) -> None:
    """Resident memory of the server and its process while requests of changing sizes come in; must not grow."""
    batches = {rows: folder / f"{rows}.npz" for rows in (1, 2, 3, 5, 8)}
    for rows, file in batches.items():
        np.savez(file, image=np.random.default_rng(rows).random((rows, 1, 8, 8), np.float32))
    server = Served("arenaut", DIGITS, 8, workers=1, threads=1)
    try:
        done, step = 0, max(1, requests // 100)
        while done < requests:
            for file in batches.values():
                done += int(load(server, file, 8, 3600, step)[0])
            print(f"{done} requests: {server.resident() / 2**20:.1f} MiB", flush=True)
    finally:
        server.stop()


def table(seconds: float, folder: Path, names: Sequence[str]) -> list[str]:
    """Lines of a table; engines take turns at each concurrency, and the other one is stopped meanwhile."""
    from bench import zoo

    entries = zoo.load_manifest()
    lines = ["| model | concurrency | arenaut req/s | p50 ms | p99 ms | onnxruntime req/s | p50 ms | p99 ms |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for subject in SUBJECTS:
        if names and subject.zoo not in names:
            continue
        entry = entries[subject.zoo]
        path = folder / f"{subject.zoo}.onnx"
        path.symlink_to(zoo.ensure(entry))
        feeds = folder / f"{subject.zoo}.npz"
        np.savez(feeds, **zoo.make_feeds(entry, entry.bindings[0], 0))
        for line in compared(subject, path, feeds, seconds):
            print(line, flush=True)
            lines.append(line)
    return lines


def compared(subject: Subject, path: Path, feeds: Path, seconds: float) -> Iterator[str]:
    servers = {engine: Served(engine, path, subject.batch) for engine in ENGINES}
    try:
        for concurrency in CONCURRENCY:
            found = {}
            for engine, other in zip(ENGINES, reversed(ENGINES), strict=True):
                with servers[other].paused():
                    load(servers[engine], feeds, concurrency, min(1.0, seconds))  # warms up
                    found[engine] = load(servers[engine], feeds, concurrency, seconds)[1:]
            numbers = " | ".join(f"{rate:.1f} | {p50:.2f} | {p99:.2f}" for rate, p50, p99 in found.values())
            yield f"| {subject.name} | {concurrency} | {numbers} |"
    finally:
        for server in servers.values():
            server.stop()


def scaling(folder: Path) -> None:
    """`arenaut batch` by one process of one thread, and by two."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from arenaut.batch.job import Job, begun
    from arenaut.batch.local import run_parts
    from arenaut.batch.rows import RowOptions
    from arenaut.compiled.cache import cache_folder
    from bench import zoo

    model = zoo.ensure(zoo.load_manifest()["mobilenet-v2"])
    rng = np.random.default_rng(0)
    pixels = rng.random((320, 3 * 224 * 224), np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), pixels.shape[1])
    pq.write_table(pa.table({"image": column}), folder / "images.parquet", row_group_size=8)
    shape = folder / "shape.py"
    shape.write_text("def picture(c):\n    return {'INPUT': [x.reshape(3, 224, 224) for x in c['image']]}\n")
    import arenaut

    shape.write_text(shape.read_text().replace("INPUT", arenaut.load_onnx(model).inputs[0].name))
    rates = {}
    for workers in (1, 2, 1, 2):
        job = Job(str(model), (str(folder / "images.parquet"),), str(folder / f"{time.time_ns()}"),
                  RowOptions(rows=8), keep=(), before=f"{shape}:picture", part_rows=8)  # fmt: skip
        spans: list[tuple[float, int]] = []

        def note(done: Any, spans: list[tuple[float, int]] = spans) -> None:
            spans.append((time.perf_counter(), done.rows))

        run_parts(job, begun(job), workers, 1, cache_folder(True), note)
        first, rows = spans[workers - 1], sum(r for _, r in spans[workers:])  # processes start, and warm up, before
        rate = rows / (spans[-1][0] - first[0])
        rates[workers] = max(rate, rates.get(workers, 0.0))
        print(f"{workers} process{'es' if workers > 1 else ''}: {rate:.1f} rows/s", flush=True)
    print(f"1 to 2 processes: {rates[2] / rates[1]:.2f}x")


def main() -> None:
    hidden = {"serve-here": serve_here, "load-here": load_here}
    if len(sys.argv) > 1 and sys.argv[1] in hidden:
        words: list[Any] = [
            int(w) if w.isdigit() else float(w) if w.replace(".", "").isdigit() else w for w in sys.argv[2:]
        ]
        hidden[sys.argv[1]](*words)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("table", "soak", "scaling"))
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--models", default="", help="names of the zoo, by commas; all when left out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.command == "soak":
            soak(given.requests, Path(folder))
        elif given.command == "table":
            table(given.seconds, Path(folder), [n for n in given.models.split(",") if n])
        else:
            scaling(Path(folder))


if __name__ == "__main__":
    main()
