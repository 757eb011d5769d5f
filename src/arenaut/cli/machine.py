"""What `arenaut info` says of the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def machine_facts() -> dict[str, Any]:
    from arenaut.config import settings
    from arenaut.native.target import cgroup_cpus, default_threads, kernel_info, machine_memory

    facts = kernel_info()
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": facts["processor"], "tier": facts["tier"], "reason": facts["reason"],
        "features": list(facts["features"]), "threads": default_threads(), "affinity": affinity,
        "quota": cgroup_cpus(), "memory_bytes": machine_memory(), "settings": settings(), "rows": facts["rows"],
    }  # fmt: skip


def machine_text(facts: Mapping[str, Any]) -> str:
    quota = "no quota" if facts["quota"] is None else f"a quota of {facts['quota']:g}"
    lines = [
        f"arenaut {facts['arenaut']}",
        f"{facts['processor']}, tier {facts['tier']}: {facts['reason']}; {facts['threads']} threads",
        f"features: {', '.join(facts['features']) or 'none'}",
        f"threads: {facts['threads']}, of {facts['affinity']} processors in the affinity mask and {quota}",
        f"memory: {facts['memory_bytes'] / 2**30:,.1f} GiB",
        "settings: " + (", ".join(f"{n}={v}" for n, v in facts["settings"].items()) or "none"),
    ]
    return "\n".join([*lines, *(f"  {name:28} {tier}" for name, tier in sorted(facts["rows"].items()))])
