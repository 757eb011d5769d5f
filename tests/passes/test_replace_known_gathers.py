"""Gathers through indices that sizes decide."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.replace_known_gathers import replace_known_gathers
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

HEAD = """t (SIGNATURE) => (OUTPUT y)
<int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}, int64[1] a0 = {0}, int64[1] a1 = {1}, int64[1] a2 = {2},
 int64[1] m1 = {-1}, int64[2] a23 = {2, 3}, int64[2] a12 = {1, 2}, int64[1,8] table = {0, 1, 2, 3, 4, 5, 6, 7},
 int64[1,8] kinds = {0, 0, 0, 0, 0, 0, 0, 0}>
{ nb1 = Shape <start = 0, end = 1> (x) ns1 = Shape <start = 1, end = 2> (x) nb = Squeeze(nb1) ns = Squeeze(ns1)
  rb = Range(i0, nb, i1) rs = Range(i0, ns, i1) BODY }"""
MASK = "int64[b,s] x"
# Batch and position as indices of each element of [b, 1, 1, s].
PLACES = """rb4 = Unsqueeze(rb, a12) rb5 = Unsqueeze(rb4, m1) rs4 = Unsqueeze(rs, a0) rs5 = Unsqueeze(rs4, a0)
 rs6 = Unsqueeze(rs5, a0)"""


def run(body: str, output: str, signature: str = MASK, **feeds: np.ndarray) -> Rewritten:
    text = HEAD.replace("BODY", body).replace("OUTPUT", output).replace("SIGNATURE", signature)
    given = {"x": np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]]), **feeds}
    return rewrite(parse(text), replace_known_gathers, eliminate_dead_code, feeds=given)


def test_a_mask_gathered_from_its_flat_form_is_reshaped() -> None:
    body = f"""{PLACES} f = Flatten <axis = 2> (x) o = Mul(rb5, ns1) at = Add(rs6, o) g = Gather(f, at)
    y = Squeeze(g, m1)"""
    result = run(body, "int64[b,1,1,s]")
    assert result.ops == ["Reshape", "Squeeze"]


def test_a_mask_gathered_by_batch_and_position_is_reshaped() -> None:
    body = f"""{PLACES} top = Max(rb5, rs6) n = Shape(top) eb = Expand(rb5, n) es = Expand(rs6, n)
    ub = Unsqueeze(eb, m1) us = Unsqueeze(es, m1) at = Concat <axis = -1> (ub, us) y = GatherND(x, at)"""
    assert run(body, "int64[b,1,1,s]").ops == ["Reshape"]


def test_positions_counted_from_a_stored_table_are_a_slice() -> None:
    body = "at = Slice(table, a0, ns1, a1) y = Gather(rows, at)"
    result = run(body, "float[1,n,3]", f"{MASK}, float[8,3] rows", rows=draw(8, 3))
    assert [op for op in result.ops if op != "Shape"] == ["Slice", "Reshape"]


@pytest.mark.parametrize("body", [
    "z = Slice(kinds, a0, ns1, a1) at = Expand(z, nn) y = Gather(rows, at)",
    "i = Slice(table, a0, ns1, a1) z = GatherElements <axis = 1> (kinds, i) at = Expand(z, nn) y = Gather(rows, at)",
])  # fmt: skip
def test_one_row_for_all_is_repeated(body: str) -> None:
    result = run(f"nn = Concat <axis = 0> (nb1, ns1) {body}", "float[b,s,3]", f"{MASK}, float[2,3] rows",
                 rows=draw(2, 3))  # fmt: skip
    assert "Gather" not in result.ops and "Expand" in result.ops


@pytest.mark.parametrize(("body", "output", "reason"), [
    ("r = Sub(ns, i1) d = Sub(r, rs) y = Gather <axis = 1> (x, d)", "int64[b,n]", None),
    ("d = Add(rs, i2) y = Gather(rows, d)", "float[s,3]", "instead of"),
    ("d = Mul(rs, i2) y = Gather(rows, d)", "float[s,3]", "not beside each other"),
    ("y = Gather(rows, x)", "float[b,s,3]", None),
    (f"{PLACES} o = Mul(rs6, nb1) at = Add(rb5, o) f = Reshape(x, m1) y = Gather(f, at)", "int64[b,1,1,s]",
     "not beside each other"),
])  # fmt: skip
def test_other_gathers_stay(body: str, output: str, reason: str | None) -> None:
    """Backwards, beyond a table of which not all sizes are known to be within it, two by two, by data, transposed."""
    result = run(body, output, f"{MASK}, float[n,3] rows", rows=draw(12, 3))
    assert "Gather" in result.ops
    assert reason is None or any(reason in r for r in result.reasons("known_gather")), result.events
