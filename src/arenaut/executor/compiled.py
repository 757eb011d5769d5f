"""The compiled executor: one native call per run, without the interpreter lock."""

from __future__ import annotations

from typing import Any

from arenaut.executor.common import Asked, ProgramExecutor
from arenaut.lowering.needed import needed_steps
from arenaut.lowering.outline import Described


class CompiledExecutor(ProgramExecutor):
    def __init__(self, built: Described, max_memory: int | None) -> None:
        super().__init__(built, max_memory)
        self._needed: dict[frozenset[int], list[int]] = {}  # steps that a set of outputs needs

    def _run(self, arrays: list[Any], timeout: float | None, asked: Asked) -> list[Any]:
        seconds = -1.0 if timeout is None else max(0.0, timeout)
        needed = None if asked.outputs is None else self._steps_for(asked.outputs)
        native, given, state = self.built.native, asked.given, asked.state
        limit = self.max_memory
        if self.limited and state is not None:
            limit = max(0, limit - state._bytes())
        return native.run(arrays, limit, seconds, asked.stop, needed, given, state)

    def _steps_for(self, outputs: frozenset[int]) -> list[int]:
        if outputs not in self._needed:
            self._needed[outputs] = needed_steps(self.built.outline, outputs)
        return self._needed[outputs]
