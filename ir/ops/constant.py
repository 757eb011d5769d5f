"""Constant, ConstantOfShape, Range, EyeLike, and the random ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from arenaut.ir import dims
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.elements import Choice, Coordinates, Elements
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import kept_for, only_element, tensor_like
from arenaut.ir.ops.support.composite import cast
from arenaut.ir.ops.support.requirements import range_requires, sizes_require
from arenaut.ir.ops.support.samples import i64
from arenaut.ir.record import Build, Infer, Lower, LowerRule, NoRowError, OpRecord, Param, Sample, UnknownError
from arenaut.ir.types import TensorType, Type
from arenaut.plain import dataclass, replace

# -- Constant ------------------------------------------------------------------------------------------------------

_SCALARS = {
    "value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32,
    "value_string": object, "value_strings": object,
}  # fmt: skip


def constant_array(node: Node) -> Array:
    """The tensor of a Constant node, whichever attribute holds it."""
    value = node.attr("value")
    if value is not None:
        return np.asarray(value)
    for name, dtype in _SCALARS.items():
        if name in node.attributes:
            return np.array(node.attributes[name], dtype)
    raise RuleError(f"{node}: no dense value")


def _constant_infer(context: Infer) -> Sequence[Type]:
    try:
        array = constant_array(context.node)
    except RuleError:
        raise context.fail("expected a dense value") from None
    return [TensorType(dtype_of(array), tuple(array.shape))]


def _constant_data(context: Infer) -> Sequence[Array | None]:
    return [constant_array(context.node).astype(np.int64).astype(object)]


# -- ConstantOfShape -----------------------------------------------------------------------------------------------


def _fill_value(node: Node) -> Array:
    value = node.attr("value")
    return np.zeros((), np.float32) if value is None else np.asarray(value).reshape(())


def _filled_infer(context: Infer) -> Sequence[Type]:
    dtype = dtype_of(_fill_value(context.node))
    try:
        shape = tuple(context.data(0).flat)
    except UnknownError:
        return [TensorType(dtype, None)]
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise context.fail(f"negative dim in shape {list(shape)}")
    return [TensorType(dtype, shape)]


def _filled_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    value = _fill_value(node)
    return [np.full(tuple(int(d) for d in np.asarray(inputs[0]).flat), value, value.dtype)]


def _filled_data(context: Infer) -> Sequence[Array | None]:
    shape = context.node.output.shape
    return [np.full([d for d in shape if isinstance(d, int)], int(_fill_value(context.node)), object)]


# -- Range ---------------------------------------------------------------------------------------------------------


def _scalar(context: Infer, index: int) -> Any:
    """An input as a number: what a constant holds, else a dim for the integers that dims can be read from."""
    value = context.node.operand(index)
    if value.constant is not None:
        number = only_element(context, index, value.constant)
        return number if context.dtype(index).is_integer else float(number)
    known = context.dtype(index) in (DType.INT64, DType.INT32) and value.has_shape
    return only_element(context, index, context.data(index)) if known else None


def _range_infer(context: Infer) -> Sequence[Type]:
    """Where the three are neither constants nor dims, only running tells the count."""
    start, limit, delta = (_scalar(context, i) for i in range(3))
    if isinstance(delta, (int, float)) and delta == 0:
        raise context.fail("delta is 0")
    count: Dim
    if start is None or limit is None or delta is None:
        count = context.fresh(0, 0)
    elif context.dtype(0).is_integer:
        count = dims.maximum(dims.ceildiv(limit - start, delta), 0)
    else:
        exact = np.ceil((limit - start) / delta)
        if not abs(exact) < 2**62:
            raise context.fail(f"start {start}, limit {limit} and delta {delta} give no number of elements")
        count = max(int(exact), 0)
    return [TensorType(context.dtype(0), (count,))]


def _range_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Element i is start + i * delta, rounded once; narrow floats after float32 (float64 with stash_type 11)."""
    start, limit, delta = (np.asarray(x).reshape(()) for x in inputs)
    if dtype_of(start).is_integer:
        return [np.array(range(int(start), int(limit), int(delta)), np.int64).astype(start.dtype)]
    count = max(int(np.ceil((float(limit) - float(start)) / float(delta))), 0)
    wide = np.float64 if start.dtype == np.float64 or node.attr("stash_type", 1) == DType.DOUBLE else np.float32
    exact = start.astype(np.float64) + np.arange(count) * delta.astype(np.float64)
    return [exact.astype(wide).astype(start.dtype)]


