"""What a mask on attention scores says, and the least that has to be computed for it.

A mask is read as conditions that must all hold: those that always hold are dropped, a causal one becomes a flag, the
others stay. What a mask repeats for every query, head or batch is not repeated: the kernel reads one row for all.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.elements import causal
from arenaut.ir.graph import ARENAUT_DOMAIN, Node, Value
from arenaut.ir.ops import is_elementwise
from arenaut.passes.reading.elements import choice, coordinates, element
from arenaut.passes.rewriting.pattern import is_op, made_by, number_of
from arenaut.plain import dataclass

# Added to any score of ordinary size, a number below this gives one whose exponential beside another is zero.
FORBIDDING = -1e30


@dataclass(frozen=True)
class Mask:
    """causal: no key after the query. bias: added to the scores. allowed: conditions that keep a score where all hold,
    or, inverted, the one that forbids it; forbidden: what is added elsewhere."""

    causal: bool = False
    bias: Value | None = None
    allowed: tuple[Value, ...] = ()
    inverted: bool = False
    forbidden: float = -math.inf


NO_MASK = Mask()


# -- reading ---------------------------------------------------------------------------------------------------------


def read_bias(mask: Value, guarded: bool, queries: Dim, keys: Dim) -> Mask | str:
    """A mask that is added; a text says why Attention cannot. guarded: rows of NaN are made zeros afterwards."""
    reason = _unfit(mask, queries, keys)
    if reason is not None:
        return reason
    found = choice(mask, coordinates(mask.rank))
    if found is not None and found.yes == found.no == 0:
        return NO_MASK
    if is_causal_bias(mask):
        return Mask(causal=True)
    infinite = mask.constant is not None and bool(np.isneginf(mask.constant).any())
    if mask.constant is not None and infinite and not guarded and bool(np.isneginf(mask.constant).all(axis=-1).any()):
        return f"a row of '{mask.name}' forbids every key"
    chosen = made_by(mask, "Where")
    for index in (1, 2) if chosen is not None else ():
        assert chosen is not None
        number = number_of(chosen.operand(index))
        if number is None or number > FORBIDDING:
            continue
        if number == -math.inf and not guarded:
            return f"a row of '{mask.name}' may forbid every key, which gives NaN"
        if number_of(chosen.operand(3 - index)) == 0 and _unfit(chosen.operand(0), queries, keys) is None:
            return read_condition(chosen.operand(0), index == 1, number, guarded, queries, keys)
    return Mask(bias=mask)


def read_condition(
    condition: Value, inverted: bool, forbidden: float, guarded: bool, queries: Dim, keys: Dim
) -> Mask | str:
    """Scores that stay where the condition holds (or, inverted, where it does not)."""
    reason = _unfit(condition, queries, keys)
    if reason is not None:
        return reason
    if inverted:
        allowed = _denied_by(condition)
        if allowed is not None:
            return read_condition(allowed, False, forbidden, guarded, queries, keys)
    if _is_causal(condition, inverted):
        return Mask(causal=True)
    conditions = [condition] if inverted else [c for c in conjuncts(condition) if not _holds(c)]
    if not conditions:
        return NO_MASK
    if forbidden == -math.inf and not guarded:
        return f"a row of '{condition.name}' may forbid every key, which gives NaN"
    if inverted:
        return Mask(allowed=(condition,), inverted=True, forbidden=forbidden)
    rest = tuple(c for c in conditions if not _is_causal(c, False))
    if len(rest) == len(conditions) or forbidden != -math.inf:
        return Mask(allowed=tuple(conditions), forbidden=forbidden)
    return Mask(causal=True, allowed=rest, forbidden=forbidden)


def _denied_by(condition: Value) -> Value | None:
    """What the condition is the contrary of."""
    node = made_by(condition, "Not")
    return None if node is None else node.operand(0)


def conjuncts(condition: Value) -> list[Value]:
    """Conditions that all hold where this one does, and only there."""
    node = made_by(condition, "And", "Expand")
    if node is None or condition.rank > 4:
        return [condition]
    parts = [node.operand(0)] if is_op(node, "Expand") else [node.operand(0), node.operand(1)]
    if any(not p.has_shape or not p.rank for p in parts):
        return [condition]
    return list({id(c): c for p in parts for c in conjuncts(p)}.values())


def _holds(condition: Value) -> bool:
    return condition.has_shape and element(condition, coordinates(condition.rank)) == 1


def _is_causal(condition: Value, inverted: bool) -> bool:
    if condition.rank < 2:
        return False
    at = coordinates(condition.rank)
    kept = element(condition, at)
    return kept is not None and (1 - kept if inverted else kept) == causal(at[-2], at[-1])


def is_causal_bias(mask: Value) -> bool:
    """Whether a float mask adds 0 where the key is not after the query, and forbids it elsewhere: a constant, or made
    from nothing but sizes."""
    if mask.rank < 2:
        return False
    at = coordinates(mask.rank)
    found = choice(mask, at)
    if found is None:
        return False
    allowed = causal(at[-2], at[-1])
    if found.condition == allowed:
        return found.yes == 0 and found.no <= FORBIDDING
    return found.condition == 1 - allowed and found.no == 0 and found.yes <= FORBIDDING


def _unfit(mask: Value, queries: Dim, keys: Dim) -> str | None:
    if not mask.has_shape or mask.rank > 4 or mask.rank < 1 or mask.shape[-1] != keys:
        return f"the mask '{mask.name}' is {mask.type}, for {keys} keys"
    if mask.rank > 1 and mask.shape[-2] not in (1, queries):
        return f"the mask '{mask.name}' is {mask.type}, for {queries} queries"
    return None


# -- writing ---------------------------------------------------------------------------------------------------------


def mask_operand(build: GraphBuilder, mask: Mask, dtype: DType) -> Value | None:
    """The operand of Attention. Booleans forbid as minus infinity does; those that stood for a finite number are added
    as that."""
    if mask.bias is not None:
        return narrow(build, mask.bias)
    if not mask.allowed:
        return None
    keys = max((c for c in mask.allowed), key=lambda c: c.rank).shape[-1]
    parts = [narrow(build, c) for c in mask.allowed]
    every = reduce(lambda a, b: build.op("And", a, b), parts)
    if every.shape[-1] != keys:  # a condition on queries alone
        every = reduce(lambda a, b: build.op("And", a, b), mask.allowed)
    if mask.forbidden == -math.inf:
        return build.op("Not", every) if mask.inverted else every
    numbers = [build.constant(np.array(n, dtype.numpy)) for n in (0, mask.forbidden)]
    return build.op("Where", every, *(numbers[::-1] if mask.inverted else numbers))


def narrow(build: GraphBuilder, value: Value) -> Value:
    """The value without what Expand repeats in it, looking through elementwise ops: it broadcasts to the same, and its
    last axis stays as long."""
    result = _narrowed(build, value, {})
    fits = result.has_shape and result.rank > 0 and result.shape[-1] == value.shape[-1]
    return result if fits else value


def narrows(value: Value) -> bool:
    """Whether `narrow` would give another value."""
    queue, seen = [value], {id(value)}
    for current in queue:
        node = current.producer
        if node is None or not current.has_shape or current.rank > 4 or node.domain == ARENAUT_DOMAIN:
            continue
        if is_op(node, "Expand") or (is_op(node, "And") and any(map(_holds_operand, node.inputs))):
            return True
        for v in node.inputs if is_elementwise(node) else ():
            if v is not None and id(v) not in seen:
                seen.add(id(v))
                queue.append(v)
    return False


def _holds_operand(value: Value | None) -> bool:
    return value is not None and _holds(value)


def _narrowed(build: GraphBuilder, value: Value, known: dict[int, Value]) -> Value:
    node = value.producer
    if node is None or not value.has_shape or value.rank > 4 or node.domain == ARENAUT_DOMAIN:
        return value
    if id(value) not in known:
        known[id(value)] = _narrowed_node(build, node, known)
    return known[id(value)]


def _narrowed_node(build: GraphBuilder, node: Node, known: dict[int, Value]) -> Value:
    if is_op(node, "Expand"):
        return _narrowed(build, node.operand(0), known)
    if not is_elementwise(node) or any(v is None for v in node.inputs):
        return node.output
    before = [v for v in node.inputs if v is not None]
    if is_op(node, "And"):
        kept = [v for v in before if not _holds(v)]
        if len(kept) == 1:
            return _narrowed(build, kept[0], known)
    inputs = [_narrowed(build, v, known) for v in before]
    if all(a is b for a, b in zip(inputs, before, strict=True)):
        return node.output
    return build.op(node.op, *inputs, **node.attributes)
