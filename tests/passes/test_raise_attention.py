from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arenaut.ir.graph import Node
from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.raise_attention import raise_attention
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

CONSTANTS = """<float c = {0.35355339}, float root = {2.8284271}, float half = {0.59460354}, float zero = {0.0},
 float one = {1.0}, float least = {-3.4028234e38}, float small = {-10000.0}, int64 i0 = {0},
 int64 i1 = {1}, int64[1] a0 = {0}, int64[1] a1 = {1}, int64[1] a2 = {2}, int64[1] a3 = {3}, int64[1] m1 = {-1}>"""
SIGNATURE = "float[b,4,s,8] q, float[b,4,s,8] k, float[b,4,s,6] v"
PRODUCT = "t = Transpose <perm = [0, 1, 3, 2]> (k) p = MatMul(q, t)"
END = "w = Softmax <axis = -1> (r) y = MatMul(w, v)"
GUARDED = "u = Softmax <axis = -1> (r) nan = IsNaN(u) w = Where(nan, zero, u) y = MatMul(w, v)"
# Lower triangular booleans from nothing but sizes: [s, s].
TRIANGLE = """n1 = Shape <start = 2, end = 3> (q) n = Squeeze(n1) row = Range(i0, n, i1) at = Unsqueeze(row, a1)
 keep = LessOrEqual(row, at)"""


def run(
    body: str, extra: str = "", outputs: str = "float[b,4,s,6] y", feeds: dict[str, Any] | None = None,
    signature: str = SIGNATURE, opset: int = 21,
) -> Rewritten:  # fmt: skip
    text = f"t ({signature}{extra}) => ({outputs})\n{CONSTANTS}\n{{ inf = Log(zero) {body} }}"
    given = {"q": draw(2, 4, 5, 8), "k": draw(2, 4, 5, 8, seed=1), "v": draw(2, 4, 5, 6, seed=2), **(feeds or {})}
    model = parse(text, opset=opset)
    given = {v.name: given[v.name] for v in model.graph.input}
    return rewrite(model, raise_attention, eliminate_dead_code, feeds=given, rtol=4e-6)


def attention_of(result: Rewritten) -> Node:
    (node,) = (n for n in result.graph.nodes if n.op == "Attention")
    assert "Softmax" not in result.ops and "MatMul" not in result.ops
    return node


@pytest.mark.parametrize(("body", "scale"), [
    (f"{PRODUCT} r = Mul(p, c) {END}", 0.35355339),
    (f"{PRODUCT} r = Div(p, root) {END}", 0.35355339),
    (f"d = Div(q, root) t = Transpose <perm = [0, 1, 3, 2]> (k) r = MatMul(d, t) {END}", 0.35355339),
    (f"t = Transpose <perm = [0, 1, 3, 2]> (k) d = Mul(q, half) e = Mul(t, half) r = MatMul(d, e) {END}", 0.35355339),
    (f"t = Transpose <perm = [0, 1, 3, 2]> (k) r = MatMul(q, t) {END}", 1.0),
])  # fmt: skip
def test_scales_in_every_place(body: str, scale: float) -> None:
    result = run(body)
    node = attention_of(result)
    assert node.attr("scale") == pytest.approx(scale, rel=1e-6)
    assert node.attr("is_causal") == 0 and result.ops == ["Attention"]


def test_a_scaled_query_before_its_heads_are_split() -> None:
    body = f"""d = Mul(q, c) apart = Constant <value = int64[4] {{0, 0, 4, 8}}> () h = Reshape(d, apart)
    q4 = Transpose <perm = [0, 2, 1, 3]> (h) t = Transpose <perm = [0, 1, 3, 2]> (k) r = MatMul(q4, t) {END}"""
    result = run(body, signature="float[b,s,32] q, float[b,4,s,8] k, float[b,4,s,6] v", feeds={"q": draw(2, 5, 32)})
    assert attention_of(result).attr("scale") == pytest.approx(0.35355339)
    assert result.ops == ["Reshape", "Transpose", "Attention"]


@pytest.mark.parametrize(("attributes", "scale"), [("", 0.125), ("<scale = 2.0>", 2 * 0.35355339)])
def test_a_scaled_query_of_the_op_itself(attributes: str, scale: float) -> None:
    result = run(f"d = Mul(q, c) y = Attention {attributes} (d, k, v)", opset=23)
    assert attention_of(result).attr("scale") == pytest.approx(scale) and result.ops == ["Attention"]


