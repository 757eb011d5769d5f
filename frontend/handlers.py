"""Which handler imports a node of the file: a function of the model, an op of the tables, or the plain way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from arenaut.frontend import bodies, constants, contrib
from arenaut.frontend.functions import function_of, import_call, import_expanded
from arenaut.frontend.nodes import import_plain
from arenaut.frontend.scope import Handler, Scope
from arenaut.frontend.structure import has_bodies, normal_domain
from arenaut.ir import Value

HANDLERS: Mapping[tuple[str, str], Handler] = MappingProxyType(
    {**constants.HANDLERS, **bodies.HANDLERS, **contrib.HANDLERS}
)
"""The ops whose import is more than upgrade and emit, by (domain, op)."""


def handler_of(scope: Scope, proto: Any) -> Handler:
    """Functions win over standard ops of the same name."""
    function = function_of(scope, proto)
    if function is not None:

        def call(inner: Scope, node: Any) -> Sequence[Value | None]:
            return import_call(inner, node, function)

        return call
    found = HANDLERS.get((normal_domain(proto.domain), proto.op_type))
    return found or (import_expanded if has_bodies(proto) else import_plain)
