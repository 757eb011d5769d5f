"""A model to a compiled file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from arenaut import _native
from arenaut.compiled.container import WEIGHTS, Content, Made, this_build, write_container
from arenaut.compiled.graphs import graph_section
from arenaut.compiled.info import info_section
from arenaut.compiled.origin import Provenance
from arenaut.compiled.parts import (
    PREPARED,
    Answer,
    DefaultPort,
    Defaults,
    HostStep,
    Interface,
    Manifest,
    OpenStep,
    Port,
    Prepared,
    ProgramTable,
    StatePart,
    StatePort,
    StateTable,
    prepared_section,
)
from arenaut.compiled.tables import Writer
from arenaut.executor.common import Executor
from arenaut.executor.compiled import CompiledExecutor
from arenaut.executor.fragments import OpenFragment
from arenaut.executor.host import ProgramHost
from arenaut.executor.outcomes import Outcome
from arenaut.executor.specialised import SpecialisedExecutor
from arenaut.ir.errors import UnsupportedError
from arenaut.ir.graph import Graph, Node, Value
from arenaut.lowering.build import Built
from arenaut.lowering.program import LoweredStep, StepKind
from arenaut.model import Model
from arenaut.plain import replace
from arenaut.stateful import Stateful


def save_model(model: Model, path: str | os.PathLike[str], *, portable: bool = False) -> None:
    """Writes what running the model needs; the file appears whole or not at all.

    portable: with the original model inside, from which other machines and later versions compile it anew. Raises
    UnsupportedError for a model that steps through Python, OSError where the file cannot be written.
    """
    executor, origin = model._executor, Provenance.of(model)
    compiled = isinstance(executor, (CompiledExecutor, SpecialisedExecutor))
    if not compiled or origin is None or not isinstance(model._built, Built):
        raise UnsupportedError("only a model that load_onnx compiled (executor='compiled') can be saved compiled")
    weights = _native.ImageWriter()
    root = executor.general.built if isinstance(executor, SpecialisedExecutor) else model._built
    assert isinstance(root, Built)
    programs = _walk(root)
    inside = portable or _opens(programs) or isinstance(executor, SpecialisedExecutor) or bool(model.default_inputs)
    sections: list[tuple[str, Content]] = [("program", weights.add(root.native))]
    general = list(programs)

    def stored(outcome: Outcome[Any], built: Built) -> Prepared:
        own = _walk(built)
        images = sum([name.startswith(PREPARED) for name, _ in sections])
        sections.append((prepared_section(images), weights.add(built.native)))
        programs.extend(own)
        made_for = outcome.choices
        answers = tuple([Answer(condition, held) for condition, held in made_for.made.items()])
        return Prepared(outcome.ranks, answers, tuple(made_for.env), tuple(made_for.env.values()), len(own))

    prepared = tuple([stored(outcome, built) for outcome, built in _prepared(executor)])
    opened = tuple([
        OpenStep(place, step, tuple([DefaultPort(name, t) for name, t in fragment.outcomes.inputs]),
                 tuple([stored(o, o.program) for o in _met(fragment)]))
        for place, built in enumerate(general) for step, fragment in _fragments(built)
    ])  # fmt: skip
    state: StateTable | None = None
    if model._stateful is not None:
        keeping = _walk(model._stateful.built) if isinstance(model._stateful.built, Built) else []
        keeping = [] if _opens(keeping) else keeping
        if keeping:
            sections.append(("state program", weights.add(keeping[0].native)))
        state = _state_table(model._stateful, len(keeping))
        programs += keeping
    sections += _sections(model, origin, programs, inside, (prepared, opened, state))
    if inside:
        sections += origin.sections()
    sections.append((WEIGHTS, _WeightSection(weights)))
    target = origin.target
    version, fingerprint = this_build()
    made = Made(version, fingerprint, target.tier, target.features)
    place = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(place))
    descriptor, name = tempfile.mkstemp(prefix=".compiling-", dir=folder)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            write_container(file, made, sections)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _WeightSection:
    def __init__(self, weights: _native.ImageWriter) -> None:
        self._weights = weights

    def __call__(self, file: BinaryIO) -> None:
        file.flush()
        os.lseek(file.fileno(), file.tell(), os.SEEK_SET)
        self._weights.write_weights(file.fileno())


def _walk(root: Built) -> list[Built]:
    """The program and its bodies, as `native.walk()` lists them."""
    by_native = {id(b.native): b for b in _all(root)}
    return [by_native[id(p)] for p in root.native.walk()]


def _all(built: Built) -> list[Built]:
    return [built, *[inner for body in built.bodies for inner in _all(body)]]


def _prepared(executor: Executor) -> Iterator[tuple[Outcome[Executor], Built]]:
    """The programs that were made ahead of time. One with open parts is made from the original, which makes those."""
    if not isinstance(executor, SpecialisedExecutor):
        return
    for outcome in executor.outcomes.made:
        built = outcome.program.built
        if isinstance(built, Built) and outcome.program is not executor.general and not _opens(_walk(built)):
            yield outcome, built


def _fragments(built: Built) -> list[tuple[int, OpenFragment]]:
    """The open steps of a program that runs have met."""
    host = built.host
    assert isinstance(host, ProgramHost)
    return [(step, f) for step, f in sorted(host.fragments.items()) if isinstance(f, OpenFragment)]


def _met(fragment: OpenFragment) -> list[Outcome[Built]]:
    """Those of its programs that are made for what inputs decide, and have no open parts of their own."""
    found = [o for o in fragment.outcomes.made if not fragment.is_general(o.program)]
    return [o for o in found if not _opens(_walk(o.program))]


def _opens(programs: Sequence[Built]) -> bool:
    return any(step.kind is StepKind.OPEN for built in programs for step in built.lowered.steps)


def _state_table(stateful: Stateful, programs: int) -> StateTable:
    parts = [
        StatePart(p.input, p.output, p.change.value, p.axis, p.told,
                  int(stateful.types[p.input]) if p.input in stateful.types else None)
        for p in stateful.pairs
    ]  # fmt: skip
    use, length = stateful.use, stateful.built.native.state_total
    ports = tuple([StatePort(p.input, p.output, p.axis) for p in use.ports])
    number, value = (-1, False) if stateful.chosen is None else (stateful.chosen.input, stateful.chosen.value)
    return StateTable(tuple(parts), ports, use.total, length, use.capacity, programs, number, value)


def _sections(
    model: Model,
    origin: Provenance,
    programs: Sequence[Built],
    inside: bool,
    made: tuple[tuple[Prepared, ...], tuple[OpenStep, ...], StateTable | None],
) -> list[tuple[str, Content]]:
    hosts = bytearray()
    steps: list[HostStep] = []
    for place, built in enumerate(programs):
        for position, index in enumerate(built.step_order):
            step = built.lowered.steps[index]
            if step.kind is StepKind.HOST:
                data, described = _host_step(step)
                steps.append(replace(described, program=place, step=position, offset=len(hosts), size=len(data)))
                hosts += data
    manifest = Manifest(
        interface=_interface(model),
        programs=tuple([_table(built) for built in programs]),
        hosts=tuple(steps),
        specialised=isinstance(model._executor, SpecialisedExecutor),
        threads=origin.options["threads"] or 0,
        prepared=made[0],
        opened=made[1],
        state=made[2],
    )
    defaults = Defaults(tuple([DefaultPort(n, t) for n, t in model._inputs.defaults.items()]))
    first, outline, events, others = Writer(), Writer(), Writer(), Writer()
    sections: list[tuple[str, Content]] = [
        ("manifest", first.document(first.record(manifest))),
        ("defaults", others.document(others.record(defaults))),
        ("outline", outline.document([outline.record(built.outline) for built in programs])),
        ("origin", origin.described(inside)),
        ("rewrites", events.document([events.record(e) for e in model.rewrites])),
        ("info", info_section(model.info)),
        ("graph", graph_section(model)),
    ]
    return sections + ([("hosts", bytes(hosts))] if hosts else [])


def _table(built: Built) -> ProgramTable:
    dtypes = tuple([None if d is None else int(d) for d in built.dtypes])
    return ProgramTable(
        tuple(built.symbols), tuple(built.input_symbols), dtypes, built.calls_python, built.packed_bytes
    )


def _interface(model: Model) -> Interface:
    inputs = [Port(n, v.name, v.type) for n, v in zip(model._inputs.names, model._inputs.values, strict=True)]
    outputs = [Port(n, v.name, v.type) for n, v in zip(model._output_names, model._results, strict=True)]
    return Interface(model._name, model.stored_nodes, model._node_count, tuple(inputs), tuple(outputs))


def _host_step(step: LoweredStep) -> tuple[bytes, HostStep]:
    """A step that calls an evaluator, as a model of one node, and which of its operands the model is fed."""
    from arenaut.frontend.export import to_model_proto

    node = step.node
    fed: dict[int, int] = {}  # operand -> input of the model
    seen: dict[int, Value] = {}
    graph = Graph("step")
    operands: list[Value | None] = []
    for i, value in enumerate(node.inputs):
        if value is None:
            operands.append(None)
            continue
        if id(value) not in seen:
            twin = Value(f"i{len(seen)}", value.type, value.constant if step.inputs[i] is None else None)
            seen[id(value)] = twin
            if step.inputs[i] is not None:
                graph.inputs.append(twin)
                fed[i] = len(graph.inputs) - 1
        operands.append(seen[id(value)])
    results = [None if v is None else Value(f"o{i}", v.type) for i, v in enumerate(node.outputs)]
    twin_node = Node(node.op, operands, results, node.attributes, domain=node.domain, name=node.name)
    graph.attach(twin_node)
    made = [(i, v) for i, v in enumerate(results) if v is not None]
    graph.outputs.extend(v for _, v in made)
    types = tuple([v.type for v in graph.inputs])
    given = tuple([None if v is None else v.type for v in results])
    described = HostStep(0, 0, 0, 0, tuple(fed), types, tuple([i for i, _ in made]), given)
    return to_model_proto(graph).SerializeToString(), described
