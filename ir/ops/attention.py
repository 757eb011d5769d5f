"""Attention and what surrounds it: scaled dot products, rotary positions, gates, linear attention, causal
convolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, floordiv, product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.attention_lower import lower_attention, lower_rotary
from arenaut.ir.ops.support.common import agree, check_rank, ranked, tensor_like
from arenaut.ir.ops.support.composite import (
    cast,
    concat,
    counting,
    dims_of,
    ints,
    length_of,
    number,
    reshape,
    slice_of,
    through_decomposition,
    transpose,
    unsqueeze,
)
from arenaut.ir.record import Build, Infer, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import Shape, TensorType, Type
from arenaut.plain import dataclass

_SUMS = Tolerance("product", 8)
_FLOATS = (DType.FLOAT, DType.FLOAT16, DType.BFLOAT16)


# -- Attention: types ----------------------------------------------------------------------------------------------


def _heads(context: Infer, index: int, attribute: str) -> Shape:
    """(batch, heads, sequence, size) of Q, K or V, packed or not."""
    shape = context.shape(index)
    if len(shape) == 4:
        return shape
    heads = context.node.attr(attribute)
    if len(shape) != 3 or not heads:
        raise context.fail(f"input {index} has rank {len(shape)}; expected 4, or 3 with {attribute}")
    if isinstance(shape[2], int) and shape[2] % heads:
        raise context.fail(f"{shape[2]} columns of input {index} do not form {heads} heads")
    return (shape[0], heads, shape[1], floordiv(shape[2], heads))


def _attention_infer(context: Infer) -> Sequence[Type]:
    query, key = _heads(context, 0, "q_num_heads"), _heads(context, 1, "kv_num_heads")
    value = _heads(context, 2, "kv_num_heads")
    batch = agree(context, query[0], key[0], "batch of Q and K")
    agree(context, query[3], key[3], "head size of Q and K")
    total = agree(context, key[2], value[2], "sequence of K and V")
    for past in (4, 5):
        check_rank(context, past, 4)
    mask = tensor_like(context, 3).shape if context.has(3) else None
    if mask is not None and not 1 <= len(mask) <= 4:
        raise context.fail(f"the mask has rank {len(mask)}, expected 1 to 4")
    if context.has(4):
        total = context.shape(4)[2] + total
    kind, kind_v = context.dtype(0), context.dtype(2)
    packed = len(context.shape(0)) == 3
    y = (batch, query[2], query[1] * value[3]) if packed else (batch, query[1], query[2], value[3])
    present_key, present_value = (batch, key[1], total, key[3]), (batch, value[1], total, value[3])
    types = [
        TensorType(kind, y),
        TensorType(kind, present_key),
        TensorType(kind_v, present_value),
        TensorType(kind, (batch, query[1], query[2], total)),
    ]
    return types[: len(context.node.outputs)]


# -- Attention: decomposition --------------------------------------------------------------------------------------


def _unpacked(build: Build, x: Value, heads: Any) -> Value:
    """[B, S, heads * size] as [B, heads, S, size]."""
    if x.rank == 4:
        return x
    apart = build.op("Reshape", x, ints(build, 0, 0, heads, -1))
    return transpose(build, apart, (0, 2, 1, 3))


@dataclass(frozen=True)
class _Cache:
    """Keys and values over the whole sequence; offset: how many keys precede the first query (an int64 scalar, or one
    a batch as [B, 1, 1, 1]; None: none)."""

    key: Value
    value: Value
    offset: Value | None


def _cache(build: Build, node: Node, key: Value, value: Value, query: Value) -> _Cache:
    past_key, past_value, valid = node.input(4), node.input(5), node.input(6)
    if past_key is not None and past_value is not None:
        offset = length_of(build, past_key, 2)
        return _Cache(concat(build, [past_key, key], 2), concat(build, [past_value, value], 2), offset)
    if valid is None:
        return _Cache(key, value, None)
    return _Cache(key, value, build.op("Sub", unsqueeze(build, valid, 1, 2, 3), length_of(build, query, 2)))


def _allowed(build: Build, node: Node, cache: _Cache, query: Value) -> list[Value]:
    """What each query may look at: boolean tensors that broadcast to [B, heads, queries, keys]."""
    conditions: list[Value] = []
    causal = bool(node.attr("is_causal", 0))
    left, right = int(node.attr("left_window_size", -1)), int(node.attr("right_window_size", -1))
    keys = counting(build, length_of(build, cache.key, 2))
    if causal or left >= 0 or right >= 0:
        places = unsqueeze(build, counting(build, length_of(build, query, 2)), 1)
        places = places if cache.offset is None else build.op("Add", places, cache.offset)
        if causal:
            conditions.append(build.op("LessOrEqual", keys, places))
        if right >= 0:
            limit = build.op("Add", places, number(build, right, DType.INT64))
            conditions.append(build.op("LessOrEqual", keys, limit))
        if left >= 0:
            limit = build.op("Sub", places, number(build, left, DType.INT64))
            conditions.append(build.op("GreaterOrEqual", keys, limit))
    valid = node.input(6)
    if valid is not None:
        conditions.append(build.op("Less", keys, unsqueeze(build, valid, 1, 2, 3)))
    return conditions


def _widened_mask(build: Build, mask: Value, cache: _Cache) -> Value:
    """The mask over all keys: what it is short of them is forbidden."""
    total = cache.key.shape[2]
    if mask.shape[-1] == total:
        return mask
    missing = build.op("Sub", dims_of(build, cache.key, 2, 3), dims_of(build, mask, mask.rank - 1, mask.rank))
    pads = concat(build, [ints(build, *[0] * (2 * mask.rank - 1)), missing], 0)
    nothing = np.array(False) if mask.dtype is DType.BOOL else np.array(-np.inf, mask.dtype.numpy)
    return build.op("Pad", mask, pads, build.constant(nothing))


def _bias(build: Build, node: Node, cache: _Cache, query: Value) -> Value | None:
    """What is added to the scores, of their type; None for nothing."""
    conditions = _allowed(build, node, cache, query)
    mask = node.input(3)
    if mask is not None and mask.dtype is not DType.BOOL:
        mask = cast(build, mask, query.dtype)
    wide = None if mask is None else _widened_mask(build, mask, cache)
    if wide is not None and wide.dtype is DType.BOOL:
        conditions.append(wide)
    bias: Value | None = None
    if conditions:
        every = reduce(lambda a, b: build.op("And", a, b), conditions)
        open_, shut = number(build, 0, query.dtype), number(build, -np.inf, query.dtype)
        bias = build.op("Where", every, open_, shut)
    if wide is not None and wide.dtype is not DType.BOOL:
        bias = wide if bias is None else build.op("Add", bias, wide)
    return bias


def _may_forbid_all(node: Node) -> bool:
    """Whether a query could be left without any key. A causal mask alone always leaves the first one."""
    windows = int(node.attr("left_window_size", -1)) >= 0 or int(node.attr("right_window_size", -1)) >= 0
    mask = node.input(3)
    forbids = mask is not None and (
        mask.constant is None or mask.constant.dtype == np.bool_ or not bool(np.isfinite(mask.constant).all())
    )
    return forbids or windows or node.input(6) is not None


def _grouped(query: Value, key: Value) -> int:
    """How many query heads share a key head. Raises NoRowError when that is not known."""
    heads, kept = query.shape[1], key.shape[1]
    if heads == kept:
        return 1
    if not isinstance(heads, int) or not isinstance(kept, int) or kept == 0 or heads % kept:
        raise NoRowError(f"{heads} query heads share {kept} key heads")
    return heads // kept


def _by_group(build: Build, x: Value, y: Value, group: int) -> Value:
    """MatMul of x [B, heads, a, b] and y [B, heads / group, b, c]: each head of y serves `group` heads of x."""
    if group == 1:
        return build.op("MatMul", x, y)
    kept = y.shape[1]
    assert isinstance(kept, int)
    apart = reshape(build, x, dims_of(build, x, 0, 1), kept, group, dims_of(build, x, 2, 4))
    result = build.op("MatMul", apart, unsqueeze(build, y, 2))
    return reshape(
        build, result, dims_of(build, result, 0, 1), kept * group, dims_of(build, result, 3, 5)
    )  # fmt: skip


def _attention_decompose(build: Build, node: Node) -> Sequence[Value]:
    query = _unpacked(build, node.operand(0), node.attr("q_num_heads"))
    key = _unpacked(build, node.operand(1), node.attr("kv_num_heads"))
    value = _unpacked(build, node.operand(2), node.attr("kv_num_heads"))
    kind, size = query.dtype, query.shape[3]
    scale = node.attr("scale")
    if scale is None:
        if not isinstance(size, int):
            raise NoRowError(f"the head size {size} is not known")
        scale = 1 / np.sqrt(max(size, 1))
    cache = _cache(build, node, key, value, query)
    group = _grouped(query, cache.key)
    scaled = build.op("Mul", query, number(build, float(scale), kind))
    raw = _by_group(build, scaled, transpose(build, cache.key, (0, 1, 3, 2)), group)
    cap = float(node.attr("softcap", 0.0))
    scores = raw
    if cap > 0:
        limit = number(build, cap, kind)
        scores = build.op("Mul", build.op("Tanh", build.op("Div", raw, limit)), limit)
    capped, bias = scores, _bias(build, node, cache, query)
    biased = scores if bias is None else build.op("Add", scores, bias)
    shut: Value | None = None
    if bias is not None and _may_forbid_all(node):
        top = build.op("ReduceMax", bias, ints(build, -1), keepdims=1)
        shut = build.op("Equal", top, number(build, -np.inf, kind))
        scores = build.op("Add", scores, build.op("Where", shut, number(build, 0, kind), bias))
    else:
        scores = biased
    precise = DType(int(node.attr("softmax_precision") or kind))
    weights = cast(build, build.op("Softmax", cast(build, scores, precise), axis=-1), kind)
    y = _by_group(build, weights, cast(build, cache.value, kind), group)
    if shut is not None:
        y = build.op("Where", shut, number(build, 0, kind), y)
    if node.operand(0).rank == 3:
        y = build.op("Reshape", transpose(build, y, (0, 2, 1, 3)), ints(build, 0, 0, -1))
    results = [y, cache.key, cache.value]
    if len(node.outputs) > 3 and node.outputs[3] is not None:
        if shut is not None:
            weights = build.op("Where", shut, number(build, 0, kind), weights)
        results.append((raw, capped, biased, weights)[int(node.attr("qk_matmul_output_mode", 0))])
    return results[: len(node.outputs)]


def _attention_flops(node: Node) -> Dim:
    scores, value = node.operand(0).shape, node.operand(2).shape
    keys = value[-2] + (node.operand(4).shape[2] if node.input(4) is not None else 0)
    width = scores[-1] if len(scores) == 3 else scores[1] * scores[3]
    return 4 * scores[0] * scores[-2] * keys * width


def _attention_samples() -> Iterator[Sample]:
    def tensors(*shapes: tuple[int, ...], dtype: DType = DType.FLOAT) -> list[Any]:
        return [samples.draw(s, dtype, -2, 2, seed=i) for i, s in enumerate(shapes)]

    q, k, v = tensors((2, 3, 4, 8), (2, 3, 6, 8), (2, 3, 6, 10))
    mask, bias = samples.draw((4, 6), DType.BOOL, seed=5), samples.draw((2, 1, 4, 6), DType.FLOAT, seed=6)
    mask[1] = False
    plain: tuple[dict[str, Any], ...] = (
        {}, {"is_causal": 1}, {"scale": 0.5}, {"softcap": 2.0}, {"is_causal": 1, "left_window_size": 1},
        {"left_window_size": 2, "right_window_size": 1}, {"softmax_precision": int(DType.DOUBLE)},
    )  # fmt: skip
    for chosen in plain:
        yield Sample((q, k, v), chosen)
        yield Sample((q, k, v, mask), chosen)
        yield Sample((q, k, v, bias), chosen)
    for mode in range(4):
        soft = {"softcap": 3.0} if mode else {}
        yield Sample((q, k, v, mask), {"qk_matmul_output_mode": mode, **soft}, 4)
    yield Sample((q, k, v, samples.draw((3, 4, 6), DType.BOOL, seed=5)))
    yield Sample((q, k, v, samples.draw((4, 5), DType.BOOL, seed=5)))
    grouped = tensors((2, 6, 4, 8), (2, 3, 6, 8), (2, 3, 6, 8))
    yield Sample(tuple(grouped))
    past = tensors((2, 3, 5, 8), (2, 3, 5, 8))
    yield Sample((*grouped, None, *past), {"is_causal": 1}, 3)
    yield Sample((*grouped, samples.draw((4, 11), DType.FLOAT), *past), {"is_causal": 1, "right_window_size": 0}, 4)
    valid = np.array([6, 3], np.int64)
    yield Sample((q, k, v, None, None, None, valid))
    yield Sample((q, k, v, mask[:, :6], None, None, valid), {"is_causal": 1})
    packed = tensors((2, 4, 24), (2, 6, 12), (2, 6, 16))
    yield Sample(tuple(packed), {"q_num_heads": 4, "kv_num_heads": 2})
    yield Sample((*packed, None, *tensors((2, 2, 3, 6), (2, 2, 3, 8))), {"q_num_heads": 4, "kv_num_heads": 2}, 3)
    for dtype in (DType.DOUBLE, DType.FLOAT16):
        yield Sample(tuple(tensors((2, 3, 4, 8), (2, 3, 6, 8), (2, 3, 6, 10), dtype=dtype)), {"is_causal": 1})


# -- RotaryEmbedding -----------------------------------------------------------------------------------------------


def _rotary_infer(context: Infer) -> Sequence[Type]:
    x = tensor_like(context)
    if x.shape is not None and len(ranked(context, 0, 3, 4)) == 3 and not context.node.attr("num_heads", 0):
        raise context.fail("num_heads is required for an input of rank 3")
    return [x]


def _rotary_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, cos, sin, positions = (node.input(i) for i in range(4))
    assert x is not None and cos is not None and sin is not None
    given = x
    packed = x.rank == 3
    if packed:
        x = build.op("Reshape", x, ints(build, 0, 0, int(node.attr("num_heads")), -1))
    size = x.shape[3]
    width = int(node.attr("rotary_embedding_dim", 0)) or size
    if not isinstance(width, int) or not isinstance(size, int):
        raise NoRowError(f"the head size {size} is not known")
    if positions is not None:
        cos, sin = (build.op("Gather", t, positions, axis=0) for t in (cos, sin))
    cos, sin = (unsqueeze(build, t, 2 if packed else 1) for t in (cos, sin))
    turned = x if width == size else slice_of(build, x, 3, 0, width)
    interleaved = bool(node.attr("interleaved", 0))
    if interleaved:
        first, second = (slice_of(build, turned, 3, i, width, 2) for i in (0, 1))
    else:
        first, second = slice_of(build, turned, 3, 0, width // 2), slice_of(build, turned, 3, width // 2, width)
    real = build.op("Sub", build.op("Mul", cos, first), build.op("Mul", sin, second))
    imaginary = build.op("Add", build.op("Mul", sin, first), build.op("Mul", cos, second))
    if interleaved:
        pairs = concat(build, [unsqueeze(build, t, 4) for t in (real, imaginary)], 4)
        turned = build.op("Reshape", pairs, ints(build, 0, 0, 0, width))
    else:
        turned = concat(build, [real, imaginary], 3)
    if width != size:
        turned = concat(build, [turned, slice_of(build, x, 3, width, size)], 3)
    return [reshape(build, turned, dims_of(build, given, 0, 3)) if packed else turned]


def _rotary_samples() -> Iterator[Sample]:
    for dtype in _FLOATS:
        x, packed = samples.draw((2, 3, 4, 8), dtype), samples.draw((2, 4, 24), dtype)
        cos, sin = (samples.draw((10, 4), dtype, -1, 1, seed=i) for i in (1, 2))
        narrow = [samples.draw((10, 2), dtype, -1, 1, seed=i) for i in (1, 2)]
        direct = [samples.draw((2, 4, 4), dtype, -1, 1, seed=i) for i in (1, 2)]
        at = np.array([[0, 1, 2, 3], [5, 6, 9, 8]], np.int64)
        for interleaved in (0, 1):
            yield Sample((x, cos, sin, at), {"interleaved": interleaved})
            yield Sample((packed, cos, sin, at), {"interleaved": interleaved, "num_heads": 3})
            yield Sample((x, *narrow, at), {"interleaved": interleaved, "rotary_embedding_dim": 4})
            yield Sample((x, *direct), {"interleaved": interleaved})


# -- CausalConvWithState -------------------------------------------------------------------------------------------


def _causal_infer(context: Infer) -> Sequence[Type]:
    x, w = context.shape(0), context.shape(1)
    if len(x) != 3 or len(w) != 3:
        raise context.fail(f"input and weight must have rank 3, got {len(x)} and {len(w)}")
    agree(context, x[1], w[0], "channels of input and weight")
    state = (x[0], x[1], w[2] - 1)
    return [TensorType(context.dtype(0), x), TensorType(context.dtype(0), state)][: len(context.node.outputs)]


def _causal_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, weight, past = node.operand(0), node.operand(1), node.input(3)
    channels, taps = x.shape[1], weight.shape[2]
    if not isinstance(channels, int) or not isinstance(taps, int):
        raise NoRowError("channels or taps are not known")
    before = ints(build, 0, 0, taps - 1, 0, 0, 0)
    wide = build.op("Pad", x, before) if past is None else concat(build, [past, x], 2)
    y = build.op("Conv", wide, weight, node.input(2), group=channels)
    if node.attr("activation", "none") in ("silu", "swish"):
        y = build.op("Swish", y)
    length = dims_of(build, wide, 2, 3)
    start = build.op("Sub", length, ints(build, taps - 1))
    return [y, build.op("Slice", wide, start, length, ints(build, 2))][: len(node.outputs)]


def _causal_samples() -> Iterator[Sample]:
    x, weight = samples.draw((2, 3, 5)), samples.draw((3, 1, 4), seed=1)
    bias, past = samples.draw((3,), seed=2), samples.draw((2, 3, 3), seed=3)
    for activation in ("none", "silu"):
        yield Sample((x, weight), {"activation": activation}, 2)
        yield Sample((x, weight, bias, past), {"activation": activation}, 2)
        yield Sample((x[:, :, :1], weight, None, past), {"activation": activation}, 2)


# -- SwiGLU --------------------------------------------------------------------------------------------------------


def _gated_infer(context: Infer) -> Sequence[Type]:
    if context.dtype(0) != context.dtype(1):
        raise context.fail("both inputs must have one element type")
    return [context.type(0)]


def _gated_decompose(build: Build, node: Node) -> Sequence[Value]:
    gate = build.op("Swish", node.operand(0), alpha=float(node.attr("alpha", 1.0)))
    return [build.op("Mul", gate, node.operand(1))]


def _gated_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.DOUBLE):
        a, b = samples.draw((2, 3, 5), dtype), samples.draw((2, 3, 5), dtype, seed=1)
        yield Sample((a, b))
        yield Sample((a, b), {"alpha": 1.5})


# -- LinearAttention -----------------------------------------------------------------------------------------------


def _linear_infer(context: Infer) -> Sequence[Type]:
    node, query, value = context.node, ranked(context, 0, 3), ranked(context, 2, 3)
    heads, kept = int(node.attr("q_num_heads")), int(node.attr("kv_num_heads"))
    size, width = floordiv(query[2], heads), floordiv(value[2], kept)
    state = context.type(3) if context.has(3) else TensorType(context.dtype(0), (query[0], kept, size, width))
    return [TensorType(context.dtype(0), (query[0], query[1], width * heads)), state][: len(node.outputs)]


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Attention", infer=_attention_infer, evaluate=through_decomposition(_attention_decompose),
        lower=lower_attention, decompose=_attention_decompose, flops=_attention_flops, tolerance=_SUMS,
        samples=_attention_samples,
    ),
    OpRecord(
        op="RotaryEmbedding", infer=_rotary_infer, evaluate=through_decomposition(_rotary_decompose),
        lower=lower_rotary, decompose=_rotary_decompose, flops=lambda node: 3 * product(node.output.shape),
        tolerance=_SUMS, samples=_rotary_samples,
    ),
    OpRecord(
        op="CausalConvWithState", infer=_causal_infer, evaluate=through_decomposition(_causal_decompose),
        decompose=_causal_decompose, flops=lambda node: 2 * product(node.output.shape) * node.operand(1).shape[2],
        tolerance=_SUMS, samples=_causal_samples,
    ),
    OpRecord(
        op="SwiGLU", infer=_gated_infer, evaluate=through_decomposition(_gated_decompose), decompose=_gated_decompose,
        flops=lambda node: 12 * product(node.output.shape), tolerance=_SUMS, samples=_gated_samples,
    ),
    OpRecord(op="LinearAttention", infer=_linear_infer),
)  # fmt: skip
