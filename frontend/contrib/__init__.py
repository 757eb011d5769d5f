"""Ops that onnxruntime's own optimiser and quantiser write (domain com.microsoft), said in standard ops.

onnx has no schemas for them: the tables state what each accepts. Their tests compare with onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from arenaut.frontend.contrib import (
    attention,
    codes,
    convolution,
    decoder,
    experts,
    gated,
    general,
    grouped,
    quantized,
    selection,
    text,
)
from arenaut.frontend.contrib.deferred import defer, deferred_records
from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs, contrib_spec
from arenaut.frontend.nodes import import_plain
from arenaut.frontend.scope import Handler, Scope
from arenaut.frontend.spec import Spec
from arenaut.frontend.structure import normal_domain
from arenaut.frontend.upgrade.common import scalar_like
from arenaut.ir import Value
from arenaut.ir.ops import add_records
from arenaut.ir.record import Build, UnknownError
from arenaut.ir.schemas import signature


def _gelu(build: Build, spec: Spec) -> Outputs:
    return [build.op("Gelu", spec.operand(0))]


def _bias_gelu(build: Build, spec: Spec) -> Outputs:
    return [build.op("Gelu", build.op("Add", spec.operand(0), spec.operand(1)))]


def _fast_gelu(build: Build, spec: Spec) -> Outputs:
    x, bias = spec.operand(0), spec.input(1)
    return [build.op("Gelu", x if bias is None else build.op("Add", x, bias), approximate="tanh")]


def _quick_gelu(build: Build, spec: Spec) -> Outputs:
    return [build.op("Swish", spec.operand(0), alpha=spec.attr("alpha"))]


def _fused_matmul(build: Build, spec: Spec) -> Outputs:
    a = _oriented(build, spec, 0, spec.attr("transA"), spec.attr("transBatchA"))
    b = _oriented(build, spec, 1, spec.attr("transB"), spec.attr("transBatchB"))
    product = build.op("MatMul", a, b)
    alpha = spec.attr("alpha")
    return [product if alpha == 1 else build.op("Mul", product, scalar_like(build, alpha, product))]


def _oriented(build: Build, spec: Spec, index: int, transposed: int, batch_inside: int) -> Value:
    """An operand with its matrix in the last two dims. batch_inside: the first dim of the matrix is stored before the
    batch dims, as [M, batch..., K]."""
    value = spec.operand(index)
    if not transposed and not batch_inside:
        return value
    if not value.has_shape:
        stored = "z...y" if batch_inside else "...zy"
        rows, columns = ("y", "z") if transposed else ("z", "y")
        return build.op("Einsum", value, equation=f"{stored}->...{rows}{columns}")
    order = list(range(value.rank))
    if value.rank < 2:
        return value
    if batch_inside:
        order = [*order[1:-1], 0, order[-1]]
    if transposed:
        order[-2:] = reversed(order[-2:])
    turned = build.op("Transpose", value, perm=tuple(order))
    return turned


def _activated(build: Build, spec: Spec, value: Value, settings: Mapping[str, Any]) -> Outputs:
    op = spec.attr("activation")
    return [build.op(op, value, **settings) if op else value]


def _fused_gemm(build: Build, spec: Spec) -> Outputs:
    settings = {name: spec.attr(name) for name in ("alpha", "beta", "transA", "transB")}
    product = build.op("Gemm", *spec.inputs, **settings)
    given = {name: spec.attr(f"activation_{name}") for name in ("alpha", "beta", "gamma")}
    return _activated(build, spec, product, {k: v for k, v in given.items() if v is not None})


_CONV_ACTIVATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}
)


def _fused_conv(build: Build, spec: Spec) -> Outputs:
    settings = {n: spec.attr(n) for n in ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")}
    result = build.op("Conv", spec.operand(0), spec.operand(1), spec.input(2), **settings)
    if spec.input(3) is not None:
        result = build.op("Add", result, spec.operand(3))
    activation, values = spec.attr("activation"), spec.attr("activation_params") or ()
    if activation == "Clip":
        return [build.op("Clip", result, *(scalar_like(build, v, result) for v in values))]
    return _activated(build, spec, result, dict(zip(_CONV_ACTIVATIONS.get(activation, ()), values, strict=False)))


def _skip_norm(op: str, bias_at: int) -> Callable[[Build, Spec], Outputs]:
    """A normalisation of a residual sum, which is also given out."""

    def rule(build: Build, spec: Spec) -> Outputs:
        if spec.is_wanted(1) or spec.is_wanted(2):
            raise spec.unsupported("its outputs mean and inv_std_var exist only for training; remove them")
        total = build.op("Add", spec.operand(0), spec.operand(1))
        bias = spec.input(bias_at)
        if bias is not None:
            total = build.op("Add", total, bias)
        operands = [total, spec.operand(2)] + ([spec.input(3)] if bias_at == 4 else [])
        return [build.op(op, *operands, axis=-1, epsilon=spec.attr("epsilon")), None, None, total]

    return rule


def _rms_norm(build: Build, spec: Spec) -> Outputs:
    if spec.is_wanted(1):
        raise spec.unsupported("its output inv_std_var exists only for training; remove it")
    settings = {"axis": spec.attr("axis"), "epsilon": spec.attr("epsilon"), "stash_type": spec.attr("stash_type")}
    return [build.op("RMSNormalization", spec.operand(0), spec.operand(1), **settings)]


def _layer_norm(build: Build, spec: Spec) -> Outputs:
    settings = {"axis": spec.attr("axis"), "epsilon": spec.attr("epsilon"), "stash_type": spec.attr("stash_type")}
    results = build.ops("LayerNormalization", *spec.inputs, outputs=3, **settings)
    return results


_NORM = {"axis": -1, "epsilon": 1e-5, "stash_type": 1}
_MATMUL = {"alpha": 1.0, "transA": 0, "transB": 0, "transBatchA": 0, "transBatchB": 0}
_ACTIVATION = {"activation": "", "activation_alpha": None, "activation_beta": None, "activation_gamma": None}
_CONV = {
    "auto_pad": "NOTSET", "dilations": None, "group": 1, "kernel_shape": None, "pads": None, "strides": None,
    "activation": "", "activation_params": None,
}  # fmt: skip

_OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "Gelu"): ContribOp(_gelu, (1, 1)),
        (MICROSOFT, "BiasGelu"): ContribOp(_bias_gelu, (2, 2)),
        (MICROSOFT, "FastGelu"): ContribOp(_fast_gelu, (1, 2)),
        (MICROSOFT, "QuickGelu"): ContribOp(_quick_gelu, (1, 1), {"alpha": 1.702}),
        (MICROSOFT, "FusedMatMul"): ContribOp(_fused_matmul, (2, 2), _MATMUL),
        (MICROSOFT, "TransposeMatMul"): ContribOp(_fused_matmul, (2, 2), _MATMUL),
        (MICROSOFT, "FusedGemm"): ContribOp(
            _fused_gemm, (2, 3), {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **_ACTIVATION}
        ),
        (MICROSOFT, "FusedConv"): ContribOp(_fused_conv, (2, 4), _CONV),
        (MICROSOFT, "SkipLayerNormalization"): ContribOp(
            _skip_norm("LayerNormalization", 4), (3, 5), {"epsilon": 1e-12}, outputs=4
        ),
        (MICROSOFT, "SkipSimplifiedLayerNormalization"): ContribOp(
            _skip_norm("RMSNormalization", 3), (3, 4), {"epsilon": 1e-12}, outputs=4
        ),
        # onnxruntime writes these into the standard domain, where the standard does not have them, or not yet.
        ("", "SimplifiedLayerNormalization"): ContribOp(_rms_norm, (2, 2), _NORM, outputs=2),
        ("", "LayerNormalization"): ContribOp(_layer_norm, (2, 3), _NORM, outputs=3),
        **attention.OPS,
        **codes.OPS,
        **decoder.OPS,
        **experts.OPS,
        **gated.OPS,
        **general.OPS,
        **convolution.OPS,
        **grouped.OPS,
        **quantized.OPS,
        **selection.OPS,
        **text.OPS,
    }
)


def _import(scope: Scope, proto: Any) -> Outputs:
    domain = normal_domain(proto.domain)
    if not domain and signature(domain, proto.op_type, scope.opsets[domain]) is not None:
        return import_plain(scope, proto)
    op = _OPS[domain, proto.op_type]
    spec, made = contrib_spec(op, scope, proto), len(scope.graph.nodes)
    try:
        return op.rule(scope.builder(spec.name), spec)
    except UnknownError:
        if not domain:
            raise
        scope.graph.remove(scope.graph.nodes[made:])
        return defer(op, scope, spec)


add_records(deferred_records({key: op for key, op in _OPS.items() if key not in text.OPS}))

HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType(dict.fromkeys(_OPS, _import))
