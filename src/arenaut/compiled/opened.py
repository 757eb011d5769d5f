"""A compiled file as a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from arenaut import _native
from arenaut.compiled.container import WEIGHTS, CompiledFile, this_build
from arenaut.compiled.hosted import check_hosts, host_caller
from arenaut.compiled.info import stored_info
from arenaut.compiled.parts import Defaults, Interface, Manifest, Prepared, ProgramTable, StateTable, prepared_section
from arenaut.compiled.tables import DAMAGES, Reader, damaged
from arenaut.executor.common import Executor
from arenaut.executor.compiled import CompiledExecutor
from arenaut.executor.outcomes import MOST_OUTCOMES, Choices, Outcome, Outcomes, shapes_of
from arenaut.executor.specialised import SpecialisedExecutor
from arenaut.inputs import Inputs
from arenaut.ir.dims import Expr
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ArenautError, CompiledFileError, StaleFileError
from arenaut.ir.graph import Graph, Value
from arenaut.lowering.build import Built
from arenaut.lowering.outline import Outline
from arenaut.model import Model
from arenaut.native.target import TIERS, allowed_features, allowed_tier, default_threads, feature_names
from arenaut.plain import cached_property, dataclass, replace

if TYPE_CHECKING:
    from arenaut.frontend import ModelInfo
    from arenaut.ir.infer import Oracle
    from arenaut.ir.types import Type
    from arenaut.passes.context import Event
    from arenaut.results.plan import Plan
    from arenaut.results.profile import Profile
    from arenaut.state import State
    from arenaut.stateful import Stateful

# Loads the model anew from its original, with the options it was compiled with. The text: what for.
Reload = Callable[[str], Model]
P = TypeVar("P")


class Whole:
    """The model loaded anew from its original, once: for what a compiled file does not hold."""

    def __init__(self, reload: Reload) -> None:
        self._reload = reload
        self._lock = Lock()
        self.made: Model | None = None

    def __call__(self, purpose: str) -> Model:
        """Raises CompiledFileError where there is no original."""
        with self._lock:
            if self.made is None:
                self.made = self._reload(purpose)
            return self.made

    def forget(self) -> None:
        with self._lock:
            self.made = None


class OpenedProgram:
    """A program of a compiled file; see lowering.outline.Described."""

    def __init__(
        self, native: _native.Program, table: ProgramTable, threads: int, outline: Callable[[], Outline],
        bodies: Mapping[int, OpenedProgram],
    ) -> None:  # fmt: skip
        self.native = native
        self.symbols = list(table.symbols)
        self.input_symbols = list(table.input_symbols)
        self.dtypes = [None if d is None else DType(d) for d in table.dtypes]
        self.calls_python = table.calls_python
        self.packed_bytes = table.packed_bytes
        self.threads = threads
        self._outline = outline
        self._bodies = bodies  # by the identity of native programs

    @cached_property
    def outline(self) -> Outline:
        return self._outline()

    def inside(self) -> Iterator[OpenedProgram]:
        yield self
        for program in self._bodies.values():
            if program is not self:
                yield program

    def bodies_of(self, position: int) -> list[OpenedProgram]:
        return [self._bodies[id(body)] for body in self.native.bodies_of(position)]


def check_made(file: CompiledFile) -> None:
    """Raises StaleFileError where the file was made by another version, or for a machine that has more."""
    version, fingerprint = this_build()
    made = file.made
    again = "Compile the model again: arenaut compile model.onnx -o model.arn"
    if made.version != version:
        raise StaleFileError(f"'{file.path}' was compiled by arenaut {made.version}, and this is {version}. {again}")
    if made.fingerprint != fingerprint:
        raise StaleFileError(f"'{file.path}' was compiled by another build of arenaut {version}. {again}")
    if made.tier >= len(TIERS):
        raise CompiledFileError(f"'{file.path}' is damaged: there is no tier {made.tier}. {again}")
    tier = allowed_tier()
    missing = made.features & ~allowed_features(tier)
    if made.tier > tier or missing:
        lacks = TIERS[made.tier] if made.tier > tier else ", ".join(feature_names(missing)) or f"feature {missing:#x}"
        raise StaleFileError(
            f"'{file.path}' was compiled for {lacks}, which this machine does not have or may not use (its tier is "
            f"{TIERS[tier]}). Compile it for less: arenaut compile --isa {TIERS[tier]} model.onnx -o model.arn"
        )


def open_compiled(
    file: CompiledFile,
    reload: Reload,
    *,
    threads: int | None = None,
    max_memory: int | None = None,
    check_weights: bool = False,
) -> OpenedModel:
    """The model of a compiled file. reload: loads the original anew. check_weights: looks at their checksum too.

    Raises StaleFileError for a file of another version or for another machine, CompiledFileError for a damaged one.
    """
    check_made(file)
    try:
        return _opened(file, reload, threads, max_memory, check_weights)
    except DAMAGES as error:
        raise damaged(file.path, "its tables", error) from None


def _opened(
    file: CompiledFile, reload: Reload, threads: int | None, max_memory: int | None, check_weights: bool
) -> OpenedModel:
    reader = Reader(file.section("manifest"))
    manifest: Manifest = reader.record(Manifest, reader.content)
    weights = file.section(WEIGHTS, check=check_weights)
    available = default_threads()
    _native.set_pool_limit(available)
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads}: at least 1")
    used = threads or manifest.threads or available
    whole = Whole(reload)
    read = _Programs(file, manifest, weights, used, whole)
    others = [*manifest.prepared, *[met for each in manifest.opened for met in each.met]]
    keeping = 0 if manifest.state is None else manifest.state.programs
    own = len(manifest.programs) - keeping - sum([each.programs for each in others])
    program = read.program("program", own)
    executor: Executor = CompiledExecutor(program, max_memory)
    if manifest.specialised:
        executor = specialised = _specialised(manifest, executor, whole)
        read.into(specialised.outcomes, manifest.prepared, lambda made: CompiledExecutor(made, max_memory))
    for step in manifest.opened:
        known = Outcomes[OpenedProgram]([(p.name, p.type) for p in step.inputs], _made_elsewhere)
        read.into(known, step.met, lambda made: made)
        read.opened[step.program, step.step] = known
    return OpenedModel(file, manifest, program, executor, whole, read, max_memory)


@dataclass
class _Programs:
    """Reads the programs of a file one after the other, as their tables follow each other.

    read: tables so far; images: prepared programs so far. opened: what open steps have met, by table and step.
    """

    file: CompiledFile
    manifest: Manifest
    weights: memoryview
    threads: int
    whole: Whole
    read: int = 0
    images: int = 0
    opened: dict[tuple[int, int], Outcomes[OpenedProgram]] = field(default_factory=dict)

    def into(self, outcomes: Outcomes[P], stored: Sequence[Prepared], of: Callable[[OpenedProgram], P]) -> None:
        """Adds the next prepared programs to what serves the same inputs."""
        if len(stored) > MOST_OUTCOMES:
            raise ValueError("more programs than sizes may decide between")
        for each in stored:
            made = self.program(prepared_section(self.images), each.programs)
            self.images += 1
            sizes = dict(zip(each.names, each.sizes, strict=True))
            answers = {a.condition: a.held for a in each.answers if isinstance(a.condition, Expr)}
            outcomes.add(Outcome(each.ranks, Choices(sizes, answers), of(made)))

    def program(self, section: str, tables: int) -> OpenedProgram:
        """The program of a section, which has so many tables."""
        file, first = self.file, self.read
        if tables < 1:
            raise ValueError("a program without a table")
        self.read += tables
        try:
            native = _native.read_program(file.section(section), self.weights, self.threads)
        except ValueError as error:
            raise damaged(file.path, f"its section '{section}'", error) from None
        bodies: dict[int, OpenedProgram] = {}
        own = self.manifest.programs[first : self.read]
        for place, (each, table) in enumerate(zip(native.walk(), own, strict=True), first):
            if len(table.symbols) != each.symbol_count() or len(table.dtypes) != each.output_count():
                raise ValueError("a program has other symbols or outputs than its table")
            program = OpenedProgram(each, table, self.threads, partial(_outline, file, place), bodies)
            steps = {h.step: h for h in self.manifest.hosts if h.program == place}
            check_hosts(steps, each)
            each.host_call = host_caller(file, steps, program)
            each.open_call = partial(_open_fragment, self.opened, self.whole, place)
            bodies[id(each)] = program
        return bodies[id(native)]


def _made_elsewhere(oracle: Oracle, types: Sequence[Type | None]) -> OpenedProgram:
    raise CompiledFileError("a compiled file makes no programs of its own")


def _open_fragment(
    opened: Mapping[tuple[int, int], Outcomes[OpenedProgram]], whole: Whole, place: int, step: int, arrays: list[Any]
) -> tuple[_native.Program, Sequence[int]]:
    """The program of a fragment: one that the file holds, else the original has the same steps, and makes it."""
    known = opened.get((place, step))
    if known is not None and len(known.inputs) == len(arrays):
        met = known.find(shapes_of(arrays), arrays)
        if met is not None:
            return met.native, known.asked
    root = whole("running parts whose ranks only a run knows")._built
    natives = root.native.walk()
    found = next((b for b in root.inside() if place < len(natives) and b.native is natives[place]), None)
    if not isinstance(found, Built) or not found.opens_at(step):
        raise CompiledFileError("a compiled file has other programs than its original. Compile the model again")
    made, asked = found.host.open(step, arrays)
    return made, asked if known is None else sorted({*asked, *known.asked})


def _outline(file: CompiledFile, place: int) -> Outline:
    return _outlines(file)[place]


def _outlines(file: CompiledFile) -> tuple[Outline, ...]:
    try:
        reader = Reader(file.section("outline"))
        found: tuple[Outline, ...] = reader.record(tuple[Outline, ...], reader.content)
        for outline in found:
            _check_numbers(outline)
        return found
    except DAMAGES as error:
        raise damaged(file.path, "what it tells of its programs", error) from None


def _check_numbers(outline: Outline) -> None:
    """What it names by number is there. Raises ValueError."""
    buffers, steps = range(len(outline.buffers)), range(len(outline.steps))
    used = [b for u in outline.uses for b in (*u.reads, *u.writes, *[n for o in u.offers for n in (o.write, o.read)])]
    used += [b for c in outline.classes for b in (*c.members, max(c.output, 0), max(c.guest_of, 0))]
    used += [*outline.outputs, *outline.held, *[b for s in outline.shares for b in (s.write, s.read)]]
    used += [max(s.scratch_guest_of, 0) for s in outline.steps]
    later = [*[s for u in outline.uses for s in u.after], *[s.step for s in outline.shares]]
    whole = sorted(s.index for s in outline.steps) == list(steps) and len(outline.uses) == len(steps)
    if not whole or any(b not in buffers for b in used) or any(s not in steps for s in later):
        raise ValueError("a number that names nothing")


def _specialised(manifest: Manifest, general: Executor, whole: Whole) -> SpecialisedExecutor:
    """Programs for sizes that are known ahead of time are made from the original."""

    def for_sizes(oracle: Oracle, types: Sequence[Type | None]) -> Executor | None:
        executor = whole("preparing sizes that decide ranks")._executor
        return executor.build(oracle, types) if isinstance(executor, SpecialisedExecutor) else executor

    return SpecialisedExecutor(general, [(p.value, p.type) for p in manifest.interface.inputs], for_sizes)


class OpenedModel(Model):
    """A model opened from a compiled file. What only people ask for is read when they ask."""

    def __init__(
        self, file: CompiledFile, manifest: Manifest, program: OpenedProgram, executor: Executor, whole: Whole,
        read: _Programs, max_memory: int | None,
    ) -> None:  # fmt: skip
        face: Interface = manifest.interface
        self._file = file
        self._whole = whole
        self._left, self._max_memory = read, max_memory
        self.stored_nodes = face.stored_nodes
        self._name, self._nodes = face.name, face.nodes
        inputs = [Value(p.value, p.type) for p in face.inputs]
        results = [Value(p.value, p.type) for p in face.outputs]
        names = tuple([p.name for p in face.outputs])
        self._face(Inputs([p.name for p in face.inputs], inputs, self._stored_defaults),
                   names, results, program, executor, self._fed_anew)  # fmt: skip

    def _stored_defaults(self) -> list[tuple[str, Type | None]]:
        try:
            reader = Reader(self._file.section("defaults"))
            defaults: Defaults = reader.record(Defaults, reader.content)
        except DAMAGES as error:
            raise damaged(self._file.path, "its section 'defaults'", error) from None
        return [(port.name, port.type) for port in defaults.ports]

    @property
    def graph(self) -> Graph:
        """The optimised graph. Weights that only packed forms need are had again from the original model."""
        return self._stored_graph

    @cached_property
    def _stored_graph(self) -> Graph:
        from arenaut.compiled.graphs import stored_graph

        return stored_graph(self._file, lambda: self._whole("looking at weights").graph)

    @cached_property
    def rewrites(self) -> tuple[Event, ...]:  # type: ignore[override]
        from arenaut.passes.context import Event

        try:
            reader = Reader(self._file.section("rewrites"))
            found: tuple[Event, ...] = reader.record(tuple[Event, ...], reader.content)
        except DAMAGES as error:
            raise damaged(self._file.path, "its list of rewrites", error) from None
        return found

    @cached_property
    def info(self) -> ModelInfo:  # type: ignore[override]
        return stored_info(self._file)

    @property
    def _node_count(self) -> int:
        return self._nodes

    @property
    def mapped_from(self) -> str | None:
        return self._file.path

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What damaged tables break, said as that."""
        try:
            yield
        except ArenautError:
            raise
        except DAMAGES as error:
            raise damaged(self._file.path, "what it tells of its programs", error) from None

    @property
    def plan(self) -> Plan:
        with self._telling():
            return super().plan

    def memory(self, sizes: Mapping[str, int] | None = None, /, *, state: State | None = None, **dims: int) -> Plan:
        with self._telling():
            return super().memory(sizes, state=state, **dims)

    def profile(self, *args: Any, repeat: int = 10, **kwargs: Any) -> Profile:
        with self._telling():
            return super().profile(*args, repeat=repeat, **kwargs)

    def _stateful_or_refuse(self) -> Stateful:
        """The program that keeps a state is read when it is first asked for. One with open parts is made from the
        original."""
        table = self._left.manifest.state
        if self._stateful is None and table is not None and table.programs == 0:
            self._stateful = self._whole("keeping a state")._stateful
        if self._stateful is None and table is not None:
            try:
                self._stateful = self._read_stateful(table)
            except DAMAGES as error:
                raise damaged(self._file.path, "its state", error) from None
        return super()._stateful_or_refuse()

    def _read_stateful(self, table: StateTable) -> Stateful:
        from arenaut.lowering.pairs import Change, Chosen, Pair
        from arenaut.lowering.program import Port, StateUse
        from arenaut.stateful import Stateful

        left = replace(self._left, read=len(self._left.manifest.programs) - table.programs)
        program = left.program("state program", table.programs)
        pairs = [Pair(p.input, p.output, Change(p.change), p.axis, p.told) for p in table.parts]
        values, count = self._inputs.values, len(self._output_names)
        for pair in pairs:
            known = 0 <= pair.input < len(values) and 0 <= pair.output < count
            if not known or not -1 <= pair.axis < values[pair.input].rank:
                raise ValueError("a part of the state that is no input or output")
        ports = tuple([Port(p.input, p.output, p.axis) for p in table.ports])
        if [p.input for p in ports] != [p.input for p in pairs]:
            raise ValueError("parts of the state that the program does not take")
        program.native.use_state([(i, p.input, p.output, p.axis) for i, p in enumerate(ports)], table.length)
        types = {p.input: DType(p.kept) for p in table.parts if p.kept is not None}
        for pair in pairs:
            if types.get(pair.input, values[pair.input].dtype) != program.native.input_dtype(pair.input):
                raise ValueError("a part of the state of another type than the program takes")
        chosen = None if table.chosen < 0 else Chosen(table.chosen, table.value)
        if chosen is not None and not chosen.fits(values):
            raise ValueError("a branch that no input of the model chooses")
        return Stateful(
            program, StateUse(ports, table.total, table.capacity), types, pairs, self._inputs, self._output_names,
            self._results, self._max_memory, chosen,
        )  # fmt: skip

    def _fed_anew(self, names: Collection[str]) -> Model:
        return self._whole("feeding inputs that have defaults").feeding(*names)

    def save(self, path: Any, *, portable: bool = False) -> None:
        """Writes the model as a compiled file, from its original."""
        whole = self._whole("saving a model that was opened")
        if isinstance(whole._executor, SpecialisedExecutor) and isinstance(self._executor, SpecialisedExecutor):
            whole._executor.prepare_as(self._executor.outcomes)
        whole.save(path, portable=portable)

    def trim(self) -> int:
        self._whole.forget()
        return super().trim()
