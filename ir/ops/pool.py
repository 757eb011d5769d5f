"""Pools over sliding windows and over all spatial dims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, less, product
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.reduce import KINDS
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import tensor_like, to_dtype, widen
from arenaut.ir.ops.support.composite import cast, ints, number
from arenaut.ir.ops.support.requirements import elements, negate
from arenaut.ir.ops.support.windows import Windows, geometries, numpy_windows, padded, window_axes, windows_of
from arenaut.ir.record import (
    EXACT,
    Build,
    Infer,
    Lower,
    LowerRule,
    NoRowError,
    OpRecord,
    Param,
    Requirement,
    Sample,
    Tolerance,
)
from arenaut.ir.types import Shape, TensorType, Type

_FLOATS = (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.BFLOAT16)
_SUM = Tolerance("product", 4)


def pool_windows(node: Node, x: Shape) -> Windows:
    """The windows of a pool over input dims x. Raises ValueError where attributes contradict."""
    kernel = node.attr("kernel_shape")
    if kernel is None:
        raise RuleError("kernel_shape is required")
    return windows_of(node, x[2:], tuple(int(k) for k in kernel), crops=True)


def _pool_infer(context: Infer) -> Sequence[Type]:
    x = context.shape(0)
    if len(x) < 3:
        raise context.fail(f"a pool needs rank 3 or more, got {len(x)}")
    try:
        windows = pool_windows(context.node, x)
    except RuleError as error:
        raise context.fail(str(error)) from None
    shape = (*x[:2], *windows.sizes)
    return [TensorType(context.dtype(0), shape), TensorType(DType.INT64, shape)][: len(context.node.outputs)]


def _pool_flops(node: Node) -> Dim:
    return product(node.output.shape) * product(node.attr("kernel_shape", ()))


def _native_windows(node: Node) -> Windows:
    windows = pool_windows(node, node.operand(0).shape)
    if len(windows.kernel) > 3:
        raise NoRowError("more than three spatial dims")
    return windows


def _call(lower: Lower, node: Node, family: str, params: dict[str, Param]) -> None:
    windows = _native_windows(node)
    outputs = [None if v is None else lower.write(v) for v in node.outputs]
    lower.call(family, [lower.read(node.operand(0))], outputs, {**windows.params, **params})


def _pool_samples(
    dtypes: Sequence[DType], options: Sequence[dict[str, Any]], outputs: int = 1
) -> Callable[[], Iterator[Sample]]:
    def generate() -> Iterator[Sample]:
        for dtype in dtypes:
            for index, (spatial, attributes) in enumerate(geometries(dtype)):
                for chosen in options:
                    x = samples.draw((2, 3, *spatial), dtype, seed=index)
                    yield Sample((x,), {**attributes, **chosen}, outputs)

    return generate


# -- MaxPool -------------------------------------------------------------------------------------------------------


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _element_numbers(shape: Sequence[int], column_major: bool) -> Array:
    """Per element of [N, C, spatial...] its number in the flattened tensor; column_major numbers the spatial dims with
    the first one fastest."""
    spatial = tuple(shape[2:])
    count = int(np.prod(spatial))
    inner = np.arange(count).reshape(spatial[::-1]).T if column_major else np.arange(count).reshape(spatial)
    outer = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], *[1] * len(spatial)) * count
    return np.asarray(outer + inner)


def _max_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given = np.asarray(inputs[0])
    x = widen(given)
    windows = pool_windows(node, x.shape)
    axes = window_axes(windows)
    views = numpy_windows(padded(x, windows, _lowest(x.dtype)), windows)
    best = views.max(axis=axes) if views.size else np.zeros(views.shape[: len(views.shape) - len(axes)], x.dtype)
    results = [to_dtype(best, given.dtype)]
    if len(node.outputs) > 1:
        numbers = padded(_element_numbers(x.shape, bool(node.attr("storage_order", 0))), windows, -1)
        places = numpy_windows(numbers, windows)
        widest = best.reshape(*best.shape, *[1] * len(axes))
        hit = ((views == widest) | (np.isnan(views) & np.isnan(widest)) if x.dtype.kind == "f" else views == widest) & (
            places >= 0
        )
        if hit.size:
            first = hit.reshape(*best.shape, -1).argmax(axis=-1)[..., None]
            picked = np.take_along_axis(places.reshape(*best.shape, -1), first, -1)
        else:
            picked = np.zeros(best.shape, np.int64)
        results.append(np.asarray(picked, np.int64).reshape(best.shape))
    return results


def _max_carries(node: Node) -> Sequence[int]:
    """The largest element of each window, where every window holds one and nobody asks for its place."""
    if len(node.outputs) > 1 or not node.operand(0).has_shape:
        return ()
    windows = pool_windows(node, node.operand(0).shape)
    axes = zip(node.operand(0).shape[2:], windows.begins, windows.ends, windows.kernel, windows.dilations, strict=True)
    return (0,) if all(_holds_one(*axis) for axis in axes) else ()


def _holds_one(extent: Dim, begin: Dim, end: Dim, kernel: Dim, dilation: int) -> bool:
    """Whether every window along an axis surely has a tap within the input."""
    if not (isinstance(begin, int) and isinstance(end, int) and isinstance(kernel, int)):
        return False
    there = extent > 0 if isinstance(extent, int) else begin + end < kernel
    return there and dilation == 1 and max(begin, 0) < kernel and max(end, 0) < kernel


def _max_lower(lower: Lower, node: Node) -> None:
    params: dict[str, Param] = {"storage_order": int(node.attr("storage_order", 0))}
    places = node.outputs[1] if len(node.outputs) > 1 else None
    if places is None or node.operand(0).dtype.itemsize > 1:
        _call(lower, node, "MaxPool", params)
        return
    # The kernels that tell the places of maxima are of floats, which hold every byte.
    windows = _native_windows(node)
    x, out = lower.read(node.operand(0)), lower.write(node.output)
    wide, best = lower.temp(DType.FLOAT, x.dims), lower.temp(DType.FLOAT, out.dims)
    lower.convert(x, wide)
    lower.call("MaxPool", [wide], [best, lower.write(places)], {**windows.params, **params})
    lower.convert(best, out)


# -- AveragePool, LpPool -------------------------------------------------------------------------------------------


def _counts(x: Array, windows: Windows, include_pads: bool) -> Array:
    """Elements that each window averages over; what a ceil_mode window covers beyond the pads never counts."""
    ones = np.ones((1, 1, *x.shape[2:]), np.float64)
    if include_pads:
        pads = [(max(int(b), 0), max(int(e), 0)) for b, e in zip(windows.begins, windows.ends, strict=True)]  # type: ignore[arg-type]
        ones = np.pad(ones, [(0, 0), (0, 0), *pads], constant_values=1)
        crops = tuple(min(int(b), 0) for b in windows.begins)  # type: ignore[arg-type]
        windows = Windows(windows.kernel, windows.strides, windows.dilations, crops, (0,) * len(pads), windows.sizes)
    return np.asarray(numpy_windows(padded(ones, windows, 0), windows).sum(axis=window_axes(windows)))


def _average_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given = np.asarray(inputs[0])
    x = widen(given)
    windows = pool_windows(node, x.shape)
    totals = numpy_windows(padded(x, windows, 0), windows).sum(axis=window_axes(windows), dtype=np.float64)
    with np.errstate(all="ignore"):
        return [to_dtype(totals / _counts(x, windows, bool(node.attr("count_include_pad", 0))), given.dtype)]


def _average_lower(lower: Lower, node: Node) -> None:
    _call(lower, node, "AveragePool", {"count_include_pad": int(node.attr("count_include_pad", 0))})


def _lp_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    given, power = np.asarray(inputs[0]), int(node.attr("p", 2))
    x = widen(given)
    windows = pool_windows(node, x.shape)
    views = numpy_windows(padded(np.abs(x), windows, 0), windows).astype(np.float64)
    return [to_dtype((views**power).sum(axis=window_axes(windows)) ** (1 / power), given.dtype)]


def _lp_lower(lower: Lower, node: Node) -> None:
    power = int(node.attr("p", 2))
    if power not in (1, 2):
        raise NoRowError("norms other than 1 and 2")
    _call(lower, node, "LpPool", {"p": power})


# -- global pools --------------------------------------------------------------------------------------------------


def _global_infer(context: Infer) -> Sequence[Type]:
    x = context.shape(0)
    if len(x) < 2:
        raise context.fail(f"a global pool needs rank 2 or more, got {len(x)}")
    return [TensorType(context.dtype(0), (*x[:2], *[1] * (len(x) - 2)))]


def _global_evaluator(reduce: Callable[[Node, Array, tuple[int, ...]], Array]) -> Any:
    def evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        x = np.asarray(inputs[0])
        with np.errstate(all="ignore"):
            return [to_dtype(reduce(node, widen(x), tuple(range(2, x.ndim))), x.dtype)]

    return evaluate


def _as_reduction(kind: str) -> LowerRule:
    def rule(lower: Lower, node: Node) -> None:
        x = lower.read(node.operand(0))
        axes = sum(1 << axis for axis in range(2, x.rank))
        lower.call("Reduce", [x], [lower.write(node.output)], {"kind": KINDS.index(kind), "axes": axes})

    return rule


def _global_lp(node: Node, x: Array, axes: tuple[int, ...]) -> Array:
    power = int(node.attr("p", 2))
    total = (np.abs(x).astype(np.float64) ** power).sum(axis=axes, keepdims=True)
    return np.asarray(total ** (1 / power))


def _global_lp_decompose(build: Build, node: Node) -> Sequence[Value]:
    x, power = node.operand(0), int(node.attr("p", 2))
    axes = ints(build, *range(2, x.rank))
    if power in (1, 2):
        return [build.op(f"ReduceL{power}", x, axes, keepdims=1, noop_with_empty_axes=1)]
    wide = cast(build, x, x.dtype.compute or x.dtype)
    raised = build.op("Pow", build.op("Abs", wide), number(build, power, wide.dtype))
    total = build.op("ReduceSum", raised, axes, keepdims=1, noop_with_empty_axes=1)
    return [cast(build, build.op("Pow", total, number(build, 1 / power, wide.dtype)), x.dtype)]


def _global_samples(dtypes: Sequence[DType], options: Sequence[dict[str, Any]]) -> Callable[[], Iterator[Sample]]:
    def generate() -> Iterator[Sample]:
        for dtype in dtypes:
            for shape in ((1, 4, 7, 6), (2, 3, 5), (2, 1, 3, 4, 5))[: 1 if dtype is DType.DOUBLE else None]:
                for chosen in options:
                    yield Sample((samples.draw(shape, dtype),), chosen)

    return generate


def _global(op: str, evaluate: Any, tolerance: Tolerance, samples: Any, **native: Any) -> OpRecord:
    return OpRecord(
        op=op, infer=_global_infer, evaluate=_global_evaluator(evaluate), layout="follow",
        flops=lambda node: product(node.operand(0).shape), tolerance=tolerance, samples=samples, **native,
    )  # fmt: skip


# -- MaxUnpool -----------------------------------------------------------------------------------------------------


def _unpooled(node: Node, spatial: Sequence[Any]) -> list[Any]:
    """The spatial dims of what MaxPool pooled."""
    count = len(spatial)
    kernel, strides = node.attr("kernel_shape", ()), node.attr("strides") or (1,) * count
    pads = node.attr("pads") or (0,) * (2 * count)
    if not count == len(kernel) == len(strides) == len(pads) // 2:
        raise RuleError(f"kernel_shape, strides and pads are not of {count} spatial dims")
    return [
        (n - 1) * s + k - b - e
        for n, s, k, b, e in zip(spatial, strides, kernel, pads[:count], pads[count:], strict=True)
    ]


def _unpool_infer(context: Infer) -> Sequence[Type]:
    x, t = context.shape(0), tensor_like(context)
    if len(x) < 3:
        raise context.fail(f"input 0 has rank {len(x)}, expected 3 or more")
    pooled = (*x[:2], *_unpooled(context.node, x[2:]))
    if context.has(2):
        if context.data(2).size != len(x):
            raise context.fail(f"input 2, the output's shape, has {context.data(2).size} elements, expected {len(x)}")
        for axis, (given, least) in enumerate(zip(context.data(2).flat, pooled, strict=True)):
            if isinstance(given, int) and isinstance(least, int) and given < least:
                raise context.fail(f"dim {axis} of the output's shape is {given}, below the {least} that were pooled")
        return [TensorType(t.dtype, tuple(d for d in context.data(2).flat))]
    return [TensorType(t.dtype, pooled)]


def _unpool_requires(node: Node) -> Iterator[Requirement]:
    x, target = node.operand(0), elements(node, 2)
    if not target or not x.has_shape:
        return
    pooled = (*x.shape[:2], *_unpooled(node, x.shape[2:]))
    for axis, (given, least) in enumerate(zip(target, pooled, strict=True)):
        text = f"dim {axis} of the output's shape must not be below what was pooled"
        yield Requirement(negate(less(given, least)), text, [given, least])


def _unpool_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Scatters by the indices of MaxPool, which number the elements of the pooled input: with an output_shape larger
    than that input, an element keeps its coordinates there."""
    x, places = np.asarray(inputs[0]), np.asarray(inputs[1]).astype(np.int64)
    shape = tuple(x.shape[:2]) + tuple(_unpooled(node, x.shape[2:]))
    target = tuple(int(n) for n in np.asarray(inputs[2]).flat) if len(inputs) > 2 and inputs[2] is not None else shape
    if any(given < least for given, least in zip(target, shape, strict=True)):
        raise RuleError(f"the output's shape {list(target)} is below what was pooled, {list(shape)}")
    if places.size and not 0 <= places.min() <= places.max() < product(shape):
        raise RuleError(f"an index is out of the {product(shape)} elements that were pooled")
    out = np.zeros(target, x.dtype)
    out[np.unravel_index(places.reshape(-1), shape)] = x.reshape(-1)
    return [out]


