"""Common subexpressions: equal ops on the same values are computed once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.passes.context import PassContext

# Constants up to this many elements are compared by content; larger ones only by identity.
MAX_COMPARED = 1024


def merge_common_subexpressions(graph: Graph, context: PassContext) -> bool:
    known: dict[Hashable, Node] = {}
    outputs = {id(v) for v in graph.outputs}
    gone: list[Node] = []
    for node in graph.nodes:
        key = _key(node)
        if key is None:
            continue
        first = known.setdefault(key, node)
        if first is node or any(v is not None and id(v) in outputs for v in node.outputs):
            continue
        for old, new in zip(node.outputs, first.outputs, strict=True):
            if old is not None and new is not None:
                graph.replace(old, new)
        gone.append(node)
        context.fired("merge", node)
    graph.remove(gone)
    return bool(gone)


def _key(node: Node) -> Hashable | None:
    if any(True for _ in node.bodies()) or not record_of(node).deterministic:
        return None
    present = tuple(v is not None for v in node.outputs)
    attributes = tuple((k, _hashable(v)) for k, v in sorted(node.attributes.items()))
    return (node.key, tuple(_value_key(v) for v in node.inputs), attributes, present)


def _value_key(value: Value | None) -> Hashable:
    """Values of which every element is known, as a number or by sizes, are the same where the elements are."""
    if value is not None and value.data is not None and value.constant is None:
        return (value.dtype, value.data.shape, tuple(value.data.reshape(-1)))
    if value is None or value.constant is None or value.constant.size > MAX_COMPARED:
        return id(value)
    return _hashable(value.constant)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        content = value.tobytes() if value.dtype.kind != "O" else str(value.tolist())
        return (value.shape, value.dtype, content)
    return tuple(value) if isinstance(value, list) else value
