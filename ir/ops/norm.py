"""Normalisations: by stored statistics, over channels, groups, trailing axes, one axis, or neighbouring channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, exact_div, product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import agree, axis_in, from_front, same_as_input, tensor_like, to_dtype, widen
from arenaut.ir.record import Build, Infer, Lower, NoRowError, OpRecord, Param, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

_FLOATS = (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.BFLOAT16)
_NORMALISED = Tolerance("product", 8)
# Defaults of attributes, which ONNX holds as float32.
_EPSILON = float(np.float32(1e-5))
_LRN = {"alpha": float(np.float32(1e-4)), "beta": 0.75, "bias": 1.0}


def _epsilon(node: Node) -> float:
    return float(node.attr("epsilon", _EPSILON))


def _flops(per_element: int) -> Any:
    return lambda node: per_element * product(node.operand(0).shape)


def _call(lower: Lower, node: Node, params: dict[str, Param]) -> None:
    """The op's own family: all inputs, all outputs."""
    inputs = [None if v is None else lower.read(v) for v in node.inputs]
    lower.call(node.op, inputs, [None if v is None else lower.write(v) for v in node.outputs], params)


def _wide(inputs: Sequence[Any]) -> list[Any]:
    """Narrow floats as float32; None stays."""
    return [None if x is None else widen(np.asarray(x)) for x in inputs]


