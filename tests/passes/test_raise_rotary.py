from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.raise_rotary import raise_rotary
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

CONSTANTS = """<int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}, int64[1] i3 = {3}, int64[1] i4 = {4},
 int64[1] i8 = {8}, int64[1] end = {9223372036854775807}, int64[2] two = {4, 4}, int64[1] m1 = {-1},
 float one = {1.0}, int64[4] flat = {0, 0, 0, 8}, int64[5] pairs = {0, 0, 0, 4, 2},
 int64[3] flat3 = {0, 0, 8}, int64 k0 = {0}, int64 k1 = {1},
 int64[5] wide = {1, 1, 1, 1, 2}>"""
HALVES = "a = Slice(x, i0, i4, i3, i1) b = Slice(x, i4, end, i3, i1)"
ROTATED = "n = Neg(b) r = Concat <axis = -1> (n, a)"
SUM = "p = Mul(x, c) q = Mul(r, s) y = Add(p, q)"
COMPUTED = "f2 = Concat <axis = -1> (f, f) ca = Cos(f2) sa = Sin(f2) c = Unsqueeze(ca, i1) s = Unsqueeze(sa, i1)"
EVEN_ODD = "a = Slice(x, i0, end, i3, i2) b = Slice(x, i1, end, i3, i2)"
STACKED = "nb = Neg(b) u = Unsqueeze(nb, m1) v = Unsqueeze(a, m1) w = Concat <axis = -1> (u, v) r = Reshape(w, flat)"
REPEATED = """g = Unsqueeze(f, m1) h = Concat <axis = -1> (g, g) f2 = Reshape(h, flat3) f4 = Unsqueeze(f2, i1)
 c = Cos(f4) s = Sin(f4)"""
TURNED = """ac = Mul(a, c) bs = Mul(b, s) re = Sub(ac, bs) bc = Mul(b, c) as = Mul(s, a) im = Add(as, bc)"""
HALF_ANGLES = "ca = Cos(f) sa = Sin(f) c = Unsqueeze(ca, i1) s = Unsqueeze(sa, i1)"


def run(
    body: str, signature: str = "float[b,3,n,8] x, float[1,n,4] f", out: str = "float[b,3,n,8] y", **feeds: Any
) -> Rewritten:
    model = parse(f"t ({signature}) => ({out})\n{CONSTANTS}\n{{ {body} }}")
    given = {"x": draw(2, 3, 5, 8), "f": draw(1, 5, 4, seed=1), **feeds}
    used = {v.name: given[v.name] for v in model.graph.input}
    return rewrite(model, raise_rotary, eliminate_dead_code, feeds=used, rtol=2e-6)


@pytest.mark.parametrize(("body", "interleaved"), [
    (f"{COMPUTED} {HALVES} {ROTATED} {SUM}", 0),
    (f"{COMPUTED} a, b = Split <axis = -1> (x, two) {ROTATED} q = Mul(s, r) p = Mul(c, x) y = Add(q, p)", 0),
    (f"{HALF_ANGLES} {HALVES} {TURNED} y = Concat <axis = 3> (re, im)", 0),
    (f"{REPEATED} {EVEN_ODD} {STACKED} {SUM}", 1),
    (f"{HALF_ANGLES} e = Reshape(x, pairs) a = Gather <axis = -1> (e, k0) b = Gather <axis = -1> (e, k1) {TURNED} "
     "u = Unsqueeze(re, m1) v = Unsqueeze(im, m1) w = Concat <axis = -1> (u, v) y = Reshape(w, flat)", 1),
])  # fmt: skip
def test_spellings(body: str, interleaved: int) -> None:
    result = run(body)
    (node,) = (n for n in result.graph.nodes if n.op == "RotaryEmbedding")
    assert node.attr("interleaved") == interleaved
    assert not {"Neg", "Concat", "Add", "Sub", "Mul"} & set(result.ops[result.ops.index("RotaryEmbedding") :])
    assert node.operand(1).shape == node.operand(2).shape == (*node.operand(0).shape[::2], 4)