def _unpool_lower(lower: Lower, node: Node) -> None:
    x, places, target = lower.read(node.operand(0)), lower.read(node.operand(1)), lower.write(node.output)
    shape = (*x.dims[:2], *_unpooled(node, x.dims[2:]))
    whole = target if shape == target.dims else lower.temp(x.dtype, shape)
    lower.fill(target, np.zeros((), x.dtype.numpy))
    if whole is not target:
        lower.fill(whole, np.zeros((), x.dtype.numpy))
    flat = [lower.reshape(p, (product(p.dims),)) for p in (places, x, whole)]
    lower.call("ScatterElements", flat[:2], flat[2:], {"axis": 0, "reduction": 0})
    if whole is not target:
        corner = target
        for axis, size in enumerate(shape):
            corner = corner.slice(axis, 0, size)
        lower.copy(whole, corner)


def _unpool_samples() -> Iterator[Sample]:
    for dtype in _FLOATS:
        x = samples.draw((1, 2, 2, 3), dtype)
        places = np.arange(12).reshape(1, 2, 2, 3) * 4 + 1
        chosen = {"kernel_shape": (2, 2), "strides": (2, 2)}
        yield Sample((x, places), chosen)
        yield Sample((x, places, np.array([1, 2, 5, 7])), chosen)


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="MaxPool", infer=_pool_infer, evaluate=_max_evaluate, lower=_max_lower, layout="channels", flops=_pool_flops,
        carries=_max_carries, by_order=True,
        samples=_pool_samples((*_FLOATS, DType.INT8, DType.UINT8), ({}, {"ceil_mode": 1})),
    ),
    OpRecord(
        op="AveragePool", infer=_pool_infer, evaluate=_average_evaluate, lower=_average_lower, layout="channels",
        anchor=True, flops=_pool_flops, tolerance=_SUM,
        samples=_pool_samples(
            _FLOATS, ({}, {"ceil_mode": 1}, {"count_include_pad": 1}, {"ceil_mode": 1, "count_include_pad": 1})
        ),
    ),
    OpRecord(
        op="LpPool", infer=_pool_infer, evaluate=_lp_evaluate, lower=_lp_lower, layout="channels", anchor=True,
        flops=_pool_flops, tolerance=_SUM, samples=_pool_samples(_FLOATS, ({}, {"p": 1}, {"p": 3})),
    ),
    _global(
        "GlobalAveragePool", lambda node, x, axes: x.mean(axis=axes, keepdims=True, dtype=np.float64), _SUM,
        _global_samples(_FLOATS, ({},)), lower=_as_reduction("MEAN"),
    ),
    _global(
        "GlobalMaxPool", lambda node, x, axes: x.max(axis=axes, keepdims=True), EXACT,
        _global_samples(_FLOATS, ({},)), lower=_as_reduction("MAX"),
    ),
    _global(
        "GlobalLpPool", _global_lp, _SUM, _global_samples((DType.FLOAT, DType.FLOAT16), ({}, {"p": 1}, {"p": 3})),
        decompose=_global_lp_decompose,
    ),
    OpRecord(
        op="MaxUnpool", infer=_unpool_infer, evaluate=_unpool_evaluate, lower=_unpool_lower, samples=_unpool_samples,
        requires=_unpool_requires,
    ),
)  # fmt: skip
