"""Where the elements of a value come from, as far as what runs it must know."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.record import EXACT
from arenaut.ir.types import TensorType


def on_a_grid(values: Collection[Value | None], known: Collection[int] = ()) -> bool:
    """Whether any of the floats are integers that a scale may have stretched: made from integers (a cast, a
    dequantisation), then at most moved about or changed one by one. Such values are summed without approximation,
    since their sums are rounded to integers again, or are integers themselves.

    known: ids of values without a producer, inputs of bodies, of which that is so.
    """
    queue = [v for v in values if v is not None]
    seen: set[int] = set()
    while queue:
        value = queue.pop()
        if id(value) in known:
            return True
        node = value.producer
        if id(value) in seen or value.constant is not None:
            continue
        seen.add(id(value))
        if node is None:
            continue
        if any(_from_integers(each) for each in _with_inner(node)):
            return True
        if all(_keeps_elements(each) for each in _with_inner(node)):
            queue += [v for v in node.inputs if v is not None and _is_float(v)]
    return False


def works_on_a_grid(node: Node, known: Collection[int] = ()) -> bool:
    """Whether what the node multiplies are integers or such floats; of a fused node, what its product multiplies."""
    body = node.attr("body") if node.domain == ARENAUT_DOMAIN else None
    operands = list(node.inputs)
    if isinstance(body, Graph):
        outer = {id(inner): v for inner, v in zip(body.inputs, node.inputs, strict=True)}
        products = [n for n in body.nodes if record_of(n).anchor]
        operands = [outer.get(id(v), v) for n in products for v in n.inputs if v is not None]
    integers = any(v is not None and isinstance(v.type, TensorType) and v.dtype.is_integer for v in operands)
    return integers or on_a_grid(operands, known)


def body_inputs_on_a_grid(node: Node, known: Collection[int] = ()) -> frozenset[int]:
    """Ids of the inputs of the bodies of an If, Loop or Scan that begin as such floats. The last of the node's inputs
    are those of each body."""
    grid = [v is not None and on_a_grid([v], known) for v in reversed(node.inputs)]
    return frozenset(
        id(inner)
        for _, body in node.bodies()
        for inner, found in zip(reversed(body.inputs), grid, strict=False)
        if found
    )


def _with_inner(node: Node) -> Iterator[Node]:
    """The node, or the nodes that it fuses."""
    body = node.attr("body") if node.domain == ARENAUT_DOMAIN else None
    yield from body.nodes if isinstance(body, Graph) else (node,)


def _from_integers(node: Node) -> bool:
    first = node.input(0)
    if first is None or not isinstance(first.type, TensorType) or not first.dtype.is_integer:
        return False
    return any(v is not None and _is_float(v) for v in node.outputs)


def _keeps_elements(node: Node) -> bool:
    """Whether each element of the results is one of the inputs', or made of one at its place."""
    record = record_of(node)
    return record.view is not None or record.is_elementwise(node) or (record.has_native_form and not _computes(node))


def _computes(node: Node) -> bool:
    return record_of(node).tolerance != EXACT


def _is_float(value: Value) -> bool:
    return isinstance(value.type, TensorType) and value.dtype.is_float
