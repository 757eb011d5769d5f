"""onnxruntime's ops of stored codes, experts, choices and single tokens, against onnxruntime; ranks known and not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import arenaut
from arenaut.errors import InvalidModelError, UnsupportedError
from tests.support.importing import run_ort, tensor_info

MS = "com.microsoft"
RNG = np.random.default_rng(13)
Case = tuple[str, Sequence[Any], Mapping[str, Any], Sequence[int]]  # op, inputs, attributes, which are initialisers


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def uniform(low: float, high: float, *shape: int) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(np.float32)


def coded(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def model_with(case: Case, outputs: int, *, unknown: bool, domain: str = MS, opset: int = 17) -> onnx.ModelProto:
    op, inputs, attributes, constant = case
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    made = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, made, domain=domain, **attributes)
    infos = [
        tensor_info(f"x{i}", None if unknown else x.shape, helper.np_dtype_to_tensor_dtype(x.dtype))
        for i, x in enumerate(inputs)
        if x is not None and i not in constant
    ]
    stored = [numpy_helper.from_array(inputs[i], f"x{i}") for i in constant]
    graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=n) for n in made], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)],
                             ir_version=10)  # fmt: skip


def check(case: Case, outputs: int = 1, tolerance: float = 1e-5, **given: Any) -> None:
    op, inputs, _, constant = case
    feeds = {f"x{i}": x for i, x in enumerate(inputs) if x is not None and i not in constant}
    wanted = run_ort(model_with(case, outputs, unknown=False, **given), feeds)
    for unknown in (False, True):
        results = arenaut.load_onnx(model_with(case, outputs, unknown=unknown, **given)).run(feeds)
        for got, want in zip(results.values(), wanted, strict=True):
            assert got.dtype == want.dtype and got.shape == want.shape, (op, got.shape, want.shape)
            room = tolerance * max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=0)))
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=room)


# -- codes -------------------------------------------------------------------------------------------------------------


def gathers() -> Iterator[Case]:
    places = np.array([[1, 3], [5, -1]], np.int64)
    for bits in (8, 4, 2):
        given = [coded(6, 8 * bits), places, uniform(0.1, 1, 6, 4)]
        for inputs in (given, [*given, coded(6, max(1, bits // 2))]):
            stored = [i for i in range(len(inputs)) if i != 1]
            for constant in ([], stored):
                yield "GatherBlockQuantized", inputs, {"block_size": 16, "bits": bits}, constant
    short = [coded(6, 20), places.astype(np.int32), uniform(0.1, 1, 6, 2)]
    yield "GatherBlockQuantized", short, {"block_size": 16, "bits": 8, "quantize_axis": -1}, [0, 2]


def four_bit_products() -> Iterator[Case]:
    for kind in (0, 1):
        for depth, columns, block in ((16, 2, 16), (20, 5, 16), (64, 3, 32)):
            count = depth * columns
            inputs = [normal(3, depth), coded((count + 1) // 2), uniform(0.5, 2, -(-count // block))]
            attributes = {"K": depth, "N": columns, "block_size": block, "quant_type": kind}
            yield "MatMulBnb4", inputs, attributes, [1]
            yield "MatMulBnb4", inputs, attributes, [1, 2]
    for kind in (0, 1):
        for depth, columns in ((32, 2), (40, 3), (96, 5)):
            blocks = [
                uniform(0.01, 0.1, 1).tobytes() + RNG.integers(0, 16, kind).astype(np.uint8).tobytes()
                + coded(16).tobytes() for _ in range(columns * -(-depth // 32))
            ]  # fmt: skip
            packed = np.frombuffer(b"".join(blocks), np.uint8)
            yield "MatMulFpQ4", [normal(4, depth), packed, np.array([depth, columns])], {"blk_quant_type": kind}, [1, 2]


@pytest.mark.parametrize("case", [*gathers(), *four_bit_products()], ids=lambda case: case[0])
def test_codes(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(("gathered", "blocks"), [(0, 1), (1, 0), (0, 0), (1, 1)])
@pytest.mark.parametrize("kind", [onnx.TensorProto.INT4, onnx.TensorProto.UINT4])
def test_gathers_of_four_bit_tensors(kind: int, gathered: int, blocks: int) -> None:
    least = -8 if kind == onnx.TensorProto.INT4 else 0
    numbers = RNG.integers(least, least + 16, (6, 32))
    scales = uniform(0.1, 1, *(-(-n // 16) if axis == blocks else n for axis, n in enumerate(numbers.shape)))
    node = helper.make_node("GatherBlockQuantized", ["q", "i", "s"], ["y"], domain=MS, block_size=16,
                            gather_axis=gathered, quantize_axis=blocks)  # fmt: skip
    stored = [
        helper.make_tensor("q", kind, numbers.shape, numbers.ravel().tolist()), numpy_helper.from_array(scales, "s")
    ]  # fmt: skip
    graph = helper.make_graph([node], "g", [tensor_info("i", [3], onnx.TensorProto.INT64)],
                              [onnx.ValueInfoProto(name="y")], stored)  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)], ir_version=10
    )
    feeds = {"i": np.array([1, 3, -1])}
    (want,) = run_ort(model, feeds)
    np.testing.assert_allclose(arenaut.load_onnx(model).run(feeds)["y"], want, rtol=1e-6)


# -- experts -----------------------------------------------------------------------------------------------------------


def mixtures() -> Iterator[Case]:
    experts, width, inner, rows = 4, 8, 6, 5
    for kind in ("relu", "gelu", "silu", "identity", "swiglu"):
        wide = inner * (2 if kind == "swiglu" else 1)
        inputs = [normal(rows, width), normal(rows, experts), normal(experts, wide, width), normal(experts, wide),
                  normal(experts, width, inner), normal(experts, width)]  # fmt: skip
        settings: list[dict[str, Any]] = [{}]
        if kind == "swiglu":
            limited = {"swiglu_limit": 0.5, "activation_alpha": 1.7, "activation_beta": 1.0}
            settings = [{"swiglu_fusion": 1}, {"swiglu_fusion": 1, **limited}]
        for more in settings:
            for normalised, k in ((0, 1), (1, 3)):
                chosen = {"k": k, "activation_type": kind, "normalize_routing_weights": normalised, **more}
                yield "MoE", inputs, chosen, [2, 3, 4, 5]
        batched = [inputs[0][None], inputs[1], inputs[2], None, inputs[4]]
        yield "MoE", batched, {"k": 2, "activation_type": kind, **settings[0]}, []


def quantised_mixtures() -> Iterator[Case]:
    experts, width, inner, rows = 4, 64, 32, 5

    def layer(outer: int, depth: int, bits: int, block: int, zeros: bool) -> tuple[Any, Any, Any]:
        blocks, in_byte = depth // block if block else 1, 8 // bits
        middle = None
        if zeros:
            middle = coded(experts, outer, -(-blocks // in_byte)) if block else coded(experts, outer // in_byte)
        scales = uniform(0.01, 0.1, *((experts, outer, blocks) if block else (experts, outer)))
        return coded(experts, outer, depth * bits // 8), scales, middle

    for bits, block, zeros in (
        (4, 0, True),
        (4, 16, False),
        (4, 32, True),
        (8, 0, False),
        (8, 32, True),
        (2, 16, True),
    ):
        for kind in ("relu", "swiglu"):
            wide = inner * (2 if kind == "swiglu" else 1)
            first, second = layer(wide, width, bits, block, zeros), layer(width, inner, bits, block, zeros)
            inputs = [
                normal(rows, width), normal(rows, experts), *first[:2], normal(experts, wide), *second[:2],
                normal(experts, width), None, None, None, first[2], second[2], None,
                uniform(0.1, 1, rows, experts) if zeros else None,
            ]  # fmt: skip
            chosen: dict[str, Any] = {"k": 2, "expert_weight_bits": bits, "activation_type": kind}
            chosen |= {"block_size": block} if block else {}
            chosen |= {"swiglu_fusion": 1} if kind == "swiglu" else {}
            yield "QMoE", inputs, {**chosen, "normalize_routing_weights": int(zeros)}, [2, 3, 5, 6]


@pytest.mark.parametrize("case", [*mixtures(), *quantised_mixtures()], ids=lambda case: case[0])
def test_mixtures_of_experts(case: Case) -> None:
    check(case)


# -- choices -----------------------------------------------------------------------------------------------------------


def crops() -> Iterator[Case]:
    image, one = normal(2, 3, 5, 7), np.array([0, 1, 1], np.int32)
    boxes = np.array([[0, 0, 1, 1], [0.2, 0.1, 0.8, 1.2], [0.9, 0.7, 0.1, 0.2]], np.float32)
    for mode in ("bilinear", "nearest"):
        for size in ((3, 4), (1, 1), (4, 1)):
            for constant in ([], [3]):
                inputs = [image, boxes, one, np.array(size, np.int32)]
                yield "CropAndResize", inputs, {"mode": mode, "extrapolation_value": 0.5}, constant


def masked_pools() -> Iterator[Case]:
    for spatial, kernel in (((7,), (3,)), ((5, 6), (2, 3)), ((4, 5, 4), (2, 2, 3))):
        n, image = len(kernel), normal(2, 3, *spatial)
        for kept in (1.0, 0.6):
            mask = (RNG.random((1, 1, *spatial)) < kept).astype(np.int32)
            for stride, pads in ((1, [0] * (2 * n)), (2, [1] * (2 * n)), (1, [0] * n + [1] * n)):
                chosen = {"kernel_shape": kernel, "strides": [stride] * n, "pads": pads}
                yield "MaxpoolWithMask", [image, mask], chosen, []


def words() -> Iterator[Case]:
    tokens = np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]], np.int64)
    for n in (1, 2, 3, 5, 6, 7, 9):
        yield "NGramRepeatBlock", [tokens, normal(2, 6)], {"ngram_size": n}, []
    letters = np.array([[3, 4, 5, 0, 0], [1, 0, 0, 0, 0], [2, 2, 0, 3, 1], [5, 6, 7, 8, 9]], np.int32)
    for window in (1, 2, 3, 5):
        chosen = {"embedding_size": 4, "conv_window_size": window, "char_embedding_size": 3}
        yield "WordConvEmbedding", [letters, normal(4, 1, window, 3), normal(4), normal(10, 3)], chosen, [1, 2, 3]


@pytest.mark.parametrize("case", [*crops(), *masked_pools(), *words()], ids=lambda case: case[0])
def test_choices(case: Case) -> None:
    check(case)


def test_words_without_letters_are_zeros() -> None:
    """onnxruntime leaves their rows as the memory was."""
    given = [np.array([[0, 0, 0], [1, 2, 0]], np.int32), normal(4, 1, 2, 3), normal(4), normal(10, 3)]
    case = ("WordConvEmbedding", given, {"embedding_size": 4, "conv_window_size": 2, "char_embedding_size": 3}, [1, 2])
    got = arenaut.load_onnx(model_with(case, 1, unknown=False)).run({"x0": given[0], "x3": given[3]})["y0"]
    letters = given[3][[1, 2]]
    want = np.tanh((given[1][:, 0] * letters).sum(axis=(1, 2)) + given[2])
    np.testing.assert_allclose(got, np.stack([np.zeros(4), want]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 12])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-11), (np.float16, 1e-2)])
def test_inverses(size: int, dtype: Any, tolerance: float) -> None:
    matrices = RNG.uniform(-1, 1, (2, 3, size, size)) + 2 * size * np.eye(size)
    check(("Inverse", [matrices.astype(dtype)], {}, []), tolerance=tolerance)


def test_inverses_exchange_rows() -> None:
    swapped = np.array([[0, 0, 2], [1, 0, 0], [0, 4, 0]], np.float64)
    got = arenaut.load_onnx(model_with(("Inverse", [swapped], {}, []), 1, unknown=False)).run({"x0": swapped})["y0"]
    np.testing.assert_array_equal(got, np.linalg.inv(swapped))


@pytest.mark.parametrize("case", [
    ("Crop", [normal(1, 2, 6, 7)], {"border": [1, 2, 1, 1]}, []),
    ("Crop", [normal(1, 2, 6, 7)], {"border": [1, 2, 0, 1]}, []),
    ("Crop", [normal(1, 2, 6, 7)], {"border": [1, 2, 1, 1], "scale": [2, 3]}, []),
    ("DynamicSlice", [normal(1, 2, 6, 7), np.array([1, -3]), np.array([100, -1]), np.array([2, 3])], {}, [1]),
    ("DynamicSlice", [normal(1, 2, 6, 7), np.array([0, 1]), np.array([1, 2])], {}, []),
], ids=lambda case: case[0])  # fmt: skip
def test_experiments_of_the_standard(case: Case) -> None:
    check(case, domain="", opset=9)


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("segments", "mask"), [(True, True), (False, False), (True, False)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_embeddings_of_codes(segments: bool, mask: bool, dtype: Any) -> None:
    tables = [coded(n, 8).view(dtype) for n in (6, 5, 2)] + [coded(8).view(dtype) for _ in range(2)]
    scales: list[Any] = [np.array(v, np.float32) for v in (0.01, 0.02, 0.03, 0.01, 0.02)]
    zeros: list[Any] = [np.array(v, dtype) for v in (100, 90, 80, 3, 120)]
    for given in (tables, scales, zeros):
        given[2] = given[2] if segments else None
    ids, kinds = np.array([[1, 2, 3], [4, 0, 1]], np.int32), np.array([[0, 1, 1], [0, 0, 1]], np.int32)
    there = np.array([[1, 1, 0], [1, 1, 1]], np.int32)
    inputs = [ids, kinds if segments else None, *tables, there if mask else None, *scales, *zeros]
    check(("QEmbedLayerNormalization", inputs, {"epsilon": 1e-5}, []), outputs=2)


def decoders() -> Iterator[tuple[Case, int]]:
    batch, heads, size, past = 2, 3, 4, 5
    q, k, v = (normal(batch, 1, heads * size) for _ in range(3))
    keys, values, length = normal(batch, heads, 8, size), normal(batch, heads, 8, size), np.array([past], np.int32)
    mask, whole = np.ones((batch, past + 1), np.int32), np.ones((batch, 8), np.int32)
    mask[0, :2] = whole[1, 3:] = 0
    added, bias = normal(1, heads, 1, past + 1), normal(3 * heads * size)
    shared = {"num_heads": heads, "past_present_share_buffer": 1}
    for inputs, chosen, outputs in (
        ([q, k, v], {"num_heads": heads}, 1),
        ([q, k, v, None, None, keys, values, length], shared, 3),
        ([q, k, v, mask, None, keys, values, length], {**shared, "mask_filter_value": -50.0, "scale": 0.4}, 3),
        ([q, k, v, None, added, keys, values, length], shared, 3),
        ([q, k, v, None, None, keys, values, length, None, None, bias], shared, 3),
        ([q, keys, values], {"num_heads": heads}, 1),
        ([q, keys, values, whole], {"num_heads": heads}, 1),
        ([q, keys, values, *[None] * 7, bias], {"num_heads": heads}, 1),
    ):
        yield ("DecoderMaskedMultiHeadAttention", inputs, chosen, []), outputs


@pytest.mark.parametrize(("case", "outputs"), list(decoders()))
def test_attention_of_one_token(case: Case, outputs: int) -> None:
    check(case, outputs)


# -- refusals ----------------------------------------------------------------------------------------------------------

_IMAGE = normal(1, 2, 4, 4)


@pytest.mark.parametrize(("case", "error", "text"), [
    (("MaxpoolWithMask", [_IMAGE, np.ones((1, 2, 4, 4), np.int32)], {"kernel_shape": [2, 2]}, []), UnsupportedError,
     "more than one channel"),
    (("Inverse", [normal(40, 40)], {}, []), UnsupportedError, "more than 32 rows"),
    (("Inverse", [normal(3, 4)], {}, []), InvalidModelError, "not square"),
    (("CropAndResize", [_IMAGE, normal(1, 4), np.zeros(1, np.int32), np.ones(2, np.int32)], {"mode": "cubic"}, []),
     InvalidModelError, "mode is cubic"),
    (("NGramRepeatBlock", [np.zeros((1, 3), np.int64), normal(1, 4)], {"ngram_size": 0}, []), InvalidModelError,
     "ngram_size is 0"),
    (("MatMulBnb4", [normal(2, 16), coded(16), normal(2)], {"K": 16, "N": 2, "block_size": 16, "quant_type": 1}, []),
     UnsupportedError, "not stored"),
    (("MatMulBnb4", [normal(2, 16), coded(9), normal(2)], {"K": 16, "N": 2, "block_size": 16, "quant_type": 1}, [1]),
     InvalidModelError, "9 bytes"),
    (("MatMulFpQ4", [normal(2, 32), coded(30), np.array([32, 1])], {}, [1, 2]), InvalidModelError, "30 bytes"),
    (("GatherBlockQuantized", [coded(4, 16), np.zeros(2, np.int64), normal(4, 1)], {"block_size": 10}, []),
     InvalidModelError, "block_size is 10"),
    (("MoE", [normal(2, 4), normal(2, 3), normal(3, 4, 4), None, normal(3, 4, 4), None, normal(3, 4, 4)], {}, []),
     UnsupportedError, "third layer"),
    (("ConvTransposeWithDynamicPads", [_IMAGE, normal(2, 2, 3, 3), np.ones(4, np.int64)], {}, []), UnsupportedError,
     "only running knows"),
    (("HyperConnectionPreMix", [normal(2, 7), normal(2, 3)], {"num_branches": 3}, []), InvalidModelError,
     "no 3 branches"),
    (("DecoderMaskedMultiHeadAttention", [normal(1, 1, 4)] * 3 + [None, None, normal(1, 2, 3, 2), normal(1, 2, 3, 2)],
      {"num_heads": 2}, []), UnsupportedError, "buffer of the present"),
], ids=lambda v: v[0] if isinstance(v, tuple) else "")  # fmt: skip
def test_refusals(case: Case, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        arenaut.load_onnx(model_with(case, 1, unknown=False))


# -- gates -------------------------------------------------------------------------------------------------------------


def gates() -> Iterator[Case]:
    yield "GatedAdd", [normal(2, 3, 8), normal(2, 3, 8), normal(2, 3, 1)], {}, []
    for activation in ("silu", "swish", "sigmoid"):
        for count in (12, 4):
            chosen = {"activation": activation, "epsilon": 1e-3}
            yield "GatedRMSNorm", [normal(2, 3, 12), normal(count), normal(2, 3, 12)], chosen, [1]
    for scale in (None, normal(12), normal(3, 4), normal(4)):
        more = [] if scale is None else [scale]
        yield "BranchwiseRMSNorm", [normal(2, 5, 12), *more], {"num_branches": 3}, []
        yield "BranchwiseRMSNorm", [normal(2, 5, 3, 4), *more], {"epsilon": 1e-3}, []
    yield "ScaledSiLU", [normal(3, 4)], {"alpha": 1.5}, []
    yield "ScaledSiLU", [normal(3, 4), np.array(0.5, np.float32)], {}, [1]


def streams() -> Iterator[tuple[Case, int]]:
    side, apart, block = normal(2, 3, 20), normal(2, 3, 4, 5), normal(2, 3, 5)
    for factors in (normal(2, 3, 4), normal(2, 3, 4, 1), normal(2, 3, 4, 5)):
        for given, more in ((side, {"num_branches": 4}), (apart, {})):
            yield ("HyperConnectionPreMix", [given, factors], {**more, "reduction_scale": 0.5}, []), 1
            yield ("HyperConnectionPostMix", [given, block, factors], more, []), 1
            yield ("HyperConnectionPostMix", [given, block, factors, normal(2, 3, 4, 4)], more, []), 1
    yield ("HyperConnectionPreMix", [side, normal(2, 3, 20)], {"num_branches": 4}, []), 1
    yield ("LinearAttentionGate", [normal(2, 3, 4), normal(4), normal(4)], {}, [1, 2]), 1
    yield ("LinearAttentionGate", [normal(2, 3, 4), normal(4), normal(4), normal(2, 3, 4)], {}, []), 2
    image, weight = normal(1, 3, 5, 6), normal(3, 2, 3, 3)
    for pads in ([1, 1, 1, 1], [0, 1, 1, 0]):
        operands = [image, weight, np.array(pads), normal(2)]
        yield ("ConvTransposeWithDynamicPads", operands, {"strides": [2, 2], "kernel_shape": [3, 3]}, [1, 2, 3]), 1


@pytest.mark.parametrize(("case", "outputs"), list(streams()), ids=lambda v: v[0] if isinstance(v, tuple) else "")
def test_streams(case: Case, outputs: int) -> None:
    check(case, outputs)


@pytest.mark.parametrize("case", list(gates()), ids=lambda case: case[0])
def test_gates(case: Case) -> None:
    check(case)
