"""Integers divided by 0 have no result: the run ends in an error that names node and operand, on every path."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.errors import ExecutionError
from arenaut.ir.graph import Graph
from tests.support.importing import model_of, tensor_info
from tests.support.models import ort_outputs, parse

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
OPS = {"Div": {}, "Mod": {}, "Mod of C": {"fmod": 1}}


def _model(op: str, dtype: Any) -> onnx.ModelProto:
    t = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node(op.split()[0], ["a", "b"], ["y"], name="part", **OPS[op])
    return model_of([node], [tensor_info("a", ["n"], t), tensor_info("b", ["m"], t)], [tensor_info("y", None, t)])


@pytest.mark.parametrize("executor", ["compiled", "interpreted"])
@pytest.mark.parametrize("backends", [("native",), ("reference",)], ids=str)
@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("op", OPS)
def test_a_zero_among_the_divisors_is_refused(op: str, dtype: Any, backends: tuple[str], executor: str) -> None:
    if executor == "compiled" and backends == ("reference",):
        return
    options: Any = {"executor": executor, **({"backends": backends} if executor == "interpreted" else {})}
    model = arenaut.load_onnx(_model(op, dtype), **options)
    a = np.arange(1, 120).astype(dtype)
    np.testing.assert_array_equal(model.run(a=a, b=a)["y"], a // a if op == "Div" else a % a)
    for at in (0, 63, 118):
        b = a.copy()
        b[at] = 0
        with pytest.raises(ExecutionError, match=rf"node 'part' \({op[:3]}\), whose input 1 \('b'\) holds 0"):
            model.run(a=a, b=b)
    with pytest.raises(ExecutionError, match="division by zero"):
        model.run(a=a, b=np.zeros(1, dtype))
    assert model.run(a=a[:0], b=np.zeros(1, dtype))["y"].size == 0
    np.testing.assert_array_equal(model.run(a=a, b=a)["y"], a // a if op == "Div" else a % a)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("op", OPS)
def test_the_smallest_integer_by_minus_one_wraps(op: str, dtype: Any) -> None:
    """Where numpy and C agree on nothing, two's complement does: as onnxruntime's narrow types have it."""
    low = np.iinfo(dtype).min
    a, b = np.array([low, low, 7, -7], dtype), np.array([-1, 1, -2, 2], dtype)
    want = {"Div": [low, low, -3, -3], "Mod": [0, 0, -1, 1], "Mod of C": [0, 0, 1, -1]}[op]
    model = _model(op, dtype)
    for optimize in (True, False):
        assert arenaut.load_onnx(model, optimize=optimize).run(a=a, b=b)["y"].tolist() == want
    assert arenaut.load_onnx(model, executor="interpreted", backends=("reference",)).run(a=a, b=b)["y"].tolist() == want


@pytest.mark.parametrize("optimize", [True, False])
def test_a_division_of_constants_by_zero_loads_and_its_run_is_refused(optimize: bool) -> None:
    """As in onnxruntime, whose folding leaves such a node alone."""
    proto = parse("g () => (int64[3] y) <int64[3] a = {4, 5, 6}, int64[3] b = {2, 0, 3}> { y = Div (a, b) }")
    model = arenaut.load_onnx(proto, optimize=optimize)
    with pytest.raises(ExecutionError, match=r"\(Div\), whose input 1 \('b'\) holds 0"):
        model.run()
    with pytest.raises(Exception, match="Div"):
        ort_outputs(proto, {})


def _ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def test_what_joins_a_group_still_refuses_and_is_named() -> None:
    proto = parse(
        "g (int32[n] a, int32[n] b, int32[n] c) => (int32[n] y) "
        "{ d = Add (a, b)\n first = Div (d, b)\n e = Mul (first, a)\n y = Mod (e, c) }"
    )
    model = arenaut.load_onnx(proto)
    assert _ops(model.graph) == ["Fused"]
    a, b = np.arange(70, dtype=np.int32), np.full(70, 3, np.int32)
    np.testing.assert_array_equal(model.run(a=a, b=b, c=b)["y"], (a + b) // b * a % b)
    zero = b.copy()
    zero[69] = 0
    for feeds in ({"a": a, "b": zero, "c": b}, {"a": a, "b": b, "c": zero}):
        with pytest.raises(ExecutionError, match=r"'first' \(Div\), whose input 1 \('b'\).* or .*'y' \(Mod\).*\('c'\)"):
            model.run(feeds)


def test_an_epilogue_divides_by_no_integer_that_may_be_zero() -> None:
    """What computes a product has no status for what follows it; a constant divisor needs none."""
    text = (
        "g (float[n, 4] x, int32[3] d) => (int32[n, 3] y) <float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}, "
        "int32 five = {5}> { p = MatMul (x, w)\n q = Cast <to = 6> (p)\n y = Div (q, DIVISOR) }"
    )
    x, d = np.ones((6, 4), np.float32), np.array([1, 2, 3], np.int32)
    fed = arenaut.load_onnx(parse(text.replace("DIVISOR", "d")))
    assert fed.run(x=x, d=d)["y"][0].tolist() == [13, 8, 7]
    with pytest.raises(ExecutionError, match="division by zero"):
        fed.run(x=x, d=d * 0)
    known = arenaut.load_onnx(parse(text.replace("DIVISOR", "five")))
    assert len(known.graph.nodes) == 1
    assert known.run(x=x, d=d)["y"][0].tolist() == [2, 3, 4]


def test_a_table_of_bytes_holds_no_quotient_by_zero() -> None:
    """One operand of bytes and 256 results: not where one of them is undefined."""
    proto = model_of(
        [helper.make_node("Div", ["c", "x"], ["y"])], [tensor_info("x", ["n"], TensorProto.UINT8)],
        [tensor_info("y", ["n"], TensorProto.UINT8)], {"c": np.array(200, np.uint8)},
    )  # fmt: skip
    model, x = arenaut.load_onnx(proto), np.arange(1, 256, dtype=np.uint8)
    x = np.concatenate([x, x])
    np.testing.assert_array_equal(model.run(x=x)["y"], 200 // x)
    with pytest.raises(ExecutionError, match="holds 0"):
        model.run(x=x - 1)


def test_inside_a_loop_the_inner_node_is_named_and_no_turn_is_no_division() -> None:
    proto = parse(
        "g (int64 m, int64[2] a, int64[2] b) => (int64[2] y) <bool go = {1}> { y = Loop (m, go, a) "
        "<body = body (int64 i, bool c, int64[2] v) => (bool on, int64[2] w) "
        "{ on = Identity (c)\n w = Div (v, b) }> }"
    )
    model = arenaut.load_onnx(proto)
    a, b, zero = np.array([80, 90]), np.array([2, 3]), np.array([2, 0])
    assert model.run(m=np.array(2), a=a, b=b)["y"].tolist() == [20, 10]
    with pytest.raises(ExecutionError, match=r"'w' \(Div\), whose input 1 \('b'\) holds 0"):
        model.run(m=np.array(1), a=a, b=zero)
    assert model.run(m=np.array(0), a=a, b=zero)["y"].tolist() == [80, 90]


def test_rows_of_a_table_that_are_not_looked_up_divide_all_the_same() -> None:
    """A Gather moves before arithmetic on a large table, but not before this."""
    table = np.ones((600_000, 2), np.int64)
    divisors = np.ones((600_000, 1), np.int64)
    divisors[17] = 0
    nodes = [helper.make_node("Div", ["t", "d"], ["q"]), helper.make_node("Gather", ["q", "i"], ["y"])]
    proto = model_of(nodes, [tensor_info("i", ["n"], TensorProto.INT64)], [tensor_info("y", None, TensorProto.INT64)],
                     {"t": table, "d": divisors})  # fmt: skip
    with pytest.raises(ExecutionError, match=r"'d'.* holds 0"):
        arenaut.load_onnx(proto).run(i=np.array([3]))


def test_floats_divide_as_ieee_says() -> None:
    proto = parse("g (float[n] a, float[n] b) => (float[n] y) { y = Div (a, b) }")
    got = arenaut.load_onnx(proto).run(a=np.float32([1, -1, 0]), b=np.float32([0, 0, 0]))["y"]
    assert got[0] == np.inf and got[1] == -np.inf and np.isnan(got[2])
