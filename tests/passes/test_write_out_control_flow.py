"""Branches and iterations that are decided at load."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.write_out_control_flow import MAX_TRIPS, write_out_control_flow
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

LOOP = """t (float[a,b] x, int64 n, bool again) => (float[a,b] y, float[TRIPS,a,b] all)
<int64 trips = {COUNT}, bool go = {1}, float half = {0.5}> {
  c0 = Relu(x)
  y0, all0 = Loop (LIMIT, START, c0) <body = body (int64 i, bool ci, float[a,b] state) =>
      (bool co, float[a,b] next, float[a,b] item)
    { co = GOING f = Cast <to = 1> (i) g = Add(f, x) next = Add(state, g) item = Mul(next, half) }>
  y = Neg(y0) all = Identity(all0)
}"""


def loop(count: int = 3, limit: str = "trips", start: str = "go", going: str = "Identity(ci)") -> Rewritten:
    text = LOOP.replace("COUNT", str(count)).replace("TRIPS", "m").replace("LIMIT", limit).replace("START", start)
    feeds = {"x": draw(2, 3), "n": np.array(3, np.int64), "again": np.array(True)}
    return rewrite(parse(text.replace("GOING", going)), write_out_control_flow, eliminate_dead_code, feeds=feeds)


@pytest.mark.parametrize("going", ["Identity(ci)", "Identity(go)"])
@pytest.mark.parametrize("start", ["go", ""])
def test_a_short_loop_is_written_out(start: str, going: str) -> None:
    result = loop(start=start, going=going)
    assert "Loop" not in result.ops and result.ops.count("Mul") == 3 and "loop" in result.fired


@pytest.mark.parametrize(("given", "reason"), [
    ({"limit": "n"}, "number of iterations"), ({"start": "again"}, "may end before"),
    ({"going": "Identity(again)"}, "its body decides"), ({"count": MAX_TRIPS + 1}, "too many"),
])  # fmt: skip
def test_other_loops_stay(given: dict[str, object], reason: str) -> None:
    result = loop(**given)  # type: ignore[arg-type]
    assert "Loop" in result.ops and any(reason in r for r in result.reasons("loop")), result.events


BRANCH = """t (float[a,b] x, bool c) => (float[a,b] y, float[a,b] z)
<float one = {1.0}, float two = {2.0}> {
  known = Less(one, two)
  y, z0 = If (CONDITION) <
    then_branch = yes () => (float[a,b] p, float[a,b] q) { p = Relu(x) q = If (c) <
        then_branch = deep () => (float[a,b] r) { r = Neg(p) }, else_branch = deeper () => (float[a,b] r)
        { r = Identity(x) }> },
    else_branch = no () => (float[a,b] s, float[a,b] u) { s = Sqrt(x) u = Exp(x) }>
  z = Abs(z0)
}"""


@pytest.mark.parametrize("choice", [True, False])
def test_the_branch_that_a_constant_chooses(choice: bool) -> None:
    """Known only after folding; the branch holds another choice, which stays."""
    model = parse(BRANCH.replace("CONDITION", "known"))
    result = rewrite(model, write_out_control_flow, eliminate_dead_code,
                     feeds={"x": draw(2, 3), "c": np.array(choice)})  # fmt: skip
    assert result.ops.count("If") == 1 and "Relu" in result.ops and "Exp" not in result.ops


def test_a_branch_that_an_input_chooses_stays() -> None:
    result = rewrite(parse(BRANCH.replace("CONDITION", "c")), write_out_control_flow,
                     feeds={"x": np.abs(draw(2, 3)), "c": np.array(False)})  # fmt: skip
    assert "If" in result.ops and result.reasons("if") == ["'c' is not known at load"]
