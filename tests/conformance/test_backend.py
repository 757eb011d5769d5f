"""arenaut.onnx_backend: the interface that onnx's tools call."""

from __future__ import annotations

import subprocess
import sys
import unittest

import numpy as np
import pytest
from onnx import helper

from arenaut import onnx_backend as backend
from arenaut.errors import InputError
from tests.support.models import parse

X = np.array([[1, -2], [3, -4]], np.float32)


def test_the_official_runner_takes_the_class() -> None:
    """One case on the CPU passes, its CUDA twin is skipped."""
    from onnx.backend.test.runner import Runner

    runner = Runner(backend.Backend).include("^test_clip_inbounds_(cpu|cuda)$")
    items = runner._filtered_test_items["NodeModel"]
    items["test_clip_inbounds_cpu"].func(None)
    with pytest.raises(unittest.SkipTest, match="CUDA"):
        items["test_clip_inbounds_cuda"].func(None)


def test_models() -> None:
    model = parse("g (float[n, 2] a, float[n, 2] b) => (float[n, 2] y, float[n, 2] z) { y = Sub (a, b) z = Neg (a) }")
    for inputs in ([X, X], (X, X), {"b": X, "a": X}):
        y, z = backend.run_model(model, inputs)
        np.testing.assert_array_equal(y, X - X)
        np.testing.assert_array_equal(z, -X)
    prepared = backend.prepare(model, "CPU", optimize=False, threads=1)
    assert prepared.model.threads == 1
    with pytest.raises(InputError, match="1 inputs, but the model has 2: a, b"):
        prepared.run([X])
    assert backend.is_compatible(model) and not backend.is_compatible(model, "CUDA")
    unknown = helper.make_model(helper.make_graph([helper.make_node("NoSuchOp", [], ["y"])], "g", [], []))
    assert not backend.is_compatible(unknown)


def test_nodes() -> None:
    (y,) = backend.run_node(helper.make_node("Clip", ["x", "", "top"], ["y"]), [X, np.float32(2)])
    np.testing.assert_array_equal(y, np.minimum(X, 2))
    old = helper.make_node("Clip", ["x"], ["y"], max=2.0)
    np.testing.assert_array_equal(backend.run_node(old, X, opset_version=6)[0], np.minimum(X, 2))
    (length,) = backend.run_node(helper.make_node("SequenceLength", ["s"], ["n"]), [[X, X, X]])
    assert length == 3
    values, indices = backend.run_node(helper.make_node("TopK", ["x", "k"], ["v", "i"]), {"x": X, "k": np.array([1])})
    np.testing.assert_array_equal(values, [[1], [3]])
    np.testing.assert_array_equal(indices, [[0], [0]])
    with pytest.raises(ValueError, match="1 inputs, but the node Add has 2"):
        backend.run_node(helper.make_node("Add", ["a", "b"], ["y"]), [X])


def test_devices() -> None:
    assert backend.supports_device("CPU") and backend.supports_device("CPU:0")
    assert not backend.supports_device("CUDA") and not backend.supports_device("CUDA:1")
    with pytest.raises(ValueError, match="'CPU' only"):
        backend.prepare(parse("g (float[2] a) => (float[2] y) { y = Neg (a) }"), "CUDA")


def test_import_is_light() -> None:
    code = "import sys, arenaut.onnx_backend; print('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
