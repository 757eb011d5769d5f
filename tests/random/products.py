"""Templates of products, normalisation, attention, recurrence, losses and quantisation."""

from __future__ import annotations

import numpy as np

from tests.random.draw import FLOATS, Draw, between, given, plain, template


def small(rng, dims, dtype):  # type: ignore[no-untyped-def]
    """Values whose products and sums stay in range."""
    return plain(rng, dims, dtype) if np.dtype(dtype).kind not in "iu" else between(-3, 3)(rng, dims, dtype)


@template("MatMul", "MatMulInteger")
def matmul(d: Draw) -> None:
    m, k, n = d.size(0), d.size(0), d.size(0)
    batch = d.shape(d.choice([0, 0, 1, 2]), 0)
    a, b = [*batch, m, k], [*batch, k, n]
    kind = d.choice(["both", "a", "b", "vector", "row", "ones"])
    if kind == "a":
        b = [k, n]
    elif kind == "b":
        a = [m, k]
    elif kind == "vector":
        b = [k]
    elif kind == "row":
        a = [k]
    elif kind == "ones":
        a = [*(1 for _ in batch), m, k]
    if d.op == "MatMulInteger" and kind in ("row", "vector"):
        a, b = [m, k], [k, n]
    d.input("A", a, small if d.op == "MatMul" else plain)
    d.input("B", b, small if d.op == "MatMul" else plain, constant=0.5)
    if d.op == "MatMulInteger" and d.chance(0.6):
        d.input("a_zero_point", (), between(0, 9), constant=0.7)
        if d.chance(0.6):
            d.input("b_zero_point", () if d.chance() or len(b) > 2 else (n,), between(0, 9), constant=0.7)


@template("Gemm")
def gemm(d: Draw) -> None:
    m, k, n = d.size(0), d.size(0), d.size(0)
    turned = [d.choice([None, 0, 1]) for _ in range(2)]
    d.attr("transA", turned[0])
    d.attr("transB", turned[1])
    d.attr("alpha", d.choice([None, 1.0, 0.5, 2.0]))
    d.attr("beta", d.choice([None, 1.0, 0.5, 0.0]))
    d.input("A", (k, m) if turned[0] else (m, k), small)
    d.input("B", (n, k) if turned[1] else (k, n), small, constant=0.6)
    if d.opset < 11 or d.chance(0.7):
        d.input("C", d.choice([(n,), (m, n), (1, n), (m, 1), ()]), small, constant=0.6)


@template("QLinearMatMul")
def qlinear_matmul(d: Draw) -> None:
    m, k, n = d.size(1, 64), d.size(1, 64), d.size(1, 64)
    batch = d.shape(d.choice([0, 0, 1]), 1)
    scales = [d.choice([0.125, 0.03, 0.25]) for _ in range(3)]
    d.input("a", (*batch, m, k))
    _scale_and_zero(d, scales[0])
    d.input("b", (*batch, k, n), constant=0.6)
    _scale_and_zero(d, scales[1])
    _scale_and_zero(d, 8 * scales[2])


def _scale_and_zero(d: Draw, scale: float) -> None:
    d.input("scale", (), given(scale), constant=0.8)
    d.input("zero_point", (), between(0, 9), constant=0.8)


@template("Einsum")
def einsum(d: Draw) -> None:
    equation = d.choice([
        "ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "bhij,bhjd->bhid", "i,j->ij", "ij->ji", "ij->i", "ij->",
        "ii->i", "ij,ij->i", "ij,ij->ij", "...ij,...jk->...ik", "bij,jk", "i,i->", "ij,kj->ik", "abc,cd->abd", "ii",
        "ij,jk,kl->il", "bic,bjc->bij", "...i->...", "ab,cd->abcd", "ijk->kji",
    ])  # fmt: skip
    d.attr("equation", equation)
    sizes = {letter: d.size(1, 9) for letter in sorted(set(equation) - set(",->. "))}
    leading = [d.size(1, 4) for _ in range(d.fixed(0, 2))]
    for term in equation.split("->")[0].split(","):
        dims = [*(leading if "..." in term else ()), *(sizes[c] for c in term.replace("...", ""))]
        d.input("Inputs", dims, small)


@template("Det")
def det(d: Draw) -> None:
    n = d.size(1, 5)
    d.input("X", (*d.shape(d.fixed(0, 2), 1), n, n))


# -- normalisation -------------------------------------------------------------------------------------------------


@template("BatchNormalization")
def batch_normalization(d: Draw) -> None:
    c = d.size(1, 20)
    d.attr("epsilon", d.choice([None, 1e-3]))
    d.attr("momentum", d.choice([None, 0.8]))
    d.input("X", (d.size(0, 4), c, *(d.size(1, 9) for _ in range(d.fixed(0, 3)))))
    for name in ("scale", "B", "mean"):
        d.input(name, (c,), constant=0.6)
    d.input("var", (c,), between(0.1, 3), constant=0.6)


