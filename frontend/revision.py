"""What is changed of a model while it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np

from arenaut.frontend.typeproto import type_of
from arenaut.ir import TensorType, Type, symbol
from arenaut.ir.attribute_values import shown_text
from arenaut.ir.dims import Dim
from arenaut.ir.errors import InputError
from arenaut.ir.graph import Array
from arenaut.plain import dataclass


@dataclass(frozen=True)
class Revision:
    """Changes of a model's inputs and weights, made while it is read.

    dims           symbolic dims by name, and the sizes that they have for good.
    denotations    the same, by what dims of inputs are said to denote ("DATA_BATCH").
    initializers   weights by name, in place of those of the file.
    separate       a name that stands at dims of several inputs says nothing: each has a size of its own.

    Names that the model does not have change nothing.
    """

    dims: Mapping[str, int] = field(default_factory=dict)
    denotations: Mapping[str, int] = field(default_factory=dict)
    initializers: Mapping[str, Array] = field(default_factory=dict)
    separate: bool = False

    def __post_init__(self) -> None:
        for what, given in (("dims", self.dims), ("denotations", self.denotations)):
            for name, size in given.items():
                if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 0:
                    raise InputError(f"{what}['{name}'] is {size!r}: expected a size, an integer of at least 0")

    def type_of(self, proto: Any, name: str) -> Type | None:
        """The type that a TypeProto declares for the input or output `name`, revised."""
        t = type_of(proto, name)
        if not isinstance(t, TensorType) or t.shape is None or not (self.dims or self.denotations or self.separate):
            return t
        stated = proto.tensor_type.shape.dim
        return TensorType(t.dtype, tuple(self._dim(d, stated[i], f"{name}.{i}") for i, d in enumerate(t.shape)))

    def stated_shape(self, proto: Any, name: str) -> tuple[int | str | None, ...] | None:
        """The dims that a TypeProto states, revised: sizes, names as they are written, None where it states neither."""
        t = self.type_of(proto, name)
        if not isinstance(t, TensorType) or t.shape is None:
            return None
        stated = proto.tensor_type.shape.dim
        named = [shown_text(d.dim_param) or None for d in stated]
        return tuple(d if isinstance(d, int) else named[i] for i, d in enumerate(t.shape))

    def _dim(self, d: Dim, stated: Any, own: str) -> Dim:
        if isinstance(d, int):
            return d
        for sizes, name in ((self.dims, str(d)), (self.denotations, stated.denotation)):
            if name in sizes:
                return int(sizes[name])
        return symbol(own) if self.separate else d


AS_STORED = Revision()
