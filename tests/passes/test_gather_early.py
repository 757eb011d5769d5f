"""Gather moves before arithmetic on a table of constants, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import arenaut
from arenaut.errors import ArenautError
from arenaut.passes.gather_early import gather_early
from tests.support.rewriting import Rewritten, rewrite

ROWS = 40_000
TABLE = np.random.default_rng(0).integers(-128, 128, (ROWS, 16)).astype(np.int8)
WIDE = np.ascontiguousarray(np.broadcast_to(TABLE.reshape(1, ROWS, 16), (3, ROWS, 16)))
IDS = np.array([[0, 5, ROWS - 1], [7, -7, 123]])
FLOATS = "f = Cast <to = 1> (t) "
SCALED = FLOATS + "m = Mul (f, s) "


def gathered(
    body: str, outputs: str = "float[a, b, c] y", ids: np.ndarray[Any, Any] = IDS, **constants: Any
) -> Rewritten:
    """The nodes of body over constants and ids, through the pass, with the results of onnxruntime."""
    shape = "[" + ", ".join(f"n{i}" for i in range(ids.ndim)) + "]" if ids.ndim else ""  # [] is any rank
    graph = onnx.parser.parse_graph(f"n (int64{shape} ids) => ({outputs}) {{ {body} }}")
    given = {"t": TABLE, **constants}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in given.items())
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])
    return rewrite(model, gather_early, feeds={"ids": ids})


def scales(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(), (1,), (16,), (1, 16), (1, 1)])
@pytest.mark.parametrize("ids", [IDS, IDS[0], np.array(3), IDS[None]])
def test_scales_that_all_rows_share(shape: tuple[int, ...], ids: np.ndarray[Any, Any]) -> None:
    dims = ", ".join(f"d{i}" for i in range(ids.ndim + 1))
    found = gathered(SCALED + "y = Gather <axis = 0> (m, ids)", f"float[{dims}] y", ids, s=scales(*shape))
    assert found.ops == ["Gather", "Cast", "Mul"]
    assert found.fired == {"gather_early"}


@pytest.mark.parametrize("columns", [1, 16])
def test_scales_of_rows_are_gathered_likewise(columns: int) -> None:
    found = gathered(SCALED + "y = Gather <axis = 0> (m, ids)", s=scales(ROWS, columns))
    assert sorted(found.ops) == ["Cast", "Gather", "Gather", "Mul"]


@pytest.mark.parametrize("shape", [(3, ROWS, 1), (ROWS, 1), (3, 1, 1), (3, 1, 16), (1, 1, 16), (16,)])
@pytest.mark.parametrize("ids", [IDS, IDS[0], np.array(3)])
def test_rows_of_a_middle_axis(shape: tuple[int, ...], ids: np.ndarray[Any, Any]) -> None:
    dims = ", ".join(f"d{i}" for i in range(ids.ndim + 2))
    body = SCALED + "y = Gather <axis = -2> (m, ids)"
    found = gathered(body, f"float[{dims}] y", ids, t=WIDE, s=scales(*shape))
    assert found.ops.count("Gather") == 1 + (ROWS in shape)
    assert found.ops[-1] == "Mul"


def test_a_scale_may_have_more_axes_than_the_table() -> None:
    found = gathered(
        SCALED + "y = Gather <axis = 1> (m, ids)", "float[a, b, c, d] y", s=scales(3, 1, 16)
    )  # fmt: skip
    assert found.ops == ["Gather", "Cast", "Mul"]


def test_zero_points_and_a_chain_that_forks() -> None:
    body = "i = Cast <to = 6> (t) o = Sub (i, z) f = Cast <to = 1> (o) m = Mul (f, s) a = Abs (m) b = Add (a, m) "
    zeros = np.random.default_rng(2).integers(-5, 5, (ROWS, 1)).astype(np.int32)
    found = gathered(body + "y = Gather <axis = 0> (b, ids)", z=zeros, s=scales(ROWS, 1))
    assert sorted(found.ops) == ["Abs", "Add", "Cast", "Cast", "Gather", "Gather", "Gather", "Mul", "Sub"]


def test_two_gathers_of_one_table_both_move() -> None:
    body = SCALED + "y = Gather <axis = 0> (m, ids) j = Neg (ids) w = Gather <axis = 0> (m, j)"
    found = gathered(body, "float[a, b, c] y, float[d, e, f] w", IDS % 100, s=scales(ROWS, 1))
    assert found.ops.count("Gather") == 4
    assert found.ops.count("Mul") == 2
    assert ROWS not in [d for n in found.graph.nodes for d in n.output.shape]


def test_a_table_that_others_read_stays() -> None:
    body = FLOATS + "a = Gather <axis = 0> (f, ids) k = ReduceMax <keepdims = 0> (f) y = Add (a, k)"
    found = gathered(body)
    assert found.ops[:2] == ["Cast", "Gather"]
    assert "ReduceMax" in found.reasons("gather_early")[0]
    found = gathered(
        SCALED + "a = Gather <axis = 0> (m, ids) k = ReduceMax <keepdims = 0> (f) y = Add (a, k)", s=scales()
    )
    assert found.ops[:3] == ["Cast", "Mul", "Gather"]


def test_a_table_that_is_an_output_stays() -> None:
    found = gathered(FLOATS + "y = Gather <axis = 0> (f, ids)", "float[a, b, c] y, float[d, e] f")
    assert found.ops == ["Cast", "Gather"]
    assert "output" in found.reasons("gather_early")[0]


def test_a_scale_that_depends_on_inputs_stays() -> None:
    body = FLOATS + "k = ReduceSum <keepdims = 0> (ids) s = Cast <to = 1> (k) m = Mul (f, s) "
    found = gathered(body + "y = Gather <axis = 0> (m, ids)")
    assert found.ops[-1] == "Gather"
    assert found.reasons("gather_early") == ["the table is computed from more than constants"]


def test_as_many_rows_as_there_are_stay() -> None:
    body = SCALED + "z = Sub (ids, ids) w = Constant <value = int64[1] {40000}> () e = Expand (z, w) "
    found = gathered(body + "y = Gather <axis = 0> (m, e)", "float[a, c] y", np.zeros(1, np.int64), s=scales(16))
    assert found.ops[-1] == "Gather"
    assert "no work is saved" in found.reasons("gather_early")[0]


def test_indices_out_of_range_are_refused_as_before() -> None:
    graph = onnx.parser.parse_graph(
        "n (int64[k] ids) => (float[k, 16] y) { " + FLOATS + "y = Gather <axis = 0> (f, ids) }"
    )
    graph.initializer.append(numpy_helper.from_array(TABLE, "t"))
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 21)])
    loaded = arenaut.load_onnx(model.SerializeToString())
    assert np.array_equal(loaded.run({"ids": np.array([-1])})["y"], TABLE[-1:].astype(np.float32))
    with pytest.raises(ArenautError, match="Gather"):
        loaded.run({"ids": np.array([ROWS])})
