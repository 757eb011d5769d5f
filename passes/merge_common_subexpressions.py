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
    known = _Known()
    outputs = {id(v) for v in graph.outputs}
    gone: list[Node] = []
    for node in graph.nodes:
        first = known.equal(node)
        if first is None or any(v is not None and id(v) in outputs for v in node.outputs):
            continue
        for old, new in zip(node.outputs, first.outputs, strict=True):
            if old is not None and new is not None:
                graph.replace(old, new)
        gone.append(node)
        context.fired("merge", node)
    graph.remove(gone)
    return bool(gone)


class _Known:
    """Nodes by what they compute. Elements are compared only where all else is equal."""

    def __init__(self) -> None:
        self._alone: dict[Hashable, Node] = {}  # the first node of each outline
        self._exact: dict[Hashable, Node] = {}  # once an outline has come twice

    def equal(self, node: Node) -> Node | None:
        """The first node that computes the same; None when this is the first, or may not be merged."""
        if node.has_bodies or not record_of(node).deterministic:
            return None
        outline = (
            node.op, node.domain, tuple([None if _is_compared(v) else id(v) for v in node.inputs]),
            tuple([v is not None for v in node.outputs]),
        )  # fmt: skip
        alone = self._alone.setdefault(outline, node)
        if alone is node:
            return None
        self._exact.setdefault(_key(alone), alone)
        first = self._exact.setdefault(_key(node), node)
        return None if first is node else first


def _key(node: Node) -> Hashable:
    present = tuple(v is not None for v in node.outputs)
    attributes = tuple((k, _hashable(v)) for k, v in sorted(node.attributes.items()))
    return (node.key, tuple(_value_key(v) for v in node.inputs), attributes, present)


def _is_compared(value: Value | None) -> bool:
    """Whether its elements say what it is, and not its identity."""
    if value is None or value.constant is None:
        return value is not None and value.data is not None
    return value.constant.size <= MAX_COMPARED


def _value_key(value: Value | None) -> Hashable:
    """Values of which every element is known, as a number or by sizes, are the same where the elements are."""
    if value is None or not _is_compared(value):
        return id(value)
    if value.constant is not None:
        return _hashable(value.constant)
    assert value.data is not None
    return (value.dtype, value.data.shape, tuple(value.data.reshape(-1)))


def _hashable(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        content = value.tobytes() if value.dtype.kind != "O" else str(value.tolist())
        return (value.shape, value.dtype, content)
    return tuple(value) if isinstance(value, list) else value
