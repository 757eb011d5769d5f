"""What a model takes and gives in everyday use: any array, options that say what they take, copies, interrupts."""

from __future__ import annotations

import array
import asyncio
import copy
import errno
import io
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import parser

import arenaut
from arenaut.errors import ExecutionError, InputError, OptionError, RunTimeoutError

F = np.float32
ADD = parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[n, 3] x) => (float[n, 3] y) {'
                         ' one = Constant<value_float = 1.0>() y = Add(x, one) }')  # fmt: skip
ROWS = np.arange(6, dtype=F).reshape(2, 3)


@pytest.fixture(scope="module")
def model() -> arenaut.Model:
    return arenaut.load_onnx(ADD)


# -- zero copy -------------------------------------------------------------------------------------------------


class Interface:
    def __init__(self, a: np.ndarray[Any, Any]) -> None:
        self.__array_interface__ = a.__array_interface__
        self.keep = a


class Dlpack:
    def __init__(self, a: np.ndarray[Any, Any]) -> None:
        self.a = a

    def __dlpack__(self, **options: Any) -> Any:
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class Buffer:
    """Nothing but a buffer, as array.array is."""


def test_any_array_is_read_where_it_lies(model: arenaut.Model) -> None:
    flat = array.array("f", ROWS.reshape(-1).tolist())
    shaped = memoryview(flat).cast("B").cast("f", (2, 3))
    for given in (ROWS, Interface(ROWS), Dlpack(ROWS), shaped, memoryview(ROWS)):
        assert model.run({"x": given})["y"].tolist() == (ROWS + 1).tolist()  # type: ignore[dict-item]
        seen = model._inputs.arrays({"x": given})[0]
        owner = np.asarray(flat) if given is shaped else ROWS
        assert np.shares_memory(seen, owner)


def test_tensors_of_torch_are_read_where_they_lie(model: arenaut.Model) -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    assert torch.equal(torch.from_dlpack(model.run({"x": x})["y"]), x + 1)
    assert model._inputs.arrays({"x": x})[0].ctypes.data == x.data_ptr()
    with pytest.raises(InputError, match="detach"):
        model.run({"x": x.requires_grad_()})
    cast = '<ir_version: 8, opset_import: ["" : 17]> g (bfloat16[n] x) => (float[n] y) { y = Cast<to = 1>(x) }'
    narrow = arenaut.load_onnx(parser.parse_model(cast))
    half = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    assert narrow.run({"x": half})["y"].tolist() == [1.5, -2.0]
    assert narrow._inputs.arrays({"x": half})[0].ctypes.data == half.data_ptr()
    target = torch.zeros(2, 3)
    result = model.run({"x": ROWS}, out={"y": target})["y"]
    assert target[1, 2] == 6 and result.ctypes.data == target.data_ptr()
    with pytest.raises(OptionError, match=r"out\['y'\]=tensor.* expected a dict of writable arrays"):
        model.run({"x": ROWS}, out={"y": torch.empty(2, 3, device="meta")})


def test_outputs_are_given_away_without_a_copy(model: arenaut.Model) -> None:
    y = model.run({"x": ROWS})["y"]
    assert np.shares_memory(np.from_dlpack(y), y)
    target = np.empty((2, 3), F)
    assert model.run({"x": ROWS}, out={"y": target})["y"] is target and target[1, 2] == 6


# -- options ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, text", [
    ({"max_memory": 1e9}, r"max_memory=1000000000\.0: expected bytes, an integer"),
    ({"max_memory": -1}, "max_memory=-1: expected bytes"),
    ({"threads": 2.0}, r"threads=2\.0: expected how many threads, an integer from 1"),
    ({"threads": 0}, "threads=0: expected how many"),
    ({"threads": True}, "threads=True"),
    ({"executor": "fast"}, "executor='fast': expected 'compiled' or 'interpreted'"),
    ({"optimize_memory": "some"}, "optimize_memory='some': expected 'fast' or"),
    ({"verify": "yes"}, "verify='yes': expected off"),
    ({"optimize": "no"}, "optimize='no': expected True or False"),
    ({"exact_conv": 1}, "exact_conv=1: expected True or False"),
    ({"shapes": 3}, "shapes=3: expected a dict of sizes"),
    ({"shapes": {"n": 1.5}}, r"shapes\['n'\]=1\.5: expected a size"),
    ({"precision": "half"}, "precision='half': expected 'stored' or 'bfloat16'"),
    ({"weights": ["int8"]}, r"weights=\['int8'\]: expected 'stored' or"),
    ({"winograd_limit": "much"}, "winograd_limit='much': expected bytes"),
    ({"stop_after": -1}, "stop_after=-1: expected how many passes"),
    ({"without": "fusion"}, "without='fusion': expected names of fusion"),
    ({"without": ["luck"]}, r"without=\['luck'\]: expected names of"),
    ({"without": 3}, "without=3: expected names of"),
    ({"backends": "native"}, "backends='native': expected a list of names"),
    ({"isa": 3}, "isa=3: expected a tier"),
    ({"isa": "v9"}, "isa='v9': 'v9' is none of"),
    ({"cache": 3}, "cache=3: expected a folder"),
    ({"limits": 3}, r"limits=3: expected arenaut\.Limits"),
    ({"state": 3}, "state=3: expected a dict"),
    ({"cache_precision": None}, "cache_precision=None: expected 'stored'"),
])  # fmt: skip
def test_options_of_loading_say_what_they_take(options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text) as raised:
        arenaut.load_onnx(ADD, **options)
    assert isinstance(raised.value, (TypeError, ValueError))


