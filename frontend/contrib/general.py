"""onnxruntime's ops that the standard has under another name or at another opset, and small sums of standard ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from arenaut.frontend.contrib.op import MICROSOFT, ContribOp, Outputs
from arenaut.frontend.spec import Spec
from arenaut.frontend.upgrade.common import scalar_like
from arenaut.ir import DType, Value
from arenaut.ir.ops.support.composite import cast, ints, length_of, number, transpose, unsqueeze
from arenaut.ir.record import Build

Rule = Callable[[Build, Spec], Outputs]


def _standard(op: str, *attributes: str) -> Rule:
    """The op of the standard with the same inputs and attributes."""
    return lambda build, spec: [build.op(op, *spec.inputs, **{name: spec.attr(name) for name in attributes})]


def _identity(build: Build, spec: Spec) -> Outputs:
    return [build.op("Identity", spec.operand(0))]


def _expand_dims(build: Build, spec: Spec) -> Outputs:
    axis = build.op("Reshape", cast(build, spec.operand(1), DType.INT64), ints(build, 1))
    return [build.op("Unsqueeze", spec.operand(0), axis)]


def _range(build: Build, spec: Spec) -> Outputs:
    scalar = build.constant(np.empty(0, np.int64))
    bounds = [build.op("Reshape", v, scalar) for v in spec.inputs if v is not None]
    step = bounds[2] if len(bounds) == 3 else number(build, 1, bounds[0].dtype)
    return [build.op("Range", bounds[0], bounds[1], step)]


def _unique(build: Build, spec: Spec) -> Outputs:
    found, _, places, counts = build.ops("Unique", spec.operand(0), outputs=4, sorted=0)
    return [found, places, counts]


def _grid_sample(build: Build, spec: Spec) -> Outputs:
    mode = spec.text("mode")
    modes = {"bilinear": "linear", "bicubic": "cubic"}
    settings = {"align_corners": spec.attr("align_corners"), "padding_mode": spec.attr("padding_mode")}
    return [build.op("GridSample", *spec.inputs, mode=modes.get(mode, mode), **settings)]


def _distances(build: Build, spec: Spec) -> Outputs:
    """Of all pairs of rows, by their products: |a|^2 - 2 a b + |b|^2, which rounding may take below 0."""
    a, b = spec.operand(0), spec.operand(1)
    squares = [build.op("ReduceSumSquare", x, ints(build, 1), keepdims=1) for x in (a, b)]
    product = build.op("MatMul", a, transpose(build, b, (1, 0)))
    doubled = build.op("Mul", product, number(build, -2, a.dtype))
    total = build.op("Add", build.op("Add", doubled, squares[0]), transpose(build, squares[1], (1, 0)))
    total = build.op("Max", total, number(build, 0, a.dtype))
    name = spec.text("metric")
    if name not in ("euclidean", "sqeuclidean"):
        raise spec.invalid(f"its attribute metric is {name}, expected euclidean or sqeuclidean")
    return [build.op("Sqrt", total) if name == "euclidean" else total]


def _integer_product(build: Build, spec: Spec) -> Outputs:
    return [build.op("MatMul", *(cast(build, spec.operand(i), DType.INT32) for i in (0, 1)))]


_POOL = {
    "auto_pad": "NOTSET", "ceil_mode": 0, "dilations": None, "kernel_shape": None, "pads": None, "strides": None,
}  # fmt: skip


def _pool_of_last(build: Build, spec: Spec) -> Outputs:
    """MaxPool whose channels lie last."""
    x = spec.operand(0)
    first = transpose(build, x, (0, x.rank - 1, *range(1, x.rank - 1)))
    pooled = build.op("MaxPool", first, **{name: spec.attr(name) for name in _POOL})
    return [transpose(build, pooled, (0, *range(2, x.rank), 1))]


def _windows(build: Build, spec: Spec) -> Outputs:
    """UnfoldTensor: the slices of a dim, their elements along a new last axis."""
    x, size, step = spec.operand(0), int(spec.attr("size")), int(spec.attr("step"))
    dim = int(spec.attr("dim")) % x.rank
    last = build.op("Sub", length_of(build, x, dim), number(build, size - 1, DType.INT64))
    starts = build.op("Range", number(build, 0, DType.INT64), last, number(build, step, DType.INT64))
    places = build.op("Add", unsqueeze(build, starts, 1), build.constant(np.arange(size)[None]))
    found = build.op("Gather", x, places, axis=dim)
    return [transpose(build, found, [a for a in range(x.rank + 1) if a != dim + 1] + [dim + 1])]


def _bias_add(build: Build, spec: Spec) -> Outputs:
    return [build.op("Add", build.op("Add", spec.operand(0), spec.operand(1)), spec.operand(2))]


def _gemm_fast_gelu(build: Build, spec: Spec) -> Outputs:
    product = build.op("MatMul", spec.operand(0), spec.operand(1))
    bias = spec.input(2)
    return [build.op("Gelu", product if bias is None else build.op("Add", product, bias), approximate="tanh")]


def _affine(build: Build, spec: Spec) -> Outputs:
    return [_scaled(build, spec.operand(0), float(spec.attr("alpha")), float(spec.attr("beta")))]


def _scaled(build: Build, x: Value, factor: float, more: float = 0.0) -> Value:
    y = build.op("Mul", x, scalar_like(build, factor, x))
    return build.op("Add", y, scalar_like(build, more, x)) if more else y


def _scale(build: Build, spec: Spec) -> Outputs:
    return [_scaled(build, spec.operand(0), float(spec.attr("scale")))]


def _scaled_tanh(build: Build, spec: Spec) -> Outputs:
    inner = build.op("Tanh", _scaled(build, spec.operand(0), float(spec.attr("beta"))))
    return [_scaled(build, inner, float(spec.attr("alpha")))]


def _parametric_softplus(build: Build, spec: Spec) -> Outputs:
    inner = build.op("Softplus", _scaled(build, spec.operand(0), float(spec.attr("beta"))))
    return [_scaled(build, inner, float(spec.attr("alpha")))]


def _image_scaler(build: Build, spec: Spec) -> Outputs:
    x = spec.operand(0)
    bias = np.array(list(spec.attr("bias") or ()), x.dtype.numpy).reshape(-1, 1, 1)
    scaled = _scaled(build, x, float(spec.attr("scale")))
    return [build.op("Add", scaled, build.constant(bias)) if bias.size else scaled]


OPS: Mapping[tuple[str, str], ContribOp] = MappingProxyType(
    {
        (MICROSOFT, "CDist"): ContribOp(_distances, (2, 2), {"metric": "sqeuclidean"}),
        (MICROSOFT, "ExpandDims"): ContribOp(_expand_dims, (2, 2)),
        (MICROSOFT, "SampleOp"): ContribOp(_identity, (1, 1)),
        (MICROSOFT, "Trilu"): ContribOp(_standard("Trilu", "upper"), (1, 2), {"upper": 1}),
        (MICROSOFT, "Range"): ContribOp(_range, (2, 3)),
        (MICROSOFT, "GatherND"): ContribOp(_standard("GatherND"), (2, 2)),
        (MICROSOFT, "Pad"): ContribOp(_standard("Pad", "mode"), (2, 3), {"mode": "constant"}),
        (MICROSOFT, "Unique"): ContribOp(_unique, (1, 1), outputs=3, dtypes=(0, DType.INT64)),
        (MICROSOFT, "GridSample"): ContribOp(
            _grid_sample, (2, 2), {"align_corners": 0, "mode": "bilinear", "padding_mode": "zeros"}
        ),
        (MICROSOFT, "MatMulInteger16"): ContribOp(_integer_product, (2, 2), dtypes=(DType.INT32,)),
        (MICROSOFT, "NhwcMaxPool"): ContribOp(_pool_of_last, (1, 1), _POOL),
        (MICROSOFT, "UnfoldTensor"): ContribOp(_windows, (1, 1), {"dim": -1, "size": None, "step": 1}),
        (MICROSOFT, "BiasAdd"): ContribOp(_bias_add, (3, 3)),
        (MICROSOFT, "GemmFastGelu"): ContribOp(_gemm_fast_gelu, (2, 3)),
        # Ops that onnxruntime keeps of the standard's experiments.
        ("", "Affine"): ContribOp(_affine, (1, 1), {"alpha": 1.0, "beta": 0.0}),
        ("", "Scale"): ContribOp(_scale, (1, 1), {"scale": 1.0}),
        ("", "ScaledTanh"): ContribOp(_scaled_tanh, (1, 1), {"alpha": 1.0, "beta": 1.0}),
        ("", "ParametricSoftplus"): ContribOp(_parametric_softplus, (1, 1), {"alpha": 1.0, "beta": 1.0}),
        ("", "ImageScaler"): ContribOp(_image_scaler, (1, 1), {"scale": 1.0, "bias": None}),
    }
)