def test_heads_split_and_merged_around_it() -> None:
    body = f"""k3 = Transpose <perm = [0, 2, 3, 1]> (k) p = MatMul(q, k3) r = Mul(p, c) {END}"""
    result = run(body, signature="float[b,4,s,8] q, float[b,s,4,8] k, float[b,4,s,6] v",
                 feeds={"k": draw(2, 5, 4, 8)})  # fmt: skip
    attention_of(result)
    assert result.ops == ["Transpose", "Attention"]


def test_keys_transposed_through_merged_batches() -> None:
    body = f"""f = Shape <start = 2> (k) h = Concat <axis = 0> (m1, f) g = Reshape(k, h)
    e = Transpose <perm = [0, 2, 1]> (g) l = Shape <start = 0, end = 2> (k) d = Shape <start = 3> (k)
    s = Shape <start = 2, end = 3> (k) sh = Concat <axis = 0> (l, d, s) t = Reshape(e, sh) r = MatMul(q, t) {END}"""
    assert run(body).ops == ["Attention"]


@pytest.mark.parametrize("end", [END, GUARDED])
@pytest.mark.parametrize("number", ["inf", "least"])
@pytest.mark.parametrize("made", [
    f"{TRIANGLE} mask = Where(keep, zero, NUMBER)",
    f"{TRIANGLE} other = Not(keep) mask = Where(other, NUMBER, zero)",
    "n1 = Shape <start = 2, end = 3> (q) nn = Concat <axis = 0> (n1, n1) full = Expand(NUMBER, nn) "
    "mask = Trilu <upper = 1> (full, i1)",
    f"{TRIANGLE} wide = Unsqueeze(keep, a0) four = Unsqueeze(wide, a0) mask = Where(four, zero, NUMBER)",
])  # fmt: skip
def test_generated_causal_masks(made: str, number: str, end: str) -> None:
    made = made.replace("NUMBER", number)
    node = attention_of(run(f"{PRODUCT} m = Mul(p, c) {made} r = Add(m, mask) {end}"))
    assert node.attr("is_causal") == 1 and node.input(3) is None


def test_a_causal_condition_on_the_scores() -> None:
    node = attention_of(run(f"{PRODUCT} m = Mul(p, c) {TRIANGLE} r = Where(keep, m, least) {END}"))
    assert node.attr("is_causal") == 1 and node.input(3) is None


@pytest.mark.parametrize(("number", "shift", "causal"), [
    (-np.inf, 0, 1), (float(np.finfo(np.float32).min), 0, 1), (-1e4, 0, 0), (-np.inf, 1, 0), (-1e38, -1, 0)
])  # fmt: skip
def test_constant_masks(number: float, shift: int, causal: int) -> None:
    """-10000 does not forbid a score of 20000; a triangle that is shifted is another mask."""
    table = 1 - np.tri(5, k=shift)
    kept = ", ".join(str(int(x == 0)) for x in table.reshape(-1))
    shut = "x = Identity(inf)" if number == -np.inf else f"x = Constant <value = float {{{number:.9g}}}> ()"
    body = f"""k4 = Constant <value = bool[1,1,5,5] {{{kept}}}> () {shut} mask = Where(k4, zero, x)
    {PRODUCT} m = Mul(p, c) r = Add(m, mask) {END}"""
    node = attention_of(run(body, signature=SIGNATURE.replace("s,", "5,"), outputs="float[b,4,5,6] y"))
    assert node.attr("is_causal") == causal and (node.input(3) is None) == bool(causal)


def test_a_padding_mask_is_added_without_being_expanded() -> None:
    body = f"""e = Unsqueeze(keys, a1) f = Unsqueeze(e, a1) g = Cast <to = 1> (f) h = Sub(one, g) mask = Mul(h, least)
    {PRODUCT} m = Mul(p, c) r = Add(mask, m) {END}"""
    keys = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int64)
    node = attention_of(run(body, ", int64[b,s] keys", feeds={"keys": keys}))
    assert node.operand(3).rank == 4 and node.operand(3).shape[1:3] == (1, 1) and node.attr("is_causal") == 0


def test_a_boolean_mask_stays_boolean_and_rows_without_keys_are_zero() -> None:
    allowed = np.random.default_rng(0).random((2, 1, 5, 5)) < 0.5
    allowed[0, 0, 2] = False
    body = f"{PRODUCT} m = Mul(p, c) mask = Where(keep, zero, inf) r = Add(m, mask) {GUARDED}"
    node = attention_of(run(body, ", bool[b,1,s,s] keep", feeds={"keep": allowed}))
    assert node.operand(3).name == "keep"


