"""One element of a tensor as a formula of its coordinates, for tensors that only sizes decide.

Masks and positions are made by Range, Expand, Slice, Concat, CumSum, GatherND, comparisons and the like, from nothing
but the sizes of the inputs. What such a graph computes is decided here by following one element with symbolic
coordinates through it: `element(mask, (b, h, i, j))` of a causal mask is 1 - lt(i, j), whatever the nodes are.

An element exists only where no dim is zero, so symbols that are dims of the tensor itself are at least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, Expr, Symbol, rewrite, symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import Choice, Coordinates, UnknownElementError, broadcast, causal
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.record import OpRecord

# Formulas of more nodes than this are given up.
MAX_NODES = 400


def coordinates(rank: int) -> Coordinates:
    """Symbols for the coordinates of a tensor of this rank."""
    return tuple(symbol(f"@{i}") for i in range(rank))


def element(value: Value, at: Coordinates) -> Dim | None:
    """The integer or boolean element at these coordinates, None when it depends on more than sizes."""
    try:
        return Follower(value).integer(value, at)
    except UnknownElementError:
        return None


def choice(value: Value, at: Coordinates) -> Choice | None:
    """The float element at these coordinates when it is one of two numbers, None when it is anything else."""
    try:
        return Follower(value).number(value, at)
    except UnknownElementError:
        return None


class Follower:
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
        node, record = _maker(value)
        if record.reads_at is not None:
            source = node.operand(0)
            only = _uniform(source)
            return only if only is not None else self.integer(source, record.reads_at(self, node, at))
        if record.element is None:
            raise UnknownElementError
        return record.element(self, node, at)

    def operands(self, node: Node, at: Coordinates) -> list[Dim]:
        """The elements of broadcast operands."""
        return [self.integer(v, broadcast(v, at)) for v in node.inputs if v is not None]

    # -- floats ----------------------------------------------------------------------------------------------------

    def number(self, value: Value, at: Coordinates) -> Choice:
        self.visits += 1
        if self.visits > MAX_NODES or not value.has_shape:
            raise UnknownElementError
        if value.constant is not None:
            return _one_of_two(value.constant, at)
        node, record = _maker(value)
        if record.reads_at is not None:
            return self.number(node.operand(0), record.reads_at(self, node, at))
        if record.choice is None:
            raise UnknownElementError
        return record.choice(self, node, at)


# -- helpers -------------------------------------------------------------------------------------------------------


def _maker(value: Value) -> tuple[Node, OpRecord]:
    node = value.producer
    if node is None or node.outputs[0] is not value:
        raise UnknownElementError
    return node, record_of(node)


def _uniform(value: Value) -> int | None:
    """What every element of a constant is."""
    array = value.constant
    if array is None or not array.size or not (array == array.reshape(-1)[0]).all():
        return None
    return int(array.reshape(-1)[0])


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
