"""Deadlines of steps in Python. Native steps look at the deadline themselves; an evaluator that runs past it is
interrupted by an exception in its thread, which arrives between two of its bytecodes."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


class Overrun(BaseException):  # no evaluator may take it for an error of its own
    """Raised in a thread whose host call ran past its deadline."""


class _Watch(threading.local):
    run: _Run | None = None


_watch = _Watch()


class _Run:
    """One run with a deadline, on the thread that began it."""

    def __init__(self, seconds: float) -> None:
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._inside = self._over = self._thrown = False
        self._timer = threading.Timer(max(0.0, seconds), self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        with self._lock:
            self._over = True
            if self._inside:
                self._throw(Overrun)

    def _throw(self, error: type[BaseException] | None) -> None:
        self._thrown = error is not None
        thrown = None if error is None else ctypes.py_object(error)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), thrown)

    def enter(self) -> None:
        with self._lock:
            if self._over:
                raise Overrun
            self._inside = True

    def leave(self) -> None:
        """Afterwards nothing is thrown any more."""
        with self._lock:
            self._inside = False
            if self._thrown:
                self._throw(None)

    def stop(self) -> None:
        self._timer.cancel()


_UNTIMED = nullcontext()


def deadline(seconds: float | None) -> AbstractContextManager[None]:
    """Host calls that this thread makes in this block end with Overrun when the seconds have passed."""
    return _UNTIMED if seconds is None else _timed(seconds)


@contextmanager
def _timed(seconds: float) -> Iterator[None]:
    outer, _watch.run = _watch.run, _Run(seconds)
    try:
        yield
    finally:
        _watch.run.stop()
        _watch.run = outer


def host_call() -> AbstractContextManager[None]:
    """What runs in this block may be interrupted by the deadline of its run."""
    return _UNTIMED if _watch.run is None else _watched(_watch.run)


@contextmanager
def _watched(run: _Run) -> Iterator[None]:
    run.enter()
    try:
        yield
    finally:
        run.leave()
