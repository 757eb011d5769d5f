"""What the operating system says about this process: memory, cores, signals. No arenaut imports."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path


def resident_bytes() -> int | None:
    """Resident set of this process now, in bytes; None where the system has no /proc."""
    return _status_field("VmRSS")


def peak_resident_bytes() -> int:
    """Largest resident set since this program was started, in bytes.

    Linux keeps getrusage's ru_maxrss across exec, so a child would report its parent's peak; VmHWM belongs to this
    program's own address space. Elsewhere ru_maxrss is all there is.
    """
    high_water = _status_field("VmHWM")
    if high_water is not None:
        return high_water
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_field(name: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    for line in status.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


def memory_bytes() -> dict[str, int]:
    """Of this process, in bytes: resident ("rss"), and the same with shared pages divided among those that share them
    ("pss"). Empty where the system has no /proc."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return {}
    fields = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
    return {name.lower(): int(fields[name].split()[0]) * 1024 for name in ("Rss", "Pss")}


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keep",
        )
    ]


def malloc_in_use() -> int | None:
    """Bytes that malloc has handed out and not got back, mapped blocks included; None without glibc 2.33 or newer."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return int(info.uordblks) + int(info.hblkhd)


def choose_cores(count: int) -> tuple[int, ...] | None:
    """The cores to pin `count` threads to: one per physical core as far as they go, the last ones first, because
    interrupts favour the first. None where affinity cannot be set; ValueError where there are fewer cores."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0), reverse=True)
    if count > len(allowed):
        raise ValueError(f"{count} threads asked for, but this process may use only {len(allowed)} core(s)")
    seen: set[str] = set()
    first_of_core: list[int] = []
    siblings: list[int] = []
    for cpu in allowed:
        group = _siblings(cpu)
        (siblings if group in seen else first_of_core).append(cpu)
        seen.add(group)
    return tuple((first_of_core + siblings)[:count])


def _siblings(cpu: int) -> str:
    listing = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return listing.read_text().strip() if listing.exists() else str(cpu)


def pin(cores: tuple[int, ...] | None) -> None:
    """Confines this process, and the threads it starts from now on, to `cores`. None leaves it free."""
    if cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def lost_seconds(cores: tuple[int, ...] | None) -> float:
    """How long threads of this process, ready to run, have waited for a core so far, and what a hypervisor took from
    `cores` meanwhile. Only differences mean something; always 0 where the system does not tell."""
    waited = 0
    for task in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has just ended
            waited += int(task.read_text().split()[1])
    stolen, ours = 0, {f"cpu{core}" for core in cores or ()}
    with suppress(OSError):
        for line in Path("/proc/stat").read_text().splitlines():
            name, *ticks = line.split()
            if name in ours:
                stolen += int(ticks[7])
    return waited / 1e9 + stolen / os.sysconf("SC_CLK_TCK")


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent ends, so that a stopped child is never left behind."""
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def machine() -> str:
    """One line that describes this machine: processor, cores that this process may use, memory, system."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    system = os.uname()
    name = names[0] if names else system.machine
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {cores} core(s), {memory:.0f} GiB, {system.sysname} {system.machine}"
