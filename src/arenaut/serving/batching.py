"""Requests that are alike become one run: joined along axis 0, at most so many rows, after at most so long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

import numpy as np

from arenaut.measure.worker import WorkerError
from arenaut.plain import dataclass
from arenaut.pool.pool import Pool
from arenaut.serving.errors import NOT_READY, RequestError, of_worker

_LOOK_SECONDS = 0.005

Feeds = Mapping[str, Any]
Outputs = Mapping[str, Any]


class Observer(Protocol):
    """Told of what happens to a model's runs."""

    def ran(self, rows: int, seconds: float, arena_bytes: int) -> None: ...


@dataclass(frozen=True)
class _Waiting:
    feeds: Feeds
    rows: int
    deadline: float
    future: asyncio.Future[Outputs]


@dataclass(eq=False)
class Group:
    """Requests for one run of the model `key`. due: it has waited as long as it may."""

    key: str
    outputs: Sequence[str] | None
    told: Observer
    items: list[_Waiting] = field(default_factory=list)
    due: bool = False

    @property
    def rows(self) -> int:
        return sum(i.rows for i in self.items)


class Batcher:
    """rows: of a run that joins requests. wait: seconds that a request may wait for others while a process is free;
    while none is, groups go on growing."""

    def __init__(self, pool: Pool, rows: int, wait: float) -> None:
        self._pool, self._rows, self._wait = pool, rows, wait
        self._groups: dict[tuple[Any, ...], Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def alone(self, group: Group, feeds: Feeds, rows: int, deadline: float) -> asyncio.Future[Outputs]:
        """A request that is not joined. The future raises RequestError."""
        waiting = _Waiting(feeds, rows, deadline, asyncio.get_running_loop().create_future())
        group.items.append(waiting)
        self._start(group)
        return waiting.future

    def join(self, group: Group, feeds: Feeds, rows: int, deadline: float) -> asyncio.Future[Outputs]:
        """A request that others of the same group, and with feeds of the same types and inner shapes, may join."""
        loop = asyncio.get_running_loop()
        kinds = tuple((name, feed.dtype.name, feed.shape[1:]) for name, feed in sorted(feeds.items()))
        alike = (group.key, group.outputs, kinds)
        found = self._groups.get(alike)
        if found is not None and found.rows + rows > self._rows:
            self._start(self._groups.pop(alike))
            found = None
        if found is None:
            found = self._groups[alike] = group
            loop.call_later(self._wait, self._is_due, group)
        waiting = _Waiting(feeds, rows, deadline, loop.create_future())
        found.items.append(waiting)
        if found.rows >= self._rows:
            self._start(self._groups.pop(alike))
        return waiting.future

    def _is_due(self, group: Group) -> None:
        """Asked again where no process is free: one may come back without a word from here."""
        group.due = True
        self._start_due()
        if group in self._groups.values():
            asyncio.get_running_loop().call_later(max(self._wait, _LOOK_SECONDS), self._is_due, group)

    def _start_due(self) -> None:
        for alike, group in list(self._groups.items()):
            if group.due and self._pool.free > 0:
                self._start(self._groups.pop(alike))

    def _start(self, group: Group) -> None:
        task = asyncio.get_running_loop().create_task(self._run(group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, group: Group) -> None:
        items = [i for i in group.items if not i.future.done()]  # whoever hung up is left out
        if not items:
            return
        try:
            results = await self._results(group, items)
            parts = _split(results, [i.rows for i in items])
        except RequestError as error:
            if len(items) > 1:
                self._each(group, items)
            elif not items[0].future.done():
                items[0].future.set_exception(error)
            return
        finally:
            self._start_due()
        if parts is None:
            self._each(group, items)
            return
        for item, part in zip(items, parts, strict=True):
            if not item.future.done():
                item.future.set_result(part)

    async def _results(self, group: Group, items: Sequence[_Waiting]) -> Outputs:
        first = items[0].feeds
        feeds = first if len(items) == 1 else {n: np.concatenate([i.feeds[n] for i in items]) for n in first}
        begun = time.perf_counter()
        try:
            submitted = self._pool.submit(group.key, feeds, group.outputs, max(i.deadline for i in items))
            wrapped = asyncio.wrap_future(submitted)
            if len(items) == 1:
                items[0].future.add_done_callback(lambda _: wrapped.cancel())  # whoever hangs up is not waited for
            results, arena = await wrapped
        except WorkerError as error:
            raise of_worker(error) from None
        except asyncio.CancelledError:
            raise RequestError(NOT_READY, "the request was cancelled") from None
        except RuntimeError as error:  # closed
            raise RequestError(NOT_READY, str(error)) from None
        group.told.ran(sum(i.rows for i in items), time.perf_counter() - begun, arena)
        outputs: Outputs = results
        return outputs

    def _each(self, group: Group, items: Sequence[_Waiting]) -> None:
        """What failed together is run one by one: one bad request spoils no other."""
        for item in items:
            self._start(Group(group.key, group.outputs, group.told, [item]))


def _split(outputs: Outputs, rows: Sequence[int]) -> list[Outputs] | None:
    """Each request's rows; None where an output does not have as many as went in."""
    if len(rows) == 1:
        return [outputs]
    if any(not isinstance(a, np.ndarray) or a.ndim == 0 or len(a) != sum(rows) for a in outputs.values()):
        return None
    ends = np.cumsum(rows)
    return [{n: a[end - count : end] for n, a in outputs.items()} for end, count in zip(ends, rows, strict=True)]
