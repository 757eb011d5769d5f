"""Sampling: Upsample and Resize before their coordinates had names, and renamed interpolation modes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.frontend.spec import Outcome, Rule, Spec
from arenaut.frontend.upgrade.common import Rules, only, setting
from arenaut.ir import Value
from arenaut.ir.record import Build

_MODES: Mapping[str, str] = MappingProxyType({"bilinear": "linear", "bicubic": "cubic"})


def _scales_of_image(build: Build, spec: Spec) -> Outcome:
    scales = (1.0, 1.0, spec.attr("height_scale"), spec.attr("width_scale"))
    return spec.without("height_scale", "width_scale", scales=scales)


def _scales_to_input(build: Build, spec: Spec) -> Outcome:
    scales = build.constant(np.array(spec.attr("scales"), np.float32))
    return spec.without("scales").with_input(1, scales)


def _as_resize(build: Build, spec: Spec) -> Outcome:
    """Upsample's axes do not shrink."""
    named = _new_mode_name(build, spec.change(op="Resize", version=10))
    x, scales = spec.operand(0), spec.operand(1)
    if named.attr("mode") != "nearest" or scales.constant is not None:
        return named
    settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return named.without(**settings).change(version=11, inputs=(x, None, scales))


def _new_mode_name(build: Build, spec: Spec) -> Spec:
    mode = spec.attr("mode")
    return spec.without(mode=_MODES.get(mode, mode))


def _named_coordinates(build: Build, spec: Spec) -> Outcome:
    """Opset 10 scaled coordinates without a shift. A nearest neighbour was the next one where an axis shrinks and the
    one before where it grows, so a node that does both becomes two."""
    x, scales = spec.operand(0), spec.operand(1)
    named = spec.without(coordinate_transformation_mode="asymmetric").change(version=11)
    if spec.attr("mode") != "nearest":
        return named.change(inputs=(x, None, scales))
    known = scales.constant
    if known is not None and (known >= 1).all():
        return named.without(nearest_mode="floor").change(inputs=(x, None, scales))
    if known is not None and (known <= 1).all():
        return named.without(nearest_mode="ceil").change(inputs=(x, None, scales))
    one = build.constant(np.ones((), np.float32))

    def half(value: Value, bound: str, nearest: str) -> Value:
        settings: dict[str, Any] = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": nearest,
        }
        out = build.op("Resize", value, None, build.op(bound, scales, one), **settings)
        return out

    return only(half(half(x, "Min", "ceil"), "Max", "floor"))


def _half_pixel_for_nearest(build: Build, spec: Spec) -> Outcome:
    """Opset 11 gave scales with sizes as an empty tensor, and had a coordinate mode of its own for nearest neighbours:
    half_pixel shifted by one half, which is half_pixel with another rounding."""
    if spec.input(3) is not None:
        spec = spec.with_input(2, None)
    if spec.attr("coordinate_transformation_mode") != "tf_half_pixel_for_nn":
        return spec
    if spec.attr("mode") != "nearest" or spec.attr("nearest_mode") != "floor":
        raise spec.unsupported("tf_half_pixel_for_nn is known with mode=nearest and nearest_mode=floor only")
    return spec.without(coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil")


def _without_empty_inputs(build: Build, spec: Spec) -> Outcome:
    """An empty roi, scales or sizes means an absent one."""

    def kept(value: Value | None) -> Value | None:
        empty = value is not None and value.has_shape and value.shape == (0,)
        return None if empty else value

    inputs = [spec.operand(0), *(kept(v) for v in spec.inputs[1:])]
    while inputs[-1] is None:
        inputs.pop()
    return spec.change(inputs=tuple(inputs))


RULES: Rules = MappingProxyType(
    {
        ("", "Upsample", 1): _scales_of_image,
        ("", "Upsample", 7): _scales_to_input,
        ("", "Upsample", 9): _as_resize,
        ("", "Resize", 10): _named_coordinates,
        ("", "Resize", 11): _half_pixel_for_nearest,
        ("", "GridSample", 16): _new_mode_name,
        ("", "RoiAlign", 10): setting(coordinate_transformation_mode="output_half_pixel"),
    }
)

CANONICAL: Mapping[tuple[str, str], Rule] = MappingProxyType({("", "Resize"): _without_empty_inputs})
