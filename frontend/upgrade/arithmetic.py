"""Elementwise ops and products: broadcasting by axis, limits and types that were attributes."""

from __future__ import annotations

from types import MappingProxyType

from arenaut.frontend.spec import Outcome, Spec, int64s
from arenaut.frontend.upgrade.common import Rules, drop, for_ops, known_rank, normal_axis, scalar_like
from arenaut.ir import DType
from arenaut.ir.record import Build

_IN_PLACE_HINTS = (
    "Abs", "Ceil", "Elu", "Exp", "Floor", "HardSigmoid", "LeakyRelu", "Log", "Neg", "PRelu", "Reciprocal", "Relu",
    "Selu", "Sigmoid", "Sqrt", "Tanh", "Max", "Mean", "Min", "Sum", "Add", "Sub", "Mul", "Div", "Clip",
)  # fmt: skip


def _aligned_by_axis(build: Build, spec: Spec) -> Outcome:
    """Before opset 7 input 1 was laid along the dims of input 0 from `axis` on, when `broadcast` was set."""
    axis, broadcast = spec.attr("axis"), spec.attr("broadcast", 0)
    plain = spec.without("axis", "broadcast")
    if not broadcast or axis is None:
        return plain
    left, right = spec.operand(0), spec.operand(1)
    why = "it broadcasts by axis"
    rank, small = known_rank(spec, left, why), known_rank(spec, right, why)
    missing = rank - normal_axis(axis, rank) - small
    if missing < 0:
        raise spec.invalid(f"axis {axis} leaves no room for {right.type} along {left.type}")
    if missing == 0:
        return plain
    return plain.with_input(1, build.op("Unsqueeze", right, int64s(build, range(small, small + missing))))


def _per_channel_slope(build: Build, spec: Spec) -> Outcome:
    """Before opset 7 a slope of rank 1 belonged to the channels, axis 1."""
    x, slope = spec.operand(0), spec.operand(1)
    why = "its slope is per channel"
    if known_rank(spec, slope, why) != 1 or slope.shape[0] == 1:
        return spec
    trailing = known_rank(spec, x, why) - 2
    return (
        spec.with_input(1, build.op("Unsqueeze", slope, int64s(build, range(1, 1 + trailing))))
        if trailing > 0
        else spec
    )


def _limits_to_inputs(build: Build, spec: Spec) -> Outcome:
    """The defaults are limits too, the largest floats: infinities are clipped to them. Narrower types have none that
    large."""
    moved = spec.without("min", "max")
    x = spec.operand(0)
    for place, limit in ((1, spec.attr("min")), (2, spec.attr("max"))):
        fits = x.type is None or x.dtype.itemsize >= 4 or abs(limit or 0) < 3.4e38
        if limit is not None and fits:
            moved = moved.with_input(place, scalar_like(build, limit, x))
    return moved


def _type_by_name(build: Build, spec: Spec) -> Outcome:
    """Cast named its target type as text."""
    name = str(spec.attr("to")).upper()
    if name not in DType.__members__:
        raise spec.invalid(f"attribute to='{spec.attr('to')}' names no element type")
    return spec.without(to=int(DType[name]))


RULES: Rules = MappingProxyType(
    {
        **for_ops(_IN_PLACE_HINTS, 1, drop("consumed_inputs")),
        **for_ops(("Add", "Sub", "Mul", "Div"), 6, _aligned_by_axis),
        **for_ops(("And", "Or", "Xor", "Equal", "Greater", "Less", "Pow"), 1, _aligned_by_axis),
        ("", "PRelu", 6): _per_channel_slope,
        ("", "Clip", 6): _limits_to_inputs,
        ("", "Cast", 1): _type_by_name,
        ("", "Gemm", 6): drop("broadcast"),  # C may always be broadcast now
    }
)
