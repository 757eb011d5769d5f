"""onnxruntime's mixtures of experts: every expert is computed, and a row's result is the sum of those chosen for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from arenaut.frontend.contrib.codes import dequantised, unpacked
from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.frontend.upgrade.common import scalar_like
from arenaut.ir import DType, Value
from arenaut.ir.infer import settled
from arenaut.ir.ops.support.composite import TO_THE_END, cast, ints, number, reshape, slice_of, unsqueeze
from arenaut.ir.record import Build, UnknownError

_PLAIN: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "relu": ("Relu", {}),
        "silu": ("Swish", {}),
        "gelu": ("Gelu", {"approximate": "tanh"}),
        "identity": ("Identity", {}),
    }
)


def _shares(build: Build, spec: Spec, scores: Value, weights: Value | None, normalised: bool) -> Value:
    """What each expert's result counts for each row [rows, experts]: 0 for all but the k of the highest scores.
    weights: what they count where that is no softmax of the scores. normalised: the k sum to 1."""
    chances = build.op("Softmax", scores, axis=-1) if weights is None else weights
    _, chosen = build.ops("TopK", scores, ints(build, int(spec.attr("k"))), outputs=2, axis=-1)
    assert chosen is not None
    picked = build.op("GatherElements", chances, chosen, axis=-1)
    if normalised:
        picked = build.op("Div", picked, build.op("ReduceSum", picked, ints(build, -1), keepdims=1))
    nothing = build.op("Expand", number(build, 0, picked.dtype), build.op("Shape", scores))
    return build.op("ScatterElements", nothing, chosen, picked, axis=-1)


def _activated(build: Build, spec: Spec, x: Value) -> Value:
    kind = spec.text("activation_type")
    if kind in _PLAIN:
        op, settings = _PLAIN[kind]
        return build.op(op, x, **settings)
    if kind != "swiglu":
        raise spec.invalid(f"activation_type is {kind}, expected {', '.join(_PLAIN)} or swiglu")
    if spec.attr("swiglu_fusion") != 1 or spec.attr("swiglu_limit_after_activation"):
        raise spec.unsupported("onnxruntime computes swiglu with swiglu_fusion 1 and its limit before the activation")
    gate, line = (slice_of(build, x, -1, start, TO_THE_END, 2) for start in (0, 1))
    limit = spec.attr("swiglu_limit")
    if limit:
        gate = build.op("Clip", gate, None, scalar_like(build, limit, gate))
        line = build.op("Clip", line, scalar_like(build, -limit, line), scalar_like(build, limit, line))
    if spec.attr("activation_beta"):
        line = build.op("Add", line, scalar_like(build, spec.attr("activation_beta"), line))
    return build.op("Mul", build.op("Swish", gate, alpha=spec.attr("activation_alpha")), line)


def _layer(build: Build, x: Value, weights: Value, bias: Value | None) -> Value:
    """[experts or 1, rows, inner] by weights [experts, outer, inner]."""
    product = build.op("MatMul", x, build.op("Transpose", weights, perm=(0, 2, 1)))
    return product if bias is None else build.op("Add", product, unsqueeze(build, bias, 1))


def _mixture(
    build: Build,
    spec: Spec,
    layers: tuple[tuple[Value, Value | None], ...],
    weights: Value | None = None,
    *,
    normalised: bool,
) -> Outputs:
    x = spec.operand(0)
    if x.rank not in (2, 3):
        raise spec.invalid(f"its input has rank {x.rank}, expected rows or batches of rows")
    width = settled(x.shape[-1])
    if width is None:
        raise UnknownError(f"the width of '{x.name}' is not known")
    shares = _shares(build, spec, spec.operand(1), weights, normalised)
    inner = unsqueeze(build, reshape(build, x, -1, width), 0)
    hidden = _activated(build, spec, _layer(build, inner, *layers[0]))
    results = _layer(build, hidden, *layers[1])
    counted = build.op("Mul", results, unsqueeze(build, build.op("Transpose", shares, perm=(1, 0)), -1))
    total = build.op("ReduceSum", counted, ints(build, 0), keepdims=0)
    return [total if x.rank == 2 else build.op("Reshape", total, build.op("Shape", x))]


def _experts(build: Build, spec: Spec) -> Outputs:
    if spec.input(6) is not None or spec.input(7) is not None:
        raise spec.unsupported("a third layer of experts is one that onnxruntime does not run on CPUs")
    layers = ((spec.operand(2), spec.input(3)), (spec.operand(4), spec.input(5)))
    return _mixture(build, spec, layers, normalised=bool(spec.attr("normalize_routing_weights")))


# -- QMoE --------------------------------------------------------------------------------------------------------------


def _layer_bits(spec: Spec, number_: int) -> int:
    return int(spec.attr(f"fc{number_}_expert_weight_bits") or spec.attr("expert_weight_bits"))


def _restored(build: Build, spec: Spec, layer: int, weights: int, zeros: int) -> Value:
    """The weights [experts, outer, inner] of a layer; input weights + 1 holds their scales."""
    bits, block, scales = _layer_bits(spec, layer), int(spec.attr("block_size") or 0), spec.operand(weights + 1)
    if bits not in (2, 4, 8):
        raise spec.invalid(f"weights of {bits} bits, expected 2, 4 or 8")
    codes = unpacked(build, spec.operand(weights), bits)
    inner = settled(codes.shape[-1])
    if inner is None:
        raise UnknownError(f"the shape of the weights of layer {layer} is not known")
    middles = spec.input(zeros)
    if middles is not None:
        middles = unpacked(build, middles, bits)
    if not block:
        block = inner
        scales = unsqueeze(build, scales, -1) if scales.rank == 2 else scales
        middles = None if middles is None else unsqueeze(build, middles, -1)
    elif middles is not None:  # rows of packed bytes may be longer than their blocks
        middles = build.op(
            "Slice", middles, ints(build, 0), build.op("Shape", scales, start=-1), ints(build, -1), ints(build, 1)
        )  # fmt: skip
    floats = dequantised(build, codes, cast(build, scales, DType.FLOAT), middles, bits, block)
    return cast(build, floats, spec.operand(0).dtype)


def _quantised_experts(build: Build, spec: Spec) -> Outputs:
    if any(spec.input(i) is not None for i in (8, 9, 10, 13)):
        raise spec.unsupported("a third layer of experts is one that onnxruntime does not run on CPUs")
    if spec.text("quant_type") != "int" or len(spec.inputs) > 15 or spec.attr("weights_prepacked") not in (-1, 0):
        raise spec.unsupported("its weights are no integers in the order of the standard; onnxruntime has them on GPUs")
    layers = (
        (_restored(build, spec, 1, 2, 11), spec.input(4)),
        (_restored(build, spec, 2, 5, 12), spec.input(7)),
    )
    # Without weights of their own onnxruntime's kernel takes the softmax over the chosen experts, whatever is asked.
    normalised = bool(spec.attr("normalize_routing_weights")) or spec.input(14) is None
    return _mixture(build, spec, layers, spec.input(14), normalised=normalised)


_MIXTURE = {
    "activation_alpha": 1.0, "activation_beta": 0.0, "activation_type": "relu", "k": 1, "normalize_routing_weights": 0,
    "swiglu_fusion": 0, "swiglu_limit": None, "swiglu_limit_after_activation": 0,
    "use_sparse_mixer": 0,  # onnxruntime's CPU kernel does not look at it
}  # fmt: skip
_BITS = {
    "accuracy_level": 0, "block_size": None, "expert_weight_bits": 4, "fc1_expert_weight_bits": None,
    "fc2_expert_weight_bits": None, "fc3_expert_weight_bits": None, "quant_type": "int", "weights_prepacked": -1,
}  # fmt: skip

OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "MoE"): ContribOp(_experts, (5, 8), _MIXTURE),
        (MICROSOFT, "QMoE"): ContribOp(_quantised_experts, (6, 21), {**_MIXTURE, **_BITS}),
    }
)
