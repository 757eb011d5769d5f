"""Model: a graph made ready to run, and what can be asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from arenaut import _native
from arenaut.executor.common import Asked, Executor
from arenaut.executor.compiled import CompiledExecutor
from arenaut.executor.specialised import SpecialisedExecutor, settle_shapes
from arenaut.inputs import MOST_SHOWN, Inputs, TensorInfo, tensor_info
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ArenautError, InputError, StateError, UnsupportedError, memory_errors
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.ops.fused import FUSED
from arenaut.ir.types import TensorType
from arenaut.lowering.outline import Described
from arenaut.native.arrays import to_native
from arenaut.options import refused, seconds_of, targets_of, whole
from arenaut.origin import Origin
from arenaut.released import ReleasedConstants
from arenaut.results.plan import Plan, plan_at, plan_of
from arenaut.results.profile import Profile, TimedStep, profile_of, timed_steps
from arenaut.state import State
from arenaut.stateful import Stateful, sizes_of_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from arenaut._native import Feed, Writable
    from arenaut.frontend import ImportedModel, ModelInfo
    from arenaut.ir.target import Target
    from arenaut.passes.context import Event


_MOST_IN_LINE = 3  # inputs or outputs in a model's repr
MOST_FEEDINGS = 8  # outcomes that are kept for sets of fed defaults


def count_nodes(graph: Graph) -> int:
    """Nodes of the graph and of all bodies of control flow in it; a fused node is one."""
    return sum(1 + sum(map(count_nodes, control_bodies(node))) for node in graph.nodes)


def control_bodies(node: Node) -> list[Graph]:
    """The bodies that a node runs by itself: none for a fused node, whose body says what one kernel does."""
    return [] if node.key == FUSED else [body for _, body in node.bodies()]


class Model(_native.Runner):
    """A model that can be run. Safe to use from several threads at once: weights are shared, arenas are not."""

    rewrites: Sequence[Event]
    info: ModelInfo
    _constants: ReleasedConstants | None = None
    _origin: Origin | None = None  # what load_onnx was called with
    _external: Sequence[tuple[str, str]] = ()  # files beside the model's own; see ImportedModel
    _target: Target | None = None  # what its kernels were picked for
    _stateful: Stateful | None = None  # its program that keeps a state

    def __init__(
        self,
        imported: ImportedModel,
        stored_nodes: int,
        rewrites: Sequence[Event],
        constants: ReleasedConstants,
        built: Described,
        executor: Executor,
        fed: Callable[[Collection[str]], Model],
    ) -> None:
        """For load_onnx. imported: its graph is optimised by now. stored_nodes: how many nodes it had before. fed:
        makes the model anew with these defaults as inputs."""
        self._graph = imported.graph
        self._name = self._graph.name
        self.stored_nodes = stored_nodes
        self.rewrites = tuple(rewrites)
        self._constants = constants
        self.info = imported.info
        defaults = imported.defaults
        inputs = Inputs(imported.input_names, self._graph.inputs, lambda: defaults)
        self._face(inputs, imported.output_names, self._graph.outputs, built, executor, fed)

    def _face(
        self,
        inputs: Inputs,
        output_names: Sequence[str],
        results: Sequence[Value],
        built: Described,
        executor: Executor,
        fed: Callable[[Collection[str]], Model],
    ) -> None:
        """What running needs, and all that callers see of it. results: the graph's outputs."""
        self._built = built
        self._executor = executor
        self._inputs = inputs
        self._output_names = tuple(output_names)
        self._results = tuple(results)
        self._fed = fed
        self._feeding: dict[frozenset[str], Model] = {}
        self._feeding_lock = threading.Lock()
        if not isinstance(executor, SpecialisedExecutor):
            self._enable_fast_path(executor)
        elif not executor.prepared:  # those that a compiled file holds are chosen by what is fed
            self._enable_fast_path(executor.general)

    @property
    def graph(self) -> Graph:
        """The optimised graph."""
        return self._graph

    @property
    def _node_count(self) -> int:
        return count_nodes(self.graph)

    @property
    def threads(self) -> int:
        """At most so many threads a run."""
        return self._built.threads

    @property
    def mapped_from(self) -> str | None:
        """The compiled file that its weights are mapped from, so that processes share them; None where they are this
        process's own."""
        return None

    # -- running -----------------------------------------------------------------------------------------------

    # run() is Runner's. What fits its fast path needs no frame of Python; it calls _run() for all the rest.

    def _enable_fast_path(self, executor: Executor, dims: list[int] | None = None) -> None:
        """Lets run() hand feeds that fit, of these dims where given, straight to a native program."""
        inputs = [_array_dtype(v) for v in self._inputs.values]
        if not isinstance(executor, CompiledExecutor) or any(dtype is None for dtype in inputs):
            return  # by identity: a numpy type equals None where it is float64
        self._enable(
            executor.built.native,
            [(name, dtype) for name, dtype in zip(self._inputs.names, inputs, strict=True) if dtype is not None],
            list(zip(self._output_names, _numpy_types(executor), strict=True)),
            executor.max_memory,
            dims,
        )

    def _fast_path_for(self, inputs: Sequence[Any]) -> None:
        """The same for the program that these inputs chose of those prepared, if their shapes alone say that."""
        executor = self._executor
        if not isinstance(executor, SpecialisedExecutor) or not executor.prepared:
            return
        chosen = executor.chosen_by_shapes(inputs)
        if chosen is not None and chosen is not executor.general and all(isinstance(x, np.ndarray) for x in inputs):
            self._enable_fast_path(chosen, [n for x in inputs for n in x.shape])

    def _run(
        self,
        *args: Mapping[str, Any] | Any,
        out: Mapping[str, Writable] | None = None,
        timeout: float | None = None,
        outputs: Sequence[str] | None = None,
        stop: _native.Stop | None = None,
        state: State | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if state is not None and not isinstance(state, State) and "state" in self._inputs.names:
            kwargs["state"], state = state, None  # an input of that name
        if state is not None:
            return self._run_with(state, args, kwargs, out=out, timeout=timeout, outputs=outputs, stop=stop)
        feeds = self._inputs.by_name(args, kwargs)
        overridden = self._inputs.fed_defaults(feeds)
        if overridden:
            model = self.feeding(*overridden)
            if out is None and timeout is None and outputs is None and stop is None:
                return model.run(feeds)
            return model._run(feeds, out=out, timeout=timeout, outputs=outputs, stop=stop)
        seconds, targets, wanted = seconds_of(timeout), targets_of(out), self._numbers_of(outputs)
        with memory_errors("the run"):
            inputs = self._inputs.arrays(feeds)
            self._inputs.check_symbols(inputs)
            given = self._in_place(targets, inputs)
            results = self._executor.run(inputs, seconds, Asked(wanted, stop, given))
        self._fast_path_for(inputs)
        named = dict(zip(self._output_names, results, strict=True))
        if outputs is not None:
            named = {name: named[name] for name in outputs}
        for name, target in targets.items():
            named[name] = self._deliver(name, named, target)
        return named

    def _run_with(
        self,
        state: State,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        out: Mapping[str, Writable] | None,
        timeout: float | None,
        outputs: Sequence[str] | None,
        stop: _native.Stop | None,
    ) -> dict[str, Any]:
        stateful = self._stateful_or_refuse()
        if not isinstance(state, State):
            raise refused("state", state, "what new_state() of this model returned, or None")
        if state._of is not stateful:
            raise StateError(
                f"the state is of another model ('{state.model._name}'): new_state() makes one of this model"
            )
        feeds = stateful.inputs.by_name(args, kwargs)
        seconds, targets = seconds_of(timeout), targets_of(out)
        self._numbers_of(outputs)
        named = state._run(feeds, seconds, stop)
        if outputs is not None:
            missing = [n for n in outputs if n not in named]
            if missing:
                raise InputError(f"outputs names {', '.join(missing)}, which the state keeps")
            named = {name: named[name] for name in outputs}
        for name, target in targets.items():
            named[name] = self._deliver(name, named, target)
        return named

    def _stateful_or_refuse(self) -> Stateful:
        if self._stateful is None:
            raise UnsupportedError(
                "no input and output of this model are known to carry a state from run to run: say which with "
                f'load_onnx(..., state={{"input": "output"}}). It has {self._inputs.signature()}'
            )
        return self._stateful

    def new_state(
        self, capacity: int | None = None, batch: int = 1, *, sizes: Mapping[str, int] | None = None
    ) -> State:
        """An empty state for run(feeds, state=state), which then neither takes nor returns what carries the state.

        capacity: positions that there is room for, allocated at once; None: as many as turn out to be needed, in chunks
        that double, each of which is copied. batch: samples. sizes: of further symbolic dims of the state, such as how
        long an encoder's output is; 0 where they are left out.
        Raises UnsupportedError for a model without a state, MemoryLimitError where max_memory does not allow its
        bytes, OptionError for sizes that are none.
        """
        stateful = self._stateful_or_refuse()
        if capacity is not None:
            capacity = whole("capacity", capacity, 1, "positions, an integer from 1, or None")
        batch = whole("batch", batch, 1, "how many samples, an integer from 1")
        return State(self, stateful, sizes_of_state(stateful, batch, capacity, sizes or {}), capacity)

    def load_state(self, path: str | PathLike[str], *, capacity: int | None = None) -> State:
        """What State.save wrote, with this capacity, or that of then. Raises StateError for a file that holds no state,
        or that of another model."""
        return State._load(self, self._stateful_or_refuse(), path, capacity)

    def _numbers_of(self, outputs: Sequence[str] | None) -> frozenset[int] | None:
        """Which outputs these names are; None for all."""
        if outputs is None:
            return None
        if isinstance(outputs, str) or not isinstance(outputs, Sequence):
            raise refused("outputs", outputs, f"a list of names out of {', '.join(self._output_names)}")
        unknown = [repr(n) for n in outputs if n not in self._output_names]
        if unknown:
            raise InputError(f"outputs names {', '.join(unknown)}; the model has {', '.join(self._output_names)}")
        return frozenset(self._output_names.index(n) for n in outputs)

    async def run_async(
        self,
        *args: Mapping[str, Feed] | Feed,
        out: Mapping[str, Writable] | None = None,
        timeout: float | None = None,
        outputs: Sequence[str] | None = None,
        state: State | None = None,
        **kwargs: Feed,
    ) -> dict[str, NDArray[Any]]:
        """run() in a thread of the event loop's executor, awaited. Cancelling the task stops the run."""
        import asyncio

        stop = _native.Stop()
        call = partial(self._run, *args, out=out, timeout=timeout, outputs=outputs, stop=stop, state=state, **kwargs)
        try:
            return await asyncio.get_running_loop().run_in_executor(None, call)
        except asyncio.CancelledError:
            stop.set()
            raise

    def feeding(self, *names: str) -> Model:
        """The model with these of its defaults as inputs like any other, which a run that is fed them goes to. It is
        compiled at the first call and kept; of the least recently made ones beyond eight none is. Raises InputError
        for names that are no defaults."""
        wrong = [repr(n) for n in names if n not in self._inputs.defaults]
        if wrong:
            raise InputError(f"{', '.join(wrong)}: no input with a default. The model has {self._inputs.signature()}")
        if not names:
            return self
        with self._feeding_lock:
            key = frozenset(names)
            if key not in self._feeding:
                made = self._fed(key)
                while len(self._feeding) >= MOST_FEEDINGS:
                    self._feeding.pop(next(iter(self._feeding)))
                self._feeding[key] = made
            return self._feeding[key]

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.run(*args, **kwargs)

    def _in_place(self, targets: Mapping[str, Array], inputs: Sequence[Any]) -> dict[int, Array]:
        """Targets that a run may write into: dense, of an output's type, apart from the inputs and each other."""
        if not targets:
            return {}
        types = dict(zip(self._output_names, _numpy_types(self._executor), strict=True))
        fit = {name: target for name, target in targets.items() if target.dtype == types.get(name) and target.size
               and target.flags.c_contiguous and target.flags.aligned}  # fmt: skip
        others = [a for a in inputs if isinstance(a, np.ndarray)] + list(fit.values())
        return {
            self._output_names.index(name): to_native(target)
            for name, target in fit.items()
            if not any(other is not target and np.may_share_memory(other, target) for other in others)
        }

    def _deliver(self, name: str, outputs: Mapping[str, Any], target: Array) -> Array:
        if name not in outputs:
            raise InputError(f"out names '{name}', but the model has outputs {', '.join(outputs)}")
        result = outputs[name]
        if target.shape != result.shape or target.dtype != result.dtype:
            raise InputError(
                f"out['{name}']: expected {result.dtype}{list(result.shape)}, got {target.dtype}{list(target.shape)}"
            )
        if result.ctypes.data != target.ctypes.data:
            np.copyto(target, result)
        return target

    # -- looking in --------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[TensorInfo]:
        """Name, dtype and shape of every input, in order; symbolic dims by name."""
        return self._inputs.described

    @property
    def default_inputs(self) -> list[TensorInfo]:
        """The inputs of the file that have a stored value, in order. A run need not be given them, and uses the stored
        values, which programs treat as constants; what a run is given takes their place (`feeding`). Files of IR
        versions before 4 list every initialiser so."""
        return [tensor_info(n, t) for n, t in self._inputs.defaults.items()]

    @property
    def outputs(self) -> list[TensorInfo]:
        """Name, dtype and shape of every output, in order; symbolic dims by name or expression."""
        return [tensor_info(n, v.type) for n, v in zip(self._output_names, self._results, strict=True)]

    @property
    def plan(self) -> Plan:
        """The memory plan of the last binding that ran; before any run, that of a model without symbolic dims.

        Raises RuntimeError when no binding is known yet.
        """
        return plan_of(self._executor.built_as(self._last()))

    def memory(self, sizes: Mapping[str, int] | None = None, /, *, state: State | None = None, **dims: int) -> Plan:
        """The memory plan of a run with these sizes of the symbolic dims, by name, without running or allocating an
        arena: memory({"batch": 4, "seq": 128}) or memory(batch=4, seq=128).

        Its arena_bytes and parts are exactly what such a run uses, where its `certainty` is "exact". Sizes that data
        decides count as the largest they can be ("most"); where nothing limits one, the plan ends before it ("part").
        `undecided` lists these sizes. A model whose ranks hang on sizes gets the program of these sizes, as `prepare`
        makes it, and runs it from then on. state: the run is one with this state, and fills it; sizes are those of what
        is then fed. Raises InputError for sizes that are missing, unknown or no sizes,
        ShapeError for sizes that the model cannot run.
        """
        named = {**(sizes or {}), **dims}
        if state is not None:
            return state._plan(named)
        self._check_sizes(named)
        known = {name: int(size) for name, size in named.items()}
        self._choose_again()
        return plan_at(self._executor.built_for(known), known)

    def prepare(self, sizes: Mapping[str, int | Sequence[int]] | None = None, /, **dims: int) -> None:
        """Makes the program for inputs of these sizes ahead of time: prepare({"batch": 4}) or prepare(batch=4). Where
        the rank of an input is open, its shape stands under its name: prepare({"x": (4, 3)}).

        Where ranks hang on sizes, a run without it makes programs of those parts that they decide; here the whole
        model becomes one program, with one plan. Sizes that are left out stay open. Raises InputError for names and
        sizes that the model does not have.
        """
        named = {**(sizes or {}), **dims}
        symbols = self._built.input_symbols
        wrong = [f"'{n}' is unknown" for n in named if n not in symbols and n not in self._inputs.names]
        wrong += [f"'{n}' is {named[n]!r}" for n in symbols if n in named and not _is_size(named[n])]
        if wrong:
            raise InputError(f"{', '.join(wrong)}: {self._inputs.signature()}")
        inputs = [(n, v.type) for n, v in zip(self._inputs.names, self._inputs.values, strict=True)]
        shapes = settle_shapes(named, inputs)
        if isinstance(self._executor, SpecialisedExecutor):
            self._choose_again()
            self._executor.prepare(shapes)

    def _choose_again(self) -> None:
        """A program is prepared: which one runs given inputs is asked anew."""
        if isinstance(self._executor, SpecialisedExecutor):
            self._disable()

    def _check_sizes(self, sizes: Mapping[str, Any]) -> None:
        names = self._built.input_symbols
        wrong = [f"'{n}' is missing" for n in names if n not in sizes]
        wrong += [f"'{n}' is unknown" for n in sizes if n not in names]
        wrong += [f"'{n}' is {sizes[n]!r}" for n in names if n in sizes and not _is_size(sizes[n])]
        if wrong:
            raise InputError(f"{', '.join(wrong)}: the symbolic dims are {', '.join(names) or '(none)'}")

    def profile(self, *args: Any, repeat: int = 10, **kwargs: Any) -> Profile:
        """Runs the model `repeat` times with these feeds and returns the time, bytes and GFLOP/s of every step."""
        repeat = whole("repeat", repeat, 1, "how many runs to time, an integer from 1")
        feeds = self._inputs.by_name(args, kwargs)
        overridden = self._inputs.fed_defaults(feeds)
        if overridden:
            return self.feeding(*overridden).profile(feeds, repeat=repeat)
        inputs = self._inputs.arrays(feeds)
        self._executor.run(inputs)
        return profile_of(self._executor.built_by(inputs), inputs, repeat)

    def run_timed(self, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], list[TimedStep]]:
        """One run's outputs by name, and the time of each of its steps, in the order in which they ran."""
        feeds = self._inputs.by_name(args, kwargs)
        overridden = self._inputs.fed_defaults(feeds)
        if overridden:
            return self.feeding(*overridden).run_timed(feeds)
        inputs = self._inputs.arrays(feeds)
        self._inputs.check_symbols(inputs)
        results, nanoseconds = self._executor.run_timed(inputs)
        steps = timed_steps(self._executor.built_by(inputs), nanoseconds)
        return dict(zip(self._output_names, results, strict=True)), steps

    def trim(self) -> int:
        """Frees arenas kept for reuse; returns how many bytes."""
        if self._constants is not None:
            self._constants.forget()
        with self._feeding_lock:
            others = list(self._feeding.values())
        kept = 0 if self._stateful is None else self._stateful.built.native.trim()
        return kept + self._built.native.trim() + sum(model.trim() for model in others)

    def save_onnx(self, path: str | PathLike[str]) -> None:
        """Writes the optimised graph as an ONNX model that other runtimes can load."""
        from arenaut.frontend.export import save_graph

        save_graph(self.graph, path, self._inputs.names, self._output_names)
        if self._constants is not None:
            self._constants.forget()

    def save(self, path: str | PathLike[str], *, portable: bool = False) -> None:
        """Writes the model as a compiled file: what load_onnx(path) then opens at once, mapped, so that processes
        share one copy of the weights. save_onnx writes the optimised graph for other runtimes.

        portable: with the original model inside, from which another machine, or a later version, compiles it anew.
        Raises UnsupportedError for executor="interpreted", OSError where the file cannot be written.
        """
        from arenaut.compiled.write import save_model

        save_model(self, path, portable=portable)

    def __repr__(self) -> str:
        try:
            arena = f"; arena {self.plan.arena_bytes / 1024:,.1f} KiB"
        except (RuntimeError, ArenautError):
            arena = ""
        inputs, outputs = (_shortened(list(map(str, infos))) for infos in (self.inputs, self.outputs))
        return f"<arenaut.Model '{self._name}': {inputs} -> {outputs}{arena}>"

    def __str__(self) -> str:
        """All of it, in lines that the terminal holds."""
        import shutil

        from arenaut.results.text import wrapped

        return wrapped("\n".join(self._lines()), max(40, shutil.get_terminal_size().columns))

    def _lines(self) -> list[str]:
        steps = len(self._built.outline.steps)
        lines = [f"Model '{self._name}': {self.stored_nodes} nodes stored, {self._node_count} after "
                 f"optimising, {steps} steps, {self.threads} thread{'s' if self.threads != 1 else ''}"]  # fmt: skip
        lines += [f"  in   {i}" for i in self.inputs]
        lines += [f"  default  {i}" for i in self.default_inputs[:MOST_SHOWN]]
        if len(self.default_inputs) > MOST_SHOWN:
            lines.append(f"  and {len(self.default_inputs) - MOST_SHOWN} more defaults")
        lines += [f"  out  {o}" for o in self.outputs]
        try:
            lines.append(f"  plan {self.plan}")
        except RuntimeError:
            lines.append("  plan known after the first run, since dims are symbolic")
        except ArenautError as error:
            lines.append(f"  plan none: {error}")
        return lines

    # -- copies ------------------------------------------------------------------------------------------------

    def __copy__(self) -> Model:
        """The model itself: it is never changed, and runs share nothing but weights."""
        return self

    def __deepcopy__(self, memo: object) -> Model:
        return self

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        """By source and options: whoever unpickles it loads the model again, or takes the one that lives there."""
        if self._origin is None:
            raise TypeError("only what load_onnx returned can be pickled: pickle that, and call feeding() there")
        self._origin.remember(self)
        return self._origin.reduced()


def _shortened(texts: Sequence[str]) -> str:
    """The first few of a list."""
    shown = ", ".join(texts[:_MOST_IN_LINE])
    return shown + (f" and {len(texts) - _MOST_IN_LINE} more" if len(texts) > _MOST_IN_LINE else "")


def _is_size(given: Any) -> bool:
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool) and 0 <= int(given) < 1 << 63


def _numpy_types(executor: Executor) -> list[np.dtype[Any] | None]:
    """The numpy types of its outputs; None for text and for what is no tensor."""
    return [None if d is None or d is DType.STRING else d.numpy for d in executor.built.dtypes]


def _array_dtype(value: Value) -> np.dtype[Any] | None:
    """The numpy type of a tensor's array; None for what is no tensor, and for text of unknown rank."""
    t = value.type
    if not isinstance(t, TensorType) or (t.dtype is DType.STRING and t.shape is None):
        return None
    return np.dtype(object) if t.dtype is DType.STRING else t.dtype.numpy


__all__ = ["Model"]
