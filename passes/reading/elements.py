"""One element of a tensor as a formula of its coordinates, for tensors that only sizes decide.

Masks and positions are made by Range, Expand, Slice, Concat, CumSum, GatherND, comparisons and the like, from nothing
but the sizes of the inputs. What such a graph computes is decided here by following one element with symbolic
coordinates through it: `element(mask, (b, h, i, j))` of a causal mask is 1 - lt(i, j), whatever the nodes are.

An element exists only where no dim is zero, so symbols that are dims of the tensor itself are at least one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, Expr, Symbol, equal, is_nonnegative, less, maximum, minimum, rewrite, select, symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops.support.common import known_ints

Coordinates = tuple[Dim, ...]

# Formulas of more nodes than this are given up.
MAX_NODES = 400


@dataclass(frozen=True)
class Choice:
    """A float element: yes where condition is not 0, else no."""

    condition: Dim
    yes: float
    no: float


def coordinates(rank: int) -> Coordinates:
    """Symbols for the coordinates of a tensor of this rank."""
    return tuple(symbol(f"@{i}") for i in range(rank))


def element(value: Value, at: Coordinates) -> Dim | None:
    """The integer or boolean element at these coordinates, None when it depends on more than sizes."""
    try:
        return Elements(value).integer(value, at)
    except UnknownElementError:
        return None


def choice(value: Value, at: Coordinates) -> Choice | None:
    """The float element at these coordinates when it is one of two numbers, None when it is anything else."""
    try:
        return Elements(value).number(value, at)
    except UnknownElementError:
        return None


def before(a: Dim, b: Dim) -> Dim:
    """1 where a < b, else 0: one form for all that mean the same over whole numbers."""
    x = b - a
    if isinstance(x, int) or is_nonnegative(x - 1) or is_nonnegative(-x):
        return less(a, b)
    return less(0, x) if x.terms[0][1] > 0 else 1 - less(0, 1 - x)


def causal(row: Dim, column: Dim) -> Dim:
    """The element of a causal mask: 1 where column <= row."""
    return 1 - before(row, column)


class UnknownElementError(Exception):
    """The element depends on data, or in a way that is not followed."""


class Elements:
    """Follows elements of `whole` back through nodes. Booleans are 0 and 1."""

    def __init__(self, whole: Value) -> None:
        self.visits = 0
        dims = whole.shape if whole.has_shape else ()
        factors = [atom for d in dims if isinstance(d, Expr) and len(d.terms) == 1 for atom, _ in d.terms[0][0]]
        self._sizes = {a.name: symbol(a.name) + 1 for a in factors if isinstance(a, Symbol) and not a.signed}

    def grounded(self, d: Dim) -> Dim:
        """d with each size s of the tensor written as s + 1: it is not empty, or there is no element."""
        return rewrite(d, self._sizes)

    # -- integers and booleans -----------------------------------------------------------------------------------

    def integer(self, value: Value, at: Coordinates) -> Dim:
        self.visits += 1
        if self.visits > MAX_NODES:
            raise UnknownElementError
        known = value.constant if value.constant is not None else value.data
        if not (value.has_shape and (value.dtype.is_integer or value.dtype is DType.BOOL)):
            raise UnknownElementError
        if known is not None:
            only = _known(np.asarray(known), at)
            return self.grounded(only) if isinstance(only, Expr) else int(only)
        node = value.producer
        if node is None or node.domain != "":
            raise UnknownElementError
        moved = _MOVES.get(node.op)
        if moved is not None:
            return self.integer(node.operand(0), moved(self, node, at))
        rule = _RULES.get(node.op)
        if rule is None or node.outputs[0] is not value:
            raise UnknownElementError
        return rule(self, node, at)

    def operands(self, node: Node, at: Coordinates) -> list[Dim]:
        """The elements of broadcast operands."""
        return [self.integer(v, _broadcast(v, at)) for v in node.inputs if v is not None]

    # -- floats ----------------------------------------------------------------------------------------------------

    def number(self, value: Value, at: Coordinates) -> Choice:
        self.visits += 1
        if self.visits > MAX_NODES or not value.has_shape:
            raise UnknownElementError
        if value.constant is not None:
            return _one_of_two(value.constant, at)
        node = value.producer
        if node is None or node.domain != "":
            raise UnknownElementError
        if node.op in _MOVES:
            return self.number(node.operand(0), _MOVES[node.op](self, node, at))
        if node.op == "Where":
            condition = self.integer(node.operand(0), _broadcast(node.operand(0), at))
            yes, no = (_single(self.number(v, _broadcast(v, at))) for v in (node.operand(1), node.operand(2)))
            return Choice(condition, yes, no)
        if node.op == "Trilu":
            return Choice(self._kept(node, at), _single(self.number(node.operand(0), at)), 0.0)
        if node.op == "Cast":
            source = node.operand(0)
            if source.dtype.is_float:
                return self.number(source, at)
            return _as_choice(self.integer(source, at))
        if node.op == "ConstantOfShape":
            return Choice(1, *[float(np.asarray(node.attr("value", 0.0)).reshape(-1)[0])] * 2)
        if node.op == "Mul":
            a, b = (self.number(v, _broadcast(v, at)) for v in (node.operand(0), node.operand(1)))
            return _product_of(a, b)
        raise UnknownElementError

    def _kept(self, node: Node, at: Coordinates) -> Dim:
        """Whether Trilu keeps the element: column - row >= k above, <= k below."""
        k = 0 if node.input(1) is None else self.integer(node.operand(1), ())
        distance = at[-1] - at[-2]
        return 1 - before(distance, k) if node.attr("upper", 1) else 1 - before(k, distance)

    def kept(self, node: Node, at: Coordinates) -> Dim:
        return self._kept(node, at) * self.integer(node.operand(0), at)


# -- helpers -------------------------------------------------------------------------------------------------------


def _known(array: np.ndarray, at: Coordinates) -> Any:
    """The element, when all that the coordinates leave open are equal, or count up evenly along each axis."""
    picked = array
    left: list[Dim] = []
    for axis, place in reversed(list(enumerate(at))):
        if array.shape[axis] == 1:
            picked = np.take(picked, 0, axis=axis)
        elif isinstance(place, int) and -array.shape[axis] <= place < array.shape[axis]:
            picked = np.take(picked, place, axis=axis)
        else:
            left.insert(0, place)
    picked = np.asarray(picked)
    if picked.size == 0:
        raise UnknownElementError
    first = picked.reshape(-1)[0]
    if picked.size == 1 or (picked == first).all():
        return picked.reshape(-1).tolist()[0]
    return _even(picked, left)


def _even(array: np.ndarray, at: Sequence[Dim]) -> Dim:
    """first + step * place along each axis: positions stored as a table."""
    if array.dtype == object or array.dtype.kind not in "iu":
        raise UnknownElementError
    result: Dim = int(array.reshape(-1)[0])
    expected = np.full(array.shape, result, np.int64)
    for axis, place in enumerate(at):
        corner = tuple(int(i == axis) for i in range(array.ndim))
        step = int(array[corner]) - int(array.reshape(-1)[0]) if array.shape[axis] > 1 else 0
        shape = [-1 if i == axis else 1 for i in range(array.ndim)]
        expected += step * np.arange(array.shape[axis]).reshape(shape)
        result = result + step * place
    if not np.array_equal(array, expected):
        raise UnknownElementError
    return result


def _broadcast(value: Value, at: Coordinates) -> Coordinates:
    """Coordinates in an operand of the element at `at` of the broadcast result."""
    own = at[len(at) - value.rank :]
    return tuple(0 if d == 1 else c for c, d in zip(own, value.shape, strict=True))


def _one_of_two(array: np.ndarray, at: Coordinates) -> Choice:
    """A constant of one number, or one that is lower triangular in its last two axes over two numbers."""
    if array.size == 0:
        raise UnknownElementError
    if array.size == 1 or bool((array == array.reshape(-1)[0]).all()):
        number = float(array.reshape(-1)[0])
        return Choice(1, number, number)
    if array.ndim < 2 or any(n != 1 for n in array.shape[:-2]):
        raise UnknownElementError
    table = array.reshape(array.shape[-2:])
    below = np.tri(*array.shape[-2:]) == 1
    yes, no = float(table[0, 0]), float(table[0, -1])
    if not (table[below] == yes).all() or not (table[~below] == no).all():
        raise UnknownElementError
    return Choice(causal(at[-2], at[-1]), yes, no)


def _single(c: Choice) -> float:
    if c.yes != c.no and not isinstance(c.condition, int):
        raise UnknownElementError
    return c.yes if c.yes == c.no or c.condition else c.no


def _as_choice(d: Dim) -> Choice:
    """A boolean as 1.0 or 0.0, or an integer."""
    if isinstance(d, int):
        return Choice(1, float(d), float(d))
    return Choice(d, 1.0, 0.0) if _is_boolean(d) else _raise()


def _raise() -> Choice:
    raise UnknownElementError


def _is_boolean(d: Dim) -> bool:
    """lt(a, b), eq(a, b), or one minus one of them."""
    for candidate in (d, 1 - d):
        if isinstance(candidate, Expr) and len(candidate.terms) == 1:
            monomial, coefficient = candidate.terms[0]
            if coefficient == 1 and len(monomial) == 1 and getattr(monomial[0][0], "kind", "") in ("lt", "eq"):
                return True
    return False


def _product_of(a: Choice, b: Choice) -> Choice:
    """One of the two is a single number, or both choose by the same condition."""
    for x, y in ((a, b), (b, a)):
        if y.yes == y.no:
            with np.errstate(all="ignore"):
                return Choice(x.condition, float(np.multiply(x.yes, y.yes)), float(np.multiply(x.no, y.yes)))
    if a.condition != b.condition:
        raise UnknownElementError
    return Choice(a.condition, a.yes * b.yes, a.no * b.no)


# -- ops that move elements: coordinates in input 0 of an element of the output -----------------------------------


def _reshaped(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    """Through a reshape that only adds or drops dims of one."""
    source, target = node.operand(0), node.output
    if not source.has_shape or not target.has_shape:
        raise UnknownElementError
    kept = [c for c, d in zip(at, target.shape, strict=True) if d != 1]
    wanted = [d for d in target.shape if d != 1]
    if wanted != [d for d in source.shape if d != 1]:
        raise UnknownElementError
    places = iter(kept)
    return tuple(0 if d == 1 else next(places) for d in source.shape)


def _expanded(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    source = node.operand(0)
    if not source.has_shape:
        raise UnknownElementError
    return _broadcast(source, at)


def _transposed(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    perm = node.attr("perm") or tuple(range(len(at) - 1, -1, -1))
    places: list[Dim] = [0] * len(at)
    for i, axis in enumerate(perm):
        places[axis] = at[i]
    return tuple(places)


def _sliced(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    """Steps of one from known starts."""
    source = node.operand(0)
    starts, axes, steps = node.operand(1).data, node.input(3), node.input(4)
    if starts is None or not source.has_shape or (steps is not None and set(known_ints(steps.data) or [0]) != {1}):
        raise UnknownElementError
    chosen = list(range(starts.size)) if axes is None else known_ints(axes.data)
    if chosen is None:
        raise UnknownElementError
    places = list(at)
    for axis, start in zip(chosen, starts.reshape(-1), strict=True):
        first, size = elements.grounded(start), elements.grounded(source.shape[axis])
        if isinstance(first, int):
            places[axis] = places[axis] + (maximum(size + first, 0) if first < 0 else minimum(first, size))
        else:
            places[axis] = places[axis] + minimum(first, size)
    return tuple(places)


_MOVES: Mapping[str, Callable[[Elements, Node, Coordinates], Coordinates]] = {
    "Identity": lambda elements, node, at: at,
    "Reshape": _reshaped,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
    "Flatten": _reshaped,
    "Expand": _expanded,
    "Transpose": _transposed,
    "Slice": _sliced,
}


# -- ops that compute elements -------------------------------------------------------------------------------------


def _range(elements: Elements, node: Node, at: Coordinates) -> Dim:
    return elements.integer(node.operand(0), ()) + at[0] * elements.integer(node.operand(2), ())


def _concat(elements: Elements, node: Node, at: Coordinates) -> Dim:
    axis = int(node.attr("axis")) % len(at)
    parts, start = [], at[axis]
    for value in node.inputs:
        if value is None or not value.has_shape:
            raise UnknownElementError
        parts.append((value, elements.grounded(value.shape[axis]), (*at[:axis], start, *at[axis + 1 :])))
        start = start - parts[-1][1]
    if isinstance(at[axis], int):
        place = at[axis]
        for value, size, there in parts:
            if isinstance(size, int) and isinstance(place, int) and place < size:
                return elements.integer(value, there)
            place = place - size
        raise UnknownElementError
    result = elements.integer(parts[-1][0], parts[-1][2])
    for value, size, there in reversed(parts[:-1]):
        result = select(before(there[axis], size), elements.integer(value, there), result)
    return result


def _cumulated(elements: Elements, node: Node, at: Coordinates) -> Dim:
    """Sums of zeros."""
    if elements.integer(node.operand(0), at) != 0:
        raise UnknownElementError
    return 0


def _gathered(elements: Elements, node: Node, at: Coordinates) -> Dim:
    data = node.operand(0)
    if data.constant is not None and data.constant.size and (data.constant == data.constant.reshape(-1)[0]).all():
        return int(data.constant.reshape(-1)[0])
    return elements.integer(data, gathered_from(elements, node, at))


def gathered_from(elements: Elements, node: Node, at: Coordinates) -> Coordinates:
    """Coordinates in the data of Gather, GatherND or GatherElements of the output's element at `at`, for indices that
    are known and not negative. Raises UnknownElementError."""
    data, indices = node.operand(0), node.operand(1)
    if not data.has_shape or not indices.has_shape:
        raise UnknownElementError
    if node.op == "GatherND":
        depth = indices.shape[-1]
        if node.attr("batch_dims", 0) or not isinstance(depth, int):
            raise UnknownElementError
        lead = indices.rank - 1
        places = tuple(elements.integer(indices, (*at[:lead], k)) for k in range(depth))
        found: Coordinates = (*places, *at[lead:])
    else:
        axis = int(node.attr("axis", 0)) % data.rank
        width = indices.rank if node.op == "Gather" else 1
        places = (elements.integer(indices, at[axis : axis + width] if node.op == "Gather" else at),)
        found = (*at[:axis], *places, *at[axis + width :])
    if not all(map(is_nonnegative, places)):
        raise UnknownElementError
    return found


def _cast(elements: Elements, node: Node, at: Coordinates) -> Dim:
    source, target = node.operand(0), node.output
    result = elements.integer(source, at)
    if target.dtype.is_integer or source.dtype == target.dtype or _is_boolean(result) or result in (0, 1):
        return result
    return 1 - equal(result, 0) if not target.dtype.is_float else _unknown()


def _unknown() -> Dim:
    raise UnknownElementError


def _both(a: Dim, b: Dim) -> Dim:
    return a if a == b else a * b


def _comparison(function: Callable[[Dim, Dim], Dim]) -> Callable[[Elements, Node, Coordinates], Dim]:
    def rule(elements: Elements, node: Node, at: Coordinates) -> Dim:
        a, b = elements.operands(node, at)
        return function(a, b)

    return rule


def _where(elements: Elements, node: Node, at: Coordinates) -> Dim:
    condition, yes, no = elements.operands(node, at)
    return select(condition, yes, no)


def _size(elements: Elements, node: Node, at: Coordinates) -> Dim:
    source = node.operand(0)
    if not source.has_shape or not isinstance(at[0], int):
        raise UnknownElementError
    return elements.grounded(source.shape[int(node.attr("start", 0)) + at[0]])


_RULES: Mapping[str, Callable[[Elements, Node, Coordinates], Dim]] = {
    "Range": _range,
    "Concat": _concat,
    "CumSum": _cumulated,
    "Gather": _gathered,
    "GatherElements": _gathered,
    "GatherND": _gathered,
    "Cast": _cast,
    "Shape": _size,
    "Trilu": Elements.kept,
    "Where": _where,
    "Not": lambda elements, node, at: 1 - elements.operands(node, at)[0],
    "Add": _comparison(lambda a, b: a + b),
    "Sub": _comparison(lambda a, b: a - b),
    "Mul": _comparison(lambda a, b: a * b),
    "Max": lambda elements, node, at: _folded(maximum, elements.operands(node, at)),
    "Min": lambda elements, node, at: _folded(minimum, elements.operands(node, at)),
    "And": _comparison(_both),
    "Or": _comparison(lambda a, b: a if a == b else 1 - (1 - a) * (1 - b)),
    "Equal": _comparison(equal),
    "Less": _comparison(before),
    "Greater": _comparison(lambda a, b: before(b, a)),
    "LessOrEqual": _comparison(lambda a, b: 1 - before(b, a)),
    "GreaterOrEqual": _comparison(lambda a, b: 1 - before(a, b)),
    "ConstantOfShape": lambda elements, node, at: int(np.asarray(node.attr("value", 0.0)).reshape(-1)[0]),
}


def _folded(function: Callable[[Dim, Dim], Dim], operands: Sequence[Dim]) -> Dim:
    result = operands[0]
    for d in operands[1:]:
        result = function(result, d)
    return result
