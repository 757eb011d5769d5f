"""The bench of single ops: that it leaves out no op, and that its cases are models which both engines run alike."""

from __future__ import annotations

import pytest

from bench import ops
from bench.op_sizes import TABLE


def test_every_op_has_cases_or_a_reason_why_not() -> None:
    assert ops.missing() == set()


@pytest.mark.parametrize("key", ["Add", "Conv", "ai.onnx.ml.ZipMap", "com.microsoft.QLinearAdd", "StringConcat"])
def test_cases_run_on_both_engines(key: str) -> None:
    made = [case for case in ops.cases(key, ops.TYPES) if not case.big]
    results = [r for r in map(ops.measure, made) if r is not None]
    assert results
    assert all(r.ours > 0 and r.peer > 0 and not r.note for r in results)


def test_slices_of_the_keys_cover_all_of_them_once() -> None:
    parts = [key for i in range(1, 9) for key in ops.chosen([], f"{i}/8")]
    assert sorted(parts) == ops.keys()
    assert set(TABLE) <= set(parts)


def test_a_page_lists_what_is_slower_first() -> None:
    fast, slow = ops.Result("Add", "float32", 0, 1e-6, 2e-6), ops.Result("Mul", "string", 1, 1e-6, 0.4e-6)
    text = ops.page([fast, slow, ops.Result("Sub", "string", 1, 1e-6, 0.6e-6)], "x").split("## All")[0]
    assert ops.row(slow) in text and ops.row(fast) not in text and "| Sub" not in text
