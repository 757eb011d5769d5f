"""Nodes with body graphs: captured outer values become explicit inputs of the node and of its bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.frontend.nodes import finish, import_nodes, spec_of
from arenaut.frontend.scope import Capture, Handler, Scope
from arenaut.frontend.spec import Spec
from arenaut.frontend.structure import bodies_of, fed_inputs, initializers_of, label, ordered
from arenaut.frontend.typeproto import type_of
from arenaut.ir import DType, Graph, TensorType, Type, Value
from arenaut.ir.errors import InvalidModelError

# The types of a body's inputs, as far as the node's own inputs tell: used where the body declares none.
BodyTypes = Callable[[Sequence["Value | None"]], Sequence["Type | None"]]
FedCount = Callable[[Scope, Any], int]


def _loosened(value: Value | None) -> Type | None:
    """The type of a carried value: its shape may change from turn to turn."""
    t = None if value is None else value.type
    return TensorType(t.dtype, None) if isinstance(t, TensorType) else t


def _loop_types(inputs: Sequence[Value | None]) -> Sequence[Type | None]:
    return [TensorType(DType.INT64, ()), TensorType(DType.BOOL, ()), *[_loosened(v) for v in inputs[2:]]]


def _scan_types(inputs: Sequence[Value | None]) -> Sequence[Type | None]:
    return [_loosened(v) for v in inputs]


def _no_types(inputs: Sequence[Value | None]) -> Sequence[Type | None]:
    return []


# Until this opset Scan took the lengths of its sequences as first input.
_SCAN_WITHOUT_LENGTHS = 9


def _loop_fed(scope: Scope, proto: Any) -> int:
    """A trip's number, the condition, and what is carried."""
    return max(len(proto.input), 2)


def _scan_fed(scope: Scope, proto: Any) -> int:
    return len(proto.input) - (scope.opsets[""] < _SCAN_WITHOUT_LENGTHS)


def import_body(scope: Scope, body: Any, fed: int, types: Sequence[Type | None]) -> Scope:
    """A body graph, fed so many values, as a scope of its own, whose captures the caller still has to append to its
    graph's inputs."""
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
    for index, formal in enumerate(fed_inputs(body, fed)):
        known = types[index] if index < len(types) else None
        value = Value(formal.name, type_of(formal.type, formal.name) or known)
        graph.inputs.append(value)
        inner.assign(formal.name, value)
    import_nodes(inner, ordered(body.node, set(names) | set(initializers), body.name))
    graph.outputs.extend(inner.result(o.name) for o in body.output)
    return inner


def _as_scalar(scope: Scope, spec: Spec, value: Value | None) -> Value | None:
    """A trip count or a condition: one element, whose rank the native side has to know."""
    if value is None or not isinstance(value.type, TensorType) or value.has_shape:
        return value
    build = scope.builder(spec.name)
    scalar = build.op("Reshape", value, build.constant(np.empty(0, np.int64)))
    return scalar


def _handler(types_of: BodyTypes, fed_of: FedCount, scalars: int = 0, fixed_inputs: int = 0) -> Handler:
    """Imports all bodies of a node and gives them one common list of captures.

    fed_of: how many values the node feeds each of its bodies.
    scalars: how many inputs, from the first one, have one element.
    fixed_inputs: how many inputs the op has before its variable ones; absent ones keep their place.
    """

    def handler(scope: Scope, proto: Any) -> Sequence[Value | None]:
        types = types_of(scope.operands(label(proto), proto.input))
        inner = {name: import_body(scope, body, fed_of(scope, proto), types) for name, body in bodies_of(proto)}
        captured = {key: c.outer for s in inner.values() for key, c in s.captures.items()}
        for body_scope in inner.values():
            _append_captures(body_scope, list(captured.values()))
        spec = spec_of(scope, proto, given={name: s.graph for name, s in inner.items()})
        absent = [None] * (fixed_inputs - len(spec.inputs))
        counts = [_as_scalar(scope, spec, v) for v in spec.inputs[:scalars]]
        inputs = (*counts, *spec.inputs[scalars:], *absent, *captured.values())
        return finish(scope, proto, spec.change(inputs=inputs).without(captures=len(captured)))

    return handler


