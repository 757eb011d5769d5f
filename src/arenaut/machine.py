"""The machine as lowering sees it: ISA tier, caches, and how many threads this process may use."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from arenaut import _native
from arenaut.ir.target import OPTIMISATIONS, Target
from arenaut.lowering.rows import all_rows

TIERS = ("baseline", "v3", "v4")
ISA_CAP_VARIABLE = "ARENAUT_ISA_MAX"


def default_threads() -> int:
    """CPUs of this process: affinity, capped by the container's quota (cgroup v2 or v1)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, count if quota is None else min(count, int(quota + 0.5)))


def _cgroup_cpus() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        return quota_us / period_us if quota_us > 0 else None
    except (OSError, ValueError):
        return None


def allowed_tier() -> int:
    """The best tier of this machine, capped by ARENAUT_ISA_MAX (baseline, v3 or v4)."""
    best: int = _native.cpu()["tier"]
    cap = os.environ.get(ISA_CAP_VARIABLE)
    if not cap:
        return best
    if cap not in TIERS:
        raise ValueError(f"{ISA_CAP_VARIABLE}={cap!r} is none of {', '.join(TIERS)}")
    return min(best, TIERS.index(cap))


def current_target(threads: int | None = None, without: Collection[str] = ()) -> Target:
    """What kernels may be picked for here. threads: None for all that this process may use. without: see Target."""
    unknown = sorted(set(without) - set(OPTIMISATIONS))
    if unknown:
        raise ValueError(f"without={unknown}: expected names of {', '.join(OPTIMISATIONS)}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads}: at least 1")
    cpu = _native.cpu()
    tier = allowed_tier()
    features = cpu["features"] if tier == cpu["tier"] else 0
    rows = [row for row in all_rows() if row.tier <= tier and row.features & ~features == 0]
    return Target(
        tier, features, threads or default_threads(), cpu["l1d_bytes"], cpu["l2_bytes"], cpu["l3_bytes"],
        frozenset(row.family for row in rows), frozenset(without),
    )  # fmt: skip


def kernel_info() -> dict[str, Any]:
    """Which ISA tier runs here and why, and for each kernel row name the tier that is picked."""
    cpu = _native.cpu()
    tier = allowed_tier()
    capped = tier < cpu["tier"]
    picked: dict[str, str] = {}
    for row in sorted(all_rows(), key=lambda r: r.tier):
        if row.tier <= tier and row.features & ~cpu["features"] == 0:
            picked[row.name] = TIERS[row.tier]
    return {
        "processor": cpu["vendor"],
        "tier": TIERS[tier],
        "machine_tier": cpu["tier_name"],
        "reason": f"capped by {ISA_CAP_VARIABLE}" if capped else cpu["reason"],
        "rows": picked,
    }
