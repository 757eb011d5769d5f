"""A child process that holds one object and answers calls on it, so that engines never share an address space."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import Any

from arenaut.measure.process import die_with_parent

# With -c, sys.path begins with the current folder: it stays out, since whatever lies there may be a stranger's.
_SERVE = "import sys; sys.path[:] = filter(None, sys.path); from arenaut.measure.worker import serve; serve({})"


class WorkerError(RuntimeError):
    """The call failed inside the child, or the child died. `kind` is the exception's class name there, "died" or
    "timeout"; `details` is the child's traceback or the end of what it printed."""

    def __init__(self, message: str, kind: str, details: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


class Worker:
    """Starts a fresh interpreter, builds `module:Class(*args)` in it, and forwards `call(method, *args)`.

    Arguments and results are pickled through a pipe. What the child writes to stdout and stderr is kept aside and
    quoted only when it dies. Between `pause()` and `resume()` the child is stopped, so that spinning threads of an
    idle engine take no time from the engine that is measured; `call` resumes it by itself.
    """

    def __init__(self, target: str, *args: Any, timeout: float = 900.0) -> None:
        self._timeout = timeout
        self._paused = False
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (closed by close())
        self._pipe, theirs = Pipe()
        search_path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE.format(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONPATH": search_path},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
            )
        try:
            self._exchange(target, args)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, method: str, *args: Any) -> Any:
        """The result of `method(*args)` in the child; raises WorkerError if it raised there or the child died."""
        self.resume()
        return self._exchange(method, args)

    def pause(self) -> None:
        """Stops the child and all its threads until `resume()` or the next call."""
        if not self._paused and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        """Lets a paused child go on."""
        if self._paused:
            self._process.send_signal(signal.SIGCONT)
            self._paused = False

    def close(self) -> None:
        """Ends the child at once."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, name: str, args: tuple[Any, ...]) -> Any:
        try:
            self._pipe.send((name, args))
            if not self._pipe.poll(self._timeout):
                self._process.kill()
                self._process.wait()
                raise WorkerError(f"no answer to {name} within {self._timeout:.0f} s", "timeout", self._log_tail())
            succeeded, answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise WorkerError(self._death(), "died", self._log_tail()) from None
        if succeeded:
            return answer
        kind, text, details = answer
        raise WorkerError(text, kind, details)

    def _death(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"the process ended with exit code {code}"
        return f"the process was killed by signal {-code} ({signal.strsignal(-code)})"

    def _log_tail(self, size: int = 2000) -> str:
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - size))
        return self._log.read().decode(errors="replace")


def serve(descriptor: int) -> None:
    """The child's loop: builds the object named by the first message, then answers calls until the pipe closes."""
    die_with_parent()
    pipe: Connection[Any, Any] = Connection(descriptor)
    held: Any = None
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            name, args = pipe.recv()
            try:
                if held is None:
                    module, _, attribute = name.partition(":")
                    held = getattr(importlib.import_module(module), attribute)(*args)
                    answer: tuple[bool, Any] = (True, None)
                else:
                    answer = (True, getattr(held, name)(*args))
            except Exception as error:
                answer = (False, (type(error).__name__, str(error) or type(error).__name__, traceback.format_exc()))
            pipe.send(answer)
