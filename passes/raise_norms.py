"""Normalisations that exporters spell out become the standard op: LayerNormalization, RMSNormalization, and
GroupNormalization around an InstanceNormalization. The plain form comes first, with a scale of ones; scale and bias
that follow join it one at a time, so no rule knows more than one step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import exact_div
from arenaut.ir.graph import Graph, Node, Value, static_shape
from arenaut.ir.ops.support.common import known_ints
from arenaut.ir.types import same_shape
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import Match, Maybe, Number, OneOf, Op, Pattern, Rule, Rules, Var, number_of, tree

_CHANNEL_NORMS = ("GroupNormalization", "InstanceNormalization")
_TRAILING_NORMS = ("LayerNormalization", "RMSNormalization")


def raise_norms(graph: Graph, context: PassContext) -> bool:
    return Rules(_RULES).apply(graph, context)


# -- shapes of the decompositions ----------------------------------------------------------------------------------


def _mean(of: Pattern, name: str = "") -> Op:
    return Op("ReduceMean", of, Var("axes"), name=name, where=lambda n: bool(n.attr("keepdims", 1)))


def _square(of: Pattern) -> OneOf:
    return OneOf(Op("Pow", of, Number(2.0)), Op("Mul", of, of))


def _over_deviation(of: Pattern, squares: Pattern) -> tuple[Op, ...]:
    """of / sqrt(mean(squares) + epsilon), in the forms that exporters write."""
    variance = Op("Add", _mean(squares, "variance"), Var("epsilon", constant=True))
    deviation = Op("Sqrt", variance)
    inverse = OneOf(Op("Reciprocal", deviation), Op("Div", Number(1.0), deviation), Op("Pow", variance, Number(-0.5)))
    by_root = OneOf(deviation, Op("Pow", variance, Number(0.5)))
    return Op("Div", of, by_root), Op("Mul", of, inverse)


_X = Var("x")
_CENTRED = Op("Sub", _X, _mean(_X))


# -- checks and rewrites -------------------------------------------------------------------------------------------


def _trailing(match: Match) -> int | None:
    """How many trailing axes are normalised; None when it is not the last ones or they are not known."""
    axes, x = match["axes"], match["x"]
    known = known_ints(axes.data)
    if known is None or not x.has_shape:
        return None
    places = sorted({a % x.rank for a in known})
    return len(places) if places and places == list(range(x.rank - len(places), x.rank)) else None


def _check_core(match: Match) -> str | None:
    count = _trailing(match)
    if count is None:
        return "the axes are not the trailing ones, or not known"
    if static_shape(match["x"].shape[-count:]) is None:
        return "the size of the normalised axes is symbolic"
    if number_of(match["epsilon"]) is None:
        return f"'{match['epsilon'].name}' is not one number"
    if match["x"].dtype.is_float and match["x"].dtype.itemsize <= 4:
        return None
    return f"{match['x'].dtype.short} would be computed in f32"


def _core(op: str) -> Callable[[GraphBuilder, Match], Value]:
    def rewrite(build: GraphBuilder, match: Match) -> Value:
        x, count, epsilon = match["x"], _trailing(match), number_of(match["epsilon"])
        assert count is not None and epsilon is not None
        shape = static_shape(x.shape[-count:])
        assert shape is not None
        ones = build.constant(np.ones(shape, x.dtype.numpy))
        return build.op(op, x, ones, axis=-count, epsilon=epsilon, stash_type=1)

    return rewrite


def _plain(node: Node) -> bool:
    """A norm whose scale is all ones and whose bias is absent or zero: a factor can still become its scale."""
    scale, bias = node.operand(1), node.input(2)
    ones = scale.constant is not None and bool(np.all(scale.constant == 1))
    return ones and (bias is None or _is_zero(bias)) and all(v is None or not v.uses for v in node.outputs[1:])


def _unbiased(node: Node) -> bool:
    bias = node.input(2)
    return (bias is None or _is_zero(bias)) and all(v is None or not v.uses for v in node.outputs[1:])


def _is_zero(value: Value) -> bool:
    return value.constant is not None and not np.any(value.constant)


def _as_parameter(build: GraphBuilder, norm: Node, factor: Value) -> Value | None:
    """factor in the shape that the norm wants for scale and bias; None when it means something else."""
    x = norm.operand(0)
    wanted = norm.operand(1).shape
    if norm.op in _CHANNEL_NORMS:
        if factor.constant is None or factor.rank > x.rank:
            return None
        spread = (1,) * (x.rank - factor.rank) + factor.constant.shape
        if any(n != 1 for i, n in enumerate(spread) if i != 1) or spread[1] not in (1, x.shape[1]):
            return None
        return build.constant(np.broadcast_to(factor.constant.reshape(-1), (spread[1],)).copy())
    if same_shape(factor.shape, wanted) and factor.dtype == norm.operand(1).dtype:
        return factor
    if factor.constant is None or factor.dtype != norm.operand(1).dtype:
        return None
    static = static_shape(wanted)
    leading = factor.constant.shape[: max(0, factor.rank - len(wanted))]
    if static is None or any(n != 1 for n in leading) or factor.constant.shape[len(leading) :] != static:
        return None
    return build.constant(factor.constant.reshape(static))


def _fits(match: Match) -> str | None:
    norm, factor = match.maker("norm"), match["factor"]
    if not factor.has_shape or _as_parameter(GraphBuilder(Graph()), norm, factor) is None:
        return f"'{factor.name}' of type {factor.type} is no parameter of the normalisation"
    return None


def _join(index: int) -> Callable[[GraphBuilder, Match], Value]:
    """The norm again with the factor as its scale (1) or bias (2)."""

    def rewrite(build: GraphBuilder, match: Match) -> Value:
        norm = match.maker("norm")
        parameter = _as_parameter(build, norm, match["factor"])
        inputs = [*norm.inputs, None][:3] if index == 2 else list(norm.inputs)
        inputs[index] = parameter
        return build.op(norm.op, *inputs, **norm.attributes)

    return rewrite


def _norm(ops: tuple[str, ...], inputs: int, where: Callable[[Node], bool]) -> tuple[Op, ...]:
    """The result of a norm with so many inputs or one fewer, as a value named norm."""
    most = [Var("x"), Var("scale"), Var("bias")]
    return tuple(Op(ops, *most[:n], name="norm", where=where) for n in (2, 3)[: inputs - 1])


def _casts_check(match: Match) -> str | None:
    inner, outer = match["x"], match.root.output
    return None if inner.dtype == outer.dtype else f"{inner.dtype.short} in, {outer.dtype.short} out"


def _without_casts(build: GraphBuilder, match: Match) -> Value:
    norm, x = match.maker("norm"), match["x"]
    shape = static_shape(norm.operand(1).shape)
    assert shape is not None
    return build.op(norm.op, x, build.constant(np.ones(shape, x.dtype.numpy)), **norm.attributes)


def _group_check(match: Match) -> str | None:
    x, grouped, norm = match["x"], match["grouped"], match.maker("norm")
    if not x.has_shape or not grouped.has_shape or x.rank < 3 or grouped.shape[0] != x.shape[0]:
        return "the images are not kept apart"
    groups, channels = grouped.shape[1], x.shape[1]
    if not isinstance(groups, int) or not isinstance(channels, int) or exact_div(channels, groups) is None:
        return "the number of channels or groups is not known"
    return None if _plain(norm) else "groups have a scale or bias of their own"


def _as_group_norm(build: GraphBuilder, match: Match) -> Value:
    x, groups, norm = match["x"], match["grouped"].shape[1], match.maker("norm")
    channels = x.shape[1]
    assert isinstance(channels, int)
    ones, zeros = (build.constant(np.full(channels, n, x.dtype.numpy)) for n in (1, 0))
    epsilon = norm.attr("epsilon", 1e-5)
    normalised = build.op(
        "GroupNormalization", x, ones, zeros, num_groups=groups, epsilon=epsilon, stash_type=int(x.dtype)
    )
    return normalised


_GROUPED = Op(
    "Reshape",
    Op("InstanceNormalization", Op("Reshape", _X, Var("to"), name="grouped"), Var("ones"), Var("zeros"), name="norm"),
    Var("back"),
)

_RULES: tuple[Rule, ...] = (
    *(
        tree("layer_norm", shape, _core("LayerNormalization"), _check_core)
        for shape in _over_deviation(_CENTRED, _square(Maybe("Identity", _CENTRED)))
    ),
    *(
        tree("rms_norm", shape, _core("RMSNormalization"), _check_core, priority=1)
        for shape in _over_deviation(_X, _square(_X))
    ),
    *(
        tree("norm_scale", Op("Mul", norm, Var("factor")), _join(1), _fits, priority=2)
        for norm in _norm((*_TRAILING_NORMS, *_CHANNEL_NORMS), 3, _plain)
    ),
    *(
        tree("norm_bias", Op("Add", norm, Var("factor")), _join(2), _fits, priority=2)
        for norm in _norm(("LayerNormalization", *_CHANNEL_NORMS), 3, _unbiased)
    ),
    tree(
        "norm_casts",
        Op("Cast", Op(_TRAILING_NORMS, Op("Cast", _X), Var("scale"), name="norm", where=_plain)),
        _without_casts, _casts_check, priority=3,
    ),
    tree("group_norm", _GROUPED, _as_group_norm, _group_check),
)  # fmt: skip
