"""run, check, inspect, convert and what every command does alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper as h
from onnx import numpy_helper
from typer.testing import CliRunner, Result

import arenaut
from arenaut.cli import app
from tests.support.models import parse

F = np.float32
TEXT = """agraph (float[batch, 3] x, int64[1] i) => (float[batch, 3] y, float[1, 3] row) {
    y = Relu (x)  row = Gather (y, i) }"""


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(parse(TEXT), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def digits() -> Path:
    return Path(arenaut.__file__).parent / "data" / "digits.onnx"


def test_files_in_files_out(model: Path, tmp_path: Path) -> None:
    x = np.array([[-1, 0, 2]], F)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "all.npz", x=x, i=np.array([0]))
    (tmp_path / "all.json").write_text('{"x": [[-1, 0, 2]], "i": [0]}')
    for feeds in ([f"x={tmp_path / 'x.npy'}", "i=[0]"], [tmp_path / "all.npz"], [tmp_path / "all.json"]):
        done = call("run", model, *feeds, "-o", tmp_path / "out.npz", "-o", tmp_path / "out.json")
        assert done.exit_code == 0, done.output
        with np.load(tmp_path / "out.npz") as out:
            assert out["y"].tolist() == [[0, 0, 2]] and out["row"].tolist() == [[0, 0, 2]]
        assert json.loads((tmp_path / "out.json").read_text())["y"] == [[0, 0, 2]]
    one = call("run", model, tmp_path / "all.npz", "--only", "y", "--json")
    assert list(json.loads(one.stdout)["outputs"]) == ["y"]


def test_a_picture_in(digits: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((40, 30, 3), 128, np.uint8)).save(tmp_path / "p.png")
    info = arenaut.load_onnx(digits).inputs[0]
    done = call("run", digits, tmp_path / "p.png", "--json")
    assert done.exit_code == 0, done.output
    from arenaut.cli.files import image as read

    pixels = read(tmp_path / "p.png", info)
    assert pixels.dtype == F and abs(float(pixels.mean()) - 128 / 255) < 1e-3 and pixels.ndim == len(info.shape or ())


@pytest.mark.parametrize(("words", "said"), [
    (["x=[1"], "is no npy, image or JSON file, and no JSON: write x=file.npy"),
    (["z=[1]"], "the model has no input 'z'. It has x, i"),
    (["feeds.npz"], "feeds.npz"),
    (["x=[[1,2,3]]"], "Add i=i.npy"),
    (["x=[[1,2]]", "i=[0]"], "expected 3 at axis 1"),
    (["x=[[1,2,3]]", "i=[5]"], "index is out of range"),
    (["x=[[1,2,3]]", "i=[0]", "--only", "q"], "'q'; the model has y, row"),
    (["x=[[1,2,3]]", "i=[0]", "-o", "out.csv"], "outputs are written to .npz or .json"),
])  # fmt: skip
def test_mistakes_say_what_to_type(model: Path, words: list[str], said: str) -> None:
    done = call("run", model, *words)
    assert done.exit_code == 2 and said in done.output, done.output
    assert "Traceback" not in done.output


def test_a_missing_file_has_a_neighbour(model: Path) -> None:
    for command in ("run", "check", "inspect", "show", "profile", "explain"):
        done = call(command, model.with_name("modle.onnx"))
        assert done.exit_code == 2 and f"Did you mean '{model}'?" in done.output


def test_alike_is_0(digits: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = call("check", digits)
    assert done.exit_code == 0 and "alike" in done.output, done.output


def test_a_difference_is_found(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from arenaut.measure import first_difference

    right = first_difference._theirs

    def wrong(source: Any, feeds: Any, threads: Any) -> dict[str, Any]:
        return {n: v if n in ("a",) else v + 1 for n, v in right(source, feeds, threads).items()}

    chain = "agraph (float[2] x) => (float[2] c) { a = Neg (x)  b = Abs (a)  c = Sqrt (b) }"
    onnx.save(parse(chain), tmp_path / "chain.onnx")
    monkeypatch.setattr(first_difference, "_theirs", wrong)
    done = call("check", tmp_path / "chain.onnx", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["differs"] and found["value"] == "b" and "Abs" in found["node"]


def test_inspect_needs_no_compiling(digits: Path, model: Path) -> None:
    facts = json.loads(call("inspect", digits, "--json").stdout)
    stored = onnx.load(digits)
    assert facts["parameters"] >= sum(numpy_helper.to_array(t).size for t in stored.graph.initializer) > 0
    assert facts["inputs"][0]["dtype"] == "float32" and sum(facts["ops"].values()) == facts["nodes"]
    text = call("inspect", model)
    assert text.exit_code == 0 and "x: float32[batch, 3]" in text.output


def test_convert_writes_what_others_load(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert call("convert", model, out, "--dim", "batch=2").exit_code == 0
    assert [d.dim_value for d in onnx.load(out).graph.input[0].type.tensor_type.shape.dim] == [2, 3]
    for wrong, said in (("bach=2", "no symbolic dim 'bach'. It has batch"), ("batch=x", "Write --dim batch=1")):
        done = call("convert", model, out, "--dim", wrong)
        assert done.exit_code == 2 and said in done.output


def test_every_command_speaks_json(digits: Path, tmp_path: Path) -> None:
    for words in (["run", digits], ["check", digits], ["inspect", digits], ["convert", digits, tmp_path / "o.onnx"],
                  ["show", digits], ["profile", digits, "--repeat", "2"], ["explain", digits], ["info"],
                  ["report", digits, "--repeat", "1"], ["compile", digits, "-o", tmp_path / "d.arn"], ["demo"],
                  *(["cache", word, "--folder", tmp_path / "c"] for word in ("list", "clear")),
                  ["cache", "path"]):  # fmt: skip
        done = call(*words, "--json")
        assert done.exit_code == 0, done.output
        assert isinstance(json.loads(done.stdout), dict)


def test_the_profile_fits_the_terminal(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = call("profile", digits, "--repeat", "3")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80 and lines[0].split() == ["us", "%", "op"] and "medians of 3 runs" in done.stdout
    shares = [float(line.split()[1]) for line in lines[1 : lines.index("")]]
    assert shares == sorted(shares, reverse=True) and 95 < sum(shares) < 100.6


def test_version_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("--version").stdout == f"arenaut {arenaut.__version__}\n"
    monkeypatch.setenv("ARENAUT_VERIFY", "off")
    said = call("info").stdout
    assert "processors in the affinity mask" in said and "ARENAUT_VERIFY=off" in said
    assert "--install-completion" in call("--help").stdout


@pytest.mark.parametrize(
    ("line", "place", "offered"), [("arenaut pro", 1, "profile"), ("arenaut bench m.onnx --eng", 3, "--engines")]
)
def test_bash_completes_commands_and_options(line: str, place: int, offered: str) -> None:
    done = CliRunner().invoke(
        app,
        prog_name="arenaut",
        env={"_ARENAUT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(place)},
    )
    assert done.stdout.split() == [offered]


def test_text_is_made_an_input(tmp_path: Path) -> None:
    text = h.make_tensor_value_info("t", onnx.TensorProto.STRING, ["n"])
    graph = h.make_graph([h.make_node("Identity", ["t"], ["u"])], "g", [text],
                         [h.make_tensor_value_info("u", onnx.TensorProto.STRING, ["n"])])  # fmt: skip
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tmp_path / "t.onnx")
    done = call("run", tmp_path / "t.onnx", "t=hello", "--json")
    assert json.loads(done.stdout)["outputs"]["u"]["value"] == ["hello"]