def _range_data(context: Infer) -> Sequence[Array | None]:
    start, _, delta = (_scalar(context, i) for i in range(3))
    count = context.node.output.shape[0]
    assert isinstance(count, int)
    out = np.empty(count, object)
    out[:] = [start + i * delta for i in range(count)]
    return [out]


def _range_lower(lower: Lower, node: Node) -> None:
    """A count that neither constants nor dims tell is worked out by a step."""
    start, limit, delta = (lower.read(node.operand(i)) for i in range(3))
    if any(_scalar_unknown(node, i) for i in range(3)):
        count = lower.temp(DType.INT64, (1,))
        lower.call("RangeCount", [start, limit, delta], [count])
        lower.set_symbol(node.output.shape[0], count)
    lower.call("Range", [start, delta], [lower.write(node.output)])


def _scalar_unknown(node: Node, index: int) -> bool:
    """Whether only running tells that input, as `_scalar` has it."""
    value = node.operand(index)
    return value.constant is None and value.dtype not in (DType.INT64, DType.INT32)


# -- EyeLike -------------------------------------------------------------------------------------------------------


def _eye_infer(context: Infer) -> Sequence[Type]:
    shape, chosen = context.shape(0), context.node.attr("dtype")
    if len(shape) != 2:
        raise context.fail(f"rank {len(shape)}, expected 2")
    return [TensorType(context.dtype(0) if chosen is None else DType(chosen), shape)]


def _eye_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    chosen = node.attr("dtype")
    dtype = inputs[0].dtype if chosen is None else DType(chosen).numpy
    return [np.eye(len(inputs[0]), np.shape(inputs[0])[1], node.attr("k", 0)).astype(dtype)]


def _eye_lower(lower: Lower, node: Node) -> None:
    """Zeros, then ones along the diagonal, which is a view with both strides added."""
    target, k = lower.write(node.output), node.attr("k", 0)
    rows, columns = target.dims
    dtype = target.dtype.numpy
    lower.fill(target, np.zeros((), dtype))
    count = dims.maximum(dims.minimum(rows - max(-k, 0), columns - max(k, 0)), 0)
    corner = target.slice(0, max(-k, 0), count).slice(1, max(k, 0), count)
    step = corner.strides[0] + corner.strides[1]
    lower.fill(replace(corner, dims=(count,), strides=(step,)), np.ones((), dtype))


# -- random --------------------------------------------------------------------------------------------------------


def _random_infer(context: Infer) -> Sequence[Type]:
    node = context.node
    chosen = node.attr("dtype")
    if not node.inputs:
        return [TensorType(DType(chosen or DType.FLOAT), tuple(node.attr("shape")))]
    t = tensor_like(context)
    return [TensorType(t.dtype if chosen is None else DType(chosen), t.shape)]


def _multinomial_infer(context: Infer) -> Sequence[Type]:
    batch, count = context.shape(0)[0], context.node.attr("sample_size", 1)
    return [TensorType(DType(context.node.attr("dtype", DType.INT32)), (batch, count))]


@cache
def _unseeded() -> np.random.Generator:
    """Draws that no seed fixes. One call of a generator holds its lock."""
    return np.random.Generator(np.random.SFC64())


def _generator(seed: Any) -> np.random.Generator:
    return _unseeded() if seed is None else np.random.default_rng(seed)


