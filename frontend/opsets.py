"""Which opset a saved model states: the oldest in which all its nodes mean what they mean in the newest.

Other runtimes know the newest opsets last. Most versions of an op only admit more element types, or add an attribute
whose default is what there was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onnx import helper

from arenaut.ir.graph import ARENAUT_DOMAIN, ONNX_DOMAIN, Node, Value
from arenaut.ir.schemas import Signature, last_opset, newest_opset, signature, versions
from arenaut.ir.types import TensorType, onnx_text

# Before this opset versions differ in what their signatures do not say.
OLDEST = 21


class Opsets:
    """What the nodes written so far need: of each domain the oldest version, and the newest that still has all ops."""

    def __init__(self) -> None:
        self._oldest: dict[str, int] = {ONNX_DOMAIN: OLDEST}
        self._newest: dict[str, int] = {}

    def need(self, node: Node) -> None:
        attributes = {name: value for name, value in node.attributes.items() if value is not None}
        self._note(node.domain, node.op, attributes, node.inputs, node.outputs)
        if _refused_by_kernels(node):
            self._oldest[ONNX_DOMAIN] = newest_opset(ONNX_DOMAIN)

    def need_op(self, domain: str, op: str, like: Node) -> None:
        """An op without attributes on values of the types of another node's."""
        self._note(domain, op, {}, like.inputs[:1], like.outputs)

    def _note(
        self, domain: str, op: str, attributes: Mapping[str, Any], inputs: Iterable[Value | None],
        outputs: Iterable[Value | None],
    ) -> None:  # fmt: skip
        if domain == ARENAUT_DOMAIN:
            self._oldest[domain] = self._newest[domain] = 1
            return
        last = last_opset(domain, op) or 1
        oldest = last if domain != ONNX_DOMAIN else oldest_version(domain, op, attributes, inputs, outputs)
        self._oldest[domain] = max(self._oldest.get(domain, 1), min(oldest, last))
        self._newest[domain] = min(self._newest.get(domain, last), last)

    def stated(self) -> dict[str, int]:
        return {domain: min(oldest, self._newest.get(domain, oldest)) for domain, oldest in self._oldest.items()}


def _refused_by_kernels(node: Node) -> bool:
    """Whether onnxruntime's kernels refuse what the standard allows: a mask that broadcasts along the queries. Of a
    version that it has no kernel for it runs the op's function, which does not."""
    mask = node.input(3) if node.key == (ONNX_DOMAIN, "Attention") else None
    return mask is not None and (not mask.has_shape or mask.rank < 2 or mask.shape[-2] == 1)


def oldest_version(
    domain: str, op: str, attributes: Mapping[str, Any], inputs: Iterable[Value | None],
    outputs: Iterable[Value | None],
) -> int:  # fmt: skip
    """The oldest opset, from OLDEST on, in which a node of the newest one means the same."""
    newest = signature(domain, op, newest_opset(domain))
    oldest = newest_opset(domain)
    if newest is None:
        return oldest
    given, made = list(inputs), list(outputs)
    for since in reversed(versions(domain, op)):
        before = signature(domain, op, since)
        if before is None or not _means_the_same(before, newest, attributes):
            break
        if not _admits(before.input_parameters, given) or not _admits(before.output_parameters, made):
            break
        oldest = max(since, OLDEST)
        if since <= OLDEST:
            break
    return oldest


def _means_the_same(before: Signature, newest: Signature, attributes: Mapping[str, Any]) -> bool:
    """Formal parameters are alike, and attributes that are not known yet have their defaults."""
    if [(p.name, p.option) for p in before.input_parameters] != [(p.name, p.option) for p in newest.input_parameters]:
        return False
    if [p.option for p in before.output_parameters] != [p.option for p in newest.output_parameters]:
        return False
    for name in newest.attribute_types:
        if name in before.attribute_types:
            if before.defaults.get(name) != newest.defaults.get(name):
                return False
        elif name in attributes and attributes[name] != newest.defaults.get(name):
            return False
    return all(name in newest.attribute_types for name in before.attribute_types)


def _admits(parameters: tuple[Any, ...], values: list[Value | None]) -> bool:
    for place, value in enumerate(values):
        if value is None or not isinstance(value.type, TensorType):
            continue
        formal = parameters[min(place, len(parameters) - 1)] if parameters else None
        if formal is None or onnx_text(value.type) not in formal.types:
            return False
    return True


def state_opsets(model: Any, needed: Opsets) -> None:
    """Writes what a finished model and its functions import, and leaves out attributes that those opsets lack, which
    have their defaults."""
    stated = needed.stated()
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(stated.items())]
    model.opset_import.extend(imports)
    _leave_out(model.graph.node, stated)
    for function in model.functions:
        function.opset_import.extend(imports)
        _leave_out(function.node, stated)


def _leave_out(nodes: Any, stated: Mapping[str, int]) -> None:
    for node in nodes:
        found = signature(node.domain, node.op_type, stated.get(node.domain, 1)) if node.domain in stated else None
        if found is not None and node.domain == ONNX_DOMAIN:
            kept = [a for a in node.attribute if a.name in found.attribute_types]
            if len(kept) < len(node.attribute):
                del node.attribute[:]
                node.attribute.extend(kept)
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                _leave_out(body.node, stated)
