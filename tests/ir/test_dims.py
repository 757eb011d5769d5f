from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenaut.ir import dims
from arenaut.ir.dims import symbol

b, s = symbol("b"), symbol("s")


def test_one_canonical_form() -> None:
    assert (b + 1) * (s + 2) == b * s + s + 2 * b + 2
    assert b - b == 0 and isinstance(b - b, int)
    assert str(2 * b * s - 3) == "2*b*s -3"
    assert dims.exact_div(b * s * 768 + b * 768, b * 768) == s + 1
    assert dims.exact_div(b * s, 2) is None
    assert (b * s * 12 * 64) // (b * s * 64) == 12
    assert dims.minimum(1 << 62, s) == s and dims.maximum(s + 1, s) == s + 1
    assert dims.equal(s, s + 1) == 0 and dims.less(s, s + 1) == 1
    with pytest.raises(KeyError, match="s"):
        dims.evaluate(b + s, {"b": 1})


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[dims.Dim, object]:
    """An expression and a function that computes it from ints directly."""
    if depth == 0 or draw(st.booleans()):
        leaf = draw(st.sampled_from(["b", "s", "k"]))
        if leaf == "k":
            k = draw(st.integers(-3, 9))
            return k, lambda e: k
        return symbol(leaf), lambda e: e[leaf]
    (x, fx), (y, fy) = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    op = draw(st.sampled_from(["+", "-", "*", "//", "min", "max", "eq", "lt"]))
    table = {
        "+": (lambda p, q: p + q, lambda p, q: p + q),
        "-": (lambda p, q: p - q, lambda p, q: p - q),
        "*": (lambda p, q: p * q, lambda p, q: p * q),
        "//": (lambda p, q: dims.floordiv(p, q * q + 1), lambda p, q: p // (q * q + 1)),
        "min": (dims.minimum, min),
        "max": (dims.maximum, max),
        "eq": (dims.equal, lambda p, q: int(p == q)),
        "lt": (dims.less, lambda p, q: int(p < q)),
    }
    build, compute = table[op]
    return build(x, y), lambda e: compute(fx(e), fy(e))


@given(expressions(), st.integers(1, 50), st.integers(1, 50))
def test_evaluates_as_plain_integers_do(pair: tuple[dims.Dim, object], vb: int, vs: int) -> None:
    expression, compute = pair
    env = {"b": vb, "s": vs}
    assert dims.evaluate(expression, env) == compute(env)  # type: ignore[operator]


def test_a_capped_dim_broadcasts_with_the_dim_itself() -> None:
    """min(s, 512) is 1 only where s is: anything else than equality could not run."""
    from arenaut.ir.ops.support.common import broadcast_dim

    capped = dims.minimum(s, 512)
    assert broadcast_dim(capped, s) == s and broadcast_dim(s, capped) == s
    for other in (dims.minimum(s, 1), dims.minimum(b, 512), capped + 1):
        assert broadcast_dim(other, s) != s or other == s


def test_a_reshape_to_another_shape_keeps_its_dims() -> None:
    """0 asks a Reshape for the dim of its input, -1 for what is left: neither changes d where the input's is q * d."""
    d = dims.floordiv(s - 16, 8) + 1
    kept = dims.select(dims.equal(d, 0), 256 * d, d)
    assert kept == d
    assert dims.select(dims.less(d, 0), d, kept) == d
    assert dims.select(dims.equal(d, 0), 256 * d + 1, d) != d
    assert dims.select(dims.equal(d, 1), 256 * d, d) != d


def test_expressions_that_share_their_parts_stay_linear() -> None:
    """As a tree this expression has 2^200 leaves; building, replacing, printing and comparing it must not see them."""

    def tower(start: dims.Dim) -> dims.Dim:
        d = start
        for level in range(200):
            d = dims.maximum(d - 3, dims.minimum(d, level) - 1)
        return d

    n = symbol("n", signed=True)
    grown = tower(n)
    assert grown == tower(n) and hash(grown) == hash(tower(n))
    assert grown != tower(symbol("m", signed=True))
    assert {s.name for s in dims.symbols_of(grown)} == {"n"}
    assert len(str(grown)) < 1000
    for value in (-7, 0, 5, 4000):
        assert dims.evaluate(grown, {"n": value}) == tower(value)
    assert copy.deepcopy(grown) == grown and pickle.loads(pickle.dumps(symbol("n") // 3)) == symbol("n") // 3
