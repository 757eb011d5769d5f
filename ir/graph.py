"""Graph, Node, Value: the one representation between the frontend and lowering.

A Value has one producer (a node, the graph's input list, or a constant) and a list of uses that Graph keeps true.
Nodes form a list in topological order. Captured outer values of a body graph are explicit trailing inputs of the node
that owns the body (and trailing inputs of the body), so nothing is used that is not in a node's input list. How many
they are is the node's int attribute `captures`: the ops alone could not tell them from carried values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Union

import numpy as np

from arenaut.ir.attribute_values import text_of
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.errors import UnknownRankError
from arenaut.ir.numbers import Numbers
from arenaut.ir.types import Shape, TensorType, Type
from arenaut.plain import dataclass

Array = np.ndarray[Any, Any]
Attribute = Union[int, float, str, bytes, Array, "Graph", Type, tuple[Any, ...], Numbers]

# So many nodes are taken out of the list one by one: a search for an object is quicker than a new list.
FEW = 16

ONNX_DOMAIN = ""
ML_DOMAIN = "ai.onnx.ml"
ARENAUT_DOMAIN = "arenaut"
MICROSOFT_DOMAIN = "com.microsoft"


class _Released:
    """Stands for an array that can be had again."""

    __slots__ = ("again",)

    def __init__(self, again: Callable[[], Array]) -> None:
        self.again = again


class Value:
    """One tensor (or sequence, ...) of a graph.

    type: None until inference reaches it. constant: the array when known at load. data: for small integer tensors,
    the elements as dims (an object array of ints and expressions), known without running. order: how the tensor is
    to lie in memory when it is made, its axes from the largest stride to the smallest; None: as they are numbered.
    """

    __slots__ = ("_constant", "data", "name", "order", "producer", "type", "uses")

    def __init__(self, name: str, type: Type | None = None, constant: Array | None = None) -> None:
        self.name = name
        self.type = type
        self._constant: Array | _Released | None = constant
        self.data: Array | None = None
        self.order: tuple[int, ...] | None = None
        self.producer: Node | None = None
        self.uses: list[tuple[Node, int]] = []  # (user, input index)

    @property
    def constant(self) -> Array | None:
        held = self._constant
        return held.again() if held is not None and isinstance(held, _Released) else held

    @constant.setter
    def constant(self, array: Array | None) -> None:
        self._constant = array

    def release(self, again: Callable[[], Array]) -> None:
        """Lets go of the array of a constant. again: makes it anew, each time somebody asks."""
        self._constant = _Released(again)

    def copy(self) -> Value:
        """The value by itself: without the nodes that make and read it."""
        twin = Value(self.name, self.type)
        twin._constant, twin.data, twin.order = self._constant, self.data, self.order
        return twin

    @property
    def tensor(self) -> TensorType:
        """The type of a tensor; raises UnknownRankError for what is not known to be one."""
        if not isinstance(self.type, TensorType):
            raise UnknownRankError(f"value '{self.name}' is {self.type}, not a tensor")
        return self.type

    @property
    def dtype(self) -> DType:
        return self.type.dtype if isinstance(self.type, TensorType) else self.tensor.dtype

    @property
    def shape(self) -> Shape:
        """The dims; raises UnknownRankError when the rank is unknown."""
        shape = self.type.shape if isinstance(self.type, TensorType) else self.tensor.shape
        if shape is None:
            raise UnknownRankError(f"the rank of value '{self.name}' is not known")
        return shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def has_shape(self) -> bool:
        return isinstance(self.type, TensorType) and self.type.shape is not None

    @property
    def users(self) -> list[Node]:
        """The nodes that read this value, each once, in order of first use."""
        return list(dict.fromkeys(node for node, _ in self.uses))

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


class Node:
    """One operation. op and attributes mean what the newest ONNX opset says; absent optional inputs are None.

    stated: the model itself says this, no rewrite: what it says must then hold in every respect."""

    __slots__ = ("attributes", "domain", "graph", "inputs", "name", "op", "outputs", "stated")

    def __init__(
        self,
        op: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value | None],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        domain: str = ONNX_DOMAIN,
        name: str = "",
    ) -> None:
        self.op = op
        self.domain = domain
        self.name = name
        self.inputs: list[Value | None] = list(inputs)
        self.outputs: list[Value | None] = list(outputs)
        self.attributes: dict[str, Any] = dict(attributes or {})
        self.graph: Graph | None = None
        self.stated = False

    @property
    def key(self) -> tuple[str, str]:
        return (self.domain, self.op)

    @property
    def output(self) -> Value:
        """The first output."""
        out = self.outputs[0]
        assert out is not None
        return out

    def input(self, index: int) -> Value | None:
        """The input at index, None when absent or beyond the list."""
        return self.inputs[index] if index < len(self.inputs) else None

    def operand(self, index: int) -> Value:
        """The input at index, which the op requires."""
        value = self.input(index)
        if value is None:
            raise IndexError(f"{self} has no input {index}")
        return value

    def attr(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is text."""
        return text_of(self.attr(name, default))

    def bodies(self) -> Iterator[tuple[str, Graph]]:
        if not self.has_bodies:
            return iter(())
        return iter([(name, value) for name, value in self.attributes.items() if isinstance(value, Graph)])

    @property
    def has_bodies(self) -> bool:
        for value in self.attributes.values():  # noqa: SIM110  a load asks some 20 times a node
            if isinstance(value, Graph):
                return True
        return False

    def __repr__(self) -> str:
        label = self.op if not self.domain else f"{self.domain}.{self.op}"
        return f"node '{self.name or label}' ({label})"


