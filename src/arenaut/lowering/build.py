"""Lowered steps -> a planned native program: expressions, order, alias classes, placement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from arenaut import _native
from arenaut.ir.dims import Dim, Expr, Opaque, Symbol, maximum
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ShapeError
from arenaut.ir.place import Place
from arenaut.ir.target import Target
from arenaut.lowering.families import family_of
from arenaut.lowering.outline import Outline, outline_of
from arenaut.lowering.problem import facts_of, problem_of, setters_of
from arenaut.lowering.program import Lowered, LoweredStep, Segment, StepKind
from arenaut.lowering.typical import typical_of
from arenaut.lowering.weights import WeightStore
from arenaut.native.enumerations import enumeration
from arenaut.native.rows import pack_params
from arenaut.plain import cached_property, dataclass
from arenaut.planner import Effort, MemoryPlan, Problem, Share, plan_memory

_OPS = enumeration("ExprOp")


@dataclass
class Built:
    """A native program with the data it was made from.

    step_order: index into lowered.steps of each native step. shares: (step, offer) of each of the plan's shares, where
    step is the position in step_order.
    """

    native: _native.Program
    lowered: Lowered
    plan: MemoryPlan
    step_order: list[int]
    bodies: list[Built]
    value_ids: dict[int, int]  # id(value) -> native value
    places: dict[int, Place]  # id(value) -> where it lies
    region_of: list[int]  # buffer -> region, -1 outside
    symbols: list[str]  # names of the native program's symbols, in order
    place_id: Callable[[Place], int]  # the native value of a place
    shares: list[tuple[int, Share]]
    weights: WeightStore
    threads: int
    host: Host

    @property
    def input_symbols(self) -> list[str]:
        return self.lowered.symbols

    @property
    def dtypes(self) -> Sequence[DType | None]:
        return self.lowered.dtypes

    @cached_property
    def calls_python(self) -> bool:
        """Whether a step of the program, or of a body, is a host call, or may have a program made."""
        calls = any(s.kind in (StepKind.HOST, StepKind.OPEN) for s in self.lowered.steps)
        return calls or any(b.calls_python for b in self.bodies)

    @property
    def packed_bytes(self) -> int:
        return self.weights.native.packed_bytes()

    @cached_property
    def outline(self) -> Outline:
        return outline_of(self.lowered, self.plan, self.step_order, self.shares)

    def inside(self) -> Iterator[Built]:
        """The program, its bodies, and the programs of its fragments."""
        yield self
        for inner in (*self.bodies, *self.host.opened()):
            yield from inner.inside()

    def opens_at(self, position: int) -> bool:
        """Whether the native step is one whose ranks only a run knows."""
        steps = self.lowered.steps
        return position < len(self.step_order) and steps[self.step_order[position]].kind is StepKind.OPEN

    def bodies_of(self, position: int) -> list[Built]:
        index = self.step_order[position]
        first = sum([len(step.bodies) for step in self.lowered.steps[:index]])
        return self.bodies[first : first + len(self.lowered.steps[index].bodies)]


class Expressions:
    """The program's table of expressions, each once."""

    def __init__(self, program: _native.Program) -> None:
        self._program = program
        self._known: dict[Any, int] = {}
        self.symbols: dict[str, int] = {}

    def of(self, d: Dim) -> int:
        found = self._known.get(d)
        if found is None:
            found = self._const(d) if isinstance(d, int) else self._sum(d)
            self._known[d] = found
        return found

    def symbol(self, name: str) -> int:
        return self.symbols.setdefault(name, len(self.symbols))

    def _add(self, op: str, a: int, b: int = 0, c: int = 0) -> int:
        key = (op, a, b, c)
        if key not in self._known:
            self._known[key] = self._program.add_expr(_OPS[op], a, b, c)
        return self._known[key]

    def _const(self, n: int) -> int:
        if not -(1 << 63) <= n < 1 << 63:
            raise ShapeError(f"a size of {n} does not fit 64 bits: the model's shapes are wrong, or far too large")
        return self._add("const", n)

    def _sum(self, d: Expr) -> int:
        total: int | None = None
        for monomial, coefficient in d.terms:
            factors = [self._atom(a) for a, power in monomial for _ in range(power)]
            if coefficient != 1 or not factors:
                factors.append(self._const(coefficient))
            term = factors[0]
            for f in factors[1:]:
                term = self._add("mul", term, f)
            total = term if total is None else self._add("add", total, term)
        assert total is not None
        return total

    def _atom(self, atom: Symbol | Opaque) -> int:
        if isinstance(atom, Symbol):
            return self._add("symbol", self.symbol(atom.name))
        args = [self.of(a) for a in atom.args]
        return self._add(atom.kind, *args)


class Host(Protocol):
    """Python's side of one program. Steps are numbered as the program runs them."""

    def call(self, step: int, arrays: list[Any]) -> list[Any] | None:
        """The outputs of a host call; None where the program has just been told how to make them itself."""
        ...

    def open(self, step: int, arrays: list[Any]) -> tuple[_native.Program, Sequence[int]]:
        """The program of a fragment for such inputs, and the inputs whose elements decide which one it is."""
        ...

    def opened(self) -> Sequence[Built]:
        """The programs of fragments that were made so far."""
        ...

    def serve(self, native: _native.Program) -> None:
        """Which program it is, once that is sealed."""
        ...


