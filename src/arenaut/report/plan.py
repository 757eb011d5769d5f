"""The memory plan of a binding, as a person or a test reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arenaut import _native
from arenaut.executor.common import step_error
from arenaut.ir.dims import evaluate
from arenaut.ir.errors import PredictionError, ShapeError
from arenaut.ir.graph import ARENAUT_DOMAIN, Graph, Node
from arenaut.lowering.build import Built
from arenaut.lowering.filters import transformed_bytes
from arenaut.lowering.problem import problem_of, setters_of
from arenaut.lowering.program import Region, Segment
from arenaut.planner import Problem, Rect, Share
from arenaut.planner.bound import live_bytes, lower_bound, order_free_bound


@dataclass(frozen=True)
class Block:
    """A buffer in the arena. offset and bytes in bytes; first and last are positions in the order, inclusive.

    op: what the step does that first writes it, such as "Conv+Relu".
    """

    name: str
    offset: int
    bytes: int
    first: int
    last: int
    scratch: bool = False
    op: str = ""


@dataclass(frozen=True)
class Shared:
    """Two buffers in the same bytes, agreed on by the step at position `step` of the order.

    in_place: the step writes `write` over `read`, which nothing needs any more. Otherwise both hold the same content,
    so that the step has nothing to copy between them: a part made at once inside its whole, or a slice left there.
    """

    write: str
    read: str
    step: int
    in_place: bool
    bytes: int


@dataclass(frozen=True)
class View:
    """A tensor that is another way to look at the buffer `of`, made by `op` without a copy."""

    name: str
    op: str
    of: str


@dataclass(frozen=True)
class Guest:
    """A buffer that lies in the memory of `output`, `offset` bytes from its start, before that output is written."""

    name: str
    output: str
    offset: int
    bytes: int
    first: int
    last: int
    op: str = ""


@dataclass(frozen=True)
class Plan:
    """What one binding needs.

    arena_bytes = intermediate_bytes (the arena: intermediates and scratch of all threads) + output_bytes.
    lower_bound_bytes: what no placement of these buffers in this order can go below, outputs included.
    winograd_bytes: the part of packed_weight_bytes that is filters transformed for Winograd's algorithm.
    order_free_bound_bytes: the largest working set of any one step, plus outputs: what no order can go below.
    guests: what lies in outputs that are not written yet. regions: chains that run slice by slice.
    """

    arena_bytes: int
    lower_bound_bytes: int
    order_free_bound_bytes: int
    intermediate_bytes: int
    output_bytes: int
    body_bytes: int
    scratch_bytes: int
    packed_weight_bytes: int
    winograd_bytes: int
    blocks: tuple[Block, ...]
    order: tuple[str, ...]
    symbols: Mapping[str, int]
    method: str
    sharing: tuple[Shared, ...]
    views: tuple[View, ...]
    guests: tuple[Guest, ...]
    regions: tuple[Region, ...]

    @property
    def shared(self) -> int:
        """How many pairs of buffers share memory."""
        return len(self.sharing)

    @property
    def live_bytes(self) -> tuple[int, ...]:
        """Arena bytes in use at each position of the order, each block rounded up to the arena's alignment."""
        return tuple(live_bytes([Rect(b.bytes, b.first, b.last) for b in self.blocks], len(self.order)))

    @property
    def offsets(self) -> dict[str, int]:
        """Arena offset in bytes of every named buffer."""
        return {b.name: b.offset for b in self.blocks if not b.scratch}

    def __str__(self) -> str:
        return (
            f"arena {_kib(self.arena_bytes)} (lower bound {_kib(self.lower_bound_bytes)}; outputs "
            f"{_kib(self.output_bytes)}, scratch up to {_kib(self.scratch_bytes)}), {len(self.blocks)} blocks, "
            f"{self.shared} shared{self._savings()}"
        )

    def _savings(self) -> str:
        saved = sum(region.hidden_bytes - region.slice_bytes for region in self.regions)
        parts = [f", {len(self.regions)} chains in slices (up to {_kib(saved)} not made)"] if self.regions else []
        parts += [f", {len(self.guests)} in outputs"] if self.guests else []
        return "".join(parts)


def _kib(n: int) -> str:
    return f"{n / 1024:,.1f} KiB"


def plan_of(built: Built, output_names: Sequence[str]) -> Plan:
    """The plan of the last binding that ran, or of the only binding a model without symbolic dims has."""
    facts = built.native.describe_last()
    if facts is None:
        dims = [p.dims for p in built.lowered.inputs]
        if not all(isinstance(d, int) for place in dims for d in place):
            raise RuntimeError("dims are symbolic: run the model once, then its plan is known")
        facts = built.native.describe([[int(d) for d in place if isinstance(d, int)] for place in dims])
    return _plan(built, output_names, facts)


