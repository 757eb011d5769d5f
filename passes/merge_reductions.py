"""Reductions of simple functions are reductions of their own: one read of the operand and no tensor in between."""

from __future__ import annotations

from collections.abc import Callable

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops.support.common import known_ints
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import Match, Number, Op, Pattern, Rule, Rules, Var, tree


def merge_reductions(graph: Graph, context: PassContext) -> bool:
    return Rules(_RULES).apply(graph, context)


def _reduces(node: Node) -> bool:
    """Not the form that, without axes, passes its operand through."""
    return not node.attr("noop_with_empty_axes", 0)


def _inner(op: str) -> Callable[[GraphBuilder, Match], Value]:
    """The reduction named, with the axes and attributes of the one that was matched."""

    def rewrite(build: GraphBuilder, match: Match) -> Value:
        node = match.maker("sum")
        axes = match.values.get("axes")
        return build.op(op, match["x"], *([] if axes is None else [axes]), **node.attributes)

    return rewrite


def _over_axes(op: str, of: Pattern) -> tuple[Op, Op]:
    return (
        Op(op, of, Var("axes"), name="sum", where=_reduces),
        Op(op, of, name="sum", where=_reduces),
    )


def _sums(of: Pattern) -> tuple[Op, Op]:
    return _over_axes("ReduceSum", of)


def _log_softmax_check(match: Match) -> str | None:
    node, x = match.maker("sum"), match["x"]
    axes = known_ints(match["axes"].data) if "axes" in match.values else None
    if axes is None or len(axes) != 1 or not node.attr("keepdims", 1):
        return "it is not along one axis that stays"
    return None if x.has_shape else "the rank is not known"


def _log_softmax(build: GraphBuilder, match: Match) -> Value:
    axes = known_ints(match["axes"].data)
    assert axes is not None
    return build.op("LogSoftmax", match["x"], axis=axes[0] % match["x"].rank)


_X = Var("x")

_RULES: tuple[Rule, ...] = (
    *(tree("sum_square", s, _inner("ReduceSumSquare"), any_shape=True) for s in _sums(Op("Mul", _X, _X))),
    *(tree("sum_square", s, _inner("ReduceSumSquare")) for s in _sums(Op("Pow", _X, Number(2.0)))),
    *(tree("l1", s, _inner("ReduceL1"), any_shape=True) for s in _sums(Op("Abs", _X))),
    *(tree("l2", Op("Sqrt", s), _inner("ReduceL2"), any_shape=True) for s in _over_axes("ReduceSumSquare", _X)),
    *(tree("log_sum", Op("Log", s), _inner("ReduceLogSum"), any_shape=True) for s in _sums(_X)),
    tree("log_softmax", Op("Sub", _X, _over_axes("ReduceLogSumExp", _X)[0]), _log_softmax, _log_softmax_check),
)
