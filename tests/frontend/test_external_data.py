"""External tensor data: mapped from beside the model, refused from anywhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from arenaut.frontend import import_model
from arenaut.ir.errors import ExternalDataError
from tests.support.importing import Array, model_of, random, tensor_info

ARRAY = random(64, 64)


def model_with(location: str, **entries: str) -> onnx.ModelProto:
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], [tensor_info("x", [64, 64])], ["y"])
    tensor = TensorProto(name="w", data_type=1, dims=[64, 64], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    return model


def write(folder: Path, location: str, **entries: str) -> Path:
    path = folder / "m.onnx"
    onnx.save(model_with(location, **entries), path)
    return path


def loaded(path: Path) -> Array:
    constant = import_model(path).graph.constants()[0].constant
    assert constant is not None
    return constant


def test_data_beside_the_model_is_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(ARRAY.tobytes())
    found = loaded(path)
    np.testing.assert_array_equal(found, ARRAY)
    assert not found.flags.owndata and not found.flags.writeable


@pytest.mark.parametrize("offset", [4096, 4, 3])
def test_a_part_of_a_file_in_a_subfolder(tmp_path: Path, offset: int) -> None:
    path = write(tmp_path, "data/all.bin", offset=str(offset), length=str(ARRAY.nbytes))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "all.bin").write_bytes(b"\1" * offset + ARRAY.tobytes() + b"\2" * 100)
    found = loaded(path)
    np.testing.assert_array_equal(found, ARRAY)
    assert found.flags.aligned


def test_models_written_by_onnx(tmp_path: Path) -> None:
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], [tensor_info("x", [64, 64])], ["y"], {"w": ARRAY})
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    np.testing.assert_array_equal(loaded(tmp_path / "m.onnx"), ARRAY)


def test_a_relative_path_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(ARRAY.tobytes())
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(loaded(Path("m.onnx")), ARRAY)


def test_the_cache_of_hugging_face(tmp_path: Path) -> None:
    """snapshots/<revision>/ holds links into blobs/, where files are named by their hash."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "rev" / "onnx"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    onnx.save(model_with("model.onnx_data"), blobs / "aa11")
    (blobs / "bb22").write_bytes(ARRAY.tobytes())
    (snapshot / "model.onnx").symlink_to("../../../blobs/aa11")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/bb22")
    np.testing.assert_array_equal(loaded(snapshot / "model.onnx"), ARRAY)


def test_a_folder_reached_through_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    write(real, "w.bin")
    (real / "w.bin").write_bytes(ARRAY.tobytes())
    (tmp_path / "link").symlink_to(real)
    np.testing.assert_array_equal(loaded(tmp_path / "link" / "m.onnx"), ARRAY)


@pytest.fixture
def outside(tmp_path: Path) -> tuple[Path, Path]:
    """A model's folder, and a secret beside that folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(ARRAY.tobytes())
    return folder, secret


def test_dots_and_absolute_paths_are_refused(outside: tuple[Path, Path]) -> None:
    folder, secret = outside
    (folder / "sub").mkdir()
    for location in ("../secret.bin", str(secret), "sub/../../secret.bin", "sub/../w.bin", "", "a\0b"):
        with pytest.raises(ExternalDataError, match="only paths inside"):
            loaded(write(folder, location))


def test_links_elsewhere_are_refused(outside: tuple[Path, Path]) -> None:
    folder, secret = outside
    (folder / "w.bin").symlink_to(secret)
    with pytest.raises(ExternalDataError, match="outside the model's folder"):
        loaded(write(folder, "w.bin"))
    (folder / "up").symlink_to(secret.parent)
    with pytest.raises(ExternalDataError, match="outside the model's folder"):
        loaded(write(folder, "up/secret.bin"))


def test_a_folder_whose_name_only_begins_alike_is_outside(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    sibling = tmp_path / "model-private"
    folder.mkdir()
    sibling.mkdir()
    (sibling / "w.bin").write_bytes(ARRAY.tobytes())
    (folder / "w.bin").symlink_to(sibling / "w.bin")
    with pytest.raises(ExternalDataError, match="outside"):
        loaded(write(folder, "w.bin"))


def test_missing_and_short_files(tmp_path: Path) -> None:
    path = write(tmp_path, "w.bin")
    with pytest.raises(ExternalDataError, match=r"'w.bin', which is not in the model's folder"):
        loaded(path)
    (tmp_path / "w.bin").write_bytes(ARRAY.tobytes()[:-4])
    with pytest.raises(Exception, match="takes 16384 bytes, but 16380"):
        loaded(path)
    with pytest.raises(ExternalDataError, match="that file has 16380 bytes"):
        loaded(write(tmp_path, "w.bin", length="16384"))
    with pytest.raises(ExternalDataError, match="that file has 16380 bytes"):
        loaded(write(tmp_path, "w.bin", offset="99999"))


@pytest.mark.parametrize("entries", [{"offset": "-4"}, {"length": "1e3"}, {"offset": "9" * 30}, {"length": ""}])
def test_places_that_are_no_numbers(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "w.bin").write_bytes(ARRAY.tobytes())
    with pytest.raises(ExternalDataError, match="expected a count of bytes"):
        loaded(write(tmp_path, "w.bin", **entries))


def test_folders_and_pipes_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for location in ("folder", "pipe"):
        with pytest.raises(ExternalDataError, match="cannot be read"):
            loaded(write(tmp_path, location))


def test_models_without_a_path_need_a_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(ARRAY.tobytes())
    model = model_with("w.bin")
    for source in (model, model.SerializeToString()):
        with pytest.raises(ExternalDataError, match="given as bytes"):
            import_model(source)
        constant = import_model(source, external_data_folder=str(tmp_path)).graph.constants()[0].constant
        np.testing.assert_array_equal(constant, ARRAY)