HostOf = Callable[[Lowered, list[int]], Host]
"""Makes the host of a program, given the order of its steps."""


def build_program(
    lowered: Lowered,
    target: Target,
    host: HostOf,
    *,
    effort: Effort = "default",
    weights: WeightStore | None = None,
) -> Built:
    """Builds and plans.

    weights: what packs the constants; by default one of its own.
    Bodies are built first and become programs of their own.
    """
    store = weights if weights is not None else WeightStore()
    built = draft_program(lowered, target, host, effort, store)
    store.pack(target.threads)
    return built


def draft_program(lowered: Lowered, target: Target, host: HostOf, effort: Effort, weights: WeightStore) -> Built:
    """The same, but what it asks to be packed is not until another program of the store is built."""
    return _Builder(lowered, target, host, effort, weights).build()


class _Builder:
    def __init__(
        self,
        lowered: Lowered,
        target: Target,
        host: HostOf,
        effort: Effort,
        weights: WeightStore,
    ) -> None:
        typical = typical_of(lowered)
        self.sizes, self.facts = typical.sizes, typical.facts
        self.lowered = lowered
        self.target = target
        self.host = host
        self.effort: Effort = effort
        self.weights = weights
        self.native = _native.Program(target.threads, target.tier, target.features, weights.native)
        self.exprs = Expressions(self.native)
        self.bodies: list[Built] = []
        self._values: dict[tuple[Any, ...], int] = {}
        self._seen: dict[int, tuple[Place, int]] = {}  # by identity, which the place that is kept holds

    def build(self) -> Built:
        lowered = self.lowered
        for name in lowered.symbols:
            self.exprs.symbol(name)
        for buffer in lowered.buffers:
            size = -1 if buffer.segment is Segment.HOST else self.exprs.of(buffer.bytes)
            weight = -1 if buffer.array is None else self.weights.number_of(buffer.array)
            self.native.add_buffer(int(buffer.segment), size, buffer.index, buffer.array, weight)
        for step in lowered.steps:
            self._add_step(step)
        for check in lowered.checks:
            of = self.exprs.of
            self.native.add_check(of(check.condition), [of(v) for v in check.values], check.text)
        self.weights.settle(self.native, lowered)
        inputs = [self._value(p) for p in lowered.inputs]
        outputs = [self._value(p) for p in lowered.outputs]
        wholes = [self._value(lowered.wholes[i]) if i in lowered.wholes else -1 for i in range(len(inputs))]
        use = lowered.state
        total = -1 if use is None or use.total is None else self.exprs.of(use.total)
        value_ids = {id(v): self._value(p) for v, p in lowered.values}
        setters = setters_of(lowered)
        needs = [facts_of(lowered, step, self.sizes, self.facts).needs for step in lowered.steps]
        scratch = self.native.measure([self.sizes[name] for name in self.exprs.symbols])
        problem, shares = problem_of(lowered, self.sizes, scratch, self.facts)
        plan = plan_memory(problem, effort=self.effort)
        order = list(plan.order)
        stages, symbol_stages = _stages(order, needs, setters)
        region_of = self._set_plan(plan, problem, order, shares)
        host = self.host(lowered, order)
        self.native.seal(
            {
                "inputs": inputs,
                "outputs": outputs,
                "wholes": wholes,
                "slots": lowered.slots,
                "symbol_stages": [symbol_stages.get(name, 0) for name in self.exprs.symbols],
                "stage_ends": stages,
                "host_call": host.call,
                "open_call": host.open,
            }
        )
        host.serve(self.native)
        if use is not None:
            self.native.use_state([(i, p.input, p.output, p.axis) for i, p in enumerate(use.ports)], total)
        position = {index: at for at, index in enumerate(order)}
        held = [(position[each.step], shares[each.step][each.offer][0]) for each in plan.shared]
        return Built(
            self.native, lowered, plan, order, self.bodies, value_ids, {id(v): p for v, p in lowered.values},
            region_of, list(self.exprs.symbols), self._value, held, self.weights,
            self.target.threads, host,
        )  # fmt: skip

    # -- steps and values --------------------------------------------------------------------------------------

    def _value(self, place: Place) -> int:
        known = self._seen.get(id(place))
        if known is not None:
            return known[1]
        found = self._equal_value(place)
        self._seen[id(place)] = place, found
        return found

    def _equal_value(self, place: Place) -> int:
        key = (place.buffer, int(place.dtype), place.dims, place.strides, place.offset)
        if key not in self._values:
            of = self.exprs.of
            self._values[key] = self.native.add_place(
                place.buffer, int(place.dtype), of(place.offset), [of(d) for d in place.dims],
                [of(s) for s in place.strides],
            )  # fmt: skip
        return self._values[key]

    def _add_step(self, step: LoweredStep) -> None:
        params, patches = (None, []) if step.row is None else pack_params(step.row.family, step.params)
        unread = family_of(step).packs_without
        bodies = [_Builder(b, self.target, self.host, self.effort, self.weights).build() for b in step.bodies]
        self.bodies += bodies
        self.native.add_step(
            {
                "kind": int(step.kind),
                "row": -1 if step.row is None else step.row.index,
                "inputs": [-1 if p is None else self._value(p) for p in step.inputs],
                "outputs": [-1 if p is None else self._value(p) for p in step.outputs],
                "params": params,
                "patches": [(at, self.exprs.of(d), is_float) for at, d, is_float in patches],
                "tile": None if step.tile is None else step.tile.native(),
                "pack": list(step.pack),
                "pack_params": _params_without(step, unread) if step.pack and unread else None,
                "sets": [(a, b, self.exprs.symbol(name)) for a, b, name in step.sets],
                "bodies": [b.native for b in bodies],
                "counts": step.counts,
            }
        )

    # -- planning ----------------------------------------------------------------------------------------------

    def _set_plan(
        self, plan: MemoryPlan, problem: Problem, order: Sequence[int], shares: Sequence[Sequence[tuple[Share, Dim]]]
    ) -> list[int]:
        """Tells the native program order, regions, members and placement; returns each buffer's region."""
        links: dict[int, list[tuple[int, Dim]]] = {}
        for accepted in plan.shared:
            share, offset = shares[accepted.step][accepted.offer]
            links.setdefault(share.read, []).append((share.write, offset))
            links.setdefault(share.write, []).append((share.read, -1 * offset))
        region_of = [-1] * len(problem.buffers)
        member_offset = [self.exprs.of(0)] * len(problem.buffers)
        output_of = dict(plan.guests)
        # Bytes expression, first, last, output buffer or -1, the output in whose memory it may lie or -1
        regions: list[tuple[int, int, int, int, int]] = []
        for number, region in enumerate(plan.classes):
            origin = region.output if region.output >= 0 else region.members[0].buffer
            places = _walk(origin, links)
            lead = next(m.offset for m in region.members if m.buffer == origin)
            end: Dim = 0
            for member in region.members:
                region_of[member.buffer] = number
                offset = places[member.buffer] + self._lead(region, places, lead)
                member_offset[member.buffer] = self.exprs.of(offset)
                end = maximum(end, offset + self.lowered.buffers[member.buffer].bytes)
            regions.append((self.exprs.of(end), region.first, region.last, region.output, output_of.get(number, -1)))
        at = [position for position, s in enumerate(order) if problem.steps[s].scratch_bytes]
        scratch_of = [-1] * len(order)  # the output in whose memory a step's scratch may lie, or -1
        for number, output in plan.guests:
            if number >= len(regions):
                scratch_of[at[number - len(regions)]] = output
        numbers = dict.fromkeys([*(guest.number for guest in plan.guests), *plan.placement_order])
        placement = [i if i < len(regions) else len(regions) + at[i - len(regions)] for i in numbers]
        members = list(zip(region_of, member_offset, strict=True))
        self.native.set_plan(list(zip(order, scratch_of, strict=True)), regions, members, placement)
        return region_of

    def _lead(self, region: Any, places: Mapping[int, Dim], lead: int) -> Dim:
        """What to add so that the lowest member starts at 0: the symbolic distance of the member that is lowest."""
        if lead == 0:
            return 0
        lowest = min(region.members, key=lambda m: m.offset)
        return -1 * places[lowest.buffer]


