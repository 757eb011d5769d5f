"""onnxruntime's quantised and attention ops, against onnxruntime; the first input is fed, the others are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import arenaut
from arenaut.frontend import import_model
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from tests.support.importing import Array, compare, model_of, random, run_graph, run_ort, tensor_info

U8, I8, I32, I64, F32 = np.uint8, np.int8, np.int32, np.int64, np.float32
RNG = np.random.default_rng(11)


def scale(value: float) -> Array:
    return np.array(value, F32)


def zero(value: int, dtype: Any = U8) -> Array:
    return np.array(value, dtype)


def bytes_of(*shape: int, dtype: Any = U8) -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max + 1, shape).astype(dtype)


A, B, IMAGE = bytes_of(2, 3, 4), bytes_of(3, 4), bytes_of(1, 3, 6, 6)
A_SCALE, B_SCALE, Y_SCALE = scale(0.05), scale(0.02), scale(0.1)
COLUMNS = random(5) ** 2 + F32(0.01)
MATRIX, W8, WU8 = random(3, 4), bytes_of(4, 5, dtype=I8), bytes_of(4, 5)
N_BITS = {"K": 40, "N": 3, "bits": 4, "block_size": 16}
HIDDEN, SEQ = random(2, 3, 8), random(2, 5, 8, seed=4)
QKV = random(8, 24, seed=1)
QKV_BIAS, MASK = random(24, seed=2), np.array([[1, 1, 0], [1, 1, 1]], I32)
PAST = random(2, 2, 2, 3, 4, seed=3)

# Op, inputs, attributes, outputs, and how far float results may be off.
Case = tuple[str, Sequence[Array | None], Mapping[str, Any], int]
CASES: Sequence[Case] = (
    ("QuantizeLinear", [MATRIX, A_SCALE, zero(7)], {}, 1),
    ("DequantizeLinear", [B, A_SCALE, zero(7)], {}, 1),
    ("QLinearAdd", [A, A_SCALE, zero(3), B, B_SCALE, zero(200), Y_SCALE, zero(100)], {}, 1),
    ("QLinearMul", [A, A_SCALE, zero(3), B, B_SCALE, zero(200), Y_SCALE, zero(100)], {}, 1),
    ("QLinearSigmoid", [A, A_SCALE, zero(120), scale(1 / 256), zero(0)], {}, 1),
    ("QLinearLeakyRelu", [A, A_SCALE, zero(120), B_SCALE, zero(30)], {"alpha": 0.1}, 1),
    ("QLinearAveragePool", [IMAGE, A_SCALE, zero(3), A_SCALE, zero(9)],
     {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, 1),
    *(("QLinearAveragePool", [IMAGE, scale(1 / 64), zero(z), scale(1 / 64), zero(z)],  # a quarter of them ties
       {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": n, "pads": p}, 1)
      for z in (100, 133) for n in (0, 1) for p in ([0, 0, 0, 0], [1, 0, 0, 0])),
    ("QLinearGlobalAveragePool", [IMAGE, A_SCALE, zero(3), A_SCALE, zero(9)], {}, 1),
    ("QLinearGlobalAveragePool", [IMAGE, A_SCALE, zero(3), A_SCALE, zero(9)], {"channels_last": 1}, 1),
    ("QLinearConcat", [Y_SCALE, zero(10), A, A_SCALE, zero(3), A, B_SCALE, zero(5)], {"axis": 1}, 1),
    ("QLinearWhere", [RNG.random((3, 4)) < 0.5, B, A_SCALE, zero(3), B, B_SCALE, zero(5), Y_SCALE, zero(1)], {}, 1),
    ("QGemm", [B, A_SCALE, zero(9), W8, B_SCALE, zero(0, I8), bytes_of(5).astype(I32), Y_SCALE, zero(90)], {}, 1),
    ("QGemm", [B, A_SCALE, zero(9), W8.T.copy(), B_SCALE, zero(0, I8)], {"transB": 1, "alpha": 0.5}, 1),
    ("MatMulIntegerToFloat", [B, W8, A_SCALE, COLUMNS, zero(9), None, random(5)], {}, 1),
    ("MatMulIntegerToFloat", [A, WU8, A_SCALE, B_SCALE, zero(9), zero(3)], {}, 1),
    ("DynamicQuantizeMatMul", [MATRIX, W8, COLUMNS, None, random(5)], {}, 1),
    ("DynamicQuantizeMatMul", [MATRIX, WU8, B_SCALE, zero(3)], {}, 1),
    ("MatMulNBits", [random(2, 40), bytes_of(3, 3, 8), random(9) ** 2], N_BITS, 1),
    ("MatMulNBits", [random(2, 40), bytes_of(3, 3, 8), random(9) ** 2, bytes_of(6)], N_BITS, 1),
    ("MatMulNBits", [random(2, 3, 32), bytes_of(3, 1, 32), random(3), bytes_of(3)],
     {"K": 32, "N": 3, "bits": 8, "block_size": 32}, 1),
    ("Attention", [HIDDEN, QKV, QKV_BIAS], {"num_heads": 2}, 1),
    ("Attention", [HIDDEN, QKV, QKV_BIAS, MASK], {"num_heads": 2}, 1),
    ("Attention", [HIDDEN, QKV, QKV_BIAS, np.array([2, 3], I32)], {"num_heads": 2}, 1),
    ("Attention", [HIDDEN, QKV, QKV_BIAS], {"num_heads": 4, "unidirectional": 1, "scale": 0.3}, 1),
    ("Attention", [HIDDEN, QKV, QKV_BIAS, None, PAST], {"num_heads": 2, "unidirectional": 1}, 2),
    ("Attention", [HIDDEN, QKV, QKV_BIAS, None, None, random(2, 2, 3, 3)], {"num_heads": 2}, 1),
    ("Attention", [HIDDEN, random(8, 20), random(20)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}, 1),
    # Weights of 7 bits: onnxruntime's product of 8 bits saturates on processors without VNNI.
    ("QAttention", [bytes_of(2, 3, 8), bytes_of(8, 24, dtype=I8) // 4, QKV_BIAS, scale(0.01), scale(0.005), MASK,
                    zero(128), zero(0, I8)], {"num_heads": 2}, 1),
    ("MultiHeadAttention", [HIDDEN, SEQ, random(2, 5, 8, seed=5)], {"num_heads": 2}, 1),
    ("MultiHeadAttention", [HIDDEN, SEQ, random(2, 5, 8, seed=5), random(24), np.array([[1, 1, 0, 1, 1]] * 2, I32),
                            random(2, 2, 3, 5)], {"num_heads": 2, "scale": 0.2}, 1),
    ("RotaryEmbedding", [random(2, 2, 3, 8), np.array([[0, 1, 2], [4, 1, 0]]), random(6, 4), random(6, 4, seed=1)],
     {}, 1),
    ("RotaryEmbedding", [HIDDEN, np.array([2]), random(6, 2), random(6, 2, seed=1)], {"interleaved": 1}, 1),
    ("EmbedLayerNormalization", [np.array([[1, 4, 0]], I32), np.array([[0, 1, 1]], I32), random(5, 8), random(4, 8),
                                 random(2, 8), random(8), random(8, seed=2), np.array([[1, 1, 0]], I32)], {}, 2),
    ("EmbedLayerNormalization", [np.array([[1, 4, 0]], I32), None, random(5, 8), random(4, 8), None, random(8),
                                 random(8, seed=2)], {"epsilon": 1e-5}, 2),
)  # fmt: skip


def model_with(op: str, inputs: Sequence[Array | None], attributes: Mapping[str, Any], outputs: int) -> onnx.ModelProto:
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], domain="com.microsoft", **attributes)
    first = inputs[0]
    assert first is not None
    info = tensor_info("x0", first.shape, helper.np_dtype_to_tensor_dtype(first.dtype))
    stored = {n: x for n, x in zip(names[1:], inputs[1:], strict=True) if x is not None}
    ends = [onnx.ValueInfoProto(name=f"y{i}") for i in range(outputs)]
    return model_of([node], [info], ends, stored, opset=20, ir_version=9, domains={"com.microsoft": 1})


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "outputs"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_as_onnxruntime(op: str, inputs: Any, attributes: Any, outputs: int) -> None:
    model, feeds = model_with(op, inputs, attributes, outputs), {"x0": inputs[0]}
    want = run_ort(model, feeds)
    graph = import_model(model).graph
    assert {n.domain for n in graph.nodes} <= {"", "arenaut"}
    if np.asarray(want[0]).dtype.kind in "iu":  # onnxruntime averages whole numbers, and rounds a tie otherwise then
        (have,) = run_graph(graph, feeds)
        away = np.abs(have.astype(int) - want[0])
        assert away.max() <= 1 and away.sum() <= away.size / 20
        want = [have]
    compare(run_graph(graph, feeds), want, 3e-5)
    compare(list(arenaut.load_onnx(model, threads=1).run(feeds).values()), want, 3e-5)


def lstm(per_column: bool) -> tuple[onnx.ModelProto, onnx.ModelProto, Array]:
    """A quantised LSTM, and the same one with the weights that its numbers stand for."""
    directions, size, hidden = 2, 6, 4
    w, r = bytes_of(directions, size, 4 * hidden, dtype=I8), bytes_of(directions, hidden, 4 * hidden, dtype=I8)
    shape = (directions, 4 * hidden) if per_column else (directions,)
    scales = [(random(*shape, seed=i) ** 2 * 0.003 + 0.002).astype(F32) for i in (1, 2)]
    zeros = [np.zeros(shape, I8)] * 2
    bias, settings = random(directions, 8 * hidden) * F32(0.2), {"hidden_size": hidden, "direction": "bidirectional"}
    x = random(5, 2, size, seed=9)
    inputs = [x, w, r, bias, None, None, None, None, scales[0], zeros[0], scales[1], zeros[1]]
    quantised = model_with("DynamicQuantizeLSTM", inputs, settings, 3)
    columns = [s.reshape(directions, 1, -1) for s in scales]
    real = [np.ascontiguousarray((q * s).transpose(0, 2, 1)).astype(F32) for q, s in zip((w, r), columns, strict=True)]
    plain = model_with("LSTM", [x, *real, bias], settings, 3)
    plain.graph.node[0].domain = ""
    return quantised, plain, x


@pytest.mark.parametrize("per_column", [False, True])
def test_quantised_lstm(per_column: bool) -> None:
    """x as a whole and every hidden state are rounded to 8 bits, as onnxruntime does on one thread: on several it
    splits the batch, and rounds each part by its own range."""
    quantised, _, x = lstm(per_column)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(quantised.SerializeToString(), options, providers=["CPUExecutionProvider"])
    want = list(session.run(None, {"x0": x}))
    compare(run_graph(import_model(quantised).graph, {"x0": x}), want, 1e-6)
    compare(list(arenaut.load_onnx(quantised, threads=1).run({"x0": x}).values()), want, 1e-6)


def test_quantised_lstm_with_other_activations_has_the_weights_alone() -> None:
    quantised, plain, x = lstm(True)
    for model in (quantised, plain):
        model.graph.node[0].attribute.append(helper.make_attribute("clip", 0.5))
    compare(run_graph(import_model(quantised).graph, {"x0": x}), run_ort(plain, {"x0": x}), 1e-5)


def test_layer_normalization_before_the_standard_had_it() -> None:
    node = helper.make_node("LayerNormalization", ["x0", "s", "b"], ["y"], axis=-1, epsilon=1e-3)
    stored = {"s": random(8), "b": random(8, seed=1)}
    model = model_of([node], [tensor_info("x0", HIDDEN.shape)], ["y"], stored, opset=12, ir_version=7)
    compare(run_graph(import_model(model).graph, {"x0": HIDDEN}), run_ort(model, {"x0": HIDDEN}), 1e-5)


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="group indices"):
        import_model(model_with("MatMulNBits", [random(2, 40), bytes_of(3, 3, 8), random(9), None, np.zeros(40, I32)],
                                N_BITS, 1))  # fmt: skip
    with pytest.raises(InvalidModelError, match="blocks"):
        import_model(model_with("MatMulNBits", [random(2, 40), bytes_of(3, 2, 8), random(9)], N_BITS, 1))
    with pytest.raises(InvalidModelError, match="num_heads"):
        import_model(model_with("Attention", [HIDDEN, QKV, QKV_BIAS], {"num_heads": 0}, 1))
    with pytest.raises(UnsupportedError, match="a mask of"):
        import_model(model_with("Attention", [HIDDEN, QKV, QKV_BIAS, np.zeros(8, I32)], {"num_heads": 2}, 1))
    with pytest.raises(UnsupportedError, match="packed"):
        import_model(model_with("MultiHeadAttention", [random(2, 3, 2, 3, 4)], {"num_heads": 2}, 1))


def test_integer_products_of_unknown_rank() -> None:
    model = model_with("MatMulIntegerToFloat", [A, WU8, A_SCALE, B_SCALE, zero(9), zero(3)], {}, 1)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    for a in (A, B):
        feeds = {model.graph.input[0].name: a}
        (want,) = run_ort(model, feeds)
        (got,) = arenaut.load_onnx(model).run(feeds).values()
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_blocks_stay_packed_when_their_product_is_fused() -> None:
    """The bias is added on the hot tile by the row that reads packed blocks: nothing is unpacked in the arena."""
    inputs = [random(2, 40), bytes_of(3, 3, 8), random(9) ** 2, None, None, random(3)]
    model = arenaut.load_onnx(model_with("MatMulNBits", inputs, N_BITS, 1), threads=1)
    assert {step.kernel for step in model.profile({"x0": inputs[0]}, repeat=1).steps} == {"block_matmul"}


def unoptimised(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(feeds))[0])


@pytest.mark.parametrize("op", ["Add", "Mul"])
@pytest.mark.parametrize("dtype", [U8, I8])
def test_bytes_that_elementwise_arithmetic_gives(op: str, dtype: Any) -> None:
    """Around a standard op those of onnxruntime, ties too; those of its own kernels, which round ties otherwise and
    multiply by ratios, but for one in a thousand at scales that are no simple ratios."""
    rng, least = np.random.default_rng(5), np.iinfo(dtype).min
    a, b = bytes_of(20000, dtype=dtype), bytes_of(20000, dtype=dtype)
    for scales in (*rng.uniform(0.001, 0.1, (4, 3)), (0.5, 0.25, 1.0), (0.02, 0.03, 0.04)):
        told = [each for s in scales for each in (scale(s), zero(int(rng.integers(256)) + least, dtype))]
        own = model_with(f"QLinear{op}", [a, *told[:2], b, *told[2:]], {}, 1)
        nodes = [helper.make_node("DequantizeLinear", ["x0", "x1", "x2"], ["a"]),
                 helper.make_node("DequantizeLinear", ["x3", "x4", "x5"], ["b"]),
                 helper.make_node(op, ["a", "b"], ["c"]),
                 helper.make_node("QuantizeLinear", ["c", "x6", "x7"], ["y0"])]  # fmt: skip
        standard = onnx.ModelProto()
        standard.CopyFrom(own)
        del standard.graph.node[:]
        standard.graph.node.extend(nodes)
        got = arenaut.load_onnx(standard).run({"x0": a})["y0"]
        np.testing.assert_array_equal(got, unoptimised(standard, {"x0": a}))
        np.testing.assert_array_equal(got, arenaut.load_onnx(own).run({"x0": a})["y0"])
        away = np.abs(got.astype(int) - unoptimised(own, {"x0": a}).astype(int))
        assert away.max() <= 1
        if scales[0] not in (0.5, 0.02):
            assert np.mean(away != 0) <= 1e-3
