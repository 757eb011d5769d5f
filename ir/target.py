"""What passes and lowering may know of the machine: plain data, filled by whoever asks the native side."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """tier: 0 baseline, 1 v3, 2 v4. Cache sizes in bytes; L1 and L2 are per core.

    families: the kernel families that have rows here, for rewrites that need one."""

    tier: int
    features: int
    threads: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    families: frozenset[str] = frozenset()
