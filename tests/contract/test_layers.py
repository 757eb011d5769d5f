"""Who may import whom: read from the sources, so that no import path is missed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# room -> rooms of arenaut it may import (its own is implied)
ALLOWED = {
    "ir": set(),
    "frontend": {"ir", "_native"},
    "passes": {"ir"},
    "planner": set(),
    "native": {"ir", "_native"},
    "lowering": {"ir", "planner", "native", "_native"},
    "executor": {"ir", "planner", "_native", "lowering", "backends"},
    "backends": {"ir", "planner", "_native", "lowering", "executor"},
}
PLACES = {"ir": ROOT / "ir", "frontend": ROOT / "frontend", "passes": ROOT / "passes", "planner": ROOT / "planner"}


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            names = [f"arenaut.{a.name}" for a in node.names] if node.module == "arenaut" else [node.module or ""]
        for name in names:
            parts = name.split(".")
            if parts[0] == "arenaut" and len(parts) > 1:
                yield node.lineno, parts[1]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    folder = PLACES.get(room, ROOT / "src" / "arenaut" / room)
    files = sorted(folder.rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports arenaut.{name}"
        for path in files
        for line, name in imported_rooms(path)
        if name not in {room, "__version__"} | ALLOWED[room]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", sorted(PLACES))
def test_a_room_is_not_importable_from_the_checkout(room: str) -> None:
    result = subprocess.run([sys.executable, "-c", f"import {room}"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0 and f"arenaut.{room}" in result.stderr


def test_files_stay_readable() -> None:
    """Source files of at most 600 lines; tables of records or rows may be longer."""
    sources = [
        p for folder in ("ir", "frontend", "passes", "planner", "src", "cpp") for p in (ROOT / folder).rglob("*")
    ]
    long = [
        f"{p.relative_to(ROOT)}: {lines}"
        for p in sources
        if p.suffix in (".py", ".cc", ".h") and (lines := len(p.read_text().splitlines())) > 600
    ]
    assert not long, "\n".join(long)
