"""onnxruntime's attention ops, by the standard's Attention, RotaryEmbedding and LayerNormalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.contrib.quantized import real
from arenaut.frontend.spec import Spec
from arenaut.ir import DType, Value
from arenaut.ir.infer import settled
from arenaut.ir.ops.support.composite import (
    cast,
    concat,
    counting,
    dims_of,
    ints,
    length_of,
    number,
    slice_of,
    unsqueeze,
)
from arenaut.ir.record import Build, UnknownError


def _heads(spec: Spec) -> int:
    heads = int(spec.attr("num_heads") or 0)
    if heads < 1:
        raise spec.invalid(f"num_heads is {heads}")
    return heads


def _known_rank(spec: Spec, value: Value, *ranks: int) -> int:
    """Raises UnknownRankError, and UnsupportedError for another rank than these."""
    if value.rank not in ranks:
        raise spec.unsupported(f"'{value.name}' has rank {value.rank}, expected {' or '.join(map(str, ranks))}")
    return value.rank


# -- masks -----------------------------------------------------------------------------------------------------


def _penalty(build: Build, spec: Spec, keep: Value, like: Value) -> Value:
    """What is added to scores: 0 where keep holds, else the model's large negative number."""
    zero, low = (number(build, v, like.dtype) for v in (0.0, float(spec.attr("mask_filter_value"))))
    return build.op("Where", keep, zero, low)


def _key_mask(build: Build, spec: Spec, mask: Value, query: Value, total: Value) -> Value:
    """A mask of keys as an addend of [B, heads, S, T]: [B] counts what is there, [B, T] and [B, S, T] say which."""
    rank = _known_rank(spec, mask, 1, 2, 3)
    if rank == 1:
        if settled(mask.shape[0]) != settled(query.shape[0]) and mask.shape[0] != query.shape[0]:
            raise spec.unsupported(f"a mask of {mask.shape[0]} numbers for {query.shape[0]} samples")
        keep = build.op("Less", counting(build, total), unsqueeze(build, cast(build, mask, DType.INT64), 1, 2, 3))
    else:
        axes = (1, 2) if rank == 2 else (1,)
        keep = cast(build, unsqueeze(build, mask, *axes), DType.BOOL)
    return _penalty(build, spec, keep, query)


def _sum(build: Build, parts: Sequence[Value | None]) -> Value | None:
    given = [p for p in parts if p is not None]
    result = given[0] if given else None
    for part in given[1:]:
        assert result is not None
        result = build.op("Add", result, part)
    return result


# -- Attention, QAttention, MultiHeadAttention -----------------------------------------------------------------


def _scale(spec: Spec) -> float | None:
    """0 and absent: one over the root of the head size."""
    return float(spec.attr("scale")) if spec.attr("scale") else None


def _attend(
    build: Build, spec: Spec, parts: Sequence[Value], mask: Value | None, bias: Value | None, past: Sequence[Value],
) -> list[Value]:  # fmt: skip
    """Output, keys and values so far. parts: Q, K and V as [B, S, heads * size]."""
    heads = _heads(spec)
    total = length_of(build, parts[1], 1)
    if past:
        total = build.op("Add", total, length_of(build, past[0], 2))
    addend = None if mask is None else _key_mask(build, spec, mask, parts[0], total)
    operands = [*parts, _sum(build, (addend, bias)), *(past or (None, None))]
    results = build.ops(
        "Attention", *operands, outputs=3, q_num_heads=heads, kv_num_heads=heads, scale=_scale(spec),
        is_causal=int(bool(spec.attr("unidirectional"))),
    )  # fmt: skip
    return list(results)


