"""Adds nodes as the frontend promises them: default attributes written out, types inferred, errors that name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arenaut.ir import GraphBuilder, Node, Value
from arenaut.ir.errors import InvalidModelError, RuleError
from arenaut.ir.graph import Graph
from arenaut.ir.infer import infer_node
from arenaut.ir.schemas import default_attributes, newest_opset


def filled(domain: str, op: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with the newest schema's defaults for those left out."""
    return {**default_attributes(domain, op, newest_opset(domain)), **attributes}


def infer(node: Node) -> None:
    """Infers a node's types; what a rule refuses becomes an error that names the node."""
    try:
        infer_node(node)
    except RuleError as error:
        inputs = ", ".join("-" if v is None else f"{v.name}: {v.type}" for v in node.inputs)
        raise InvalidModelError(
            f"{node}: its output types cannot be worked out: {error}. Inputs: {inputs}. Check the node against the "
            "ONNX standard"
        ) from error


def add_node(
    graph: Graph,
    op: str,
    inputs: Sequence[Value | None],
    attributes: Mapping[str, Any],
    outputs: Sequence[Value | None] | int,
    *,
    domain: str = "",
    name: str = "",
) -> Node:
    """Adds a node of the newest opset at the end of the graph."""
    node = graph.add(op, inputs, filled(domain, op, attributes), domain=domain, outputs=outputs, name=name)
    infer(node)
    return node


class FilledBuilder(GraphBuilder):
    """A GraphBuilder whose nodes carry their default attributes."""

    def _add(
        self, op: str, inputs: Sequence[Value | None], outputs: int, domain: str, attributes: Mapping[str, Any]
    ) -> Node:
        given = {k: v for k, v in attributes.items() if v is not None}
        name = f"{self.name}/{op.lower()}" if self.name else ""
        return add_node(self.graph, op, inputs, given, outputs, domain=domain, name=name)
