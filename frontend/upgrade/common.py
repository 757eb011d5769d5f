"""What many upgrade rules are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from arenaut.frontend.spec import Outcome, Rule, Spec, int64s
from arenaut.ir import TensorType, Value
from arenaut.ir.record import Build

Rules = Mapping[tuple[str, str, int], Rule]


def for_ops(ops: Iterable[str], version: int, rule: Rule, domain: str = "") -> dict[tuple[str, str, int], Rule]:
    """One rule for several ops that changed in the same way."""
    return {(domain, op, version): rule for op in ops}


def drop(*names: str) -> Rule:
    """Attributes that later versions lack and that never changed the result of inference."""

    def rule(build: Build, spec: Spec) -> Outcome:
        return spec.without(*names)

    return rule


def ints_to_input(name: str, index: int) -> Rule:
    """An attribute of ints that became an int64 input; an empty or absent one leaves the input absent."""

    def rule(build: Build, spec: Spec) -> Outcome:
        values = spec.attr(name)
        moved = spec.without(name)
        return moved.with_input(index, int64s(build, values)) if values else moved

    return rule


def setting(**attributes: str | int) -> Rule:
    """Attributes that later versions need written out to keep the old meaning, where not stated."""

    def rule(build: Build, spec: Spec) -> Outcome:
        return spec.change(attributes={**attributes, **spec.attributes})

    return rule


def scalar_like(build: Build, number: float, like: Value) -> Value:
    """A scalar constant of another value's element type."""
    if isinstance(like.type, TensorType):
        return build.constant(np.array(number).astype(like.dtype.numpy))
    cast = build.op("CastLike", build.constant(np.array(number, np.float32)), like)
    return cast


def known_rank(spec: Spec, value: Value, why: str) -> int:
    """The rank of a value. Raises UnsupportedError saying why it must be known at load."""
    if not value.has_shape:
        raise spec.unsupported(
            f"{why}, which takes the rank of '{value.name}', but that is not known before running. "
            "Convert the model to opset 13 or later, for example with onnx.version_converter"
        )
    return value.rank


def reshaped_back(build: Build, flat: Value, like: Value) -> Value:
    """flat in the shape of another value."""
    value = build.op("Reshape", flat, build.op("Shape", like))
    return value


def normal_axis(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def only(value: Value) -> Sequence[Value | None]:
    return [value]
