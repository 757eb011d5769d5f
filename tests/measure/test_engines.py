import importlib.util
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from arenaut.cli.bench import bench_command
from arenaut.measure.engines import PeerMissingError, require
from arenaut.measure.subjects import SubjectError, find_subjects
from tests.support.report_models import save_chain


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    cli = typer.Typer()
    cli.command("bench")(bench_command)
    return cli


def test_a_missing_peer_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PeerMissingError, match=r"openvino is not installed.*pip install openvino"):
        require("openvino")


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(PeerMissingError, match="'fast'; there are arenaut, onnxruntime"):
        require("fast")


def test_files_become_subjects_with_their_symbols_bound(tmp_path: Path) -> None:
    path = save_chain(tmp_path / "chain.onnx")
    (subject,) = find_subjects([str(path)], {"batch": 7})
    assert (subject.name, subject.family, subject.binding) == ("chain", "file", {"batch": 7})
    assert subject.make_feeds(0)["x"].shape == (7, 64)


def test_subjects_that_cannot_be_meant_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_chain(tmp_path / "chain.onnx")
    with pytest.raises(SubjectError, match=r"no model has a symbolic dim 'bacth'; there are \['batch'\]"):
        find_subjects([str(path)], {"bacth": 7})
    with pytest.raises(SubjectError, match=r"there is no file .*gone\.onnx"):
        find_subjects([str(tmp_path / "gone.onnx")], {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("arenaut.measure.subjects._FINDERS", [])  # the benches of this process may have some
    with pytest.raises(SubjectError, match=r"magika is no model file.*python -m bench"):
        find_subjects(["magika"], {})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["x.onnx", "--engines", "onnxruntime"], "there is no file x.onnx"),
        (["--engines", "fast"], "no engine is called 'fast'"),
        (["--engines", ","], "--engines needs at least one of arenaut, onnxruntime"),
        (["--threads", "two"], "'two' is none"),
        (["--engines", "onnxruntime", "--shape", "batch"], "not 'batch'"),
    ],
)
def test_bad_arguments_end_with_a_sentence(app: typer.Typer, arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.split())


def test_json_holds_every_figure(app: typer.Typer, tmp_path: Path) -> None:
    path = save_chain(tmp_path / "chain.onnx")
    arguments = [str(path), "--engines", "onnxruntime", "--rounds", "2", "--slot", "0", "--shape", "batch=2", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (measured,) = document["results"]
    assert measured["binding"] == {"batch": 2}
    assert measured["engines"][0]["engine"] == "onnxruntime"
    assert measured["engines"][0]["median_seconds"] > 0
    assert [size["setting"] for size in measured["memory"]] == [
        "enable_mem_reuse=True, enable_mem_pattern=True",
        "enable_mem_reuse=True, enable_mem_pattern=False",
    ]


def test_tables_fit_sixty_columns(app: typer.Typer, tmp_path: Path) -> None:
    path = save_chain(tmp_path / "chain.onnx")
    arguments = [str(path), "--engines", "onnxruntime", "--rounds", "2", "--slot", "0"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "60"})
    assert result.exit_code == 0, result.output
    assert max(len(line.rstrip()) for line in result.stdout.splitlines()) <= 60
    assert "…" not in result.stdout
    for word in ("chain (batch=1), 1 thread", "median ms", "RSS MiB", "enable_mem_pattern=False"):
        assert word in result.stdout
