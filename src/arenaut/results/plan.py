"""The memory plan of a binding, as a person or a test reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from arenaut import _native
from arenaut.executor.common import step_error
from arenaut.ir.dims import Dim, evaluate
from arenaut.ir.errors import MemoryLimitError, ShapeError
from arenaut.lowering.outline import AcceptedOutline, Described
from arenaut.lowering.program import Segment, SlicedChain
from arenaut.plain import dataclass
from arenaut.planner import Problem, Rect
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
class BodyPlan:
    """A body of the step at position `step`, whose node is `node`: its own plan, as part of that step's scratch.

    plan's outputs are what one iteration returns; what of them does not lie in the step's result is in `bytes`, which
    the body takes in all. plan: None where only running decides the body's sizes; it then finds memory of its own.
    """

    node: str
    name: str
    step: int
    bytes: int
    plan: Plan | None


@dataclass(frozen=True)
class Undecided:
    """Something that only running decides: the size `name`, set by `node`. most: the largest it can be, or None."""

    name: str
    node: str
    most: int | None


@dataclass(frozen=True)
class Plan:
    """What one binding needs.

    arena_bytes = intermediate_bytes (the arena: intermediates, scratch of all threads, and in it the bodies of If, Loop
    and Scan) + output_bytes + body_bytes (what bodies whose sizes change while they run, and results of sizes that only
    running decided, hold outside the arena).
    certainty: "exact"; of a prediction also "most", where `undecided` sizes count as the largest they can be, and
    "part", where all is counted that is known before the first of them that has no limit. bodies: of steps with bodies.
    lower_bound_bytes: what no placement of these buffers in this order can go below, outputs included.
    winograd_bytes: the part of packed_weight_bytes that is filters transformed for Winograd's algorithm.
    order_free_bound_bytes: the largest working set of any one step, plus outputs: what no order can go below.
    state_bytes: of the state that the run was asked about with, in no other number here.
    guests: what lies in outputs that are not written yet. chains: what runs slice by slice, or in bands of rows.
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
    chains: tuple[SlicedChain, ...]
    bodies: tuple[BodyPlan, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    certainty: Literal["exact", "most", "part"] = "exact"
    state_bytes: int = 0

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
            f"arena {_PREFIX[self.certainty]}{_kib(self.arena_bytes)} (lower bound {_kib(self.lower_bound_bytes)}; "
            f"outputs {_kib(self.output_bytes)}, scratch up to {_kib(self.scratch_bytes)}), {len(self.blocks)} blocks, "
            f"{self.shared} shared{self._savings()}"
        )

    def _savings(self) -> str:
        saved = sum(chain.hidden_bytes - chain.slice_bytes for chain in self.chains)
        parts = [f", {len(self.chains)} chains in parts (up to {_kib(saved)} not made)"] if self.chains else []
        parts += [f", {len(self.guests)} in outputs"] if self.guests else []
        return "".join(parts)


_PREFIX = {"exact": "", "most": "at most ", "part": "more than "}


def _kib(n: int) -> str:
    return f"{n / 1024:,.1f} KiB"


def plan_of(built: Described) -> Plan:
    """The plan of the last binding that ran, or of the only binding a model without symbolic dims has.

    Raises ShapeError where that binding cannot be."""
    facts = built.native.describe_last()
    if facts is None:
        dims = built.outline.input_dims
        if not all(isinstance(d, int) for place in dims for d in place):
            raise RuntimeError("dims are symbolic: run the model once, then its plan is known")
        facts = _asked(built, lambda: built.native.describe([[int(d) for d in p if isinstance(d, int)] for p in dims]))
    return _plan(built, facts, None)


def plan_at(built: Described, sizes: Mapping[str, int]) -> Plan:
    """The plan of a run whose symbolic dims have these sizes, without running: kernels are bound, no arena exists.

    Sizes that data decides count as the largest they can be. Raises ShapeError for sizes that do not run.
    """
    undecided = _undecided(built, sizes)
    known = {u.name: u.most for u in undecided if u.most is not None}
    dims = [[evaluate(d, sizes) for d in place] for place in built.outline.input_dims]
    late = {i: known[name] for i, name in enumerate(built.symbols) if name in known}
    return _plan(built, _asked(built, lambda: built.native.describe_with(dims, late)), undecided)


