"""The session under InferenceSession: a model of arenaut behind the methods of onnxruntime's native class."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.compat.onnxruntime import settings
from arenaut.compat.onnxruntime.devices import (
    CPU_PROVIDER,
    OrtEpAssignedNode,
    OrtEpAssignedSubgraph,
    OrtEpDevice,
    OrtMemoryInfo,
)
from arenaut.compat.onnxruntime.enums import GraphOptimizationLevel
from arenaut.compat.onnxruntime.errors import Fail, InvalidArgument, ModelLoadCanceled, as_onnxruntime
from arenaut.compat.onnxruntime.feeds import converted
from arenaut.compat.onnxruntime.nodes import ModelMetadata, NodeArg, defaults_of, inputs_of, metadata_of, outputs_of
from arenaut.compat.onnxruntime.notes import no_effect
from arenaut.compat.onnxruntime.options import RunOptions, SessionOptions
from arenaut.compat.onnxruntime.trace import Trace
from arenaut.compat.onnxruntime.values import OrtValue, OrtValueVector
from arenaut.errors import SizeConflictError
from arenaut.frontend import Revision
from arenaut.ir.types import Type
from arenaut.loading import load_onnx
from arenaut.model import Model

Callback = Callable[["list[Any] | None", Any, str], Any]


class InferenceSession:
    """onnxruntime.capi's class of that name: made, then initialised, then run."""

    session_options: SessionOptions
    inputs_meta: list[NodeArg]
    outputs_meta: list[NodeArg]
    overridable_initializers: list[NodeArg]
    model_meta: ModelMetadata

    def __init__(
        self, options: SessionOptions, source: str | bytes, is_path: bool = True, read_config: bool = False
    ) -> None:
        self.session_options = options
        self._source = source
        self._model: Model | None = None
        self._separate: Model | None = None
        self._lock = threading.Lock()
        self._trace = Trace(options.profile_file_prefix) if options.enable_profiling else None

    # -- made --------------------------------------------------------------------------------------------------

    def initialize_session(
        self,
        providers: Sequence[str] = (),
        provider_options: Sequence[Mapping[str, str]] = (),
        disabled_optimizers: Any = (),
    ) -> None:
        """Loads the model. Raises onnxruntime's exceptions."""
        if self.session_options._load_cancelled:
            raise ModelLoadCanceled.of("Session initialization canceled due to user request.")
        if disabled_optimizers:
            no_effect(
                "disabled_optimizers", "its optimisations have other names; load_onnx(without=...) leaves out some"
            )
        began = time.monotonic_ns()
        if isinstance(self._source, bytes) and not self._source:
            raise InvalidArgument.of("No graph was found in the protobuf.")
        with as_onnxruntime():
            self._model = self._load(separate=False)
        self._set_facts(self._model)
        if self._trace is not None:
            self._trace.add("Session", "session_initialization", began, time.monotonic_ns() - began)
        if self.session_options.optimized_model_filepath:
            with as_onnxruntime():
                self._model.save_onnx(self.session_options.optimized_model_filepath)

    def _load(self, separate: bool) -> Model:
        o = self.session_options
        threads = o.intra_op_num_threads if o.use_per_session_threads else settings.threads
        revision = Revision(o._dims, o._denotations, o._initializers, separate)
        optimize = o.graph_optimization_level is not GraphOptimizationLevel.ORT_DISABLE_ALL
        return load_onnx(self._source, threads=threads if threads > 0 else None, optimize=optimize, revision=revision)

    def _set_facts(self, model: Model) -> None:
        self.inputs_meta = inputs_of(model)
        self.outputs_meta = outputs_of(model)
        self.overridable_initializers = defaults_of(model)
        self.model_meta = metadata_of(model.info)
        self._types: dict[str, Type | None] = {
            **{n: v.type for n, v in zip(model._inputs.names, model.graph.inputs, strict=True)},
            **model._inputs.defaults,
        }
        self._args: dict[str, NodeArg] = {a.name: a for a in [*self.inputs_meta, *self.overridable_initializers]}
        self._names = [a.name for a in self.outputs_meta]

    def _loaded(self) -> Model:
        if self._model is None:
            raise Fail.of("This session has not been initialised: call initialize_session()")
        return self._model

    # -- run ---------------------------------------------------------------------------------------------------

    def run(
        self, output_names: Sequence[str], input_feed: Mapping[str, Any], run_options: RunOptions | None = None
    ) -> list[Any]:
        if isinstance(output_names, str) or not all(isinstance(n, str) for n in output_names):
            raise TypeError(f"run(): output names are a sequence of str, not {output_names!r}")
        results = self.run_by_name(output_names, input_feed, run_options)
        return [results[n] for n in output_names]

    def run_by_name(
        self,
        names: Sequence[str],
        feeds: Mapping[str, Any],
        run_options: RunOptions | None = None,
        out: Mapping[str, np.ndarray[Any, Any]] | None = None,
    ) -> dict[str, Any]:
        """The outputs of these names. out: memory of some of them."""
        for name in names:
            if name not in self._names:
                raise InvalidArgument.of(f"Invalid output name:{name}")
        if run_options is not None and not isinstance(run_options, RunOptions):
            raise TypeError(f"run(): run_options is a RunOptions, not {type(run_options).__name__}")
        if run_options is not None and run_options.terminate:
            raise Fail.of("Exiting due to terminate flag being set to true.")
        model = self._loaded()
        arrays: Mapping[str, Any] = feeds
        if type(feeds) is not dict or not all(type(a) is np.ndarray for a in feeds.values()) or not self._usual(feeds):
            arrays = converted(self._types, self._args, feeds)
        with as_onnxruntime():
            if self._trace is not None:
                return self._traced(model, arrays, out or {})
            options: dict[str, Any] = {}
            if len(set(names)) < len(self._names):
                options["outputs"] = list(dict.fromkeys(names))
            if run_options is not None:
                options["stop"] = run_options._stop
            if out:
                options["out"] = out
            try:
                return model.run(arrays, **options)
            except SizeConflictError:
                return self._with_separate_sizes().run(arrays, **options)

    def _usual(self, feeds: Mapping[str, Any]) -> bool:
        """Whether every array has the type and the rank of its input, so that nothing about it needs to be said."""
        types = self._types
        for name, array in feeds.items():
            t: Any = types.get(name)
            if t is None or getattr(t, "shape", None) is None or array.ndim != len(t.shape):
                return False
            if array.dtype.kind in "OUST" or array.dtype != t.dtype.numpy:
                return False
            for got, want in zip(array.shape, t.shape, strict=True):
                if isinstance(want, int) and got != want:
                    return False
        return True

    def _with_separate_sizes(self) -> Model:
        """The model for feeds that give one symbolic dim several sizes, which onnxruntime never compares."""
        with self._lock:
            if self._separate is None:
                self._separate = self._load(separate=True)
            return self._separate

    def _traced(
        self, model: Model, arrays: Mapping[str, Any], out: Mapping[str, np.ndarray[Any, Any]]
    ) -> dict[str, Any]:
        assert self._trace is not None
        began = time.monotonic_ns()
        outputs, steps = model.run_timed(arrays)
        self._trace.add_steps(began, steps)
        self._trace.add("Session", "model_run", began, time.monotonic_ns() - began)
        for name, target in out.items():
            outputs[name] = model._deliver(name, outputs, target)
        return outputs

    def run_async(
        self,
        output_names: Sequence[str],
        input_feed: Mapping[str, Any],
        callback: Callback,
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Calls callback(results, user_data, error text) from another thread."""

        def work() -> None:
            try:
                results, text = self.run(output_names, input_feed, run_options), ""
            except Exception as error:
                results, text = [], str(error) or type(error).__name__
            callback(results, user_data, text)

        threading.Thread(target=work, name="arenaut run_async", daemon=True).start()

    def run_with_ort_values(
        self,
        feeds: Mapping[str, OrtValue],
        output_names: Sequence[str],
        run_options: RunOptions | None = None,
    ) -> OrtValueVector:
        given = {name: value._get_c_value() for name, value in feeds.items()}
        return OrtValueVector(OrtValue._of(r) for r in self.run(output_names, given, run_options))

    def run_with_ortvaluevector(
        self,
        run_options: RunOptions | None,
        feed_names: Sequence[str],
        feeds: Sequence[OrtValue],
        fetch_names: Sequence[str],
        fetches: OrtValueVector,
        fetch_devices: Sequence[Any],
    ) -> None:
        results = self.run_with_ort_values(dict(zip(feed_names, feeds, strict=True)), fetch_names, run_options)
        fetches[:] = results

    def run_with_iobinding(self, binding: Any, run_options: RunOptions | None = None) -> None:
        try:
            binding._run(run_options)
        except (InvalidArgument, Fail, ValueError) as error:
            text = str(error).rpartition(" : ")[2] if str(error).startswith("[ONNXRuntimeError]") else str(error)
            raise RuntimeError(f"Error in execution: {text}") from error

    # -- asked -------------------------------------------------------------------------------------------------

    def end_profiling(self) -> str:
        return "" if self._trace is None else self._trace.write()

    @property
    def get_profiling_start_time_ns(self) -> int:
        return 0 if self._trace is None else self._trace.start

    def get_providers(self) -> list[str]:
        return [CPU_PROVIDER]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {CPU_PROVIDER: {}}

    def get_provider_graph_assignment_info(self) -> list[OrtEpAssignedSubgraph]:
        nodes = [OrtEpAssignedNode(n.name, n.domain, n.op) for n in self._loaded().graph.nodes]
        return [OrtEpAssignedSubgraph(CPU_PROVIDER, nodes)]

    @property
    def input_meminfos(self) -> list[OrtMemoryInfo]:
        return [OrtMemoryInfo() for _ in self.inputs_meta]

    @property
    def output_meminfos(self) -> list[OrtMemoryInfo]:
        return [OrtMemoryInfo() for _ in self.outputs_meta]

    @property
    def input_epdevices(self) -> list[OrtEpDevice]:
        return [OrtEpDevice() for _ in self.inputs_meta]

    def get_tuning_results(self) -> list[Any]:
        return []

    def set_tuning_results(self, results: Sequence[Any], error_on_invalid: bool = False) -> None:
        no_effect("set_tuning_results", "kernels are chosen when a model is loaded")

    def set_ep_dynamic_options(self, options: Mapping[str, str]) -> None:
        no_effect("set_ep_dynamic_options", "the CPU has none")

    def create_ortvalue_from_shape_and_type(self, shape: Sequence[int], element_type: Any, device: Any) -> OrtValue:
        return OrtValue.ortvalue_from_shape_and_type(shape, element_type, device)

    create_ortvalue_from_shape_and_onnx_type = create_ortvalue_from_shape_and_type

    def is_webgpu_graph_capture_enabled(self) -> bool:
        return False

    def webgpu_context_id(self) -> int:
        return -1

    def release_captured_graph(self, graph_annotation_id: int = 0) -> None:
        """There is none."""