@dataclass(frozen=True)
class Requirement:
    """What an op asks of sizes and elements that only a run knows: `condition` is not 0. text: what is asked for;
    values: what there is instead, as the error shows it."""

    condition: Dim
    text: str
    values: Sequence[Dim]


class Graph:
    """Inputs, outputs and nodes in topological order, with the edits that passes need.

    Constants are values with `.constant` set and no producer; they need no list of their own. declared: the types that
    a file states for its outputs: a claim, written again when the graph is saved and nothing better is known. border:
    of a body, what its symbols are in the graph around it; set by inference. asks: what stored nodes ask of the sizes
    of a run, each with the node's name, which holds even where a rewrite took the node away.
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.declared: list[Type | None] = []
        self.nodes: list[Node] = []
        self.border: Mapping[str, Dim] = {}
        self.asks: list[tuple[str, Requirement]] = []
        self._names: set[str] = set()

    # -- values ------------------------------------------------------------------------------------------------

    def unique(self, stem: str) -> str:
        """A value name not yet used in this graph, made from stem."""
        name, n = stem, 0
        while name in self._names:
            n += 1
            name = f"{stem}_{n}"
        self._names.add(name)
        return name

    def scratch(self, name: str) -> Graph:
        """An empty graph whose nodes may read this one's values, and whose names are none of this one's."""
        other = Graph(name)
        other._names = self._names
        return other

    def reserve(self, names: Iterable[str]) -> None:
        """Keeps names for values that will be made under exactly these names."""
        self._names.update(names)

    def value(self, stem: str, type: Type | None = None) -> Value:
        return Value(self.unique(stem), type)

    def add_input(self, name: str, type: Type | None) -> Value:
        value = Value(self.unique(name), type)
        self.inputs.append(value)
        return value

    def add_constant(self, array: Array, stem: str = "const", *, reserved: bool = False) -> Value:
        """A constant. reserved: stem was reserved and is the name."""
        value = Value(stem if reserved else self.unique(stem), TensorType(dtype_of(array), tuple(array.shape)), array)
        if array.size <= 1024 and array.ndim <= 2 and value.dtype in (DType.INT64, DType.INT32, DType.BOOL):
            value.data = array.astype(np.int64).astype(object)
        return value

    def is_output(self, value: Value) -> bool:
        return any(o is value for o in self.outputs)

    # -- nodes -------------------------------------------------------------------------------------------------

    def add(
        self,
        op: str,
        inputs: Sequence[Value | None],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        domain: str = ONNX_DOMAIN,
        outputs: Sequence[Value | None] | int = 1,
        name: str = "",
        before: Node | None = None,
    ) -> Node:
        """Adds a node at the end, or before another. outputs: the values it makes, or how many to create."""
        if isinstance(outputs, int):
            outputs = [self.value(f"{name or op.lower()}_{i}" if outputs > 1 else name or op.lower())
                       for i in range(outputs)]  # fmt: skip
        node = Node(op, inputs, outputs, attributes, domain=domain, name=name)
        self.attach(node, before)
        return node

    def attach(self, node: Node, before: Node | None = None) -> None:
        node.graph = self
        if before is None:
            self.nodes.append(node)
        else:
            self.nodes.insert(self.nodes.index(before), node)
        for index, value in enumerate(node.inputs):
            if value is not None:
                value.uses.append((node, index))
        for out in node.outputs:
            if out is not None:
                out.producer = node
                self._names.add(out.name)

    def set_input(self, node: Node, index: int, value: Value | None) -> None:
        old = node.inputs[index]
        if old is not None:
            old.uses.remove((node, index))
        node.inputs[index] = value
        if value is not None:
            value.uses.append((node, index))

    def set_inputs(self, node: Node, values: Sequence[Value | None]) -> None:
        self._drop_uses(node)
        node.inputs = list(values)
        for index, value in enumerate(node.inputs):
            if value is not None:
                value.uses.append((node, index))

    def replace(self, old: Value, new: Value) -> None:
        """Every use of old, graph outputs included, reads new. The name of a graph output stays with the output."""
        for node, index in list(old.uses):
            self.set_input(node, index, new)
        for i, out in enumerate(self.outputs):
            if out is old:
                self.outputs[i] = new

    def supersede(self, old: Value, new: Value) -> None:
        """`replace`, and where old is an output of the graph, new takes its name: outputs keep theirs. new must be no
        input or output of the graph itself then."""
        if self.is_output(old):
            old.name, new.name = new.name, old.name
        self.replace(old, new)

    def remove(self, nodes: Node | Iterable[Node]) -> None:
        """Takes nodes out; their outputs must be unused by what stays."""
        gone = {id(n): n for n in ([nodes] if isinstance(nodes, Node) else nodes) if n.graph is self}
        for node in gone.values():
            self._drop_uses(node)
            node.graph = None
            for out in node.outputs:  # or they would keep each other, and what the node reads, alive
                if out is not None and out.producer is node:
                    out.producer = None
        if len(gone) <= FEW:
            for node in gone.values():
                self.nodes.remove(node)
        else:
            self.nodes = [n for n in self.nodes if id(n) not in gone]

    def _drop_uses(self, node: Node) -> None:
        for index, value in enumerate(node.inputs):
            if value is not None:
                value.uses.remove((node, index))

    # -- copies ------------------------------------------------------------------------------------------------

    def copy(self) -> Graph:
        """An equal graph of its own, bodies included; constants share their arrays."""
        twin = self.extract(self.nodes, self.inputs, self.outputs)
        twin.declared = list(self.declared)
        twin.asks = list(self.asks)
        return twin

    def extract(self, nodes: Iterable[Node], inputs: Iterable[Value], outputs: Iterable[Value]) -> Graph:
        """Copies of some nodes, bodies included, as a graph of its own: they read nothing but the inputs, constants,
        whose arrays are shared, and each other. This graph stays as it is."""
        twin = Graph(self.name)
        twin._names = set(self._names)
        known: dict[int, Value] = {}

        def of(value: Value | None) -> Value | None:
            if value is None:
                return None
            if id(value) not in known:
                known[id(value)] = value.copy()
            return known[id(value)]

        twin.inputs = [v for v in map(of, inputs) if v is not None]
        for node in nodes:
            attributes = {k: v.copy() if isinstance(v, Graph) else v for k, v in node.attributes.items()}
            made = Node(node.op, [of(v) for v in node.inputs], [of(v) for v in node.outputs], attributes,
                        domain=node.domain, name=node.name)  # fmt: skip
            made.stated = node.stated
            twin.attach(made)
        twin.outputs = [v for v in map(of, outputs) if v is not None]
        return twin

    # -- views -------------------------------------------------------------------------------------------------

    def values(self) -> Iterator[Value]:
        """Every value: inputs, constants and node outputs, each once."""
        found: dict[int, Value | None] = {id(value): value for value in self.inputs}
        for node in self.nodes:
            for value in node.inputs:
                found[id(value)] = value
            for value in node.outputs:
                found[id(value)] = value
        for value in self.outputs:
            found[id(value)] = value
        return iter([value for value in found.values() if value is not None])

    def constants(self) -> list[Value]:
        return [v for v in self.values() if v._constant is not None]

    def dim_names(self) -> list[str]:
        """The symbols that the inputs' shapes set, in order of first appearance."""
        from arenaut.ir.dims import symbols_of

        names: dict[str, None] = {}
        for value in self.inputs:
            for d in value.shape if value.has_shape else ():
                names.update(dict.fromkeys(s.name for s in symbols_of(d)))
        return list(names)

    def __str__(self) -> str:
        from arenaut.ir.dump import dump

        return dump(self)


def static_shape(shape: Sequence[Dim]) -> tuple[int, ...] | None:
    """The shape as ints when no dim is symbolic."""
    return tuple(d for d in shape if isinstance(d, int)) if all(isinstance(d, int) for d in shape) else None
