"""load_onnx and Model: from a file to outputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from arenaut import _native
from arenaut.executor.common import Executor, make_host_call
from arenaut.executor.compiled import CompiledExecutor
from arenaut.executor.specialised import Decide, SpecialisedExecutor
from arenaut.ir.dims import Expr
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RULE_ERRORS, ArenautError, InputError, InvalidModelError, MemoryLimitError
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.types import TensorType, Type
from arenaut.lowering.build import Built, build_program
from arenaut.lowering.filters import choose_filters
from arenaut.lowering.lower import FUSED, lower_graph
from arenaut.lowering.weights import WeightStore
from arenaut.machine import current_target
from arenaut.released import ReleasedConstants, trim_heap
from arenaut.report.plan import Plan, plan_at, plan_of
from arenaut.report.profile import Profile, profile_of

if TYPE_CHECKING:
    import onnx

    from arenaut.frontend import ImportedModel
    from arenaut.passes.context import Event

ExecutorName = Literal["compiled", "interpreted"]
VerifyLevel = Literal["off", "structure", "types", "full"]
VERIFY_VARIABLE = "ARENAUT_VERIFY"


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model. shape: ints and names of symbolic dims; None when the rank is not known."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None

    def __str__(self) -> str:
        dims = "*" if self.shape is None else ", ".join(str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


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

    if executor not in ("compiled", "interpreted"):
        raise ValueError(f"executor={executor!r}: expected 'compiled' or 'interpreted'")
    target = current_target(threads, without)
    level = _verify_level(verify)

    def optimized(graph: Graph, level: VerifyLevel) -> Sequence[Event]:
        if not optimize:
            return ()
        from arenaut.passes import run_pipeline

        return run_pipeline(graph, target, level=level, stop_after=stop_after)

    def prepare(imported: ImportedModel) -> tuple[Built, Executor, Sequence[Event], ReleasedConstants]:
        rewrites = optimized(imported.graph, level)
        constants = ReleasedConstants(imported.graph, partial(_optimized_again, imported, optimized), imported.mapped)
        lowered = lower_graph(imported.graph, target)
        if not exact_conv and not target.without & {"winograd", "packing"}:
            choose_filters(lowered, target, limit=winograd_limit, hints=shapes)
        store = WeightStore(imported.mapped, constants.release)
        built = build_program(lowered, target, make_host_call, hints=shapes, effort=optimize_memory, weights=store)
        trim_heap()
        if executor == "compiled":
            return built, CompiledExecutor(built, max_memory), rewrites, constants
        from arenaut.executor.interpreted import InterpretedExecutor

        return built, InterpretedExecutor(built, max_memory, backends), rewrites, constants

    stamp = _stamp(source)
    with _broken_rules():
        imported = import_model(source)
        types, stored_nodes = [v.type for v in imported.graph.inputs], count_nodes(imported.graph)
        built, runner, rewrites, constants = prepare(imported)
    if imported.open_choices and optimize and stop_after is None:
        again = source if stamp is not None else _as_bytes(source)

        def build(decide: Decide) -> Executor | None:
            try:
                with _broken_rules():
                    return prepare(import_model(again, decide=decide))[1] if _stamp(source) == stamp else None
            except (ArenautError, OSError):
                return None

        runner = SpecialisedExecutor(runner, types, build)
    return Model(
        imported.graph, built, runner, imported.input_names, imported.output_names, stored_nodes, target.threads,
        rewrites, constants,
    )  # fmt: skip


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


def _stamp(source: Any) -> tuple[int, ...] | None:
    """What tells whether the file was changed; None when the source is no file."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    try:
        found = os.stat(source)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _as_bytes(source: Any) -> Any:
    """A source that its owner cannot change any more."""
    return bytes(source) if isinstance(source, (bytearray, memoryview, bytes)) else source.SerializeToString()


def _verify_level(chosen: VerifyLevel | None) -> VerifyLevel:
    level = chosen or os.environ.get(VERIFY_VARIABLE) or "off"
    for known in get_args(VerifyLevel):
        if level == known:
            return cast(VerifyLevel, level)
    raise ValueError(f"verify={level!r}: expected {', '.join(get_args(VerifyLevel))}")


def count_nodes(graph: Graph) -> int:
    """Nodes of the graph and of all bodies of control flow in it; a fused node is one."""
    return sum(1 + sum(map(count_nodes, control_bodies(node))) for node in graph.nodes)


def control_bodies(node: Node) -> list[Graph]:
    """The bodies that a node runs by itself: none for a fused node, whose body says what one kernel does."""
    return [] if node.key == FUSED else [body for _, body in node.bodies()]