def test_a_finite_number_for_forbidden_keys_is_added() -> None:
    """Rows without keys are then averages, not zeros."""
    allowed = np.random.default_rng(0).random((2, 1, 5, 5)) < 0.5
    allowed[0, 0, 2] = False
    body = f"{PRODUCT} m = Mul(p, c) r = Where(keep, m, least) {END}"
    node = attention_of(run(body, ", bool[b,1,s,s] keep", feeds={"keep": allowed}))
    assert node.operand(3).dtype.is_float


WIDE = """nb = Shape <start = 0, end = 1> (q) ns = Shape <start = 2, end = 3> (q) one1 = Identity(a1)
 whole = Concat <axis = 0> (nb, one1, ns, ns)"""


def test_an_expanded_padding_mask_is_read_for_every_query() -> None:
    body = f"""{WIDE} e = Unsqueeze(keys, a1) f = Unsqueeze(e, a1) wide = Expand(f, whole) g = Cast <to = 1> (wide)
    h = Sub(one, g) mask = Mul(h, least) {PRODUCT} m = Mul(p, c) r = Add(m, mask) {END}"""
    keys = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int64)
    result = run(body, ", int64[b,s] keys", feeds={"keys": keys})
    assert attention_of(result).operand(3).shape[1:3] == (1, 1) and "Expand" not in result.ops


@pytest.mark.parametrize("number", ["inf", "least"])
def test_conditions_that_always_hold_are_dropped(number: str) -> None:
    keys = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    body = f"""{TRIANGLE} open = GreaterOrEqual(at, i0) e = Unsqueeze(keys, a1) f = Unsqueeze(e, a1)
    both = And(open, f) mask = Where(both, zero, {number}) {PRODUCT} m = Mul(p, c) r = Add(m, mask)
    {GUARDED if number == "inf" else END}"""
    result = run(body, ", bool[b,s] keys", feeds={"keys": keys})
    assert attention_of(result).operand(3).shape[1:3] == (1, 1) and "And" not in result.ops


def test_a_causal_mask_beside_a_padding_mask_is_a_flag() -> None:
    """Rows without a key are zeros either way."""
    keys = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], bool)
    body = f"""{TRIANGLE} e = Unsqueeze(keys, a1) f = Unsqueeze(e, a1) both = And(keep, f)
    mask = Where(both, zero, inf) {PRODUCT} m = Mul(p, c) r = Add(m, mask) {GUARDED}"""
    node = attention_of(run(body, ", bool[b,s] keys", feeds={"keys": keys}))
    assert node.attr("is_causal") == 1 and node.operand(3).shape[1:3] == (1, 1)


def test_a_finite_causal_mask_beside_a_padding_mask_is_added() -> None:
    """A row without a key is the average of all values, those after the query too."""
    keys = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], bool)
    body = f"""{TRIANGLE} e = Unsqueeze(keys, a1) f = Unsqueeze(e, a1) both = And(keep, f)
    mask = Where(both, zero, least) {PRODUCT} m = Mul(p, c) r = Add(m, mask) {END}"""
    node = attention_of(run(body, ", bool[b,s] keys", feeds={"keys": keys}))
    assert node.attr("is_causal") == 0 and node.operand(3).dtype.is_float


@pytest.mark.parametrize("mask", [
    "z = Cast <to = 1> (i0) mask = Expand(z, whole)", "open = GreaterOrEqual(row, i0) mask = Where(open, zero, least)",
])  # fmt: skip
def test_a_mask_of_zeros_is_none(mask: str) -> None:
    result = run(f"{WIDE} {TRIANGLE} {mask} {PRODUCT} m = Mul(p, c) r = Add(m, mask) {END}")
    assert result.ops == ["Attention"] and attention_of(result).input(3) is None


@pytest.mark.parametrize("end", [END, GUARDED])
def test_a_condition_that_forbids(end: str) -> None:
    shut = np.random.default_rng(0).random((2, 1, 5, 5)) < 0.5
    number = "inf" if end is GUARDED else "least"
    body = f"{PRODUCT} m = Mul(p, c) mask = Where(shut, {number}, zero) r = Add(m, mask) {end}"
    attention_of(run(body, ", bool[b,1,s,s] shut", feeds={"shut": shut}))


