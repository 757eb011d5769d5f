"""Where tensors lie in memory: convolutional regions have their channels innermost.

A layout is nothing but the order of a value's strides (`Value.order`), so no node is added: a convolution at the border
of a region reads what it is given and writes what is chosen, and a transpose that exporters put around NHWC layers is a
view of the very order that is wanted.

A region is what convolutions, pools, the ops that work alike in any layout, and views hang together. It is laid out as
a whole, by what its windows gain: vectors run over channels where there are enough of them, else over pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from arenaut.ir.dims import Dim, evaluate, product
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.ops import record_of
from arenaut.ir.ops.fused import FUSED
from arenaut.ir.place import Place, ordered_strides
from arenaut.ir.record import OpRecord
from arenaut.passes.context import PassContext
from arenaut.plain import dataclass

Order = tuple[int, ...]

# Windows over fewer channels than this fill vectors with pixels of a row instead.
MIN_CHANNELS = 8
# What a symbolic size counts for when strides and work are compared.
_SIZE = 4096


def choose_layouts(graph: Graph, context: PassContext) -> bool:
    """Sets `Value.order` of what the graph's nodes make. Run last: later rewrites would not keep it."""
    roles = [_Role.of(node) for node in graph.nodes]
    regions = _regions(roles)
    places = _Places(roles)
    changed = False
    wanted = _wanted(roles, regions)
    for role in roles:
        inside = regions.lays_out(role)
        for value, order in _orders(role, inside, wanted, places):
            places.made(value, order)
            kept = None if order is None or order == tuple(range(len(order))) else order
            changed = changed or value.order != kept
            value.order = kept
        if role.windows and inside:
            context.fired("channels_last", role.node)
        elif role.windows:
            context.missed("channels_last", role.node, "the windows of its region have too few channels for vectors")
    return changed


def channels_last(rank: int) -> Order:
    return (0, *range(2, rank), 1)


@dataclass(frozen=True)
class _Role:
    """A node as layouts see it. core: the op, of a fused node the anchor or else the elementwise ops.

    source: the value that the op's input 0 is. tied: the values that had best share one layout.
    """

    node: Node
    record: OpRecord
    core: Node
    source: Value | None
    tied: tuple[Value, ...]

    @staticmethod
    def of(node: Node) -> _Role:
        body, core = node.attr("body"), node
        source = node.input(0)
        if isinstance(body, Graph) and not record_of(node).is_elementwise(node) and node.key == FUSED:
            core = next((n for n in body.nodes if not record_of(n).is_elementwise(n)), body.nodes[0])
            inner = {id(v): outer for v, outer in zip(body.inputs, node.inputs, strict=True)}
            first = core.input(0)
            source = None if first is None else inner.get(id(first))
        record = record_of(core)
        role = _Role(node, record, core, source, ())
        first_out = node.outputs[0]  # may be absent: a recurrent layer's Y
        if first_out is None or not first_out.has_shape:
            return role
        if record.layout == "" and not record.is_elementwise(core) and record.view is None:
            return role
        rank = first_out.rank
        tied = [v for v in node.outputs if v is not None and v.has_shape and v.rank == rank]
        if record.view is not None or record.layout == "channels":
            tied += [] if source is None else [source]
        else:
            tied += [v for v in node.inputs if v is not None and v.has_shape and v.rank == rank]
        return _Role(node, record, core, source, tuple(v for v in tied if v.producer is not None and v.has_shape))

    @property
    def windows(self) -> bool:
        return self.record.layout == "channels" and bool(self.tied)

    @property
    def follows(self) -> bool:
        return self.record.layout == "follow" or (self.record.is_elementwise(self.core) and self.record.view is None)


# -- regions -------------------------------------------------------------------------------------------------------


class _Regions:
    """Sets of values that are laid out together, each with what channels-last would gain."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._gain: dict[int, int] = defaultdict(int)

    def find(self, value: Value) -> int:
        at = self._parent.setdefault(id(value), id(value))
        while self._parent[at] != at:
            self._parent[at] = self._parent[self._parent[at]]
            at = self._parent[at]
        return at

    def join(self, values: Sequence[Value]) -> None:
        first = self.find(values[0])
        for value in values[1:]:
            other = self.find(value)
            if other != first:
                self._parent[other] = first
                self._gain[first] += self._gain.pop(other, 0)

    def vote(self, value: Value, gain: int) -> None:
        self._gain[self.find(value)] += gain

    def lays_out(self, role: _Role) -> bool:
        return bool(role.tied) and self._gain.get(self.find(role.tied[0]), 0) > 0


def _regions(roles: Sequence[_Role]) -> _Regions:
    regions = _Regions()
    for role in roles:
        if role.tied:
            regions.join(role.tied)
        if role.windows:
            regions.vote(role.tied[0], _gain(role))
    return regions


def _gain(role: _Role) -> int:
    """The node's work, negative where its channels are too few; of grouped products those of a group count."""
    rule = role.record.flops
    work = 1 if rule is None else max(1, _number(rule(role.core)))
    out = role.core.output.shape[1]
    channels = _number(out)
    if "group" in role.core.attributes:
        group = int(role.core.attr("group", 1))
        depthwise = role.core.operand(0).shape[1] == group
        channels = channels if depthwise else channels // max(1, group)
    return work if channels >= MIN_CHANNELS else -work


