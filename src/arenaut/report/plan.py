"""The memory plan of a binding, as a person or a test reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arenaut.ir.dims import Dim, evaluate
from arenaut.lowering.build import Built
from arenaut.lowering.program import Segment
from arenaut.planner import Rect
from arenaut.planner.bound import lower_bound


@dataclass(frozen=True)
class Block:
    """A buffer in the arena. offset and bytes in bytes; first and last are positions in the order, inclusive."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int
    scratch: bool = False


@dataclass(frozen=True)
class Plan:
    """What one binding needs.

    arena_bytes = intermediate_bytes (the arena: intermediates and scratch of all threads) + output_bytes.
    lower_bound_bytes: what no placement of these buffers in this order can go below, outputs included.
    """

    arena_bytes: int
    lower_bound_bytes: int
    intermediate_bytes: int
    output_bytes: int
    body_bytes: int
    scratch_bytes: int
    packed_weight_bytes: int
    blocks: tuple[Block, ...]
    order: tuple[str, ...]
    symbols: Mapping[str, int]
    method: str
    shared: int

    @property
    def offsets(self) -> dict[str, int]:
        """Arena offset in bytes of every named buffer."""
        return {b.name: b.offset for b in self.blocks if not b.scratch}

    def __str__(self) -> str:
        return (
            f"arena {_kib(self.arena_bytes)} (lower bound {_kib(self.lower_bound_bytes)}; outputs "
            f"{_kib(self.output_bytes)}, scratch up to {_kib(self.scratch_bytes)}), {len(self.blocks)} blocks, "
            f"{self.shared} shared"
        )


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
    buffers, regions = built.lowered.buffers, facts["regions"]
    rects = facts["rects"]
    blocks: list[Block] = []
    for number, region in enumerate(built.plan.classes):
        if region.output >= 0:
            continue
        size, first, last, offset = rects[number]
        names = [buffers[m.buffer].name for m in region.members]
        blocks.append(Block("+".join(dict.fromkeys(names)), offset, size, first, last))
    scratch = [(i - regions, r) for i, r in enumerate(rects) if i >= regions and r[0] > 0]
    for step, (size, first, last, offset) in scratch:
        node = built.lowered.steps[built.step_order[step]].node
        blocks.append(Block(f"scratch of {node.name or node.op}", offset, size, first, last, scratch=True))
    outputs = sum(facts["buffer_bytes"][i] for i, b in enumerate(buffers) if b.segment is Segment.OUTPUT)
    bound = lower_bound([Rect(b.bytes, b.first, b.last) for b in blocks])
    bodies = sum(_body_bytes(b) for b in built.bodies)
    return Plan(
        arena_bytes=facts["arena_bytes"] + outputs + bodies,
        lower_bound_bytes=bound + outputs + bodies,
        intermediate_bytes=facts["arena_bytes"],
        output_bytes=outputs,
        body_bytes=bodies,
        scratch_bytes=max((r[0] for _, r in scratch), default=0),
        packed_weight_bytes=built.native.packed_bytes(),
        blocks=tuple(blocks),
        order=tuple(_step_name(built, i) for i in built.step_order),
        symbols=dict(zip(built.symbols, facts["symbols"], strict=True)),
        method=built.plan.method,
        shared=len(built.plan.shared),
    )


def _body_bytes(body: Built) -> int:
    facts = body.native.describe_last()
    own = 0 if facts is None else facts["arena_bytes"]
    return own + sum(_body_bytes(b) for b in body.bodies)


def _step_name(built: Built, index: int) -> str:
    step = built.lowered.steps[index]
    family = step.row.family if step.row is not None else step.kind.name.lower()
    return f"{step.node.name or step.node.op} ({family})"


def size_of(d: Dim, symbols: Mapping[str, int]) -> int:
    return evaluate(d, symbols)
