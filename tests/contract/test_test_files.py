"""Every pass and module of lowering has a test file of its own, every kernel row a kernel test that names it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from arenaut import _native

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
LOWERING = sorted(p.stem for p in (ROOT / "src/arenaut/lowering").glob("*.py") if p.stem != "__init__")
PASSES = sorted(p.stem for p in (ROOT / "passes").glob("*.py") if p.stem not in ("__init__", "context", "pipeline"))


@pytest.mark.parametrize("module", LOWERING)
def test_a_module_of_lowering_has_its_test_file(module: str) -> None:
    file = TESTS / "lowering" / f"test_{module}.py"
    assert file.exists() and f"arenaut.lowering.{module}" in file.read_text("utf-8")


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_has_its_test_file(name: str) -> None:
    file = TESTS / "passes" / f"test_{name}.py"
    assert file.exists() and name in file.read_text("utf-8")


def _rows_named(file: Path) -> list[re.Pattern[str]]:
    """Patterns of the row names in a test file: its words in quotes, what an f-string fills in being any word."""
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [re.compile(re.escape(word)) for word in node.value.split()]
        if isinstance(node, ast.JoinedStr):
            parts = [re.escape(str(v.value)) if isinstance(v, ast.Constant) else r"\w+" for v in node.values]
            found.append(re.compile("".join(parts)))
    return found


def test_every_kernel_row_has_a_kernel_test() -> None:
    """In a file that calls rows by name. tests/bench/test_grids.py holds that each has a bench grid."""
    files = [f for f in sorted((TESTS / "kernels").glob("test_*.py")) if f.stem != "test_variants"]
    named = [p for f in files for p in _rows_named(f) if p.pattern not in (r"\w+", "")]
    missing = sorted({r["name"] for r in _native.rows() if not any(p.fullmatch(r["name"]) for p in named)})
    assert not missing
