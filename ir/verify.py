"""Checks that a graph is what the rooms after the frontend rely on. Run after every pass at a chosen level."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from arenaut.ir.dtypes import dtype_of
from arenaut.ir.errors import InvalidModelError
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.infer import Inference
from arenaut.ir.ops import record_of
from arenaut.ir.record import UnknownError
from arenaut.ir.types import TensorType, Type, same_type

Level = Literal["structure", "types", "full"]


def verify(graph: Graph, level: Level = "types") -> None:
    """Raises InvalidModelError naming the first node or value that is wrong.

    structure  each value is made once and before it is read, use lists and owners are true, outputs exist, names are
               unique, bodies read nothing from outside.
    types      also: every value has a type, and constants are of theirs.
    full       also: inferring each node again contradicts nothing.
    """
    _check_values(graph)
    _check_order(graph)
    for node in graph.nodes:
        for name, body in node.bodies():
            try:
                verify(body, level)
            except InvalidModelError as error:
                raise InvalidModelError(f"{node}, body '{name}': {error}") from None
    _check_uses(graph)
    if level != "structure":
        _check_types(graph)
    if level == "full":
        for node in graph.nodes:
            _check_inference(node)


def _check_values(graph: Graph) -> None:
    made: dict[int, str] = {}
    for value, where in [(v, "an input of the graph") for v in graph.inputs] + [
        (v, str(n)) for n in graph.nodes for v in n.outputs if v is not None
    ]:
        if id(value) in made:
            raise InvalidModelError(f"value '{value.name}' is made twice: by {made[id(value)]} and by {where}")
        if value.constant is not None:
            raise InvalidModelError(f"value '{value.name}' is a constant, and made by {where}")
        made[id(value)] = where
    names: dict[str, int] = {}
    for value in graph.values():
        if names.setdefault(value.name, id(value)) != id(value):
            raise InvalidModelError(f"two values are named '{value.name}'")
    for node in graph.nodes:
        if node.graph is not graph:
            raise InvalidModelError(f"{node} is in the list of a graph that it does not belong to")
        for out in node.outputs:
            if out is not None and out.producer is not node:
                raise InvalidModelError(f"value '{out.name}' does not know that {node} makes it")


def _check_order(graph: Graph) -> None:
    known = {id(v) for v in graph.inputs}
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None and value.constant is None and id(value) not in known:
                raise InvalidModelError(
                    f"{node} reads '{value.name}', which nothing before it makes: the nodes are out of order, or form "
                    "a cycle"
                )
        known.update(id(v) for v in node.outputs if v is not None)
    for value in graph.outputs:
        if value.constant is None and id(value) not in known:
            raise InvalidModelError(f"nothing makes the output '{value.name}' of graph '{graph.name}'")


def _check_uses(graph: Graph) -> None:
    true: dict[int, Counter[tuple[int, int]]] = {}
    for node in graph.nodes:
        for index, value in enumerate(node.inputs):
            if value is not None:
                true.setdefault(id(value), Counter())[id(node), index] += 1
    for value in graph.values():
        listed = Counter((id(node), index) for node, index in value.uses)
        if listed != true.get(id(value), Counter()):
            users = ", ".join(f"{node} input {index}" for node, index in value.uses) or "none"
            raise InvalidModelError(f"the use list of '{value.name}' is not what the nodes read: it has {users}")


def _check_types(graph: Graph) -> None:
    for value in graph.values():
        if value.type is None:
            raise InvalidModelError(f"value '{value.name}'{_made_by(value)} has no type")
        if value.constant is not None:
            actual = TensorType(dtype_of(value.constant), tuple(value.constant.shape))
            if not same_type(value.type, actual):
                raise InvalidModelError(f"constant '{value.name}' is {actual}, its type says {value.type}")


def _check_inference(node: Node) -> None:
    try:
        found = list(record_of(node).infer(Inference(node)))
    except UnknownError:
        return
    for value, t in zip(node.outputs, found, strict=False):
        if value is not None and value.type is not None and _contradict(value.type, t):
            raise InvalidModelError(f"{node} makes '{value.name}' of type {t}, which is recorded as {value.type}")


def _contradict(a: Type, b: Type) -> bool:
    """Whether no value can be of both types. Symbolic dims fit every size."""
    if not isinstance(a, TensorType) or not isinstance(b, TensorType):
        return type(a) is not type(b)
    if a.dtype != b.dtype:
        return True
    if a.shape is None or b.shape is None:
        return False
    pairs = zip(a.shape, b.shape, strict=False)
    return len(a.shape) != len(b.shape) or any(isinstance(x, int) and isinstance(y, int) and x != y for x, y in pairs)


def _made_by(value: Value) -> str:
    return "" if value.producer is None else f" of {value.producer}"
