"""Gather before arithmetic on a table: only the rows that are looked up are converted, scaled or shifted.

Embedding tables of narrow types are stored with scales, and made floats by Cast and Mul. Where the floats are too many
to be kept as a constant, the whole table would be computed in every run for the few rows that the Gather behind reads.
"""

from __future__ import annotations

from collections.abc import Iterator

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import product
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import is_elementwise
from arenaut.ir.undefined import divisor_of
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import is_op

REWRITE = "gather_early"
# A chain of more nodes than this is left alone.
MAX_NODES = 32


def gather_early(graph: Graph, context: PassContext) -> bool:
    """Gather(f(table, ...), indices) to f(Gather(table, indices), ...) for elementwise f of constants."""
    changed = False
    for gather in list(graph.nodes):
        if not is_op(gather, "Gather") or gather.graph is not graph:
            continue
        chain = _chain(gather.operand(0))
        if not chain:
            continue
        reason = _refusal(graph, gather, chain)
        if reason is None:
            _move(graph, gather, chain)
            context.fired(REWRITE, gather)
            changed = True
        elif _holds_table(gather, chain):
            context.missed(REWRITE, gather, reason)
    return changed


def _chain(data: Value) -> list[Node]:
    """The elementwise nodes that data is computed by, each after those it reads; empty where there are none, or too
    many."""
    found: dict[int, Node] = {}
    queue = [data]
    for value in queue:
        node = value.producer
        if node is None or id(node) in found or not is_elementwise(node):
            continue
        found[id(node)] = node
        if len(found) > MAX_NODES:
            return []
        queue += [v for v in node.inputs if v is not None]
    ordered: dict[int, Node] = {}
    stack = [] if data.producer is None or not found else [(data.producer, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            ordered[id(node)] = node
        elif id(node) in found and id(node) not in ordered:
            stack.append((node, True))
            stack += [(v.producer, False) for v in node.inputs if v is not None and v.producer is not None]
    return list(ordered.values())


def _leaves(chain: list[Node]) -> Iterator[Value]:
    """What the chain reads that it does not compute."""
    inside = {id(node) for node in chain}
    return (v for node in chain for v in node.inputs if v is not None and id(v.producer) not in inside)


def _refusal(graph: Graph, gather: Node, chain: list[Node]) -> str | None:
    """Why the gather stays where it is; None where it moves."""
    data, indices = gather.operand(0), gather.operand(1)
    if any(v.constant is None for v in _leaves(chain)):
        return "the table is computed from more than constants"
    if any(divisor_of(node) is not None for node in chain):
        return "an integer is divided by what may be 0, also in rows that are not read"
    rows = data.shape[_axis(gather)] if data.rank else None
    if not isinstance(rows, int) or not indices.has_shape:
        return "the rank of the indices or the number of rows is not known"
    picked = product(indices.shape)
    if rows == 1 or (isinstance(picked, int) and picked >= rows):
        return f"{picked} rows are read of {rows}: no work is saved"
    inside = {id(node) for node in chain}
    for node in chain:
        if graph.is_output(node.output):
            return f"'{node.output.name}' is an output of the graph"
        for user, index in node.output.uses:
            if id(user) not in inside and not (node.output is data and _is_same(user, index, gather)):
                return f"'{node.output.name}' is read by {user} as well"
    return None


def _is_same(user: Node, index: int, gather: Node) -> bool:
    """Whether a use is another gather from the same axis, which may move, too."""
    return user.key == gather.key and index == 0 and _axis(user) == _axis(gather)


def _axis(gather: Node) -> int:
    return int(gather.attr("axis", 0)) % gather.operand(0).rank


def _holds_table(gather: Node, chain: list[Node]) -> bool:
    """Whether a constant of the data's own rank and rows is among the operands."""
    data = gather.operand(0)
    axis = _axis(gather) if data.rank else 0
    return any(
        v.constant is not None and v.rank == data.rank > 0 and v.shape[axis] == data.shape[axis] != 1
        for v in _leaves(chain)
    )


def _move(graph: Graph, gather: Node, chain: list[Node]) -> None:
    """Computes the chain of what is gathered, and drops the nodes that nobody reads any more."""
    build = GraphBuilder(graph, gather, gather.name or "gather")
    behind = gather.operand(0).rank - 1 - _axis(gather)
    made = {id(v): _rows(build, v, behind, gather.operand(1)) for v in {id(v): v for v in _leaves(chain)}.values()}
    for node in chain:
        inputs = [None if v is None else made[id(v)] for v in node.inputs]
        made[id(node.output)] = build.op(node.op, *inputs, domain=node.domain, **node.attributes)
    result = made[id(gather.operand(0))]
    graph.supersede(gather.output, result)
    graph.remove([gather])
    for node in reversed(chain):
        if not node.output.uses:
            graph.remove([node])


def _rows(build: GraphBuilder, constant: Value, behind: int, indices: Value) -> Value:
    """The operand of the gathered chain in place of a constant. behind: dims after the one that rows are picked from;
    broadcasting aligns at the end, so that dim is the same for all operands, absent, or 1 where all rows have the same.
    """
    at = constant.rank - 1 - behind
    if at < 0:
        return constant
    array = constant.constant
    assert array is not None
    if array.shape[at] != 1:
        return build.op("Gather", constant, indices, axis=at)
    if indices.rank == 1:
        return constant
    return build.constant(array.reshape(*array.shape[:at], *[1] * indices.rank, *array.shape[at + 1 :]))