def _self_attention(build: Build, spec: Spec, joined: Value, mask: int, past: int, bias: int | None) -> Outputs:
    """From Q, K and V side by side, their bias added."""
    for name in ("do_rotary", "past_present_share_buffer"):
        if spec.attr(name):
            raise spec.unsupported(f"{name} is not known here")
    width = settled(joined.shape[-1])
    sizes = [int(n) for n in spec.attr("qkv_hidden_sizes") or ()]
    if width is None:
        raise UnknownError(f"the width of '{joined.name}' is not known")
    if not sizes:
        sizes = [width // 3] * 3
    if len(sizes) != 3 or sum(sizes) != width:
        raise spec.invalid(f"{width} columns are no Q, K and V of {sizes}")
    ends = np.cumsum([0, *sizes]).tolist()
    parts = [slice_of(build, joined, 2, a, b) for a, b in pairwise(ends)]
    stored = spec.input(past)
    earlier = (
        [] if stored is None else [build.op("Gather", stored, number(build, i, DType.INT64), axis=0) for i in (0, 1)]
    )
    extra = None if bias is None else spec.input(bias)
    output, keys, values = _attend(build, spec, parts, spec.input(mask), extra, earlier)
    if not spec.is_wanted(1):
        return [output]
    return [output, concat(build, [unsqueeze(build, keys, 0), unsqueeze(build, values, 0)], 0)]


def _attention(build: Build, spec: Spec) -> Outputs:
    if spec.input(6) is not None:
        raise spec.unsupported("a past that shares its buffer with the present is not known here")
    _known_rank(spec, spec.operand(0), 3)
    joined = build.op("MatMul", spec.operand(0), spec.operand(1))
    if spec.input(2) is not None:
        joined = build.op("Add", joined, spec.operand(2))
    return _self_attention(build, spec, joined, mask=3, past=4, bias=5)


def _quantised_attention(build: Build, spec: Spec) -> Outputs:
    product = build.op("MatMul", real(build, spec, 0, 3, 6), real(build, spec, 1, 4, 7))
    return _self_attention(build, spec, build.op("Add", product, spec.operand(2)), mask=5, past=8, bias=None)


def _multi_head(build: Build, spec: Spec) -> Outputs:
    if spec.input(1) is None or spec.input(2) is None or len(spec.inputs) > 8:
        raise spec.unsupported("Q, K and V packed into one tensor, or in caches of their own, are not known here")
    parts = [spec.operand(i) for i in range(3)]
    for part in parts:
        _known_rank(spec, part, 3)
    bias = spec.input(3)
    if bias is not None:
        ends = [0]
        for part in parts:
            width = settled(part.shape[2])
            if width is None:
                raise UnknownError(f"the width of '{part.name}' is not known")
            ends.append(ends[-1] + width)
        slices = [slice_of(build, bias, 0, a, b) for a, b in pairwise(ends)]
        parts = [build.op("Add", part, piece) for part, piece in zip(parts, slices, strict=True)]
    past = [v for v in (spec.input(6), spec.input(7)) if v is not None]
    if len(past) == 1:
        raise spec.invalid("of past keys and values only one is there")
    return _attend(build, spec, parts, spec.input(4), spec.input(5), past)


# -- RotaryEmbedding -------------------------------------------------------------------------------------------


def _rotary(build: Build, spec: Spec) -> Outputs:
    x, positions, cos = spec.operand(0), spec.operand(1), spec.operand(2)
    rank = _known_rank(spec, x, 3, 4)
    if spec.attr("is_packed_batching") or spec.attr("scale") != 1:
        raise spec.unsupported("packed batches and scaled positions are not known here")
    positions = cast(build, positions, DType.INT64)
    if _known_rank(spec, positions, 1, 2) == 1:  # where the sequence starts
        steps = build.op("Add", counting(build, length_of(build, x, rank - 2)), positions)
        batch = dims_of(build, x, 0, 1)
        positions = build.op("Expand", unsqueeze(build, steps, 0), concat(build, [batch, ints(build, 1)], 0))
    heads, dim = int(spec.attr("num_heads")), int(spec.attr("rotary_embedding_dim"))
    if rank == 3 and not heads:
        width, half = settled(x.shape[2]), settled(cos.shape[1])
        if width is None or half is None:
            raise UnknownError(f"the width of '{x.name}' is not known")
        if dim or not half or width % (2 * half):
            raise spec.unsupported("the number of heads is neither stated nor told by the shapes")
        heads = width // (2 * half)
    settings = {"interleaved": spec.attr("interleaved"), "rotary_embedding_dim": dim, "num_heads": heads}
    return [build.op("RotaryEmbedding", x, cos, spec.operand(3), positions, **settings)]


# -- EmbedLayerNormalization -----------------------------------------------------------------------------------


def _quantised_embed(build: Build, spec: Spec) -> Outputs:
    """QEmbedLayerNormalization: the same of tables of codes; scales and zero points follow the tables and the mask."""
    tables = [
        real(build, spec, i, 8 + n, 13 + n) if spec.input(i) is not None else None for n, i in enumerate(range(2, 7))
    ]
    return _embed(build, spec.change(inputs=(*spec.inputs[:2], *tables, spec.input(7))))[:2]


def _embed(build: Build, spec: Spec) -> Outputs:
    ids, segments = spec.operand(0), spec.input(1)
    total = build.op("Gather", spec.operand(2), ids, axis=0)
    positions = spec.input(8)
    if positions is None:
        positions = counting(build, length_of(build, ids, 1))
    parts = [total, build.op("Gather", spec.operand(3), positions, axis=0)]
    if segments is not None:
        parts.append(build.op("Gather", spec.operand(4), segments, axis=0))
    summed = _sum(build, parts)
    assert summed is not None
    settings = {"axis": -1, "epsilon": spec.attr("epsilon")}
    output = build.op("LayerNormalization", summed, spec.operand(5), spec.operand(6), **settings)
    mask = spec.input(7)
    if not spec.is_wanted(1):
        counts = None
    elif mask is None:
        counts = build.op("Expand", build.constant(np.zeros(1, np.int32)), dims_of(build, ids, 0, 1))
    else:
        counts = build.op("ReduceSum", cast(build, mask, DType.INT32), ints(build, 1), keepdims=0)
    return [output, counts, summed]


_ATTENTION = {
    "num_heads": None, "unidirectional": 0, "qkv_hidden_sizes": None, "scale": None, "mask_filter_value": -10000.0,
    "do_rotary": 0, "past_present_share_buffer": 0, "rotary_embedding_dim": 0,
}  # fmt: skip
_ROTARY = {"interleaved": 0, "num_heads": 0, "rotary_embedding_dim": 0, "scale": 1.0, "is_packed_batching": 0}
_MULTI = {"num_heads": None, "unidirectional": 0, "scale": None, "mask_filter_value": -10000.0}

OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "Attention"): ContribOp(_attention, (2, 7), _ATTENTION, outputs=2),
        (MICROSOFT, "QAttention"): ContribOp(_quantised_attention, (5, 9), _ATTENTION, outputs=2, dtypes=(3,)),
        (MICROSOFT, "MultiHeadAttention"): ContribOp(_multi_head, (1, 10), _MULTI, outputs=3),
        (MICROSOFT, "RotaryEmbedding"): ContribOp(_rotary, (4, 4), _ROTARY),
        (MICROSOFT, "EmbedLayerNormalization"): ContribOp(
            _embed, (7, 9), {"epsilon": 1e-12, "mask_index_type": 0}, outputs=3, dtypes=(2, DType.INT32, 2)
        ),
        (MICROSOFT, "QEmbedLayerNormalization"): ContribOp(
            _quantised_embed, (18, 18), {"epsilon": 1e-12}, outputs=2, dtypes=(8, DType.INT32)
        ),
    }
)
