"""ONNX Runtime through its C interface, with an allocator that counts: what its Python binding cannot show.

The wheel carries the C library beside the binding. The function table (`OrtApi` in onnxruntime_c_api.h) only ever
grows at its end, so the positions below hold for every version from the one that introduced the last of them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

OLDEST_API: Final = 13
_ALIGNMENT: Final = 64
_LOG_INFO: Final = 1
_DEVICE_ALLOCATOR: Final = 0
_MEMORY_DEFAULT: Final = 0
_OPTIMIZE_ALL: Final = 99
_STRING: Final = 8
# Numbers of ONNXTensorElementDataType, which equal those of TensorProto.DataType.
_ELEMENT_TYPES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "float32": 1,
        "uint8": 2,
        "int8": 3,
        "uint16": 4,
        "int16": 5,
        "int32": 6,
        "int64": 7,
        "bool": 9,
        "float16": 10,
        "float64": 11,
        "uint32": 12,
        "uint64": 13,
    }
)
_RUN_INPUTS: Final = (c_void_p, c_void_p, POINTER(c_char_p), POINTER(c_void_p), c_size_t)
# Position in OrtApi and the argument types behind the status that each call returns.
_CALLS: Final[Mapping[str, tuple[int, tuple[Any, ...]]]] = {
    "CreateEnvWithCustomLogger": (4, (c_void_p, c_void_p, c_int, c_char_p, POINTER(c_void_p))),
    "CreateSession": (7, (c_void_p, c_char_p, c_void_p, POINTER(c_void_p))),
    "Run": (9, (*_RUN_INPUTS, POINTER(c_char_p), c_size_t, POINTER(c_void_p))),
    "CreateSessionOptions": (10, (POINTER(c_void_p),)),
    "EnableMemPattern": (16, (c_void_p,)),
    "DisableMemPattern": (17, (c_void_p,)),
    "EnableCpuMemArena": (18, (c_void_p,)),
    "DisableCpuMemArena": (19, (c_void_p,)),
    "SetSessionGraphOptimizationLevel": (23, (c_void_p, c_int)),
    "SetIntraOpNumThreads": (24, (c_void_p, c_int)),
    "SetInterOpNumThreads": (25, (c_void_p, c_int)),
    "SessionGetOutputCount": (31, (c_void_p, POINTER(c_size_t))),
    "SessionGetOutputName": (37, (c_void_p, c_size_t, c_void_p, POINTER(c_char_p))),
    "CreateTensorAsOrtValue": (48, (c_void_p, POINTER(c_int64), c_size_t, c_int, POINTER(c_void_p))),
    "CreateTensorWithDataAsOrtValue": (
        49,
        (c_void_p, c_void_p, c_size_t, POINTER(c_int64), c_size_t, c_int, POINTER(c_void_p)),
    ),
    "FillStringTensor": (52, (c_void_p, POINTER(c_char_p), c_size_t)),
    "CreateCpuMemoryInfo": (69, (c_int, c_int, POINTER(c_void_p))),
    "GetAllocatorWithDefaultOptions": (78, (POINTER(c_void_p),)),
    "AddSessionConfigEntry": (130, (c_void_p, c_char_p, c_char_p)),
    "RegisterAllocator": (176, (c_void_p, c_void_p)),
}
_GET_ERROR_MESSAGE: Final = 2
_RELEASE: Final[Mapping[str, int]] = {"Env": 92, "Status": 93, "Session": 95, "Value": 96, "SessionOptions": 100}

_Alloc = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t)
_Free = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
_Info = ctypes.CFUNCTYPE(c_void_p, c_void_p)
_Log = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_char_p, c_char_p, c_char_p)


class OrtError(RuntimeError):
    """ONNX Runtime refused a call, or its library is not the one this module can read."""


class _ApiBase(ctypes.Structure):
    _fields_ = [("GetApi", ctypes.CFUNCTYPE(c_void_p, c_uint32)), ("GetVersionString", ctypes.CFUNCTYPE(c_char_p))]


class _OrtAllocator(ctypes.Structure):
    """The members every API version has; newer optional ones are not read when `version` is older than theirs."""

    _fields_ = [("version", c_uint32), ("Alloc", _Alloc), ("Free", _Free), ("Info", _Info)]


def library_path() -> Path:
    """The C library inside the installed onnxruntime wheel; raises OrtError if the wheel has none."""
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    found = sorted(folder.glob("libonnxruntime.so.*")) + sorted(folder.glob("libonnxruntime.*dylib"))
    if not found:
        raise OrtError(f"this onnxruntime wheel carries no C library (nothing like libonnxruntime.so.* in {folder})")
    return found[0]


@dataclass
class AllocationCounter:
    """What an allocator was asked for: exact request sizes, in order. Sizes are bytes as requested, unrounded."""

    live: int = 0
    peak: int = 0
    events: list[int] = field(default_factory=list)
    """One number per event: the requested size of an allocation, minus the size for a release."""

    def restart(self) -> None:
        """Begins a new observation: the peak counts from what is live now."""
        self.peak = self.live
        self.events.clear()

    def allocated(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)
        self.events.append(size)

    def released(self, size: int) -> None:
        self.live -= size
        self.events.append(-size)


class _CountingAllocator:
    """An OrtAllocator on posix_memalign that reports every request to a counter."""

    def __init__(self, counter: AllocationCounter, memory_info: c_void_p) -> None:
        libc = ctypes.CDLL(None)
        libc.posix_memalign.argtypes = (POINTER(c_void_p), c_size_t, c_size_t)
        libc.free.argtypes = (c_void_p,)
        sizes: dict[int, int] = {}

        def alloc(_: int, size: int) -> int | None:
            block = c_void_p()
            if libc.posix_memalign(byref(block), _ALIGNMENT, max(size, 1)) != 0 or block.value is None:
                return None
            sizes[block.value] = size
            counter.allocated(size)
            return block.value

        def free(_: int, block: int | None) -> None:
            if block is not None:
                counter.released(sizes.pop(block))
                libc.free(block)

        self._callbacks = (_Alloc(alloc), _Free(free), _Info(lambda _: memory_info.value))
        self.struct = _OrtAllocator(OLDEST_API, *self._callbacks)


class OrtLibrary:
    """The C library with one environment whose CPU allocator counts. One per process; never unloaded."""

    def __init__(self, path: Path | None = None) -> None:
        library = ctypes.CDLL(str(path or library_path()))
        library.OrtGetApiBase.restype = POINTER(_ApiBase)
        base = library.OrtGetApiBase().contents
        self.version: str = base.GetVersionString().decode()
        table = base.GetApi(OLDEST_API)
        if not table:
            raise OrtError(f"onnxruntime {self.version} does not offer version {OLDEST_API} of its C interface")
        entries = ctypes.cast(table, POINTER(c_void_p))
        self._message = ctypes.CFUNCTYPE(c_char_p, c_void_p)(entries[_GET_ERROR_MESSAGE] or 0)
        self._release = {name: ctypes.CFUNCTYPE(None, c_void_p)(entries[at] or 0) for name, at in _RELEASE.items()}
        self._calls = {
            name: ctypes.CFUNCTYPE(c_void_p, *types)(entries[at] or 0) for name, (at, types) in _CALLS.items()
        }
        self.counter = AllocationCounter()
        self.log: list[str] = []
        self._logger = _Log(lambda *message: self.log.append((message[-1] or b"").decode(errors="replace")))
        self.environment = self.create("CreateEnvWithCustomLogger", self._logger, None, _LOG_INFO, b"arenaut-report")
        self.memory_info = self.create("CreateCpuMemoryInfo", _DEVICE_ALLOCATOR, _MEMORY_DEFAULT)
        self._allocator = _CountingAllocator(self.counter, self.memory_info)
        self.call("RegisterAllocator", self.environment, byref(self._allocator.struct))

    def call(self, name: str, *args: Any) -> None:
        """Calls a function of the table; raises OrtError with ONNX Runtime's own message when it fails."""
        status = self._calls[name](*args)
        if status:
            message = self._message(status).decode(errors="replace")
            self.release("Status", c_void_p(status))
            raise OrtError(f"onnxruntime {self.version}: {name}: {message}")

    def create(self, name: str, *args: Any) -> c_void_p:
        """Calls a function whose last argument receives a new handle, and returns the handle."""
        handle = c_void_p()
        self.call(name, *args, byref(handle))
        return handle

    def release(self, kind: str, handle: c_void_p) -> None:
        """Releases a handle of the given kind."""
        self._release[kind](handle)

    def tensor(self, array: np.ndarray[Any, Any]) -> c_void_p:
        """An OrtValue over `array`, which must be C-contiguous and stay alive; strings are copied."""
        shape = (c_int64 * array.ndim)(*array.shape)
        if array.dtype.kind in "OUS":
            allocator = self.create("GetAllocatorWithDefaultOptions")
            value = self.create("CreateTensorAsOrtValue", allocator, shape, array.ndim, _STRING)
            texts = [str(text).encode() for text in array.ravel()]
            self.call("FillStringTensor", value, (c_char_p * len(texts))(*texts), len(texts))
            return value
        element = _ELEMENT_TYPES.get(array.dtype.name)
        if element is None:
            raise OrtError(f"inputs of type {array.dtype.name} cannot be fed through the C interface here")
        address = array.ctypes.data_as(c_void_p)
        args = (address, array.nbytes, shape, array.ndim, element)
        return self.create("CreateTensorWithDataAsOrtValue", self.memory_info, *args)


