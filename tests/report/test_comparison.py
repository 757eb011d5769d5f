import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from arenaut.cli import app
from arenaut.measure.subjects import file_subject
from arenaut.report.comparison import Change, Comparison, comparison_data, comparison_text, make_comparison, ratio_text
from arenaut.report.comparison_page import comparison_html
from arenaut.report.report import TEXT_WIDTH
from tests.report.test_report import Page

WIDTH = 32


def save(path: Path, ops: list[str], *, columns: int = WIDTH, scale: float = 1.0) -> Path:
    """x -> MatMul by `scale` times the identity -> these ops one after the other -> y."""
    info = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.eye(WIDTH, columns, dtype=np.float32) * np.float32(scale), "w")
    names = ["m", *(f"v{index}" for index in range(len(ops) - 1)), "y"] if ops else ["y"]
    nodes = [helper.make_node("MatMul", ["x", "w"], [names[0]])]
    nodes += [helper.make_node(op, [names[i]], [names[i + 1]]) for i, op in enumerate(ops)]
    graph = helper.make_graph(
        nodes, "g", [info("x", TensorProto.FLOAT, [4, WIDTH])], [info("y", TensorProto.FLOAT, [4, columns])], [weight]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("models")
    first, second = save(folder / "a.onnx", ["Softmax"]), save(folder / "b.onnx", ["Softmax", "Cos"], scale=2.0)
    return make_comparison(file_subject(first, {}), file_subject(second, {}), threads=1, repeat=1)


def test_what_changed_is_named(comparison: Comparison) -> None:
    assert {change.name for change in comparison.nodes_by_op()} == {"Cos"}
    figures = {change.name: (change.first, change.second) for change, _ in comparison.figures()}
    assert figures["nodes stored"] == (2, 3)
    assert figures["memory of a run"] == (comparison.first.plan.arena_bytes, comparison.second.plan.arena_bytes)
    assert all(time > 0 for time in figures["a run"])
    assert comparison.outputs is not None and comparison.outputs.compared == 1
    assert comparison.outputs.max_abs > 0.5 and "differ by at most" in comparison.outputs_text()


def test_every_form_says_it(comparison: Comparison) -> None:
    data = json.loads(json.dumps(comparison_data(comparison), allow_nan=False))
    assert data["nodes_by_op"] == [["Cos", 0, 1]]
    text = comparison_text(comparison)
    assert max(map(len, text.splitlines())) <= TEXT_WIDTH
    assert any(line.startswith("Cos") and line.endswith("new") for line in text.splitlines())
    page = Page(comparison_html(comparison))
    assert page.count("svg", "map") == 2 and page.count("script") == 1
    assert "Cos" in page.texts and any("differ by at most" in each for each in page.texts)


def test_equal_and_unlike_models_are_told_apart(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.onnx", []), save(tmp_path / "b.onnx", [])
    same = make_comparison(file_subject(first, {}), file_subject(second, {}), threads=1, repeat=1)
    assert same.outputs_text() == "outputs equal on the same feeds (1 compared)"
    assert same.nodes_by_op() == []
    narrow = save(tmp_path / "c.onnx", [], columns=WIDTH // 2)
    unlike = make_comparison(file_subject(first, {}), file_subject(narrow, {}), threads=1, repeat=1)
    assert unlike.outputs is None
    assert unlike.outputs_text() == "outputs not compared: output 'y' has shape [4, 16], the reference [4, 32]"


def test_ratios() -> None:
    assert [ratio_text(Change("", *pair)) for pair in ((2.0, 3.0), (0, 3), (3, 0), (0, 0))] == [
        "1.50x",
        "new",
        "gone",
        "",
    ]


def test_command_compares_two_files(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.onnx", []), save(tmp_path / "b.onnx", ["Cos"])
    out = tmp_path / "page.html"
    run = CliRunner().invoke(
        app, ["report", str(first), str(second), "--repeat", "1", "--threads", "1", "--html", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert run.stdout.startswith(f"{out}: outputs differ")
    assert Page(out.read_text(encoding="utf-8")).count("svg", "map") == 2
    refused = CliRunner().invoke(app, ["report", str(first), str(second), "--against", "onnxruntime"])
    assert refused.exit_code == 2 and "--against is for a report on one model" in refused.stderr
