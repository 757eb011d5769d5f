"""Activations: elementwise functions of one float operand, with attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Node
from arenaut.ir.ops.elementwise import FEW_ULP
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, broadcast_shapes, elementwise, tensor_like, to_dtype, widen
from arenaut.ir.ops.support.samples import FLOATS, NUMBERS, SIGNED
from arenaut.ir.record import EXACT, Infer, OpRecord, Reg, Sample, TileBuilder, Tolerance
from arenaut.ir.types import Type

# -- evaluators --------------------------------------------------------------------------------------------------


def _sigmoid(x: Array) -> Array:
    """Without overflow on either side."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _gelu(x: Array, approximate: str) -> Array:
    """In float64, in the forms that do not cancel for negative x."""
    wide = x.astype(np.float64)
    if approximate == "tanh":
        return wide * _sigmoid(2 * math.sqrt(2 / math.pi) * (wide + 0.044715 * wide * wide * wide))
    return np.asarray(0.5 * wide * np.frompyfunc(math.erfc, 1, 1)(-wide / math.sqrt(2)), np.float64)


def _elu(x: Array, alpha: float) -> Array:
    return np.asarray(np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x))


def _celu(x: Array, alpha: float) -> Array:
    return np.asarray(np.where(x < 0, alpha * np.expm1(np.minimum(x, 0) / alpha), x))


def _selu(x: Array, alpha: float, gamma: float) -> Array:
    return np.asarray(gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x))


def _shrink(x: Array, bias: float, lambd: float) -> Array:
    return np.asarray(np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, np.zeros((), x.dtype))))


# -- tile rules --------------------------------------------------------------------------------------------------


def _with_immediates(stem: str, *order: str) -> Any:
    """A stem whose further operands are the attributes named, as immediates."""

    def rule(builder: TileBuilder, x: Reg, **attributes: float) -> Reg:
        names = order or tuple(attributes)
        return builder.op(stem, x, *(builder.imm(attributes[n], x.dtype) for n in names))

    return rule


def _gelu_tile(builder: TileBuilder, x: Reg, approximate: str) -> Reg:
    return builder.op("gelu_tanh" if approximate == "tanh" else "gelu", x)


def _swish_tile(builder: TileBuilder, x: Reg, alpha: float) -> Reg:
    if alpha == 1:
        return builder.op("silu", x)
    return builder.op("mul", x, builder.op("sigmoid", builder.op("mul", builder.imm(alpha, x.dtype), x)))


# -- records -------------------------------------------------------------------------------------------------------


def _activation(
    op: str,
    function: Any,
    tile: Any,
    defaults: Mapping[str, Any] | None = None,
    chosen: Sequence[Mapping[str, Any]] = ({},),
    tolerance: Tolerance = FEW_ULP,
    dtypes: Sequence[DType] = FLOATS,
) -> OpRecord:
    """Sampled with default attributes and the chosen ones."""
    drawn = samples.elementwise(1, dtypes, -6, 6, attributes=({}, *chosen) if chosen != ({},) else chosen)
    return elementwise(op, function, tile=tile, defaults=defaults, flops=4, tolerance=tolerance, samples=drawn)


def _prelu_infer(context: Infer) -> Sequence[Type]:
    """The slope broadcasts to the shape of x, not the other way round."""
    x, slope = tensor_like(context), tensor_like(context, 1)
    if x.shape is not None and slope.shape is not None:
        merged = broadcast_shapes(context, (x.shape, slope.shape))
        if len(merged) != len(x.shape):
            raise context.fail("the slope has more dims than the input")
        for have, want in zip(x.shape, merged, strict=True):
            agree(context, have, want, "the slope does not broadcast to the input")
    return [x]


def _prelu_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, slope = widen(inputs[0]), widen(inputs[1])
    with np.errstate(all="ignore"):
        return [to_dtype(np.where(x < 0, x * slope, x), inputs[0].dtype)]


def _prelu_samples() -> Any:
    for dtype in (*FLOATS, DType.INT32, DType.INT64):
        x = samples.draw((2, 5, 7), dtype)
        for shape in ((2, 5, 7), (5, 1), (1,), (7,)):
            yield Sample((x, samples.draw(shape, dtype, 0, 3, seed=1)))


def _clip_bounds(inputs: Sequence[Any]) -> tuple[Any, Any]:
    return (inputs[1] if len(inputs) > 1 else None, inputs[2] if len(inputs) > 2 else None)


