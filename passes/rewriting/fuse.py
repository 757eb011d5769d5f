"""Making the body of an arenaut.Fused node from nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence

from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import held_in_register

# Well inside a tile program's limits, whatever number of instructions and numbers of its own an op takes.
MAX_NODES = 20
MAX_OPERANDS = 12
MAX_NUMBERS = 12  # constants of one element, which lie in the program


def why_no_tile(nodes: Sequence[Node]) -> str | None:
    """Why these elementwise nodes, in order, cannot be one tile program; None when they can."""
    if len(nodes) > MAX_NODES:
        return f"{len(nodes)} elementwise ops are more than the {MAX_NODES} of one program"
    made = {id(n.output) for n in nodes}
    read = {id(v): v for n in nodes for v in n.inputs if v is not None and id(v) not in made}
    operands = sum(not _is_number(v) for v in read.values())
    if operands > MAX_OPERANDS:
        return f"{operands} operands are more than the {MAX_OPERANDS} of one program"
    numbers = len({(v.dtype, v.constant.tobytes()) for v in read.values() if v.constant is not None and _is_number(v)})
    if numbers > MAX_NUMBERS:
        return f"{numbers} constants of one element are more than the {MAX_NUMBERS} of one program"
    for node in nodes[:-1]:
        if not held_in_register(node):
            return f"'{node.output.name}' must be rounded to {node.output.dtype.short}"
    return None


def _is_number(value: Value) -> bool:
    return value.constant is not None and value.constant.size == 1


class FusedBody:
    """A copy of `nodes` (in order) as a body graph; what they read from outside becomes its inputs.

    Constants of one element stay inside; others are inputs, so that the owner's place for them is shared.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.graph = Graph("+".join(n.op for n in nodes))
        self.outer_inputs: list[Value] = []
        self._inner: dict[int, Value] = {}
        for node in nodes:
            inputs = [None if v is None else self._input(v) for v in node.inputs]
            outputs = [None if v is None else self._output(v) for v in node.outputs]
            self.graph.attach(Node(node.op, inputs, outputs, node.attributes, domain=node.domain, name=node.name))
        self.graph.outputs = [self._inner[id(nodes[-1].output)]]

    def _input(self, value: Value) -> Value:
        if id(value) not in self._inner:
            if value.constant is not None and _is_number(value):
                inner = self.graph.add_constant(value.constant, value.name)
            else:
                inner = self.graph.add_input(value.name, value.type)
                inner.data = value.data
                self.outer_inputs.append(value)
            self._inner[id(value)] = inner
        return self._inner[id(value)]

    def _output(self, value: Value) -> Value:
        inner = self.graph.value(value.name, value.type)
        self._inner[id(value)] = inner
        return inner
