"""What happens on a real Ray cluster of several local nodes, each in a process of its own: `python -m
tests.ray.scenarios NAME FOLDER`. Ends with 0 where all is as it should be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

import arenaut.ray
from tests.support.serving import doubling, free_port, weighty

ROWS, BAD = 400, (7, 150)
SLOWLY = "import time\n\ndef slowly(columns):\n    time.sleep(0.05)\n    return columns\n"


@contextmanager
def cluster(nodes: int, cpus: int = 1) -> Iterator[tuple[Cluster, list[Any]]]:
    """A head without CPUs, and nodes that compute."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20,
                                                           "include_dashboard": False})  # fmt: skip
    try:
        yield made, [made.add_node(num_cpus=cpus, object_store_memory=100 << 20) for _ in range(nodes)]
    finally:
        ray.shutdown()
        made.shutdown()


def rows_of(ids: range) -> Any:
    return pa.table({"id": list(ids), "x": [[float(n)] * (3 if n in BAD else 4) for n in ids]})


def check(results: list[Any], failed: list[Any]) -> None:
    """Every row stands once, with its result or its reason."""
    assert sorted(r["id"] for r in [*results, *failed]) == list(range(ROWS))
    assert all(list(r["y"]) == [2 * r["id"]] * 4 for r in results)
    assert sorted(r["id"] for r in failed) == sorted(BAD) and all("expected 4" in r["reason"] for r in failed)


def parts(folder: Path) -> None:
    """`arenaut batch --ray`, while a node is killed."""
    onnx.save(doubling(), folder / "double.onnx")
    (folder / "slow.py").write_text(SLOWLY)
    (folder / "data").mkdir()
    for i in range(4):
        pq.write_table(rows_of(range(i * 100, (i + 1) * 100)), folder / "data" / f"{i}.parquet", row_group_size=10)
    with cluster(3) as (made, nodes):
        out = folder / "out"
        running = subprocess.Popen([
            sys.executable, "-m", "arenaut", "batch", folder / "double.onnx", "--input", folder / "data", "--output",
            out, "--ray", made.address, "--part-rows", "10", "--before", f"{folder}/slow.py:slowly",
            "--cache", folder / "cache",
        ])  # fmt: skip
        while not list(out.glob("part-*")):
            assert running.poll() is None
            time.sleep(0.02)
        made.remove_node(nodes[0], allow_graceful=False)
        assert len(list(out.glob("part-*"))) < 40, "the node was to be killed in the middle"
        assert running.wait(200) == 1
    results, failed = ([r for f in sorted(place.glob("part-*")) for r in pq.read_table(f).to_pylist()]
                       for place in (out, out / "failed"))  # fmt: skip
    check(results, failed)


def tables(folder: Path) -> None:
    """map_batches, while a node is killed."""
    onnx.save(doubling(), folder / "double.onnx")
    (folder / "slow.py").write_text(SLOWLY)
    with cluster(3) as (made, nodes):
        ray.init(address=made.address, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        dataset = ray.data.from_arrow([rows_of(range(i * 20, (i + 1) * 20)) for i in range(20)])
        killer = threading.Timer(4, lambda: made.remove_node(nodes[0], allow_graceful=False))
        mapped = arenaut.ray.map_batches(
            dataset, str(folder / "double.onnx"), failed=str(folder / "failed"), block_rows=5, actors=(2, 3),
            before=f"{folder}/slow.py:slowly", cache=str(folder / "cache"),
        )  # fmt: skip
        killer.start()
        results = mapped.take_all()
        killer.join()
    check(results, [r for f in (folder / "failed").glob("*.parquet") for r in pq.read_table(f).to_pylist()])


def memory(folder: Path) -> None:
    """Two actors of a node have 32 MiB of weights each, and hold them once together."""
    onnx.save(weighty(), folder / "weighty.onnx")
    onnx.save(doubling(), folder / "double.onnx")

    def totals(name: str) -> dict[str, int]:
        from arenaut.pool.compiling import compile_first
        from arenaut.pool.models import MODELS, Models

        @ray.remote(num_cpus=1)
        class Holder:
            def __init__(self, path: str, cache: str) -> None:
                compile_first(MODELS, 1, cache, path, {})
                self.models = Models(1, cache)
                self.models.load("m", path, {})
                self.models.warm("m", {}, (1,))

            def memory(self) -> Any:
                return dict(self.models.memory())

        actors = [Holder.remote(str(folder / f"{name}.onnx"), str(folder / "cache")) for _ in range(2)]
        ray.get([a.memory.remote() for a in actors])
        found = ray.get([a.memory.remote() for a in actors])
        assert len({f["pid"] for f in found}) == 2
        for actor in actors:
            ray.kill(actor)
        return {k: sum(f[k] for f in found) for k in ("rss", "pss")}

    with cluster(1, cpus=2) as (made, _):
        ray.init(address=made.address, log_to_driver=False)
        small, large = totals("double"), totals("weighty")
    grown = {k: (large[k] - small[k]) / 2**20 for k in small}
    print(f"two actors, 32 MiB of weights: RSS grows by {grown['rss']:.0f} MiB, PSS by {grown['pss']:.0f} MiB")
    assert grown["rss"] > 56 and grown["pss"] < 44


def served(folder: Path) -> None:
    """Two models in one deployment, over a handle and over HTTP, joined."""
    from ray import serve

    (folder / "models").mkdir()
    for name, factor in (("two", 2.0), ("three", 3.0)):
        onnx.save(doubling(factor), folder / "models" / f"{name}.onnx")
    ray.init(address="local", num_cpus=3, object_store_memory=100 << 20, log_to_driver=False, include_dashboard=False)
    port = free_port()  # of those that Ray's own processes leave
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    application = arenaut.ray.deployment(
        str(folder / "models"), batch=8, wait=0.05, cache=str(folder / "cache"), max_ongoing_requests=64,
        autoscaling_config={"min_replicas": 1, "max_replicas": 2},
    )  # fmt: skip
    handle = serve.run(application, name="models", route_prefix="/")
    try:
        sent = {name: [handle.options(multiplexed_model_id=name).infer.remote({"x": np.full((1, 4), i, np.float32)})
                       for i in range(20)] for name in ("two", "three")}  # fmt: skip
        for name, factor in (("two", 2), ("three", 3)):
            assert [r.result()["y"][0, 0] for r in sent[name]] == [factor * i for i in range(20)]
        wrong = handle.options(multiplexed_model_id="two").infer.remote({"x": np.ones((1, 3), np.float32)})
        try:
            wrong.result()
            raise AssertionError("three numbers are not four")
        except Exception as error:
            assert "expected 4 at axis 1" in str(error), error
        assert post(port, "three", [1, 2, 3, 4]) == (200, [3, 6, 9, 12])
        assert post(port, "two", [1, 2, 3])[0] == 400
        assert post(port, "none", [1, 2, 3, 4])[0] == 404
    finally:
        serve.shutdown()
        ray.shutdown()


def post(port: int, model: str, values: list[float]) -> tuple[int, Any]:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, len(values)], "data": values}]}
    headers = {"serve_multiplexed_model_id": model, "content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())["outputs"][0]["data"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


if __name__ == "__main__":
    os.environ["RAY_TRAIN_V2_ENABLED"] = "0"
    {f.__name__: f for f in (parts, tables, memory, served)}[sys.argv[1]](Path(sys.argv[2]))
