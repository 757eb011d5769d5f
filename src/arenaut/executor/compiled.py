"""The compiled executor: one native call per run, without the interpreter lock."""

from __future__ import annotations

from typing import Any

from arenaut.executor.common import ProgramExecutor


class CompiledExecutor(ProgramExecutor):
    def _run(self, arrays: list[Any], timeout: float | None) -> list[Any]:
        return self.built.native.run(arrays, self.max_memory, -1.0 if timeout is None else max(0.0, timeout))
