"""The ai.onnx.ml domain."""

from __future__ import annotations

from types import MappingProxyType

from arenaut.frontend.spec import Outcome, Spec
from arenaut.frontend.upgrade.common import Rules
from arenaut.ir import DType, TensorType
from arenaut.ir.graph import ML_DOMAIN
from arenaut.ir.record import Build


def _classes_to_pairs(build: Build, spec: Spec) -> Outcome:
    """The first LabelEncoder had one list of names, looked up by name or by position after its input's type."""
    classes, t = tuple(spec.attr("classes_strings") or ()), spec.operand(0).type
    if not isinstance(t, TensorType):
        raise spec.unsupported("the element type of its input decides what it does, and is not known before running")
    places = tuple(range(len(classes)))
    if t.dtype is DType.STRING:
        return spec.without("classes_strings", "default_string", keys_strings=classes, values_int64s=places)
    return spec.without("classes_strings", "default_int64", keys_int64s=places, values_strings=classes)


RULES: Rules = MappingProxyType({(ML_DOMAIN, "LabelEncoder", 1): _classes_to_pairs})
