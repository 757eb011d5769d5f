"""A graph for the sizes of one run: what they decide is written out, and every rank that they settle is known.

The graph stays right for all sizes for which the oracle would have answered the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from arenaut.ir.dims import symbol
from arenaut.ir.errors import ArenautError
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node, Value
from arenaut.ir.infer import asking, infer_node, inside, truth
from arenaut.ir.types import TensorType, Type
from arenaut.passes.rewriting.pattern import is_op
from arenaut.passes.write_out_control_flow import write_out_branch


def has_open_ranks(graph: Graph) -> bool:
    """Whether the rank of some tensor, in the graph or in a body, is not known."""
    return any(_is_open(v.type) for v in graph.values()) or any(
        has_open_ranks(body) for node in graph.nodes for _, body in node.bodies()
    )


def _is_open(t: Type | None) -> bool:
    return t is None or (isinstance(t, TensorType) and t.shape is None)


def specialise(graph: Graph, inputs: Sequence[Type | None]) -> None:
    """Infers the graph anew for inputs of these types, asking the oracle in force (ir.infer.asking).

    Raises what inference raises where the sizes contradict the model.
    """
    for value in graph.values():
        value.order = None  # chosen again by what is known now
    for value, t in zip(graph.inputs, inputs, strict=True):
        value.type = t
    _walk(graph, anew=True)


def _walk(graph: Graph, anew: bool) -> bool:
    """Decides what can be decided, in order; whether something was. anew: types are not those of these sizes yet."""
    changed = False
    for node in list(graph.nodes):
        changed = _visit(graph, node, anew or changed) or changed
    return changed


def _visit(graph: Graph, node: Node, anew: bool) -> bool:
    if node.domain == ARENAUT_DOMAIN or not node.has_bodies:
        if anew:
            infer_node(node)
        return False
    if is_op(node, "If"):
        condition = node.operand(0)
        chosen = _decided(condition)
        if chosen is not None:
            for made in write_out_branch(graph, node, chosen):
                _visit(graph, made, True)
            return True
    return _visit_bodies(node, anew)


def _decided(condition: Value) -> bool | None:
    """Whether the sizes at hand make the condition true; None where they do not tell."""
    if condition.data is not None:
        return truth(condition.data.reshape(-1)[0]) if condition.data.size == 1 else None
    if condition.producer is None and condition.constant is None:
        return truth(symbol(f"{condition.name}[0]"))  # an input, which may be at hand too
    return None


def _visit_bodies(node: Node, anew: bool) -> bool:
    """Decides inside bodies. A branch that these sizes never take may not be well typed for them: its choices stay."""
    if anew and not _inferred(node):
        return False
    changed = False
    for name, body in list(node.bodies()):
        kept = body.copy()
        try:
            with inside(body.border):
                decided = _walk(body, anew=False)
            if decided:
                infer_node(node)
            changed = changed or decided
        except ArenautError:
            node.attributes[name] = kept
            with asking(None):
                infer_node(node)
    return changed


def _inferred(node: Node) -> bool:
    """Whether the node's bodies are well typed for these sizes; else they are typed for all sizes."""
    try:
        infer_node(node)
    except ArenautError:
        with asking(None):
            infer_node(node)
        return False
    return True
