"""InferenceSession, as onnxruntime's users know it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from arenaut.compat.onnxruntime import raw
from arenaut.compat.onnxruntime.binding import IOBinding
from arenaut.compat.onnxruntime.devices import (
    CPU_PROVIDER,
    OrtDevice,
    OrtEpAssignedSubgraph,
    OrtEpDevice,
    OrtMemoryInfo,
)
from arenaut.compat.onnxruntime.errors import Fail
from arenaut.compat.onnxruntime.feeds import check_given
from arenaut.compat.onnxruntime.nodes import ModelMetadata, NodeArg
from arenaut.compat.onnxruntime.options import RunOptions, SessionOptions
from arenaut.compat.onnxruntime.values import OrtValue, OrtValueVector

Provider = str | tuple[str, Mapping[Any, Any]]


def check_and_normalize_provider_args(
    providers: Sequence[Provider] | None,
    provider_options: Sequence[Mapping[Any, Any]] | None,
    available_provider_names: Sequence[str],
) -> tuple[list[str], list[dict[str, str]]]:
    """Names and options of providers; warns of those that there are not. Raises ValueError for what is neither."""
    if providers is None:
        return [], []
    if not isinstance(providers, Sequence):
        raise ValueError("'providers' should be a sequence.")
    if provider_options is not None:
        if not isinstance(provider_options, Sequence):
            raise ValueError("'provider_options' should be a sequence.")
        if len(providers) != len(provider_options):
            raise ValueError("'providers' and 'provider_options' should be the same length if both are given.")
        if not all(isinstance(p, str) for p in providers):
            raise ValueError("Only string values for 'providers' are supported if 'provider_options' is given.")
        if not all(isinstance(o, dict) for o in provider_options):
            raise ValueError("'provider_options' values must be dicts.")
        pairs: list[Any] = list(zip(providers, provider_options, strict=True))
    else:
        pairs = [(p, {}) if isinstance(p, str) else p for p in providers]
    found: dict[str, dict[str, str]] = {}
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], dict)):
            raise ValueError("'providers' values must be either strings or (string, dict) tuples.")
        name, options = pair
        if name not in available_provider_names:
            warnings.warn(
                f"Specified provider '{name}' is not in available provider names. Available providers: "
                f"'{', '.join(available_provider_names)}': arenaut computes on the CPU",
                stacklevel=4,
            )
        if name in found:
            warnings.warn(f"Duplicate provider '{name}' encountered, ignoring.", stacklevel=4)
            continue
        found[name] = {str(k): str(v) for k, v in options.items()}
    return list(found), list(found.values())


class Session:
    """What sessions share."""

    _sess: raw.InferenceSession

    def __init__(self, enable_fallback: bool = True) -> None:
        self._enable_fallback = enable_fallback
        self._fallback_providers = [CPU_PROVIDER]

    # -- asked -------------------------------------------------------------------------------------------------

    def get_session_options(self) -> SessionOptions:
        return self._sess.session_options

    def get_inputs(self) -> list[NodeArg]:
        """Inputs that a run must be given."""
        return self._sess.inputs_meta

    def get_outputs(self) -> list[NodeArg]:
        return self._sess.outputs_meta

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Inputs with a stored value."""
        return self._sess.overridable_initializers

    def get_modelmeta(self) -> ModelMetadata:
        return self._sess.model_meta

    def get_input_memory_infos(self) -> list[OrtMemoryInfo]:
        return self._sess.input_meminfos

    def get_output_memory_infos(self) -> list[OrtMemoryInfo]:
        return self._sess.output_meminfos

    def get_input_epdevices(self) -> list[OrtEpDevice]:
        return self._sess.input_epdevices

    def get_providers(self) -> list[str]:
        return self._sess.get_providers()

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return self._sess.get_provider_options()

    def get_provider_graph_assignment_info(self) -> list[OrtEpAssignedSubgraph]:
        return self._sess.get_provider_graph_assignment_info()

    def set_providers(
        self, providers: Sequence[Provider] | None = None, provider_options: Sequence[Mapping[Any, Any]] | None = None
    ) -> None:
        """Checks the names; the session computes on the CPU as before."""
        check_and_normalize_provider_args(providers, provider_options, [CPU_PROVIDER])

    def disable_fallback(self) -> None:
        self._enable_fallback = False

    def enable_fallback(self) -> None:
        self._enable_fallback = True

    # -- run ---------------------------------------------------------------------------------------------------

    def _validate_input(self, feed_input_names: Sequence[str]) -> None:
        check_given(self._sess.inputs_meta, dict.fromkeys(feed_input_names))

    def _wanted(self, output_names: Sequence[str] | None) -> Sequence[str]:
        wanted = output_names if output_names is None or isinstance(output_names, str) else [*output_names]
        return wanted or self._sess._names

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:
        """The outputs of these names, in this order; None or [] for all. Only what they need is computed."""
        input_feed.keys()  # a list of arrays is refused as onnxruntime refuses it
        check_given(self._sess.inputs_meta, input_feed)
        return self._sess.run(self._wanted(output_names), input_feed, run_options)

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: raw.Callback,
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Calls callback(results, user_data, error text) from another thread."""
        check_given(self._sess.inputs_meta, input_feed)
        self._sess.run_async(self._wanted(output_names), input_feed, callback, user_data, run_options)

    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: Mapping[str, OrtValue],
        run_options: RunOptions | None = None,
    ) -> list[OrtValue]:
        check_given(self._sess.inputs_meta, input_dict_ort_values)
        return list(self._sess.run_with_ort_values(input_dict_ort_values, self._wanted(output_names), run_options))

    def run_with_ortvaluevector(
        self,
        run_options: RunOptions | None,
        feed_names: Sequence[str],
        feeds: Sequence[OrtValue],
        fetch_names: Sequence[str],
        fetches: OrtValueVector,
        fetch_devices: Sequence[Any],
    ) -> None:
        self._sess.run_with_ortvaluevector(run_options, feed_names, feeds, fetch_names, fetches, fetch_devices)

    def io_binding(self) -> IOBinding:
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        if iobinding._session is not self._sess:
            raise ValueError("IOBinding must be used with the session that created it.")
        self._sess.run_with_iobinding(iobinding, run_options)

    def create_ortvalue_from_shape_and_type(
        self, shape: Sequence[int], element_type: Any, device_type: str, device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue:
        device = OrtDevice.make(device_type, device_id, vendor_id)
        return self._sess.create_ortvalue_from_shape_and_type(shape, element_type, device)

    def release_captured_graph(self, graph_annotation_id: int = 0) -> None:
        """There is none: graphs are captured on GPUs."""

    # -- measured ----------------------------------------------------------------------------------------------

    def end_profiling(self) -> str:
        """Writes what enable_profiling recorded, as a Chrome trace; the file's name, "" where nothing is recorded."""
        return self._sess.end_profiling()

    def get_profiling_start_time_ns(self) -> int:
        return self._sess.get_profiling_start_time_ns

    def get_tuning_results(self) -> list[Any]:
        return self._sess.get_tuning_results()

    def set_tuning_results(self, results: Sequence[Any], *, error_on_invalid: bool = False) -> None:
        self._sess.set_tuning_results(results, error_on_invalid)

    def set_ep_dynamic_options(self, options: Mapping[str, str]) -> None:
        self._sess.set_ep_dynamic_options(options)


