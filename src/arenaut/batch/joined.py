"""Several sets of feeds as few runs: those that are alike joined along axis 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.errors import ArenautError

Feeds = Mapping[str, Any]


def run_joined(
    run: Callable[[Feeds], Mapping[str, Any]], asked: Sequence[Feeds], joins: bool
) -> list[Mapping[str, Any] | ArenautError]:
    """The outputs of each, or why there are none. joins: the model's rows lie along axis 0 of all inputs and outputs
    and are independent. What fails together is run one by one."""
    results: list[Any] = [None] * len(asked)
    groups: dict[Any, list[int]] = {}
    for i, feeds in enumerate(asked):
        groups.setdefault(_kind(feeds) if joins else i, []).append(i)
    for kind, members in groups.items():
        if kind is None or len(members) == 1 or not _together(run, asked, members, results):
            for i in members:
                try:
                    results[i] = run(asked[i])
                except ArenautError as error:
                    results[i] = error
    return results


def _kind(feeds: Feeds) -> Any:
    """Alike where this is; None for what is not joined."""
    arrays = [f for f in feeds.values() if isinstance(f, np.ndarray) and f.ndim]
    if len(arrays) != len(feeds) or len({len(a) for a in arrays}) != 1 or not len(arrays[0]):
        return None
    return tuple((name, feed.dtype.name, feed.shape[1:]) for name, feed in sorted(feeds.items()))


def _together(
    run: Callable[[Feeds], Mapping[str, Any]], asked: Sequence[Feeds], members: list[int], results: list[Any]
) -> bool:
    parts = [asked[i] for i in members]
    counts = [len(next(iter(p.values()))) for p in parts]
    try:
        outputs = run({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})
    except ArenautError:
        return False
    if any(not isinstance(a, np.ndarray) or a.ndim == 0 or len(a) != sum(counts) for a in outputs.values()):
        return False
    for i, end, count in zip(members, np.cumsum(counts), counts, strict=True):
        results[i] = {n: a[end - count : end] for n, a in outputs.items()}
    return True
