from __future__ import annotations

import numpy as np
import pytest

from arenaut.passes.raise_activations import raise_activations
from tests.support.models import parse
from tests.support.rewriting import draw, rewrite

CONSTANTS = """<float half = {0.5}, float one = {1.0}, float two = {2.0}, float three = {3.0}, float six = {6.0},
 float sixth = {0.16666667}, float zero = {0.0}, float root2 = {1.4142135}, float inv2 = {0.70710678},
 float c = {0.044715}, float r = {0.7978845608}, float k = {1.702}, float rough = {1.41}>"""
# What stands before (a product whose bias the exporter wrote as an Add) and after is no part of the activation.
BEFORE = "b = Add(x, half)"


def model(body: str) -> str:
    return f"t (float[3,n] x) => (float[3,n] y)\n{CONSTANTS}\n{{ {BEFORE} {body} }}"


SPELT = {
    "erf, x times 0.5 last": ("Gelu", "d = Div(b, root2) e = Erf(d) a = Add(e, one) m = Mul(b, a) y = Mul(m, half)"),
    "erf, 0.5 first": ("Gelu", "h = Mul(half, b) d = Mul(inv2, b) e = Erf(d) a = Add(one, e) y = Mul(h, a)"),
    "erf, 0.5 on the sum": ("Gelu", "d = Div(b, root2) e = Erf(d) a = Add(e, one) m = Mul(a, half) y = Mul(b, m)"),
    "erf, by two": ("Gelu", "d = Div(b, root2) e = Erf(d) a = Add(e, one) m = Mul(b, a) y = Div(m, two)"),
    "tanh, Pow": (
        "Gelu",
        "h = Mul(half, b) p = Pow(b, three) q = Mul(c, p) s = Add(b, q) u = Mul(r, s) t = Tanh(u) a = Add(one, t) "
        "y = Mul(h, a)",
    ),
    "tanh, factored": (
        "Gelu",
        "p = Mul(b, b) q = Mul(p, c) s = Add(q, one) u = Mul(b, r) v = Mul(u, s) t = Tanh(v) a = Add(t, one) "
        "m = Mul(b, a) y = Mul(m, half)",
    ),
    "tanh, products": (
        "Gelu",
        "p = Mul(b, b) q = Mul(b, p) s = Mul(q, c) u = Add(s, b) v = Mul(u, r) t = Tanh(v) a = Add(t, one) "
        "m = Mul(a, half) y = Mul(b, m)",
    ),
    "silu": ("Swish", "s = Sigmoid(b) y = Mul(s, b)"),
    "mish": ("Mish", "s = Softplus(b) t = Tanh(s) y = Mul(b, t)"),
    "hardswish, clip": ("HardSwish", "a = Add(b, three) d = Clip(a, zero, six) m = Mul(b, d) y = Div(m, six)"),
    "hardswish, relu6": ("HardSwish", "a = Add(b, three) q = Relu(a) d = Min(q, six) m = Mul(d, b) y = Mul(m, sixth)"),
    "hardswish": ("HardSwish", "s = HardSigmoid <alpha = 0.16666667> (b) y = Mul(b, s)"),
    "hardsigmoid": ("HardSigmoid", "a = Add(b, three) d = Clip(a, zero, six) y = Div(d, six)"),
    "sigmoid": ("Sigmoid", "g = Neg(b) e = Exp(g) a = Add(e, one) y = Div(one, a)"),
    "sigmoid, reciprocal": ("Sigmoid", "g = Neg(b) e = Exp(g) a = Add(one, e) y = Reciprocal(a)"),
    "softplus": ("Softplus", "v = Abs(b) g = Neg(v) e = Exp(g) a = Add(e, one) l = Log(a) q = Relu(b) y = Add(l, q)"),
}


@pytest.mark.parametrize("name", SPELT)
def test_becomes_the_standard_op(name: str) -> None:
    op, body = SPELT[name]
    result = rewrite(parse(model(body)), raise_activations, feeds={"x": draw(3, 40) * 4})
    assert result.ops == ["Add", op]


NOT = {
    "other constant": ("gelu", "d = Div(b, rough) e = Erf(d) a = Add(e, one) m = Mul(b, a) y = Mul(m, half)"),
    "no half": ("gelu", "d = Div(b, root2) e = Erf(d) a = Add(e, one) y = Mul(b, a)"),
    "another factor": ("gelu", "d = Div(b, root2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)"),
    "erf read twice": (
        "gelu", "d = Div(b, root2) e = Erf(d) a = Add(e, one) m = Mul(b, a) n = Mul(m, half) y = Add(n, e)"
    ),
    "slope": ("swish", "u = Mul(b, k) s = Sigmoid(u) y = Mul(b, s)"),
    "overflowing softplus": ("softplus", "e = Exp(b) a = Add(e, one) y = Log(a)"),
    "clip to three": ("hardswish", "a = Add(b, three) d = Clip(a, zero, three) m = Mul(b, d) y = Div(m, six)"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT)
def test_keeps_what_only_looks_alike(name: str) -> None:
    rule, body = NOT[name]
    result = rewrite(parse(model(body)), raise_activations, feeds={"x": draw(3, 40)})
    assert rule not in result.fired


def test_says_why_not() -> None:
    body = NOT["erf read twice"][1]
    result = rewrite(parse(model(body)), raise_activations, feeds={"x": draw(3, 4)})
    assert result.reasons("gelu") == ["'e' is read by other nodes too"]
    result = rewrite(parse(model(NOT["no half"][1])), raise_activations, feeds={"x": draw(3, 4)})
    assert result.reasons("gelu") == ["the constants at 'y' are not those of Gelu"]


def test_narrow_floats_have_narrow_constants() -> None:
    text = """t (float16[3,40] x) => (float16[3,40] y)
    <float half = {0.5}, float one = {1.0}, float root2 = {1.4142135}>
    { h = Cast <to = 10> (half) o = Cast <to = 10> (one) r = Cast <to = 10> (root2)
      d = Div(x, r) e = Erf(d) a = Add(e, o) m = Mul(x, a) y = Mul(m, h) }"""
    result = rewrite(parse(text), raise_activations, feeds={"x": draw(3, 40, dtype=np.float16)}, rtol=2e-3)
    assert result.ops == ["Gelu"]
