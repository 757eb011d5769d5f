"""Tables that Python and C++ both have are the same: those that are written twice, and those that are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from arenaut import _native
from arenaut.executor import common
from arenaut.ir.dims import OPAQUE_KINDS
from arenaut.ir.dtypes import DType
from arenaut.ir.ops import constant, gather, recurrent, reduce, resize, slicing, text, trees, vision
from arenaut.ir.ops.support import tree_table
from arenaut.lowering.program import Segment, StepKind
from arenaut.native.enumerations import LIMITS, enumeration
from arenaut.native.target import TIERS
from arenaut.planner import ALIGNMENT


def in_order(names: Iterable[str]) -> Mapping[str, int]:
    return {name.lower(): number for number, name in enumerate(names)}


MIRRORS: Mapping[str, Mapping[str, int]] = {
    "DType": {"none": 0, **{"string" if d is DType.STRING else d.short: int(d) for d in DType}},
    "Segment": {s.name.lower(): int(s) for s in Segment},
    "StepKind": {k.name.lower(): int(k) for k in StepKind},
    "Activation": in_order(recurrent.ACTIVATIONS),
    "Cell": in_order(recurrent.CELLS),
    "DrawKind": in_order(constant.DRAWS),
    "GramMode": in_order(text.GRAM_MODES),
    "GridMode": in_order(vision.GRID_MODES),
    "GridPadding": in_order(vision.GRID_PADDINGS),
    "PadMode": in_order(slicing.PAD_MODES),
    "ReduceKind": in_order(reduce.KINDS),
    "ResizeCoordinates": in_order(resize.COORDINATES),
    "ResizeMode": in_order(resize.MODES),
    "ResizeRounding": in_order(r.removeprefix("round_") for r in resize.ROUNDINGS),
    "ScatterReduction": in_order(gather.REDUCTIONS),
    "TreesAggregate": in_order(trees.AGGREGATES),
    "TreesMode": in_order(m.removeprefix("BRANCH_") for m in tree_table.MODES),
}
READ = {"ExprOp", "Feature", "Status", "Tier"}


@pytest.mark.parametrize("name", MIRRORS)
def test_the_python_table_has_the_native_numbers(name: str) -> None:
    native, mirror = ({w.replace("_", ""): n for w, n in table.items()} for table in (enumeration(name), MIRRORS[name]))
    assert native == mirror


def test_every_enumeration_is_mirrored_or_read() -> None:
    assert set(_native.enumerations()) == set(MIRRORS) | READ


def test_what_is_read_has_the_names_that_python_asks_for() -> None:
    assert {"const", "symbol", "add", "mul", *OPAQUE_KINDS} <= set(enumeration("ExprOp"))
    assert TIERS == ("baseline", "v3", "v4")
    assert {name: bit for name, bit, _ in _native.features()} == enumeration("Feature")
    assert set(enumeration("Status")) - set(common._MEANING) == {"ok"}
    assert LIMITS["refused"] not in enumeration("Status").values()


def test_limits() -> None:
    assert LIMITS["alignment"] == ALIGNMENT
    assert max(f[1] for f in _native.tile_functions()) <= max(DType)


def test_numbers_go_on_from_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "enumerations", lambda: {"X": "ARN_X_A, ARN_X_B_C = 4, ARN_X_D", "Y": "kOne, kTwo"})
    assert enumeration.__wrapped__("X") == {"a": 0, "b_c": 4, "d": 5}
    assert enumeration.__wrapped__("Y") == {"one": 0, "two": 1}
