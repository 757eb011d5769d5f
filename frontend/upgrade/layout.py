"""Ops that move data without changing it: shapes, ranges and paddings that became inputs."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from arenaut.frontend.spec import Outcome, Spec, int64s
from arenaut.frontend.upgrade.common import Rules, ints_to_input, known_rank, normal_axis, scalar_like, setting
from arenaut.ir import DType
from arenaut.ir.record import Build


def _shape_to_input(build: Build, spec: Spec) -> Outcome:
    shape = spec.attr("shape")
    if shape is None:
        raise spec.invalid("its attribute 'shape' is required but absent")
    return spec.without("shape", "consumed_inputs").with_input(1, int64s(build, shape))


def _axes_to_input(build: Build, spec: Spec) -> Outcome:
    return spec.without("axes").with_input(1, int64s(build, spec.attr("axes")))


def _ranges_to_inputs(build: Build, spec: Spec) -> Outcome:
    moved = spec.without("starts", "ends", "axes")
    for index, name in enumerate(("starts", "ends", "axes"), start=1):
        values = spec.attr(name)
        moved = moved if values is None else moved.with_input(index, int64s(build, values))
    return moved


def _sizes_as_given(build: Build, spec: Spec) -> Outcome:
    """Split-1 took its sizes as an attribute or as an input of the data's type, and its axis had no stated default."""
    ready = setting(axis=0)(build, spec)
    assert isinstance(ready, Spec)
    if spec.input(1) is None:
        return ready
    sizes = build.op("Cast", spec.operand(1), to=int(DType.INT64))
    return ready.without("split").with_input(1, sizes).change(version=13)


def _count_of_parts(build: Build, spec: Spec) -> Outcome:
    return spec if spec.input(1) is not None else spec.without(num_outputs=len(spec.wanted))


def _renamed_pads(build: Build, spec: Spec) -> Outcome:
    return spec.without("paddings", pads=spec.attr("paddings"))


def _pads_to_inputs(build: Build, spec: Spec) -> Outcome:
    value = spec.attr("value", 0.0)
    moved = spec.without("pads", "value").with_input(1, int64s(build, spec.attr("pads")))
    return moved.with_input(2, scalar_like(build, value, spec.operand(0))) if value else moved


def _repeats_of_one_axis(build: Build, spec: Spec) -> Outcome:
    """Tile-1 repeated along one axis, both given as scalar inputs."""
    rank = known_rank(spec, spec.operand(0), "it repeats along one axis")
    tiles, axis = spec.operand(1), spec.operand(2)
    if axis.constant is None:
        raise spec.unsupported("its axis is computed while the model runs; make it a constant")
    chosen = normal_axis(int(axis.constant.reshape(-1)[0]), rank)
    if not 0 <= chosen < rank:
        raise spec.invalid(f"axis {int(axis.constant.reshape(-1)[0])} is outside {spec.operand(0).type}")
    if tiles.constant is not None:
        repeats = np.ones(rank, np.int64)
        repeats[chosen] = int(tiles.constant.reshape(-1)[0])
        return spec.change(inputs=(spec.operand(0), build.constant(repeats)))
    one = build.op("Reshape", build.op("Cast", tiles, to=int(DType.INT64)), int64s(build, [1]))
    parts = [int64s(build, [1] * chosen), one, int64s(build, [1] * (rank - chosen - 1))]
    return spec.change(inputs=(spec.operand(0), build.op("Concat", *parts, axis=0)))


def _scatter_elements(build: Build, spec: Spec) -> Outcome:
    return spec.change(op="ScatterElements", version=11)


RULES: Rules = MappingProxyType(
    {
        ("", "Squeeze", 11): ints_to_input("axes", 1),
        ("", "Unsqueeze", 11): _axes_to_input,
        ("", "Reshape", 1): _shape_to_input,
        ("", "Concat", 1): setting(axis=1),
        ("", "Slice", 1): _ranges_to_inputs,
        ("", "Split", 1): _sizes_as_given,
        ("", "Split", 11): ints_to_input("split", 1),
        ("", "Split", 13): _count_of_parts,
        ("", "Pad", 1): _renamed_pads,
        ("", "Pad", 2): _pads_to_inputs,
        ("", "Tile", 1): _repeats_of_one_axis,
        ("", "Scatter", 9): _scatter_elements,
    }
)
