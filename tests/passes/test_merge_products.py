from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from arenaut.passes.eliminate_dead_code import eliminate_dead_code
from arenaut.passes.merge_products import merge_products
from arenaut.passes.raise_integer_products import raise_integer_products
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite

SIGNATURE, TAIL = "float[b,n,6] x", "s = Transpose <perm = [0, 2, 1]> (k1) p = MatMul(q1, s) y = MatMul(p, v1)"
PLAIN = "q1 = MatMul(x, wq) k1 = MatMul(x, wk) v1 = MatMul(x, wv)"


def run(body: str, out: str = "float[b,n,5] y", signature: str = SIGNATURE, **feeds: Any) -> Rewritten:
    weights = "float[6,4] wq, float[6,4] wk, float[6,5] wv, float[4] bq, float[5] bv"
    model = parse(f"t ({signature}, {weights}) => ({out})\n{{ {body} }}")
    shapes = {"wq": (6, 4), "wk": (6, 4), "wv": (6, 5), "bq": (4,), "bv": (5,)}
    arrays = {name: draw(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}
    kept = [v for v in model.graph.input if v.name not in arrays]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
    return rewrite(model, merge_products, feeds={"x": draw(2, 3, 6), **feeds}, rtol=2e-6)


def test_products_of_one_value_with_and_without_bias() -> None:
    result = run(f"q = MatMul(x, wq) q1 = Add(bq, q) k1 = MatMul(x, wk) v = MatMul(x, wv) v1 = Add(v, bv) {TAIL}")
    assert result.ops[:3] == ["MatMul", "Add", "Split"] and result.ops.count("MatMul") == 3
    whole, bias = result.graph.nodes[0], result.graph.nodes[1].operand(1)
    assert whole.output.shape[-1] == 13 and bias.constant is not None
    assert not bias.constant[4:8].any() and bias.constant[:4].all()


def test_without_any_bias() -> None:
    assert run(f"{PLAIN} {TAIL}").ops == ["MatMul", "Split", "Transpose", "MatMul", "MatMul"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(transposed: int) -> None:
    turn = "".join(f"t{i} = Transpose(w{i}) " for i in "qk") if transposed else "tq = Identity(wq) tk = Identity(wk) "
    body = f"""{turn} q1 = Gemm <transB = {transposed}> (x, tq, bq) k1 = Gemm <transB = {transposed}> (x, tk)
        s = Transpose(k1) y = MatMul(q1, s)"""
    result = run(body, "float[n,n] y", "float[n,6] x", x=draw(3, 6))
    assert result.ops.count("Gemm") == 1 and "Split" in result.ops


PAIR = "s = Transpose <perm = [0, 2, 1]> (k1) y = MatMul(q1, s)"
APART = {
    # An activation works on the product's hot block.
    "g = MatMul(x, wq) u = MatMul(x, wk) a = Sigmoid(g) y = Mul(a, u)": ("float[b,n,4] y", "joins the product"),
    f"q1 = MatMul(x, wq) k1 = MatMul(x, wk) {PAIR}": ("float[b,n,n] y, float[b,n,4] q1", "output of the graph"),
    # Another input.
    f"z = Relu(x) q1 = MatMul(x, wq) k1 = MatMul(z, wk) {PAIR}": ("float[b,n,n] y", ""),
    # A weight that somebody else reads would be held twice.
    f"q1 = MatMul(x, wq) k1 = MatMul(x, wq) {PAIR}": ("float[b,n,n] y", ""),
}


@pytest.mark.parametrize("body", APART)
def test_not_these(body: str) -> None:
    out, reason = APART[body]
    result = run(body, out)
    assert "Split" not in result.ops
    assert any(reason in r for r in result.reasons("side_by_side")) or not reason


def test_the_same_bytes_a_column() -> None:
    """Each column is summed as before."""
    result = run(f"{PLAIN} {TAIL}")
    weights = result.graph.nodes[0].operand(1).constant
    assert weights is not None
    np.testing.assert_array_equal(weights, np.concatenate([draw(6, 4), draw(6, 4, seed=1), draw(6, 5, seed=2)], 1))


def quantised(second: str) -> Rewritten:
    """Two integer products of one dynamically quantised value: int8 weights with one scale, and with one a column."""
    rng = np.random.default_rng(0)
    text = f"""t (float[n,6] x, float d) => (float[n,n] y) {{
        q, p, z = DynamicQuantizeLinear(x)
        a = MatMulInteger(q, wa, z) ca = Cast <to = 1> (a) sa = Mul(p, s) q1 = Mul(ca, sa)
        {second}
        t = Transpose(k1) y = MatMul(q1, t)
    }}"""
    model = parse(text.replace("float d)", "float d, int8[6,4] wa, int8[6,4] wb, float s, float[4] columns, int8 zb)"))
    arrays = {"s": np.float32(0.01), "columns": rng.uniform(0.01, 0.02, 4).astype(np.float32), "zb": np.int8(3),
              **{n: rng.integers(-128, 128, (6, 4)).astype(np.int8) for n in ("wa", "wb")}}  # fmt: skip
    kept = [v for v in model.graph.input if v.name not in arrays]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    feeds = {"x": draw(3, 6), "d": np.array(0.5, np.float32)}
    return rewrite(
        model, raise_integer_products, eliminate_dead_code, merge_products, feeds=feeds, rtol=2e-6, plain=True
    )


def test_integer_products() -> None:
    result = quantised("b = MatMulInteger(q, wb, z, zb) cb = Cast <to = 1> (b) sb = Mul(p, columns) k1 = Mul(cb, sb)")
    assert result.ops[1:3] == ["QMatMul", "Split"] and result.ops.count("QMatMul") == 1
    scale, zero = (result.graph.nodes[1].operand(i).constant for i in (4, 5))
    assert scale is not None and zero is not None
    assert scale[:4].tolist() == [np.float32(0.01)] * 4 and zero.tolist() == [0, 0, 0, 0, 3, 3, 3, 3]


@pytest.mark.parametrize("second", [
    "b = MatMulInteger(q, wb, z) cb = Cast <to = 1> (b) sb = Mul(p, d) k1 = Mul(cb, sb)",
    "b = MatMulInteger(q, wb) cb = Cast <to = 1> (b) sb = Mul(p, columns) k1 = Mul(cb, sb)",
])  # fmt: skip
def test_integer_products_apart(second: str) -> None:
    """A scale that is fed, and another zero point of the operand that both read."""
    assert quantised(second).ops.count("QMatMul") == 2