def test_masks_and_repeated_heads_of_the_op_itself() -> None:
    keys = np.array([[1, 0, 1, 1, 1], [1, 1, 1, 1, 0]], bool)
    body = f"""{TRIANGLE} to = Constant <value = int64[5] {{1, 1, 2, 1, 1}}> ()
    lead = Constant <value = int64[4] {{2, 4, -1, 8}}> () ku = Unsqueeze(k, a2) ke = Expand(ku, to)
    kr = Reshape(ke, lead) e = Unsqueeze(keys, a1) f = Unsqueeze(e, a1) both = And(keep, f)
    y = Attention <scale = 0.25> (q, kr, kr, both)"""
    result = run(body, ", bool[2,s] keys", "float[2,4,s,8] y", {"k": draw(2, 2, 5, 8, seed=1), "keys": keys},
                 "float[2,4,s,8] q, float[2,2,s,8] k", 23)  # fmt: skip
    node = attention_of(result)
    assert node.attr("is_causal") == 1 and node.operand(1).name == "k" and node.operand(2).name == "k"
    assert node.operand(3).shape[1:3] == (1, 1) and "attention_operands" in result.fired


def test_repeated_heads_become_grouped_queries() -> None:
    def repeat(x: str) -> str:
        return f"""{x}u = Unsqueeze({x}, a2) {x}e = Expand({x}u, to) {x}s = Shape <start = 2> ({x})
        {x}f = Concat <axis = 0> (lead, {x}s) {x}r = Reshape({x}e, {x}f)"""

    body = f"""lead = Constant <value = int64[2] {{-1, 4}}> () to = Constant <value = int64[5] {{1, 1, 2, 1, 1}}> ()
    {repeat("k")} {repeat("v")} t = Transpose <perm = [0, 1, 3, 2]> (kr) p = MatMul(q, t) r = Mul(p, c)
    w = Softmax <axis = -1> (r) y = MatMul(w, vr)"""
    result = run(body, signature="float[2,4,s,8] q, float[2,2,s,8] k, float[2,2,s,6] v", outputs="float[2,4,s,6] y",
                 feeds={"k": draw(2, 2, 5, 8), "v": draw(2, 2, 5, 6)})  # fmt: skip
    node = attention_of(result)
    assert [node.operand(i).name for i in (1, 2)] == ["k", "v"] and result.ops == ["Attention"]


def test_batches_of_single_heads() -> None:
    body = f"t = Transpose <perm = [0, 2, 1]> (k) p = MatMul(q, t) m = Mul(p, c) r = Add(m, mask) {END}"
    feeds = {"q": draw(6, 5, 8), "k": draw(6, 7, 8), "v": draw(6, 7, 3), "mask": draw(6, 5, 7)}
    result = run(body, signature="float[n,s,8] q, float[n,z,8] k, float[n,z,3] v, float[n,s,z] mask",
                 outputs="float[n,s,3] y", feeds=feeds)  # fmt: skip
    attention_of(result)


@pytest.mark.parametrize(("body", "reason"), [
    (f"{PRODUCT} w = Softmax <axis = 2> (p) y = MatMul(w, v)", "Softmax is over axis 2"),
    (f"{PRODUCT} m = Add(p, extra) r = Mul(m, c) {END}", "before the scores are scaled"),
    (f"{PRODUCT} e = ReduceMax(extra, m1) r = Add(p, e) {END}", "for s keys"),
    (f"{PRODUCT} b = Greater(extra, zero) e = Where(b, zero, inf) r = Add(p, e) {END}", "may forbid every key"),
    (f"{PRODUCT} b = Greater(extra, zero) r = Where(b, p, inf) {END}", "may forbid every key"),
    (f"{PRODUCT} r = Mul(p, c) w = Softmax <axis = -1> (r) n = MatMul(w, v) x = ReduceMax <keepdims = 1> (w) "
     "y = Add(n, x)", None),
    (f"{PRODUCT} r = Mul(p, c) {END} z = Relu(p)", "'p' is an output"),
])  # fmt: skip
def test_refuses_with_a_reason(body: str, reason: str | None) -> None:
    outputs = "float[b,4,s,6] y" + (", float[b,4,s,s] z, float[b,4,s,s] p" if "z =" in body else "")
    extra = np.abs(draw(2, 4, 5, 5))
    result = run(body, ", float[b,4,s,s] extra", outputs, feeds={"extra": extra})
    assert "Attention" not in result.ops
    assert reason is None or any(reason in r for r in result.reasons("attention")), result.events


def test_needs_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from arenaut.ir.target import Target

    monkeypatch.setattr("tests.support.rewriting.TARGET", Target(0, 0, 1, 1 << 15, 1 << 20, 1 << 22))
    assert "Softmax" in run(f"{PRODUCT} r = Mul(p, c) {END}").ops