def plan_at(built: Built, output_names: Sequence[str], sizes: Mapping[str, int]) -> Plan:
    """The plan of a run whose symbolic dims have these sizes, without running: kernels are bound, no arena exists.

    Raises PredictionError where only running decides what is needed, ShapeError for sizes that do not run.
    """
    lowered = built.lowered
    decided = setters_of(lowered)
    reasons = [f"{lowered.steps[i].node} decides the size '{name}'" for name, i in decided.items()]
    reasons += [f"{step.node} decides which steps run, or how often" for step in lowered.steps if step.bodies]
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise PredictionError(f"data decides what a run needs: {reasons[0]}{more}. Run the model, then read model.plan")
    try:
        facts = built.native.describe([[evaluate(d, sizes) for d in place.dims] for place in lowered.inputs])
    except _native.StepError as error:
        raise step_error(built, *error.args) from None
    except ValueError as error:
        raise ShapeError(f"the program cannot be bound to these sizes: {error}") from None
    return _plan(built, output_names, facts)


def _plan(built: Built, output_names: Sequence[str], facts: Mapping[str, Any]) -> Plan:
    buffers, regions = built.lowered.buffers, facts["regions"]
    rects = facts["rects"]
    blocks: list[Block] = []
    guests: list[Guest] = []
    host_of = dict(built.plan.guests)
    for number, region in enumerate(built.plan.classes):
        if region.output >= 0:
            continue
        size, first, last, offset = rects[number]
        name = "+".join(dict.fromkeys(buffers[m.buffer].name for m in region.members))
        op = _op_at(built, first)
        if facts["hosted"][number]:
            guests.append(Guest(name, buffers[host_of[number]].name, offset, size, first, last, op))
        else:
            blocks.append(Block(name, offset, size, first, last, op=op))
    scratch = [(i - regions, r) for i, r in enumerate(rects) if i >= regions and r[0] > 0]
    for step, (size, first, last, offset) in scratch:
        node = built.lowered.steps[built.step_order[step]].node
        name = f"scratch of {node.name or node.op}"
        blocks.append(Block(name, offset, size, first, last, scratch=True, op=op_label(node)))
    outputs = sum(facts["buffer_bytes"][i] for i, b in enumerate(buffers) if b.segment is Segment.OUTPUT)
    bound = lower_bound([Rect(b.bytes, b.first, b.last) for b in blocks])
    bodies = sum(_body_bytes(b) for b in built.bodies)
    return Plan(
        arena_bytes=facts["arena_bytes"] + outputs + bodies,
        lower_bound_bytes=bound + outputs + bodies,
        order_free_bound_bytes=_order_free(built, facts["symbols"]) + outputs + bodies,
        intermediate_bytes=facts["arena_bytes"],
        output_bytes=outputs,
        body_bytes=bodies,
        scratch_bytes=max((r[0] for _, r in scratch), default=0),
        packed_weight_bytes=built.weights.native.packed_bytes(),
        winograd_bytes=transformed_bytes(built.lowered),
        blocks=tuple(blocks),
        order=tuple(_step_name(built, i) for i in built.step_order),
        symbols=dict(zip(built.symbols, facts["symbols"], strict=True)),
        method=built.plan.method,
        sharing=tuple(_shared(built, step, share, facts["buffer_bytes"]) for step, share in built.shares),
        views=tuple(_views(built)),
        guests=tuple(guests),
        regions=built.lowered.regions,
    )


def _order_free(built: Built, symbols: Sequence[int]) -> int:
    """The largest working set of a step with these symbols, apart from what lies in outputs."""
    return order_free_bound(problem_with(built, dict(zip(built.symbols, symbols, strict=True))))


def problem_with(built: Built, sizes: Mapping[str, int]) -> Problem:
    """The planner's problem of a program whose symbols are these, scratch included."""
    scratch = [0] * len(built.step_order)
    measured = built.native.measure([sizes[name] for name in built.symbols])
    for index, size in zip(built.step_order, measured, strict=True):
        scratch[index] = size
    return problem_of(built.lowered, sizes, scratch)[0]


def op_label(node: Node) -> str:
    """The node's op; for a fused node the ops of its body, such as "Conv+Relu"."""
    body = node.attr("body") if node.domain == ARENAUT_DOMAIN else None
    return "+".join(inner.op for inner in body.nodes) if isinstance(body, Graph) else node.op


def _op_at(built: Built, position: int) -> str:
    return op_label(built.lowered.steps[built.step_order[position]].node)


def _shared(built: Built, step: int, share: Share, sizes: Sequence[int]) -> Shared:
    write, read = (built.lowered.buffers[index].name for index in (share.write, share.read))
    return Shared(write, read, step, not share.keeps, min(sizes[share.write], sizes[share.read]))


def _views(built: Built) -> Iterator[View]:
    """Values that nodes made as views of buffers of the arena, of inputs or of outputs."""
    for value, place in built.lowered.values:
        buffer = built.lowered.buffers[place.buffer]
        here = buffer.segment in (Segment.ARENA, Segment.INPUT, Segment.OUTPUT)
        if here and value.producer is not None and value.name != buffer.name:
            yield View(value.name, op_label(value.producer), buffer.name)


def _body_bytes(body: Built) -> int:
    facts = body.native.describe_last()
    own = 0 if facts is None else facts["arena_bytes"]
    return own + sum(_body_bytes(b) for b in body.bodies)


def _step_name(built: Built, index: int) -> str:
    step = built.lowered.steps[index]
    family = step.row.family if step.row is not None else step.kind.name.lower()
    return f"{step.node.name or step.node.op} ({family})"
