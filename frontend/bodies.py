"""Nodes with body graphs: captured outer values become explicit inputs of the node and of its bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from arenaut.frontend.nodes import Handler, finish, import_nodes, spec_of
from arenaut.frontend.scope import Capture, Scope
from arenaut.frontend.structure import bodies_of, initializers_of, label, ordered
from arenaut.frontend.typeproto import type_of
from arenaut.ir import DType, Graph, TensorType, Type, Value
from arenaut.ir.errors import InvalidModelError

# The types of a body's inputs, as far as the node's own inputs tell: used where the body declares none.
BodyTypes = Callable[[Sequence["Value | None"]], Sequence["Type | None"]]


def _loosened(value: Value | None) -> Type | None:
    """The type of a carried value: its shape may change from turn to turn."""
    t = None if value is None else value.type
    return TensorType(t.dtype, None) if isinstance(t, TensorType) else t


def _loop_types(inputs: Sequence[Value | None]) -> Sequence[Type | None]:
    return [TensorType(DType.INT64, ()), TensorType(DType.BOOL, ()), *[_loosened(v) for v in inputs[2:]]]


def _scan_types(inputs: Sequence[Value | None]) -> Sequence[Type | None]:
    return [_loosened(v) for v in inputs]


def import_body(scope: Scope, body: Any, types: Sequence[Type | None]) -> Scope:
    """A body graph as a scope of its own, whose captures the caller still has to append to its graph's inputs."""
    graph = Graph(body.name or "body")
    initializers = initializers_of(body)
    names = [v.name for v in body.input]
    if len(set(names)) != len(names):
        raise InvalidModelError(f"graph '{body.name}' has two inputs of one name: {', '.join(names)}")
    graph.reserve([*names, *initializers, *(o for n in body.node for o in n.output)])
    inner = Scope(
        model=scope.model, graph=graph, opsets=scope.opsets, parent=scope, initializers=initializers,
        call_attributes=scope.call_attributes, call_stack=scope.call_stack,
    )  # fmt: skip
    for index, formal in enumerate(body.input):
        known = types[index] if index < len(types) else None
        value = Value(formal.name, type_of(formal.type, formal.name) or known)
        graph.inputs.append(value)
        inner.bind(formal.name, value)
    import_nodes(inner, ordered(body.node, set(names) | set(initializers), body.name))
    for output in body.output:
        graph.outputs.append(inner.result(output.name))
    return inner


def _with_bodies(types_of: BodyTypes) -> Handler:
    """A handler that imports all bodies of a node and gives them one common list of captures."""

    def handler(scope: Scope, proto: Any) -> Sequence[Value | None]:
        inputs = scope.operands(label(proto), proto.input)
        types = types_of(inputs)
        inner = {name: import_body(scope, body, types) for name, body in bodies_of(proto)}
        captured = {id(c.outer): c.outer for s in inner.values() for c in s.captures}
        for body_scope in inner.values():
            _append_captures(body_scope, list(captured.values()))
        spec = spec_of(scope, proto, given={name: s.graph for name, s in inner.items()})
        own = len(spec.inputs) if types_of is not _loop_types else max(len(spec.inputs), 2)
        inputs = (*spec.inputs, *[None] * (own - len(spec.inputs)), *captured.values())
        return finish(scope, proto, spec.change(inputs=inputs).without(captures=len(captured)))

    return handler


def _append_captures(scope: Scope, outer: Sequence[Value]) -> None:
    known = {id(c.outer): c for c in scope.captures}
    for value in outer:
        capture = known.get(id(value)) or Capture(value, scope.graph.value(value.name, value.type))
        scope.graph.inputs.append(capture.inner)


HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType(
    {
        ("", "If"): _with_bodies(lambda inputs: []),
        ("", "Loop"): _with_bodies(_loop_types),
        ("", "Scan"): _with_bodies(_scan_types),
        ("", "SequenceMap"): _with_bodies(lambda inputs: []),
    }
)
