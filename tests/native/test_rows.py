"""The kernel rows as lowering finds them: each one is picked for its element types on its tier."""

from __future__ import annotations

from dataclasses import replace

import pytest

from arenaut.ir.dtypes import DType
from arenaut.native.rows import Row, all_rows, pack_params, select_row
from arenaut.native.target import TIERS, current_target

BY_SHORT_NAME = {d.short: d for d in DType}
by_row = pytest.mark.parametrize("row", all_rows(), ids=lambda r: f"{r.name}-{TIERS[r.tier]}")
Types = list[DType | None]


def signatures(row: Row) -> list[tuple[Types, Types]]:
    """Element types that the row takes, without its optional operands: one for each alternative of its first operand
    that has some, the other operands following where they have as many."""
    sides = [[part.removesuffix("...") for part in side.split(",") if part] for side in row.signature.split(">")]
    needed = [[p for p in side if not p.endswith("?")] for side in sides]
    most = max((len(p.split("|")) for side in needed for p in side), default=1)

    def pick(part: str, at: int) -> DType:
        options = part.split("|")
        name = options[at % len(options)]
        return DType.FLOAT if name == "any" else BY_SHORT_NAME[name]

    return [([pick(p, i) for p in needed[0]], [pick(p, i) for p in needed[1]]) for i in range(most)]


@by_row
def test_a_row_is_picked_for_its_types_on_its_tier(row: Row) -> None:
    target = replace(current_target(1), tier=row.tier, features=row.features)
    for inputs, outputs in signatures(row):
        assert select_row(row.family, inputs, outputs, target) is row, (inputs, outputs)


@by_row
def test_a_tier_without_a_row_of_its_own_takes_the_next_lower_one(row: Row) -> None:
    higher = {r.tier for r in all_rows() if r.name == row.name and r.tier > row.tier}
    target = replace(current_target(1), tier=row.tier + 1, features=0)
    ((inputs, outputs), *_) = signatures(row)
    picked = select_row(row.family, inputs, outputs, target)
    assert picked is not None and picked.name == row.name
    assert (picked is row) == (row.tier + 1 not in higher)


def test_every_name_has_a_row_that_every_machine_runs() -> None:
    assert {r.name for r in all_rows() if r.tier == 0 and r.features == 0} == {r.name for r in all_rows()}


def test_what_no_row_takes_is_not_picked() -> None:
    target = current_target(1)
    assert select_row("Softmax", [DType.INT64], [DType.INT64], target) is None
    assert select_row("Softmax", [DType.FLOAT, DType.FLOAT, DType.FLOAT], [DType.FLOAT], target) is None
    assert select_row("Softmax", [None], [DType.FLOAT], target) is None
    assert select_row("NoSuchFamily", [DType.FLOAT], [DType.FLOAT], target) is None


def test_parameters_are_filled_by_name() -> None:
    blob, patches = pack_params("Softmax", {"axis": 1})
    assert blob is not None and blob[:8] == (1).to_bytes(8, "little") and not patches
    with pytest.raises(KeyError, match="no member 'axes'"):
        pack_params("Softmax", {"axes": 1})
    with pytest.raises(ValueError, match="elements"):
        pack_params("Softmax", {"axis": [1, 2]})
