"""The times of a session's runs as a Chrome trace (chrome://tracing, ui.perfetto.dev)."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

from arenaut.results.profile import TimedStep


class Trace:
    """Events since `start`, nanoseconds of time.monotonic_ns()."""

    def __init__(self, prefix: str) -> None:
        self.start = time.monotonic_ns()
        self._path = f"{prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{time.time_ns() // 1_000_000 % 1000:03}.json"
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def add(self, category: str, name: str, begin: int, nanoseconds: int, **args: str) -> None:
        """begin: nanoseconds of the same clock."""
        event = {
            "cat": category, "pid": os.getpid(), "tid": threading.get_native_id(), "dur": max(1, nanoseconds // 1000),
            "ts": (begin - self.start) // 1000, "ph": "X", "name": name, "args": args,
        }  # fmt: skip
        with self._lock:
            self._events.append(event)

    def add_steps(self, begin: int, steps: Iterable[TimedStep]) -> None:
        """The steps of a run, one after another."""
        for index, step in enumerate(steps):
            self.add(
                "Node", f"{step.name or step.op}_kernel_time", begin, step.nanoseconds, op_name=step.op,
                node_index=str(index), kernel=step.kernel, provider="CPUExecutionProvider",
            )  # fmt: skip
            begin += step.nanoseconds

    def write(self) -> str:
        """Writes all events; the file's name."""
        with self._lock, open(self._path, "w", encoding="utf-8") as file:
            json.dump(self._events, file)
        return self._path
