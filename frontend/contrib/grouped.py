"""onnxruntime's GroupQueryAttention: attention of a decoder with its cache, by the standard's ops."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
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
    reshape,
    slice_of,
    transpose,
    unsqueeze,
)
from arenaut.ir.record import Build

# Attributes whose other values are not said here, with the one that is.
_ONLY = {
    "smooth_softmax": (0, -1), "qk_output": (0,), "k_quant_type": ("NONE",), "v_quant_type": ("NONE",), "causal": (1,),
    "sliding_window_cache": (0,),
}  # fmt: skip
_LAST_INPUT = 10  # attention_bias; behind it come sinks, scales of quantised caches, norms of heads


def _heads(build: Build, spec: Spec) -> tuple[Value, Value, Value]:
    """Queries, keys and values as [B, heads, S, size]."""
    many, few = int(spec.attr("num_heads")), int(spec.attr("kv_num_heads"))
    query = spec.operand(0)
    if spec.input(1) is None:
        parts = reshape(build, query, dims_of(build, query, 0, 2), many + 2 * few, -1)
        ends = (0, many, many + few, many + 2 * few)
        split = [slice_of(build, parts, 2, a, b) for a, b in pairwise(ends)]
    else:
        split = [
            reshape(build, x, dims_of(build, x, 0, 2), heads, -1)
            for x, heads in ((query, many), (spec.operand(1), few), (spec.operand(2), few))
        ]
    q, k, v = (transpose(build, x, (0, 2, 1, 3)) for x in split)
    return q, k, v


def _cached(build: Build, past: Value | None, new: Value, total: Value, start: Value) -> Value:
    """The cache with new rows from `start` on, one a sample; as long as it was, or as what it has to hold."""
    if past is None:
        return new
    room = build.op("Max", build.op("Sub", total, length_of(build, past, 2)), number(build, 0, DType.INT64))
    shape = concat(build, [dims_of(build, past, 0, 2), unsqueeze(build, room, 0), dims_of(build, past, 3, 4)], 0)
    zeros = build.op("Expand", number(build, 0, new.dtype), shape)
    return build.op("TensorScatter", concat(build, [past, zeros], 2), new, start, axis=2)


def _grouped(build: Build, spec: Spec) -> Outputs:
    for name, known in _ONLY.items():
        value = spec.attr(name)
        if (value.decode() if isinstance(value, bytes) else value) not in known:
            raise spec.unsupported(f"its attribute {name} is {value}, and only {known[0]} is known here")
    if len(spec.inputs) > _LAST_INPUT + 1 or spec.is_wanted(3):
        raise spec.unsupported("sinks, quantised caches, norms of heads and the scores as an output are not known here")
    q, k, v = _heads(build, spec)
    length, total = length_of(build, q, 2), cast(build, spec.operand(6), DType.INT64)
    total = build.op("Reshape", total, build.constant(np.empty(0, np.int64)))
    held = build.op("Reshape", cast(build, spec.operand(5), DType.INT64), ints(build, -1))
    none = number(build, 0, DType.INT64)
    start = build.op("Sub", build.op("Add", held, number(build, 1, DType.INT64)), length)
    start = build.op("Where", build.op("Equal", length, total), none, start)  # a prompt begins at 0, padded or not
    position = build.op("Add", unsqueeze(build, start, 1), unsqueeze(build, counting(build, length), 0))
    if spec.attr("do_rotary"):
        cos, sin, where = spec.operand(7), spec.operand(8), spec.input(9)
        where = position if where is None else cast(build, where, DType.INT64)
        half = settled(cos.shape[1])
        settings: dict[str, Any] = {
            "interleaved": int(spec.attr("rotary_interleaved") or 0),
            "rotary_embedding_dim": 2 * (half or 0),
        }
        q, k = (build.op("RotaryEmbedding", x, cos, sin, where, **settings) for x in (q, k))
    keys = _cached(build, spec.input(3), k, total, start)
    values = _cached(build, spec.input(4), v, total, start)
    place = unsqueeze(build, counting(build, length_of(build, keys, 2)), 0, 1)
    now = unsqueeze(build, position, 2)
    keep = build.op("LessOrEqual", place, now)
    window = int(spec.attr("local_window_size"))
    if window > 0:
        near = build.op("Less", build.op("Sub", now, place), number(build, window, DType.INT64))
        keep = build.op("And", keep, near)
    mask, bias = unsqueeze(build, keep, 1), spec.input(10)
    if bias is not None:
        mask = build.op("Where", mask, bias, number(build, -np.inf, bias.dtype))
    scale, cap = spec.attr("scale"), spec.attr("softcap")
    result = build.op("Attention", q, keys, values, mask, scale=scale or None, softcap=float(cap or 0))
    rows = transpose(build, result, (0, 2, 1, 3))
    return [reshape(build, rows, dims_of(build, rows, 0, 2), -1), keys, values]


_GROUPED = {
    "num_heads": None, "kv_num_heads": None, "scale": None, "softcap": None, "local_window_size": -1, "do_rotary": 0,
    "rotary_interleaved": 0, "smooth_softmax": 0, "qk_output": 0, "k_quant_type": "NONE", "v_quant_type": "NONE",
    "kv_cache_bit_width": None, "causal": 1, "sliding_window_cache": 0, "qk_norm_epsilon": None,
    "q_norm_epsilon": None, "k_norm_epsilon": None,
}  # fmt: skip

OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {(MICROSOFT, "GroupQueryAttention"): ContribOp(_grouped, (7, 17), _GROUPED, outputs=4)}
)