def _asked(built: Described, describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the native program says of a binding, its refusals in the model's terms."""
    try:
        return describe()
    except _native.StepError as error:
        raise step_error(built, *error.args) from None
    except MemoryError as error:
        raise MemoryLimitError(f"this machine has not the memory for the plan: {error}") from error
    except ValueError as error:
        raise ShapeError(f"the program cannot be bound to these sizes: {error}") from None


def _undecided(built: Described, sizes: Mapping[str, int]) -> tuple[Undecided, ...]:
    """The sizes that steps decide, in the order of these steps."""
    env = dict(sizes)
    found = []
    for late in built.outline.late:
        most = None if late.limit is None else _known(late.limit, env)
        if most is not None:
            env[late.name] = most
        found.append(Undecided(late.name, late.node, most))
    return tuple(found)


def _known(d: Dim, env: Mapping[str, int]) -> int | None:
    """None where it hangs on a size without a limit."""
    try:
        return evaluate(d, env)
    except KeyError:
        return None


def _plan(built: Described, facts: Mapping[str, Any], undecided: tuple[Undecided, ...] | None = ()) -> Plan:
    """undecided: of a prediction; None: a run had this plan. Facts of an early stage say nothing of later ones."""
    outline = built.outline
    ended = facts["stage"] + 1 == facts["stages"]
    buffers, regions, rects = outline.buffers, facts["regions"], facts["rects"]
    blocks: list[Block] = []
    guests: list[Guest] = []
    for number, region in enumerate(outline.classes):
        if region.output >= 0:
            continue
        size, first, last, offset = rects[number]
        if not ended and not size:
            continue
        name = "+".join(dict.fromkeys(buffers[member].name for member in region.members))
        op = outline.steps[first].label
        if facts["in_output"][number]:
            guests.append(Guest(name, buffers[region.guest_of].name, offset, size, first, last, op))
        else:
            blocks.append(Block(name, offset, size, first, last, op=op))
    scratch = [(i - regions, r) for i, r in enumerate(rects) if i >= regions and r[0] > 0]
    for position, (size, first, last, offset) in scratch:
        step = outline.steps[position]
        name = f"scratch of {step.title}"
        if facts["in_output"][regions + position]:
            guests.append(Guest(name, buffers[step.scratch_guest_of].name, offset, size, first, last, step.label))
        else:
            blocks.append(Block(name, offset, size, first, last, scratch=True, op=step.label))
    outputs = sum(facts["buffer_bytes"][i] for i, b in enumerate(buffers) if b.segment == Segment.OUTPUT)
    bound = lower_bound([Rect(b.bytes, b.first, b.last) for b in blocks])
    held = sum(facts["buffer_bytes"][i] for i in outline.held)
    outside, objects = (facts["outside"], False) if undecided is None else (held, outline.objects)
    bodies = tuple(_bodies(built, facts))
    free = _order_free(built, facts["symbols"]) if ended else max((b.bytes for b in blocks), default=0)
    return Plan(
        arena_bytes=facts["arena_bytes"] + outputs + outside,
        lower_bound_bytes=bound + outputs + outside,
        order_free_bound_bytes=free + outputs + outside,
        intermediate_bytes=facts["arena_bytes"],
        output_bytes=outputs,
        body_bytes=outside,
        scratch_bytes=max((r[0] for _, r in scratch), default=0),
        packed_weight_bytes=built.packed_bytes,
        winograd_bytes=outline.winograd_bytes,
        blocks=tuple(blocks),
        order=tuple(f"{step.title} ({step.family})" for step in outline.steps),
        symbols=dict(zip(built.symbols, facts["symbols"], strict=True)),
        method=outline.method,
        sharing=tuple(_shared(built, share, facts["buffer_bytes"]) for share in outline.shares),
        views=tuple(View(v.name, v.op, v.of) for v in outline.views),
        guests=tuple(guests),
        chains=outline.chains,
        bodies=bodies,
        undecided=undecided or (),
        certainty="exact" if undecided is None else _certainty(undecided, ended and not objects and _planned(bodies)),
    )


def _certainty(undecided: Sequence[Undecided], limited: bool) -> Literal["exact", "most", "part"]:
    return "part" if not limited else "most" if undecided else "exact"


def _planned(bodies: Sequence[BodyPlan]) -> bool:
    return all(body.plan is not None and _planned(body.plan.bodies) for body in bodies)


def _bodies(built: Described, facts: Mapping[str, Any]) -> Iterator[BodyPlan]:
    for position, found in facts["bodies"]:
        step = built.outline.steps[position]
        for name, body, each in zip(step.bodies, built.bodies_of(position), found, strict=True):
            if each is None:
                yield BodyPlan(step.text, name, position, 0, None)
                continue
            size, inner = each
            yield BodyPlan(step.text, name, position, size, _plan(body, inner))


def _order_free(built: Described, symbols: Sequence[int]) -> int:
    """The largest working set of a step with these symbols, apart from what lies in outputs."""
    return order_free_bound(problem_with(built, dict(zip(built.symbols, symbols, strict=True))))


def problem_with(built: Described, sizes: Mapping[str, int]) -> Problem:
    """The planner's problem of a program whose symbols are these, scratch included."""
    return built.outline.problem(sizes, built.native.measure([sizes[name] for name in built.symbols]))


def _shared(built: Described, share: AcceptedOutline, sizes: Sequence[int]) -> Shared:
    write, read = (built.outline.buffers[index].name for index in (share.write, share.read))
    return Shared(write, read, share.step, not share.keeps, min(sizes[share.write], sizes[share.read]))
