"""Rotary position embeddings that exporters spell out become the standard op RotaryEmbedding.

    x * cos + rotated(x) * sin                                     rotated: (-second, first), cos and sin twice as wide
    joined(a * cos - b * sin, b * cos + a * sin)                   a, b: first and second of each pair

Pairs are the halves of a head, or neighbours in it. A head of which only a part turns is joined again afterwards. cos
and sin are constants or computed; the doubled ones are followed back to what was doubled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops.support.common import known_ints
from arenaut.ir.types import same_shape, same_type
from arenaut.passes.context import PassContext
from arenaut.passes.rewriting.pattern import Found, Match, Miss, Rule, Rules, is_op, made_by
from arenaut.plain import dataclass

# Nodes between cos or sin and the doubling of their angles.
MAX_DEPTH = 12
# Ops whose result at an index of the last axis depends on their operands at that index only.
_POINTWISE = ("Cos", "Sin", "Cast", "Mul", "Div", "Identity")
_AROUND = ("Unsqueeze", "Squeeze", "Reshape", "Expand", "Transpose")


def raise_rotary(graph: Graph, context: PassContext) -> bool:
    """Only where a kernel does the whole."""
    return "Rotary" in context.target.families and Rules(_RULES).apply(graph, context)


@dataclass(frozen=True)
class _Part:
    """The first (0) or second (1) elements of the pairs of x's last axis; paired: neighbours, else halves."""

    x: Value
    which: int
    paired: bool
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class _Found(Match):
    paired: bool = False
    doubled: bool = False  # cos and sin are as wide as x


# -- pairs -------------------------------------------------------------------------------------------------------------


def _part(value: Value) -> _Part | None:
    node = value.producer
    if node is None or node.domain != "" or not value.has_shape or not node.operand(0).has_shape:
        return None
    if node.op == "Slice":
        return _sliced(node)
    if node.op == "Split":
        x = node.operand(0)
        whole = len(node.outputs) == 2 and node.attr("axis", 0) % x.rank == x.rank - 1
        other = next(o for o in node.outputs if o is not value) if whole else None
        same = other is not None and bool(same_shape(other.shape, value.shape))
        return _Part(x, int(node.outputs[1] is value), False, (node,)) if same else None
    if node.op in ("Gather", "Squeeze", "Reshape"):
        return _picked(node)
    return None


def _window(node: Node) -> tuple[int, int] | None:
    """Start and step of a Slice of the last axis alone."""
    x = node.operand(0)
    starts, axes = known_ints(node.operand(1).data), node.input(3)
    chosen = (
        list(range(len(starts))) if axes is None and starts is not None else known_ints(axes.data if axes else None)
    )
    steps = [1] if node.input(4) is None else known_ints(node.operand(4).data)
    if starts is None or steps is None or chosen is None or len(starts) != 1 or chosen[0] % x.rank != x.rank - 1:
        return None
    size = x.shape[-1]
    return (starts[0] + size if starts[0] < 0 else starts[0], steps[0]) if isinstance(size, int) else None


