"""A job on this machine: processes that map the same weights do its parts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import as_completed

from arenaut.batch.job import Done, Job, Part, Worker
from arenaut.pool.models import Models
from arenaut.pool.pool import Loading, Pool

_PATIENCE = 7 * 86400.0  # seconds that a part may take


class PartModels(Models):
    """What a process of the pool holds."""

    _workers: dict[str, Worker]

    def do(self, key: str, job: Job, part: Part) -> Done:
        if not hasattr(self, "_workers"):
            self._workers = {}
        if key not in self._workers:
            self._workers[key] = Worker(job, self._models[key].face, lambda feeds: self.run(key, feeds, None, None)[0])
        return self._workers[key].do(part)


def run_parts(
    job: Job, parts: list[Part], workers: int, threads: int, cache: str | None, done: Callable[[Done], None]
) -> None:
    """Until all are done; told of each. Raises WorkerError for a part that cannot be done."""
    target = "arenaut.batch.local:PartModels"
    with Pool(min(workers, max(1, len(parts))), threads, cache, target, patience=_PATIENCE) as pool:
        pool.load("job", Loading(job.model, job.options))
        futures = [pool.call("do", "job", job, part) for part in parts]
        try:
            for future in as_completed(futures):
                done(future.result())
        except BaseException:
            for future in futures:
                future.cancel()
            raise
