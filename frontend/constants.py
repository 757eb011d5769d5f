"""Constant becomes a constant value, whatever way its data is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from arenaut.frontend.nodes import check_signature, convert_attributes
from arenaut.frontend.scope import Handler, Scope
from arenaut.frontend.structure import label
from arenaut.ir import Value
from arenaut.ir.errors import InvalidModelError
from arenaut.ir.graph import Array
from arenaut.ir.schemas import signature


def _texts(value: Any) -> Array:
    out = np.empty(np.shape(value), object)
    out[...] = value
    return out


_FORMS: Mapping[str, Callable[[Any], Array]] = MappingProxyType(
    {
        "value": lambda v: v,
        "sparse_value": lambda v: v,
        "value_float": lambda v: np.array(v, np.float32),
        "value_floats": lambda v: np.array(v, np.float32),
        "value_int": lambda v: np.array(v, np.int64),
        "value_ints": lambda v: np.array(v, np.int64),
        "value_string": _texts,
        "value_strings": _texts,
    }
)


def _constant(scope: Scope, proto: Any) -> Sequence[Value | None]:
    stated = convert_attributes(scope, proto)
    rule = signature("", "Constant", scope.opsets[""])
    if rule is not None:
        check_signature(proto, rule, stated if "value" in stated else {**stated, "value": None})
    forms = [name for name in stated if name in _FORMS]
    if len(forms) != 1 or len(stated) != 1:
        raise InvalidModelError(
            f"{label(proto)} needs exactly one of {', '.join(_FORMS)}; it has {', '.join(stated) or 'none'}"
        )
    name = next((o for o in proto.output if o), "constant")
    array = _FORMS[forms[0]](stated[forms[0]])
    return [scope.graph.add_constant(array, scope.own_name(name), reserved=True)]


HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType({("", "Constant"): _constant})