def _wanted(roles: Sequence[_Role], regions: _Regions) -> set[int]:
    """Values that a window of a channels-last region reads, if through ops that only follow."""
    wanted: set[int] = set()
    for role in reversed(roles):
        if not regions.lays_out(role):
            continue
        if role.windows and role.source is not None:
            wanted.add(id(role.source))
        elif role.follows and any(id(o) in wanted for o in role.node.outputs):
            wanted.update(id(v) for v in role.tied)
    return wanted


# -- orders --------------------------------------------------------------------------------------------------------


class _Places:
    """Where values will lie, as far as their strides go. Views are looked into when somebody asks."""

    def __init__(self, roles: Sequence[_Role]) -> None:
        self._places: dict[int, Place] = {}
        self._roles = {id(role.node): role for role in roles}

    def made(self, value: Value, order: Order | None) -> None:
        if value.has_shape and order is not None:
            self._places[id(value)] = Place(0, value.dtype, value.shape, ordered_strides(value.shape, order))

    def views(self, role: _Role) -> Sequence[Place] | None:
        """The places of a node's outputs as views of what it reads; None where they are none."""
        return None if _viewed(role) is None or role.source is None else self._view(role, self.of(role.source))

    def _view(self, role: _Role, source: Place) -> Sequence[Place] | None:
        assert role.record.view is not None
        views = role.record.view(role.core, source)
        for value, place in zip(role.node.outputs, views or (), strict=False):
            if value is not None and value.has_shape:
                self._places[id(value)] = place
        return views

    def of(self, value: Value) -> Place:
        chain: list[_Role] = []  # of views that lead to the value, from the last
        at: Value | None = value
        while at is not None and id(at) not in self._places:
            role = self._roles.get(id(at.producer))
            if role is None or _viewed(role) is None:
                break
            chain.append(role)
            at = role.source
        for role in reversed(chain):
            assert role.source is not None
            self._view(role, self._place(role.source))
        return self._place(value)

    def _place(self, value: Value) -> Place:
        if id(value) not in self._places:
            self.made(value, tuple(range(value.rank)))
        return self._places[id(value)]

    def order(self, value: Value) -> Order:
        return order_of(self.of(value))


def order_of(place: Place) -> Order:
    """The axes of a place from the largest stride to the smallest. Axes of extent one, or that repeat, come after the
    axis before them in number."""
    plain = [i for i, d in enumerate(place.dims) if d != 1 and place.strides[i] != 0]
    ordered = sorted(plain, key=lambda i: -abs(_number(place.strides[i])))
    for axis in range(place.rank):
        if axis not in plain:
            ordered.insert(ordered.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(ordered)


def _orders(
    role: _Role, inside: bool, wanted: set[int], places: _Places
) -> Iterator[tuple[Value, Order | None]]:  # fmt: skip
    """The order of each output that the node makes; views get their place here, and no order of their own."""
    node = role.node
    views = places.views(role) if inside else None
    for index, value in enumerate(node.outputs):
        if value is None or not value.has_shape or (views is not None and index < len(views)):
            continue
        if not inside or value.rank < 3:
            yield value, None
        elif role.windows or (role.record.view is not None and id(value) in wanted):
            yield value, channels_last(value.rank)
        elif role.follows:
            yield value, _followed(role, value, places)
        else:
            yield value, None


def _viewed(role: _Role) -> Value | None:
    """What a node would show if its results are views."""
    if role.record.view is None or role.source is None or not role.source.has_shape:
        return None
    return role.source if all(v is None or v.has_shape for v in role.core.outputs) else None


def _followed(role: _Role, value: Value, places: _Places) -> Order:
    """The order that most of the operands' elements have; channels-last where two have as many."""
    votes: dict[Order, int] = defaultdict(int)
    last = channels_last(value.rank)
    for operand in role.node.inputs:
        if operand is not None and operand.constant is None and operand.has_shape and operand.rank == value.rank:
            votes[places.order(operand)] += _number(product(operand.shape))
    return max(votes, key=lambda o: (votes[o], o == last), default=tuple(range(value.rank)))


class _Representative(Mapping[str, int]):
    def __getitem__(self, name: str) -> int:
        return _SIZE

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _number(d: Dim) -> int:
    return d if isinstance(d, int) else evaluate(d, _Representative())
