from __future__ import annotations

from typing import Any

import pytest

from arenaut.passes.join_heads import join_heads
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

CONSTANTS = """<int64[3] sizes = {16, 8, 8}, int64[4] four = {0, 0, 4, 4}, int64[4] two = {0, 0, 2, 4},
 float[4] s1 = {1.0, 2.0, 3.0, 4.0}, float[4] s2 = {0.5, 0.25, 2.0, 1.5}>"""
PARTS = "q, k, v = Split <axis = -1> (x, sizes)"
VIEWS = """qa = Reshape(q, four) ka = Reshape(k, two) qt = Transpose <perm = [0, 2, 1, 3]> (qa)
 kt = Transpose <perm = [0, 2, 1, 3]> (ka)"""
TURN = "qr = RotaryEmbedding (qt, c, s) kr = RotaryEmbedding (kt, c, s)"
OUT = "float[b,4,n,4] qr, float[b,2,n,4] kr, float[b,n,8] v"


def run(body: str, out: str = OUT, signature: str = "", **feeds: Any) -> Rewritten:
    text = f"t (float[b,n,32] x, float[b,n,2] c, float[b,n,2] s{signature}) => ({out})\n{CONSTANTS}\n{{ {body} }}"
    given = {"x": draw(2, 3, 32), "c": draw(2, 3, 2), "s": draw(2, 3, 2, seed=1), **feeds}
    return rewrite(parse(text, opset=23, ir_version=11), join_heads, feeds=given, rtol=2e-6)


def test_heads_that_only_turn() -> None:
    result = run(f"{PARTS} {VIEWS} {TURN}")
    assert result.ops == ["Split", "Reshape", "Transpose", "RotaryEmbedding", "Split"]
    assert result.graph.nodes[3].operand(0).shape[1] == 6


def test_heads_that_are_packed() -> None:
    body = f"{PARTS} qr = RotaryEmbedding <num_heads = 4> (q, c, s) kr = RotaryEmbedding <num_heads = 2> (k, c, s)"
    result = run(body, "float[b,n,16] qr, float[b,n,8] kr, float[b,n,8] v")
    assert result.ops == ["Split", "RotaryEmbedding", "Split"] and result.graph.nodes[1].attr("num_heads") == 6


@pytest.mark.parametrize(("scales", "rank"), [(("s1", "s2"), 2), (("s1", "s1"), 1)])
def test_norms_of_each_head(scales: tuple[str, str], rank: int) -> None:
    norms = VIEWS.replace("ka)", "kn)").replace("qa)", "qn)").replace("qt =", f"""
        qn = RMSNormalization (qa, {scales[0]}) kn = RMSNormalization (ka, {scales[1]}) qt =""")  # fmt: skip
    result = run(f"{PARTS} {norms} {TURN}")
    assert result.ops == ["Split", "Reshape", "RMSNormalization", "Transpose", "RotaryEmbedding", "Split"]
    assert result.graph.nodes[2].operand(1).rank == rank


OTHER_PAIRS = TURN.replace("RotaryEmbedding (kt", "RotaryEmbedding <interleaved = 1> (kt")
APART = {
    f"{PARTS} {VIEWS} {TURN.replace('(kt, c, s)', '(kt, s, c)')}": "different angles",
    f"{PARTS} {VIEWS} {OTHER_PAIRS}": "differently",
    f"{PARTS} {VIEWS.replace('<perm = [0, 2, 1, 3]> (qa)', '<perm = [0, 2, 1, 3]> (qn)')} {TURN}".replace(
        "qt = ", "qn = RMSNormalization (qa, s1) qt = "
    ): "alike",
    # Values stand between the queries and what is turned like them.
    f"{PARTS.replace('k, v', 'v, k')} {VIEWS} {TURN}": "",
    f"{PARTS} {VIEWS} {TURN} z = Relu(qt)": "",
}


@pytest.mark.parametrize("body", APART)
def test_not_these(body: str) -> None:
    result = run(body, OUT + ", float[b,4,n,4] z" if "z = " in body else OUT)
    assert result.ops.count("RotaryEmbedding") == 2
    assert any(APART[body] in r for r in result.reasons("join")) or not APART[body], result.events
