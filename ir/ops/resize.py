"""Resize: interpolation along chosen axes. Nearest upsampling by whole factors is a copy from a repeated source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import axis_in, from_front
from arenaut.ir.ops.support.fallback import evaluate_reference
from arenaut.ir.ops.support.requirements import resize_requires
from arenaut.ir.ops.support.samples import i64
from arenaut.ir.record import Infer, Lower, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import Shape, TensorType, Type


def _axes(node: Node, rank: int) -> list[int]:
    chosen = node.attr("axes")
    return list(range(rank)) if chosen is None else from_front(chosen, rank)


def _given(node: Node, index: int) -> Any:
    """An optional input that is there and not empty."""
    value = node.input(index)
    return None if value is None or (value.has_shape and value.shape == (0,)) else value


def _scaled(size: Dim, scale: float) -> Dim:
    """floor(size * scale), with scale's exact value."""
    numerator, denominator = scale.as_integer_ratio()
    return dims.floordiv(size * numerator, denominator)


def _kept_scale(shape: Shape, axes: Sequence[int], sizes: Sequence[Dim], policy: str) -> float | None:
    """The one scale that keeps the aspect ratio; None where it is not known."""
    pairs = [(d, s) for d, s in zip((shape[a] for a in axes), sizes, strict=True)]
    ratios = [s / d for d, s in pairs if isinstance(d, int) and isinstance(s, int) and d]
    if len(ratios) < len(pairs):
        return None
    return min(ratios) if policy == "not_larger" else max(ratios)


def _kept_sizes(shape: Shape, axes: Sequence[int], sizes: Sequence[Dim], policy: str) -> list[Dim] | None:
    """Sizes that keep the aspect ratio; None where they are not known. Halves round up."""
    scale, extents = _kept_scale(shape, axes, sizes, policy), [shape[a] for a in axes]
    return None if scale is None else [int(scale * d + 0.5) for d in extents if isinstance(d, int)]


def _infer(context: Infer) -> Sequence[Type]:
    shape, node = list(context.shape(0)), context.node
    axes = [axis_in(context, a, len(shape)) for a in _axes(node, len(shape))]
    scales, sizes = _given(node, 2), _given(node, 3)
    if (scales is None) == (sizes is None):
        raise context.fail("expected either scales or sizes")
    policy = node.attr("keep_aspect_ratio_policy", "stretch")
    wanted: list[Dim] | None = None
    if sizes is not None:
        wanted = list(context.data(3).flat)
        if policy != "stretch" and len(wanted) == len(axes):
            wanted = _kept_sizes(tuple(shape), axes, wanted, policy)
    elif scales.constant is not None:
        factors = [float(s) for s in scales.constant.flat]
        if len(factors) != len(axes):
            raise context.fail(f"{len(factors)} scales for {len(axes)} axes")
        wanted = [_scaled(shape[a], f) for a, f in zip(axes, factors, strict=True)]
    if wanted is None:
        wanted = [context.fresh(0, a) for a in axes]
    if len(wanted) != len(axes):
        raise context.fail(f"{len(wanted)} sizes for {len(axes)} axes")
    for axis, size in zip(axes, wanted, strict=True):
        shape[axis] = size
    return [TensorType(context.dtype(0), tuple(shape))]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """onnx.reference's, which wants axes from the front, and weighs even what it only chooses: the nearest elements are
    chosen by their places."""
    x = np.asarray(inputs[0])
    if node.attr("mode", "nearest") == "nearest" and x.size:
        outside = {**node.attributes, "extrapolation_value": -1.0}
        places = np.arange(x.size, dtype=np.float64).reshape(x.shape)
        (found,) = _by_reference(_with(node, outside), [places, *inputs[1:]])
        chosen = np.asarray(found).astype(np.int64)
        values = x.reshape(-1)[np.maximum(chosen, 0)]
        if not (chosen < 0).any():
            return [values]
        return [np.where(chosen < 0, np.asarray(node.attr("extrapolation_value", 0.0)).astype(x.dtype), values)]
    return _by_reference(node, inputs)


def _with(node: Node, attributes: Mapping[str, Any]) -> Node:
    return Node(node.op, node.inputs, node.outputs, attributes, name=node.name)


