"""Elementwise ops run together, after a product on the block it just made."""

from __future__ import annotations

import numpy as np

import arenaut
from arenaut.passes.fuse_elementwise import fuse_elementwise
from tests.support.models import parse
from tests.support.rewriting import Rewritten, draw, rewrite


def run(nodes: str, **feeds: object) -> Rewritten:
    model = parse(f"t (float[n, 4] x, float[n, 4] z) => (float[n, 4] y) <float[4, 4] w = "
                  f"{{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}}> {{ {nodes} }}")  # fmt: skip
    return rewrite(model, fuse_elementwise, feeds={"x": draw(3, 4), "z": draw(3, 4, seed=1)})


def inside(result: Rewritten) -> list[str]:
    (fused,) = [n for n in result.graph.nodes if n.op == "Fused"]
    return [n.op for _, body in fused.bodies() for n in body.nodes]


def test_a_chain_is_one_node() -> None:
    result = run("a = Exp (x) b = Add (a, z) y = Neg (b)")
    assert result.ops == ["Fused"] and inside(result) == ["Exp", "Add", "Neg"]


def test_what_follows_a_product_joins_it() -> None:
    result = run("a = MatMul (x, w) b = Add (a, z) y = Relu (b)")
    assert result.ops == ["Fused"] and inside(result) == ["MatMul", "Add", "Relu"]


def test_what_only_an_earlier_product_is_needed_for_joins_that_one() -> None:
    result = run("a = MatMul (x, w) b = Add (a, z) c = MatMul (z, w) d = Add (c, x) e = Add (b, d) y = Relu (e)")
    bodies = [[m.op for _, body in n.bodies() for m in body.nodes] for n in result.graph.nodes]
    assert bodies == [["MatMul", "Add"], ["MatMul", "Add", "Add", "Relu"]]


def test_what_reads_two_products_waits_for_the_last() -> None:
    result = run("a = MatMul (x, w) c = MatMul (z, w) e = Add (a, c) y = Relu (e)")
    assert result.ops == ["MatMul", "Fused"] and inside(result) == ["MatMul", "Add", "Relu"]


def test_one_op_alone_stays() -> None:
    assert run("y = Exp (x)").ops == ["Exp"]


def test_a_result_that_others_read_ends_the_chain() -> None:
    result = run("a = Exp (x) s = ReduceSum (a) y = Mul (a, s)")
    assert result.ops == ["Exp", "ReduceSum", "Mul"]


def test_narrow_floats_are_limited_before_they_are_rounded() -> None:
    """Rounding and limits commute, so a sum stays in registers until both are done; more arithmetic does not."""
    for last, count in (("y = Relu (a)", 1), ("y = Clip (a, low, high)", 1), ("y = Tanh (a)", 2)):
        text = f"""t (float16[5, 7] x, float16[5, 7] o) => (float16[5, 7] y)
            <float16 low = {{13312}}, float16 high = {{15872}}> {{ a = Add (x, o) {last} }}"""
        feeds = {"x": draw(5, 7, dtype=np.float16), "o": draw(5, 7, seed=1, dtype=np.float16)}
        loaded, plain = (arenaut.load_onnx(parse(text), optimize=o) for o in (True, False))
        assert len(loaded.graph.nodes) == len(loaded._built.lowered.steps) == count, last
        assert loaded.run(feeds)["y"].tobytes() == plain.run(feeds)["y"].tobytes()


BYTES = """t (float[5, 60] x) => (float[5, 60] y) <float s = {0.03}, uint8 z = {130}, float t = {0.02}> {
    a = QuantizeLinear (x, s, z) b = DequantizeLinear (a, s, z)
    c = Tanh (b) d = Mul (b, c) e = QuantizeLinear (d, t, z) f = DequantizeLinear (e, t, z)
    """


def test_bytes_before_a_reduction_are_looked_up_and_widened_by_its_readers() -> None:
    """What follows of one byte ends in a byte, so that it is a table; readers of the floats widen that byte."""
    model = parse(BYTES + 'r = ReduceL2 <keepdims = 1> (f) y = Mul (f, r) }')  # fmt: skip
    result = rewrite(model, fuse_elementwise, feeds={"x": draw(5, 60)})
    assert result.ops == ["QuantizeLinear", "Fused", "DequantizeLinear", "ReduceL2", "Fused"]
    (_, table), (_, last) = [bodies for n in result.graph.nodes if n.op == "Fused" for bodies in n.bodies()]
    assert [n.op for n in table.nodes] == ["DequantizeLinear", "Tanh", "Mul", "QuantizeLinear"]
    assert [n.op for n in last.nodes] == ["DequantizeLinear", "Mul"]


def test_floats_rounded_for_a_reduction_are_one_program() -> None:
    """No table stands for what floats become, and a reduction widens no bytes: one program writes its floats."""
    model = parse("""t (float[5, 60] x) => (float[5, 1] y) <float s = {0.03}, uint8 z = {130}> {
        a = Tanh (x) b = QuantizeLinear (a, s, z) c = DequantizeLinear (b, s, z) y = ReduceL2 <keepdims = 1> (c) }""")
    result = rewrite(model, fuse_elementwise, feeds={"x": draw(5, 60)})
    assert result.ops == ["Fused", "ReduceL2"]


def test_numbers_in_a_program_are_not_operands() -> None:
    """Scales and zero points lie in the program, so that many of them part no chain."""
    step = "a{0} = QuantizeLinear (x{0}, s{0}, z) b{0} = DequantizeLinear (a{0}, s{0}, z) x{1} = Mul (b{0}, x) "
    steps = "".join(step.format(i, i + 1) for i in range(6))
    scales = ", ".join(f"float s{i} = {{{0.01 + i / 100}}}" for i in range(6))
    model = parse(f"t (float[5, 60] x) => (float[5, 60] y) <uint8 z = {{130}}, {scales}> "
                  f"{{ x0 = Neg (x) {steps} y = Exp (x6) }}")  # fmt: skip
    assert rewrite(model, fuse_elementwise, feeds={"x": draw(5, 60)}).ops == ["Fused"]