def _append_captures(scope: Scope, outer: Sequence[Value]) -> None:
    for value in outer:
        capture = scope.captures.get(id(value)) or Capture(value, scope.graph.value(value.name, value.type))
        scope.graph.inputs.append(capture.inner)


_import_if = _handler(_no_types, lambda scope, proto: 0, scalars=1)
_import_loop = _handler(_loop_types, _loop_fed, scalars=2, fixed_inputs=2)
_import_scan = _handler(_scan_types, _scan_fed)

# What the entries of Scan's list attributes belong to.
_SCAN_LISTS: Mapping[str, str] = MappingProxyType(
    {
        "scan_input_axes": "inputs", "scan_input_directions": "inputs", "directions": "inputs",
        "scan_output_axes": "outputs", "scan_output_directions": "outputs",
    }
)  # fmt: skip


def _if(scope: Scope, proto: Any) -> Sequence[Value | None]:
    """A branch that is always taken is written in place of the node: the other one may not even be well typed."""
    for name, body in bodies_of(proto):
        _check_body(proto, body, 0, len(proto.output), f"runs '{name}' without arguments")
    (condition,) = scope.operands(label(proto), proto.input[:1]) or (None,)
    known = None if condition is None or condition.data is None else condition.data
    truth: Any = known.reshape(-1)[0] if known is not None and known.size == 1 else None
    if not isinstance(truth, int):
        return _import_if(scope, proto)
    wanted = "then_branch" if truth else "else_branch"
    branch = dict(bodies_of(proto)).get(wanted)
    if branch is None:
        return _import_if(scope, proto)
    initializers = initializers_of(branch)
    inner = Scope(
        model=scope.model, graph=scope.graph, opsets=scope.opsets, parent=scope, initializers=initializers,
        call=scope.own_name(proto.name or next(iter(proto.output), "if")), call_attributes=scope.call_attributes,
        call_stack=scope.call_stack,
    )  # fmt: skip
    import_nodes(inner, ordered(branch.node, set(initializers), branch.name))
    return [inner.result(o.name) if actual else None for o, actual in zip(branch.output, proto.output, strict=False)]


def _loop(scope: Scope, proto: Any) -> Sequence[Value | None]:
    fed = _loop_fed(scope, proto)
    carried = fed - 2
    for _, body in bodies_of(proto):
        _check_body(proto, body, fed, len(proto.output) + 1, f"carries {carried} values")
    return _import_loop(scope, proto)


def _scan(scope: Scope, proto: Any) -> Sequence[Value | None]:
    scanned = next((a.i for a in proto.attribute if a.name == "num_scan_inputs"), 0)
    operands = _scan_fed(scope, proto)
    if not 1 <= scanned <= operands:
        raise InvalidModelError(f"{label(proto)} has {operands} inputs, of which {scanned} are said to be scanned")
    for _, body in bodies_of(proto):
        _check_body(proto, body, operands, len(proto.output), f"has {operands} inputs")
        results = len(body.output) - (operands - scanned)
        if results < 0:
            raise InvalidModelError(f"{label(proto)} has {operands - scanned} states, but its body gives fewer values")
        for attribute in proto.attribute:
            expected = _SCAN_LISTS.get(attribute.name)
            wanted = {"inputs": scanned, "outputs": results}.get(expected or "")
            if wanted is not None and len(attribute.ints) not in (0, wanted):
                raise InvalidModelError(
                    f"{label(proto)}: attribute '{attribute.name}' has {len(attribute.ints)} entries, expected {wanted}"
                )
    return _import_scan(scope, proto)


def _check_body(proto: Any, body: Any, inputs: int, outputs: int, what: str) -> None:
    formals = len(fed_inputs(body, inputs))
    if formals != inputs or len(body.output) != outputs:
        raise InvalidModelError(
            f"{label(proto)} {what} and has {len(proto.output)} outputs, so its body needs {inputs} inputs and "
            f"{outputs} outputs; it has {formals} and {len(body.output)}. Export the model again"
        )


HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType(
    {("", "If"): _if, ("", "Loop"): _loop, ("", "Scan"): _scan}
)