class Model(_native.Runner):
    """A model that can be run. Safe to use from several threads at once: weights are shared, arenas are not."""

    def __init__(
        self,
        graph: Graph,
        built: Built,
        executor: Executor,
        input_names: Sequence[str],
        output_names: Sequence[str],
        stored_nodes: int,
        threads: int,
        rewrites: Sequence[Event],
        constants: ReleasedConstants,
    ) -> None:
        self._constants = constants
        self.graph = graph
        self.rewrites = tuple(rewrites)
        self.threads = threads
        self.stored_nodes = stored_nodes
        self._built = built
        self._executor = executor
        self._input_names = tuple(input_names)
        self._output_names = tuple(output_names)
        self._allow_short_way()

    # -- running -----------------------------------------------------------------------------------------------

    # run() is Runner's. What it takes the short way needs no frame of Python; it calls _run() for all the rest.

    def _allow_short_way(self) -> None:
        """Lets run() hand feeds that fit straight to the native program."""
        inputs = [_array_dtype(v) for v in self.graph.inputs]
        if not isinstance(self._executor, CompiledExecutor) or any(dtype is None for dtype in inputs):
            return  # by identity: a numpy type equals None where it is float64
        self._enable(
            self._built.native,
            [(name, dtype) for name, dtype in zip(self._input_names, inputs, strict=True) if dtype is not None],
            [(name, _array_dtype(v)) for name, v in zip(self._output_names, self.graph.outputs, strict=True)],
            self._executor.max_memory,
        )

    def _run(
        self,
        *args: Mapping[str, Any] | Any,
        out: Mapping[str, Array] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        feeds = self._by_name(args, kwargs)
        inputs = [self._checked(i, feeds) for i in range(len(self._input_names))]
        self._check_symbols(inputs)
        results = self._executor.run(inputs, timeout)
        outputs = dict(zip(self._output_names, results, strict=True))
        for name, target in (out or {}).items():
            outputs[name] = self._deliver(name, outputs, target)
        return outputs

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.run(*args, **kwargs)

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        if len(args) == 1 and not kwargs and isinstance(args[0], Mapping):
            feeds = args[0]
        else:
            if len(args) > len(self._input_names):
                raise InputError(f"{len(args)} positional inputs, but the model has {self._signature()}")
            positional = dict(zip(self._input_names, args, strict=False))
            twice = sorted(positional.keys() & kwargs.keys())
            if twice:
                raise InputError(f"inputs given twice: {', '.join(twice)}")
            feeds = {**positional, **kwargs}
        if len(feeds) != len(self._input_names) or any(n not in feeds for n in self._input_names):
            missing = [n for n in self._input_names if n not in feeds]
            unknown = [str(n) for n in feeds if n not in self._input_names]
            parts = [f"missing {', '.join(missing)}"] if missing else []
            parts += [f"unknown {', '.join(unknown)}"] if unknown else []
            raise InputError(f"wrong input names: {'; '.join(parts)}. The model has {self._signature()}")
        return feeds

    def _signature(self) -> str:
        return "inputs " + (", ".join(str(i) for i in self.inputs) or "(none)")

    def _checked(self, index: int, feeds: Mapping[str, Any]) -> Any:
        name = self._input_names[index]
        value = self.graph.inputs[index]
        given = feeds[name]
        t = value.type
        if not isinstance(t, TensorType):
            return given
        array = given if isinstance(given, np.ndarray) else _as_array(given)
        want = t.dtype.numpy
        if t.dtype is DType.STRING:
            if array.dtype.kind not in "OUST":
                raise InputError(f"input '{name}': expected strings, got {array.dtype}")
            array = array.astype(object)
        elif array.dtype != want:
            same = array.dtype.newbyteorder("=") == want
            if not same:
                raise InputError(
                    f"input '{name}': expected dtype {want}, got {array.dtype}; convert it with .astype('{want}')"
                )
        if t.shape is not None:
            self._check_shape(name, t, array.shape)
        return array

    def _check_shape(self, name: str, t: TensorType, shape: tuple[int, ...]) -> None:
        assert t.shape is not None
        if len(shape) != len(t.shape):
            raise InputError(f"input '{name}': expected rank {len(t.shape)} {_dims_text(t)}, got shape {shape}")
        for axis, (got, want) in enumerate(zip(shape, t.shape, strict=True)):
            if isinstance(want, int) and got != want:
                raise InputError(
                    f"input '{name}': expected {want} at axis {axis} of shape {_dims_text(t)}, got shape {shape}"
                )

    @cached_property
    def _shared_symbols(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """Symbols that stand at several input axes: (name, [(input, axis)])."""
        places: dict[str, list[tuple[int, int]]] = {}
        for i, value in enumerate(self.graph.inputs):
            for axis, d in enumerate(value.shape if value.has_shape else ()):
                if isinstance(d, Expr):
                    places.setdefault(str(d), []).append((i, axis))
        return [(name, at) for name, at in places.items() if len(at) > 1]

    def _check_symbols(self, inputs: Sequence[Any]) -> None:
        for name, places in self._shared_symbols:
            sizes = [inputs[i].shape[axis] for i, axis in places]
            if len(set(sizes)) > 1:
                where = ", ".join(
                    f"'{self._input_names[i]}' axis {axis} is {n}" for (i, axis), n in zip(places, sizes, strict=True)
                )
                raise InputError(f"the dim '{name}' must be the same everywhere: {where}")

    def _deliver(self, name: str, outputs: Mapping[str, Any], target: Array) -> Array:
        if name not in outputs:
            raise InputError(f"out names '{name}', but the model has outputs {', '.join(outputs)}")
        result = outputs[name]
        if target.shape != result.shape or target.dtype != result.dtype:
            raise InputError(
                f"out['{name}']: expected {result.dtype}{list(result.shape)}, got {target.dtype}{list(target.shape)}"
            )
        np.copyto(target, result)
        return target

    # -- looking in --------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[TensorInfo]:
        """Name, dtype and shape of every input, in order; symbolic dims by name."""
        return [_info(n, v) for n, v in zip(self._input_names, self.graph.inputs, strict=True)]

    @property
    def outputs(self) -> list[TensorInfo]:
        """Name, dtype and shape of every output, in order; symbolic dims by name or expression."""
        return [_info(n, v) for n, v in zip(self._output_names, self.graph.outputs, strict=True)]

    @property
    def plan(self) -> Plan:
        """The memory plan of the last binding that ran; before any run, that of a model without symbolic dims.

        Raises RuntimeError when no binding is known yet.
        """
        return plan_of(self._executor.built)

    def memory(self, sizes: Mapping[str, int] | None = None, /, **dims: int) -> Plan:
        """The memory plan of a run with these sizes of the symbolic dims, by name, without running or allocating an
        arena: memory({"batch": 4, "seq": 128}) or memory(batch=4, seq=128).

        Its arena_bytes and parts are exactly what such a run uses, where its `certainty` is "exact". Sizes that data
        decides count as the largest they can be ("most"); where nothing limits one, the plan ends before it ("part").
        `undecided` lists these sizes. A model whose ranks hang on sizes gets the program of these sizes, as their first
        run would. Raises InputError for sizes that are missing, unknown or no sizes, ShapeError for sizes that the
        model cannot run.
        """
        named = {**(sizes or {}), **dims}
        self._check_sizes(named)
        known = {name: int(size) for name, size in named.items()}
        return plan_at(self._executor.built_for(known), known)

    def _check_sizes(self, sizes: Mapping[str, Any]) -> None:
        names = self._built.lowered.symbols
        wrong = [f"'{n}' is missing" for n in names if n not in sizes]
        wrong += [f"'{n}' is unknown" for n in sizes if n not in names]
        wrong += [f"'{n}' is {sizes[n]!r}" for n in names if n in sizes and not _is_size(sizes[n])]
        if wrong:
            raise InputError(f"{', '.join(wrong)}: the symbolic dims are {', '.join(names) or '(none)'}")

    def profile(self, *args: Any, repeat: int = 10, **kwargs: Any) -> Profile:
        """Runs the model `repeat` times with these feeds and returns the time, bytes and GFLOP/s of every step."""
        feeds = self._by_name(args, kwargs)
        inputs = [self._checked(i, feeds) for i in range(len(self._input_names))]
        return profile_of(self._executor.built, inputs, repeat)

    def trim(self) -> int:
        """Frees arenas kept for reuse; returns how many bytes."""
        self._constants.forget()
        return self._built.native.trim()

    def save_onnx(self, path: str | PathLike[str]) -> None:
        """Writes the optimised graph as an ONNX model that other runtimes can load."""
        from arenaut.frontend.export import save_graph

        save_graph(self.graph, path, self._input_names, self._output_names)
        self._constants.forget()

    def __repr__(self) -> str:
        steps = len(self._built.lowered.steps)
        lines = [f"Model '{self.graph.name}': {self.stored_nodes} nodes stored, {count_nodes(self.graph)} after "
                 f"optimising, {steps} steps, {self.threads} thread{'s' if self.threads != 1 else ''}"]  # fmt: skip
        lines += [f"  in   {i}" for i in self.inputs]
        lines += [f"  out  {o}" for o in self.outputs]
        try:
            lines.append(f"  plan {self.plan}")
        except RuntimeError:
            lines.append("  plan known after the first run, since dims are symbolic")
        return "\n".join(lines)


def _dims_text(t: TensorType) -> str:
    return "[" + ", ".join(str(d) for d in t.shape or ()) + "]"


def _is_size(given: Any) -> bool:
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool) and 0 <= int(given) < 1 << 63


def _as_array(given: Any) -> Array:
    """Any array of the CPU without a copy where it says how (DLPack), numbers and lists by numpy's rules."""
    if hasattr(given, "__dlpack__") and not hasattr(given, "__array__"):
        return np.from_dlpack(given)
    return np.asarray(given)


def _array_dtype(value: Value) -> np.dtype[Any] | None:
    """The numpy type of a tensor; None for text and for what is no tensor."""
    t = value.type
    return t.dtype.numpy if isinstance(t, TensorType) and t.dtype is not DType.STRING else None


def _info(name: str, value: Value) -> TensorInfo:
    t: Type | None = value.type
    if not isinstance(t, TensorType):
        return TensorInfo(name, str(t), None)
    shape = None if t.shape is None else tuple(d if isinstance(d, int) else str(d) for d in t.shape)
    return TensorInfo(name, str(t.dtype.numpy) if t.dtype is not DType.STRING else "string", shape)


__all__ = ["Model", "TensorInfo", "load_onnx"]