@dataclass(frozen=True)
class OrtSetting:
    """The two switches of ONNX Runtime that change how much memory a run takes."""

    mem_reuse: bool = True
    mem_pattern: bool = True

    def __str__(self) -> str:
        return f"enable_mem_reuse={self.mem_reuse}, enable_mem_pattern={self.mem_pattern}"


class OrtSession:
    """A session on the counting allocator: graph optimisation all, sequential, the given threads and memory setting."""

    def __init__(self, library: OrtLibrary, model: Path, setting: OrtSetting, threads: int) -> None:
        self._library = library
        options = library.create("CreateSessionOptions")
        try:
            library.call("SetSessionGraphOptimizationLevel", options, _OPTIMIZE_ALL)
            library.call("SetIntraOpNumThreads", options, threads)
            library.call("SetInterOpNumThreads", options, 1)
            library.call("AddSessionConfigEntry", options, b"session.use_env_allocators", b"1")
            if not setting.mem_reuse:
                _switch_off_reuse(library, options)
            if not setting.mem_pattern:
                library.call("DisableMemPattern", options)
            library.log.clear()
            self._session = library.create("CreateSession", library.environment, str(model).encode(), options)
        finally:
            library.release("SessionOptions", options)
        self._check_setting(setting)
        self._outputs = self._output_names()

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> list[c_void_p]:
        """One run; returns the output handles, which the caller releases."""
        arrays = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in feeds.items()}
        inputs = [self._library.tensor(array) for array in arrays.values()]
        outputs = (c_void_p * len(self._outputs))()
        try:
            self._library.counter.restart()
            self._library.call(
                "Run",
                self._session,
                None,
                _strings([name.encode() for name in arrays]),
                (c_void_p * len(inputs))(*inputs),
                len(inputs),
                _strings(self._outputs),
                len(self._outputs),
                outputs,
            )
        finally:
            for value in inputs:
                self._library.release("Value", value)
        return [c_void_p(value) for value in outputs]

    def close(self) -> None:
        """Releases the session."""
        self._library.release("Session", self._session)

    def _output_names(self) -> list[bytes]:
        count = c_size_t()
        self._library.call("SessionGetOutputCount", self._session, byref(count))
        allocator = self._library.create("GetAllocatorWithDefaultOptions")
        names = []
        for index in range(count.value):
            name = c_char_p()
            self._library.call("SessionGetOutputName", self._session, index, allocator, byref(name))
            names.append(name.value or b"")
        return names

    def _check_setting(self, setting: OrtSetting) -> None:
        """Holds ONNX Runtime to the setting: it logs the options that it really uses when a session is created."""
        logged = " ".join(self._library.log)
        for option, wanted in (("enable_mem_reuse", setting.mem_reuse), ("enable_mem_pattern", setting.mem_pattern)):
            if f"{option}:{int(wanted)}" not in logged:
                self.close()
                raise OrtError(f"onnxruntime {self._library.version} did not confirm {option}={wanted}")


