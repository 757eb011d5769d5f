"""The machine as lowering sees it: ISA tier, caches, and how many threads this process may use."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cache
from typing import Any

from arenaut import _native
from arenaut.config import variable
from arenaut.ir.errors import OptionError
from arenaut.ir.target import Precision, Target, WeightForm
from arenaut.native.enumerations import enumeration
from arenaut.native.rows import all_rows

TIERS = tuple(enumeration("Tier"))
ISA_CAP_VARIABLE = "ARENAUT_ISA_MAX"
FEATURE_CAP_VARIABLE = "ARENAUT_ISA_WITHOUT"
_LONGEST_SETTING = 1 << 16  # bytes of a file that holds a setting of a control group, or lists the groups


def default_threads() -> int:
    """CPUs of this process: affinity, capped by the container's quota (cgroup v2 or v1)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cpus()
    return max(1, count if quota is None else min(count, int(quota + 0.5)))


def cgroup_cpus(root: str | None = None) -> float | None:
    """CPUs that the quotas of this process's control group and of all groups around it leave; None without a quota."""
    folders = _limiting_folders() if root is None else _cgroup_folders(root)
    quotas = [q for folder in folders for q in [_quota_of(folder)] if q is not None]
    return min(quotas, default=None)


@cache
def _limiting_folders() -> tuple[str, ...]:
    """Those of this process's groups that a quota can be set for; the quota itself may change at any time."""
    names = ("cpu.max", "cpu.cfs_quota_us")
    return tuple(f for f in _cgroup_folders("/") if any(os.path.exists(os.path.join(f, name)) for name in names))


def _cgroup_folders(root: str) -> list[str]:
    """Folders that may hold a cpu quota: of the process's groups and their parents. Inside a container the groups'
    paths may be the host's and not exist; the mount point is then the container's own group."""
    try:
        lines = _text_of(root, "proc/self/cgroup").splitlines()
    except OSError:
        lines = []
    folders = [os.path.join(root, "sys/fs/cgroup", name) for name in ("", "cpu", "cpu,cpuacct")]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part]
        mounts = folders[1:3] if controllers else folders[:1]
        folders += [os.path.join(mount, *parts[:n]) for mount in mounts for n in range(1, len(parts) + 1)]
    return folders


def _quota_of(folder: str) -> float | None:
    try:
        quota, period = _text_of(folder, "cpu.max").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota_us = int(_text_of(folder, "cpu.cfs_quota_us"))
        period_us = int(_text_of(folder, "cpu.cfs_period_us"))
        return quota_us / period_us if quota_us > 0 else None
    except (OSError, ValueError):
        return None


@cache
def machine_memory() -> int:
    """Bytes that a process may have: those of the machine, or of its control group where that has fewer."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (_number_in(folder, name) for folder in _cgroup_folders("/")
              for name in ("memory.max", "memory.limit_in_bytes"))  # fmt: skip
    return min([total, *(n for n in limits if n is not None)])


def _number_in(folder: str, name: str) -> int | None:
    try:
        return int(_text_of(folder, name))
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _text_of(folder: str, name: str) -> str:
    descriptor = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LONGEST_SETTING).decode()
    finally:
        os.close(descriptor)


def allowed_tier() -> int:
    """The best tier of this machine, capped by ARENAUT_ISA_MAX (baseline, v3 or v4)."""
    best: int = _native.cpu()["tier"]
    cap = variable(ISA_CAP_VARIABLE)
    if not cap:
        return best
    if cap not in TIERS:
        raise ValueError(f"{ISA_CAP_VARIABLE}={cap!r} is none of {', '.join(TIERS)}")
    return min(best, TIERS.index(cap))


def allowed_features(tier: int) -> int:
    """The features of this machine that kernels of `tier` may use: a mask, without what ARENAUT_ISA_WITHOUT (names,
    comma-separated) leaves out."""
    known = _native.features()
    without = [name for name in (variable(FEATURE_CAP_VARIABLE) or "").split(",") if name]
    unknown = sorted(set(without) - {name for name, _, _ in known})
    if unknown:
        names = ", ".join(name for name, _, _ in known)
        raise ValueError(f"{FEATURE_CAP_VARIABLE}={','.join(unknown)!r} is none of {names}")
    present: int = _native.cpu()["features"]
    return sum(bit & present for name, bit, least in known if least <= tier and name not in without)


def feature_names(mask: int) -> tuple[str, ...]:
    return tuple(name for name, bit, _ in _native.features() if bit & mask)


def _capped(isa: str) -> tuple[int, int]:
    """Tier and features that a text such as "v3" or "v3+avx_vnni" names. Raises OptionError for what is not here."""
    name, *names = isa.split("+")
    if name not in TIERS:
        raise OptionError(f"isa={isa!r}: '{name}' is none of {', '.join(TIERS)}")
    tier = TIERS.index(name)
    if tier > allowed_tier():
        raise OptionError(
            f"isa={isa!r}: this machine has {TIERS[allowed_tier()]}, and weights are packed by what runs them"
        )
    bits = {feature: bit for feature, bit, least in _native.features() if least <= tier}
    wrong = [n for n in names if not bits.get(n, 0) & allowed_features(tier)]
    if wrong:
        raise OptionError(f"isa={isa!r}: no feature {', '.join(wrong)} of tier {name} here")
    return tier, sum(bits[n] for n in set(names))


def current_target(
    threads: int | None = None,
    without: Collection[str] = (),
    precision: Precision = "stored",
    weights: WeightForm = "stored",
    isa: str | None = None,
) -> Target:
    """What kernels may be picked for here. threads: None for all that this process may use. isa: no more than this tier
    and these features. The rest: see Target."""
    available = default_threads()
    _native.set_pool_limit(available)
    cpu = _native.cpu()
    tier, features = _capped(isa) if isa else (allowed_tier(), 0)
    features = features if isa else allowed_features(tier)
    return Target(
        tier, features, threads or available, cpu["l1d_bytes"], cpu["l2_bytes"], cpu["l3_bytes"],
        _families(tier, features), frozenset(without), precision, weights,
    )  # fmt: skip


@cache
def _families(tier: int, features: int) -> frozenset[str]:
    """The kernel families that have a row for a tier and features."""
    return frozenset(row.family for row in all_rows() if row.tier <= tier and row.features & ~features == 0)


def kernel_info() -> dict[str, Any]:
    """Which ISA tier and features run here and why, and for each kernel row name the tier that is picked."""
    cpu = _native.cpu()
    tier = allowed_tier()
    capped = tier < cpu["tier"]
    features = allowed_features(tier)
    picked: dict[str, str] = {}
    for row in sorted(all_rows(), key=lambda r: r.tier):
        if row.tier <= tier and row.features & ~features == 0:
            picked[row.name] = TIERS[row.tier]
    return {
        "processor": cpu["vendor"],
        "tier": TIERS[tier],
        "features": feature_names(features),
        "machine_tier": cpu["tier_name"],
        "reason": f"capped by {ISA_CAP_VARIABLE}" if capped else cpu["reason"],
        "rows": picked,
    }
