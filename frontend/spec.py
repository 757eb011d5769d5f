"""A node on its way from the file to the graph, and the rule that makes it mean what the newest opset says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

import numpy as np

from arenaut.ir import Value
from arenaut.ir.attribute_values import text_of
from arenaut.ir.errors import InvalidModelError, UnsupportedError
from arenaut.ir.record import Build
from arenaut.plain import dataclass, replace


@dataclass(frozen=True)
class Spec:
    """One node: op and attributes mean what opset `version` of the domain says; inputs are values of the graph.

    wanted tells which outputs the model uses: one entry per output it lists, False where the name is empty.
    """

    op: str
    version: int
    inputs: tuple[Value | None, ...]
    wanted: tuple[bool, ...]
    attributes: Mapping[str, Any]
    domain: str = ""
    name: str = ""

    def __str__(self) -> str:
        label = f"{self.domain}.{self.op}" if self.domain else self.op
        return f"node '{self.name}' ({label})" if self.name else f"an unnamed {label} node"

    def input(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def operand(self, index: int) -> Value:
        value = self.input(index)
        if value is None:
            raise self.invalid(f"input {index} is required but absent")
        return value

    def attr(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is text."""
        return text_of(self.attr(name, default))

    def is_wanted(self, output: int) -> bool:
        return output < len(self.wanted) and self.wanted[output]

    def change(self, **fields: Any) -> Spec:
        return replace(self, **fields)

    def without(self, *names: str, **new: Any) -> Spec:
        """The same node with attributes taken away and others set; None sets nothing."""
        kept = {k: v for k, v in self.attributes.items() if k not in names}
        kept.update({k: v for k, v in new.items() if v is not None})
        return replace(self, attributes=kept)

    def with_input(self, index: int, value: Value | None) -> Spec:
        """The same node with one input set; inputs between the present ones and it are absent."""
        inputs = list(self.inputs) + [None] * (index + 1 - len(self.inputs))
        inputs[index] = value
        return replace(self, inputs=tuple(inputs))

    def invalid(self, message: str) -> InvalidModelError:
        return InvalidModelError(f"{self}, opset {self.version}: {message}")

    def unsupported(self, message: str) -> UnsupportedError:
        return UnsupportedError(f"{self}, opset {self.version}: {message}")


# What a rule gives: the node as a later version would say it (its chain goes on there), or the values that are the
# node's outputs (None where absent), when it takes several nodes or none.
Outcome = Union[Spec, Sequence[Union[Value, None]]]
Rule = Callable[[Build, Spec], Outcome]


def int64s(build: Build, values: Sequence[int]) -> Value:
    """A constant vector of int64."""
    return build.constant(np.array(values, np.int64))


def rank_of(value: Value) -> int | None:
    """The rank of a tensor when known at load."""
    return value.rank if value.has_shape else None
