from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.merge_reductions import merge_reductions
from tests.support.models import parse
from tests.support.rewriting import draw, rewrite

CONSTANTS = "<float two = {2.0}, float three = {3.0}, int64[1] last = {-1}, int64[2] axes = {0, 2}>"
FULL, ROWS, ONE = "float[3,2,4] y", "float[3,2,1] y", "float[1,1,1] y"
CASES = {
    "s = Mul(x, x) y = ReduceSum(s, last)": (ROWS, ["ReduceSumSquare"]),
    "s = Pow(x, two) y = ReduceSum <keepdims = 0> (s, axes)": ("float[2] y", ["ReduceSumSquare"]),
    "s = Mul(x, x) q = ReduceSum(s) y = Sqrt(q)": (ONE, ["ReduceL2"]),
    "s = Abs(x) y = ReduceSum(s, axes)": ("float[1,2,1] y", ["ReduceL1"]),
    "s = ReduceSum(x, last) y = Log(s)": (ROWS, ["ReduceLogSum"]),
    "s = ReduceLogSumExp(x, last) y = Sub(x, s)": (FULL, ["LogSoftmax"]),
    # not these
    "s = Pow(x, three) y = ReduceSum(s, last)": (ROWS, ["Pow", "ReduceSum"]),
    "s = Abs(x) y = ReduceSum <noop_with_empty_axes = 1> (s)": (FULL, ["Abs", "ReduceSum"]),
    "s = ReduceLogSumExp(x, axes) y = Sub(x, s)": (FULL, ["ReduceLogSumExp", "Sub"]),
    "s = ReduceLogSumExp(x, last) y = Sub(s, x)": (FULL, ["ReduceLogSumExp", "Sub"]),
    "s = Softmax(x) y = Log(s)": (FULL, ["Softmax", "Log"]),
}


@pytest.mark.parametrize("body", CASES)
def test_reductions(body: str) -> None:
    output, ops = CASES[body]
    text = f"t (float[3,2,4] x) => ({output})\n{CONSTANTS}\n{{ {body} }}"
    result = rewrite(parse(text), merge_reductions, feeds={"x": np.abs(draw(3, 2, 4)) + 0.1}, rtol=2e-6)
    assert result.ops == ops
