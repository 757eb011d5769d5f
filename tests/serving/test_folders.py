"""What is served of files and folders, under which names and versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from arenaut.serving.folders import models_at, stamp_of, versions_at


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = (
        "a.onnx",
        "b/model.onnx",
        "c/1/model.onnx",
        "c/10/other.arn",
        "c/2/model.onnx",
        "d/notes.txt",
        ".e/model.onnx",
    )
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_of_models(folder: Path) -> None:
    assert models_at([str(folder)]) == {n: str(folder / p) for n, p in (("a", "a.onnx"), ("b", "b"), ("c", "c"))}


def test_versions_are_numbered_folders(folder: Path) -> None:
    found = versions_at(str(folder / "c"))
    assert {v: Path(p).name for v, p in found.items()} == {"1": "model.onnx", "2": "model.onnx", "10": "other.arn"}
    assert list(versions_at(str(folder / "b"))) == ["1"] and list(versions_at(str(folder / "a.onnx"))) == ["1"]


def test_one_model_and_another_name(folder: Path) -> None:
    assert models_at([str(folder / "c")]) == {"c": str(folder / "c")}
    assert models_at([str(folder / "a.onnx"), f"z={folder}/b"]) == {"a": str(folder / "a.onnx"), "z": f"{folder}/b"}


def test_what_is_none_is_said(folder: Path) -> None:
    for wrong, says in (("d", "holds no models"), ("q", "is no file and no folder"), ("z=q", "holds no model")):
        with pytest.raises((ValueError, OSError), match=says):
            models_at([str(folder / wrong) if "=" not in wrong else f"z={folder}/q"])
    with pytest.raises(ValueError, match="two models are called 'a'"):
        models_at([str(folder), f"a={folder}/b"])


def test_another_file_has_another_stamp(folder: Path) -> None:
    before = stamp_of(str(folder / "a.onnx"))
    (folder / "a.onnx").write_bytes(b"x")
    assert stamp_of(str(folder / "a.onnx")) != before
