"""Making the body of an arenaut.Fused node from nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of

# Types that tiles compute in: a value of another type would be rounded on its way to memory.
COMPUTE_TYPES = frozenset({DType.FLOAT, DType.DOUBLE, DType.INT32, DType.INT64, DType.UINT64, DType.BOOL})
# Well inside a tile program's limits, whatever number of instructions an op takes.
MAX_NODES = 20
MAX_OPERANDS = 12


def held_in_register(node: Node) -> bool:
    """Whether a register holds of the node's result what memory would, or what its readers make the same of: limits
    are numbers of its type, so that to round before them or after is one."""
    if node.output.dtype in COMPUTE_TYPES or record_of(node).narrows:
        return True
    users = [user for user, _ in node.output.uses]
    return node.output.dtype.is_float and bool(users) and all(_limits(user) for user in users)


def _limits(node: Node) -> bool:
    rule = record_of(node).clips
    return rule is not None and rule(node) is not None


def why_no_tile(nodes: Sequence[Node]) -> str | None:
    """Why these elementwise nodes, in order, cannot be one tile program; None when they can."""
    if len(nodes) > MAX_NODES:
        return f"{len(nodes)} elementwise ops are more than the {MAX_NODES} of one program"
    made = {id(n.output) for n in nodes}
    read = {id(v) for n in nodes for v in n.inputs if v is not None and id(v) not in made}
    if len(read) > MAX_OPERANDS:
        return f"{len(read)} operands are more than the {MAX_OPERANDS} of one program"
    for node in nodes[:-1]:
        if not held_in_register(node):
            return f"'{node.output.name}' must be rounded to {node.output.dtype.short}"
    return None


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
            if value.constant is not None and value.constant.size == 1:
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
