from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.passes.raise_norms import raise_norms
from tests.support.models import parse
from tests.support.rewriting import draw, rewrite

CONSTANTS = """<float two = {2.0}, float eps = {0.00001}, float one = {1.0}, float less = {-0.5}, int64[1] last = {-1},
 int64[1] middle = {1}, int64[2] both = {1, 2}, float[4] w = {0.5, 2.0, -1.0, 3.0}, float[4] v = {1.0, 0.0, -2.0, 0.5},
 float[3,1] column = {2.0, 3.0, 4.0}>"""
MEAN = "m = ReduceMean(x, last) d = Sub(x, m)"


def model(body: str, outputs: str = "float[n,3,4] y") -> str:
    return f"t (float[n,3,4] x) => ({outputs})\n{CONSTANTS}\n{{ {body} }}"


def run(body: str, outputs: str = "float[n,3,4] y", rtol: float = 4e-6) -> Any:
    return rewrite(parse(model(body, outputs)), raise_norms, feeds={"x": draw(5, 3, 4)}, rtol=rtol)


VARIANCE = "q = ReduceMean(s, last) a = Add(q, eps) r = Sqrt(a)"
LAYER = {
    "Pow, Div": f"{MEAN} s = Pow(d, two) {VARIANCE} y = Div(d, r)",
    "Mul, Div": f"{MEAN} s = Mul(d, d) q = ReduceMean(s, last) a = Add(eps, q) r = Sqrt(a) y = Div(d, r)",
    "two Subs": f"{MEAN} f = Sub(x, m) s = Pow(f, two) {VARIANCE} y = Div(d, r)",
    "Reciprocal": f"{MEAN} s = Mul(d, d) {VARIANCE} i = Reciprocal(r) y = Mul(i, d)",
    "both axes": f"{MEAN} s = Mul(d, d) {VARIANCE} y = Div(d, r)".replace("last", "both"),
}


@pytest.mark.parametrize("name", LAYER)
def test_layer_norm(name: str) -> None:
    assert run(LAYER[name]).ops == ["LayerNormalization"]


@pytest.mark.parametrize(("end", "ops"), [
    ("k = Mul(w, z) y = Add(k, v)", ["LayerNormalization"]),
    ("k = Mul(z, w) y = Add(v, k)", ["LayerNormalization"]),
    ("y = Add(z, v)", ["LayerNormalization"]),
    ("k = Add(z, v) y = Mul(k, w)", ["LayerNormalization", "Mul"]),
    ("k = Mul(z, column) y = Add(k, v)", ["LayerNormalization", "Mul", "Add"]),
    ("k = Mul(z, two) y = Add(k, eps)", ["LayerNormalization", "Mul", "Add"]),
])  # fmt: skip
def test_scale_and_bias_join(end: str, ops: list[str]) -> None:
    result = run(LAYER["Pow, Div"].replace("y =", "z =") + " " + end)
    assert result.ops == ops


RMS = {
    "Div": "s = Pow(x, two) q = ReduceMean(s, last) a = Add(q, eps) r = Sqrt(a) y = Div(x, r)",
    "Reciprocal": "s = Mul(x, x) q = ReduceMean(s, last) a = Add(q, eps) r = Sqrt(a) i = Reciprocal(r) y = Mul(x, i)",
    "one over": "s = Mul(x, x) q = ReduceMean(s, last) a = Add(q, eps) r = Sqrt(a) i = Div(one, r) y = Mul(i, x)",
    "Pow": "s = Mul(x, x) q = ReduceMean(s, last) a = Add(q, eps) i = Pow(a, less) y = Mul(i, x)",
}


@pytest.mark.parametrize("name", RMS)
def test_rms_norm(name: str) -> None:
    assert run(RMS[name]).ops == ["RMSNormalization"]
    assert run(RMS[name].replace("y =", "z =") + " y = Mul(w, z)").ops == ["RMSNormalization"]