def _strings(texts: Sequence[bytes]) -> Any:
    return (c_char_p * len(texts))(*texts)


def _switch_off_reuse(library: OrtLibrary, options: c_void_p) -> None:
    """Clears enable_mem_reuse, which the C interface has no call for (the Python binding has).

    In ONNX Runtime's SessionOptions the flags enable_mem_pattern, enable_mem_reuse and enable_cpu_mem_arena are
    neighbouring bytes. The outer two have calls: the byte that each call flips is found by comparison, and only when
    they lie two apart is the one between them cleared. OrtSession then checks the outcome against the log.
    """
    libc = ctypes.CDLL(None)
    usable = getattr(libc, "malloc_usable_size", None) or getattr(libc, "malloc_size", None)
    if usable is None or options.value is None:
        raise OrtError("enable_mem_reuse=False cannot be set on this system")
    usable.argtypes, usable.restype = (c_void_p,), c_size_t
    size = usable(options)

    def flipped_by(disable: str, enable: str) -> set[int]:
        before = ctypes.string_at(options.value or 0, size)
        library.call(disable, options)
        after = ctypes.string_at(options.value or 0, size)
        library.call(enable, options)
        return {at for at in range(size) if (before[at], after[at]) == (1, 0)}

    pattern = flipped_by("DisableMemPattern", "EnableMemPattern")
    arena = flipped_by("DisableCpuMemArena", "EnableCpuMemArena")
    if len(pattern) != 1 or {at + 2 for at in pattern} != arena:
        raise OrtError(f"onnxruntime {library.version} lays out its options otherwise: enable_mem_reuse=False not set")
    flag = ctypes.c_ubyte.from_address(options.value + pattern.pop() + 1)
    if flag.value != 1:
        raise OrtError(f"onnxruntime {library.version} lays out its options otherwise: enable_mem_reuse=False not set")
    flag.value = 0
