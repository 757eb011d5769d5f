"""What people ask of a program, as plain data: plans, profiles and messages are made from it, not from lowered objects.

So a program that was opened from a file tells the same as one that was just built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from arenaut import _native
from arenaut.ir.dims import Dim, evaluate, product
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node
from arenaut.ir.ops import record_of
from arenaut.ir.place import Place
from arenaut.ir.undefined import dividing, division_by_zero
from arenaut.lowering.families import family_of
from arenaut.lowering.fragments import FRAGMENT
from arenaut.lowering.problem import problem_of, setters_of
from arenaut.lowering.program import Lowered, LoweredStep, Segment, SlicedChain, StepKind
from arenaut.lowering.typical import typical_of
from arenaut.lowering.winograd import transformed_bytes
from arenaut.plain import dataclass
from arenaut.planner import BufferInfo, BufferKind, MemoryPlan, Problem, Share, StepUse


@dataclass(frozen=True)
class BufferOutline:
    """segment: a Segment. known_after: the step, in graph order, that makes its size known; -1: none."""

    name: str
    segment: int
    bytes: Dim
    known_after: int


@dataclass(frozen=True)
class StepOutline:
    """One step. index: its place in graph order. name: of the node, which may have none. text: the node, as messages
    name it. label: its op, or those of a fused node. inputs: of the node, with their types. divides: what is said where
    it divided an integer by 0; empty where it never does. kernel: the row's name, or the kind. spans: bytes of the
    distinct elements of each operand. flops: of the whole node, where its op is counted; group: which steps share that
    node; factor: bytes by which they share it. decides: whether it sets sizes. bodies: names. scratch_guest_of: an
    output in which its scratch may lie, or -1."""

    index: int
    name: str
    text: str
    op: str
    label: str
    inputs: str
    divides: str
    family: str
    kernel: str
    kind: int
    spans: tuple[Dim, ...]
    flops: Dim | None
    group: int
    factor: Dim
    decides: bool
    bodies: tuple[str, ...]
    scratch_guest_of: int

    @property
    def title(self) -> str:
        return self.name or self.op


@dataclass(frozen=True)
class ClassOutline:
    """Buffers that share a region. output: the one it lies in, or -1. guest_of: one it may lie in, or -1."""

    members: tuple[int, ...]
    output: int
    guest_of: int


@dataclass(frozen=True)
class OfferOutline:
    """A step's offer that `write` lies `offset` bytes after the start of `read`. keeps: see planner.Share."""

    write: int
    read: int
    offset: Dim
    keeps: bool


@dataclass(frozen=True)
class UseOutline:
    """What a step, in graph order, says to the planner."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    after: tuple[int, ...]
    offers: tuple[OfferOutline, ...]


@dataclass(frozen=True)
class AcceptedOutline:
    """An offer that holds, and the position of its step in the order."""

    step: int
    write: int
    read: int
    keeps: bool


@dataclass(frozen=True)
class ViewOutline:
    name: str
    op: str
    of: str


@dataclass(frozen=True)
class LateSize:
    """A size that a step decides. limit: the largest it can be, None where nothing limits it."""

    name: str
    node: str
    limit: Dim | None


@dataclass(frozen=True)
class Outline:
    """steps: in the order of the run; uses: in graph order. outputs: the buffer of each. held: outputs of fetches,
    held outside the arena until their size is known; objects: whether steps make Python objects beside those."""

    buffers: tuple[BufferOutline, ...]
    steps: tuple[StepOutline, ...]
    uses: tuple[UseOutline, ...]
    input_dims: tuple[tuple[Dim, ...], ...]
    outputs: tuple[int, ...]
    classes: tuple[ClassOutline, ...]
    shares: tuple[AcceptedOutline, ...]
    views: tuple[ViewOutline, ...]
    chains: tuple[SlicedChain, ...]
    late: tuple[LateSize, ...]
    held: tuple[int, ...]
    objects: bool
    method: str
    winograd_bytes: int

    def problem(self, sizes: Mapping[str, int], scratch: Sequence[int]) -> Problem:
        """The planner's problem at these sizes. scratch: bytes of each step, in the order of the run."""
        own = [0] * len(self.uses)
        for step, size in zip(self.steps, scratch, strict=True):
            own[step.index] = size
        kinds = {Segment.ARENA: BufferKind.ARENA, Segment.OUTPUT: BufferKind.OUTPUT}
        buffers = [
            BufferInfo(max(0, evaluate(b.bytes, sizes)), kinds.get(Segment(b.segment), BufferKind.FIXED), b.known_after)
            for b in self.buffers
        ]
        steps = [
            StepUse(u.reads, u.writes,
                    tuple([Share(o.write, o.read, evaluate(o.offset, sizes), o.keeps) for o in u.offers]),
                    u.after, size)
            for u, size in zip(self.uses, own, strict=True)
        ]  # fmt: skip
        return Problem(tuple(steps), tuple(buffers))


class Described(Protocol):
    """A program and what is known of it: one that was built, or one that was opened.

    symbols: those of the native program, in order. input_symbols: what input shapes set. dtypes: of each output, None
    where it is no tensor. packed_bytes: of weights in the forms that rows want.
    """

    native: _native.Program
    symbols: list[str]
    threads: int

    @property
    def input_symbols(self) -> list[str]: ...
    @property
    def dtypes(self) -> Sequence[DType | None]: ...
    @property
    def calls_python(self) -> bool: ...
    @property
    def packed_bytes(self) -> int: ...
    @property
    def outline(self) -> Outline: ...
    def inside(self) -> Iterator[Described]:
        """The program, its bodies, and the programs of its fragments."""
        ...

    def bodies_of(self, position: int) -> Sequence[Described]:
        """The programs of the bodies of the step at this position of the order."""
        ...