@template("InstanceNormalization")
def instance_normalization(d: Draw) -> None:
    c = d.size(1, 20)
    d.attr("epsilon", d.choice([None, 1e-3]))
    d.input("input", (d.size(1, 4), c, *(d.size(2, 20) for _ in range(d.fixed(1, 3)))))
    d.input("scale", (c,), constant=0.6)
    d.input("B", (c,), constant=0.6)


@template("GroupNormalization")
def group_normalization(d: Draw) -> None:
    groups, per = d.fixed(1, 4), d.fixed(1, 4)
    c = groups * per
    d.attr("num_groups", groups)
    d.attr("epsilon", d.choice([None, 1e-3]))
    d.input("X", (d.size(1, 4), c, *(d.size(2, 20) for _ in range(d.fixed(1, 3)))))
    count = c if d.opset >= 21 else groups
    d.input("scale", (count,), constant=0.6)
    d.input("bias", (count,), constant=0.6)


@template("LayerNormalization", "RMSNormalization")
def layer_normalization(d: Draw) -> None:
    rank = d.rank(1, 4)
    axis = d.choice([None, d.axis(rank), -1])
    shape = [d.size(1, 40) for _ in range(rank)]
    shape[-1] = d.size(2, 257)
    kept = shape[-1 if axis is None else axis :]
    d.attr("axis", axis)
    d.attr("epsilon", d.choice([None, 1e-3]))
    d.input("X", shape)
    d.input("scale", kept if d.chance(0.8) else kept[-1:], constant=0.5)
    if d.op == "LayerNormalization":
        if d.chance():
            d.input("B", kept, constant=0.5)
        d.outputs(3)


@template("LRN")
def lrn(d: Draw) -> None:
    d.attr("size", d.choice([1, 3, 5]))
    d.attr("alpha", d.choice([None, 0.1]))
    d.attr("beta", d.choice([None, 0.5]))
    d.attr("bias", d.choice([None, 2.0]))
    d.input("X", (d.size(1, 3), d.size(1, 20), d.size(1, 9), d.size(1, 9)))


@template("MeanVarianceNormalization")
def mean_variance(d: Draw) -> None:
    d.attr("axes", d.choice([None, [0, 2, 3], [1], [-1], [2, 3]]))
    d.input("X", (d.size(2, 4), d.size(2, 5), d.size(2, 9), d.size(2, 9)))


# -- attention -----------------------------------------------------------------------------------------------------


@template("Attention")
def attention(d: Draw) -> None:
    batch, length, total, width = d.size(1, 3), d.size(1, 20), d.size(1, 33), d.choice([1, 4, 8, 16])
    kv_heads, repeat = d.fixed(1, 3), d.choice([1, 1, 2])
    heads, value_width = kv_heads * repeat, d.choice([width, 4])
    past = d.choice([0, 0, 3])
    causal = d.choice([None, 0, 1])
    d.attr("is_causal", causal)
    d.attr("scale", d.choice([None, 0.25, 1.0]))
    d.attr("softcap", d.choice([None, 0.0, 2.0]))
    if d.chance():
        shapes = [
            (batch, length, heads * width),
            (batch, total, kv_heads * width),
            (batch, total, kv_heads * value_width),
        ]
        d.attr("q_num_heads", heads)
        d.attr("kv_num_heads", kv_heads)
    else:
        shapes = [(batch, heads, length, width), (batch, kv_heads, total, width), (batch, kv_heads, total, value_width)]
    for name, dims in zip("QKV", shapes, strict=True):
        d.input(name, dims)
    if d.chance(0.4):
        mask = d.choice([(length, int(total) + past), (batch, 1, length, int(total) + past)])
        d.input("attn_mask", mask, _mask)
    else:
        d.absent()
    if past:
        d.input("past_key", (batch, kv_heads, past, width))
        d.input("past_value", (batch, kv_heads, past, value_width))
        d.output_count = 3
    elif d.chance(0.2):
        d.output_count = 3


def _mask(rng, dims, dtype):  # type: ignore[no-untyped-def]
    """Every row may look at its first key."""
    values = plain(rng, dims, dtype)
    if dtype.kind == "b":
        values[..., 0] = True
    return values


@template("RotaryEmbedding")
def rotary(d: Draw) -> None:
    batch, length, heads, half = d.size(1, 3), d.size(1, 9), d.fixed(1, 3), d.fixed(1, 4)
    most = 40
    d.attr("interleaved", d.choice([None, 0, 1]))
    if d.chance():
        d.attr("num_heads", heads)
        d.input("X", (batch, length, heads * half * 2))
    else:
        d.input("X", (batch, heads, length, half * 2))
    with_positions = d.chance()
    for name in ("cos_cache", "sin_cache"):
        d.input(name, (most, half) if with_positions else (batch, length, half), constant=0.5)
    if with_positions:
        d.input("position_ids", (batch, length), between(0, most - 1))


@template("CausalConvWithState")
def causal_conv(d: Draw) -> None:
    batch, channels, length, kernel = d.size(1, 3), d.size(1, 8), d.size(1, 20), d.fixed(2, 4)
    d.attr("activation", d.choice([None, "none", "silu", "swish"]))
    d.input("input", (batch, channels, length))
    d.input("weight", (channels, 1, kernel), constant=0.6)
    if d.chance():
        d.input("bias", (channels,), constant=0.6)
    else:
        d.absent()
    if d.chance():
        d.input("past_state", (batch, channels, kernel - 1))
    d.output_count = 2


