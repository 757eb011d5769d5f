"""Small models for servers and batch jobs, and what stands for a model in their tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def doubling(factor: float = 2.0, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """y = factor * x, of [batch, 4]."""
    array = numpy_helper.to_array(helper.make_tensor("f", dtype, [], [factor]))
    return model(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [("x", dtype, ["batch", 4])], [("y", dtype, ["batch", 4])], {"factor": array},
    )  # fmt: skip


def weighty(mebibytes: int = 32) -> onnx.ModelProto:
    """A product with so many MiB of weights."""
    size = int((mebibytes << 20) // 4) // 1024
    weights = np.full((1024, size), 1 / 1000, np.float32)  # 16 bits do not hold it
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", 1024])], [("y", TensorProto.FLOAT, ["batch", size])], {"w": weights},
    )  # fmt: skip


def identities(dtypes: dict[str, int]) -> onnx.ModelProto:
    """y_NAME = x_NAME of each element type, of any length each."""
    return model(
        [helper.make_node("Identity", [f"x_{n}"], [f"y_{n}"]) for n in dtypes],
        [(f"x_{n}", number, [f"n_{n}"]) for n, number in dtypes.items()],
        [(f"y_{n}", number, [f"n_{n}"]) for n, number in dtypes.items()], {},
    )  # fmt: skip


def looping() -> onnx.ModelProto:
    """y = x + n, one by one: as slow as n says."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["a", "one"], ["b"]), helper.make_node("Identity", ["go"], ["on"])], "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("a", TensorProto.FLOAT, ["m"])],
        [value("on", TensorProto.BOOL, []), value("b", TensorProto.FLOAT, ["m"])],
    )  # fmt: skip
    return model(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)],
        [("x", TensorProto.FLOAT, ["m"]), ("n", TensorProto.INT64, [])], [("y", TensorProto.FLOAT, ["m"])],
        {"one": np.float32(1)},
    )  # fmt: skip


def model(
    nodes: list[onnx.NodeProto], inputs: list[tuple[str, int, Any]], outputs: list[tuple[str, int, Any]],
    weights: dict[str, Any],
) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


class Server:
    """`arenaut serve` in a process of its own, on free ports; or a script that is started later."""

    def __init__(self, *words: object, script: Path | None = None) -> None:
        self.port, self.rpc_port = free_port(), free_port()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by stop())
        ports = ["--port", str(self.port), "--grpc-port", str(self.rpc_port)]
        self._command = ["-m", "arenaut", "serve", *map(str, words), *ports] if script is None else [str(script)]
        if script is None:
            self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *self._command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}, stdout=self._log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait_ready(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                if self.call("GET", "/v2/health/ready")[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log()}")

    def call(self, method: str, path: str, body: Any = None, headers: Any = None) -> tuple[int, bytes]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = json.dumps(body) if isinstance(body, dict) else body
        try:
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def infer(self, name: str, *inputs: Any, **more: Any) -> tuple[int, Any]:
        """inputs: (name, datatype, shape, data). Status and document."""
        sent = [dict(zip(("name", "datatype", "shape", "data"), i, strict=True)) for i in inputs]
        asked = {"inputs": sent, **more}
        status, body = self.call("POST", f"/v2/models/{name}/infer", asked, {"Content-Type": "application/json"})
        return status, json.loads(body)

    def metric(self, name: str) -> float:
        """The sum of a metric over all labels."""
        lines = self.call("GET", "/metrics")[1].decode().splitlines()
        return sum(float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith((f"{name} ", f"{name}{{")))

    def workers(self) -> list[int]:
        """Process ids of those that run models."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/../").glob("*/children")
        return [int(pid) for file in children for pid in file.read_text().split()]

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> int:
        """As an operator does; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self._log.close()


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


class Dying:
    """Stands for Models in a process that ends over every run."""

    def __init__(self, threads: int | None, cache: str | None) -> None:
        pass

    def run(self, *_: Any) -> None:
        os._exit(3)
