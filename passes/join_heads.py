"""Queries and keys that are normalised and turned alike, and lie beside each other in one product, do so together.

Both are parts of one Split. The steps between it and each RotaryEmbedding (a norm of each head, and views) are done
once on the joined parts, and the result is split again along the heads: a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.types import same_shape, same_type
from arenaut.passes.collapse_reshapes import reshape_target
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op, same_value
from arenaut.plain import dataclass

_NORMS = ("RMSNormalization", "LayerNormalization")


@dataclass(frozen=True)
class _Chain:
    """From an output of a Split to a RotaryEmbedding, in this order."""

    split: Node
    index: int
    nodes: tuple[Node, ...]


@dataclass
class _Joined:
    """The joined parts after some nodes: `sizes` along `axis` are one part's and the other's."""

    build: GraphBuilder
    value: Value
    axis: int
    sizes: tuple[int, int]
    made: list[Node] = field(default_factory=list)


class _ApartError(Exception):
    """The two chains do not do the same."""


def join_heads(graph: Graph, context: PassContext) -> bool:
    chains: dict[tuple[int, int], _Chain] = {}
    for node in graph.nodes:
        if is_op(node, "RotaryEmbedding"):
            chain = _chain(node, graph)
            if chain is not None:
                chains[id(chain.split), chain.index] = chain
    changed, used = False, set[int]()
    for (split, index), first in chains.items():
        second = chains.get((split, index + 1))
        if second is None or split in used:
            continue
        build = GraphBuilder(graph, first.split, first.nodes[-1].name)
        try:
            _join(build, first, second)
        except _ApartError as reason:
            graph.remove(build.made)
            context.missed("join", first.nodes[-1], str(reason))
            continue
        used.add(split)
        context.fired("join", first.nodes[-1])
        changed = True
    return changed


def _chain(rotary: Node, graph: Graph) -> _Chain | None:
    nodes = [rotary]
    while True:
        value = nodes[0].operand(0)
        maker = value.producer
        if maker is None or maker.domain != "" or len(value.uses) != 1 or graph.is_output(value):
            return None
        if maker.op == "Split":
            return _Chain(maker, next(i for i, o in enumerate(maker.outputs) if o is value), tuple(nodes))
        spare = any(o is not None and o.uses for o in maker.outputs[1:])
        if not (record_of(maker).arranges or maker.op in _NORMS) or spare:
            return None
        nodes.insert(0, maker)


def _join(build: GraphBuilder, first: _Chain, second: _Chain) -> None:
    graph = build.graph
    if [n.op for n in first.nodes] != [n.op for n in second.nodes]:
        raise _ApartError("the two are not made alike")
    split = first.split
    axis = int(split.attr("axis", 0)) % split.operand(0).rank
    widths = [o.shape[axis] for o in split.outputs if o is not None]
    if len(widths) != len(split.outputs) or not all(isinstance(w, int) for w in widths):
        raise _ApartError("the sizes of the parts are not known")
    known = [w for w in widths if isinstance(w, int)]
    i = first.index
    sizes = [*known[:i], known[i] + known[i + 1], *known[i + 2 :]]
    parts = _split(build, split.operand(0), sizes, axis)
    last = (first.nodes[-1], second.nodes[-1])
    build.before = min(last, key=graph.nodes.index)
    state = _Joined(build, parts[i], axis, (known[i], known[i + 1]))
    for a, b in zip(first.nodes, second.nodes, strict=True):
        _STEPS.get(a.op, _reshaped)(state, a, b)
    halves = _split(build, state.value, state.sizes, state.axis)
    for old, new in zip((first.nodes[-1].output, second.nodes[-1].output), halves, strict=True):
        if not same_type(old.type, new.type):
            raise _ApartError(f"the result would be {new.type} instead of {old.type}")
    for old, new in zip((first.nodes[-1].output, second.nodes[-1].output), halves, strict=True):
        graph.supersede(old, new)
    others = [o for k, o in enumerate(split.outputs) if k not in (i, i + 1)]
    for other, part in zip(others, [*parts[:i], *parts[i + 1 :]], strict=True):
        assert other is not None
        graph.supersede(other, part)
    graph.remove([split, *first.nodes, *second.nodes])


def _split(build: GraphBuilder, value: Value, sizes: Sequence[int], axis: int) -> list[Value]:
    if len(sizes) == 1:
        return [value]
    parts = build.ops("Split", value, build.constant(np.array(sizes, np.int64)), outputs=len(sizes), axis=axis)
    return parts


# -- one step of both chains -------------------------------------------------------------------------------------------


def _reshaped(state: _Joined, a: Node, b: Node) -> None:
    """Columns that become heads and their elements, or the other way round; the axes before stay."""
    axis, (m, n) = state.axis, state.sizes
    old, (x, y) = state.value.shape, (a.output.shape, b.output.shape)
    if len(x) != len(y) or len(x) <= axis or x[:axis] != old[:axis] or y[:axis] != old[:axis]:
        raise _ApartError("a reshape moves what is joined")
    p, q = x[axis], y[axis]
    if not isinstance(p, int) or not isinstance(q, int) or x[axis + 1 :] != y[axis + 1 :] or p * n != q * m:
        raise _ApartError("a reshape cuts the parts differently")
    target = reshape_target(old, (*x[:axis], p + q, *x[axis + 1 :]))
    if target is None:
        raise _ApartError("more than one dim of a shape is symbolic")
    shape = state.build.constant(np.array(target, np.int64))
    state.value, state.sizes = state.build.op("Reshape", state.value, shape, allowzero=0), (p, q)


def _transposed(state: _Joined, a: Node, b: Node) -> None:
    order = tuple(a.attr("perm") or range(state.value.rank - 1, -1, -1))
    if order != tuple(b.attr("perm") or range(state.value.rank - 1, -1, -1)):
        raise _ApartError("the axes are permuted differently")
    state.value, state.axis = state.build.op("Transpose", state.value, perm=order), order.index(state.axis)


def _normalised(state: _Joined, a: Node, b: Node) -> None:
    """Scales and biases that differ are put beside each other: they broadcast to what is normalised."""
    rank = state.value.rank
    if a.attributes != b.attributes or int(a.attr("axis", -1)) % rank <= state.axis:
        raise _ApartError("the norms differ, or go over what is joined")
    pairs = [(a.input(i), b.input(i)) for i in (1, 2)]
    if all(x is y or (x is not None and y is not None and same_value(x, y)) for x, y in pairs):
        state.value = state.build.op(a.op, state.value, *a.inputs[1:], **a.attributes)
        return
    parameters: list[Value | None] = []
    for x, y in pairs:
        if x is None and y is None:
            parameters.append(None)
        elif x is None or y is None or x.constant is None or y.constant is None or not same_shape(x.shape, y.shape):
            raise _ApartError("the scales and biases of the norms are not constants of one shape")
        else:
            parameters.append(_stacked(state, x.constant, y.constant))
    while parameters[-1] is None:
        parameters.pop()
    state.value = state.build.op(a.op, state.value, *parameters, **a.attributes)


def _stacked(state: _Joined, first: Array, second: Array) -> Value:
    """One array a part, each repeated over the part's size along the joined axis."""
    between = state.value.rank - state.axis - 1 - first.ndim
    shape = (1, *(1,) * between, *first.shape)
    parts = [
        np.broadcast_to(t.reshape(shape), (n, *shape[1:])) for t, n in zip((first, second), state.sizes, strict=True)
    ]
    return state.build.constant(np.concatenate(parts))