# -- recurrence ----------------------------------------------------------------------------------------------------


@template("RNN", "GRU", "LSTM")
def recurrent(d: Draw) -> None:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[d.op]
    direction = d.choice(["forward", "reverse", "bidirectional"])
    ways = 2 if direction == "bidirectional" else 1
    length, batch, features, hidden = d.size(1, 9), d.size(1, 4), d.fixed(1, 9), d.choice([1, 3, 8, 16])
    layout = d.choice([None, 0, 0, 1]) if d.opset >= 14 else None
    d.attr("direction", direction)
    d.attr("hidden_size", hidden)
    d.attr("layout", layout)
    d.attr("linear_before_reset", d.choice([None, 0, 1]))
    d.attr("clip", d.choice([None, None, 2.0]))
    if d.op == "LSTM" and d.chance(0.1):
        d.attr("input_forget", 1)
    if d.chance(0.2):
        per = {"RNN": ["Relu"], "GRU": ["Sigmoid", "Softsign"], "LSTM": ["Sigmoid", "Tanh", "Relu"]}[d.op]
        d.attr("activations", per * ways)

    def seq(*dims: int) -> tuple[int, ...]:
        return (dims[1], dims[0], *dims[2:]) if layout else dims

    d.input("X", seq(length, batch, features))
    d.input("W", (ways, gates * hidden, features), between(-1, 1), constant=0.7)
    d.input("R", (ways, gates * hidden, hidden), between(-0.5, 0.5), constant=0.7)
    states = 2 if d.op == "LSTM" else 1
    for present, dims, values in (
        (d.chance(), (ways, 2 * gates * hidden), plain),
        (d.chance(0.3), (batch,), between(1, int(length))),
        (d.chance(0.4), seq(ways, batch, hidden), plain),
        (states == 2 and d.chance(0.4), seq(ways, batch, hidden), plain),
        (states == 2 and d.chance(0.2), (ways, 3 * hidden), plain),
    ):
        if present:
            d.input("rest", dims, values, constant=0.4)
        else:
            d.absent()
    d.outputs(1 + states)


# -- losses --------------------------------------------------------------------------------------------------------


@template("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(d: Draw) -> None:
    n, c = d.size(1, 5), d.size(1, 9)
    more = [d.size(1, 5) for _ in range(d.fixed(0, 2))]
    d.attr("reduction", d.choice([None, "none", "sum", "mean"]))
    ignored = d.choice([None, 0, -1])
    d.attr("ignore_index", ignored)
    d.input("input", (n, c, *more))

    def labels(rng, dims, dtype):  # type: ignore[no-untyped-def]
        values = rng.integers(0, int(c), dims).astype(dtype)
        if ignored is not None and values.size > 1:
            values.flat[0] = ignored
            values.flat[1] = max(0, int(c) - 1)
        return values

    d.input("target", (n, *more), labels)
    if d.chance():
        d.input("weight", (c,), between(0.5, 2), constant=0.5)
    if d.op == "SoftmaxCrossEntropyLoss":
        d.outputs(2)


# -- quantisation --------------------------------------------------------------------------------------------------


@template("QuantizeLinear", "DequantizeLinear")
def linear_quantisation(d: Draw) -> None:
    rank = d.rank(1, 4)
    axis = d.axis(rank)
    shape = list(d.shape(rank, 1))
    kind = d.choice(["tensor", "axis"] + (["block"] if d.opset >= 21 else [])) if d.opset >= 13 else "tensor"
    block = d.fixed(1, 3)
    if kind == "block":
        shape[axis] = int(d.size(1, 12)) * block
        d.attr("block_size", block)
    if kind != "tensor":
        d.attr("axis", axis)
    dims = {"tensor": (), "axis": (shape[axis],), "block": tuple(
        n // block if i == axis % rank else n for i, n in enumerate(shape))}[kind]  # fmt: skip
    exact = d.chance(0.7)
    scale = (lambda rng, s, t: np.exp2(rng.integers(-3, 2, s)).astype(t)) if exact else between(0.1, 2)
    quantising = d.op == "QuantizeLinear"
    d.dtype(1, (*FLOATS, "float8e8m0"))  # what integer scales mean is not said
    if d.dtype(1) == "float8e8m0":  # which has neither zero nor negative numbers
        d.attr("output_dtype", None if quantising else 1)
    d.input("x", shape, plain if quantising and d.dtype(0) in FLOATS else between(-2, 2) if quantising else plain)
    d.input("scale", dims, scale, constant=0.7)
    if d.chance(0.8):
        d.input("zero_point", dims, between(0, 3) if d.dtype(2)[-1] in "864" else given(np.zeros(dims)), constant=0.7)


@template("DynamicQuantizeLinear")
def dynamic_quantise(d: Draw) -> None:
    d.input("x", d.shape(d.rank(), 1))
    d.output_count = 3
