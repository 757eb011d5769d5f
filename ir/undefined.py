"""What has no result: integers divided by 0. It is an error of the run, wherever and however the division happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.errors import ExecutionError
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops import find_record, record_of
from arenaut.ir.types import TensorType


def divisor_of(node: Node) -> Value | None:
    """The operand of integers that the node divides by, where one of them may be 0: all but a single number."""
    record = find_record(node.domain, node.op)
    index = None if record is None else record.divisor
    value = None if index is None else node.operand(index)
    if value is None or not isinstance(value.type, TensorType) or not value.type.dtype.is_integer:
        return None
    sure = value.constant is not None and value.constant.size == 1 and bool(np.all(value.constant))
    return None if sure else value


def dividing(node: Node) -> Iterator[Node]:
    """The node, or those in its bodies, that divide by what may be 0."""
    if divisor_of(node) is not None:
        yield node
    for _, body in node.bodies():
        for inner in body.nodes:
            yield from dividing(inner)


def division_by_zero(node: Node, inputs: Sequence[Any] = ()) -> ExecutionError:
    """The error of a node that divided by 0, or one of whose bodies did. inputs: the operands, where known."""
    found = list(dividing(node))
    texts = []
    for each in found or [node]:
        value = divisor_of(each)
        at = record_of(each).divisor
        known = inputs[at] if each is node and at is not None and at < len(inputs) else None
        where = "" if known is None or known.ndim == 0 else f" at {[int(i) for i in np.argwhere(known == 0)[0]]}"
        texts.append(f"{each}" if value is None else f"{each}, whose input {at} ('{value.name}') holds 0{where}")
    return ExecutionError(f"division by zero in {' or '.join(texts)}: integers divided by 0 have no result")