def test_rms_norm_of_narrow_floats_in_float32() -> None:
    body = """c = Cast <to = 1> (x) s = Pow(c, two) q = ReduceMean(s, last) a = Add(q, eps) r = Sqrt(a)
    i = Reciprocal(r) z = Mul(c, i) b = Cast <to = 10> (z) u = Cast <to = 10> (w) y = Mul(u, b)"""
    text = f"t (float16[n,3,4] x) => (float16[n,3,4] y)\n{CONSTANTS}\n{{ {body} }}"
    result = rewrite(parse(text), raise_norms, feeds={"x": draw(5, 3, 4, dtype=np.float16)}, rtol=2e-3)
    assert result.ops == ["RMSNormalization"]


NOT = {
    "middle axis": "s = Mul(x, x) q = ReduceMean(s, middle) a = Add(q, eps) r = Sqrt(a) y = Div(x, r)",
    "cubes": "s = Pow(x, eps) q = ReduceMean(s, last) a = Add(q, eps) r = Sqrt(a) y = Div(x, r)",
    "other numerator": "s = Mul(x, x) q = ReduceMean(s, last) a = Add(q, eps) r = Sqrt(a) f = Neg(x) y = Div(f, r)",
    "epsilons": "s = Mul(x, x) q = ReduceMean(s, last) a = Add(q, v) r = Sqrt(a) y = Div(x, r)",
    "mean of another axis": "m = ReduceMean(x, middle) d = Sub(x, m) s = Mul(d, d) q = ReduceMean(s, last) "
    "a = Add(q, eps) r = Sqrt(a) f = Neg(d) y = Div(f, r)",
}


@pytest.mark.parametrize("name", NOT)
def test_keeps_what_only_looks_alike(name: str) -> None:
    text = model(NOT[name])
    x = np.abs(draw(5, 3, 4)) + 1
    result = rewrite(parse(text), raise_norms, feeds={"x": x}, rtol=4e-6)
    assert not result.fired and any(e.reason for e in result.events)


def test_an_output_in_the_middle_stays() -> None:
    result = run(LAYER["Pow, Div"], "float[n,3,4] y, float[n,3,1] q")
    assert not result.fired
    assert result.reasons("layer_norm") == ["'q' is an output of the graph"]


def test_a_symbolic_size_is_refused() -> None:
    body = RMS["Div"]
    text = f"t (float[3,n] x) => (float[3,n] y)\n{CONSTANTS}\n{{ {body} }}"
    result = rewrite(parse(text), raise_norms, feeds={"x": draw(3, 7)}, rtol=4e-6)
    assert result.reasons("rms_norm") == ["the size of the normalised axes is symbolic"]


GROUP = """t (float[n,4,5,6] x) => (float[n,4,5,6] y)
<int64[3] apart = {0, 2, -1}, float[2] ones = {1.0, 1.0}, float[2] zeros = {0.0, 0.0}, float[2] other = {1.0, 2.0},
 float[4,1,1] w = {0.5, 2.0, -1.0, 3.0}, float[4,1,1] v = {1.0, 0.0, -2.0, 0.5}, float[1,1,6] row = {1,2,3,4,5,6}>
{ s = Shape(x) g = Reshape(x, apart) i = InstanceNormalization(g, SCALE, zeros) b = Reshape(i, s) k = Mul(b, FACTOR)
  y = Add(k, v) }"""


@pytest.mark.parametrize(("scale", "factor", "last"), [
    ("ones", "w", ["GroupNormalization"]),
    ("ones", "row", ["GroupNormalization", "Mul", "Add"]),
    ("other", "w", ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]),
])  # fmt: skip
def test_group_norm(scale: str, factor: str, last: list[str]) -> None:
    text = GROUP.replace("SCALE", scale).replace("FACTOR", factor)
    result = rewrite(parse(text), raise_norms, feeds={"x": draw(3, 4, 5, 6)}, rtol=4e-6)
    assert [op for op in result.ops if op != "Shape"] == last
