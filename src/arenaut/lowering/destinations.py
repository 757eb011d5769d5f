"""Parts of a Concat that their producers write where the Concat would copy them to.

Where a part of the result is one run of memory, the planner decides such sharing itself (a copy step that it may
spare). Channels of a channels-last result are not: a part's pixels lie apart, so its producer has to be told where to
write before it is lowered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from arenaut.ir.dims import Dim, product, symbols_of
from arenaut.ir.graph import Graph, Value, static_shape
from arenaut.ir.ops import record_of
from arenaut.ir.types import TensorType
from arenaut.plain import dataclass

# What a symbolic size counts for in the estimate of what is live.
_SIZE = 16


@dataclass(frozen=True)
class Destination:
    """A value lies in `whole` from `start` on along `axis`."""

    whole: Value
    axis: int
    start: Dim


def destinations(graph: Graph) -> dict[int, Destination]:
    """By id of the value. Only where that keeps the peak of live bytes as low as the copy does."""
    found: dict[int, Destination] = {}
    live = _Live(graph)
    outputs = {id(v) for v in graph.outputs}
    given = _symbols(graph.inputs)
    for node in reversed(graph.nodes):
        if node.op != "Concat" or node.domain != "" or not node.output.has_shape or node.output.order is None:
            continue
        whole, axis = node.output, int(node.attr("axis")) % node.output.rank
        if id(whole) in outputs or _is_one_run(whole, axis):
            continue
        parts: list[tuple[Value, Dim]] = []
        start: Dim = 0
        for value in node.inputs:
            assert value is not None
            early = _symbols([whole]) <= given | _symbols([value])  # the whole's size is known when the part is made
            if early and _can_be_told(value, whole) and id(value) not in found and id(value) not in outputs:
                parts.append((value, start))
            start = start + value.shape[axis]
        for value in live.spared(whole, [value for value, _ in parts]):
            found[id(value)] = Destination(whole, axis, next(at for v, at in parts if v is value))
    return found


def _symbols(values: Iterable[Value]) -> set[str]:
    return {s.name for v in values if v.has_shape for d in v.shape for s in symbols_of(d)}


def _is_one_run(whole: Value, axis: int) -> bool:
    """Whether nothing but extents of one lies outside the axis."""
    assert whole.order is not None
    return all(whole.shape[a] == 1 for a in whole.order[: whole.order.index(axis)])


def _can_be_told(value: Value, whole: Value) -> bool:
    """Made by kernels, once, in the layout of the whole."""
    node = value.producer
    if node is None or not _lie_alike(value, whole) or sum(v is value for v in node.outputs) != 1:
        return False
    record = record_of(node)
    native = record.is_elementwise(node) or record.lower is not None or node.op == "Fused"
    return native and record.view is None and not any(True for name, _ in node.bodies() if name != "body")


def _lie_alike(value: Value, whole: Value) -> bool:
    """Whether their axes longer than one have the same order in memory."""

    def longer(order: Sequence[int] | None) -> list[int]:
        axes = range(whole.rank) if order is None else order
        return [a for a in axes if whole.shape[a] != 1]

    return longer(value.order) == longer(whole.order)


class _Live:
    """Live bytes at each node, each value from its making to its last use."""

    def __init__(self, graph: Graph) -> None:
        self._position = {id(n): i for i, n in enumerate(graph.nodes)}
        self._bytes = [0] * (len(graph.nodes) + 1)
        for node in graph.nodes:
            for value in node.outputs:
                if value is not None and value.has_shape:
                    self._add(_size(value), self._made(value), self._read(value) + 1)
        self._peak = max(self._bytes)

    def _made(self, value: Value) -> int:
        return self._position.get(id(value.producer), 0)

    def _read(self, value: Value) -> int:
        return max((self._position.get(id(user), 0) for user, _ in value.uses), default=self._made(value))

    def _add(self, size: int, first: int, end: int) -> None:
        for at in range(first, end):
            self._bytes[at] += size

    def spared(self, whole: Value, parts: Sequence[Value]) -> Iterator[Value]:
        """The parts that can be made inside the whole without raising the peak: its memory is then taken from the
        making of the first of them on, and theirs is not."""
        begin, end = self._made(whole), self._read(whole) + 1
        for value in sorted(parts, key=self._made, reverse=True):
            first, last = self._made(value), self._read(value) + 1
            if max(self._bytes[first:begin], default=0) + _size(whole) - _size(value) > self._peak:
                continue
            self._add(-_size(value), first, last)
            self._add(_size(whole), first, begin)
            self._add(_size(whole), end, last)
            begin, end = min(first, begin), max(last, end)
            yield value


def _size(value: Value) -> int:
    t = value.type
    if not isinstance(t, TensorType) or t.shape is None:
        return 0
    known = static_shape(t.shape)
    dims = known if known is not None else [d if isinstance(d, int) else _SIZE for d in t.shape]
    count = product(dims)
    assert isinstance(count, int)
    return count * t.dtype.itemsize
