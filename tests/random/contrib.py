"""Templates of the ops of onnxruntime that arenaut reads."""

from __future__ import annotations

from tests.random.draw import Draw, between, given, plain, template

MS = "com.microsoft"


@template("Gelu", "QuickGelu", domain=MS)
def gelu(d: Draw) -> None:
    if d.op == "QuickGelu":
        d.attr("alpha", d.choice([None, 1.0, 1.702]))
    d.input("X", d.shape(d.rank()))


@template("BiasGelu", "FastGelu", domain=MS)
def bias_gelu(d: Draw) -> None:
    width = d.size(1)
    d.input("X", (*d.shape(d.fixed(0, 2)), width))
    if d.op == "BiasGelu" or d.chance():
        d.input("bias", (width,), constant=0.6)


@template("FusedMatMul", domain=MS)
def fused_matmul(d: Draw) -> None:
    m, k, n = d.size(1), d.size(1), d.size(1)
    batch = d.shape(d.choice([0, 1, 2]), 1)
    turned = [d.choice([None, 0, 1]) for _ in range(2)]
    d.attr("transA", turned[0])
    d.attr("transB", turned[1])
    d.attr("alpha", d.choice([None, 0.5, 1.0]))
    d.input("A", (*batch, k, m) if turned[0] else (*batch, m, k))
    d.input("B", (*batch, n, k) if turned[1] else (*batch, k, n), constant=0.4)


@template("FusedGemm", domain=MS)
def fused_gemm(d: Draw) -> None:
    m, k, n = d.size(1), d.size(1), d.size(1)
    turned = [d.choice([0, 1]) for _ in range(2)]
    d.attr("transA", turned[0])
    d.attr("transB", turned[1])
    d.attr("alpha", d.choice([None, 0.5]))
    d.attr("beta", d.choice([None, 2.0]))
    d.attr("activation", d.choice(["Relu", "Sigmoid", "Tanh", "LeakyRelu"]))
    if d.attributes["activation"] == "LeakyRelu":
        d.attr("activation_alpha", 0.1)
    d.input("A", (k, m) if turned[0] else (m, k))
    d.input("B", (n, k) if turned[1] else (k, n), constant=0.6)
    if d.chance(0.7):
        d.input("C", d.choice([(n,), (m, n)]), constant=0.6)


