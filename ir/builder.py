"""Builds nodes one call at a time, with types inferred at once (the protocol `arenaut.ir.record.Build`)."""

from __future__ import annotations

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

    def op(self, op: str, *inputs: Value | None, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Adds a node; returns its output, or the list of them when outputs > 1."""
        stem = f"{self.name}/{op.lower()}" if self.name else ""
        node = self.graph.add(
            op, inputs, {k: v for k, v in attributes.items() if v is not None},
            domain=domain, outputs=outputs, name=stem, before=self.before,
        )  # fmt: skip
        self.made.append(node)
        infer_node(node)
        return node.output if outputs == 1 else list(node.outputs)

    def constant(self, array: Array) -> Value:
        return self.graph.add_constant(array, f"{self.name}/const" if self.name else "const")