def outline_of(
    lowered: Lowered, plan: MemoryPlan, order: Sequence[int], shares: Sequence[tuple[int, Share]]
) -> Outline:
    """shares: (position of the step, offer) of those that hold."""
    problem, offers = problem_of(lowered, typical_of(lowered).sizes)  # what is kept of it hangs on no size
    groups: dict[int, int] = {}
    uses = tuple([
        UseOutline(use.reads, use.writes, use.after,
                   tuple([OfferOutline(s.write, s.read, offset, s.keeps) for s, offset in own]))
        for use, own in zip(problem.steps, offers, strict=True)
    ])  # fmt: skip
    guest_of = dict(plan.guests)
    return Outline(
        buffers=tuple([
            BufferOutline(b.name, int(b.segment), b.bytes, info.known_after)
            for b, info in zip(lowered.buffers, problem.buffers, strict=True)
        ]),
        steps=tuple([_step(lowered.steps[i], i, groups, plan.scratch_in_output.get(i, (-1, 0))[0]) for i in order]),
        uses=uses,
        input_dims=tuple([
            (*p.dims, *lowered.wholes[i].dims) if i in lowered.wholes else p.dims for i, p in enumerate(lowered.inputs)
        ]),
        outputs=tuple([p.buffer for p in lowered.outputs]),
        classes=tuple([
            ClassOutline(tuple([m.buffer for m in c.members]), c.output, guest_of.get(number, -1))
            for number, c in enumerate(plan.classes)
        ]),
        shares=tuple([AcceptedOutline(at, s.write, s.read, s.keeps) for at, s in shares]),
        views=tuple(_views(lowered)),
        chains=lowered.chains,
        late=tuple([
            LateSize(name, str(lowered.steps[i].node), _limit(lowered.steps[i].node, name))
            for name, i in setters_of(lowered).items()
        ]),
        held=tuple([p.buffer for s in _fetches(lowered) for p in s.outputs if p is not None]),
        objects=_makes_objects(lowered),
        method=plan.method,
        winograd_bytes=transformed_bytes(lowered),
    )  # fmt: skip


def op_label(node: Node) -> str:
    """The node's op; for a fused node the ops of its body, such as "Conv+Relu"."""
    body = node.attr("body") if node.domain == ARENAUT_DOMAIN else None
    return "+".join(inner.op for inner in body.nodes) if isinstance(body, Graph) else node.op


def _step(step: LoweredStep, index: int, groups: dict[int, int], scratch_guest_of: int) -> StepOutline:
    """groups: numbers of nodes whose work is counted, by identity; grows."""
    node = step.node
    kernel = step.row.name if step.row is not None else step.kind.name.lower()
    rule = record_of(node).flops if step.kind is StepKind.KERNEL and family_of(step).computes else None
    factor = _factor(step)
    return StepOutline(
        index=index,
        name=node.name,
        text=str(node),
        op=node.op,
        label=op_label(node),
        inputs=", ".join(f"{v.name}: {v.type}" for v in node.inputs if v is not None),
        divides=str(division_by_zero(node)) if any(dividing(node)) else "",
        family=step.row.family if step.row is not None else step.kind.name.lower(),
        kernel=kernel,
        kind=int(step.kind),
        spans=tuple([_span(p) for p in _touched(step)]),
        flops=None if rule is None else rule(node),
        group=groups.setdefault(id(node), len(groups)),
        factor=0 if factor is None else _span(factor),
        decides=bool(step.sets),
        bodies=tuple([name for name, _ in node.bodies()][: len(step.bodies)]) if step.bodies else (),
        scratch_guest_of=scratch_guest_of,
    )


def _touched(step: LoweredStep) -> list[Place]:
    places = [p for p in step.operands() if p is not None]
    if family_of(step).gathers and step.outputs[0] is not None:
        return [step.outputs[0], *places[1:]]  # of the table only what is gathered
    return places


def _factor(step: LoweredStep) -> Place | None:
    """What the slices of one node share its work by: what they read of the second factor of a product, what they write
    otherwise."""
    factor = family_of(step).factor
    if factor is not None:
        return step.inputs[factor]
    return step.outputs[0] if step.outputs else None


def _span(place: Place) -> Dim:
    """Bytes of the distinct elements a place shows."""
    return product([d for d, s in zip(place.dims, place.strides, strict=True) if s != 0]) * place.dtype.itemsize


def _views(lowered: Lowered) -> Iterator[ViewOutline]:
    """Values that nodes made as views of buffers of the arena, of inputs or of outputs."""
    for value, place in lowered.values:
        buffer = lowered.buffers[place.buffer]
        here = buffer.segment in (Segment.ARENA, Segment.INPUT, Segment.OUTPUT)
        if here and value.producer is not None and value.name != buffer.name:
            yield ViewOutline(value.name, op_label(value.producer), buffer.name)


def _limit(node: Node, name: str) -> Dim | None:
    """The largest that a size which the node decides can be."""
    rule = None if node.key == FRAGMENT else record_of(node).size_limit
    if rule is None:
        return None
    for i, value in enumerate(node.outputs):
        for axis, dim in enumerate(value.shape if value is not None and value.has_shape else ()):
            if str(dim) == name:
                return rule(node, i, axis)
    return None


def _fetches(lowered: Lowered) -> list[LoweredStep]:
    return [step for step in lowered.steps if step.kind is StepKind.FETCH]


def _makes_objects(lowered: Lowered) -> bool:
    """Whether steps make Python objects that no fetch takes."""
    fetched = {place.buffer for step in _fetches(lowered) for place in step.inputs if place is not None}
    made = {place.buffer for step in lowered.steps for place in step.outputs if place is not None}
    return any(lowered.buffers[b].segment is Segment.HOST and b not in fetched for b in made)
