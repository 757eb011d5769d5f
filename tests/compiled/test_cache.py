"""The folder of compiled files: what is stored once is opened, whatever changes is compiled, and a folder that cannot
be used costs nothing but time."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import arenaut
from arenaut.cli import app
from arenaut.compiled import cache as caches
from arenaut.compiled.opened import OpenedModel
from arenaut.errors import CacheError
from tests.compiled.test_files import NET
from tests.support.models import parse


def write_net(path: Path, seed: int = 0, **options: Any) -> Path:
    model = parse(NET)
    rng = np.random.default_rng(seed)
    for name, shape in (("w1", (16, 512)), ("w2", (512, 8))):
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        model.graph.input.remove(next(i for i in model.graph.input if i.name == name))
    onnx.save(model, path, **options)
    return path


def settled(path: Path) -> None:
    """As if it had not been changed for long."""
    os.utime(path, ns=(path.stat().st_mtime_ns - 10**11,) * 2)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return write_net(tmp_path / "net.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def x() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal((3, 16)).astype(np.float32)


def load(source: Any, folder: Path, **options: Any) -> Any:
    return arenaut.load_onnx(source, threads=1, cache=folder, **options)


def stored(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arn"))


def test_a_later_load_opens_what_the_first_one_stored(net: Path, folder: Path) -> None:
    first, second = load(net, folder), load(net, folder)
    assert not isinstance(first, OpenedModel) and isinstance(second, OpenedModel)
    assert first.run(x())["y"].tobytes() == second.run(x())["y"].tobytes()
    assert len(stored(folder)) == 1
    assert isinstance(load(net.read_bytes(), folder), OpenedModel)  # the same content


def test_other_options_and_another_tier_are_other_files(
    net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(net, folder)
    for options in ({"optimize": False}, {"shapes": {"batch": 9}}, {"without": ["fusion"]}, {"isa": "baseline"}):
        assert not isinstance(load(net, folder, **options), OpenedModel)
        assert isinstance(load(net, folder, **options), OpenedModel)
    assert len(stored(folder)) == 5
    version, fingerprint = caches.this_build()
    monkeypatch.setattr("arenaut.compiled.cache.this_build", lambda: (version, fingerprint ^ 1))
    assert not isinstance(load(net, folder), OpenedModel)


@pytest.mark.parametrize("old", [True, False], ids=["unchanged for long", "just written"])
def test_another_content_is_compiled_whatever_its_size(old: bool, net: Path, folder: Path) -> None:
    if old:
        settled(net)
    before = load(net, folder).run(x())["y"]
    size = net.stat().st_size
    write_net(net, seed=1)
    assert net.stat().st_size == size
    after = load(net, folder)
    assert not isinstance(after, OpenedModel) and not np.array_equal(after.run(x())["y"], before)
    assert np.array_equal(load(net, folder).run(x())["y"], after.run(x())["y"])


def test_external_data_is_part_of_the_content(tmp_path: Path, folder: Path) -> None:
    external = {"save_as_external_data": True, "location": "m.data", "size_threshold": 64}
    path = write_net(tmp_path / "m.onnx", **external)
    before = load(path, folder).run(x())["y"]
    assert isinstance(load(path, folder), OpenedModel)
    data = bytearray((tmp_path / "m.data").read_bytes())
    data[3] ^= 1
    (tmp_path / "m.data").write_bytes(data)
    after = load(path, folder)
    assert not isinstance(after, OpenedModel) and not np.array_equal(after.run(x())["y"], before)


def test_a_damaged_file_is_made_again(net: Path, folder: Path) -> None:
    load(net, folder)
    (file,) = stored(folder)
    file.write_bytes(file.read_bytes()[:5000])
    assert not isinstance(load(net, folder), OpenedModel)
    assert isinstance(load(net, folder), OpenedModel)


def test_the_least_recently_used_go(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = [write_net(tmp_path / f"{i}.onnx", seed=i) for i in range(3)]
    load(nets[0], folder)
    size = stored(folder)[0].stat().st_size
    monkeypatch.setenv("ARENAUT_CACHE_BYTES", str(2 * size + size // 2))
    load(nets[1], folder)
    for number, file in enumerate(sorted(stored(folder), key=lambda f: f.stat().st_mtime)):
        os.utime(file, (number, number))
    assert isinstance(load(nets[0], folder), OpenedModel)  # the other one is the least recently used now
    load(nets[2], folder)
    assert len(stored(folder)) == 2
    assert isinstance(load(nets[0], folder), OpenedModel) and not isinstance(load(nets[1], folder), OpenedModel)


def test_a_folder_that_others_may_write_is_refused(net: Path, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CacheError, match=r"may be written by others .mode 777.: chmod 700"):
        load(net, folder)


def test_a_folder_of_somebody_else_is_refused(net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(CacheError, match=r"belongs to user .*, and this process is user 12345"):
        load(net, folder)


@pytest.mark.parametrize("fault", ["makedirs", "mkstemp"])
def test_a_disk_that_is_full_or_read_only_is_said_once(
    fault: str, net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caches, "_said", set())
    monkeypatch.setattr(os if fault == "makedirs" else caches.tempfile, fault, refuse)
    with pytest.warns(RuntimeWarning, match="No space left on device.*load as usual"):
        assert load(net, folder).run(x())["y"].shape == (3, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(net, folder).run(x())["y"].shape == (3, 8)


def test_many_processes_at_once(net: Path, folder: Path) -> None:
    script = (
        "import sys, numpy as np, arenaut; m = arenaut.load_onnx(sys.argv[1], threads=1, cache=sys.argv[2]);"
        "print(m.run(np.ones((2, 16), np.float32))['y'].tobytes().hex())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(net), str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    said = {child.communicate()[0] for child in children}
    assert all(child.returncode == 0 for child in children) and len(said) == 1
    assert len(stored(folder)) == 1 and not list(folder.glob(".compiling-*"))
    assert isinstance(load(net, folder), OpenedModel)


def test_the_variable(net: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARENAUT_CACHE", str(folder))
    arenaut.load_onnx(net, threads=1)
    assert isinstance(arenaut.load_onnx(net, threads=1), OpenedModel)
    assert not isinstance(arenaut.load_onnx(net, threads=1, cache=False), OpenedModel)
    monkeypatch.setenv("ARENAUT_CACHE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "home"))
    assert caches.cache_folder(None) == str(folder.parent / "home" / "arenaut" / "compiled")


def test_the_command(net: Path, folder: Path) -> None:
    load(net, folder)
    run = CliRunner().invoke(app, ["cache", "list", "--folder", str(folder)])
    assert run.exit_code == 0 and str(net) in run.output and str(stored(folder)[0]) in run.output
    run = CliRunner().invoke(app, ["cache", "clear", "--folder", str(folder)])
    assert run.exit_code == 0 and "MiB freed" in run.output and not list(folder.iterdir())
    assert CliRunner().invoke(app, ["cache", "path"]).output.strip() == caches.cache_folder(True)
