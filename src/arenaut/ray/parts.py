"""A job's parts on a cluster: each is a task that any node does, and another one when that node ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from arenaut.batch.job import Done, Job, Part
from arenaut.batch.local import PartModels
from arenaut.compiled.cache import cache_folder
from arenaut.pool.compiling import compile_first
from arenaut.pool.models import MODELS

_IN_FLIGHT = 4  # tasks a CPU that are handed to the cluster at a time
_held: dict[str, PartModels] = {}  # of this process, which Ray uses for many tasks


def _do(job: Job, part: Part, threads: int, cache: str | bool) -> Done:
    """In a process of the cluster."""
    key = repr(job)
    if key not in _held:
        folder = cache_folder(cache)
        if folder is not None:
            compile_first(MODELS, threads, folder, job.model, job.options)
        models = PartModels(threads, folder)
        models.load("job", job.model, job.options)
        _held.clear()
        _held[key] = models
    return _held[key].do("job", job, part)


def run_parts(
    job: Job, parts: list[Part], address: str | None, threads: int, cache: str | bool, done: Callable[[Done], None]
) -> None:
    """Until all are done; told of each. address: of the cluster, "auto", or None for one that is connected to. The
    model, inputs and output lie on storage of all nodes. Raises what Ray raises for a part that cannot be done."""
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    task: Any = ray.remote(num_cpus=threads, max_retries=-1, scheduling_strategy="SPREAD")(_do)
    most = _IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)))
    left = list(reversed(parts))
    running: list[Any] = []
    while left or running:
        while left and len(running) < most:
            running.append(task.remote(job, left.pop(), threads, cache))
        ready, running = ray.wait(running)
        for each in ray.get(ready):
            done(each)
