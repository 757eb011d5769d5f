"""Devices and memory as onnxruntime describes them. There is one: the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arenaut.compat.onnxruntime.enums import (
    OrtAllocatorType,
    OrtDeviceMemoryType,
    OrtDeviceVendorId,
    OrtHardwareDeviceType,
    OrtMemoryInfoDeviceType,
    OrtMemType,
)
from arenaut.compat.onnxruntime.errors import refusal

CPU_PROVIDER = "CPUExecutionProvider"
# Numbers of kinds of devices, by their names.
_KINDS = {"cpu": 0, "cuda": 1, "dml": 1, "webgpu": 1, "gpu": 1, "fpga": 2, "cann": 3, "npu": 3}


def get_ort_device_type(device_type: str) -> int:
    if device_type not in _KINDS:
        raise Exception("Unsupported device type: " + device_type)
    return _KINDS[device_type]


def check_cpu(device: Any) -> None:
    """Raises RuntimeError for a device, or the name of one, that is not the CPU."""
    kind = device.device_type() if isinstance(device, OrtDevice) else get_ort_device_type(str(device).lower())
    if kind != 0:
        raise RuntimeError(
            f"arenaut computes on the CPU: memory on '{device}' cannot be used. Copy the data to the CPU"
        )


class OrtDevice:
    """A device. OrtDevice(kind, memory, id) or OrtDevice(kind, memory, vendor, id), as numbers."""

    def __init__(self, kind: Any, memory: int = 0, *rest: int) -> None:
        if isinstance(kind, OrtDevice):
            kind, memory, rest = kind.device_type(), kind.mem_type(), (kind.vendor_id(), kind.device_id())
        self._kind, self._memory = int(kind), int(memory)
        self._vendor = int(rest[0]) if len(rest) > 1 else 0
        self._id = int(rest[-1]) if rest else 0

    @staticmethod
    def make(ort_device_name: str, device_id: int, vendor_id: int | OrtDeviceVendorId = -1) -> OrtDevice:
        return OrtDevice(get_ort_device_type(ort_device_name), 0, max(0, int(vendor_id)), device_id)

    def _get_c_device(self) -> OrtDevice:
        return self

    def __str__(self) -> str:
        return next(name for name, kind in _KINDS.items() if kind == self._kind)

    def device_id(self) -> int:
        return self._id

    def device_type(self) -> int:
        return self._kind

    def device_mem_type(self) -> int:
        return self._memory

    mem_type = device_mem_type

    def device_vendor_id(self) -> int:
        return self._vendor

    vendor_id = device_vendor_id

    @staticmethod
    def cpu() -> int:
        return 0

    @staticmethod
    def cuda() -> int:
        return 1

    @staticmethod
    def gpu() -> int:
        return 1

    @staticmethod
    def dml() -> int:
        return 1

    @staticmethod
    def webgpu() -> int:
        return 1

    @staticmethod
    def fpga() -> int:
        return 2

    @staticmethod
    def npu() -> int:
        return 3

    @staticmethod
    def cann() -> int:
        return 3

    @staticmethod
    def default_memory() -> int:
        return 0


class OrtMemoryInfo:
    """Where an allocator's memory lies."""

    name: str
    allocator_type: OrtAllocatorType
    device_id: int
    mem_type: OrtMemType
    device_mem_type: OrtDeviceMemoryType
    device_vendor_id: int

    def __init__(
        self,
        name: str = "Cpu",
        allocator_type: OrtAllocatorType = OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        device_id: int = 0,
        mem_type: OrtMemType = OrtMemType.DEFAULT,
    ) -> None:
        self.name = name
        self.allocator_type = allocator_type
        self.device_id = device_id
        self.mem_type = mem_type
        self.device_mem_type = OrtDeviceMemoryType.DEFAULT
        self.device_vendor_id = 0

    @staticmethod
    def create_v2(
        name: str,
        device_type: OrtMemoryInfoDeviceType,
        vendor_id: int,
        device_id: int,
        mem_type: OrtDeviceMemoryType,
        alignment: int,
        allocator_type: OrtAllocatorType,
    ) -> OrtMemoryInfo:
        info = OrtMemoryInfo(name, allocator_type, device_id)
        info.device_mem_type, info.device_vendor_id = mem_type, vendor_id
        return info


class OrtArenaCfg:
    """Settings of onnxruntime's arena allocator; arenaut plans its arena and reads none of them."""

    max_mem: int
    arena_extend_strategy: int
    initial_chunk_size_bytes: int
    max_dead_bytes_per_chunk: int
    initial_growth_chunk_size_bytes: int
    max_power_of_two_extend_bytes: int

    def __init__(self, *args: Any) -> None:
        settings = dict(args[0]) if args and isinstance(args[0], Mapping) else {}
        numbers = [int(n) for n in args] if not settings else []
        names = ("max_mem", "arena_extend_strategy", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk")
        given = {**dict(zip(names, numbers, strict=False)), **settings}
        self.max_mem = int(given.get("max_mem", 0))
        self.arena_extend_strategy = int(given.get("arena_extend_strategy", -1))
        self.initial_chunk_size_bytes = int(given.get("initial_chunk_size_bytes", -1))
        self.max_dead_bytes_per_chunk = int(given.get("max_dead_bytes_per_chunk", -1))
        self.initial_growth_chunk_size_bytes = int(given.get("initial_growth_chunk_size_bytes", -1))
        self.max_power_of_two_extend_bytes = int(given.get("max_power_of_two_extend_bytes", -1))


class OrtHardwareDevice:
    """The processor."""

    type = OrtHardwareDeviceType.CPU
    vendor = ""
    vendor_id = 0
    device_id = 0

    @property
    def metadata(self) -> dict[str, str]:
        return {}


class OrtSyncStream:
    """A stream of a device; the CPU has none."""

    def get_handle(self) -> int:
        raise refusal("a stream of a device", "runs on the CPU end before they return")


class OrtEpDevice:
    """The CPU with what executes on it."""

    ep_name = CPU_PROVIDER
    ep_vendor = "arenaut"

    @property
    def ep_metadata(self) -> dict[str, str]:
        return {}

    @property
    def ep_options(self) -> dict[str, str]:
        return {}

    @property
    def device(self) -> OrtHardwareDevice:
        return OrtHardwareDevice()

    def memory_info(self, memory_type: OrtDeviceMemoryType) -> OrtMemoryInfo:
        return OrtMemoryInfo()

    def create_sync_stream(self, *args: Any) -> OrtSyncStream:
        raise refusal("create_sync_stream", "runs on the CPU end before they return")


class OrtEpAssignedNode:
    """A node of the model, and that it runs on the CPU."""

    name: str
    domain: str
    op_type: str

    def __init__(self, name: str, domain: str, op_type: str) -> None:
        self.name, self.domain, self.op_type = name, domain, op_type


class OrtEpAssignedSubgraph:
    """All nodes that one provider runs."""

    ep_name: str

    def __init__(self, ep_name: str, nodes: list[OrtEpAssignedNode]) -> None:
        self.ep_name = ep_name
        self._nodes = nodes

    def get_nodes(self) -> list[OrtEpAssignedNode]:
        return self._nodes


class OrtExternalInitializerInfo:
    """Where an initialiser lies in a file."""

    filepath: str
    file_offset: int
    byte_size: int

    def __init__(self, filepath: str, file_offset: int, byte_size: int) -> None:
        self.filepath, self.file_offset, self.byte_size = filepath, file_offset, byte_size