def _seed_of(node: Node) -> Any:
    seed = node.attr("seed")
    return None if seed is None else np.float32(seed).view(np.uint32)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What a node draws: the generator (None: a new one of the seed for each run), the element type, the float type to
    draw in, and two numbers of it: low and width, or mean and scale."""

    seed: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    wide: Any
    first: Any
    second: Any

    def generator(self) -> np.random.Generator:
        return _generator(self.seed)

    def shape_of(self, inputs: Sequence[Any]) -> tuple[int, ...]:
        return inputs[0].shape if inputs else self.shape


def _drawing(first: str, second: str, defaults: tuple[float, float], is_width: bool) -> Callable[[Node], _Drawing]:
    def make(node: Node) -> _Drawing:
        shape = () if node.inputs else tuple(int(d) for d in node.attr("shape"))
        plain = node.operand(0).dtype if node.inputs else DType.FLOAT
        dtype = DType(node.attr("dtype") or plain).numpy
        wide = np.float64 if dtype == np.float64 else np.float32
        a, b = float(node.attr(first, defaults[0])), float(node.attr(second, defaults[1]))
        return _Drawing(_seed_of(node), shape, dtype, wide, wide(a), wide(b - a if is_width else b))

    return make


_UNIFORM, _NORMAL = _drawing("low", "high", (0.0, 1.0), True), _drawing("mean", "scale", (0.0, 1.0), False)


def _uniform_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    known = kept_for(node, _UNIFORM)
    out = np.asarray(known.generator().random(known.shape_of(inputs), known.wide))
    if known.second != 1:
        out *= known.second
    if known.first != 0:
        out += known.first
    return [np.asarray(out).astype(known.dtype, copy=False)]


def _normal_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    known = kept_for(node, _NORMAL)
    out = np.asarray(known.generator().standard_normal(known.shape_of(inputs), known.wide))
    if known.second != 1:
        out *= known.second
    if known.first != 0:
        out += known.first
    return [np.asarray(out).astype(known.dtype, copy=False)]


def _bernoulli_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    known, odds = kept_for(node, _UNIFORM), inputs[0]
    return [
        np.less(known.generator().random(odds.shape, known.wide), odds.astype(known.wide, copy=False)).astype(
            known.dtype
        )
    ]


def _multinomial_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Classes drawn by their unnormalised log-probabilities, by the inverse of the distribution function."""
    logits = np.asarray(inputs[0]).astype(np.float64)
    with np.errstate(all="ignore"):
        weights = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    ends = np.cumsum(np.where(weights > 0, weights, 0), axis=1)
    draws = _generator(_seed_of(node)).random((len(logits), int(node.attr("sample_size", 1)))) * ends[:, -1:]
    picked = (ends[:, None, :] <= draws[:, :, None]).sum(axis=2)
    dtype = DType(node.attr("dtype", DType.INT32)).numpy
    return [np.minimum(picked, logits.shape[1] - 1).astype(dtype)]


# At the numbers of the C enumeration.
DRAWS = ("UNIFORM", "NORMAL")


def _draw_params(node: Node, kind: str, first: float, second: float) -> dict[str, Param]:
    seed = _seed_of(node)
    return {"kind": DRAWS.index(kind), "seeded": int(seed is not None), "seed": 0 if seed is None else int(seed),
            "first": first, "second": second}  # fmt: skip


def _drawn_lower(kind: str, drawing: Callable[[Node], _Drawing]) -> LowerRule:
    def lower_draw(lower: Lower, node: Node) -> None:
        known, to = drawing(node), lower.write(node.output)
        wide = DType.FLOAT if known.wide is np.float32 else DType.DOUBLE
        if not to.dtype.is_float or (wide is DType.DOUBLE and kind != "UNIFORM"):
            raise NoRowError("normal numbers of float64, or no floats")
        out = to if to.dtype is wide else lower.temp(wide, to.dims)
        lower.call("Draw", [], [out], _draw_params(node, kind, float(known.first), float(known.second)))
        if out is not to:
            lower.convert(out, to)

    return lower_draw


def _bernoulli_decompose(build: Build, node: Node) -> Sequence[Value]:
    odds, to = node.operand(0), DType(node.attr("dtype") or node.operand(0).dtype)
    wide = DType.DOUBLE if to is DType.DOUBLE else DType.FLOAT
    drawn = build.op("RandomUniformLike", odds, dtype=int(wide), low=0.0, high=1.0, seed=node.attr("seed"))
    return [cast(build, build.op("Less", drawn, cast(build, odds, wide)), to)]


def _multinomial_lower(lower: Lower, node: Node) -> None:
    x, to = lower.read(node.operand(0)), lower.write(node.output)
    if x.dtype not in (DType.FLOAT, DType.DOUBLE):
        wide = lower.temp(DType.FLOAT, x.dims)
        lower.convert(x, wide)
        x = wide
    draws = lower.temp(DType.DOUBLE, to.dims)
    lower.call("Draw", [], [draws], _draw_params(node, "UNIFORM", 0.0, 1.0))
    lower.call("Multinomial", [x, draws], [to])