def standardised(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + epsilon), the mean and the inverse deviation, statistics in float64."""
    with np.errstate(all="ignore"):
        mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)
        centred = x - mean
        inverse = 1 / np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + epsilon)
        return centred * inverse, mean, inverse


def _per_channel(vector: Array, rank: int) -> Array:
    return vector.reshape(1, -1, *[1] * (rank - 2))


# -- BatchNormalization --------------------------------------------------------------------------------------------


def _batch_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    if t.shape is not None:
        channels: Dim = t.shape[1] if len(t.shape) > 1 else 1
        for index in range(1, 5):
            vector = tensor_like(context, index).shape
            if vector is not None:
                if len(vector) != 1:
                    raise context.fail(f"input {index} must have rank 1, got {len(vector)}")
                agree(context, vector[0], channels, f"input {index} against the channels")
    statistics = tensor_like(context, 3)
    return [t, statistics, statistics][: len(context.node.outputs)]


def _batch_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given = np.asarray(inputs[0])
    x, scale, bias, mean, variance = _wide(inputs)
    results: list[Array] = []
    if node.attr("training_mode", 0):
        axes = tuple(i for i in range(x.ndim) if i != 1)
        now, keep = x.mean(axis=axes, dtype=np.float64), float(node.attr("momentum", 0.9))
        spread = np.square(x - _per_channel(now, x.ndim)).mean(axis=axes, dtype=np.float64)
        results = [
            to_dtype(old * keep + new * (1 - keep), np.asarray(stored).dtype)
            for old, new, stored in ((mean, now, inputs[3]), (variance, spread, inputs[4]))
        ]
        mean, variance = now, spread
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance.astype(np.float64) + _epsilon(node))
        shift = bias - mean * factor
        y = x * _per_channel(factor, x.ndim) + _per_channel(shift, x.ndim)
    return [to_dtype(y, given.dtype), *results][: len(node.outputs)]


def _batch_lower(lower: Lower, node: Node) -> None:
    if node.attr("training_mode", 0) or node.operand(0).rank < 2:
        raise NoRowError("statistics of the batch, or no channels")
    _call(lower, node, {"epsilon": _epsilon(node)})


def _channel_samples(inputs: int, options: Sequence[dict[str, Any]], shapes: Sequence[tuple[int, ...]]) -> Any:
    """X and vectors of one element a channel; the last of five is a variance."""

    def generate() -> Iterator[Sample]:
        for dtype in _FLOATS:
            for index, shape in enumerate(shapes):
                for chosen in options:
                    stash = {"stash_type": int(dtype)} if "num_groups" in chosen and dtype is DType.DOUBLE else {}
                    vectors = [
                        samples.draw(shape[1:2], dtype, 0.5 if i == 4 else -2, 2, seed=i) for i in range(1, inputs)
                    ]
                    yield Sample((samples.draw(shape, dtype, seed=index), *vectors), {**chosen, **stash})

    return generate


def _training_samples() -> Iterator[Sample]:
    yield from _channel_samples(5, ({}, {"epsilon": 0.0078125}), ((2, 3, 4, 5), (4, 6), (2, 1, 7), (0, 3, 2)))()
    for dtype in _FLOATS:
        vectors = [samples.draw((3,), dtype, 0.5, 2, seed=i) for i in range(1, 5)]
        yield Sample((samples.draw((4, 3, 5), dtype), *vectors), {"training_mode": 1, "momentum": 0.75}, 3)


# -- InstanceNormalization, GroupNormalization ---------------------------------------------------------------------


def _channels_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    if t.shape is not None:
        if len(t.shape) < 3:
            raise context.fail(f"X must have rank 3 or more, got {len(t.shape)}")
        for index in (1, 2):
            vector = tensor_like(context, index).shape
            if vector is not None and len(vector) == 1:
                agree(context, vector[0], t.shape[1], f"input {index} against the channels")
        groups = context.node.attr("num_groups", 1)
        if isinstance(t.shape[1], int) and exact_div(t.shape[1], groups) is None:
            raise context.fail(f"{t.shape[1]} channels do not form {groups} groups")
    return [t]


def _instance_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, scale, bias = _wide(inputs)
    y, _, _ = standardised(x, tuple(range(2, x.ndim)), _epsilon(node))
    return [to_dtype(y * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim), np.asarray(inputs[0]).dtype)]


def _group_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """stash_type is a lower bound of the precision: statistics are in float64."""
    x, scale, bias = _wide(inputs)
    groups = int(node.attr("num_groups"))
    grouped = x.reshape(x.shape[0], groups, -1) if x.size else x.reshape(x.shape[0], groups, 0)
    y = standardised(grouped, (2,), _epsilon(node))[0].reshape(x.shape)
    return [to_dtype(y * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim), np.asarray(inputs[0]).dtype)]


# -- LayerNormalization, RMSNormalization --------------------------------------------------------------------------


def _trailing_axis(node: Node, rank: int) -> int:
    return int(node.attr("axis", -1)) % rank


def _layer_infer(context: Infer) -> Sequence[Type]:
    t, saved = tensor_like(context), DType(int(context.node.attr("stash_type", 1)))
    shape = None
    if t.shape is not None:
        axis = axis_in(context, int(context.node.attr("axis", -1)), len(t.shape))
        shape = (*t.shape[:axis], *[1] * (len(t.shape) - axis))
    return [t, TensorType(saved, shape), TensorType(saved, shape)][: len(context.node.outputs)]


def _layer_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, scale, *bias = _wide(inputs)
    axis, saved = _trailing_axis(node, x.ndim), DType(int(node.attr("stash_type", 1))).numpy
    normalised, mean, inverse = standardised(x, tuple(range(axis, x.ndim)), _epsilon(node))
    y = normalised * scale
    if bias and bias[0] is not None:
        y = y + bias[0]
    results = [to_dtype(y, np.asarray(inputs[0]).dtype), to_dtype(mean, saved), to_dtype(inverse, saved)]
    return results[: len(node.outputs)]


def _layer_lower(lower: Lower, node: Node) -> None:
    _call(lower, node, {"axis": _trailing_axis(node, node.operand(0).rank), "epsilon": _epsilon(node)})


def _rms_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    if t.shape is not None:
        axis_in(context, int(context.node.attr("axis", -1)), len(t.shape))
    return [TensorType(context.dtype(1), t.shape)]


def _rms_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, scale = _wide(inputs)
    axes = tuple(range(_trailing_axis(node, x.ndim), x.ndim))
    with np.errstate(all="ignore"):
        squares = np.square(x.astype(np.float64)).mean(axis=axes, keepdims=True)
        y = x / np.sqrt(squares + _epsilon(node)) * scale
    return [to_dtype(y, np.asarray(inputs[1]).dtype)]


def _trailing_samples(with_bias: bool) -> Any:
    cases: tuple[tuple[tuple[int, ...], int, dict[str, Any]], ...] = (
        ((2, 3, 8), -1, {}), ((2, 3, 8), 1, {"epsilon": 0.125}), ((4, 5), 0, {}), ((1, 65), -1, {}), ((0, 4), -1, {}),
    )  # fmt: skip

    def generate() -> Iterator[Sample]:
        for dtype in _FLOATS:
            for index, (shape, axis, chosen) in enumerate(cases):
                x = samples.draw(shape, dtype, seed=index)
                scale, bias = (samples.draw(shape[axis:], dtype, seed=index + i) for i in (1, 2))
                yield Sample((x, scale), {**chosen, "axis": axis})
                if with_bias:
                    outputs = 3 if dtype is not DType.DOUBLE and x.size else 1
                    yield Sample((x, scale, bias), {**chosen, "axis": axis}, outputs)

    return generate


# -- LpNormalization, MeanVarianceNormalization, LRN ---------------------------------------------------------------


def _lp_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    if t.shape is not None:
        axis_in(context, int(context.node.attr("axis", -1)), len(t.shape))
    if context.node.attr("p", 2) not in (1, 2):
        raise context.fail(f"p is {context.node.attr('p')}, expected 1 or 2")
    return [t]


def _lp_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given = np.asarray(inputs[0])
    x, power = widen(given), int(node.attr("p", 2))
    total = (np.abs(x).astype(np.float64) ** power).sum(axis=_trailing_axis(node, x.ndim), keepdims=True)
    norm = total if power == 1 else np.sqrt(total)
    with np.errstate(all="ignore"):
        return [to_dtype(np.where(norm == 0, 0.0, x / norm), given.dtype)]


def _lp_lower(lower: Lower, node: Node) -> None:
    _call(lower, node, {"axis": _trailing_axis(node, node.operand(0).rank), "p": int(node.attr("p", 2))})


def _lp_samples() -> Iterator[Sample]:
    for dtype in _FLOATS:
        x = samples.draw((3, 4, 5), dtype)
        x[1, 2] = 0
        for chosen in ({}, {"axis": 1}, {"p": 1}, {"p": 1, "axis": 0}):
            yield Sample((x,), chosen)


_MVN_AXES = (0, 2, 3)
_MVN_EPSILON = 1e-9


def _mvn_axes(node: Node, rank: int) -> tuple[int, ...]:
    return tuple(from_front(node.attr("axes", _MVN_AXES), rank))


def _mvn_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    if t.shape is not None:
        for axis in context.node.attr("axes", _MVN_AXES):
            axis_in(context, int(axis), len(t.shape))
    return [t]


def _mvn_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given = np.asarray(inputs[0])
    x = widen(given).astype(np.float64)
    axes = _mvn_axes(node, x.ndim)
    with np.errstate(all="ignore"):
        centred = x - x.mean(axis=axes, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=axes, keepdims=True))
        return [to_dtype(centred / (deviation + _MVN_EPSILON), given.dtype)]


def _mvn_decompose(build: Build, node: Node) -> Sequence[Value]:
    x = node.operand(0)
    axes = build.constant(np.array(_mvn_axes(node, x.rank), np.int64))
    centred = build.op("Sub", x, build.op("ReduceMean", x, axes, keepdims=1))
    variance = build.op("ReduceMean", build.op("Mul", centred, centred), axes, keepdims=1)
    epsilon = build.constant(np.array(_MVN_EPSILON, x.dtype.numpy))
    return [build.op("Div", centred, build.op("Add", build.op("Sqrt", variance), epsilon))]


def _mvn_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.FLOAT16, DType.BFLOAT16):
        yield Sample((samples.draw((2, 3, 4, 5), dtype),))
        yield Sample((samples.draw((2, 3, 4), dtype),), {"axes": (1, -1)})


def _lrn_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given, size = np.asarray(inputs[0]), int(node.attr("size"))
    x = widen(given).astype(np.float64)
    before, after = (size - 1) // 2, size // 2
    squares = np.pad(np.square(x), [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    total = sum((squares[:, i : i + x.shape[1]] for i in range(size)), np.zeros_like(x))
    alpha, beta, bias = (float(node.attr(n, d)) for n, d in _LRN.items())
    with np.errstate(all="ignore"):
        return [to_dtype(x / (bias + alpha / size * total) ** beta, given.dtype)]


def _lrn_lower(lower: Lower, node: Node) -> None:
    numbers = {n: float(node.attr(n, d)) for n, d in _LRN.items()}
    _call(lower, node, {"size": int(node.attr("size")), **numbers})


def _lrn_samples() -> Iterator[Sample]:
    """In float64 as many images as channels and sizes whose reciprocal is exact: what the one oracle of that type
    evaluates correctly. The other types' oracle knows odd sizes only."""
    yield Sample((samples.draw((7, 7, 3, 4), DType.DOUBLE),), {"size": 4, "alpha": 0.5, "beta": 0.5, "bias": 2.0})
    yield Sample((samples.draw((2, 2, 5, 5), DType.DOUBLE),), {"size": 8, "alpha": 0.125})
    for dtype in (DType.FLOAT, DType.FLOAT16, DType.BFLOAT16):
        yield Sample((samples.draw((2, 7, 3, 4), dtype),), {"size": 3})
        yield Sample((samples.draw((2, 7, 3, 4), dtype),), {"size": 7, "alpha": 0.5, "beta": 0.5, "bias": 2.0})
        yield Sample((samples.draw((1, 2, 5, 5), dtype),), {"size": 5, "alpha": 0.125})