@pytest.mark.parametrize("options, text", [
    ({"timeout": "a"}, "timeout='a': expected seconds"),
    ({"timeout": -1}, "timeout=-1: expected seconds, a number from 0"),
    ({"timeout": float("nan")}, "timeout=nan"),
    ({"out": [ROWS]}, r"out=\[array.*: expected a dict of writable arrays by the name of an output"),
    ({"out": {"y": 3}}, r"out\['y'\]=3: expected a dict of writable arrays"),
    ({"outputs": "y"}, "outputs='y': expected a list of names out of y"),
])  # fmt: skip
def test_options_of_runs_say_what_they_take(model: arenaut.Model, options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        model.run({"x": ROWS}, **options)


def test_calls_that_are_mistaken_say_what_to_write(model: arenaut.Model) -> None:
    with pytest.raises(OptionError, match="repeat=0: expected how many runs to time, an integer from 1"):
        model.profile({"x": ROWS}, repeat=0)
    with pytest.raises(InputError, match=r"input 'x' is None: expected x: float32\[n, 3\]"):
        model.run({"x": None})
    with pytest.raises(InputError, match=r"write model.run\(feeds\).*arenaut\.InferenceSession"):
        model.run(None, {"x": ROWS})
    with pytest.raises(OptionError, match=r"a model is a path, bytes, a file or an onnx\.ModelProto, not NoneType"):
        arenaut.load_onnx(None)  # type: ignore[arg-type]


def test_no_limit_is_no_limit(model: arenaut.Model) -> None:
    for seconds in (float("inf"), 1e300, 1 << 80):
        assert model.run({"x": ROWS}, timeout=seconds)["y"][0, 0] == 1


def test_files_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(ADD, str(path))
    with path.open("rb") as file:
        assert arenaut.load_onnx(file).run({"x": ROWS})["y"][0, 0] == 1
    assert arenaut.load_onnx(io.BytesIO(path.read_bytes())).run({"x": ROWS})["y"][0, 0] == 1
    with path.open(encoding="latin-1") as text, pytest.raises(OptionError, match="rb"):
        text.read(1)
        arenaut.load_onnx(text)  # type: ignore[arg-type]


def test_a_model_keeps_no_descriptor(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc")
    path = tmp_path / "m.onnx"
    onnx.save(ADD, str(path))
    models = [arenaut.load_onnx(str(path))]
    before = len(os.listdir("/proc/self/fd"))
    models += [arenaut.load_onnx(str(path)) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before and models[-1].run({"x": ROWS})["y"][0, 0] == 1


# -- copies ----------------------------------------------------------------------------------------------------


def apply(model: arenaut.Model) -> list[Any]:
    result: list[Any] = model.run({"x": ROWS})["y"].tolist()
    return [result, model.threads]


def test_copies_share_everything(model: arenaut.Model) -> None:
    assert copy.copy(model) is model and copy.deepcopy([model])[0] is model
    assert pickle.loads(pickle.dumps(model)) is model


@pytest.mark.parametrize("method", ("spawn", "fork"))
def test_other_processes_take_a_model(method: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(ADD, str(path))
    with multiprocessing.get_context(method).Pool(1) as pool:
        for source in (str(path), path.read_bytes(), ADD):
            loaded = arenaut.load_onnx(source, threads=1)
            assert pool.apply(apply, (loaded,)) == [(ROWS + 1).tolist(), 1]


def test_a_loaded_copy_has_the_options(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(ADD, str(path))
    data = pickle.dumps(arenaut.load_onnx(str(path), threads=1, revision=arenaut.Revision(dims={"n": 2})))
    again = pickle.loads(data)
    assert again.inputs[0].shape == (2, 3) and again.threads == 1


# -- stopping --------------------------------------------------------------------------------------------------


def heavy() -> onnx.ModelProto:
    """Several seconds at n = 3000: products, one after another."""
    steps = [h.make_node("MatMul", [f"x{i}", f"x{i}"], [f"x{i + 1}"]) for i in range(60)]
    x = h.make_tensor_value_info("x0", T.FLOAT, ["n", "n"])
    y = h.make_tensor_value_info("x60", T.FLOAT, None)
    return h.make_model(h.make_graph(steps, "heavy", [x], [y]), opset_imports=[h.make_opsetid("", 17)], ir_version=8)


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np, arenaut
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background inherits that it is ignored
model = arenaut.load_onnx(sys.argv[1], threads=int(sys.argv[2]))
sent = []
def send():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(float(sys.argv[3]), send).start()
if sys.argv[4] == "quiet":
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    y = model.run({"x0": np.zeros((1200, 1200), np.float32)})
    print(len(heard), float(y["x60"].sum()))
else:
    try:
        model.run({"x0": np.zeros((3000, 3000), np.float32)})
        print("not interrupted")
    except KeyboardInterrupt:
        print(time.monotonic() - sent[0])
    print(model.run({"x0": np.eye(3, dtype=np.float32)})["x60"].sum())
"""


def interrupted(path: Path, threads: int, after: float, handler: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    result = subprocess.run([sys.executable, "-c", INTERRUPTED, str(path), str(threads), str(after), handler],
                            env=environment, capture_output=True, text=True, timeout=300)  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("threads", (1, 2))
def test_control_c_ends_a_native_run(threads: int, tmp_path: Path) -> None:
    onnx.save(heavy(), str(tmp_path / "heavy.onnx"))
    seconds, total = interrupted(tmp_path / "heavy.onnx", threads, 0.5, "raise")
    assert float(seconds) < 0.5 and float(total) == 3  # 0.05 alone; other tests share the machine


def test_a_handler_that_goes_on_loses_nothing(tmp_path: Path) -> None:
    onnx.save(heavy(), str(tmp_path / "heavy.onnx"))
    assert interrupted(tmp_path / "heavy.onnx", 1, 0.3, "quiet") == ["1", "0.0"]


def test_awaited_runs(model: arenaut.Model) -> None:
    async def both() -> list[Any]:
        results = await asyncio.gather(model.run_async({"x": ROWS}), model.run_async(x=ROWS, outputs=["y"]))
        return [r["y"].tolist() for r in results]

    assert asyncio.run(both()) == [(ROWS + 1).tolist()] * 2


def test_a_cancelled_task_stops_its_run() -> None:
    handler = signal.getsignal(signal.SIGINT)
    slow = arenaut.load_onnx(heavy(), threads=1)
    x = np.zeros((3000, 3000), F)

    async def cancelled() -> float:
        task = asyncio.ensure_future(slow.run_async({"x0": x}))
        await asyncio.sleep(0.3)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return began

    began = asyncio.run(cancelled())  # waits for the thread of the run
    assert time.monotonic() - began < 2
    with pytest.raises(RunTimeoutError):
        slow.run({"x0": x}, timeout=0.01)
    stop = arenaut._native.Stop()
    stop.set()
    with pytest.raises(ExecutionError, match="stopped by its caller"):
        slow._run({"x0": x}, stop=stop)
    assert signal.getsignal(signal.SIGINT) is handler


# -- words -----------------------------------------------------------------------------------------------------


def test_a_model_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = [h.make_tensor_value_info(f"a_rather_long_name_of_input_{i}", T.FLOAT, ["batch", 3, "height", "width"])
            for i in range(6)]  # fmt: skip
    nodes = [h.make_node("Sum", [v.name for v in wide], ["s"]),
             h.make_node("MaxPool", ["s"], ["y"], kernel_shape=[2, 2], strides=[2, 2])]  # fmt: skip
    graph = h.make_graph(nodes, "pool", wide, [h.make_tensor_value_info("y", T.FLOAT, None)])
    model = arenaut.load_onnx(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8))
    assert model.outputs[0].shape == ("batch", 3, "height/2", "width/2")
    assert repr(model).startswith(
        "<arenaut.Model 'pool': a_rather_long_name_of_input_0: float32[batch, 3, height, width]"
    )
    assert "and 3 more -> y: float32[batch, 3, height/2, width/2]" in repr(model) and "\n" not in repr(model)
    monkeypatch.setenv("COLUMNS", "60")
    lines = str(model).splitlines()
    assert max(map(len, lines)) <= 60 and sum("input_5" in line for line in lines) == 1


def test_logging_is_silent_and_there(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "arenaut"):
        arenaut.load_onnx(ADD)
    assert "loaded <arenaut.Model 'g'" in caplog.text
    code = "import arenaut, sys; arenaut.load_onnx(sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    digits = Path(arenaut.__file__).parent / "data" / "digits.onnx"
    quiet = subprocess.run([sys.executable, "-c", code, str(digits)], env=environment, capture_output=True, text=True)
    assert quiet.returncode == 0 and not quiet.stdout and not quiet.stderr


def test_memory_that_is_not_there_is_an_error_of_ours(model: arenaut.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError("Unable to allocate")

    with monkeypatch.context() as patched:
        patched.setattr("arenaut.executor.common.to_native", none_left)
        with pytest.raises(arenaut.errors.MemoryLimitError, match="Unable to allocate"):
            model.run({"x": np.ones((3, 2), F).T})
    assert model.run({"x": np.ones((3, 2), F).T})["y"].tolist() == [[2] * 3] * 2


def test_a_compiled_file_that_cannot_be_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arenaut.load_onnx(ADD).save(tmp_path / "add.arn")

    def none_left(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr("arenaut.compiled.container.mmap.mmap", none_left)
        with pytest.raises(
            arenaut.errors.MemoryLimitError, match=r"opening '.*add\.arn': this machine has not the memory"
        ):
            arenaut.load_onnx(tmp_path / "add.arn")
    assert arenaut.load_onnx(tmp_path / "add.arn").run({"x": ROWS})["y"][0, 0] == 1
