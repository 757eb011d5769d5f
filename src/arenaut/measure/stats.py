"""Statistics of repeated measurements. Pure functions of numbers, free of assumptions about the distribution."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A confidence interval for a median. `coverage` is the exact confidence that the chosen ranks give."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class PairedRatio:
    """Median over rounds of peer time / subject time, with its interval. Above 1 the subject is faster.

    No interval: other work took so much of the cores that none could be given honestly.
    """

    median: float
    interval: Interval | None
    rounds: int


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Distribution-free interval for the median of `values` from order statistics.

    For independent samples the k-th smallest and k-th largest of n values enclose the median with probability
    1 - 2 P(Binomial(n, 1/2) < k). The largest k that keeps at least `confidence` is taken. Below six values no k
    reaches 95 %; then the extremes are returned and `coverage` says what they are worth.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    ordered = sorted(values)
    n = len(ordered)
    best_k, best_coverage = 1, 1.0 - 2.0 ** (1 - n)
    below = 0
    for k in range(1, n // 2 + 1):
        below += math.comb(n, k - 1)
        coverage = 1.0 - 2.0 * below / 2**n
        if coverage < confidence:
            break
        best_k, best_coverage = k, coverage
    return Interval(ordered[best_k - 1], ordered[n - best_k], best_coverage)


def paired_ratio(subject: Sequence[float], peer: Sequence[float], disturbed: bool = False) -> PairedRatio:
    """Compares two series of times measured in the same rounds: the i-th of both belong together."""
    if len(subject) != len(peer) or not subject:
        raise ValueError(f"paired series need the same positive length, not {len(subject)} and {len(peer)}")
    ratios = [p / s for s, p in zip(subject, peer, strict=True)]
    return PairedRatio(statistics.median(ratios), None if disturbed else median_interval(ratios), len(ratios))


def quiet_rounds(lost: Sequence[float], asked: int, most: float = 0.05) -> tuple[list[int], bool]:
    """Which rounds count, by the share of its time that each lost to other work, and whether they are disturbed.

    Those count that lost at most the share `most`, if they are half of the rounds asked for; else all, as disturbed.
    """
    quiet = [index for index, share in enumerate(lost) if share <= most]
    if 2 * len(quiet) >= asked:
        return quiet, False
    return list(range(len(lost))), True


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive values."""
    if not values or min(values) <= 0.0:
        raise ValueError("a geometric mean needs at least one value, and all of them above zero")
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))


def family_means(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Geometric means by family of (family, value) pairs, in the order in which families appear."""
    members: dict[str, list[float]] = {}
    for family, value in values:
        members.setdefault(family, []).append(value)
    return {family: geometric_mean(each) for family, each in members.items()}