def _clip_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Where the lower bound exceeds the upper one, the result is the upper one. A bound that is NaN bounds nothing
    beside another one; alone it makes everything NaN."""
    out = widen(np.asarray(inputs[0]))
    low, high = (None if bound is None else widen(np.asarray(bound)) for bound in _clip_bounds(inputs))
    if low is not None and high is not None:
        raised = np.where(out < low, low, out)
        out = np.where(raised > high, high, raised)
    elif low is not None:
        out = np.where((out > low) | (out != out), out, low)
    elif high is not None:
        out = np.where((out < high) | (out != out), out, high)
    return [to_dtype(out, inputs[0].dtype)]


def _clip_data(context: Infer) -> Sequence[Array | None]:
    known = [context.known_data(i) if context.has(i) else None for i in range(3)]
    if any(context.has(i) and known[i] is None for i in range(3)) or known[0] is None:
        return [None]
    out: Array = known[0]
    for bound, function in ((known[1], dims.maximum), (known[2], dims.minimum)):
        if bound is not None:
            out = np.asarray(np.frompyfunc(function, 2, 1)(out, bound), object)
    return [out]


def _clip_tile(builder: TileBuilder, node: Node, registers: Sequence[Reg | None]) -> Sequence[Reg]:
    x, (low, high) = registers[0], _clip_bounds(registers)
    assert x is not None
    if low is not None and high is not None:
        return [builder.op("clip", x, low, high)]
    if low is not None:
        return [builder.op("max", x, low)]
    return [x if high is None else builder.op("min", x, high)]


def _clip_range(node: Node) -> tuple[float, float] | None:
    """The bounds, where they are known."""
    bounds = [-np.inf, np.inf]
    for index, value in enumerate(_clip_bounds([None, *node.inputs[1:]])):
        if value is not None and value.constant is None:
            return None
        if value is not None:
            bounds[index] = float(value.constant.reshape(-1)[0])
    return (min(bounds), bounds[1])


def _clip_samples() -> Any:
    for dtype in NUMBERS:
        x, low, high = samples.draw((3, 7), dtype, -9, 9), np.asarray(2).astype(dtype.numpy), np.asarray(5)
        high = high.astype(dtype.numpy)
        for bounds in ((low, high), (low,), (None, high), (), (high, low)):
            yield Sample((x, *bounds))


_clip = OpRecord(
    op="Clip",
    infer=lambda context: [context.type(0)],
    evaluate=_clip_evaluate,
    data=_clip_data,
    tile=_clip_tile,
    clips=_clip_range,
    flops=lambda node: 2 * dims.product(node.output.shape),
    samples=_clip_samples,
)

_prelu = OpRecord(
    op="PRelu",
    infer=_prelu_infer,
    evaluate=_prelu_evaluate,
    tile=lambda builder, node, registers: [builder.op("prelu", *(r for r in registers if r is not None))],
    flops=lambda node: 2 * dims.product(node.output.shape),
    samples=_prelu_samples,
)

# alpha x is rounded before its exponential, which multiplies that by as much.
_TAILS = Tolerance("ulp", 16)

_SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}
_alphas = ({"alpha": 0.25},)

RECORDS: tuple[OpRecord, ...] = (
    elementwise(
        "Relu", lambda x: np.where(x < 0, np.zeros((), x.dtype), x), tile="relu", clips=lambda node: (0.0, np.inf),
        samples=samples.elementwise(1, FLOATS + SIGNED),
    ),
    _activation("Sigmoid", _sigmoid, "sigmoid"),
    _activation("Softplus", _softplus, "softplus"),
    _activation("Softsign", lambda x: x / (1 + np.abs(x)), "softsign"),
    _activation("Mish", lambda x: x * np.tanh(_softplus(x)), "mish", tolerance=Tolerance("ulp", 6)),
    _activation("HardSwish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1), "hardswish"),
    # The tails are exponentials of up to -25, which multiply the three roundings of their argument.
    _activation(
        "Gelu", _gelu, _gelu_tile, {"approximate": "none"}, ({"approximate": "tanh"},), Tolerance("ulp", 80)
    ),
    _activation(
        "Swish", lambda x, alpha: x * _sigmoid(alpha * x), _swish_tile, {"alpha": 1.0}, ({"alpha": 1.5},), _TAILS
    ),
    _activation("Elu", _elu, _with_immediates("elu"), {"alpha": 1.0}, _alphas),
    _activation("Celu", _celu, _with_immediates("celu"), {"alpha": 1.0}, _alphas),
    _activation("Selu", _selu, _with_immediates("selu"), _SELU, ({"alpha": 1.5, "gamma": 0.75},)),
    _activation(
        "LeakyRelu", lambda x, alpha: np.where(x < 0, alpha * x, x), _with_immediates("leaky_relu"), {"alpha": 0.01},
        _alphas,
    ),
    _activation(
        "ThresholdedRelu", lambda x, alpha: np.where(x > alpha, x, np.zeros((), x.dtype)),
        _with_immediates("thresholded_relu"), {"alpha": 1.0}, _alphas, EXACT,
    ),
    _activation(
        "HardSigmoid", lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), _with_immediates("hardsigmoid"),
        {"alpha": 0.2, "beta": 0.5}, ({"alpha": 0.25, "beta": 0.375},),
    ),
    _activation(
        "Shrink", _shrink, _with_immediates("shrink", "lambd", "bias"), {"bias": 0.0, "lambd": 0.5},
        ({"bias": 0.5, "lambd": 1.5},), dtypes=(DType.FLOAT, DType.DOUBLE, DType.FLOAT16),
    ),
    _prelu,
    _clip,
)  # fmt: skip
