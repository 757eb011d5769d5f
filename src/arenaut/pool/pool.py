"""Processes that run models side by side. One that ends is started anew, and what it ran is run again."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import field
from typing import Any

from arenaut.measure.worker import Worker, WorkerError
from arenaut.plain import dataclass
from arenaut.pool.compiling import compile_first
from arenaut.pool.models import MODELS, Face

MOST_ENDS = 3  # so many processes may end while they run the same task

logger = logging.getLogger("arenaut.pool")


@dataclass(frozen=True)
class Loading:
    """How every process loads a model. options: of load_onnx. sizes, rows: see Models.warm."""

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    rows: Sequence[int] = (1,)


@dataclass
class _Task:
    """A call of a process: (worker) -> result. deadline: by time.monotonic; nothing starts after it. index: the
    process that it is for; None for any. ends: processes that ended over it."""

    call: Callable[[Worker], Any]
    future: Future[Any]
    deadline: float | None = None
    index: int | None = None
    ends: int = 0


class Pool:
    """workers: processes, each of `threads` a run. cache: the folder of compiled files, through which they share
    weights. target: the class that each process holds, as "module:Class"; it has the methods of Models. patience:
    seconds after which a call counts as hung, and its process is ended."""

    def __init__(
        self,
        workers: int,
        threads: int | None = None,
        cache: str | None = None,
        target: str = MODELS,
        patience: float = 900.0,
    ) -> None:
        self._arguments = (target, threads, cache)
        self._patience = patience
        self._changed = threading.Condition()
        self._tasks: deque[_Task] = deque()
        self._own: list[deque[_Task]] = [deque() for _ in range(workers)]
        self._loadings: dict[str, Loading] = {}
        self._closing = False
        self._running = 0
        self.restarts = 0
        self.pids: list[int | None] = [None] * workers
        self._started = [Future[None]() for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._serve, args=(i,), name=f"arenaut-pool-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def wait_started(self) -> None:
        """Until every process runs. Raises WorkerError for one that cannot."""
        for started in self._started:
            started.result()

    @property
    def workers(self) -> int:
        return len(self._threads)

    @property
    def alive(self) -> int:
        return sum(pid is not None for pid in self.pids)

    @property
    def waiting(self) -> int:
        """Tasks that no process has begun."""
        return len(self._tasks)

    @property
    def free(self) -> int:
        """Processes that would begin a task at once."""
        return self.alive - self._running - len(self._tasks)

    def load(self, key: str, loading: Loading) -> Face:
        """Loads and warms the model in every process; blocks until that is done. The model is compiled first, by a
        process that ends then, so that all of these map one compiled file. Raises WorkerError, and loads nothing."""
        target, threads, cache = self._arguments
        if cache is not None:
            compile_first(target, threads, cache, loading.path, loading.options)
        with self._changed:
            self._loadings[key] = loading  # a process that is started meanwhile loads it, too
        futures = [self._to(i, lambda worker: _loaded(worker, key, loading)) for i in range(self.workers)]
        try:
            faces: list[tuple[Face, str]] = [future.result() for future in futures]
        except WorkerError:
            self.unload(key)
            raise
        face, failed = faces[0]
        if failed:
            logger.warning("%s: not warmed, since a run on random feeds fails: %s", loading.path, failed)
        return face

    def unload(self, key: str) -> None:
        """Tasks of this model must be done. Does not wait."""
        with self._changed:
            self._loadings.pop(key, None)
        for i in range(self.workers):
            self._to(i, lambda worker: worker.call("unload", key))

    def submit(
        self, key: str, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None, deadline: float | None = None
    ) -> Future[tuple[dict[str, Any], int]]:
        """See Models.run; deadline by time.monotonic. The future raises WorkerError, whose kind is the name of
        arenaut's error, or "died" where several processes ended over it. A cancelled one is not begun."""

        def call(worker: Worker) -> Any:
            left = None if deadline is None else max(deadline - time.monotonic(), 1e-3)
            return worker.call("run", key, feeds, outputs, left)

        return self._submit(_Task(call, Future(), deadline))

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        """Another method of what the processes hold, called in one of them."""
        return self._submit(_Task(lambda worker: worker.call(method, *arguments), Future()))

    def _submit(self, task: _Task) -> Future[Any]:
        with self._changed:
            if self._closing:
                raise RuntimeError("the pool is closed")
            self._tasks.append(task)
            self._changed.notify_all()
        return task.future

    def memory(self) -> list[Mapping[str, int]]:
        """Of each process; see Models.memory."""
        return [self._to(i, lambda worker: worker.call("memory")).result() for i in range(self.workers)]

    def close(self) -> None:
        """Finishes what was submitted, then ends the processes."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one thread a process ----------------------------------------------------------------------------------

    def _to(self, index: int, call: Callable[[Worker], Any]) -> Future[Any]:
        task = _Task(call, Future(), index=index)
        with self._changed:
            self._own[index].append(task)
            self._changed.notify_all()
        return task.future

    def _serve(self, index: int) -> None:
        worker = self._start(index)
        while worker is not None:
            task = self._next(index)
            if task is None:
                break
            ended = _done(worker, task)
            with self._changed:
                self._running -= task.index is None
                if ended is not None:
                    self.pids[index] = None
            if ended is not None:
                worker.close()
                self._again(task, ended)
                worker = self._start(index)
        self.pids[index] = None
        if worker is not None:
            worker.close()

    def _next(self, index: int) -> _Task | None:
        own = self._own[index]
        with self._changed:
            while True:
                if own:
                    return own.popleft()
                if self._tasks:
                    self._running += 1
                    return self._tasks.popleft()
                if self._closing:
                    return None
                self._changed.wait()

    def _again(self, task: _Task, error: WorkerError) -> None:
        """A process ended over this task: another one takes it, before all others."""
        logger.warning("%s; a process is started in its place. %s", error, error.details.strip()[-500:])
        self.restarts += 1
        task.ends += 1
        if task.ends >= MOST_ENDS:
            task.future.set_exception(error)
            return
        with self._changed:
            (self._tasks if task.index is None else self._own[task.index]).appendleft(task)
            self._changed.notify_all()

    def _start(self, index: int) -> Worker | None:
        """A process with all models loaded."""
        started = self._started[index]
        for _ in range(MOST_ENDS):
            try:
                worker = Worker(*self._arguments, timeout=self._patience)
                self._load_all(worker)
            except (WorkerError, OSError) as error:
                logger.error("a process cannot be started: %s", error)
                last = error
                continue
            self.pids[index] = worker.pid
            if not started.done():
                started.set_result(None)
            return worker
        if not started.done():
            started.set_exception(last)
        if self.alive == 0:
            self._give_up(last)
        return None

    def _load_all(self, worker: Worker) -> None:
        with self._changed:
            loadings = dict(self._loadings)
        for key, loading in loadings.items():
            try:
                _loaded(worker, key, loading)
            except WorkerError as error:
                if error.kind in ("died", "timeout"):
                    worker.close()
                    raise
                logger.error("%s: a process that was started anew cannot load it: %s", loading.path, error)

    def _give_up(self, error: Exception) -> None:
        """The last process is gone: nothing waits for ever."""
        with self._changed:
            self._closing = True
            left = [*self._tasks, *(task for own in self._own for task in own)]
            self._tasks.clear()
            for own in self._own:
                own.clear()
        for task in left:
            if task.ends or task.future.set_running_or_notify_cancel():
                task.future.set_exception(error)


def _done(worker: Worker, task: _Task) -> WorkerError | None:
    """Runs a task, whose future then has its outcome; or says how the process ended over it."""
    future = task.future
    if task.ends == 0 and not future.set_running_or_notify_cancel():
        return None
    if task.deadline is not None and time.monotonic() > task.deadline:
        text = "the time limit had passed before a process was free to run the model"
        future.set_exception(WorkerError(text, "RunTimeoutError"))
        return None
    try:
        future.set_result(task.call(worker))
    except WorkerError as error:
        if error.kind in ("died", "timeout"):
            return error
        future.set_exception(error)
    except Exception as error:  # what cannot be pickled, say: the caller's, and no reason to stop
        future.set_exception(error)
    return None


def _loaded(worker: Worker, key: str, loading: Loading) -> tuple[Face, str]:
    worker.call("load", key, loading.path, dict(loading.options))
    face, failed = worker.call("warm", key, dict(loading.sizes), tuple(loading.rows))
    return face, failed
