"""onnxruntime's attention of one new token with its cache, by the standard's Attention."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.ir import DType, Value
from arenaut.ir.infer import settled
from arenaut.ir.ops.support.composite import (
    cast,
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
from arenaut.ir.record import Build, UnknownError


def _by_heads(build: Build, x: Value, heads: int) -> Value:
    """[B, S, heads * size] as [B, heads, S, size]."""
    return transpose(build, reshape(build, x, dims_of(build, x, 0, 2), heads, -1), (0, 2, 1, 3))


def _pieces(build: Build, spec: Spec, bias: Value) -> list[Value]:
    """What is added to queries, keys and values."""
    width, whole = settled(spec.operand(0).shape[2]), settled(bias.shape[0])
    if width is None or whole is None:
        raise UnknownError(f"the width of '{spec.operand(0).name}' is not known")
    if whole <= 2 * width:
        raise spec.invalid(f"a bias of {whole} numbers for queries of {width}")
    ends = ((0, width), (width, 2 * width), (2 * width, whole))
    return [slice_of(build, bias, 0, a, b) for a, b in ends]


def _decode(build: Build, spec: Spec) -> Outputs:
    heads = int(spec.attr("num_heads") or 0)
    query, key, value = (spec.operand(i) for i in range(3))
    if heads < 1:
        raise spec.invalid(f"num_heads is {heads}")
    if spec.is_wanted(3) or any(spec.input(i) is not None for i in (8, 9)):
        raise spec.unsupported("scores as an output, and caches that beams share, are not known here")
    if query.rank != 3 or key.rank not in (3, 4) or value.rank != key.rank:
        raise spec.invalid(f"queries of rank {query.rank}, keys of {key.rank} and values of {value.rank}")
    bias = spec.input(10)
    if bias is not None:
        more = _pieces(build, spec, bias)
        query = build.op("Add", query, more[0])
        if key.rank == 3:
            key, value = build.op("Add", key, more[1]), build.op("Add", value, more[2])
    operands = [_by_heads(build, query, heads)]
    operands += [x if x.rank == 4 else _by_heads(build, x, heads) for x in (key, value)]
    results: list[Value] = []
    if spec.input(5) is not None or spec.input(6) is not None:
        if not spec.attr("past_present_share_buffer"):
            raise spec.unsupported("onnxruntime's CPU kernel takes a past in the buffer of the present alone")
        results, operands[1:] = _with_cache(build, spec, operands[1:])
    mask, extra = spec.input(3), spec.input(4)
    if mask is not None:
        low = spec.attr("mask_filter_value")
        bounds = (number(build, v, query.dtype) for v in (0.0, -10000.0 if low is None else float(low)))
        keep = build.op("Not", build.op("Equal", unsqueeze(build, mask, 1, 2), number(build, 0, mask.dtype)))
        penalty = build.op("Where", keep, *bounds)
        extra = penalty if extra is None else build.op("Add", extra, penalty)
    attended = build.op("Attention", *operands, extra, scale=float(spec.attr("scale")) if spec.attr("scale") else None)
    joined = reshape(build, transpose(build, attended, (0, 2, 1, 3)), dims_of(build, query, 0, 2), -1)
    return [joined, *results]


def _with_cache(build: Build, spec: Spec, new: list[Value]) -> tuple[list[Value], list[Value]]:
    """The caches with the new token at its place, and the part of them that holds tokens."""
    if spec.input(7) is None:
        raise spec.invalid("past_sequence_length is required beside a past")
    at = cast(build, reshape(build, spec.operand(7), 1), DType.INT64)
    presents, read = [], []
    for index, token in zip((5, 6), new, strict=True):
        past = spec.operand(index)
        here = build.op("Equal", unsqueeze(build, counting(build, length_of(build, past, 2)), 1), at)
        present = build.op("Where", here, token, past)
        presents.append(present)
        read.append(build.op("Slice", present, ints(build, 0), build.op("Add", at, ints(build, 1)), ints(build, 2)))
    return presents, read


_DECODER = {
    "mask_filter_value": None, "num_heads": None, "output_qk": None, "past_present_share_buffer": None, "scale": None,
}  # fmt: skip

OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {(MICROSOFT, "DecoderMaskedMultiHeadAttention"): ContribOp(_decode, (3, 11), _DECODER, outputs=4)}
)
