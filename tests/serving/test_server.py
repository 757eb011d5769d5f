"""The real server on the loopback, used by its usual clients, and hurt."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.support.serving import Server, doubling, identities, looping

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("kserve") is None, reason="needs pip install 'arenaut[serve]'"),
]
client = pytest.mark.skipif(
    importlib.util.find_spec("tritonclient") is None, reason="needs pip install 'tritonclient[http,grpc]'"
)

DTYPES: dict[str, tuple[int, Any]] = {
    "BOOL": (TensorProto.BOOL, np.array([True, False])), "UINT8": (TensorProto.UINT8, np.array([0, 255], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([65535], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([2**32 - 1], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([2**64 - 1], np.uint64)),
    "INT8": (TensorProto.INT8, np.array([-128], np.int8)), "INT16": (TensorProto.INT16, np.array([-9], np.int16)),
    "INT32": (TensorProto.INT32, np.array([-9], np.int32)), "INT64": (TensorProto.INT64, np.array([-(2**63)])),
    "FP16": (TensorProto.FLOAT16, np.array([0.5, 2], np.float16)),
    "BF16": (TensorProto.BFLOAT16, np.array([0.5, 2], ml_dtypes.bfloat16)),
    "FP32": (TensorProto.FLOAT, np.array([0.5, 2], np.float32)), "FP64": (TensorProto.DOUBLE, np.array([0.1])),
    "BYTES": (TensorProto.STRING, np.array([b"", "grün".encode()], object)),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for version, factor in ((1, 2.0), (2, 3.0)):
        (made / "times" / str(version)).mkdir(parents=True)
        onnx.save(doubling(factor), made / "times" / str(version) / "model.onnx")
    onnx.save(looping(), made / "loop.onnx")
    onnx.save(identities({name: number for name, (number, _) in DTYPES.items()}), made / "types.onnx")
    return made


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cache = tmp_path_factory.mktemp("cache") / "compiled"
    made = Server(folder, "--workers", 2, "--threads", 1, "--batch", 8, "--wait", "2ms", "--cache", cache,
                  "--max-bytes", "100k", "--max-rows", 64)  # fmt: skip
    try:
        made.wait_ready()
        yield made
    finally:
        made.stop()


def values(document: Any) -> Any:
    return document["outputs"][0]["data"]


def hammer(server: Server, hurt: Callable[[], None]) -> list[tuple[float, int, Any]]:
    """(value sent, status, values) of requests by eight clients, while somebody hurts the server and a bit longer."""
    done = threading.Event()

    def hurting() -> None:
        try:
            hurt()
            time.sleep(0.3)
        finally:
            done.set()

    def work(index: int) -> list[tuple[float, int, Any]]:
        found = []
        number = index * 1000
        while not done.is_set():
            number += 1
            status, document = server.infer("times", ("x", "FP32", [1, 4], [number] * 4))
            found.append((number, status, values(document) if status == 200 else document))
        return found

    with ThreadPoolExecutor(9) as threads:
        running = [threads.submit(work, i) for i in range(8)]
        threads.submit(hurting).result()
        results = [r for f in running for r in f.result()]
    return results


def test_a_model_answers_json(server: Server) -> None:
    status, document = server.infer("times", ("x", "FP32", [1, 4], [1, 2, 3, 4]), id="mine")
    assert (status, values(document)) == (200, [3, 6, 9, 12])
    assert (document["model_name"], document["model_version"], document["id"]) == ("times", "2", "mine")


def test_a_version_is_asked_for(server: Server) -> None:
    assert values(server.infer("times/versions/1", ("x", "FP32", [1, 4], [1] * 4))[1]) == [2] * 4
    status, document = server.infer("times/versions/7", ("x", "FP32", [1, 4], [1] * 4))
    assert status == 404 and "no version '7'. It has 1, 2" in document["error"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_as_in_the_guide(server: Server) -> None:
    body = '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}'
    url = f"http://127.0.0.1:{server.port}/v2/models/times/infer"
    done = subprocess.run(["curl", "-sf", url, "-d", body], capture_output=True, check=True)
    assert values(json.loads(done.stdout)) == [3, 6, 9, 12]


@client
@pytest.mark.parametrize("kind", ["http", "http json", "grpc"])
def test_tritonclient_runs_every_type(server: Server, kind: str) -> None:
    triton, made = triton_client(server, kind)
    inputs = []
    for name, (_, array) in DTYPES.items():
        given = triton.InferInput(f"x_{name}", list(array.shape), name)
        in_json = kind == "http json" and name not in ("FP16", "BF16")  # which this client sends as bytes only
        given.set_data_from_numpy(array, *([False] if in_json else []))
        inputs.append(given)
    binary = {} if kind == "grpc" else {"binary_data": kind == "http"}
    outputs = [triton.InferRequestedOutput(f"y_{name}", **binary) for name in DTYPES]
    answer = made.infer("types", inputs, outputs=outputs)
    for name, (_, array) in DTYPES.items():
        got = answer.as_numpy(f"y_{name}")
        assert [v.encode() if isinstance(v, str) else v for v in got.tolist()] == array.tolist(), name
    made.close()


@client
@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_tritonclient_manages_models(server: Server, kind: str) -> None:
    _, made = triton_client(server, kind)
    assert made.is_server_live() and made.is_server_ready() and made.is_model_ready("loop")
    metadata = made.get_model_metadata("times")
    assert list(metadata["versions"] if kind == "http" else metadata.versions) == ["1", "2"]
    index = made.get_model_repository_index()
    listed = index if kind == "http" else [{"name": m.name, "state": m.state} for m in index.models]
    assert {m["name"] for m in listed if m["state"] == "READY"} == {"times", "loop", "types"}
    made.unload_model("types")
    assert not made.is_model_ready("types")
    made.load_model("types")
    assert made.is_model_ready("types")
    with pytest.raises(Exception, match="no model 'nothing'"):
        made.load_model("nothing")
    made.close()


@client
def test_errors_reach_a_grpc_client_with_their_sentence(server: Server) -> None:
    triton, made = triton_client(server, "grpc")
    given = triton.InferInput("x", [1, 3], "FP32")
    given.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with pytest.raises(triton.InferenceServerException, match="expected 4 at axis 1") as caught:
        made.infer("times", [given])
    assert "INVALID_ARGUMENT" in caught.value.status()
    slow = [triton.InferInput("x", [1], "FP32"), triton.InferInput("n", [], "INT64")]
    slow[0].set_data_from_numpy(np.zeros(1, np.float32))
    slow[1].set_data_from_numpy(np.array(2_000_000_000, np.int64))
    with pytest.raises(triton.InferenceServerException) as caught:
        made.infer("loop", slow, client_timeout=0.3)
    assert "DEADLINE_EXCEEDED" in caught.value.status()
    made.close()


def triton_client(server: Server, kind: str) -> tuple[Any, Any]:
    if kind == "grpc":
        import tritonclient.grpc as triton

        triton.InferenceServerException = __import__("tritonclient.utils", fromlist=["x"]).InferenceServerException
        return triton, triton.InferenceServerClient(f"127.0.0.1:{server.rpc_port}")
    import tritonclient.http as over_http

    return over_http, over_http.InferenceServerClient(f"127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    ("inputs", "status", "says"),
    [
        ([("x", "FP32", [1, 3], [1] * 3)], 400, "input 'x': expected 4 at axis 1"),
        ([("x", "FP64", [1, 4], [1] * 4)], 400, "expected dtype float32, got float64"),
        ([("z", "FP32", [1, 4], [1] * 4)], 400, "missing x; unknown z"),
        ([], 400, "missing x"),
        ([("x", "FP32", [4], [1] * 4)], 400, "expected rank 2"),
        ([("x", "FP32", [65, 4], [1] * 260)], 413, "65 rows in a request, and this server takes 64"),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(server: Server, inputs: Any, status: int, says: str) -> None:
    got, document = server.infer("times", *inputs)
    assert got == status and says in document["error"]


def test_bodies_that_are_no_requests_are_refused(server: Server) -> None:
    path = "/v2/models/times/infer"
    assert server.call("POST", path, b"{")[0] == 400
    assert server.call("POST", path, b"[1]")[0] == 400
    assert server.call("POST", path, b"{}", {"Inference-Header-Content-Length": "99"})[0] == 400
    assert server.call("POST", path, b"{}", {"Inference-Header-Content-Length": "-1"})[0] == 400
    assert server.call("POST", path, b"x" * 200_000)[0] == 413
    assert server.call("POST", path, iter([b"x" * 60_000] * 3))[0] == 413
    assert server.call("POST", path, b"{}", {"Content-Encoding": "gzip"})[0] == 415
    assert server.call("POST", "/v2/models/nothing/infer", b"{}")[0] == 404
    status, document = server.infer("times", ("x", "FP32", [1, 4], [1] * 4), outputs=[{"name": "q"}])
    assert status == 400 and "outputs names 'q'; the model has y" in document["error"]


def test_a_bad_request_spoils_none_that_it_was_joined_with(server: Server) -> None:
    """Three rows of the right kind, three of a width that the model refuses, at the same time."""
    with ThreadPoolExecutor(8) as threads:
        good = [threads.submit(server.infer, "times", ("x", "FP32", [1, 4], [i] * 4)) for i in range(4)]
        bad = [threads.submit(server.infer, "times", ("x", "FP32", [1, 5], [i] * 5)) for i in range(4)]
        assert [values(g.result()[1])[0] for g in good] == [0, 3, 6, 9]
        assert {b.result()[0] for b in bad} == {400}


def test_requests_are_joined(server: Server) -> None:
    before = server.metric("arenaut_batch_rows_count"), server.metric("arenaut_batch_rows_sum")
    with ThreadPoolExecutor(16) as threads:
        sent = [threads.submit(server.infer, "times", ("x", "FP32", [2, 4], [i] * 8)) for i in range(64)]
        assert [values(s.result()[1])[0] for s in sent] == [3 * i for i in range(64)]
    runs, rows = (
        server.metric("arenaut_batch_rows_count") - before[0],
        server.metric("arenaut_batch_rows_sum") - before[1],
    )
    assert rows == 128 and runs < 64


def test_a_deadline_reaches_the_run(server: Server) -> None:
    slow = (("x", "FP32", [1], [0]), ("n", "INT64", [], [2_000_000_000]))
    begun = time.monotonic()
    status, document = server.infer("loop", *slow, parameters={"timeout": 300_000})
    assert status == 504 and time.monotonic() - begun < 30, document
    with ThreadPoolExecutor(4) as threads:  # twice as many as there are processes: none is still busy with the first
        sent = [
            threads.submit(server.infer, "loop", ("x", "FP32", [1], [i]), ("n", "INT64", [], [5])) for i in range(4)
        ]
        assert [values(s.result()[1]) for s in sent] == [[i + 5] for i in range(4)]


def test_a_killed_process_loses_no_request(server: Server) -> None:
    before, old = server.metric("arenaut_worker_restarts"), server.workers()
    assert len(old) == 2

    def kill() -> None:
        for pid in old:
            time.sleep(0.7)
            os.kill(pid, signal.SIGKILL)

        while len(server.workers()) < 2 or set(server.workers()) & set(old):
            time.sleep(0.05)

    results = hammer(server, kill)
    assert results and [r for r in results if r != (r[0], 200, [3 * r[0]] * 4)] == []
    assert server.metric("arenaut_worker_restarts") == before + 2 and not set(server.workers()) & set(old)


def test_a_model_is_replaced_without_losing_a_request(server: Server, folder: Path) -> None:
    status: list[int] = []

    def replace() -> None:
        time.sleep(0.4)
        (folder / "times" / "3").mkdir()
        onnx.save(doubling(5.0), folder / "times" / "3" / "model.onnx")
        status.append(server.call("POST", "/v2/repository/models/times/load")[0])
        shutil.rmtree(folder / "times" / "1")
        status.append(server.call("POST", "/v2/repository/models/times/load")[0])

    results = hammer(server, replace)
    assert status == [200, 200] and {s for _, s, _ in results} == {200}
    assert {got[0] / n for n, _, got in results} == {3, 5}
    assert server.infer("times/versions/1", ("x", "FP32", [1, 4], [1] * 4))[0] == 404
    (folder / "times" / "3" / "model.onnx").write_bytes(b"damaged")
    failed, body = server.call("POST", "/v2/repository/models/times/load")
    assert failed == 400 and b"NotAModelError" in body
    assert values(server.infer("times", ("x", "FP32", [1, 4], [1] * 4))[1]) == [5] * 4
    shutil.rmtree(folder / "times" / "3")
    assert server.call("POST", "/v2/repository/models/times/load")[0] == 200
    (folder / "times" / "1").mkdir()
    onnx.save(doubling(2.0), folder / "times" / "1" / "model.onnx")
    assert server.call("POST", "/v2/repository/models/times/load")[0] == 200


def test_a_client_that_hangs_up_stops_what_waits_for_it(server: Server) -> None:
    body = json.dumps({"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [0]},
        {"name": "n", "datatype": "INT64", "shape": [], "data": [2_000_000_000]},
    ], "parameters": {"timeout": 2_000_000}}).encode()  # fmt: skip
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as made:
            made.sendall(b"POST /v2/models/loop/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
            made.sendall(body)
            time.sleep(0.02)
    begun = time.monotonic()
    assert values(server.infer("times", ("x", "FP32", [1, 4], [1] * 4))[1]) == [3] * 4
    assert time.monotonic() - begun < 15  # two were begun, and end by their time limit; 18 never begin
    assert server.metric("arenaut_queue_requests") == 0


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system has no /proc/*/smaps_rollup")
def test_metrics_say_what_a_model_holds(server: Server) -> None:
    text = server.call("GET", "/metrics")[1].decode()
    for name in ("request_seconds_bucket", "run_seconds_bucket", "batch_rows_bucket", "requests_total", "arena_bytes"):
        assert f"arenaut_{name}{{" in text
    assert server.metric("arenaut_workers") == 2


def test_it_is_ready_only_when_warm_and_finishes_what_is_under_way(folder: Path, tmp_path: Path) -> None:
    server = Server(folder / "loop.onnx", "--threads", 1, "--cache", tmp_path / "cache")
    seen = set()
    while 200 not in seen:
        assert server.process.poll() is None, server.log()
        try:
            seen.add(server.call("GET", "/v2/health/ready")[0])
            assert server.call("GET", "/v2/health/live")[0] == 200
        except OSError:
            time.sleep(0.02)
    answers: list[tuple[int, Any]] = []
    slow = (("x", "FP32", [1], [0]), ("n", "INT64", [], [300_000]))
    asking = threading.Thread(target=lambda: answers.append(server.infer("loop", *slow)))
    asking.start()
    while server.metric("arenaut_queue_requests") == 0 and not answers:
        time.sleep(0.005)
    assert server.stop() == 0
    asking.join()
    assert 503 in seen and answers[0][0] == 200 and values(answers[0][1]) == [300_000]


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    server = Server(tmp_path / "bad.onnx", "--cache", tmp_path / "cache")
    try:
        assert server.process.wait(120) == 2 and "NotAModelError" in server.log()
    finally:
        server.stop()


def test_an_own_server_of_kserve_takes_the_model_class(folder: Path, tmp_path: Path) -> None:
    """Runtime in a script of KServe's, without arenaut's routes."""
    script = tmp_path / "own.py"
    server = Server(script=script)
    script.write_text(
        "from kserve import ModelServer\nfrom arenaut.serving import Runtime\n"
        f"model = Runtime('times', {str(folder / 'times')!r}, batch=4, cache={str(tmp_path / 'cache')!r})\n"
        f"model.load()\nModelServer(http_port={server.port}, enable_grpc=False).start([model])\n"
    )
    server.start()
    try:
        server.wait_ready()
        status, document = server.infer("times", ("x", "FP32", [1, 4], [1, 2, 3, 4]))
        assert (status, values(document)) == (200, [3, 6, 9, 12])
        assert server.infer("times", ("x", "FP32", [1, 3], [1, 2, 3]))[0] == 400
    finally:
        server.stop()
