"""InferenceSession beyond run(): what it says, how it is set up, bindings, traces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as theirs
import pytest
from onnx import TensorProto as T
from onnx import helper as h

import arenaut
import arenaut.compat.onnxruntime as ours
from arenaut.compat.onnxruntime import notes
from tests.compat import models
from tests.compat.test_feeds import session_of

F = np.float32
X = np.ones((2, 3), F)


def arguments(session: Any) -> list[list[tuple[Any, ...]]]:
    lists = session.get_inputs(), session.get_outputs(), session.get_overridable_initializers()
    return [[(a.name, a.shape, a.type, str(a)) for a in args] for args in lists]


def described() -> bytes:
    nodes = [h.make_node("Relu", ["x"], ["y"]), h.make_node("MatMul", ["y", "w"], ["z"]),
             h.make_node("Reshape", ["z", "c"], ["r"])]  # fmt: skip
    info = models.info
    inputs = [info("x", ["N", None, 3]), info("b"), info("w", [3, 4])]
    outputs = [info("y"), info("z", ["foo", None, None]), info("r")]
    stored = [h.make_tensor("w", T.FLOAT, [3, 4], [0.0] * 12), h.make_tensor("c", T.INT64, [2], [-1, 4])]
    graph = h.make_graph(nodes, "described", inputs, outputs, stored, doc_string="of the graph")
    return models.save(graph, producer_name="me", producer_version="3", model_version=7, doc_string="doc", domain="dom")


def test_inputs_outputs_and_metadata_read_alike() -> None:
    expected, actual = session_of(theirs, described()), session_of(ours, described())
    assert arguments(actual) == arguments(expected)
    for name in dir(expected.get_modelmeta()):
        if not name.startswith("_"):
            assert getattr(actual.get_modelmeta(), name) == getattr(expected.get_modelmeta(), name), name


@pytest.mark.parametrize("shape", ([0, "", -1], [], ["a", "a", 3], ["?", "b"], None))
def test_odd_shapes_read_alike(shape: Any) -> None:
    model = models.passes(T.FLOAT, shape)
    assert arguments(session_of(ours, model)) == arguments(session_of(theirs, model))


def test_types_read_alike() -> None:
    sequence = h.make_value_info("s", h.make_sequence_type_proto(h.make_tensor_type_proto(T.FLOAT, ["N"])))
    out = h.make_value_info("y", h.make_optional_type_proto(h.make_tensor_type_proto(T.FLOAT, ["N"])))
    x = models.info("x", ["N"])
    graph = h.make_graph([h.make_node("Optional", ["x"], ["y"]), h.make_node("SequenceConstruct", ["x"], ["s"])],
                         "g", [x], [out, sequence])  # fmt: skip
    labels = h.make_value_info("m", h.make_sequence_type_proto(h.make_map_type_proto(
        T.INT64, h.make_tensor_type_proto(T.FLOAT, None))))  # fmt: skip
    zipped = h.make_graph([h.make_node("ZipMap", ["x"], ["m"], domain="ai.onnx.ml", classlabels_int64s=[1, 2])],
                          "g", [models.info("x", ["N", 2])], [labels])  # fmt: skip
    for model in (models.save(graph), models.save(zipped)):
        expected = [a.type for a in session_of(theirs, model).get_outputs()]
        assert [a.type for a in session_of(ours, model).get_outputs()] == expected
    rows = np.array([[0.25, 0.75]], F)
    assert session_of(ours, models.save(zipped)).run(None, {"x": rows}) == [[{1: 0.25, 2: 0.75}]]


def test_only_what_is_asked_is_computed() -> None:
    session = session_of(ours, models.branches())
    x, bad = np.arange(3, dtype=F), np.array([9])
    assert session.run(["near"], {"x": x, "i": bad})[0].tolist() == [0, -1, -2]
    assert [a.tolist() for a in session.run(["far", "near"], {"x": x, "i": np.array([2])})] == [[2], [0, -1, -2]]
    model = arenaut.load_onnx(models.branches())
    assert list(model.run({"x": x, "i": bad}, outputs=["near"])) == ["near"]
    with pytest.raises(arenaut.errors.ExecutionError, match="out of range"):
        model.run({"x": x, "i": bad}, outputs=["far"])
    with pytest.raises(arenaut.errors.InputError, match="'nope'; the model has near, far"):
        model.run({"x": x, "i": bad}, outputs=["nope"])


def test_free_dimensions_bind() -> None:
    graph = h.make_graph([h.make_node("Relu", ["x"], ["y"])], "g", [models.info("x", ["N", "M"])],
                         [models.info("y", ["N", "M"])])  # fmt: skip
    graph.input[0].type.tensor_type.shape.dim[1].denotation = "WIDTH"
    model = models.save(graph)
    for ort in (theirs, ours):
        options = ort.SessionOptions()
        options.add_free_dimension_override_by_name("N", 5)
        options.add_free_dimension_override_by_name("unknown", 5)
        options.add_free_dimension_override_by_denotation("WIDTH", 9)
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape == [5, 9] and session.get_outputs()[0].shape == [5, 9]
        assert session.run(None, {"x": np.ones((5, 9), F)})[0].shape == (5, 9)
        with pytest.raises(Exception, match=r"(?s)Got invalid dimensions.*index: 0 Got: 4 Expected: 5") as raised:
            session.run(None, {"x": np.ones((4, 9), F)})
        assert type(raised.value).__name__ == "InvalidArgument"
    fixed = arenaut.load_onnx(model, revision=arenaut.Revision(dims={"N": 5}))
    assert fixed.inputs[0].shape == (5, "M")


def test_initializers_are_replaced() -> None:
    for ort in (theirs, ours):
        options = ort.SessionOptions()
        value = ort.OrtValue.ortvalue_from_numpy(np.full((3, 4), 2, F))
        options.add_initializer("w", value)
        session = ort.InferenceSession(models.product(), options, providers=["CPUExecutionProvider"])
        assert session.run(None, {"x": X})[0].tolist() == [[6] * 4] * 2
        with pytest.raises(RuntimeError):
            options.add_initializer("w", np.ones(2, F))


def test_a_trace_is_read_by_chrome(tmp_path: Path) -> None:
    options = ours.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "trace")
    session = ours.InferenceSession(models.product(), options)
    for _ in range(3):
        assert session.run(None, {"x": X})[0].shape == (2, 4)
    events = json.loads(Path(session.end_profiling()).read_text())
    assert {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"} <= events[0].keys()
    assert [e["args"]["op_name"] for e in events if e["cat"] == "Node"] == ["MatMul"] * 3
    assert sum(e["name"] == "model_run" for e in events) == 3
    assert session.get_profiling_start_time_ns() > 0
    assert session_of(ours, models.product()).end_profiling() == ""


def test_a_traced_run_writes_what_is_bound(tmp_path: Path) -> None:
    session = session_of(ours, models.product(), enable_profiling=True, profile_file_prefix=str(tmp_path / "trace"))
    binding, z = session.io_binding(), np.zeros((2, 4), F)
    binding.bind_cpu_input("x", X)
    binding.bind_output("z", "cpu", 0, F, z.shape, z.ctypes.data)
    session.run_with_iobinding(binding)
    assert z.tolist() == [[3] * 4] * 2


def test_the_optimised_model_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "optimised.onnx"
    session_of(ours, models.product(), optimized_model_filepath=str(path))
    assert session_of(ours, str(path)).run(None, {"x": X})[0].shape == (2, 4)


@pytest.mark.parametrize("name, value", [
    ("intra_op_num_threads", "a"), ("intra_op_num_threads", 2.0), ("graph_optimization_level", 3), ("logid", 3),
    ("zzz", 1),
])  # fmt: skip
def test_settings_are_checked_alike(name: str, value: Any) -> None:
    with pytest.raises((TypeError, AttributeError)) as expected:
        setattr(theirs.SessionOptions(), name, value)
    with pytest.raises(type(expected.value)):
        setattr(ours.SessionOptions(), name, value)


@pytest.mark.parametrize("name", ["enable_profiling", "inter_op_num_threads", "logid"])
@pytest.mark.parametrize("value", [True, None, 1.5, 2, np.True_, np.int64(1), "a", b"a", [1]], ids=repr)
def test_settings_take_what_onnxruntime_takes(name: str, value: Any) -> None:
    def stored(ort: Any) -> Any:
        options = ort.SessionOptions()
        try:
            setattr(options, name, value)
        except TypeError:
            return TypeError
        return repr(getattr(options, name))

    assert stored(ours) == stored(theirs)


def test_keys_of_entries_have_a_length() -> None:
    for ort in (theirs, ours):
        for key in ("", "a" * 1025):
            with pytest.raises(RuntimeError, match="key"):
                ort.SessionOptions().add_session_config_entry(key, "1")


def test_what_has_no_effect_is_said_once() -> None:
    notes._SAID.clear()
    with pytest.warns(ours.NoEffectWarning, match="enable_mem_pattern=False has no effect on arenaut"):
        ours.SessionOptions().enable_mem_pattern = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.SessionOptions().enable_mem_pattern = False
        ours.SessionOptions().enable_mem_reuse = True
        ours.SessionOptions().add_session_config_entry("session.intra_op.allow_spinning", "0")


def test_other_providers_are_named_and_left() -> None:
    with pytest.warns(UserWarning, match="'CUDAExecutionProvider' is not in available provider names"):
        session = ours.InferenceSession(models.product(), providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert session.get_providers() == ["CPUExecutionProvider"] == ours.get_available_providers()
    with pytest.raises(Exception, match="computes on the CPU"):
        ours.SessionOptions().add_provider("CUDAExecutionProvider", {})
    with pytest.raises(Exception, match=r"(?s)cannot load the custom ops of '/a.so'.*functions of the model"):
        ours.SessionOptions().register_custom_ops_library("/a.so")


def test_bindings() -> None:
    for ort in (theirs, ours):
        session = session_of(ort, models.product())
        binding = session.io_binding()
        with pytest.raises(RuntimeError, match="At least one output"):
            session.run_with_iobinding(binding)
        binding.bind_cpu_input("x", X)
        binding.bind_output("z")
        session.run_with_iobinding(binding)
        assert binding.copy_outputs_to_cpu()[0].tolist() == [[3] * 4] * 2
        assert binding.get_outputs()[0].shape() == [2, 4]
        x, z = np.full((1, 3), 2, F), np.zeros((1, 4), F)
        binding.bind_input("x", "cpu", 0, F, x.shape, x.ctypes.data)
        binding.bind_output("z", "cpu", 0, F, z.shape, z.ctypes.data)
        session.run_with_iobinding(binding)
        assert z.tolist() == [[6] * 4]
        value = ort.OrtValue.ortvalue_from_numpy(np.full((1, 3), 3, F))
        binding.bind_ortvalue_input("x", value)
        result = ort.OrtValue.ortvalue_from_shape_and_type([1, 4], F)
        binding.bind_ortvalue_output("z", result)
        session.run_with_iobinding(binding)
        assert result.numpy().tolist() == [[9] * 4]
        for bind, *wrong in ((binding.bind_cpu_input, "q", X), (binding.bind_cpu_input, "x", [[1.0]])):
            with pytest.raises(RuntimeError):
                bind(*wrong)
        binding.bind_cpu_input("x", X.astype(np.float64))
        with pytest.raises(RuntimeError, match="Unexpected input data type"):
            session.run_with_iobinding(binding)


def test_values() -> None:
    for ort in (theirs, ours):
        array = np.arange(6, dtype=F).reshape(2, 3)
        value = ort.OrtValue.ortvalue_from_numpy(array)
        facts = (value.data_type(), value.shape(), value.element_type(), value.device_name(), value.has_value(),
                 value.is_tensor(), value.is_sparse_tensor(), value.tensor_size_in_bytes(),
                 value.__dlpack_device__())  # fmt: skip
        assert facts == ("tensor(float)", [2, 3], 1, "cpu", True, True, False, 24, (1, 0))
        assert value.data_ptr() == array.ctypes.data and np.shares_memory(np.from_dlpack(value), array)
        value.update_inplace(np.zeros((2, 3), F))
        assert array.sum() == 0 and np.shares_memory(ort.OrtValue.from_dlpack(array).numpy(), array)
        for wrong in (([1.0],), (np.array(["a"]),), (array, "cuda")):
            with pytest.raises(RuntimeError):
                ort.OrtValue.ortvalue_from_numpy(*wrong)
        session = session_of(ort, models.product())
        value = ort.OrtValue.ortvalue_from_numpy(X)
        assert session.run_with_ort_values(["z"], {"x": value})[0].numpy().shape == (2, 4)
        assert session.run(None, {"x": value})[0].shape == (2, 4)


def test_callbacks() -> None:
    for ort in (theirs, ours):
        done = threading.Event()
        told: list[Any] = []

        def told_of(results: Any, data: Any, error: str, told: Any = told, done: Any = done) -> None:
            told.extend((results, data, error))
            done.set()

        session_of(ort, models.product()).run_async(None, {"x": X}, told_of, "mine")
        assert done.wait(20) and told[0][0].shape == (2, 4) and told[1:] == ["mine", ""]


def test_a_run_is_terminated_from_outside() -> None:
    steps = [h.make_node("MatMul", [f"x{i}", f"x{i}"], [f"x{i + 1}"]) for i in range(400)]
    graph = h.make_graph(steps, "long", [models.info("x0", ["N", "N"])], [models.info("x400")])
    session = session_of(ours, models.save(graph), intra_op_num_threads=1)
    options = ours.RunOptions()
    options.terminate = True
    with pytest.raises(Exception, match="terminate flag"):
        session.run(None, {"x0": np.zeros((4, 4), F)}, options)
    options.terminate = False
    timer = threading.Timer(0.2, lambda: setattr(options, "terminate", True))
    timer.start()
    began = time.monotonic()
    with pytest.raises(Exception, match="stopped by its caller") as raised:
        session.run(None, {"x0": np.zeros((1500, 1500), F)}, options)
    assert type(raised.value).__name__ == "Fail" and time.monotonic() - began < 10
    options.terminate = False
    assert session.run(None, {"x0": np.zeros((4, 4), F)}, options)[0].shape == (4, 4)


SCRIPT = """
import sys, importlib.metadata
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from onnxruntime import InferenceSession, SessionOptions
import numpy as np
session = InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
try:
    session.run(None, {"x": np.ones((2, 3))})
except InvalidArgument as error:
    print(type(error).__module__, "float" in str(error))
print(session.run(None, {"x": np.ones((2, 3), np.float32)})[0].tolist(), ort.get_build_info().split()[0])
print(importlib.metadata.version("onnxruntime"), sys.argv[2:])
"""


def test_an_unmodified_script_runs(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(models.product())
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    result = subprocess.run(
        [sys.executable, "-m", "arenaut.compat.onnxruntime", "script.py", "m.onnx", "more"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    first, second, third = result.stdout.splitlines()
    assert first == "onnxruntime.capi.onnxruntime_pybind11_state True"
    assert second == "[[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]] arenaut"
    assert third == f"{theirs.__version__} ['more']"


def test_install_is_undone() -> None:
    code = """
import arenaut.compat.onnxruntime as compat, onnxruntime
real = onnxruntime
module = compat.install()
import onnxruntime, onnxruntime.quantization
assert onnxruntime is module is compat.install() and onnxruntime.InferenceSession is compat.InferenceSession
compat.uninstall()
import onnxruntime
assert onnxruntime is real
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)