def _sliced(node: Node) -> _Part | None:
    window, x = _window(node), node.operand(0)
    size, count = x.shape[-1], node.output.shape[-1]
    if window is None or not isinstance(size, int) or count * 2 != size:
        return None
    if window in ((0, 1), (size // 2, 1)):
        return _Part(x, int(window[0] > 0), False, (node,))
    return _Part(x, window[0], True, (node,)) if window in ((0, 2), (1, 2)) else None


def _picked(node: Node) -> _Part | None:
    """One of the two columns of x seen as pairs."""
    column: int | None = None
    nodes: tuple[Node, ...] = (node,)
    source = node.operand(0)
    if node.op == "Gather":
        index = known_ints(node.operand(1).data)
        if index is None or node.operand(1).rank != 0 or int(node.attr("axis", 0)) % source.rank != source.rank - 1:
            return None
        column = index[0] % 2
    else:
        cut = source.producer
        if cut is None or not is_op(cut, "Slice", "Split") or not cut.operand(0).has_shape:
            return None
        nodes, whole = (node, cut), cut.operand(0)
        if cut.op == "Slice":
            window = _window(cut)
            column = None if window is None or window[1] != 1 else window[0]
        elif cut.attr("axis", 0) % whole.rank == whole.rank - 1 and len(cut.outputs) == 2:
            column = int(cut.outputs[1] is source)
        if source.shape[-1] != 1 or not same_shape(node.output.shape, whole.shape[:-1]):
            return None
        source = whole
    pairs = made_by(source, "Reshape")
    if pairs is None or column is None or source.shape[-1] != 2 or not pairs.operand(0).has_shape:
        return None
    x = pairs.operand(0)
    if x.rank != source.rank - 1 or x.shape[:-1] != source.shape[:-2]:
        return None
    return _Part(x, column, True, (*nodes, pairs))


def _pair_of(a: Value, b: Value) -> tuple[_Part, tuple[Node, ...]] | None:
    """a and b as the first and second of the pairs of one value."""
    first, second = _part(a), _part(b)
    if first is None or second is None or first.x is not second.x or first.paired != second.paired:
        return None
    return (first, (*first.nodes, *second.nodes)) if (first.which, second.which) == (0, 1) else None


def _joined(value: Value, ones: bool = False) -> tuple[Value, Value, bool, tuple[Node, ...]] | None:
    """The two values that make the first and second of the pairs of value; whether pairs are neighbours. ones: they
    may lack, or have, dims of one."""
    node = made_by(value, "Concat", "Reshape")
    if node is None or not value.has_shape:
        return None
    if node.op == "Concat":
        if len(node.inputs) != 2 or int(node.attr("axis")) % value.rank != value.rank - 1:
            return None
        return node.operand(0), node.operand(1), False, (node,)
    stacked = made_by(node.operand(0), "Concat")
    if stacked is None or len(stacked.inputs) != 2 or not stacked.output.has_shape:
        return None
    wide = stacked.output
    if int(stacked.attr("axis")) % wide.rank != wide.rank - 1 or wide.shape[-1] != 2:
        return None
    columns = [made_by(v, "Unsqueeze", "Reshape") for v in stacked.inputs]
    if any(c is None or c.operand(0).type is None or not c.operand(0).has_shape for c in columns):
        return None
    ends = [c.operand(0) for c in columns if c is not None]
    same = _without_ones(value.shape[:-1]) == _without_ones(wide.shape[:-2]) and value.shape[-1] == wide.shape[-2] * 2
    if any(not same_shape(e.shape, wide.shape[:-1]) for e in ends) or not same:
        return None
    if not ones and value.shape[:-1] != wide.shape[:-2]:
        return None
    return ends[0], ends[1], True, (node, stacked, *(c for c in columns if c is not None))


def _without_ones(shape: Sequence[object]) -> list[object]:
    return [d for d in shape if d != 1]


# -- finding -----------------------------------------------------------------------------------------------------------


def _products(node: Node) -> Iterator[tuple[Value, Value, Node]]:
    """Both ways to read a product."""
    yield node.operand(0), node.operand(1), node
    yield node.operand(1), node.operand(0), node


def _find_turned(add: Node) -> Found:
    """x * cos + rotated(x) * sin."""
    terms = [made_by(v, "Mul") for v in add.inputs]
    if len(terms) != 2 or any(t is None for t in terms):
        return None
    for plain, other in (terms, terms[::-1]):
        assert plain is not None and other is not None
        for rotated, sin, _ in _products(other):
            found = _rotated(rotated)
            if found is None:
                continue
            part, nodes = found
            for x, cos, _ in _products(plain):
                if x is part.x:
                    return _checked(_Found(
                        add, {"x": x, "cos": cos, "sin": sin}, _once(add, plain, other, *nodes), part.paired, True
                    ))  # fmt: skip
            return Miss(f"'{part.x.name}' is turned, but not added to itself")
    return None


def _rotated(value: Value) -> tuple[_Part, tuple[Node, ...]] | None:
    """(-second, first) of the pairs of a value."""
    joined = _joined(value)
    if joined is None:
        return None
    minus, first, paired, nodes = joined
    negated = made_by(minus, "Neg")
    if negated is None:
        return None
    pair = _pair_of(first, negated.operand(0))
    return (pair[0], (*nodes, negated, *pair[1])) if pair is not None and pair[0].paired == paired else None


def _find_joined(root: Node) -> Found:
    """joined(a * cos - b * sin, b * cos + a * sin)."""
    joined = _joined(root.output)
    if joined is None:
        return None
    real, imaginary, paired, nodes = joined
    minus, plus = made_by(real, "Sub"), made_by(imaginary, "Add")
    products = [made_by(v, "Mul") for n in (minus, plus) if n is not None for v in n.inputs]
    if len(products) != 4 or any(p is None for p in products):
        return None
    p, q, r, s = (n for n in products if n is not None)
    for a, cos, _ in _products(p):
        for b, sin, _ in _products(q):
            pair = _pair_of(a, b)
            if pair is None or pair[0].paired != paired or minus is None or plus is None:
                continue
            if not any(_is_product(m, b, cos) and _is_product(n, a, sin) for m, n in ((r, s), (s, r))):
                return Miss("sines and cosines are not those of one turn")
            covered = _once(*nodes, minus, plus, p, q, r, s, *pair[1])
            return _checked(_Found(root, {"x": pair[0].x, "cos": cos, "sin": sin}, covered, paired, False))
    return None


def _once(*nodes: Node) -> tuple[Node, ...]:
    return tuple({id(n): n for n in nodes}.values())


def _is_product(node: Node, a: Value, b: Value) -> bool:
    return any(node.operand(i) is a and node.operand(1 - i) is b for i in (0, 1))


def _heads_axis(match: _Found) -> int | None:
    """Which axis of x [B, H, S, D] or [B, S, H, D] has one angle for all."""
    x, size = match["x"], match["x"].shape[-1]
    width = size if match.doubled else size // 2 if isinstance(size, int) else None
    for axis in (1, 2):
        if all(
            v.has_shape and v.shape[-1] == width and v.rank <= 4 and _extents(v)[axis] == 1
            and _extents(v)[3 - axis] == x.shape[3 - axis] and _extents(v)[0] in (1, x.shape[0])
            for v in (match["cos"], match["sin"])
        ):  # fmt: skip
            return axis
    return None


def _extents(value: Value) -> tuple[object, ...]:
    return (*(1,) * (4 - value.rank), *value.shape)


def _checked(match: _Found) -> Found:
    x, cos, sin = match["x"], match["cos"], match["sin"]
    size = x.shape[-1]
    fits = x.rank == 4 and isinstance(size, int) and x.dtype.is_float
    if not fits or not same_type(match.root.output.type, x.type):
        return Miss(f"'{x.name}' is {x.type}, expected four axes and a known head size")
    if cos.type is None or cos.dtype != x.dtype or sin.dtype != x.dtype:
        return Miss("cos and sin have another element type")
    axis = _heads_axis(match)
    if axis is None:
        return Miss(f"angles {cos.type} differ between the heads of {x.type}")
    if axis == 2 and not isinstance(x.shape[2], int):
        return Miss(f"'{x.name}' is {x.type}, expected a known number of heads")
    for v in (cos, sin) if match.doubled else ():
        if not _doubled(v, match.paired):
            return Miss(f"'{v.name}' has not one angle for both elements of a pair")
    return match


# -- doubled angles ----------------------------------------------------------------------------------------------------


def _doubled(value: Value, paired: bool, depth: int = 0) -> bool:
    """Whether the last axis holds each angle twice: for the elements of a pair."""
    if not value.has_shape or value.rank == 0 or depth > MAX_DEPTH:
        return False
    if value.constant is not None:
        a, b = _columns(value.constant, paired)
        return bool(np.array_equal(a, b))
    node = value.producer
    if node is None or node.domain != "" or node.outputs[0] is not value:
        return False
    if _doubling(value, paired) is not None:
        return True
    if node.op in _POINTWISE:
        wide = [v for v in node.inputs if v is not None and v.has_shape and v.rank and v.shape[-1] != 1]
        return bool(wide) and all(_doubled(v, paired, depth + 1) for v in wide)
    if node.op == "Gather":
        table = node.operand(0)
        return table.has_shape and table.rank > 1 and int(node.attr("axis", 0)) % table.rank == 0 and (
            _doubled(table, paired, depth + 1)
        )  # fmt: skip
    return node.op in _AROUND and _keeps_last(node) and _doubled(node.operand(0), paired, depth + 1)


def _columns(array: np.ndarray, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    half = array.shape[-1] // 2
    return (array[..., ::2], array[..., 1::2]) if paired else (array[..., :half], array[..., half:])


def _doubling(value: Value, paired: bool) -> Value | None:
    """What is joined with itself to make value."""
    joined = _joined(value, ones=True)
    if joined is not None and joined[0] is joined[1] and joined[2] == paired:
        return joined[0]
    flat = made_by(value, "Reshape")
    spread = made_by(flat.operand(0), "Expand") if flat is not None and paired else None
    apart = made_by(spread.operand(0), "Unsqueeze", "Reshape") if spread is not None else None
    if spread is None or apart is None or not apart.operand(0).has_shape or not spread.output.has_shape:
        return None
    source, wide = apart.operand(0), spread.output
    same = same_shape(wide.shape, (*source.shape, 2)) and same_shape(apart.output.shape, (*source.shape, 1))
    return source if same and _without_ones(value.shape[:-1]) == _without_ones(source.shape[:-1]) else None


def _keeps_last(node: Node) -> bool:
    """Whether the last axis, larger than one, stays the last axis."""
    source, target = node.operand(0), node.output
    if not source.has_shape or not source.rank or not target.rank or source.shape[-1] != target.shape[-1]:
        return False
    perm = node.attr("perm")
    return source.shape[-1] != 1 and (node.op != "Transpose" or (perm is not None and perm[-1] == source.rank - 1))


def _single(build: GraphBuilder, value: Value, paired: bool) -> Value:
    """One angle a pair, of a value for which `_doubled` holds."""
    if value.constant is not None:
        return build.constant(np.ascontiguousarray(_columns(value.constant, paired)[0]))
    source = _doubling(value, paired)
    if source is not None:
        return source if source.shape[:-1] == value.shape[:-1] else _reshaped(build, source, value)
    node = value.producer
    assert node is not None
    if node.op in _POINTWISE:
        inputs = [
            _single(build, v, paired) if v is not None and v.rank and v.shape[-1] != 1 else v for v in node.inputs
        ]
        return build.op(node.op, *inputs, **node.attributes)
    inner = _single(build, node.operand(0), paired)
    if node.op == "Reshape":
        return _reshaped(build, inner, value)
    if node.op == "Expand":
        lead = build.op("Shape", value, start=0, end=value.rank - 1)
        shape = build.op("Concat", lead, build.constant(np.array([1], np.int64)), axis=0)
        return build.op("Expand", inner, shape)
    return build.op(node.op, inner, *node.inputs[1:], **node.attributes)


def _reshaped(build: GraphBuilder, value: Value, like: Value) -> Value:
    """value under the leading dims of another."""
    lead = build.op("Shape", like, start=0, end=like.rank - 1)
    shape = build.op("Concat", lead, build.constant(np.array([-1], np.int64)), axis=0)
    return build.op("Reshape", value, shape, allowzero=0)


# -- rewriting ---------------------------------------------------------------------------------------------------------


def _raise(build: GraphBuilder, match: Match) -> Value:
    assert isinstance(match, _Found)
    x, axis = match["x"], _heads_axis(match)
    assert axis is not None
    tables = []
    for v in (match["cos"], match["sin"]):
        narrow = _single(build, v, match.paired) if match.doubled else v
        tables.append(_table(build, narrow, x, axis))
    if axis == 1:
        return build.op("RotaryEmbedding", x, *tables, interleaved=int(match.paired), rotary_embedding_dim=0)
    flat = build.op("Reshape", x, build.constant(np.array([0, 0, -1], np.int64)), allowzero=0)
    heads, size = x.shape[2:]
    turned = build.op(
        "RotaryEmbedding", flat, *tables, interleaved=int(match.paired), num_heads=heads, rotary_embedding_dim=0
    )
    apart = build.constant(np.array([0, 0, heads, size], np.int64))
    return build.op("Reshape", turned, apart, allowzero=0)


def _table(build: GraphBuilder, value: Value, x: Value, axis: int) -> Value:
    """[B, S, width / 2], of angles that may lack the batch axis and have a one for the heads."""
    while value.rank < 4:
        value = build.op("Unsqueeze", value, build.constant(np.array([0], np.int64)))
    value = build.op("Squeeze", value, build.constant(np.array([axis], np.int64)))
    if value.shape[0] == x.shape[0]:
        return value
    shape = build.op("Concat", _batch(build, x), build.constant(np.array([1, 1], np.int64)), axis=0)
    return build.op("Expand", value, shape)


def _batch(build: GraphBuilder, x: Value) -> Value:
    """The first dim of x, from an input of the graph where one has it: a reader of x would be in the way of others."""
    size = x.shape[0]
    if isinstance(size, int):
        return build.constant(np.array([size], np.int64))
    places = ((v, i) for v in (*build.graph.inputs, x) if v.has_shape for i, d in enumerate(v.shape) if d == size)
    value, axis = next(places)
    return build.op("Shape", value, start=axis, end=axis + 1)


# -- heads that turn in part -------------------------------------------------------------------------------------------


def _find_partial(node: Node) -> Found:
    """joined(rotary(first elements), the rest)."""
    if len(node.inputs) != 2 or not node.output.has_shape or node.output.rank != 4:
        return None
    turn = made_by(node.operand(0), "RotaryEmbedding")
    rest = made_by(node.operand(1), "Slice")
    start = made_by(turn.operand(0), "Slice") if turn is not None else None
    split = turn.operand(0).producer if turn is not None else None
    if turn is None or int(node.attr("axis")) % 4 != 3 or turn.attr("rotary_embedding_dim", 0):
        return None
    if split is not None and is_op(split, "Split"):
        whole = len(split.outputs) == 2 and split.operand(0).has_shape and split.attr("axis", 0) % 4 == 3
        if not whole or split.outputs[0] is not turn.operand(0) or split.outputs[1] is not node.operand(1):
            return Miss("the parts are not those of one head")
        return Match(node, {"x": split.operand(0)}, (node, turn, split))
    if rest is None or start is None or start.operand(0) is not rest.operand(0):
        return None
    x, width = start.operand(0), start.output.shape[-1]
    if _window(start) != (0, 1) or _window(rest) != (width, 1) or not same_type(x.type, node.output.type):
        return Miss("the parts are not those of one head")
    return Match(node, {"x": x}, (node, turn, start, rest))


def _raise_partial(build: GraphBuilder, match: Match) -> Value:
    turn = match.nodes[1]
    attributes = {**turn.attributes, "rotary_embedding_dim": turn.operand(0).shape[-1]}
    return build.op("RotaryEmbedding", match["x"], *turn.inputs[1:], **attributes)


_RULES = (
    Rule("rotary", ("Add",), _find_turned, _raise),
    Rule("rotary", ("Concat", "Reshape"), _find_joined, _raise),
    Rule("rotary_part", ("Concat",), _find_partial, _raise_partial, priority=1),
)
