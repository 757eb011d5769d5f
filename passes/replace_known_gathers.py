"""Gathers whose indices only sizes decide read what lies there: a view, or one row.

Exporters read padding masks, positions and token types through indices made by Range, Expand, Concat and arithmetic.
Where the indices pick every element once in the order in which they lie, the gather is a Reshape; where they count up
along one axis, a Slice; where all are one number, one row that is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim, product, symbol, symbols_of
from arenaut.ir.elements import Coordinates, Elements, UnknownElementError
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.types import same_shape
from arenaut.passes.collapse_reshapes import reshape_target
from arenaut.passes.context import PassContext
from arenaut.passes.reading.elements import Follower, coordinates
from arenaut.passes.rewriting.pattern import Found, Match, Miss, Rule, Rules, is_op, reshape_making
from arenaut.passes.rewriting.sizes import shape_value, size_value
from arenaut.plain import dataclass


def replace_known_gathers(graph: Graph, context: PassContext) -> bool:
    return Rules(_RULES).apply(graph, context)


# -- finding ---------------------------------------------------------------------------------------------------------


def _flat(elements: Elements, shape: Sequence[Dim], at: Sequence[Dim]) -> Dim:
    """The place of an element in row-major order."""
    place: Dim = 0
    for d, c in zip(shape, at, strict=True):
        place = place * elements.grounded(d) + (0 if d == 1 else c)
    return place


@dataclass(frozen=True)
class _Picked(Match):
    """How the result is had: "same" elements in the same order, those that "count" up along `axis` from `start`, or
    the "one" at `start` of `axis`."""

    kind: str = "same"
    axis: int = 0
    start: int = 0


def _find(node: Node) -> Found:
    data, indices, out = node.operand(0), node.operand(1), node.output
    if indices.constant is not None or not (data.has_shape and indices.has_shape and out.has_shape) or not data.rank:
        return None
    if out.rank == 0 or all(d == 1 for d in out.shape):
        return None
    elements = Follower(out)
    at = tuple(0 if d == 1 else c for c, d in zip(coordinates(out.rank), out.shape, strict=True))
    try:
        reads_at = record_of(node).reads_at
        assert reads_at is not None
        source = reads_at(elements, node, at)
    except UnknownElementError:
        return None
    match = _Picked(node, {"data": data}, (node,))
    if _flat(elements, data.shape, source) == _flat(elements, out.shape, at):
        same = product(data.shape) == product(out.shape)
        return match if same else _along(node, match, source, at)
    return _along(node, match, source, at)


def _along(node: Node, match: _Picked, source: Coordinates, at: Coordinates) -> Found:
    """A Gather that counts along its axis, or stays at one place of it."""
    if not is_op(node, "Gather"):
        return Miss("the elements are picked in another order than they lie in")
    data, indices = node.operand(0), node.operand(1)
    axis = int(node.attr("axis", 0)) % data.rank
    place = source[axis]
    if isinstance(place, int):
        return _Picked(node, match.values, match.nodes, "one", axis, place)
    counted = [c for c, d in zip(at[axis : axis + indices.rank], indices.shape, strict=True) if d != 1]
    start = place - counted[0] if len(counted) == 1 else None
    if not isinstance(start, int):
        return Miss(f"the rows {place} are not beside each other")
    return _Picked(node, match.values, match.nodes, "count", axis, start)


# -- rewriting -------------------------------------------------------------------------------------------------------


def _rewrite(build: GraphBuilder, match: Match) -> Value:
    """A value of another type where it cannot be said: the rule is then refused."""
    assert isinstance(match, _Picked)
    data, out = match["data"], match.root.output
    if match.kind == "same":
        return _same(build, data, out.shape)
    if match.kind == "one":
        row = _slice(build, data, match, build.constant(np.array([match.start + 1], np.int64)))
        return _expanded(build, row, match, out)
    length = next(d for d in match.root.operand(1).shape if d != 1)
    for candidate in (length, *(symbol(s.name) for s in symbols_of(length))):
        size = size_value(build, candidate)
        if size is None:
            continue
        end = build.op("Add", size, build.constant(np.array([match.start], np.int64))) if match.start else size
        rows = _slice(build, data, match, end)
        if rows.shape[match.axis] == length:
            return _reshaped(build, rows, out.shape)
    return data


def _slice(build: GraphBuilder, data: Value, match: _Picked, end: Value) -> Value:
    start, axis = (build.constant(np.array([n], np.int64)) for n in (match.start, match.axis))
    result = build.op("Slice", data, start, end, axis)
    return result


def _same(build: GraphBuilder, data: Value, shape: Sequence[Dim]) -> Value:
    """The data under another shape, or what was reshaped to be the data."""
    result, source = _reshaped(build, data, shape), reshape_making(data)
    while not same_shape(result.shape, tuple(shape)) and source is not None and source.operand(0).has_shape:
        result, source = _reshaped(build, source.operand(0), shape), reshape_making(source.operand(0))
    return result


def _reshaped(build: GraphBuilder, value: Value, shape: Sequence[Dim]) -> Value:
    target = reshape_target(value.shape, tuple(shape))
    if same_shape(value.shape, tuple(shape)) or target is None:
        return value
    result = build.op("Reshape", value, build.constant(np.array(target, np.int64)), allowzero=0)
    return result


def _expanded(build: GraphBuilder, row: Value, match: _Picked, out: Value) -> Value:
    """One place of the axis, repeated over the dims of the indices."""
    axis, rank = match.axis, match.root.operand(1).rank
    low = _reshaped(build, row, (*row.shape[:axis], *(1,) * rank, *row.shape[axis + 1 :]))
    shape = shape_value(build, out.shape)
    if shape is None:
        return low
    result = build.op("Expand", low, shape)
    return result


_RULES = (Rule("known_gather", ("Gather", "GatherND", "GatherElements"), _find, _rewrite),)