def test_constant_angles() -> None:
    table = np.tile(draw(5, 4), 2)
    signature = "float[2,3,5,8] x, float[5,8] c, float[5,8] s"
    result = run(f"{HALVES} {ROTATED} {SUM}", signature, "float[2,3,5,8] y", c=table, s=table)
    assert "RotaryEmbedding" not in result.ops  # nothing says that the halves are equal
    numbers = ", ".join(f"{v:.9g}" for v in table.reshape(-1))
    body = f"c = Constant <value = float[5,8] {{{numbers}}}> () s = Neg(c) {HALVES} {ROTATED} {SUM}"
    assert run(body, "float[2,3,5,8] x", "float[2,3,5,8] y").ops[-1] == "RotaryEmbedding"


def test_heads_before_positions_and_after_them() -> None:
    body = f"""f2 = Concat <axis = -1> (f, f) ca = Cos(f2) sa = Sin(f2) c = Unsqueeze(ca, i2) s = Unsqueeze(sa, i2)
        {HALVES} {ROTATED} {SUM}"""
    result = run(body, "float[b,n,3,8] x, float[1,n,4] f", "float[b,n,3,8] y", x=draw(2, 5, 3, 8))
    (node,) = (n for n in result.graph.nodes if n.op == "RotaryEmbedding")
    assert node.operand(0).rank == 3 and node.attr("num_heads") == 3


def test_heads_after_positions_of_an_unknown_number() -> None:
    body = f"""f2 = Concat <axis = -1> (f, f) ca = Cos(f2) sa = Sin(f2) c = Unsqueeze(ca, i2) s = Unsqueeze(sa, i2)
        {HALVES} {ROTATED} {SUM}"""
    result = run(body, "float[b,n,h,8] x, float[1,n,4] f", "float[b,n,h,8] y", x=draw(2, 5, 3, 8))
    assert "RotaryEmbedding" not in result.ops
    assert any("a known number of heads" in r for r in result.reasons("rotary"))


def test_part_of_a_head() -> None:
    body = f"""t = Slice(x, i0, i8, i3, i1) rest = Slice(x, i8, end, i3, i1) {COMPUTED}
        a = Slice(t, i0, i4, i3, i1) b = Slice(t, i4, end, i3, i1) {ROTATED}
        p = Mul(t, c) q = Mul(r, s) y = Add(p, q) z = Concat <axis = -1> (y, rest)"""
    result = run(body, "float[b,3,n,11] x, float[1,n,4] f", "float[b,3,n,11] z", x=draw(2, 3, 5, 11))
    (node,) = (n for n in result.graph.nodes if n.op == "RotaryEmbedding")
    assert node.attr("rotary_embedding_dim") == 8 and result.ops[-1] == "RotaryEmbedding"


@pytest.mark.parametrize(("body", "reason"), [
    (f"{COMPUTED} {HALVES} n = Neg(a) r = Concat <axis = -1> (n, b) {SUM}", None),
    (f"{COMPUTED} {HALVES} {ROTATED} z = Abs(x) p = Mul(z, c) q = Mul(r, s) y = Add(p, q)", "not added to itself"),
    (f"o = Add(f, one) f2 = Concat <axis = -1> (f, o) ca = Cos(f2) sa = Sin(f2) c = Unsqueeze(ca, i1) "
     f"s = Unsqueeze(sa, i1) {HALVES} {ROTATED} {SUM}", "one angle for both"),
    (f"{HALF_ANGLES} {HALVES} ac = Mul(a, c) bs = Mul(b, s) re = Sub(ac, bs) bc = Mul(b, s) as = Mul(c, a) "
     "im = Add(as, bc) y = Concat <axis = 3> (re, im)", "those of one turn"),
])  # fmt: skip
def test_near_misses(body: str, reason: str | None) -> None:
    result = run(body)
    assert "RotaryEmbedding" not in result.ops
    assert reason is None or any(reason in r for r in result.reasons("rotary"))


def test_angles_that_differ_between_heads() -> None:
    body = f"f2 = Concat <axis = -1> (f, f) c = Cos(f2) s = Sin(f2) {HALVES} {ROTATED} {SUM}"
    result = run(body, "float[b,3,n,8] x, float[1,3,n,4] f", f=draw(1, 3, 5, 4))
    assert any("differ between the heads" in r for r in result.reasons("rotary"))


def test_rotated_halves_that_somebody_else_reads() -> None:
    result = run(f"{COMPUTED} {HALVES} {ROTATED} {SUM} z = Relu(r)", out="float[b,3,n,8] y, float[b,3,n,8] z")
    assert any("read by other nodes" in r for r in result.reasons("rotary"))
