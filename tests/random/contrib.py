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
