"""What rounding changes, by layer and at the outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from arenaut.cli import app
from arenaut.report.rounding import rounding

RNG = np.random.default_rng(2)


def two_layers() -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "v"], ["h"], name="first"), helper.make_node("Tanh", ["h"], ["t"]),
             helper.make_node("MatMul", ["t", "w"], ["y"], name="second")]  # fmt: skip
    weights = {"v": (64, 128), "w": (128, 64)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 64])],
        [numpy_helper.from_array((RNG.standard_normal(s) / 8).astype(np.float32), n) for n, s in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


def test_layers_and_outputs() -> None:
    feeds = {"x": RNG.standard_normal((4, 64)).astype(np.float32)}
    eight, four = (rounding(two_layers(), feeds, weights=w) for w in ("int8", "int4"))
    assert [name for name, _ in four.layers] == ["first", "second"]
    assert 0 < eight.outputs["y"].max_rel < 0.02 < four.outputs["y"].max_rel < 0.5
    near = rounding(two_layers(), feeds, precision="bfloat16")
    assert near.layers == () and 0 < near.outputs["y"].max_rel < 0.02


def test_the_command_says_it(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(two_layers(), path)
    said = CliRunner().invoke(app, ["report", str(path), "--weights", "int4", "--repeat", "1"])
    assert said.exit_code == 0 and "first: weights (64, 128) err by" in said.output and "output 'y'" in said.output
    said = CliRunner().invoke(app, ["report", str(path), "--precision", "bfloat16", "--repeat", "1", "--json"])
    assert json.loads(said.output)["rounding"]["outputs"]["y"]["max_rel"] > 0
    assert CliRunner().invoke(app, ["report", str(path), "--weights", "int3"]).exit_code == 2