@template("FusedConv", domain=MS)
def fused_conv(d: Draw) -> None:
    kernel, channels, filters = d.choice([1, 3]), d.choice([1, 3, 8, 16]), d.choice([1, 3, 8, 16])
    d.attr("kernel_shape", [kernel] * 2)
    d.attr("pads", [d.fixed(0, kernel // 2)] * 4)
    d.attr("strides", [d.fixed(1, 2)] * 2)
    d.attr("activation", d.choice([None, "Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip"]))
    if d.attributes.get("activation") == "LeakyRelu":
        d.attr("activation_params", [0.1])
    if d.attributes.get("activation") == "Clip":
        d.attr("activation_params", [0.0, 6.0])
    d.input("X", (d.size(1, 3), channels, d.size(3, 20), d.size(3, 20)))
    d.input("W", (filters, channels, kernel, kernel), constant=0.7)
    if d.chance():
        d.input("B", (filters,), constant=0.7)


@template("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MS)
def skip_norm(d: Draw) -> None:
    shape = (d.size(1, 4), d.size(1, 20), d.size(2, 130))
    d.attr("epsilon", d.choice([1e-5, 1e-3]))
    d.input("input", shape)
    d.input("skip", shape)
    d.input("gamma", shape[-1:], constant=0.6)
    if d.op == "SkipLayerNormalization" and d.chance():
        d.input("beta", shape[-1:], constant=0.6)
        if d.chance():
            d.input("bias", shape[-1:], constant=0.6)


# -- quantised -----------------------------------------------------------------------------------------------------


def _scale_and_zero(d: Draw, scale: float, kind: str) -> None:
    d.input("scale", (), given(scale), dtype="float", constant=0.9)
    d.input("zero_point", (), between(0, 9), dtype=kind, constant=0.9)


@template("QuantizeLinear", domain=MS)
def quantise(d: Draw) -> None:
    d.input("x", d.shape(d.rank(1, 3), 1), plain)
    _scale_and_zero(d, d.choice([0.125, 0.1]), d.choice(["uint8", "int8"]))


@template("DequantizeLinear", domain=MS)
def dequantise(d: Draw) -> None:
    kind = d.choice(["uint8", "int8"])
    d.input("x", d.shape(d.rank(1, 3), 1), plain, dtype=kind)
    _scale_and_zero(d, d.choice([0.125, 0.1]), kind)


@template("QLinearAdd", "QLinearMul", domain=MS)
def qlinear_binary(d: Draw) -> None:
    kind, shape = d.choice(["uint8", "int8"]), d.shape(d.rank(1, 4), 1)
    d.input("A", shape, plain, dtype=kind)
    _scale_and_zero(d, d.choice([0.125, 0.1]), kind)
    d.input("B", shape if d.chance(0.6) else shape[-1:], plain, dtype=kind, constant=0.4)
    _scale_and_zero(d, d.choice([0.125, 0.1]), kind)
    _scale_and_zero(d, d.choice([0.25, 0.2]), kind)


@template("QLinearSigmoid", "QLinearLeakyRelu", domain=MS)
def qlinear_unary(d: Draw) -> None:
    kind = d.choice(["uint8", "int8"])
    if d.op == "QLinearLeakyRelu":
        d.attr("alpha", d.choice([None, 0.1]))
    d.input("X", d.shape(d.rank(1, 4), 1), plain, dtype=kind)
    _scale_and_zero(d, d.choice([0.125, 0.1]), kind)
    _scale_and_zero(d, d.choice([0.0625, 0.1]), kind)


@template("QLinearGlobalAveragePool", domain=MS)
def qlinear_global_pool(d: Draw) -> None:
    kind = d.choice(["uint8", "int8"])
    d.attr("channels_last", d.choice([0, 0, 1]))
    d.input("X", (d.size(1, 3), d.size(1, 9), d.size(1, 9), d.size(1, 9)), plain, dtype=kind)
    _scale_and_zero(d, 0.125, kind)
    _scale_and_zero(d, d.choice([0.125, 0.1]), kind)


@template("QLinearConcat", domain=MS)
def qlinear_concat(d: Draw) -> None:
    kind, shape = d.choice(["uint8", "int8"]), list(d.shape(d.rank(1, 3), 1))
    axis = d.fixed(0, len(shape) - 1)
    d.attr("axis", axis)
    _scale_and_zero(d, 0.25, kind)
    for _ in range(d.fixed(1, 3)):
        shape[axis] = d.size(1, 20)
        d.input("X", shape, plain, dtype=kind)
        _scale_and_zero(d, d.choice([0.125, 0.1]), kind)


@template("MatMulIntegerToFloat", domain=MS)
def matmul_integer_to_float(d: Draw) -> None:
    m, k, n = d.size(1, 64), d.size(1, 64), d.size(1, 64)
    d.input("A", (m, k), plain, dtype="uint8")
    d.input("B", (k, n), plain, dtype=d.choice(["uint8", "int8"]), constant=0.7)
    d.input("a_scale", (), given(0.1), constant=0.5)
    d.input("b_scale", (n,) if d.chance() else (), given(0.05) if False else between(0.05, 0.1), constant=0.7)
    if d.chance():
        d.input("a_zero_point", (), between(0, 9), dtype="uint8")


@template("DynamicQuantizeMatMul", domain=MS)
def dynamic_quantise_matmul(d: Draw) -> None:
    m, k, n = d.size(1, 64), d.size(1, 64), d.size(1, 64)
    d.input("A", (m, k), plain)
    d.input("B", (k, n), plain, dtype=d.choice(["uint8", "int8"]), constant=1.0)
    d.input("b_scale", (n,) if d.chance() else (), between(0.05, 0.1), constant=1.0)


@template("MatMulNBits", domain=MS)
def matmul_n_bits(d: Draw) -> None:
    block, blocks, n = d.choice([16, 32]), d.fixed(1, 3), d.choice([1, 8, 17, 32])
    k = block * blocks
    for name, value in (("K", k), ("N", n), ("bits", 4), ("block_size", block)):
        d.attr(name, value)
    d.input("A", (*d.shape(d.fixed(0, 1), 1), d.size(1, 20), k), plain)
    d.input("B", (n, blocks, block // 2), between(0, 255), dtype="uint8", constant=1.0)
    d.input("scales", (n, blocks) if d.chance() else (n * blocks,), between(0.05, 0.1), constant=1.0)
    if d.chance():
        d.input("zero_points", (n, (blocks + 1) // 2), between(0, 255), dtype="uint8", constant=1.0)


# -- stored codes, choices, experts --------------------------------------------------------------------------------


@template("GatherBlockQuantized", domain=MS)
def gather_blocks(d: Draw) -> None:
    bits, rows, blocks = d.choice([2, 4, 8]), d.size(1, 33), d.fixed(1, 3)
    d.attr("bits", bits)
    d.attr("block_size", d.choice([16, 32]))
    block = d.attributes["block_size"]
    d.input("data", (rows, blocks * block * bits // 8), between(0, 255), dtype="uint8", constant=0.7)
    d.input("indices", d.shape(d.rank(0, 2), 1), between(0, 0), dtype=d.choice(["int32", "int64"]))
    d.input("scales", (rows, blocks), between(0.05, 0.1), constant=0.7)
    if d.chance():
        d.input("zero_points", (rows, -(-blocks * bits // 8)), between(0, 255), dtype="uint8", constant=0.7)


@template("MatMulBnb4", domain=MS)
def matmul_bnb4(d: Draw) -> None:
    block, depth, columns = d.choice([16, 32, 64]), d.choice([16, 20, 33, 64]), d.choice([1, 2, 5, 16])
    for name, value in (("K", depth), ("N", columns), ("block_size", block), ("quant_type", d.fixed(0, 1))):
        d.attr(name, value)
    count = depth * columns
    d.input("A", (d.size(1, 20), depth))
    d.input("B", ((count + 1) // 2,), between(0, 255), dtype="uint8", constant=1.0)
    d.input("absmax", (-(-count // block),), between(0.5, 2), constant=0.7)


@template("CropAndResize", domain=MS)
def crop_and_resize(d: Draw) -> None:
    boxes = d.size(1, 5)
    d.attr("mode", d.choice([None, "bilinear", "nearest"]))
    d.attr("extrapolation_value", d.choice([None, 0.5]))
    d.input("X", (d.size(1, 3), d.size(1, 4), d.size(1, 13), d.size(1, 13)))
    d.input("rois", (boxes, 4), between(-0.2, 1.2))
    d.input("batch_indices", (boxes,), between(0, 0), dtype="int32")
    d.shaping("crop_size", [d.fixed(1, 5), d.fixed(1, 5)], dtype="int32")


@template("MaxpoolWithMask", domain=MS)
def masked_pool(d: Draw) -> None:
    spatial = d.fixed(1, 2)
    kernel = [d.fixed(1, 3) for _ in range(spatial)]
    d.attr("kernel_shape", kernel)
    d.attr("strides", [d.fixed(1, 2) for _ in range(spatial)])
    d.attr("pads", [d.fixed(0, k - 1) for k in kernel * 2])
    dims = [d.size(3, 17) for _ in range(spatial)]
    d.input("X", (d.size(1, 3), d.size(1, 4), *dims))
    d.input("M", (1, 1, *dims), between(0, 1), dtype="int32")


@template("NGramRepeatBlock", domain=MS)
def ngram_repeat_block(d: Draw) -> None:
    batch = d.size(1, 4)
    d.attr("ngram_size", d.fixed(1, 4))
    d.input("input_ids", (batch, d.size(1, 33)), between(0, 3), dtype="int64")
    d.input("scores", (batch, d.size(4, 20)))


@template("MoE", domain=MS)
def mixture(d: Draw) -> None:
    experts, width, inner, rows = d.fixed(2, 5), d.choice([4, 8, 17]), d.choice([3, 8]), d.size(1, 17)
    kind = d.choice(["relu", "gelu", "silu", "identity", "swiglu"])
    d.attr("k", d.fixed(1, 2))
    d.attr("activation_type", kind)
    d.attr("normalize_routing_weights", d.choice([None, 0, 1]))
    wide = inner
    if kind == "swiglu":
        wide = 2 * inner
        d.attr("swiglu_fusion", 1)
        d.attr("swiglu_limit", d.choice([None, 1.5]))
        d.attr("activation_beta", d.choice([None, 1.0]))
    d.input("input", (rows, width))
    d.input("router_probs", (rows, experts), between(-3, 3))
    d.input("fc1", (experts, wide, width), constant=0.7)
    if d.chance():
        d.input("bias", (experts, wide), constant=0.7)
    else:
        d.absent()
    d.input("fc2", (experts, width, inner), constant=0.7)


@template("DecoderMaskedMultiHeadAttention", domain=MS)
def decode_token(d: Draw) -> None:
    batch, heads, size, room = d.size(1, 3), d.fixed(1, 3), d.choice([2, 4, 8]), d.fixed(2, 9)
    d.attr("num_heads", heads)
    d.attr("scale", d.choice([None, 0.3]))
    for name in ("query", "key", "value"):
        d.input(name, (batch, 1, heads * size))
    if d.chance(0.7):
        d.attr("past_present_share_buffer", 1)
        d.absent()
        d.absent()
        d.input("past_key", (batch, heads, room, size))
        d.input("past_value", (batch, heads, room, size))
        d.input("past_sequence_length", (1,), between(0, room - 1), dtype="int32")
        d.output_count = 3
