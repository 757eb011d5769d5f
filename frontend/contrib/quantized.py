"""onnxruntime's ops on quantised numbers: each reads its operands as DequantizeLinear does and, where its result is
quantised too, rounds it as QuantizeLinear does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.contrib.quantized_lstm import is_plain, quantized_lstm
from arenaut.frontend.spec import Spec
from arenaut.ir import ARENAUT_DOMAIN, DType, Value
from arenaut.ir.dims import product
from arenaut.ir.ops.block_matmul import BITS
from arenaut.ir.ops.quantize import narrowest, product_of, restored, rounded, saturated_node
from arenaut.ir.ops.support.composite import cast, concat, dims_of, reshape, transpose, unsqueeze
from arenaut.ir.record import Build


def real(build: Build, spec: Spec, index: int, scale: int, zero: int, axis: int = 1) -> Value:
    """Operand `index` as floats; its scale and zero point are inputs too, one or one a line along axis."""
    return restored(build, spec.operand(index), spec.operand(scale), spec.input(zero), axis)


def _rounded(build: Build, spec: Spec, x: Value, scale: int, zero: int) -> Value:
    """x quantised; without a zero point as uint8."""
    return rounded(build, x, spec.operand(scale), spec.input(zero))


def _linear(op: str) -> Callable[[Build, Spec], Outputs]:
    """QuantizeLinear and DequantizeLinear, of which onnxruntime had its own before the standard had all types."""

    def rule(build: Build, spec: Spec) -> Outputs:
        scale, zero = narrowest(build, spec.operand(1)), narrowest(build, spec.input(2))
        return [build.op(op, spec.operand(0), scale, zero, axis=spec.attr("axis"))]

    return rule


def _binary(op: str) -> Callable[[Build, Spec], Outputs]:
    def rule(build: Build, spec: Spec) -> Outputs:
        result = build.op(op, real(build, spec, 0, 1, 2), real(build, spec, 3, 4, 5))
        return [_rounded(build, spec, result, 6, 7)]

    return rule


def _unary(op: str, *attributes: str) -> Callable[[Build, Spec], Outputs]:
    def rule(build: Build, spec: Spec) -> Outputs:
        y = _unary_of(build, spec, op, {name: spec.attr(name) for name in attributes})
        return [_rounded(build, spec, y, 3, 4)]

    return rule


def _unary_of(build: Build, spec: Spec, op: str, settings: Mapping[str, Any]) -> Value:
    """The op of the floats that input 0 stands for, in the node's layout."""
    x = real(build, spec, 0, 1, 2)
    if not spec.attr("channels_last"):
        return build.op(op, x, **settings)
    if not x.has_shape:
        x = build.op("Einsum", x, equation="n...c->nc...")
        return build.op("Einsum", build.op(op, x, **settings), equation="nc...->n...c")
    first = build.op("Transpose", x, perm=(0, x.rank - 1, *range(1, x.rank - 1)))
    return build.op("Transpose", build.op(op, first, **settings), perm=(0, *range(2, x.rank), 1))


def _average_pool(build: Build, spec: Spec) -> Outputs:
    """As onnxruntime has it: means are rounded after the zero point is added, which takes ties to another side, and
    count_include_pad counts what a last window of ceil_mode has beyond the pads."""
    settings = {name: spec.attr(name) for name in _POOL_ATTRIBUTES}
    if settings["count_include_pad"] and settings["ceil_mode"]:
        settings = _with_whole_windows(settings)
    mean = _unary_of(build, spec, "AveragePool", settings)
    zero = spec.input(4)
    if zero is None:
        return [_rounded(build, spec, mean, 3, 4)]
    shifted = build.op("Add", build.op("Div", mean, spec.operand(3)), cast(build, zero, DType.FLOAT))
    return [saturated_node(build, shifted, None, zero.dtype)]


