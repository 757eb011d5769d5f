"""Constant folding through the records' evaluators, and of values whose elements inference knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arenaut.ir.errors import ArenautError
from arenaut.ir.evaluate import evaluate_node
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.infer import infer_again
from arenaut.ir.ops import record_of
from arenaut.ir.types import TensorType
from arenaut.passes.context import PassContext

# Of arithmetic on constants so many nodes are looked at to see what becomes of a result.
MAX_VISITED = 32
# Bytes of a constant that are worth being kept as they are until all know what reads them.
FEWEST_BYTES = 4096


def fold_constants(graph: Graph, context: PassContext) -> bool:
    """Replaces nodes by constants; results that grow the model by more than the limit are left to run, and those that
    widen stored elements are left to `fold_again`. Types and known elements of all that stays are inferred again,
    unless the graph is as it was imported, with both."""
    untouched = not context.events and all(v is None or v.type is not None for n in graph.nodes for v in n.outputs)
    stale = set() if untouched else {id(n) for n in graph.nodes}
    return _fold(graph, context, stale, _widens_stored)


def _widens_stored(node: Node) -> bool:
    """Whether the node makes wider elements of those that the file stores: it dequantises, or casts many bytes."""
    if record_of(node).widens:
        return True
    stored = node.inputs[0] if len(node.inputs) == 1 else None
    if stored is None or stored.constant is None or stored.constant.dtype.kind not in "iu":
        return False
    return stored.constant.itemsize == 1 and stored.constant.size >= FEWEST_BYTES and node.output.dtype.is_float


def fold_again(graph: Graph, context: PassContext) -> bool:
    """As `fold_constants` where the types hold already: only what reads a new constant is inferred again, and what
    reads a value of which more became known."""
    return _fold(graph, context, set())


def _fold(
    graph: Graph, context: PassContext, stale: set[int], later: Callable[[Node], bool] = lambda node: False
) -> bool:
    """stale: ids of nodes to infer again; grows by the readers of what changes. later: nodes not to fold yet."""
    folded: list[Node] = []
    for node in graph.nodes:
        results = None if later(node) else _known(node) or _evaluated(node, context)
        if results is None and id(node) in stale and infer_again(node):
            stale.update(_readers(node))
            results = None if later(node) else _known(node)
        if results is None:
            continue
        stale.update(_readers(node))
        for old, array in zip(node.outputs, results, strict=False):
            if old is not None:
                new = graph.add_constant(array, old.name)
                graph.replace(old, new)
        folded.append(node)
        context.fired("fold", node)
    graph.remove(folded)
    return bool(folded)


def _readers(node: Node) -> set[int]:
    return {id(user) for v in node.outputs if v is not None for user, _ in v.uses}


def _known(node: Node) -> list[np.ndarray] | None:
    """Outputs whose elements inference knows as numbers (shape arithmetic of static dims)."""
    results = []
    for out in node.outputs:
        if out is None or out.data is None or not all(isinstance(d, int) for d in out.data.flat):
            return None
        results.append(out.data.astype(out.dtype.numpy))
    return results


def _evaluated(node: Node, context: PassContext) -> list[np.ndarray] | None:
    if any(v is not None and v.constant is None for v in node.inputs) or node.has_bodies:
        return None
    record = record_of(node)
    tensors = [v.type for v in node.outputs if v is not None]
    if not record.deterministic or not all(isinstance(t, TensorType) for t in tensors):
        return None
    size = sum(_bytes(v) for v in node.outputs if v is not None)
    given = sum(v.constant.nbytes for v in node.inputs if v is not None and v.constant is not None)
    if size > given + context.fold_limit_bytes and not _packed(node):
        context.missed("fold", node, f"the result of {size} bytes would blow up {given} bytes of constants")
        return None
    try:
        results = evaluate_node(node, [None if v is None else v.constant for v in node.inputs])
    except ArenautError as error:
        context.missed("fold", node, str(error))
        return None
    return [np.asarray(r) for r in results]


def _packed(node: Node) -> bool:
    """Whether the results become weights of products or convolutions and nothing else, perhaps through more arithmetic
    on constants: those are packed, and nothing else is kept."""
    queue, seen = [node], {id(node)}
    for current in queue:
        made = [v for v in current.outputs if v is not None]
        users = [use for v in made for use in v.uses]
        if not users or len(queue) > MAX_VISITED:
            return False
        if current.graph is None or any(current.graph.is_output(v) for v in made):
            return False
        for user, index in users:
            if index > 0 and record_of(user).anchor:
                continue
            if not _remakes(user) or not all(v is None or _from_constants(v, seen) for v in user.inputs):
                return False
            if id(user) not in seen:
                seen.add(id(user))
                queue.append(user)
    return True


def _remakes(node: Node) -> bool:
    """Whether the node makes other elements, or another arrangement, of what it is given."""
    record = record_of(node)
    return len(node.outputs) == 1 and (record.is_elementwise(node) or record.arranges)


def _from_constants(value: Value, seen: set[int]) -> bool:
    """Whether the value is computed from constants alone, or by nodes of which that is known. seen: their ids."""
    queue = [value]
    for current in queue:
        maker = current.producer
        if current.constant is not None or id(maker) in seen:
            continue
        if maker is None or len(queue) > MAX_VISITED:
            return False
        if not record_of(maker).deterministic or maker.has_bodies:
            return False
        queue += [v for v in maker.inputs if v is not None]
    return True


def _bytes(value: Value) -> int:
    size = value.dtype.itemsize
    for d in value.shape if value.has_shape else (1 << 40,):
        size *= d if isinstance(d, int) else 1 << 40
    return size
