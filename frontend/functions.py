"""Model-local functions, inlined where they are called, and standard ops that only a function of onnx defines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arenaut.frontend import attributes as attribute_values
from arenaut.frontend.messages import to_protobuf
from arenaut.frontend.nodes import convert_attributes, import_nodes, spec_of
from arenaut.frontend.scope import FunctionKey, Scope
from arenaut.frontend.structure import bodies_of, free_names, label, normal_domain, ordered, rename_free
from arenaut.ir import Value
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from arenaut.ir.ops.support.fallback import type_proto
from arenaut.ir.schemas import onnx_schema


def function_key(proto: Any) -> FunctionKey:
    """The identity of a FunctionProto."""
    return (normal_domain(proto.domain), proto.name, getattr(proto, "overload", ""))


def function_of(scope: Scope, node: Any) -> Any | None:
    """The model-local function that a node calls. Functions win over standard ops of the same name."""
    if not scope.model.functions:
        return None
    return scope.model.functions.get((normal_domain(node.domain), node.op_type, getattr(node, "overload", "")))


def import_call(scope: Scope, node: Any, function: Any) -> Sequence[Value | None]:
    """The body of a function, added to the caller's graph in place of the call."""
    key = function_key(function)
    where = label(node)
    if key in scope.call_stack:
        chain = " -> ".join(name for _, name, _ in (*scope.call_stack, key))
        raise InvalidModelError(f"{where}: the function calls itself ({chain}), which ONNX forbids")
    if len(node.input) > len(function.input) or len(node.output) > len(function.output):
        raise InvalidModelError(
            f"{where} has {len(node.input)} inputs and {len(node.output)} outputs; the function it calls takes "
            f"{len(function.input)} and gives {len(function.output)}"
        )
    inner = Scope(
        model=scope.model, graph=scope.graph, call=scope.own_name(node.name or f"{function.name}_call"),
        opsets={normal_domain(o.domain): o.version for o in function.opset_import} or scope.opsets,
        call_attributes=_call_attributes(scope, node, function), call_stack=(*scope.call_stack, key),
    )  # fmt: skip
    arguments = scope.operands(where, node.input)
    for index, name in enumerate(function.input):
        inner.assign(name, arguments[index] if index < len(arguments) else None)
    import_nodes(inner, ordered(function.node, set(function.input), function.name))
    return [inner.result(f) if actual else None for f, actual in zip(function.output, node.output, strict=False)]


def import_expanded(scope: Scope, node: Any) -> Sequence[Value | None]:
    """An op with body graphs that takes them apart (SequenceMap, FlexAttention): the nodes that onnx defines it by.

    The bodies keep the meaning they have where they stand: their opset, and the outer values they read.
    """
    domain = normal_domain(node.domain)
    schema = onnx_schema(domain, node.op_type, scope.opsets[domain])
    if schema is None or not schema.has_context_dependent_function:
        raise UnsupportedError(
            f"{label(node)}: arenaut does not run this op with body graphs. Export it as If, Loop or Scan"
        )
    spec_of(scope, node, given=dict(bodies_of(node)))  # for its checks
    arguments = scope.operands(label(node), node.input)
    if any(v is not None and v.type is None for v in arguments):
        raise UnsupportedError(f"{label(node)}: the types of its inputs are not known before running")
    aliases: dict[str, str] = {}
    import onnx

    closed = to_protobuf(node, onnx.NodeProto(), scope.model.weights.bytes_of)
    for _, body in bodies_of(closed):
        aliases.update({name: f"{node.op_type}/outer/{name}" for name in sorted(free_names(body))})
        rename_free(body, aliases)
    types = [b"" if v is None or v.type is None else type_proto(v.type, str).SerializeToString() for v in arguments]
    version = schema.context_dependent_function_opset_versions[-1]
    try:
        function = onnx.FunctionProto.FromString(
            schema.get_context_dependent_function_with_opset_version(version, closed.SerializeToString(), types)
        )
    except (ValueError, RuntimeError) as error:
        raise InvalidModelError(f"{label(node)}: onnx cannot expand it ({error}). Check its body and inputs") from None
    inner = Scope(
        model=scope.model, graph=scope.graph, call=scope.own_name(node.name or f"{node.op_type}_call"),
        opsets={**{normal_domain(o.domain): o.version for o in function.opset_import}, **scope.opsets},
        call_attributes=convert_attributes(scope, node, skip=frozenset(name for name, _ in bodies_of(node))),
    )  # fmt: skip
    for name, alias in aliases.items():
        (outer,) = scope.operands(label(node), [name])
        inner.assign(alias, outer)
    for index, name in enumerate(function.input):
        inner.assign(name, arguments[index] if index < len(arguments) else None)
    import_nodes(inner, ordered(function.node, set(function.input) | set(aliases.values()), function.name))
    return [inner.result(f) if actual else None for f, actual in zip(function.output, node.output, strict=False)]


def _call_attributes(scope: Scope, node: Any, function: Any) -> dict[str, Any]:
    """The attributes of a call: the function's defaults, then what the node states."""
    values = {
        a.name: attribute_values.convert(a, scope.model.weights, f"function '{function.name}'")
        for a in function.attribute_proto
    }
    values.update(convert_attributes(scope, node))
    return values
