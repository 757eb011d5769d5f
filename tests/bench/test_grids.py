"""Every kernel row has a grid of cases to be timed with, and binds each of them."""

from __future__ import annotations

from typing import Any

import pytest

from arenaut import _native
from bench.grids import GRIDS, cases
from tests.support.rowcall import TIERS, available_tiers, call

ROWS = [row for row in _native.rows() if TIERS[row["tier"]] in available_tiers()]


def test_every_family_has_a_grid_and_every_grid_a_family() -> None:
    assert {row["family"] for row in _native.rows()} == set(GRIDS)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['name']}-{TIERS[r['tier']]}")
def test_the_row_does_its_cases(row: dict[str, Any]) -> None:
    """Binds all, and runs the smallest: a case that is refused, or has nothing to do, times nothing."""
    found = list(cases(row))
    assert found and len({case.name for case in found}) == len(found)
    smallest = min(found, key=lambda c: c.flops + c.bytes)
    for case in found:
        said = call(row, case.inputs, case.outputs, params=case.params, tile=case.tile, pack=case.pack,
                    constant=case.constant, repeat=int(case is smallest))  # fmt: skip
        assert said["status"] == 0, case.name
        assert said["tasks"] > 0 and case.bytes > 0, case.name
