"""Names while a graph is being built: what each name of the file means, and what a body takes from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from arenaut.frontend.builder import FilledBuilder, infer
from arenaut.frontend.weights import Weights
from arenaut.ir import Graph, Value
from arenaut.ir.errors import InvalidModelError
from arenaut.plain import dataclass

FunctionKey = tuple[str, str, str]  # domain, name, overload

# Adds what a node of the file means to the scope's graph; returns the values of its outputs, None where absent.
Handler = Callable[["Scope", Any], Sequence["Value | None"]]


@dataclass
class ModelContext:
    """What all scopes of one model share."""

    weights: Weights
    functions: Mapping[FunctionKey, Any]
    handler_of: Callable[[Scope, Any], Handler]
    nodes: int = 0  # imported so far


@dataclass
class Capture:
    """An outer value that a body reads, and the input of the body that carries it."""

    outer: Value
    inner: Value


@dataclass
class Scope:
    """The names of one graph, body graph or function call.

    A body has a graph of its own and a parent to capture from; a branch that is always taken is written into its
    parent's graph. A function call adds to its caller's graph, knows only its own names, and reads the attributes of
    the call.
    """

    model: ModelContext
    graph: Graph
    opsets: Mapping[str, int]
    parent: Scope | None = None
    call: str = ""  # the name of the function call, a prefix for the names of its values
    call_attributes: Mapping[str, Any] = field(default_factory=dict)
    call_stack: tuple[FunctionKey, ...] = ()
    initializers: dict[str, Any] = field(default_factory=dict)  # not yet read: TensorProto, SparseTensorProto or array
    captures: dict[int, Capture] = field(default_factory=dict)  # by the identity of the outer value
    _values: dict[str, Value | None] = field(default_factory=dict)
    _named: set[int] = field(default_factory=set)

    def builder(self, name: str) -> FilledBuilder:
        return FilledBuilder(self.graph, name=name)

    def assign(self, name: str, value: Value | None) -> None:
        """From here on the name means that value (None: an absent optional of a function call)."""
        self._values[name] = value
        if value is not None:
            self._named.add(id(value))

    def mark_named(self, value: Value) -> None:
        """The value has its final name already."""
        self._named.add(id(value))

    def own_name(self, name: str) -> str:
        """The name that a value called so in the file gets in the graph."""
        return self.graph.unique(f"{self.call}/{name}") if self.call else name

    def find(self, name: str) -> Value | None:
        """The value a name means here, None when the name is empty. Raises KeyError when nothing has that name."""
        if name == "":
            return None
        if name in self._values:
            return self._values[name]
        if name in self.initializers:
            value: Value | None = self._read_initializer(name)
        elif self.parent is not None:
            value = self.parent.find(name)
            if self.parent.graph is not self.graph:
                value = self._capture(value)
        else:
            raise KeyError(name)
        self.assign(name, value)
        return value

    def operands(self, node: object, names: Sequence[str]) -> tuple[Value | None, ...]:
        """The values of a node's input names; trailing absent ones are dropped."""
        known = self._values
        values = []
        for name in names:
            try:
                values.append(known[name] if name in known else self.find(name))
            except KeyError:
                raise InvalidModelError(
                    f"{node} reads '{name}', which is no input, no initialiser and no output of any node before it. "
                    "Export the model again"
                ) from None
        while values and values[-1] is None:
            values.pop()
        return tuple(values)

    def result(self, name: str) -> Value:
        """The value of an output name of the graph."""
        try:
            value = self.find(name)
        except KeyError:
            value = None
        if value is None:
            raise InvalidModelError(
                f"graph '{self.graph.name}' lists the output '{name}', which nothing makes. Export the model again"
            )
        return value

    def define(self, node: object, names: Sequence[str], values: Sequence[Value | None], first_new_node: int) -> None:
        """Binds a node's output names to the values made for it, and gives fresh values those names.

        first_new_node: how many nodes the graph had before. Names take part in the symbols that inference makes, so
        renamed values are inferred again.
        """
        renamed = False
        for index, name in enumerate(names):
            if name == "":
                continue
            value = values[index] if index < len(values) else None
            if value is None:
                raise InvalidModelError(f"{node} has no output {index} ('{name}')")
            if value.producer is not None and id(value) not in self._named:
                final = self.own_name(name)
                renamed = renamed or value.name != final
                value.name = final
            self.assign(name, value)
        if renamed:
            for added in self.graph.nodes[first_new_node:]:
                infer(added)

    def _read_initializer(self, name: str) -> Value:
        proto = self.initializers[name]
        weights = self.model.weights
        if isinstance(proto, np.ndarray):
            array = proto
        else:
            array = weights.dense(proto) if hasattr(proto, "indices") else weights.array(proto)
        return self.graph.add_constant(array, name, reserved=not self.call)

    def _capture(self, outer: Value | None) -> Value | None:
        if outer is None:
            return None
        if id(outer) in self.captures:
            return self.captures[id(outer)].inner
        if outer.constant is not None:
            return self.graph.add_constant(outer.constant, outer.name)
        inner = self.graph.value(outer.name, outer.type)
        self.captures[id(outer)] = Capture(outer, inner)
        return inner
