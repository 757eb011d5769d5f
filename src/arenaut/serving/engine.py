"""Requests to runs: limits, batches and processes. One for all models of a server."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from arenaut.compiled.cache import cache_folder
from arenaut.plain import dataclass
from arenaut.pool.models import MODELS, Face
from arenaut.pool.pool import Loading, Pool
from arenaut.serving.batching import Batcher, Feeds, Group, Observer, Outputs
from arenaut.serving.errors import TOO_LARGE, TOO_LATE, TOO_MANY, RequestError


@dataclass(frozen=True)
class Limits:
    """request_bytes: of a request's body. rows: of a request along axis 0, where that is an open dim; None for no
    limit. seconds: of a request, waiting and running; the client may ask for less. requests: that wait or run at a
    time."""

    request_bytes: int = 256 << 20
    rows: int | None = None
    seconds: float = 60.0
    requests: int = 1000


class Engine:
    """batch: most rows of a run that joins requests, 1 for none joined. wait: seconds that a request may wait for
    others. cache: as of load_onnx. The event loop that first runs a request is the only one that may."""

    def __init__(
        self, workers: int = 1, threads: int | None = None, cache: str | bool | None = True, batch: int = 1,
        wait: float = 0.002, limits: Limits | None = None, target: str = MODELS,
    ) -> None:  # fmt: skip
        self.pool = Pool(workers, threads, cache_folder(cache), target)
        self.batch, self.limits = batch, limits or Limits()
        self.under_way = 0
        self._batcher = Batcher(self.pool, batch, wait)
        self._numbers = itertools.count()

    def load(self, path: str, options: Mapping[str, Any], sizes: Mapping[str, int]) -> tuple[str, Face]:
        """Blocks until every process has the model loaded and warm; returns the key to run it by."""
        key = f"{next(self._numbers)}"
        rows = (1, self.batch) if self.batch > 1 else (1,)
        return key, self.pool.load(key, Loading(path, options, sizes, rows))

    async def run(
        self, key: str, face: Face, feeds: Feeds, outputs: tuple[str, ...] | None, timeout: float | None, told: Observer
    ) -> Outputs:
        """The outputs. Raises RequestError."""
        rows = _rows(feeds) if face.rows_are_axis_0 else None
        limits = self.limits
        if rows is not None and limits.rows is not None and rows > limits.rows:
            raise RequestError(TOO_LARGE, f"{rows} rows in a request, and this server takes {limits.rows}")
        if self.under_way >= limits.requests:
            raise RequestError(TOO_MANY, f"{self.under_way} requests are under way, and this server takes no more")
        seconds = limits.seconds if timeout is None else min(timeout, limits.seconds)
        deadline = time.monotonic() + seconds
        self.under_way += 1
        try:
            group = Group(key, outputs, told)
            if rows is None or not 0 < rows < self.batch:
                result = self._batcher.alone(group, feeds, rows or 1, deadline)
            else:
                result = self._batcher.join(group, feeds, rows, deadline)
            return await asyncio.wait_for(result, seconds)
        except asyncio.TimeoutError:
            raise RequestError(TOO_LATE, f"no result within {seconds:g} s") from None
        finally:
            self.under_way -= 1


def _rows(feeds: Feeds) -> int | None:
    """The size of axis 0 of all feeds; None where they differ."""
    sizes = {f.shape[0] if isinstance(f, np.ndarray) and f.ndim else None for f in feeds.values()}
    return sizes.pop() if len(sizes) == 1 else None
