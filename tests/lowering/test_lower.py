"""Which steps a node becomes: none for a view, one for a row or a tile program, several, or a host call."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.errors import InvalidModelError, ShapeError, UnsupportedError
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph
from arenaut.ir.types import TensorType
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.program import Segment, StepKind
from arenaut.passes.pipeline import run_pipeline
from tests.support.lowering import TARGET, graph_of, kernels, lowered


def test_a_view_is_another_place_in_the_same_buffer() -> None:
    body = "t (float[4, 6] x) => (float[6, 4] y) { e = Exp (x)  t = Transpose <perm = [1, 0]> (e)  y = Neg (t) }"
    program = lowered(body)
    assert kernels(program) == ["Tile", "Tile"]
    (written,), (read,) = program.steps[0].outputs, program.steps[1].inputs
    assert written is not None and read is not None and read.buffer == written.buffer
    assert (read.dims, read.strides) == ((6, 4), (1, 6))


def test_a_reshape_that_no_strides_express_is_copied_first() -> None:
    program = lowered(
        """t (float[4, 6] x, int64[1] s) => (float[24] y)
                         { t = Transpose <perm = [1, 0]> (x)  r = Reshape (t, s)  y = Neg (r) }""",
        s=np.array([24]),
    )
    assert kernels(program) == ["Copy", "Tile"]


def test_views_can_be_left_out() -> None:
    body = "t (float[4, 6] x) => (float[6, 4] y) { t = Transpose <perm = [1, 0]> (x)  y = Neg (t) }"
    assert kernels(lowered(body, without=["views"])) == ["Copy", "Tile"]


def test_a_result_that_leaves_is_written_as_output() -> None:
    program = lowered("t (float[4] x) => (float[4] y, float[4] z) { y = Exp (x)  z = Neg (y) }")
    assert [program.buffers[p.buffer].segment for p in program.outputs] == [Segment.OUTPUT, Segment.OUTPUT]
    assert kernels(program) == ["Tile", "Tile"]


def test_an_input_or_part_of_a_result_that_leaves_is_copied() -> None:
    program = lowered("t (float[4, 2] x) => (float[2, 4] y) { y = Transpose <perm = [1, 0]> (x) }")
    assert kernels(program) == ["Copy"]


def test_lowering_leaves_the_graph_as_it_is() -> None:
    graph = graph_of("""t (double[1, 2, 4, 8] q, double[1, 2, 4, 8] k, double[1, 2, 4, 8] v)
                        => (double[1, 2, 4, 8] y) { y = Attention (q, k, v) }""", opset=23)  # fmt: skip
    before = str(graph)
    assert "MatMul" in kernels(lower_graph(graph, TARGET))  # no row takes float64: simpler ops do
    assert str(graph) == before


def test_what_only_python_holds_is_a_host_call() -> None:
    program = lowered('t (string[3] x) => (string[3] y) { y = StringNormalizer <case_change_action = "UPPER"> (x) }')
    assert [s.kind for s in program.steps] == [StepKind.HOST]
    assert program.buffers[program.inputs[0].buffer].segment is Segment.HOST


def test_a_size_that_a_step_finds_becomes_a_symbol_before_it_is_needed() -> None:
    program = lowered("t (float[n, 4] x) => (int64[2, k] y) { y = NonZero (x) }")
    assert kernels(program)[0] == "NonZeroCount"
    assert [name for s in program.steps for _, _, name in s.sets] and kernels(program)[-1] == "NonZeroFill"
    assert program.symbols == ["n"]


def test_every_node_that_nothing_can_run_is_named() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(DType.FLOAT, (2,)))
    for name in ("first", "second"):
        node = graph.add("NoSuchOp", [x], {}, domain="elsewhere", name=name)
        node.output.type = TensorType(DType.FLOAT, (2,))
    with pytest.raises(UnsupportedError, match=r"first.*second"):
        lower_graph(graph, TARGET)


SQUEEZE = "t (float[{}, 4] x, int64[1] a) => (float[4] y) {{ y = Squeeze (x, a) }}"


def test_what_an_op_asks_of_sizes_is_checked_at_load_or_by_the_program() -> None:
    axis = np.array([0])
    assert len(lowered(SQUEEZE.format("n"), a=axis).checks) == 1
    assert not lowered(SQUEEZE.format(1), a=axis).checks
    with pytest.raises((ShapeError, InvalidModelError)):
        lowered(SQUEEZE.format(3), a=axis)


def test_narrow_floats_are_widened_in_the_order_in_which_they_lie() -> None:
    """A family without rows for them, and what follows it: float32 in the same layout, stored as narrow floats."""
    graph = graph_of(
        """t (float16[1, 8, 5, 5] x, float16[8, 1, 1, 1] w) => (float16[1, 8, 5, 5] y)
           { v = Neg (x)  c = Conv <group = 8, kernel_shape = [1, 1]> (v, w)  y = Relu (c) }""",
        w=np.ones((8, 1, 1, 1), np.float16),
    )
    run_pipeline(graph, TARGET)
    program = lower_graph(graph, TARGET)
    conv = next(s for s in program.steps if s.row is not None and s.row.family == "Conv")
    read, written = conv.inputs[0], conv.outputs[0]
    assert conv.tile is not None and read is not None and written is not None
    assert (read.dtype, written.dtype) == (DType.FLOAT, DType.FLOAT16)
    assert kernels(program) == ["Tile", "Tile", "Conv"]
