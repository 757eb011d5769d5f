"""load_onnx: from a file to a model that runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Literal, cast, get_args

from arenaut.executor.common import Executor, make_host_call
from arenaut.executor.compiled import CompiledExecutor
from arenaut.executor.specialised import SpecialisedExecutor
from arenaut.ir.errors import RULE_ERRORS, ArenautError, InvalidModelError, MemoryLimitError
from arenaut.ir.graph import Array, Graph
from arenaut.ir.infer import Oracle, asking
from arenaut.ir.types import Type
from arenaut.lowering.build import Built, build_program
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.weights import WeightStore
from arenaut.lowering.winograd import choose_filters
from arenaut.model import Model, count_nodes
from arenaut.native.target import current_target
from arenaut.released import ReleasedConstants, trim_heap

if TYPE_CHECKING:
    import onnx

    from arenaut.frontend import ImportedModel
    from arenaut.passes.context import Event

ExecutorName = Literal["compiled", "interpreted"]
VerifyLevel = Literal["off", "structure", "types", "full"]
VERIFY_VARIABLE = "ARENAUT_VERIFY"
# What constants that are no views of a file may take to stay beside their packed forms, for programs built later.
MOST_SHARED_BYTES = 64 << 20


def load_onnx(
    source: str | PathLike[str] | bytes | onnx.ModelProto,
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
    without: Collection[str] = (),
) -> Model:
    """Reads an ONNX model and makes it ready to run.

    source           a path, the bytes of a file, or a ModelProto.
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
    without          names of arenaut.ir.target.OPTIMISATIONS to leave out, to see what each is worth.

    Raises InvalidModelError, UnsupportedError, ShapeError or ExternalDataError (all ModelError) with what to do.
    """
    from arenaut.frontend import import_model
    from arenaut.passes import run_pipeline
    from arenaut.passes.specialise import has_open_ranks, specialise

    if executor not in ("compiled", "interpreted"):
        raise ValueError(f"executor={executor!r}: expected 'compiled' or 'interpreted'")
    target = current_target(threads, without)
    level = _verify_level(verify)

    def optimized(graph: Graph, level: VerifyLevel) -> Sequence[Event]:
        if not optimize:
            return ()
        return run_pipeline(graph, target, level=level, stop_after=stop_after)

    def program(graph: Graph, store: WeightStore) -> tuple[Built, Executor]:
        lowered = lower_graph(graph, target)
        if not exact_conv and not target.without & {"winograd", "packing"}:
            choose_filters(lowered, target, limit=winograd_limit, hints=shapes)
        built = build_program(lowered, target, make_host_call, hints=shapes, effort=optimize_memory, weights=store)
        trim_heap()
        if executor == "compiled":
            return built, CompiledExecutor(built, max_memory)
        from arenaut.backends.chain import resolve_backends
        from arenaut.executor.interpreted import InterpretedExecutor

        return built, InterpretedExecutor(built, max_memory, resolve_backends(backends))

    with _broken_rules():
        imported = import_model(source)
        graph, stored_nodes = imported.graph, count_nodes(imported.graph)
        rewrites = optimized(graph, level)
        constants = ReleasedConstants(graph, partial(_optimized_again, imported, optimized), imported.mapped)
        specialised = optimize and stop_after is None and has_open_ranks(graph)
        # Programs for the outcomes of open ranks are made of the same weights.
        shared = specialised and constants.bytes <= MOST_SHARED_BYTES
        store = WeightStore(imported.mapped, None if shared else constants.release)
        built, runner = program(graph, store)

    def for_sizes(oracle: Oracle, types: Sequence[Type | None]) -> Executor | None:
        """The program for what these sizes decide; None where they contradict the model."""
        twin = graph.copy()
        try:
            with _broken_rules(), asking(oracle):
                specialise(twin, types)
                optimized(twin, "off")
                return program(twin, store if shared else WeightStore(imported.mapped, _keep))[1]
        except ArenautError:
            return None

    if specialised:
        runner = SpecialisedExecutor(runner, [(v.name, v.type) for v in graph.inputs], for_sizes)
    model = Model(
        graph, built, runner, imported.input_names, imported.output_names, stored_nodes, target.threads, rewrites,
        constants,
    )  # fmt: skip
    if specialised and shapes:
        model.prepare(shapes)
    return model


def _keep(array: Array) -> None:
    """Constants of a graph that stays are not let go."""


@contextmanager
def _broken_rules() -> Iterator[None]:
    """A model may break the rules of its ops in ways that no check foresees: that is the model's error too."""
    try:
        yield
    except MemoryError as error:
        raise MemoryLimitError(f"this machine has not the memory to load the model: {error}") from error
    except RULE_ERRORS as error:
        raise InvalidModelError(
            f"the model breaks a rule of ONNX that arenaut does not name: {error!r}. Check it with "
            "onnx.checker.check_model(model, full_check=True); if that accepts it, this is an error of arenaut"
        ) from error


def _optimized_again(imported: ImportedModel, optimized: Callable[[Graph, VerifyLevel], Sequence[Event]]) -> Graph:
    """The optimised graph of the same model, made once more."""
    assert imported.again is not None
    graph = imported.again().graph
    optimized(graph, "off")
    return graph


def _verify_level(chosen: VerifyLevel | None) -> VerifyLevel:
    level = chosen or os.environ.get(VERIFY_VARIABLE) or "off"
    for known in get_args(VerifyLevel):
        if level == known:
            return cast(VerifyLevel, level)
    raise ValueError(f"verify={level!r}: expected {', '.join(get_args(VerifyLevel))}")


__all__ = ["load_onnx"]