class InferenceSession(Session):
    """onnxruntime's InferenceSession on arenaut: the same arguments, methods, results and exceptions."""

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: SessionOptions | None = None,
        providers: Sequence[Provider] | None = None,
        provider_options: Sequence[Mapping[Any, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(enable_fallback=int(kwargs.get("enable_fallback", 1)) == 1)
        self._model_path: str | None = None
        self._model_bytes: bytes | None = None
        if isinstance(path_or_bytes, (str, os.PathLike)):
            self._model_path = os.fspath(path_or_bytes)
        elif isinstance(path_or_bytes, bytes):
            self._model_bytes = path_or_bytes
        else:
            raise TypeError(f"Unable to load from type '{type(path_or_bytes)}'")
        check_and_normalize_provider_args(providers, provider_options, [CPU_PROVIDER])
        options = sess_options if sess_options is not None else SessionOptions()
        if not isinstance(options, SessionOptions):
            raise TypeError(f"sess_options is a SessionOptions, not {type(options).__name__}")
        self._sess_options = options
        source: str | bytes = self._model_path if self._model_path is not None else self._model_bytes or b""
        self._sess = raw.InferenceSession(options, source)
        self._sess.initialize_session((), (), kwargs.get("disabled_optimizers") or ())

    def __reduce__(self) -> Any:
        raise Fail.of("an InferenceSession is not pickled, here as in onnxruntime; a model of arenaut.load_onnx is")
