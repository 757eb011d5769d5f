"""Settings have one home, and users' code is typed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from arenaut.config import VARIABLES, settings

ROOT = Path(__file__).resolve().parents[2]

USER = """
import numpy as np
import numpy.typing as npt
import arenaut

model = arenaut.load_onnx("m.onnx", threads=2)
outputs = model.run({"x": np.zeros((1, 3), np.float32), "ids": [1, 2], "scale": 1.5})
first: npt.NDArray[np.float32] = outputs["y"]
reveal_type(outputs)
with open("m.onnx", "rb") as file:
    other: arenaut.Model = arenaut.load_onnx(file)
names: list[str] = [i.name for i in other.inputs]

async def serve() -> None:
    reveal_type(await model.run_async(x=first))

session = arenaut.InferenceSession("m.onnx")
kind: str = session.get_inputs()[0].type
wrong: int = outputs["y"]  # an error
"""


def test_every_variable_is_in_the_table() -> None:
    found: set[str] = set()
    for folder in ("src", "ir", "frontend", "passes", "planner"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= set(re.findall(r'"(ARENAUT_[A-Z_]+)"', path.read_text()))
            assert "environ" not in path.read_text() or path.name in ("config.py", "worker.py", "ort_capi.py"), path
    assert found - {"ARENAUT_DOMAIN"} == set(VARIABLES)  # a constant of that name is exported
    guide = (ROOT / "docs" / "guide" / "configuration.md").read_text()
    assert all(f"`{name}`" in guide and what in guide for name, what in VARIABLES.items())


def test_settings_are_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARENAUT_VERIFY", "types")
    assert settings()["ARENAUT_VERIFY"] == "types"


def test_code_of_users_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(USER)
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), "-p", "user"],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": f"{tmp_path}:{ROOT / 'build' / 'pkg'}"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    lines = [line for line in result.stdout.splitlines() if "user.py" in line]
    kinds = [line.split(": ")[1] for line in lines]
    assert kinds == ["note", "note", "error"], result.stdout + result.stderr
    assert all("dict[str, numpy.ndarray[" in re.sub(r"builtins\\.", "", line) for line in lines[:2]), lines


def test_code_of_users_is_typed_for_pyright(tmp_path: Path) -> None:
    program = shutil.which("pyright")
    if program is None or subprocess.run([program, "--version"], capture_output=True).returncode:
        pytest.skip("pyright is not installed")
    (tmp_path / "user.py").write_text(USER)
    settings = {"typeCheckingMode": "strict", "include": ["user.py"], "extraPaths": [str(ROOT / "build" / "pkg")]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    result = subprocess.run(
        [program, "--project", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    found = [(each["severity"], each["message"]) for each in json.loads(result.stdout)["generalDiagnostics"]]
    assert [severity for severity, _ in found] == ["information", "information", "error"], found
    assert all('is "dict[str, ndarray[' in message for severity, message in found if severity == "information"), found
