"""load_onnx: from a file to a model that runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, Literal, cast, get_args

from arenaut.collector import held_back, holds
from arenaut.compiled.container import is_compiled
from arenaut.config import CACHE_VARIABLE, detail, inform, variable
from arenaut.executor.common import Executor
from arenaut.executor.compiled import CompiledExecutor
from arenaut.executor.fragments import OpenFragment
from arenaut.executor.host import ProgramHost
from arenaut.executor.specialised import SpecialisedExecutor
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ArenautError, InternalError, InvalidModelError, blamed_on
from arenaut.ir.graph import Array, Graph
from arenaut.ir.infer import Oracle, asking
from arenaut.ir.limits import Limits, within
from arenaut.ir.target import Precision, Target, WeightForm
from arenaut.ir.types import Type
from arenaut.lowering.build import Built, build_program, draft_program
from arenaut.lowering.fragments import size_of
from arenaut.lowering.lower import NotAppendedError, lower_graph
from arenaut.lowering.pairs import Change, Chosen, Pair, branch_pair, choosers, find_pairs
from arenaut.lowering.pipeline import LoweringOptions, run_lowered_pipeline
from arenaut.lowering.program import Lowered
from arenaut.lowering.weights import WeightStore
from arenaut.model import Model, count_nodes
from arenaut.native.target import current_target
from arenaut.options import bytes_of, check_loading, one_of, refused, threads_of
from arenaut.origin import Origin
from arenaut.plain import dataclass, replace
from arenaut.planner import Effort
from arenaut.released import ReleasedConstants, trim_heap
from arenaut.stateful import Stateful

if TYPE_CHECKING:
    import onnx

    from arenaut.executor.interpreted import Backend
    from arenaut.frontend import ImportedModel, Revision
    from arenaut.frontend.blobs import ExternalFiles
    from arenaut.passes.context import Event

ExecutorName = Literal["compiled", "interpreted"]
CachePrecision = Literal["stored", "bfloat16", "float16", "int8"]
VerifyLevel = Literal["off", "structure", "types", "full"]
VERIFY_VARIABLE = "ARENAUT_VERIFY"
# Positions that a program with a state is planned for: more than its typical lengths.
_TYPICAL_CAPACITY = 1 << 12
# What constants that are no views of a file may take to stay beside their packed forms, for programs built later.
MOST_SHARED_BYTES = 64 << 20


def load_onnx(
    source: str | PathLike[str] | bytes | IO[bytes] | onnx.ModelProto,
    *,
    threads: int | None = None,
    executor: ExecutorName = "compiled",
    optimize: bool = True,
    max_memory: int | None = None,
    optimize_memory: Literal["fast", "default", "max"] = "default",
    shapes: Mapping[str, int] | None = None,
    backends: Sequence[str] = ("native", "reference"),
    verify: VerifyLevel | None = None,
    stop_after: int | None = None,
    exact_conv: bool = False,
    winograd_limit: int | None = None,
    precision: Precision = "stored",
    weights: WeightForm = "stored",
    without: Collection[str] = (),
    revision: Revision | None = None,
    state: Mapping[str, str] | bool | None = None,
    cache_precision: CachePrecision = "stored",
    isa: str | None = None,
    cache: bool | str | PathLike[str] | None = None,
    limits: Limits | None = None,
) -> Model:
    """Reads an ONNX model and makes it ready to run, or opens one that `Model.save` or `arenaut compile` made ready.

    source           a path, the bytes of a file, a file opened for reading bytes, or a ModelProto; or the path of a
                     compiled file, which takes threads and max_memory only: the others are compiled in.
                     verify="full" reads all its weights once.
    threads          at most this many threads a run; None: the CPUs this process may use.
    executor         "compiled": one native call a run; "interpreted": step by step from Python, for debugging.
    optimize         False runs the graph as stored.
    max_memory       bytes of arena and outputs that a run may need; a larger plan raises MemoryLimitError before
                     anything is allocated.
    optimize_memory  how hard the planner searches: "max" may take seconds.
    shapes           typical sizes of symbolic dims by name, which the planner then plans for; any size still runs.
                     Where ranks hang on sizes, the program of these is built at once (`Model.prepare`).
    backends         of the interpreted executor, tried in order for each step.
    verify           how much of the graph is checked after each optimisation pass; None: as ARENAUT_VERIFY says, else
                     nothing.
    stop_after       only the first so many optimisation passes, to find the one that a wrong result comes from.
    exact_conv       every convolution sums its terms directly. Otherwise Winograd's algorithm may take 3 x 3 ones,
                     whose outputs then err, and are NaN or infinite, together with those beside them.
    winograd_limit   bytes that filters transformed for Winograd's algorithm may add; None: as many as the weights.
    precision        "bfloat16": operands of float products and convolutions are rounded to the nearest bfloat16 first,
                     which processors multiply many times faster; sums stay float32. A sum of products a * b then errs
                     by at most 2^-8 of the sum of |a * b|, about 2^-9 / sqrt(terms) of it where signs are mixed.
                     "stored": products keep what is stored, float16 and bfloat16 included.
    weights          "int8", "int4": constant float32 weights of products become codes of so many bits in blocks of 32
                     with a scale each, a quarter or an eighth of the bytes; `arenaut explain` says how much each errs.
                     Weights of convolutions and tables that a Gather reads stay as stored.
    without          names of arenaut.ir.target.OPTIMISATIONS to leave out, to see what each is worth.

    revision         sizes of symbolic dims that hold for good, and weights, in place of those of the file:
                     Revision(dims={"batch": 1}).

    state            inputs and the outputs that become them from run to run, by name: {"h": "hn"}. None: those that
                     are called as exporters call them (past_key_values.0.key and present.0.key, ...). Each pair is
                     checked by its graph. Model.new_state makes their memory. False: none.
    cache_precision  "bfloat16", "float16", "int8": a state keeps what runs append to or update as such numbers, where
                     the model has float32: half the bytes to hold and to read, or little more than a quarter. New rows
                     are rounded to the nearest, floats by 2^-8 or 2^-11 of each at most (float16 from 6e-5 to 65504),
                     int8 by 1/254 of the largest of its row (a position of a head), which has a scale of its own;
                     products and sums stay float32. Plain calls are not concerned.

    isa              at most this tier (baseline, v3 or v4), with features by name: "v3", "v3+avx_vnni". Such a model
                     can be saved for a machine that has no more. None: all that this machine has.
    cache            a folder of compiled files, True for the user's own: the first load of a model's content with these
                     options compiles and stores, later ones open. None: as ARENAUT_CACHE says (a folder, or 1 for the
                     user's own), else none. Bounded by ARENAUT_CACHE_BYTES, 4 GiB where that is not set.

    limits           what the model may hold and how long loading may take, for models of strangers:
                     Limits(seconds=10, nodes=10_000). None: the defaults of arenaut.Limits, without a limit of time.

    Raises InvalidModelError, UnsupportedError, ShapeError or ExternalDataError (all ModelError) with what to do;
    CompiledFileError for a compiled file that is damaged, or for another machine or version (StaleFileError) while its
    original is neither inside, nor where it was, nor beside it; CacheError for a cache folder of somebody else.
    """
    given: dict[str, Any] = {name: value for name, value in locals().items() if name != "source"}
    check_loading(given)
    if isinstance(source, (str, PathLike)) and is_compiled(os.fspath(source)):
        from arenaut.compiled.opening import open_file

        model = open_file(os.fspath(source), given, _made)
        model._origin = Origin.of(source, given)
        return model
    if cache is None and not variable(CACHE_VARIABLE):
        return _made(source, given, None)
    from arenaut.compiled.cache import cache_folder
    from arenaut.compiled.opening import load_through

    folder = cache_folder(cache)
    if folder is None:
        return _made(source, given, None)
    target = current_target(threads_of(threads), without, precision, weights, isa)
    return load_through(source, folder, given, target, _made)


def _made(source: Any, given: Mapping[str, Any], held: ExternalFiles | None) -> Model:
    """What load_onnx does with a model's own file. given: its other arguments. held: see import_model."""
    one_of("optimize_memory", given["optimize_memory"], get_args(Effort))
    options = _Options(
        target=current_target(
            threads_of(given["threads"]), given["without"], given["precision"], given["weights"], given["isa"]
        ),
        level=_verify_level(given["verify"]),
        passes=given["stop_after"] if given["optimize"] else 0,
        lowering=LoweringOptions(given["shapes"] or {}, given["exact_conv"], given["winograd_limit"]),
        effort=given["optimize_memory"],
        max_memory=bytes_of("max_memory", given["max_memory"]),
        backends=None if given["executor"] == "compiled" else _backends(given["backends"]),
        state=_state_option(given["state"]),
        cache=_cache_type(given["cache_precision"]),
    )
    with blamed_on(InvalidModelError, "loading the model"), within(given["limits"]), held_back():
        from arenaut.frontend.source import resolved

        began = time.perf_counter()
        source = resolved(source)
        imported = _import(source, given["revision"], held)
        model = _load(imported, options)
    model._origin = Origin.of(source, given)
    model._external, model._target = imported.external, options.target
    inform("loaded %r in %.1f ms", model, 1e3 * (time.perf_counter() - began))
    return model


@dataclass(frozen=True)
class _Options:
    """What a model is made with. passes: how many optimisation passes run; None: all. backends: of the interpreted
    executor; None for the compiled one."""

    target: Target
    level: VerifyLevel
    passes: int | None
    lowering: LoweringOptions
    effort: Effort
    max_memory: int | None
    backends: Sequence[Backend] | None
    state: Mapping[str, str] | bool | None = None
    cache: DType | None = None


@dataclass(frozen=True)
class _Weights:
    """constants: those of the graph, which are let go of once packed, unless programs share them. store: packs them."""

    constants: ReleasedConstants
    store: WeightStore
    specialised: bool  # ranks hang on sizes: each outcome gets a program of its own
    shared: bool  # by these programs


def _load(imported: ImportedModel, options: _Options) -> Model:
    """Steps two to five; a program for the typical sizes, where ranks hang on sizes."""
    stored_nodes = count_nodes(imported.graph)
    rewrites = _optimise(imported.graph, options)
    lowered = _lower(imported.graph, options)
    weights = _weights(imported, options)
    specialiser = _Specialiser(options, weights, imported.mapped)
    pairs, stateful, chosen = _draft_stateful(imported, options, specialiser, weights)
    built = specialiser.plan(lowered, weights.store)
    trim_heap()
    runner = _make_ready(built, imported, options, weights, specialiser)

    def fed(defaults: Collection[str]) -> Model:
        detail("a program for fed defaults %s", sorted(defaults))
        assert imported.again is not None
        with blamed_on(InvalidModelError, "loading the model anew for fed defaults"):
            return _load(imported.again(defaults), options)

    model = Model(imported, stored_nodes, rewrites, weights.constants, built, runner, fed)
    if stateful is not None:
        assert stateful.lowered.state is not None
        kept = {i: place.dtype for i, place in stateful.lowered.wholes.items()}
        model._stateful = Stateful(
            stateful, stateful.lowered.state, kept, pairs, model._inputs, model._output_names, model._results,
            options.max_memory, chosen,
        )  # fmt: skip
    if options.lowering.hints and isinstance(runner, SpecialisedExecutor):
        model.prepare(options.lowering.hints)
    return model


def _import(source: Any, revision: Revision | None, held: ExternalFiles | None = None) -> ImportedModel:
    """One: the file becomes an ir.Graph, in which every op means what the newest opset says."""
    from arenaut.frontend import AS_STORED, import_model

    return import_model(source, revision=revision or AS_STORED, held=held)


def _optimise(graph: Graph, options: _Options) -> Sequence[Event]:
    """Two: the passes rewrite the graph."""
    if options.passes == 0:
        return ()
    from arenaut.passes import run_pipeline

    return run_pipeline(graph, options.target, level=options.level, stop_after=options.passes)


def _lower(graph: Graph, options: _Options, most: int | None = None) -> Lowered:
    """Three: the graph becomes steps on places in memory, which the lowered passes rewrite."""
    return run_lowered_pipeline(lower_graph(graph, options.target, most), options.target, options.lowering)


def _draft_stateful(
    imported: ImportedModel, options: _Options, specialiser: _Specialiser, weights: _Weights
) -> tuple[Sequence[Pair], Built | None, Chosen | None]:
    """The program of the same graph that keeps the model's state, which shares all packed weights; None where the
    model has no state. And what it was chosen for, where it is that of one branch."""
    if options.state is False or options.backends is not None:
        return (), None, None
    given = options.state if isinstance(options.state, Mapping) else None
    found = find_pairs(imported.graph, imported.input_names, imported.output_names, given)
    graph, pairs, chosen = _appending_branch(imported, options, found)
    if graph is not imported.graph:
        weights.constants.follow(graph)
    while pairs:
        try:
            lowered = lower_graph(graph, options.target, pairs=pairs, cache=options.cache)
        except NotAppendedError as error:
            (pair,) = error.args
            pairs = [replace(p, change=Change.REPLACES, axis=-1) if p is pair else p for p in pairs]
            continue
        assert lowered.state is not None
        hints = {lowered.state.capacity: _TYPICAL_CAPACITY, **options.lowering.hints}
        lowered = run_lowered_pipeline(lowered, options.target, replace(options.lowering, hints=hints))
        return pairs, specialiser.draft(lowered, weights.store), chosen
    return (), None, None


def _appending_branch(
    imported: ImportedModel, options: _Options, pairs: Sequence[Pair]
) -> tuple[Graph, Sequence[Pair], Chosen | None]:
    """The graph that a state's program is made of, its pairs, and what it is for: where an input chooses between
    branches (use_cache_branch), that of the value with which more parts are appended to than are by all of the model.
    """
    graph = imported.graph
    if options.passes is not None or not any(p.change.is_new for p in pairs):
        return graph, pairs, None
    from arenaut.passes.settle_input import decides, keep, settle_input

    for number in choosers(graph.inputs):
        for value in (True, False) if decides(graph, number) else ():
            twin = graph.copy()
            settle_input(twin, number, value)
            _optimise(twin, replace(options, level="off"))
            found = [branch_pair(twin, p) for p in pairs]
            for pair in found:
                if pair.change is Change.KEEPS:
                    keep(twin, pair.input, pair.output)
            if _appended(found) > _appended(pairs):
                return twin, found, Chosen(number, value)
    return graph, pairs, None


def _appended(pairs: Sequence[Pair]) -> int:
    return sum(p.change is Change.APPENDS for p in pairs)


def _weights(imported: ImportedModel, options: _Options) -> _Weights:
    """What only packed forms need is let go of: asked for, it is imported and optimised once more."""
    from arenaut.passes.specialise import has_open_ranks

    def again() -> Graph:
        assert imported.again is not None
        graph = imported.again(None).graph
        _optimise(graph, replace(options, level="off"))
        return graph

    constants = ReleasedConstants(imported.graph, again, imported.mapped)
    specialised = options.passes is None and has_open_ranks(imported.graph)
    shared = specialised and constants.bytes <= MOST_SHARED_BYTES
    holds(constants.bytes if shared else 0)
    store = WeightStore(imported.mapped, None if shared else constants.release)
    return _Weights(constants, store, specialised, shared)


class _Specialiser:
    """Four: order and memory are planned, weights packed, and the native program is built. Parts whose ranks only a
    run knows become programs then, the same way."""

    def __init__(self, options: _Options, weights: _Weights, mapped: Sequence[tuple[int, int]]) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._store = weights.store if weights.shared else WeightStore(mapped)

    def plan(self, lowered: Lowered, store: WeightStore) -> Built:
        host = partial(ProgramHost, fragment=self._fragment)
        return build_program(lowered, self._options.target, host, effort=self._options.effort, weights=store)

    def draft(self, lowered: Lowered, store: WeightStore) -> Built:
        """A program whose weights are packed with those of the next one that is planned."""
        host = partial(ProgramHost, fragment=self._fragment)
        return draft_program(lowered, self._options.target, host, self._options.effort, store)

    def whole(self, graph: Graph, oracle: Oracle, types: Sequence[Type | None], store: WeightStore) -> Built | None:
        """The program of a graph for what the oracle answers; None where that contradicts the model."""
        with self._lock:
            return self._specialised(graph, oracle, types, store, None)

    def _fragment(self, graph: Graph) -> OpenFragment:
        return OpenFragment(graph, self._build_fragment, self._lock)

    def _build_fragment(self, graph: Graph, oracle: Oracle | None, types: Sequence[Type | None]) -> Built | None:
        if oracle is None:
            return self.plan(_lower(_with_own_sizes(graph, types), self._options, 0), self._store)
        return self._specialised(graph, oracle, types, self._store, size_of(graph))

    def _specialised(
        self, graph: Graph, oracle: Oracle, types: Sequence[Type | None], store: WeightStore, most: int | None
    ) -> Built | None:
        from arenaut.passes.specialise import specialise

        detail("a program for ranks %s", [str(t) for t in types])
        twin = graph.copy()
        try:
            with blamed_on(InvalidModelError, "specialising the model"), asking(oracle), held_back():
                specialise(twin, types)
                _optimise(twin, replace(self._options, level="off"))
                return self.plan(_lower(twin, self._options, most), store)
        except InternalError:
            raise
        except ArenautError:
            return None


def _with_own_sizes(graph: Graph, types: Sequence[Type | None]) -> Graph:
    """A copy of a fragment whose types name sizes of its own inputs, not of the graph around it.

    As it is, where these types contradict the model: the node that does then ends the run.
    """
    from arenaut.passes.specialise import specialise

    twin = graph.copy()
    try:
        specialise(twin, types)
    except InternalError:
        raise
    except ArenautError:
        return graph.copy()
    return twin


def _make_ready(
    built: Built, imported: ImportedModel, options: _Options, weights: _Weights, specialiser: _Specialiser
) -> Executor:
    """Five: an executor for the program; where ranks hang on sizes, also for whole programs made ahead of time."""
    general = _executor(built, options)
    if not weights.specialised:
        return general

    def for_sizes(oracle: Oracle, types: Sequence[Type | None]) -> Executor | None:
        store = weights.store if weights.shared else WeightStore(imported.mapped, _keep)
        found = specialiser.whole(imported.graph, oracle, types, store)
        return None if found is None else _executor(found, options)

    return SpecialisedExecutor(general, [(v.name, v.type) for v in imported.graph.inputs], for_sizes)


def _executor(built: Built, options: _Options) -> Executor:
    if options.backends is None:
        return CompiledExecutor(built, options.max_memory)
    from arenaut.executor.interpreted import InterpretedExecutor

    return InterpretedExecutor(built, options.max_memory, options.backends)


def _backends(names: Sequence[str]) -> Sequence[Backend]:
    from arenaut.backends.chain import resolve_backends

    return resolve_backends(names)


def _cache_type(given: Any) -> DType | None:
    one_of("cache_precision", given, get_args(CachePrecision))
    return {"bfloat16": DType.BFLOAT16, "float16": DType.FLOAT16, "int8": DType.INT8}.get(given)


def _state_option(given: Any) -> Mapping[str, str] | bool | None:
    if given is None or isinstance(given, bool):
        return given
    if not isinstance(given, Mapping) or not all(isinstance(n, str) for pair in given.items() for n in pair):
        raise refused("state", given, 'a dict of outputs by input, such as {"h": "hn"}, None or False')
    return given


def _keep(array: Array) -> None:
    """Constants of a graph that stays are not let go."""


def _verify_level(chosen: VerifyLevel | None) -> VerifyLevel:
    level = chosen or variable(VERIFY_VARIABLE) or "off"
    for known in get_args(VerifyLevel):
        if level == known:
            return cast(VerifyLevel, level)
    raise refused("verify", level, ", ".join(get_args(VerifyLevel)))


__all__ = ["load_onnx"]