_CHANNEL_SHAPES = ((2, 4, 3, 5), (1, 6, 33), (3, 2, 2, 3, 4))

RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="BatchNormalization", infer=_batch_infer, evaluate=_batch_evaluate, lower=_batch_lower, layout="follow",
        flops=_flops(2), tolerance=_NORMALISED, samples=_training_samples,
    ),
    OpRecord(
        op="InstanceNormalization", infer=_channels_infer, evaluate=_instance_evaluate,
        lower=lambda lower, node: _call(lower, node, {"epsilon": _epsilon(node)}), layout="follow", flops=_flops(8),
        tolerance=_NORMALISED, samples=_channel_samples(3, ({}, {"epsilon": 0.0078125}), _CHANNEL_SHAPES),
    ),
    OpRecord(
        op="GroupNormalization", infer=_channels_infer, evaluate=_group_evaluate,
        lower=lambda lower, node: _call(
            lower, node, {"num_groups": int(node.attr("num_groups")), "epsilon": _epsilon(node)}
        ),
        layout="follow", flops=_flops(8), tolerance=_NORMALISED,
        samples=_channel_samples(3, ({"num_groups": 2}, {"num_groups": 1, "epsilon": 0.0078125}), _CHANNEL_SHAPES),
    ),
    OpRecord(
        op="LayerNormalization", infer=_layer_infer, evaluate=_layer_evaluate, lower=_layer_lower, layout="follow",
        flops=_flops(8), tolerance=_NORMALISED, samples=_trailing_samples(with_bias=True),
    ),
    OpRecord(
        op="RMSNormalization", infer=_rms_infer, evaluate=_rms_evaluate, lower=_layer_lower, layout="follow",
        flops=_flops(4), tolerance=_NORMALISED, samples=_trailing_samples(with_bias=False),
    ),
    OpRecord(
        op="LpNormalization", infer=_lp_infer, evaluate=_lp_evaluate, lower=_lp_lower, layout="follow", flops=_flops(3),
        tolerance=_NORMALISED, samples=_lp_samples,
    ),
    OpRecord(
        op="MeanVarianceNormalization", infer=_mvn_infer, evaluate=_mvn_evaluate, decompose=_mvn_decompose,
        flops=_flops(6), tolerance=_NORMALISED, samples=_mvn_samples,
    ),
    OpRecord(
        op="LRN", infer=same_as_input, evaluate=_lrn_evaluate, lower=_lrn_lower, layout="follow", flops=_flops(8),
        tolerance=_NORMALISED, samples=_lrn_samples,
    ),
)  # fmt: skip
