"""Ops that onnxruntime's own optimiser writes (domain com.microsoft), said in standard ops.

onnx has no schemas for them: the table below states what each accepts. Its tests compare with onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from arenaut.frontend.nodes import Handler, convert_attributes
from arenaut.frontend.scope import Scope
from arenaut.frontend.spec import Spec
from arenaut.frontend.structure import label
from arenaut.frontend.upgrade.common import scalar_like
from arenaut.ir import Value
from arenaut.ir.errors import InvalidModelError
from arenaut.ir.record import Build

MICROSOFT = "com.microsoft"

Outputs = Sequence["Value | None"]


@dataclass(frozen=True)
class _ContribOp:
    """rule: the node's outputs in standard ops. defaults: every attribute it may have; None: required or optional."""

    rule: Callable[[Build, Spec], Outputs]
    inputs: tuple[int, int]  # fewest and most
    defaults: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1


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
    product: Value = build.op("MatMul", a, b)
    alpha = spec.attr("alpha")
    return [product if alpha == 1 else build.op("Mul", product, scalar_like(build, alpha, product))]


def _oriented(build: Build, spec: Spec, index: int, transposed: int, batch_inside: int) -> Value:
    """An operand with its matrix in the last two dims. batch_inside: the first dim of the matrix is stored before the
    batch dims, as [M, batch..., K]."""
    value = spec.operand(index)
    if not transposed and not batch_inside:
        return value
    if not value.has_shape:
        raise spec.unsupported(f"it transposes '{value.name}', whose rank is not known before running")
    order = list(range(value.rank))
    if value.rank < 2:
        return value
    if batch_inside:
        order = [*order[1:-1], 0, order[-1]]
    if transposed:
        order[-2:] = reversed(order[-2:])
    turned: Value = build.op("Transpose", value, perm=tuple(order))
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
        total: Value = build.op("Add", spec.operand(0), spec.operand(1))
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


_MATMUL = {"alpha": 1.0, "transA": 0, "transB": 0, "transBatchA": 0, "transBatchB": 0}
_ACTIVATION = {"activation": "", "activation_alpha": None, "activation_beta": None, "activation_gamma": None}
_CONV = {
    "auto_pad": "NOTSET", "dilations": None, "group": 1, "kernel_shape": None, "pads": None, "strides": None,
    "activation": "", "activation_params": None,
}  # fmt: skip

_OPS: Mapping[tuple[str, str], _ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "Gelu"): _ContribOp(_gelu, (1, 1)),
        (MICROSOFT, "BiasGelu"): _ContribOp(_bias_gelu, (2, 2)),
        (MICROSOFT, "FastGelu"): _ContribOp(_fast_gelu, (1, 2)),
        (MICROSOFT, "QuickGelu"): _ContribOp(_quick_gelu, (1, 1), {"alpha": 1.702}),
        (MICROSOFT, "FusedMatMul"): _ContribOp(_fused_matmul, (2, 2), _MATMUL),
        (MICROSOFT, "TransposeMatMul"): _ContribOp(_fused_matmul, (2, 2), _MATMUL),
        (MICROSOFT, "FusedGemm"): _ContribOp(
            _fused_gemm, (2, 3), {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **_ACTIVATION}
        ),
        (MICROSOFT, "FusedConv"): _ContribOp(_fused_conv, (2, 4), _CONV),
        (MICROSOFT, "SkipLayerNormalization"): _ContribOp(
            _skip_norm("LayerNormalization", 4), (3, 5), {"epsilon": 1e-12}, outputs=4
        ),
        (MICROSOFT, "SkipSimplifiedLayerNormalization"): _ContribOp(
            _skip_norm("RMSNormalization", 3), (3, 4), {"epsilon": 1e-12}, outputs=4
        ),
        # onnxruntime writes this one into the standard domain, where the standard does not have it.
        ("", "SimplifiedLayerNormalization"): _ContribOp(
            _rms_norm, (2, 2), {"axis": -1, "epsilon": 1e-5, "stash_type": 1}, outputs=2
        ),
    }
)


def _import(scope: Scope, proto: Any) -> Outputs:
    op = _OPS[proto.domain, proto.op_type]
    stated = convert_attributes(scope, proto)
    unknown = sorted(set(stated) - set(op.defaults))
    if unknown:
        raise InvalidModelError(f"{label(proto)}: it has no attribute {', '.join(unknown)} that arenaut knows of")
    inputs = scope.operands(label(proto), proto.input)
    if not op.inputs[0] <= len(inputs) <= op.inputs[1] or len(proto.output) > op.outputs:
        raise InvalidModelError(
            f"{label(proto)} has {len(inputs)} inputs and {len(proto.output)} outputs, expected "
            f"{op.inputs[0]} to {op.inputs[1]} inputs and at most {op.outputs} outputs"
        )
    spec = Spec(
        op=proto.op_type, domain=proto.domain, version=1, name=proto.name or next((o for o in proto.output if o), ""),
        inputs=inputs, wanted=tuple(bool(o) for o in proto.output), attributes={**op.defaults, **stated},
    )  # fmt: skip
    return op.rule(scope.builder(spec.name), spec)


HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType(dict.fromkeys(_OPS, _import))
