"""The interpreted executor: steps through the same lowered program from Python.

Every step tries a chain of backends. With the native backend its bytes equal the compiled executor's; the reference
backend computes a step's node with the record's evaluator instead, for debugging and ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from arenaut import _native
from arenaut.executor.common import Asked, ProgramExecutor
from arenaut.ir.errors import ExecutionError, InputError
from arenaut.lowering.build import Built
from arenaut.lowering.program import LoweredStep

# Called after every step: (position, step, read) where read(i) is the step's i-th output as an array.
Observer = Callable[[int, LoweredStep, Callable[[int], Any]], None]


class Backend(Protocol):
    """Runs the run's next step, or returns False to leave it to the next backend."""

    name: str

    def run_step(self, built: Built, run: _native.Run, step: LoweredStep) -> bool: ...


class InterpretedExecutor(ProgramExecutor):
    built: Built

    def __init__(
        self,
        built: Built,
        max_memory: int | None,
        backends: Sequence[Backend],
        observer: Observer | None = None,
    ) -> None:
        super().__init__(built, max_memory)
        self.backends = tuple(backends)
        self.observer = observer

    def _run(self, arrays: list[Any], timeout: float | None, asked: Asked) -> list[Any]:
        if timeout is not None:
            raise InputError("timeout= needs executor='compiled'")
        run = _native.Run(self.built.native, arrays, self.max_memory)
        for position, index in enumerate(self.built.step_order):
            if asked.stop is not None and asked.stop.is_set():
                raise ExecutionError("the run was stopped by its caller")
            step = self.built.lowered.steps[index]
            if not any(backend.run_step(self.built, run, step) for backend in self.backends):
                names = [b.name for b in self.backends]
                raise NotImplementedError(f"none of the backends {names} runs step {position} ({step.node})")
            if self.observer is not None:
                self.observer(position, step, lambda i, s=step: self._read(run, s, i))  # type: ignore[misc]
        return run.outputs()

    def _read(self, run: _native.Run, step: LoweredStep, output: int) -> Any:
        place = step.outputs[output]
        return None if place is None else run.read(self.built.place_id(place))