def _turned(state: _Joined, a: Node, b: Node) -> None:
    tables = list(zip(a.inputs[1:], b.inputs[1:], strict=False))
    if len(a.inputs) != len(b.inputs) or any(x is not y and not _equal(x, y) for x, y in tables):
        raise _ApartError("the two are turned by different angles")
    heads = (int(a.attr("num_heads", 0) or 0), int(b.attr("num_heads", 0) or 0))
    same = {k: v for k, v in a.attributes.items() if k != "num_heads"}
    if same != {k: v for k, v in b.attributes.items() if k != "num_heads"}:
        raise _ApartError("the two are turned differently")
    packed = state.value.rank == 3
    if state.axis != (2 if packed else 1) or (packed and heads[0] * state.sizes[1] != heads[1] * state.sizes[0]):
        raise _ApartError("what is joined are not heads")
    attributes = {**same, **({"num_heads": sum(heads)} if packed else {})}
    state.value = state.build.op("RotaryEmbedding", state.value, *a.inputs[1:], **attributes)


def _equal(x: Value | None, y: Value | None) -> bool:
    return x is not None and y is not None and same_value(x, y)


_STEPS = {"Transpose": _transposed, "RotaryEmbedding": _turned, **dict.fromkeys(_NORMS, _normalised)}
