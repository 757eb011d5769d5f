"""SessionOptions and RunOptions: what each setting does here, or that it does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import index
from typing import Any, Generic, TypeVar, overload

import numpy as np

from arenaut import _native
from arenaut.compat.onnxruntime.devices import CPU_PROVIDER, OrtEpDevice
from arenaut.compat.onnxruntime.enums import (
    ExecutionMode,
    ExecutionOrder,
    GraphOptimizationLevel,
    OrtExecutionProviderDevicePolicy,
)
from arenaut.compat.onnxruntime.errors import Fail, InvalidArgument, NotImplemented_, refusal
from arenaut.compat.onnxruntime.notes import no_effect
from arenaut.compat.onnxruntime.values import OrtValue

T = TypeVar("T")

_ONE_STEP = "arenaut runs the steps of a model one after another, each on all threads"
_PLANNED = "arenaut plans all memory of a run ahead, as one arena"
_MOST_KEY = 1024  # characters of the key of an entry of the configuration
# Entries of the session's configuration that are about how onnxruntime works inside, and say nothing of results.
_SILENT_ENTRIES = (
    "session.intra_op", "session.inter_op", "session.force_spinning", "session.disable_prepacking",
    "session.use_env_allocators", "session.use_device_allocator", "session.dynamic_block_base",
    "session.use_memory_mapped", "session.record_ep", "memory.", "optimization.", "ep.", "mlas.",
)  # fmt: skip


def _converted(given: object, kind: type) -> object:
    """`given` as a setting of this kind, where onnxruntime takes it for one: what has a truth of its own, or None, as a
    bool, whole numbers and truths as an int, bytes as text."""
    if kind is bool and (given is None or hasattr(given, "__bool__")):
        return bool(given)
    if kind is int and (isinstance(given, np.bool_) or hasattr(given, "__index__")):
        return int(given)
    if kind is str and isinstance(given, bytes):
        return given.decode()
    return given


class _Setting(Generic[T]):
    """One attribute. kind: of its values. why: that another value than the default has no effect; None: it has one."""

    def __init__(self, kind: type[T], default: T, why: str | None = None) -> None:
        self._kind, self._default, self._why = kind, default, why

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner.__name__, name

    @overload
    def __get__(self, instance: None, owner: type) -> _Setting[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | _Setting[T]:
        if instance is None:
            return self
        value: T = instance.__dict__.get(self._name, self._default)
        return value

    def __set__(self, instance: object, given: T) -> None:
        value: Any = _converted(given, self._kind)
        if not isinstance(value, self._kind):
            raise TypeError(f"{self._owner}.{self._name} is {given!r}: expected {self._kind.__name__}")
        if self._why is not None and value != self._default:
            no_effect(f"{self._owner}.{self._name}={given!r}", self._why)
        instance.__dict__[self._name] = value


class _Entries:
    """Named settings as text."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.stated: dict[str, str] = {}

    def add(self, key: str, value: str) -> None:
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{self._owner}: a configuration entry is two strings, not {key!r} and {value!r}")
        if not 0 < len(key) <= _MOST_KEY:
            raise RuntimeError(f"{self._owner}: the key of a configuration entry has 1 to {_MOST_KEY} characters")
        self.stated[key] = value

    def get(self, key: str) -> str:
        if key not in self.stated:
            raise RuntimeError(f"{self._owner} does not have configuration with key: {key}")
        return self.stated[key]