def _by_reference(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    axes = node.attr("axes")
    if axes is None:
        return evaluate_reference(node, inputs)
    rank = np.ndim(inputs[0])
    if any(not -rank <= a < rank for a in axes):
        raise RuleError(f"axes {list(axes)} are out of range for rank {rank}")
    return evaluate_reference(_with(node, {**node.attributes, "axes": tuple(a % rank for a in axes)}), inputs)


# -- lowering ------------------------------------------------------------------------------------------------------

# The numbers of the C enumerations, in order.
MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
)  # fmt: skip
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _repeats(node: Node, factor: int) -> bool:
    """Whether nearest upsampling by this factor repeats each element `factor` times: output i reads i // factor."""
    mode, rounding = node.attr("coordinate_transformation_mode", "half_pixel"), node.attr("nearest_mode", ROUNDINGS[0])
    if factor == 1:
        return bool(mode in ("half_pixel", "half_pixel_symmetric", "asymmetric"))
    if mode in ("half_pixel", "half_pixel_symmetric"):  # offsets inside (-1/2, 1/2) of the element
        return rounding in ROUNDINGS[:2]
    return bool(mode == "asymmetric" and rounding == "floor")


def _factors(node: Node) -> list[int] | None:
    """Whole factors of every axis, where proven; an axis of unknown ratio makes it None."""
    shape, out = node.operand(0).shape, node.output.shape
    found = [1 if a == b else dims.exact_div(b, a) for a, b in zip(shape, out, strict=True)]
    scales = _given(node, 2)
    if scales is not None and (scales.constant is None or any(float(s) % 1 for s in scales.constant.flat)):
        return None  # coordinates follow the scales, not the ratio of the sizes
    if node.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    factors = [f for f in found if isinstance(f, int) and f >= 1]
    return factors if len(factors) == len(found) else None


def _lower(lower: Lower, node: Node) -> None:
    factors = _factors(node) if node.attr("mode", "nearest") == "nearest" else None
    scales = _given(node, 2)
    if scales is not None and scales.constant is None:
        _fed_sizes(lower, node)
    source, target = lower.read(node.operand(0)), lower.write(node.output)
    if factors is None or not all(_repeats(node, f) for f in factors):
        _call(lower, node)
        return
    axis = 0
    for d, factor in zip(node.operand(0).shape, factors, strict=True):
        if factor != 1:
            target, source = target.split(axis, d, factor), source.insert(axis + 1)
            axis += 1
        axis += 1
    lower.copy(source.broadcast_to(target.dims), target)


def _fed_sizes(lower: Lower, node: Node) -> None:
    """The dims of the output become what the scales say when they are there."""
    scales, shape = lower.read(node.operand(2)), node.operand(0).shape
    axes = _axes(node, len(shape))
    if scales.dims != (len(axes),):
        raise NoRowError("how many scales there are is not known")
    sizes = lower.temp(DType.INT64, scales.dims)
    lower.call("ResizeSizes", [scales], [sizes], {"extents": [shape[a] for a in axes]})
    for i, axis in enumerate(axes):
        lower.set_symbol(node.output.shape[axis], sizes.slice(0, i, 1))


