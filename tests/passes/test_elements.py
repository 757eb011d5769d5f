"""Formulas of elements against the tensors that onnxruntime computes."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.frontend import import_model
from arenaut.ir import dims
from arenaut.ir.elements import causal
from arenaut.passes.context import PassContext
from arenaut.passes.fold_constants import fold_constants
from arenaut.passes.reading.elements import choice, coordinates, element
from tests.support.models import ort_outputs, parse
from tests.support.rewriting import TARGET

HEAD = """t (int64[b,s] x) => (TYPE y)
<int64 i0 = {0}, int64 i1 = {1}, int64 i3 = {3}, int64[1] a0 = {0}, int64[1] a1 = {1}, int64[1] m1 = {-1},
 int64[1] big = {1000}, float low = {-7.0}, float zero = {0.0}>
{ nb1 = Shape <start = 0, end = 1> (x) ns1 = Shape <start = 1, end = 2> (x) ns = Squeeze(ns1) nb = Squeeze(nb1)
  r = Range(i0, ns, i1) rb = Range(i0, nb, i1) col = Unsqueeze(r, a1) """
CASES = {
    "y = Add(r, i3)": "int64[s]",
    "y = LessOrEqual(r, col)": "bool[s,s]",
    "g = Greater(r, col) y = Not(g)": "bool[s,s]",
    "d = Sub(r, col) y = Less(d, i1)": "bool[s,s]",
    "d = Sub(col, r) y = GreaterOrEqual(d, i3)": "bool[s,s]",
    "y = Slice(r, a1, big, a0)": "int64[n]",
    "y = Slice(r, m1, big, a0)": "int64[n]",
    "c = Concat <axis = 0> (a1, r, rb) y = Mul(c, i3)": "int64[n]",
    "f = Slice(r, a0, a1, a0) p = Sub(f, i1) c = Concat <axis = 0> (p, r) h = Slice(c, a1, big, a0) "
    "e = Slice(c, a0, m1, a0) d = Sub(h, e) q = Equal(d, i1) o = Not(q) z = Cast <to = 7> (o) u = CumSum(z, i0) "
    "k = Unsqueeze(r, m1) y = GatherND(u, k)":
        "int64[s]",
    "w = Unsqueeze(rb, a1) nn = Concat <axis = 0> (nb1, ns1) y = Expand(w, nn)": "int64[b,s]",
    "nn = Concat <axis = 0> (ns1, nb1) e = Expand(col, nn) y = Transpose <perm = [1, 0]> (e)": "int64[b,s]",
    "e = Equal(r, col) y = Where(e, i3, r)": "int64[s,s]",
    "l = Less(r, i3) g = Greater(r, i1) y = And(l, g)": "bool[s]",
    "l = Less(r, i1) g = Greater(r, i3) y = Or(l, g)": "bool[s]",
    "y = Max(r, col)": "int64[s,s]",
    "k = Unsqueeze(col, m1) y = GatherND(r, k)": "int64[s,n]",
}  # fmt: skip


def load(body: str, kind: str):  # type: ignore[no-untyped-def]
    model = parse(HEAD.replace("TYPE", kind) + body + " }")
    graph = import_model(model.SerializeToString()).graph
    fold_constants(graph, PassContext(TARGET))
    return model, graph.outputs[0]


@pytest.mark.parametrize("body", CASES)
def test_formulas_give_what_the_nodes_compute(body: str) -> None:
    model, value = load(body, CASES[body])
    at = coordinates(value.rank)
    formula = element(value, at)
    assert formula is not None
    for b, s in ((1, 1), (2, 5), (4, 3)):
        (want,) = ort_outputs(model, {"x": np.zeros((b, s), np.int64)})
        # Sizes that are dims of the tensor itself stand in the formula as one more than the symbol.
        own = {str(d) for d in value.shape}
        sizes = {"b": b - ("b" in own), "s": s - ("s" in own)}
        for place in np.ndindex(*want.shape):
            env = {**sizes, **{str(c): p for c, p in zip(at, place, strict=True)}}
            assert dims.evaluate(formula, env) == want[place], (body, place)


@pytest.mark.parametrize("body", [
    "y = LessOrEqual(x, r)", "q = ReduceMax(x) y = Add(r, q)",
    "k = Unsqueeze(col, m1) h = Sub(k, i1) y = GatherND(r, h)",
])  # fmt: skip
def test_what_data_decides_is_not_known(body: str) -> None:
    kind = "bool[b,s]" if "LessOr" in body else "int64[n,s]" if "ReduceMax" in body else "int64[s,n]"
    _, value = load(body, kind)
    assert element(value, coordinates(value.rank)) is None


def test_every_way_to_say_causal_is_one_formula() -> None:
    for body in ("y = LessOrEqual(r, col)", "g = Greater(r, col) y = Not(g)", "d = Sub(r, col) y = Less(d, i1)",
                 "d = Sub(col, r) n = Less(d, i0) y = Not(n)"):  # fmt: skip
        _, value = load(body, "bool[s,s]")
        row, column = coordinates(2)
        assert element(value, (row, column)) == causal(row, column)
    _, value = load("y = Less(r, col)", "bool[s,s]")
    assert element(value, coordinates(2)) != causal(*coordinates(2))


def test_floats_of_two_numbers() -> None:
    body = "k = LessOrEqual(r, col) f = Cast <to = 1> (k) y = Mul(f, low)"
    _, value = load(body, "float[s,s]")
    found = choice(value, coordinates(2))
    assert found is not None and (found.yes, found.no) == (-7.0, 0.0)
    assert found.condition == causal(*coordinates(2))
    _, value = load("f = Cast <to = 1> (x) y = Mul(f, low)", "float[b,s]")
    assert choice(value, coordinates(2)) is None