def _with_whole_windows(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Pads at the end that make every window whole, and as many windows, where none could begin in those pads."""
    kernel = settings["kernel_shape"] or ()
    strides, pads = settings["strides"] or (1,) * len(kernel), settings["pads"] or (0,) * (2 * len(kernel))
    ends = pads[len(kernel) :]
    if settings["auto_pad"] != "NOTSET" or any(s > k - e for k, s, e in zip(kernel, strides, ends, strict=False)):
        return dict(settings)
    longer = (e + s - 1 for e, s in zip(ends, strides, strict=False))
    return {**settings, "ceil_mode": 0, "pads": (*pads[: len(kernel)], *longer)}


def _global_average(build: Build, spec: Spec) -> Outputs:
    """Sums of whole numbers, scaled once: products with ones, where images have a known size and no sum overflows."""
    x = spec.operand(0)
    scalars = all(v is None or (v.has_shape and v.rank == 0) for v in (spec.input(1), spec.input(2)))
    size = product(x.shape[2:]) if x.has_shape and x.rank > 2 and not spec.attr("channels_last") else None
    if not scalars or not isinstance(size, int) or not 0 < size < 1 << 23:
        return _unary("GlobalAveragePool")(build, spec)
    ones = build.constant(np.ones((size, 1), np.int8))
    total = build.op("MatMulInteger", reshape(build, x, dims_of(build, x, 0, 2), size), ones, spec.input(2))
    unit = build.op("Div", spec.operand(1), build.constant(np.array(size, np.float32)))
    mean = build.op("Mul", cast(build, total, DType.FLOAT), unit)
    ended = reshape(build, mean, dims_of(build, x, 0, 2), *(1 for _ in x.shape[2:]))
    return [_rounded(build, spec, ended, 3, 4)]


def _softmax(build: Build, spec: Spec) -> Outputs:
    x, axis = real(build, spec, 0, 1, 2), int(spec.attr("axis"))
    if spec.attr("opset") is not None and spec.attr("opset") < 13 and axis % x.rank != x.rank - 1:
        axis %= x.rank
        outer = build.op("Flatten", x, axis=axis)
        result = build.op("Reshape", build.op("Softmax", outer, axis=1), build.op("Shape", x))
    else:
        result = build.op("Softmax", x, axis=axis)
    return [_rounded(build, spec, result, 3, 4)]


def _concat(build: Build, spec: Spec) -> Outputs:
    if len(spec.inputs) % 3 != 2:
        raise spec.invalid(f"{len(spec.inputs)} inputs are no list of tensors with scale and zero point")
    parts = [real(build, spec, i, i + 1, i + 2) for i in range(2, len(spec.inputs), 3)]
    return [_rounded(build, spec, concat(build, parts, spec.attr("axis")), 0, 1)]


def _where(build: Build, spec: Spec) -> Outputs:
    chosen = build.op("Where", spec.operand(0), real(build, spec, 1, 2, 3), real(build, spec, 4, 5, 6))
    return [_rounded(build, spec, chosen, 7, 8)]


def _gemm(build: Build, spec: Spec) -> Outputs:
    a = real(build, spec, 0, 1, 2)
    b = real(build, spec, 3, 4, 5, axis=0 if spec.attr("transB") else 1)
    settings = {name: spec.attr(name) for name in ("alpha", "transA", "transB")}
    bias = spec.input(6)
    if bias is not None:  # in units of both scales and alpha
        unit = product_of(build, spec.operand(1), spec.operand(4))
        if spec.attr("alpha") != 1:
            unit = product_of(build, unit, build.constant(np.array(spec.attr("alpha"), np.float32)))
        bias = restored(build, bias, unit, None, 0)
    result = build.op("Gemm", a, b, bias, **settings)
    return [_rounded(build, spec, result, 7, 8) if spec.input(7) is not None else result]


# -- products of quantised operands that give floats -----------------------------------------------------------


def _plus(build: Build, x: Value, bias: Value | None) -> Value:
    return x if bias is None else build.op("Add", x, bias)


def _matmul_to_float(build: Build, spec: Spec) -> Outputs:
    a = real(build, spec, 0, 2, 4, axis=-2)
    b = real(build, spec, 1, 3, 5, axis=-1)
    return [_plus(build, build.op("MatMul", a, b), spec.input(6))]


def _dynamic_matmul(build: Build, spec: Spec) -> Outputs:
    quantised, scale, zero = build.ops("DynamicQuantizeLinear", spec.operand(0), outputs=3)
    total = build.op("MatMulInteger", quantised, spec.operand(1), zero, spec.input(3))
    unit = build.op("Mul", scale, spec.operand(2))
    return [_plus(build, build.op("Mul", cast(build, total, DType.FLOAT), unit), spec.input(4))]


def _matmul_n_bits(build: Build, spec: Spec) -> Outputs:
    """The weight is stored by columns, in blocks along the inner dim that share a scale."""
    bits, block, depth, columns = (int(spec.attr(name) or 0) for name in ("bits", "block_size", "K", "N"))
    stored, zero, groups = spec.operand(1).constant, spec.input(3), spec.input(4)
    if bits not in BITS or block < 16 or block & (block - 1) or depth < 1 or columns < 1:
        raise spec.unsupported(f"{bits} bits in blocks of {block} of a {depth} x {columns} weight")
    if stored is None or (zero is not None and zero.constant is None):
        raise spec.unsupported("its weight is not stored in the model")
    if groups is not None and not _in_order(groups.constant, depth, block):
        raise spec.unsupported("its weight is reordered by group indices")
    blocks = -(-depth // block)
    if stored.dtype != np.uint8 or stored.size != columns * blocks * (block * bits // 8):
        raise spec.invalid(f"the weight has {stored.size} bytes, not those of {columns} x {blocks} blocks")
    if zero is not None and zero.dtype is not DType.UINT8:
        raise spec.unsupported("its zero points are floats")
    if zero is not None and zero.constant is not None and zero.constant.size != columns * -(-blocks * bits // 8):
        raise spec.invalid(f"the zero points have {zero.constant.size} bytes, not those of {columns} x {blocks} blocks")
    product = build.op(
        "BlockMatMul", *(spec.operand(i) for i in range(3)), zero, domain=ARENAUT_DOMAIN, bits=bits, block_size=block,
        K=depth, N=columns, accuracy_level=int(spec.attr("accuracy_level") or 0),
    )  # fmt: skip
    return [_plus(build, product, spec.input(5))]


def _in_order(groups: Any, depth: int, block: int) -> bool:
    """Whether the group of every row is that of its block."""
    return groups is not None and np.array_equal(groups.reshape(-1)[:depth], np.arange(depth) // block)


# -- DynamicQuantizeLSTM ---------------------------------------------------------------------------------------


def _lstm(build: Build, spec: Spec) -> Outputs:
    """As onnxruntime computes it. With activations of other kinds, a clip, peepholes or lengths: the LSTM of the
    weights that the quantised ones stand for, without the rounding of x and of hidden states."""
    if is_plain(spec):
        return quantized_lstm(build, spec)

    def weights(index: int, scale: int) -> Value:
        unit, zero = (_per_column(build, spec.operand(i)) for i in (scale, scale + 1))
        numbers = build.op("Sub", *(cast(build, v, DType.FLOAT) for v in (spec.operand(index), zero)))
        return transpose(build, build.op("Mul", numbers, unit), (0, 2, 1))

    names = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget")
    settings = {name: spec.attr(name) for name in names}
    operands = [spec.operand(0), weights(1, 8), weights(2, 10), *(spec.input(i) for i in range(3, 8))]
    results = build.ops("LSTM", *operands, outputs=3, layout=0, **settings)
    return results


def _per_column(build: Build, value: Value) -> Value:
    """[directions] or [directions, columns] against [directions, rows, columns]."""
    return unsqueeze(build, value, 1) if value.rank == 2 else unsqueeze(build, value, *range(value.rank, 3))


_POOL = {
    "auto_pad": "NOTSET", "ceil_mode": 0, "channels_last": 0, "count_include_pad": 0, "kernel_shape": None,
    "pads": None, "strides": None,
}  # fmt: skip
_POOL_ATTRIBUTES = tuple(n for n in _POOL if n != "channels_last")
_LSTM = {
    "activation_alpha": None, "activation_beta": None, "activations": None, "clip": None, "direction": "forward",
    "hidden_size": None, "input_forget": 0,
}  # fmt: skip
_N_BITS = {"K": None, "N": None, "bits": 4, "block_size": None, "accuracy_level": 0, "weight_prepacked": 0}


def _qlinear_conv(build: Build, spec: Spec) -> Outputs:
    if spec.attr("channels_last"):
        raise spec.unsupported("channels_last is not known here")
    settings = {name: spec.attr(name) for name in _CONV if name != "channels_last"}
    return [build.op("QLinearConv", *spec.inputs, **settings)]


_CONV = {
    "auto_pad": "NOTSET", "channels_last": 0, "dilations": None, "group": 1, "kernel_shape": None, "pads": None,
    "strides": None,
}  # fmt: skip

OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, name): op
        for name, op in {
            "QuantizeLinear": ContribOp(_linear("QuantizeLinear"), (2, 3), {"axis": 1}),
            "DequantizeLinear": ContribOp(_linear("DequantizeLinear"), (2, 3), {"axis": 1}),
            "QLinearAdd": ContribOp(_binary("Add"), (7, 8)),
            "QLinearMul": ContribOp(_binary("Mul"), (7, 8)),
            "QLinearSigmoid": ContribOp(_unary("Sigmoid"), (4, 5)),
            "QLinearLeakyRelu": ContribOp(_unary("LeakyRelu", "alpha"), (4, 5), {"alpha": 0.01}),
            "QLinearAveragePool": ContribOp(_average_pool, (4, 5), _POOL),
            "QLinearGlobalAveragePool": ContribOp(_global_average, (5, 5), {"channels_last": 0}),
            "QLinearSoftmax": ContribOp(_softmax, (5, 5), {"axis": -1, "opset": None}),
            "QLinearConcat": ContribOp(_concat, (5, 1 << 20), {"axis": None}),
            "QLinearWhere": ContribOp(_where, (9, 9)),
            "QLinearConv": ContribOp(_qlinear_conv, (8, 9), _CONV),
            "QGemm": ContribOp(_gemm, (6, 9), {"alpha": 1.0, "transA": 0, "transB": 0}),
            "MatMulIntegerToFloat": ContribOp(_matmul_to_float, (4, 7)),
            "DynamicQuantizeMatMul": ContribOp(_dynamic_matmul, (3, 5)),
            "MatMulNBits": ContribOp(_matmul_n_bits, (3, 6), _N_BITS),
            "DynamicQuantizeLSTM": ContribOp(_lstm, (12, 12), _LSTM, outputs=3),
        }.items()
    }
)
