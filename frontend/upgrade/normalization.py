"""Normalisations: statistics modes that outputs used to tell, softmax over flattened dims, scales per group."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from arenaut.frontend.spec import Outcome, Spec, int64s, rank_of
from arenaut.frontend.upgrade.common import (
    Rules,
    drop,
    for_ops,
    known_rank,
    normal_axis,
    only,
    reshaped_back,
    scalar_like,
)
from arenaut.ir.record import Build


def _over_flattened(build: Build, spec: Spec) -> Outcome:
    """Before opset 13 the input was seen as a matrix, split at axis, and rows were normalised whole."""
    x, axis = spec.operand(0), spec.attr("axis", 1)
    rank = rank_of(x)
    if rank is not None and normal_axis(axis, rank) == rank - 1:
        return spec.without(axis=-1)
    rows = build.op("Flatten", x, axis=axis)
    return only(reshaped_back(build, build.op(spec.op, rows, axis=-1), x))


def _one_statistic_per_element(build: Build, spec: Spec) -> Outcome:
    """With spatial=0 each element of a sample had its own statistics."""
    if spec.attr("spatial", 1):
        return spec.without("spatial")
    if any(spec.wanted[1:]):
        raise spec.unsupported("training with spatial=0 has no form in later opsets")
    x, scale, bias, mean, var = (spec.operand(i) for i in range(5))
    spread = build.op("Sqrt", build.op("Add", var, scalar_like(build, spec.attr("epsilon"), var)))
    centred = build.op("Div", build.op("Sub", x, mean), spread)
    return only(build.op("Add", build.op("Mul", centred, scale), bias))


def _training_by_outputs(build: Build, spec: Spec) -> Outcome:
    """More than one output meant training; that became an attribute, and the saved statistics went."""
    if not any(spec.wanted[1:]):
        return spec.change(wanted=spec.wanted[:1])
    if any(spec.wanted[3:]):
        raise spec.unsupported("its outputs saved_mean and saved_var exist only for a backward pass; remove them")
    return spec.change(wanted=spec.wanted[:3]).without(training_mode=1)


def _per_channel_scale(build: Build, spec: Spec) -> Outcome:
    """Before opset 21 scale and bias had one element per group, not per channel."""
    x, groups = spec.operand(0), spec.attr("num_groups")
    known_rank(spec, x, "its scale is per group")
    channels = x.shape[1]
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        raise spec.invalid(f"{groups} groups do not divide the channels of {x.type}")

    def spread(index: int) -> object:
        column = build.op("Unsqueeze", spec.operand(index), int64s(build, [1]))
        wide = build.op("Expand", column, int64s(build, [groups, channels // groups]))
        return build.op("Reshape", wide, int64s(build, [channels]))

    return spec.change(inputs=(x, spread(1), spread(2)))


def _mask_of_input_type(build: Build, spec: Spec) -> Outcome:
    """Before opset 10 the mask had the type of the data. Models are run for inference: is_test is taken as set."""
    plain = spec.without("ratio")
    if not spec.is_wanted(1):
        return plain
    y, mask = build.ops("Dropout", spec.operand(0), outputs=2)
    return [y, build.op("CastLike", mask, spec.operand(0))]


def _ratio_to_input(build: Build, spec: Spec) -> Outcome:
    """The ratio only acts in training, which before opset 12 did not exist."""
    return spec.without("ratio")


def _axis_to_input(build: Build, spec: Spec) -> Outcome:
    return spec.without("axis").with_input(2, build.constant(np.array(spec.attr("axis"), np.int64)))


RULES: Rules = MappingProxyType(
    {
        **for_ops(("Softmax", "LogSoftmax", "Hardmax"), 11, _over_flattened),
        ("", "BatchNormalization", 1): drop("consumed_inputs"),
        ("", "BatchNormalization", 6): drop("is_test"),
        ("", "BatchNormalization", 7): _one_statistic_per_element,
        ("", "BatchNormalization", 9): _training_by_outputs,
        ("", "GroupNormalization", 18): _per_channel_scale,
        ("", "InstanceNormalization", 1): drop("consumed_inputs"),
        ("", "Dropout", 1): drop("consumed_inputs"),
        ("", "Dropout", 6): drop("is_test"),
        ("", "Dropout", 7): _mask_of_input_type,
        ("", "Dropout", 10): _ratio_to_input,
        ("", "DFT", 17): _axis_to_input,
    }
)
