"""Where ranks are not known: the nodes of a graph as those that are lowered at load, and fragments that a run decides.

A fragment is a graph of its own. What surrounds it is lowered and planned once; the fragment is specialised, lowered
and planned when a run brings ranks that it has not met (executor/fragments.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arenaut.ir.dims import Expr, symbol, symbols_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import UnsupportedError
from arenaut.ir.evaluate import can_evaluate
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.types import TensorType, Type
from arenaut.plain import dataclass

FRAGMENT = (ARENAUT_DOMAIN, "Fragment")


@dataclass(frozen=True)
class Fragment:
    """node stands for the fragment in a program: it reads and makes values of the graph around, its body is graph."""

    node: Node
    graph: Graph


def divide(graph: Graph, most: int | None = None) -> list[Node | Fragment]:
    """The graph's nodes in an order that they can run in, some of them as fragments of fewer than `most` nodes."""
    divided: list[Node | Fragment] = []
    open_nodes: list[Node] = []
    made: set[int] = set()  # values that they make
    for node in graph.nodes:
        depends = any(v is not None and id(v) in made for v in node.inputs)
        if _is_open(node) or (depends and _steers(node)):
            open_nodes.append(node)
            made.update(id(v) for v in node.outputs if v is not None)
            continue
        if depends:
            divided += _closed(graph, open_nodes, most)
            open_nodes, made = [], set()
        divided.append(node)
    return divided + _closed(graph, open_nodes, most)


def _closed(graph: Graph, nodes: Sequence[Node], most: int | None) -> list[Node | Fragment]:
    """These nodes as a fragment, up to the last one that is open; all of them by themselves where they are too many,
    which ends a chain of fragments that running does not decide."""
    last = max((i for i, node in enumerate(nodes) if _is_open(node)), default=-1)
    if last < 0:
        return list(nodes)
    fragment = _fragment(graph, nodes[: last + 1])
    if most is not None and size_of(fragment.graph) >= most:
        return list(nodes)
    _refuse_unsupported(fragment.graph)
    return [fragment, *nodes[last + 1 :]]


def size_of(graph: Graph) -> int:
    """Nodes of a graph and of all bodies in it."""
    return sum(1 + sum(size_of(body) for _, body in node.bodies()) for node in graph.nodes)


def _is_open(node: Node) -> bool:
    """Whether only ranks that a run knows keep the node from being lowered: its operands are tensors of numbers."""
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    if not all(isinstance(v.type, TensorType) and v.type.dtype is not DType.STRING for v in values):
        return False
    bodies = [body for _, body in node.bodies()] if node.domain != ARENAUT_DOMAIN else []
    if bodies and all(v is None or v.has_shape for v in node.inputs):
        # Its bodies are lowered at load, unless they do nothing but choose between ranks.
        return not all(v.has_shape for v in values) and all(_only_looks(body) for body in bodies)
    return not all(v.has_shape for v in values)


def _only_looks(body: Graph) -> bool:
    return all(record_of(n).view is not None for n in body.nodes)


def _steers(node: Node) -> bool:
    """Whether it computes with sizes, or with what they decide."""
    return all(
        v is None or (v.has_shape and v.rank <= 1 and (v.dtype.is_integer or v.dtype is DType.BOOL))
        for v in (*node.inputs, *node.outputs)
    )


def _fragment(graph: Graph, nodes: Sequence[Node]) -> Fragment:
    made = {id(v): v for node in nodes for v in node.outputs if v is not None}
    read = {id(v): v for node in nodes for v in node.inputs if v is not None and v.constant is None}
    inputs = [v for key, v in read.items() if key not in made]
    inside = {id(node) for node in nodes}
    left = [v for v in made.values() if graph.is_output(v) or any(id(user) not in inside for user, _ in v.uses)]
    outputs = left + _deciding(graph, made, left)
    inner = graph.extract(nodes, inputs, outputs)
    for value in inner.inputs:
        value.data = value.order = None
        value.type = _with_names(value)
    names = {"body": inner}
    return Fragment(Node(FRAGMENT[1], inputs, outputs, names, domain=FRAGMENT[0], name=nodes[0].name), inner)


def _deciding(graph: Graph, made: dict[int, Value], left: Sequence[Value]) -> list[Value]:
    """Values of the fragment, not read outside, whose sizes or elements name sizes of values outside."""
    known = {id(v) for v in left}
    outside = {id(v): v for v in (*graph.values(), *left) if id(v) not in made or id(v) in known}
    asked = {s.name for v in outside.values() for d in _dims(v) for s in symbols_of(d)}
    asked -= {str(d) for v in left for d in _dims(v)}
    return [v for key, v in made.items() if key not in known and any(str(d) in asked for d in _dims(v))]


def _dims(value: Value) -> Iterator[Expr]:
    dims = value.shape if value.has_shape else ()
    yield from (d for d in (*dims, *(() if value.data is None else value.data.flat)) if isinstance(d, Expr))


def _with_names(value: Value) -> Type | None:
    """Sizes that are not known become symbols of the fragment."""
    t = value.type
    if not isinstance(t, TensorType) or t.shape is None:
        return t
    dims = [d if isinstance(d, int) else symbol(f"{value.name}.{axis}") for axis, d in enumerate(t.shape)]
    return TensorType(t.dtype, tuple(dims))


def _refuse_unsupported(graph: Graph) -> None:
    for node in graph.nodes:
        if not can_evaluate(node) and record_of(node).lower is None and record_of(node).decompose is None:
            raise UnsupportedError(f"{node}: neither a kernel nor an evaluator")
        for _, body in node.bodies():
            _refuse_unsupported(body)