def _walk(origin: int, links: Mapping[int, Sequence[tuple[int, Dim]]]) -> dict[int, Dim]:
    """Byte distance of every buffer linked to origin."""
    places: dict[int, Dim] = {origin: 0}
    open_ends = [origin]
    while open_ends:
        current = open_ends.pop()
        for other, distance in links.get(current, ()):
            if other not in places:
                places[other] = places[current] + distance
                open_ends.append(other)
    return places


def _stages(
    order: Sequence[int], needs: Sequence[Iterable[str]], setters: Mapping[str, int]
) -> tuple[list[int], dict[str, int]]:
    """Where each stage of the program ends (exclusive position in order), and the stage at which a symbol is known."""
    ends: list[int] = []
    known: dict[str, int] = {}
    by_step: dict[int, list[str]] = {}
    for name, step in setters.items():
        by_step.setdefault(step, []).append(name)
    stage = 0
    for position, step in enumerate(order):
        wanted = max((known[n] for n in needs[step] if n in known), default=0)
        while stage < wanted:
            ends.append(position)
            stage += 1
        for name in by_step.get(step, ()):
            known[name] = stage + 1
    ends.append(len(order))
    while stage < max(known.values(), default=0):
        ends.append(len(order))
        stage += 1
    return ends, known


def _params_without(step: LoweredStep, unread: str) -> bytes | None:
    assert step.row is not None
    read = {name: value for name, value in step.params.items() if name != unread}
    return pack_params(step.row.family, read)[0]


__all__ = ["Built", "Host", "HostOf", "StepKind", "build_program"]
