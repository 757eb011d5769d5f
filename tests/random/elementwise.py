"""Templates of ops that work element by element, and of reductions."""

from __future__ import annotations

from collections.abc import Sequence

from tests.random.draw import (
    FLOATS,
    INTEGERS,
    Draw,
    Values,
    between,
    edges,
    given,
    nonzero,
    plain,
    template,
)

DOMAINS = {
    "Acos": (-1, 1), "Asin": (-1, 1), "Atanh": (-0.99, 0.99), "Acosh": (1, 9), "Log": (0.001, 9), "Sqrt": (0, 9),
    "Sinh": (-5, 5), "Cosh": (-5, 5), "Exp": (-9, 9), "Reciprocal": (0.01, 9), "Tan": (-1.4, 1.4),
}  # fmt: skip


def broadcast(d: Draw, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that broadcasts to `shape`: leading dims gone, some dims 1."""
    kept = tuple(shape[d.fixed(0, len(shape)) if d.chance(0.3) else 0 :])
    return tuple(1 if d.chance(0.2) else n for n in kept)


def values_of(d: Draw, ordinary: Values = plain) -> Values:
    return edges if d.edges else ordinary


@template(
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Cos", "Cosh", "Erf", "Exp",
    "Floor", "HardSwish", "Identity", "IsNaN", "Log", "Mish", "Neg", "NonZero", "Not", "Reciprocal", "Relu", "Round",
    "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh",
)  # fmt: skip
def unary(d: Draw) -> None:
    low_high = DOMAINS.get(d.op)
    d.input("X", d.shape(d.rank()), values_of(d, between(*low_high) if low_high else plain))


@template("Elu", "Celu", "Selu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Swish")
def activation(d: Draw) -> None:
    for name in ("alpha", "beta", "gamma"):
        if d.chance():
            d.attr(name, d.choice([0.5, 1.0, 2.0, 0.2, 0.01] + ([] if d.op == "Celu" else [0.0, -1.0])))
    d.input("X", d.shape(d.rank()), values_of(d))


@template("Gelu")
def gelu(d: Draw) -> None:
    d.attr("approximate", d.choice([None, "none", "tanh"]))
    d.input("X", d.shape(d.rank()))


@template("Shrink")
def shrink(d: Draw) -> None:
    d.attr("lambd", d.choice([None, 0.0, 1.0, 2.0]))
    d.attr("bias", d.choice([None, 0.0, 1.0]))
    d.input("X", d.shape(d.rank()))


@template("IsInf")
def is_inf(d: Draw) -> None:
    d.attr("detect_negative", d.choice([None, 0, 1]))
    d.attr("detect_positive", d.choice([None, 0, 1]))
    d.input("X", d.shape(d.rank()), edges)


@template(
    "Add", "Sub", "Mul", "And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
    "BitwiseAnd", "BitwiseOr", "BitwiseXor", "SwiGLU",
)  # fmt: skip
def binary(d: Draw) -> None:
    shape = d.shape(d.rank())
    operands = [shape, shape if d.chance(0.4) or d.op == "SwiGLU" else broadcast(d, shape)]
    if d.chance():
        operands.reverse()
    for name, dims in zip("AB", operands, strict=True):
        d.input(name, dims, values_of(d), constant=0.25)


@template("Div", "Mod")
def division(d: Draw) -> None:
    shape = d.shape(d.rank())
    if d.op == "Mod" and (d.dtype(0) not in INTEGERS or d.chance(0.3)):
        d.attr("fmod", 1)
    d.input("A", shape, values_of(d))
    divisors = nonzero if d.dtype(0) in FLOATS | INTEGERS else plain
    d.input("B", broadcast(d, shape), divisors, constant=0.3)


@template("Pow")
def power(d: Draw) -> None:
    shape = d.shape(d.rank())
    floats = d.dtype(0) in FLOATS
    d.input("X", shape, between(0.1, 4) if floats else between(-4, 4))
    d.input("Y", () if d.chance() else broadcast(d, shape), between(0, 3), constant=0.5)


@template("BitShift")
def shift(d: Draw) -> None:
    d.attr("direction", d.choice(["LEFT", "RIGHT"]))
    shape = d.shape(d.rank())
    d.input("X", shape)
    d.input("Y", broadcast(d, shape), between(0, 7))


@template("PRelu")
def prelu(d: Draw) -> None:
    shape = d.shape(d.rank(1))
    d.input("X", shape)
    d.input("slope", broadcast(d, shape), constant=0.4)


@template("Max", "Min", "Sum", "Mean")
def variadic(d: Draw) -> None:
    shape = d.shape(d.rank())
    for index in range(d.fixed(1, 4)):
        d.input("data_0", shape if index == 0 or d.opset < 8 else broadcast(d, shape), values_of(d))


@template("Where")
def where(d: Draw) -> None:
    shape = d.shape(d.rank())
    d.input("condition", broadcast(d, shape))
    d.input("X", shape)
    d.input("Y", broadcast(d, shape), constant=0.4)


@template("Clip")
def clip(d: Draw) -> None:
    d.input("input", d.shape(d.rank()), values_of(d))
    if d.has_input("min"):
        for name, value in (("min", d.choice([0, 1, 2])), ("max", d.choice([3, 4, 6]))):
            if d.chance(0.7):
                d.input(name, (), given(value), constant=0.7)
            else:
                d.absent()
    else:
        d.attr("min", d.choice([None, 0.0, -1.0]))
        d.attr("max", d.choice([None, 1.0, 6.0]))


# -- types ---------------------------------------------------------------------------------------------------------


def _castable(source: str, target: str) -> Values:
    """Values that the target can hold, where the standard leaves the others open."""
    if source == "string":
        return lambda rng, shape, dtype: rng.integers(0, 9, shape).astype(str).astype(object)
    if target == "bool" or source in ("bool",):
        return plain
    small = 1 if target.endswith(("int2", "int4", "e2m1")) else 9
    low = 0 if target.startswith("uint") else -small
    return between(low, small)


@template("Cast")
def cast(d: Draw) -> None:
    assert d.schema is not None
    target = d.choice([t for t in d.allowed("T2") if t not in ("complex64", "complex128")])
    source = d.dtype(0)
    from tests.random.draw import element_type

    d.attr("to", element_type(target))
    if d.chance(0.2) and "float8" in target and "e8m0" not in target:
        d.attr("saturate", d.choice([0, 1]))
    d.input("input", d.shape(d.rank()), _castable(source, target) if source not in ("complex64",) else plain)


@template("CastLike")
def cast_like(d: Draw) -> None:
    target = d.dtype(1)
    d.input("input", d.shape(d.rank()), _castable(d.dtype(0), target))
    d.input("target_type", d.shape(d.rank(0, 2)))


@template("BitCast")
def bit_cast(d: Draw) -> None:
    assert d.schema is not None
    from tests.random.draw import element_type, numpy_type

    source = d.dtype(0)
    same = [t for t in d.allowed("T2") if t != "string" and numpy_type(t).itemsize == numpy_type(source).itemsize]
    narrow = ("int4", "uint4", "int2", "uint2", "float4e2m1")
    same = [t for t in same if (t in narrow) == (source in narrow) and t[-1] == source[-1]] or [source]
    d.attr("to", element_type(d.choice(same)))
    d.input("input", d.shape(d.rank()))


# -- reductions ----------------------------------------------------------------------------------------------------


@template(
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
def reduction(d: Draw) -> None:
    rank = d.rank()
    shape = d.shape(rank, 1)
    d.attr("keepdims", d.choice([None, 0, 1]))
    if d.op == "ReduceLogSum":
        values = between(0.1, 3)
    elif d.op == "ReduceProd":
        values = between(-1.2, 1.2) if d.dtype(0) in FLOATS else _ones_and_twos
    else:
        values = values_of(d, plain if d.dtype(0) in FLOATS else between(-4, 4))
    d.input("data", shape, values)
    if d.chance(0.8):
        axes = d.axes(rank, 1)
        if d.has_attr("axes"):
            if axes:
                d.attr("axes", axes)
        else:
            if d.chance(0.1):
                axes = []
            d.attr("noop_with_empty_axes", d.choice([None, 0, 1]))
            d.shaping("axes", axes)


def _ones_and_twos(rng, dims, dtype):  # type: ignore[no-untyped-def]
    """Whose product fits every integer type."""
    import numpy as np

    values = np.ones(dims, dtype)
    values.flat[rng.integers(0, max(1, values.size), 4 if values.size else 0)] = 2
    return values


@template("ArgMax", "ArgMin")
def arg_reduction(d: Draw) -> None:
    rank = d.rank(1)
    d.attr("axis", d.choice([None, d.axis(rank)]))
    d.attr("keepdims", d.choice([None, 0, 1]))
    d.attr("select_last_index", d.choice([None, 0, 1]))
    d.input("data", d.shape(rank, 1), between(-3, 3))


@template("Softmax", "LogSoftmax", "Hardmax")
def softmax(d: Draw) -> None:
    rank = d.rank(1)
    default_fits = d.opset >= 13 or rank >= 2
    d.attr("axis", d.choice([None, d.axis(rank)]) if default_fits else d.axis(rank))
    d.input("input", d.shape(rank, 1))


@template("LpNormalization")
def lp_normalization(d: Draw) -> None:
    rank = d.rank(1)
    d.attr("axis", d.choice([None, d.axis(rank)]))
    d.attr("p", d.choice([None, 1, 2]))
    d.input("input", d.shape(rank, 1), nonzero)


@template("CumSum", "CumProd")
def running(d: Draw) -> None:
    rank = d.rank(1)
    d.attr("exclusive", d.choice([None, 0, 1]))
    d.attr("reverse", d.choice([None, 0, 1]))
    d.input("x", d.shape(rank), plain if d.op == "CumSum" else between(1, 2))
    d.input("axis", (), given(d.axis(rank)), constant=0.6)


@template("TopK")
def top_k(d: Draw) -> None:
    rank = d.rank(1)
    axis = d.choice([None, d.axis(rank)])
    place = -1 if axis is None else axis
    shape = list(d.shape(rank, 1))
    k = d.choice([0, 1, 1, 2, 3, 5]) if d.opset >= 10 else d.choice([1, 2, 3])
    shape[place] = d.size(max(k, 1))
    d.attr("axis", axis)
    d.attr("largest", d.choice([None, 0, 1]))
    d.attr("sorted", d.choice([None, 1]))
    distinct: Values = lambda rng, dims, dtype: _distinct(rng, dims, dtype)  # noqa: E731
    d.input("X", shape, distinct if d.chance(0.6) else plain)
    if d.has_input("K"):
        d.shaping("K", [k])
    else:
        d.attr("k", k)
    d.outputs(2)
    if d.output_count == 1:
        d.output_count = 2


def _distinct(rng, dims, dtype):  # type: ignore[no-untyped-def]
    import numpy as np

    count = int(np.prod(dims))
    if dtype.kind in "iu" and count > 100:
        return plain(rng, dims, dtype)
    return (rng.permutation(count) - (0 if dtype.kind == "u" else count // 2)).reshape(dims).astype(dtype)