def _call(lower: Lower, node: Node) -> None:
    """Family Resize or ResizeNearest: per axis the scale (0: the ratio of the sizes) and the region of interest."""
    rank = node.operand(0).rank
    axes, scales, roi = _axes(node, rank), _given(node, 2), _given(node, 1)
    crop = node.attr("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    fed = scales if scales is not None and scales.constant is None else None
    if crop and (roi is None or roi.constant is None):
        raise NoRowError("the region of interest is not known")
    if fed is not None and node.attr("antialias", 0):
        raise NoRowError("how far antialiasing reaches is not known")
    factors, begins, ends, places = [0.0] * rank, [0.0] * rank, [1.0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        if fed is not None:
            places[axis] = i + 1
        elif scales is not None:
            factors[axis] = float(scales.constant.flat[i])
        if crop:
            begins[axis], ends[axis] = (float(roi.constant.flat[j]) for j in (i, i + len(axes)))
    if scales is None and node.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        data = node.operand(3).data
        sizes = [] if data is None else list(data.flat)
        kept = _kept_scale(node.operand(0).shape, axes, sizes, node.attr("keep_aspect_ratio_policy")) if sizes else None
        if kept is None:
            raise NoRowError("the scale that keeps the aspect ratio is not known")
        factors = [kept if a in axes else f for a, f in enumerate(factors)]
    params: dict[str, Any] = {
        "mode": MODES.index(node.attr("mode", "nearest")),
        "coordinates": COORDINATES.index(node.attr("coordinate_transformation_mode", "half_pixel")),
        "rounding": ROUNDINGS.index(node.attr("nearest_mode", ROUNDINGS[0])),
        "antialias": node.attr("antialias", 0),
        "exclude_outside": node.attr("exclude_outside", 0),
        "cubic_coeff_a": node.attr("cubic_coeff_a", -0.75),
        "extrapolation_value": node.attr("extrapolation_value", 0.0),
        "scales": factors,
        "roi_begin": begins,
        "roi_end": ends,
        "fed": places,
    }
    family = "ResizeNearest" if params["mode"] == 0 else "Resize"  # nearest moves elements of any type
    operands = [lower.read(node.operand(0)), None if fed is None else lower.read(fed)]
    lower.call(family, operands, [lower.write(node.output)], params)


def _carries(node: Node) -> Sequence[int]:
    """The nearest elements are chosen by place; what lies outside a region is a number of its own."""
    outside = node.attr("coordinate_transformation_mode") == "tf_crop_and_resize"
    return (0,) if node.attr("mode", "nearest") == "nearest" and not outside else ()


# -- samples -------------------------------------------------------------------------------------------------------


def _scales(*factors: float) -> Array:
    return np.array(factors, np.float32)


def _samples() -> Iterator[Sample]:
    nothing = np.array([], np.float32)
    for dtype in (DType.FLOAT, DType.UINT8, DType.DOUBLE, DType.FLOAT16):
        x = samples.draw((1, 2, 4, 5), dtype, 0, 100)
        yield Sample((x, None, _scales(1, 1, 2, 3)), {"mode": "nearest"})
        yield Sample(
            (x, nothing, _scales(1, 1, 2, 2)),
            {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        )
        for rounding in ROUNDINGS:
            yield Sample((x, None, None, i64(1, 2, 7, 3)), {"mode": "nearest", "nearest_mode": rounding})
    x = samples.draw((1, 2, 4, 5))
    for mode in ("linear", "cubic"):
        for how in COORDINATES[:5]:
            chosen = {"mode": mode, "coordinate_transformation_mode": how}
            yield Sample((x, None, _scales(1, 1, 2, 1.5)), chosen)
            yield Sample((x, None, None, i64(1, 2, 3, 9)), chosen)
        for extra in ({"exclude_outside": 1}, {"antialias": 1}, {"axes": (3, 2)}):
            size = i64(3, 7) if "axes" in extra else i64(1, 2, 3, 7)
            yield Sample((x, None, None, size), {"mode": mode, **extra})
    for dtype in (DType.UINT8, DType.INT8, DType.INT32):
        whole = samples.draw((1, 2, 4, 5), dtype, 0, 100)
        yield Sample((whole, None, _scales(1, 1, 2, 1.5)), {"mode": "linear"})
        yield Sample((whole, None, None, i64(1, 2, 7, 9)), {"mode": "linear"})
    roi = np.array([0, 0, 0.25, 0.125, 1, 1, 1.5, 0.75], np.float32)
    crop = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 2.5}
    yield Sample((x, roi, None, i64(1, 2, 3, 3)), crop)
    for policy in ("not_larger", "not_smaller"):
        yield Sample((x, None, None, i64(9, 9)), {"keep_aspect_ratio_policy": policy, "axes": (2, 3)})


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Resize", requires=resize_requires, infer=_infer, evaluate=_evaluate, lower=_lower, layout="follow",
        carries=_carries,
        tolerance=Tolerance("product", 8), flops=lambda node: 8 * dims.product(node.output.shape), samples=_samples,
    ),
)  # fmt: skip