class _Closed:
    """No attributes but those of the class."""

    def __setattr__(self, name: str, value: object) -> None:
        if not hasattr(type(self), name) and not name.startswith("_"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        super().__setattr__(name, value)


class SessionOptions(_Closed):
    """How a session is made."""

    enable_cpu_mem_arena = _Setting(bool, True, _PLANNED)
    enable_mem_pattern = _Setting(bool, True, _PLANNED)
    enable_mem_reuse = _Setting(bool, True, _PLANNED)
    enable_profiling = _Setting(bool, False)
    execution_mode = _Setting(ExecutionMode, ExecutionMode.ORT_SEQUENTIAL, _ONE_STEP)
    execution_order = _Setting(
        ExecutionOrder, ExecutionOrder.DEFAULT, "arenaut chooses the order that needs least memory"
    )
    graph_optimization_level = _Setting(GraphOptimizationLevel, GraphOptimizationLevel.ORT_ENABLE_ALL)
    inter_op_num_threads = _Setting(int, 0)
    intra_op_num_threads = _Setting(int, 0)
    log_severity_level = _Setting(int, -1)
    log_verbosity_level = _Setting(int, 0)
    logid = _Setting(str, "")
    optimized_model_filepath = _Setting(str, "")
    profile_file_prefix = _Setting(str, "onnxruntime_profile_")
    use_deterministic_compute = _Setting(bool, False)
    use_per_session_threads = _Setting(bool, True)

    def __init__(self) -> None:
        self._entries = _Entries("SessionOptions")
        self._dims: dict[str, int] = {}
        self._denotations: dict[str, int] = {}
        self._initializers: dict[str, np.ndarray[Any, Any]] = {}
        self._providers: list[str] = []
        self._load_cancelled = False

    def add_session_config_entry(self, key: str, value: str) -> None:
        if key == "session.load_model_format" and str(value).upper() == "ORT":
            raise refusal("onnxruntime's own model format", "load the .onnx file that it was made from")
        self._entries.add(key, value)
        if not key.startswith(_SILENT_ENTRIES):
            no_effect(f"the configuration entry {key!r}", "it is about onnxruntime itself")

    def get_session_config_entry(self, key: str) -> str:
        return self._entries.get(key)

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        self._dims[name] = index(size)

    def add_free_dimension_override_by_denotation(self, denotation: str, size: int) -> None:
        self._denotations[denotation] = index(size)

    def add_initializer(self, name: str, value: OrtValue) -> None:
        if not isinstance(value, OrtValue):
            raise RuntimeError(f"add_initializer: the value of '{name}' is no OrtValue but {type(value).__name__}")
        self._initializers[name] = value.numpy()

    def add_external_initializers(self, names: Sequence[str], values: Sequence[OrtValue]) -> None:
        if len(names) != len(values):
            raise RuntimeError("add_external_initializers: as many names as values are expected")
        for name, value in zip(names, values, strict=True):
            self.add_initializer(name, value)

    def add_external_initializers_from_files_in_memory(
        self, names: Sequence[str], buffers: Sequence[Any], lengths: Sequence[int]
    ) -> None:
        raise refusal("external data in memory", "give the weights with add_external_initializers")

    def add_provider(self, name: str, options: Mapping[str, str]) -> None:
        if name != CPU_PROVIDER:
            raise NotImplemented_.of(f"arenaut has no provider '{name}': it computes on the CPU ({CPU_PROVIDER})")
        self._providers.append(name)

    def add_provider_for_devices(self, devices: Sequence[OrtEpDevice], options: Mapping[str, str]) -> None:
        if not devices:
            raise InvalidArgument.of("Must provide one or more OrtEpDevice instances.")
        for device in devices:
            self.add_provider(device.ep_name, options)

    def has_providers(self) -> bool:
        return bool(self._providers)

    def set_provider_selection_policy(self, policy: OrtExecutionProviderDevicePolicy) -> None:
        if not isinstance(policy, OrtExecutionProviderDevicePolicy):
            raise TypeError(f"a policy is an OrtExecutionProviderDevicePolicy, not {policy!r}")

    def set_provider_selection_policy_delegate(self, delegate: Callable[..., Any]) -> None:
        no_effect("set_provider_selection_policy_delegate", "there is one provider, the CPU's")

    def register_custom_ops_library(self, path: str) -> None:
        raise Fail.of(
            f"arenaut cannot load the custom ops of '{path}': such libraries are built for onnxruntime. Export these "
            "ops as standard ones, or as functions of the model"
        )

    def set_load_cancellation_flag(self, cancelled: bool) -> None:
        self._load_cancelled = bool(cancelled)

    def set_ep_context_data_read_func(self, read_func: Callable[..., Any], max_data_size: int = 0) -> None:
        raise refusal("EPContext data", "it belongs to models compiled for other providers")

    def clear_ep_context_data_read_func(self) -> None:
        """There is none."""


class RunOptions(_Closed):
    """How one run is made. `terminate` may be set by another thread while runs with these options last."""

    log_severity_level = _Setting(int, -1)
    log_verbosity_level = _Setting(int, 0)
    logid = _Setting(str, "")
    only_execute_path_to_fetches = _Setting(bool, False)

    def __init__(self) -> None:
        self._entries = _Entries("RunOptions")
        self._stop = _native.Stop()

    @property
    def terminate(self) -> bool:
        return self._stop.is_set()

    @terminate.setter
    def terminate(self, stop: bool) -> None:
        wanted = _converted(stop, bool)
        if not isinstance(wanted, bool):
            raise TypeError(f"RunOptions.terminate is {stop!r}: expected bool")
        if wanted:
            self._stop.set()
        else:
            self._stop.clear()

    def add_run_config_entry(self, key: str, value: str) -> None:
        self._entries.add(key, value)

    def get_run_config_entry(self, key: str) -> str:
        return self._entries.get(key)

    def add_active_adapter(self, adapter: Any) -> None:
        raise refusal("a LoRA adapter", "merge it into the model's weights, or feed its weights as inputs")
