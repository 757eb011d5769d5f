"""What stands between a rule's call of a row and its steps: packing, copies that strides ask for, wider floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import helper

from arenaut.frontend import import_model
from arenaut.lowering.emit import MAX_RANK, align_rank
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.program import Segment
from arenaut.native.rows import all_rows
from tests.support.importing import model_of, tensor_info
from tests.support.lowering import TARGET, kernels, lowered, step_of


def weight(*dims: int, dtype: Any = np.float32) -> Any:
    return np.ones(dims, dtype)


def _product(kind: str, dtype: Any) -> tuple[str, Mapping[str, Any]]:
    return f"t ({kind}[3, 32] x, {kind}[32, 16] w) => ({kind}[3, 16] y) {{ y = MatMul (x, w) }}", {
        "w": weight(32, 16, dtype=dtype)
    }


PACKED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "matmul_f32": _product("float", np.float32),
    "matmul_f64": _product("double", np.float64),
    "matmul_i32": _product("int32", np.int32),
    "matmul_i64": _product("int64", np.int64),
    "conv_f32": ("t (float[1, 4, 9, 9] x, float[8, 4, 3, 3] w) => (float[1, 8, 7, 7] y) { y = Conv (x, w) }",
                 {"w": weight(8, 4, 3, 3)}),
    "conv_transpose_f32": (
        "t (float[1, 4, 9, 9] x, float[4, 8, 3, 3] w) => (float[1, 8, 11, 11] y) { y = ConvTranspose (x, w) }",
        {"w": weight(4, 8, 3, 3)}),
    "half_matmul": _product("float16", np.float16),
    "half_conv": ("t (float16[1, 4, 9, 9] x, float16[8, 4, 3, 3] w) => (float16[1, 8, 7, 7] y) { y = Conv (x, w) }",
                  {"w": weight(8, 4, 3, 3, dtype=np.float16)}),
    "qmatmul": ("t (uint8[3, 8] x, int8[8, 16] w) => (int32[3, 16] y) { y = MatMulInteger (x, w) }",
                {"w": weight(8, 16, dtype=np.int8)}),
    "qconv": ("t (uint8[1, 4, 9, 9] x, int8[8, 4, 3, 3] w) => (int32[1, 8, 7, 7] y) { y = ConvInteger (x, w) }",
              {"w": weight(8, 4, 3, 3, dtype=np.int8)}),
    "recurrent_f32": ("""t (float[5, 1, 4] x, float[1, 32, 4] w, float[1, 32, 8] r) => (float[5, 1, 1, 8] y)
                         { y = LSTM <hidden_size = 8> (x, w, r) }""",
                      {"w": weight(1, 32, 4), "r": weight(1, 32, 8)}),
}  # fmt: skip
"""By row: a model with a constant that the row packs."""


def test_every_row_that_packs_has_a_model_here_or_a_test_of_its_own() -> None:
    elsewhere = {"block_matmul"}  # packs always, below: the op is com.microsoft's
    assert {row.name for row in all_rows() if row.packs} == set(PACKED) | elsewhere


@pytest.mark.parametrize("name", PACKED)
def test_a_constant_is_packed_and_a_fed_operand_is_not(name: str) -> None:
    body, weights = PACKED[name]
    (step,) = [s for s in lowered(body, **weights).steps if s.row is not None and s.row.name == name]
    assert step.pack == (1,)
    (fed,) = [s for s in lowered(body).steps if s.row is not None and s.row.name == name]
    assert fed.pack == ()
    (raw,) = [
        s for s in lowered(body, without=["packing"], **weights).steps if s.row is not None and s.row.name == name
    ]
    assert raw.pack == ()


def test_weights_in_blocks_are_packed() -> None:
    node = helper.make_node("MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", K=32, N=16, bits=4,
                            block_size=32)  # fmt: skip
    weights = {"b": weight(16, 1, 16, dtype=np.uint8), "s": weight(16)}
    model = model_of([node], [tensor_info("x", [3, 32])], ["y"], weights, domains={"com.microsoft": 1})
    program = lower_graph(import_model(model.SerializeToString()).graph, TARGET)
    assert step_of(program, "BlockMatMul").pack == (1, 2)


def test_a_constant_has_one_buffer_however_often_it_is_read() -> None:
    program = lowered("t (float[4] x, float[4] w) => (float[4] y) { a = Add (x, w)  y = Mul (a, w) }", w=weight(4))
    assert sum(b.segment is Segment.WEIGHT for b in program.buffers) == 1


def test_strides_that_a_row_does_not_take_are_copied_and_others_are_not() -> None:
    turned = "t (float[4, 6] x) => (uint8[6, 4] y, float s, uint8 z) { t = Transpose <perm = [1, 0]> (x) %s }"
    quantised = lowered(turned % "y, s, z = DynamicQuantizeLinear (t)")
    assert kernels(quantised) == ["Copy", "RangeParts", "Copy", "DynamicQuantize"]  # both want dense operands
    soft = lowered("t (float[4, 6] x) => (float[6, 4] y) { t = Transpose <perm = [1, 0]> (x)  y = Softmax (t) }")
    assert kernels(soft) == ["Softmax"]  # any strides


def test_a_view_of_a_constant_is_made_dense_at_load() -> None:
    program = lowered("""t (float[24] x, float[4, 6] w, int64[1] s) => (float[24] y)
                         { t = Transpose <perm = [1, 0]> (w)  r = Reshape (t, s)  y = Add (x, r) }""",
                      w=np.arange(24, dtype=np.float32).reshape(4, 6), s=np.array([24]))  # fmt: skip
    assert kernels(program) == ["Tile"]
    (_, other) = program.steps[0].inputs
    assert other is not None
    made = program.buffers[other.buffer].array
    np.testing.assert_array_equal(made.reshape(-1), np.arange(24).reshape(4, 6).T.reshape(-1))


def test_narrow_floats_are_computed_in_float32_where_no_row_takes_them() -> None:
    body = "t ({0}[4, 6] x) => ({0}[4, 6] y) {{ y = Softmax (x) }}"
    assert kernels(lowered(body.format("float16"))) == ["Tile", "Softmax", "Tile"]
    assert kernels(lowered(body.format("float"))) == ["Softmax"]


def test_a_narrow_weight_is_widened_once_at_load() -> None:
    program = lowered("""t (float16[1, 4, 9] x, float16[4] w, float16[4] b) => (float16[1, 4, 9] y)
                         { y = InstanceNormalization (x, w, b) }""", w=weight(4, dtype=np.float16),
                      b=weight(4, dtype=np.float16))  # fmt: skip
    assert kernels(program) == ["Tile", "InstanceNormalization", "Tile"]  # of the data, before and after
    scale = step_of(program, "InstanceNormalization").inputs[1]
    assert scale is not None
    array = program.buffers[scale.buffer].array
    assert array is not None and array.dtype == np.float32


def test_a_rank_that_no_descriptor_holds_is_left_to_the_host() -> None:
    dims = ", ".join(["1"] * (MAX_RANK + 1))
    assert kernels(lowered(f"t (float[{dims}] x) => (float[{dims}] y) {{ y = Softmax (x) }}")) == ["HOST"]


def test_leading_dims_are_added_as_broadcasting_does() -> None:
    place = lowered("t (float[4] x) => (float[4] y) { y = Exp (x) }").inputs[0]
    assert align_rank(place, 3).dims == (1, 1, 4) and align_rank(place, 1) is place
