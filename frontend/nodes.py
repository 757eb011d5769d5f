"""Phase two of the import: each node of the file through its handler into the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arenaut.frontend import attributes as attribute_values
from arenaut.frontend.builder import add_node
from arenaut.frontend.scope import Scope
from arenaut.frontend.spec import Spec
from arenaut.frontend.structure import Label, is_reference, label, node_attributes, normal_domain
from arenaut.frontend.upgrade import upgrade
from arenaut.ir import Value
from arenaut.ir.attribute_values import first_wrong, shown_text
from arenaut.ir.errors import InvalidModelError, UnknownRankError, UnsupportedError
from arenaut.ir.limits import check_nodes, check_time
from arenaut.ir.schemas import Signature, default_attributes, signature
from arenaut.ir.types import schema_text


def import_nodes(scope: Scope, nodes: Sequence[Any]) -> None:
    """Imports nodes that stand in a valid order, each through the handler that the model's importer chooses for it."""
    choose = scope.model.handler_of
    for proto in nodes:
        scope.model.nodes += 1
        where = Label(proto)
        check_nodes(scope.model.nodes, where)
        check_time()
        if proto.output and not any(proto.output):
            continue  # nothing could read it
        first_new_node = len(scope.graph.nodes)
        try:
            values = choose(scope, proto)(scope, proto)
        except UnknownRankError as error:
            raise UnsupportedError(
                f"{label(proto)}: {error}, and arenaut needs it to load this op. State it: load_onnx(..., shapes=...)"
            ) from error
        scope.define(where, proto.output, values, first_new_node)


def import_plain(scope: Scope, proto: Any) -> Sequence[Value | None]:
    """Any op without a handler of its own."""
    return finish(scope, proto, spec_of(scope, proto))


def spec_of(scope: Scope, proto: Any, given: Mapping[str, Any] | None = None) -> Spec:
    """A node of the file as a Spec of the opset in force, checked against that opset's schema, defaults written out.

    given: attributes that the handler converted itself.
    """
    domain = normal_domain(proto.domain)
    opset = scope.opsets[domain]
    rule = signature(domain, proto.op_type, opset)
    if rule is None:
        raise InvalidModelError(f"{label(proto)}: there is no such op in opset {opset}")
    stated = convert_attributes(scope, proto, skip=frozenset(given or ()))
    stated.update(given or {})
    check_signature(proto, rule, stated)
    where = Label(proto)
    operands = scope.operands(where, proto.input)
    check_operands(where, [*operands, *[None] * (len(proto.input) - len(operands))], rule)
    return Spec(
        op=proto.op_type,
        domain=domain,
        version=rule.since_version,
        name=proto.name or next((o for o in proto.output if o), ""),
        inputs=operands,
        wanted=tuple(bool(o) for o in proto.output),
        attributes={**default_attributes(domain, proto.op_type, opset), **stated},
    )


def convert_attributes(scope: Scope, proto: Any, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A node's attributes as IR values, those that refer to the enclosing function call resolved."""
    out: dict[str, Any] = {}
    where = Label(proto)
    for attribute in node_attributes(proto):
        if attribute.name in skip:
            continue
        if is_reference(attribute):
            if attribute.ref_attr_name in scope.call_attributes:
                out[attribute.name] = scope.call_attributes[attribute.ref_attr_name]
        else:
            out[attribute.name] = attribute_values.convert(attribute, scope.model.weights, where)
    return out


def check_signature(proto: Any, rule: Signature, stated: Mapping[str, Any]) -> None:
    def wrong(message: str) -> InvalidModelError:
        return InvalidModelError(f"{label(proto)}, opset {rule.since_version}: {message}. Export the model again")

    if not rule.inputs[0] <= len(proto.input) <= rule.inputs[1]:
        raise wrong(f"it has {len(proto.input)} inputs, expected {_span(*rule.inputs)}")
    if not rule.outputs[0] <= len(proto.output) <= rule.outputs[1]:
        raise wrong(f"it has {len(proto.output)} outputs, expected {_span(*rule.outputs)}")
    for name in rule.required_attributes:
        if name not in stated:
            raise wrong(f"its attribute '{name}' is required but absent")
    for attribute in proto.attribute:
        want = rule.attribute_types.get(attribute.name)
        if want is None:
            known = ", ".join(sorted(rule.attribute_types)) or "none"
            raise wrong(f"it has no attribute '{attribute.name}' in this opset; known are {known}")
        if not is_reference(attribute):
            have = attribute_values.attribute_type(attribute)
            if have != want:
                raise wrong(f"its attribute '{attribute.name}' has attribute type {have}, expected {want}")
            continue
        value = stated.get(attribute.name)
        if value is not None and not attribute_values.fits(value, want):
            raise wrong(f"its attribute '{attribute.name}' is given {value!r:.80}, expected attribute type {want}")


def check_operands(node: object, operands: Sequence[Value | None], rule: Signature) -> None:
    """Every operand that the schema requires is there and has a type that it allows, those of one type name the same
    one. What is not known at import is left to whoever finds out."""
    bound: dict[str, tuple[str, str]] = {}  # type name -> the name and type of the first operand that binds it
    for place, value in enumerate(operands):
        formal = rule.input_parameter(place)
        if value is None and formal is not None and formal.option in ("single", "variadic"):
            raise InvalidModelError(
                f"{node}, opset {rule.since_version}: its input {place} ('{formal.name}') is required but empty. "
                "Export the model again"
            )
        if value is None or value.type is None or formal is None:
            continue
        have = schema_text(value.type)
        expected = "" if have in formal.allowed else " or ".join(formal.types)
        if not expected and formal.option != "mixed":
            first, want = bound.setdefault(formal.type_name, (formal.name, have))
            expected = "" if have == want else f"{want}, the type of '{first}'"
        if expected:
            raise InvalidModelError(
                f"{node}, opset {rule.since_version}: its input {place} ('{formal.name}'), '{value.name}', is {have}, "
                f"expected {expected}. Export the model again"
            )


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}" if high < 2**31 - 1 else f"at least {low}"


def _check_ranges(spec: Spec) -> None:
    found = first_wrong(spec.op, spec.attributes) if spec.domain in ("", "ai.onnx.ml") else None
    if found is not None:
        name, value, allowed = found
        shown = shown_text(value) if isinstance(value, (str, bytes)) else value
        raise spec.invalid(f"its attribute '{name}' is {shown}, expected {allowed}. Export the model again")


def finish(scope: Scope, proto: Any, spec: Spec) -> Sequence[Value | None]:
    """Brings a spec to the newest opset and adds it to the graph."""
    outcome = upgrade(scope.builder(spec.name), spec)
    if not isinstance(outcome, Spec):
        return outcome
    _check_ranges(outcome)
    graph = scope.graph
    outputs: list[Value | None] = [
        Value(scope.own_name(name)) if wanted else None
        for name, wanted in zip(proto.output, outcome.wanted, strict=False)
    ]
    while outputs and outputs[-1] is None and len(outputs) > 1:
        outputs.pop()
    node = add_node(
        graph, outcome.op, outcome.inputs, outcome.attributes, outputs, domain=outcome.domain, name=spec.name
    )  # fmt: skip
    node.stated = True
    for value in node.outputs:
        if value is not None:
            scope.mark_named(value)
    return node.outputs
