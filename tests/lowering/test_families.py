"""Family records: each is of rows that exist, and no other module that sees steps tells families apart by name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from arenaut.lowering.families import FAMILIES, Family
from arenaut.native.rows import all_rows, params_layout

PACKAGE = Path(__file__).parents[2] / "src" / "arenaut"
ROOMS = ("lowering", "executor", "results", "native")  # those that see steps and rows


def test_every_record_is_of_a_family_with_rows() -> None:
    assert set(FAMILIES) <= {row.family for row in all_rows()}


def test_what_is_summed_in_parts_can_be_added_up() -> None:
    for name, family in FAMILIES.items():
        assert (family.sum is None) == (family.add is None), name
        assert family != Family(), f"{name} has the defaults and needs no entry"


def test_winograd_families_take_a_form() -> None:
    for name, family in FAMILIES.items():
        if family.winograd:
            assert "form" in params_layout(name)[1]


@pytest.mark.parametrize(
    "path", [p for room in ROOMS for p in sorted((PACKAGE / room).glob("*.py"))], ids=lambda p: p.stem
)
def test_only_the_records_name_families(path: Path) -> None:
    names = {row.family for row in all_rows()}
    texts = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
    assert path.name == "families.py" or not texts & names