_RANDOM = {
    "RandomNormal": _normal_evaluate,
    "RandomNormalLike": _normal_evaluate,
    "RandomUniform": _uniform_evaluate,
    "RandomUniformLike": _uniform_evaluate,
}


# -- samples -------------------------------------------------------------------------------------------------------


def _constant_samples() -> Iterator[Sample]:
    for dtype in (*samples.NUMBERS, DType.BOOL, DType.STRING):
        yield Sample((), {"value": samples.draw((2, 3), dtype)})
    yield Sample((), {"value_int": 3})
    yield Sample((), {"value_floats": (1.5, 2.0)})
    yield Sample((), {"value_string": "x"})


def _filled_samples() -> Iterator[Sample]:
    for dtype in (*samples.NUMBERS, DType.BOOL):
        yield Sample((i64(2, 3),), {"value": samples.draw((1,), dtype, 1, 4)})
    for shape in ((), (0, 3), (4,)):
        yield Sample((i64(*shape),))


def _range_samples() -> Iterator[Sample]:
    for dtype in (DType.INT64, DType.INT32, DType.INT16, DType.FLOAT, DType.DOUBLE):
        for bounds in ((0, 7, 1), (10, -3, -4), (2, 2, 1), (5, 1, 2), (-3, 8, 3)):
            yield Sample(tuple(np.array(b).astype(dtype.numpy) for b in bounds))
    yield Sample(tuple(np.array(b, np.float32) for b in (0.5, 3.0, 0.3)))


def _eye_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.INT64, DType.UINT8, DType.FLOAT16):
        for shape, k in (((4, 4), 0), ((3, 5), 2), ((5, 3), -1), ((2, 2), 5), ((0, 3), 0)):
            yield Sample((samples.draw(shape, dtype),), {"k": k})
    yield Sample((samples.draw((3, 3)),), {"dtype": int(DType.INT32)})


def _range_element(elements: Elements, node: Node, at: Coordinates) -> Dim:
    return elements.integer(node.operand(0), ()) + at[0] * elements.integer(node.operand(2), ())


def _filled_element(elements: Elements, node: Node, at: Coordinates) -> Dim:
    return int(_fill_value(node).reshape(-1)[0])


def _filled_choice(elements: Elements, node: Node, at: Coordinates) -> Choice:
    number = float(_fill_value(node).reshape(-1)[0])
    return Choice(1, number, number)


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Constant", infer=_constant_infer, evaluate=lambda node, inputs: [constant_array(node)],
        data=_constant_data, samples=_constant_samples,
    ),
    OpRecord(
        op="ConstantOfShape", requires=sizes_require, element=_filled_element, choice=_filled_choice,
        infer=_filled_infer, evaluate=_filled_evaluate, data=_filled_data,
        lower=lambda lower, node: lower.fill(lower.write(node.output), _fill_value(node)), samples=_filled_samples,
    ),
    OpRecord(
        op="Range", requires=range_requires, element=_range_element,
        infer=_range_infer, evaluate=_range_evaluate, data=_range_data, lower=_range_lower,
        samples=_range_samples,
    ),
    OpRecord(op="EyeLike", infer=_eye_infer, evaluate=_eye_evaluate, lower=_eye_lower, samples=_eye_samples),
    *(
        OpRecord(
            op=op, infer=_random_infer, evaluate=evaluate, deterministic=False,
            lower=_drawn_lower("UNIFORM", _UNIFORM) if "Uniform" in op else _drawn_lower("NORMAL", _NORMAL),
        )
        for op, evaluate in _RANDOM.items()
    ),
    OpRecord(
        op="Bernoulli", infer=_random_infer, evaluate=_bernoulli_evaluate, decompose=_bernoulli_decompose,
        deterministic=False,
    ),
    OpRecord(
        op="Multinomial", infer=_multinomial_infer, evaluate=_multinomial_evaluate, lower=_multinomial_lower,
        deterministic=False,
    ),
)  # fmt: skip
