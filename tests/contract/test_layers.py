"""Who may import whom: read from the sources, so that no import is missed, lazy ones included."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Rooms whose folders lie at the top; the others, and single modules, lie in src/arenaut.
MAPPED = {room: ROOT / room for room in ("ir", "frontend", "passes", "planner")}
OUTSIDE = {"bench": ROOT / "bench", "tests": ROOT / "tests"}

CORE = {"ir", "native", "_native", "plain"}
COMPILED = CORE | {"planner", "lowering"}
LOADED = COMPILED | {
    "executor",
    "backends",
    "results",
    "collector",
    "config",
    "dlpack",
    "inputs",
    "options",
    "origin",
    "released",
    "model",
    "state",
    "stateful",
}
PUBLIC = {"__version__", "errors", "loading"}

# room -> rooms of arenaut that it may import (its own is implied). What is not listed here is no room.
ALLOWED: Mapping[str, set[str]] = {
    "plain": set(),
    "ir": {"plain"},
    "errors": {"ir"},
    "planner": {"plain"},
    "frontend": CORE - {"native"} | {"__version__"},
    "passes": {"ir", "plain"},
    "native": CORE | {"config"},
    "lowering": CORE | {"planner"},
    "backends": COMPILED,
    "executor": COMPILED,
    "results": COMPILED | {"executor"},
    "dlpack": {"ir"},
    "inputs": {"ir", "dlpack", "plain"},
    "options": {"ir"},
    "collector": set(),
    "config": set(),
    "origin": {"loading", "model", "plain"},
    "released": {"ir", "lowering"},
    "compiled": LOADED | {"frontend", "passes", "config", "options", "origin", "__version__"},
    "model": LOADED | {"compiled", "frontend", "passes"},
    "state": LOADED,
    "stateful": LOADED,
    "loading": LOADED | {"compiled", "frontend", "passes"},
    "onnx_backend": {"errors", "ir", "loading", "model"},
    "generation": {"errors", "inputs", "ir", "model", "options", "plain", "state"},
    "measure": {"errors", "results", "inputs", "loading", "model", "passes", "plain"},
    "report": LOADED | PUBLIC | {"frontend", "passes", "measure"},
    "pool": LOADED | PUBLIC | {"compiled", "measure"},
    "serving": LOADED | PUBLIC | {"compiled", "measure", "pool"},
    "batch": LOADED | PUBLIC | {"measure", "pool"},
    "ray": PUBLIC | {"batch", "compiled", "pool", "serving"},
    "cli": LOADED | PUBLIC | {"batch", "compiled", "frontend", "generation", "measure", "ray", "report", "serving"},
    "compat": LOADED | PUBLIC | {"frontend"},
    "__main__": {"cli"},
    "__init__": {
        "collector",
        "compat",
        "errors",
        "frontend",
        "generation",
        "inputs",
        "ir",
        "loading",
        "model",
        "native",
        "state",
    },
}
# What people measure and test with may look at everything that is below it.
EVERYTHING = set(ALLOWED) | PUBLIC | {"_native", "bench", "tests"}
OUTSIDE_ALLOWED: Mapping[str, set[str]] = {"bench": EVERYTHING, "tests": EVERYTHING}


def sources(room: str) -> list[Path]:
    folder = {**MAPPED, **OUTSIDE}.get(room, ROOT / "src" / "arenaut" / room)
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that a file imports, wherever in it: "package.module", "package.module.name"."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            names = [f"{node.module}.{a.name}" for a in node.names]
        yield from ((node.lineno, name) for name in names)


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imported(path):
        parts = name.split(".")
        if parts[0] == "arenaut" and len(parts) > 1:
            yield line, parts[1]
        elif parts[0] in OUTSIDE:
            yield line, parts[0]


def test_every_room_is_listed() -> None:
    found = {p.stem for p in (ROOT / "src" / "arenaut").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert found | set(MAPPED) == set(ALLOWED)


@pytest.mark.parametrize("room", sorted({**ALLOWED, **OUTSIDE_ALLOWED}))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = {**ALLOWED, **OUTSIDE_ALLOWED}[room] | {room}
    files = sources(room)
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported_rooms(path)
        if name not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_bench_takes_from_the_tests_only_their_support() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources("bench")
        for line, name in imported(path)
        if name.split(".")[0] == "tests" and name.split(".")[1:2] != ["support"]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_does_not_name_the_benches() -> None:
    """bench registers what it knows; nothing that is shipped looks for it."""
    shipped = [path for room in ALLOWED for path in sources(room)]
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in shipped
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "bench." in line or "sys.path.insert" in line
    ]
    assert not wrong, "\n".join(wrong)


def test_frontend_has_no_circle_of_imports() -> None:
    """Not even a lazy one."""
    modules = {
        ".".join(["arenaut", *path.relative_to(ROOT).with_suffix("").parts]): path for path in sources("frontend")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    reads = {
        module: {m for _, name in imported(path) for m in [name if name in modules else name.rpartition(".")[0]]}
        & modules.keys() - {module}
        for module, path in modules.items()
    }
    while done := {name for name, others in reads.items() if not others}:
        reads = {name: others - done for name, others in reads.items() if name not in done}
    assert not reads, f"these modules import each other: {sorted(reads)}"


def test_classes_cost_little_to_import() -> None:
    """The standard's dataclass compiles six functions a class while its module is imported."""
    shipped = [path for room in set(ALLOWED) - {"plain", "measure", "cli", "report"} for path in sources(room)]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}: take it from arenaut.plain"
        for path in shipped
        for line, name in imported(path)
        if name in ("dataclasses.dataclass", "dataclasses.replace")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", sorted(MAPPED))
def test_a_room_is_not_importable_from_the_checkout(room: str) -> None:
    result = subprocess.run([sys.executable, "-c", f"import {room}"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0 and f"arenaut.{room}" in result.stderr


@pytest.mark.parametrize(
    "command", (["bench", "m.onnx", "--rounds", "1", "--slot", "0"], ["bench", "resnet50"], ["report", "m.onnx"])
)
def test_a_command_executes_nothing_of_the_folder_it_runs_in(command: list[str], tmp_path: Path) -> None:
    """A stranger's folder that looks like a checkout, with modules that everybody imports."""
    (tmp_path / "m.onnx").write_bytes((ROOT / "src" / "arenaut" / "data" / "digits.onnx").read_bytes())
    trap = f"open({str(tmp_path / 'sprung')!r}, 'a').write(__name__)\n"
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "zoo.toml").write_text("")
    for name in ("bench/__init__", "bench/zoo", "bench/torch_memory", "numpy", "onnxruntime", "typer", "signal"):
        (tmp_path / f"{name}.py").write_text(trap)
    paths = [entry for entry in sys.path if entry and Path(entry).resolve() != ROOT]
    code = "import sys; sys.path[:] = filter(None, sys.path); from arenaut.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, timeout=300,
    )  # fmt: skip
    assert not (tmp_path / "sprung").exists(), (tmp_path / "sprung").read_text()


def test_files_stay_readable() -> None:
    """Source files of at most 600 lines; tables of records or rows may be longer."""
    folders = ("ir", "frontend", "passes", "planner", "src", "cpp")
    long = [
        f"{p.relative_to(ROOT)}: {lines}"
        for folder in folders
        for p in (ROOT / folder).rglob("*")
        if p.suffix in (".py", ".cc", ".h") and (lines := len(p.read_text().splitlines())) > 600
    ]
    assert not long, "\n".join(long)
