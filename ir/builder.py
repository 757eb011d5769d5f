"""Builds nodes one call at a time, with types inferred at once (the protocol `arenaut.ir.record.Build`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.infer import infer_node


class GraphBuilder:
    """Adds nodes to a graph, at its end or before a given node. made: the nodes added, in order."""

    def __init__(self, graph: Graph, before: Node | None = None, name: str = "") -> None:
        self.graph = graph
        self.before = before
        self.name = name
        self.made: list[Node] = []

    def op(self, op: str, *inputs: Value | None, domain: str = "", **attributes: Any) -> Value:
        """Adds a node with one output; that output. Attributes that are None are left out."""
        return self._add(op, inputs, 1, domain, attributes).output

    def ops(self, op: str, *inputs: Value | None, outputs: int, domain: str = "", **attributes: Any) -> list[Value]:
        """The same for a node with so many outputs."""
        return [v for v in self._add(op, inputs, outputs, domain, attributes).outputs if v is not None]

    def _add(
        self, op: str, inputs: Sequence[Value | None], outputs: int, domain: str, attributes: Mapping[str, Any]
    ) -> Node:
        stem = f"{self.name}/{op.lower()}" if self.name else ""
        node = self.graph.add(
            op, inputs, {k: v for k, v in attributes.items() if v is not None},
            domain=domain, outputs=outputs, name=stem, before=self.before,
        )  # fmt: skip
        self.made.append(node)
        infer_node(node)
        return node

    def constant(self, array: Array) -> Value:
        return self.graph.add_constant(array, f"{self.name}/const" if self.name else "const")
