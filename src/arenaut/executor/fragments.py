"""The programs of fragments, whose ranks only a run knows: each made when a run first brings such inputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from arenaut import _native
from arenaut.executor.outcomes import Outcomes, shapes_of
from arenaut.ir.graph import Graph
from arenaut.ir.infer import Oracle
from arenaut.ir.types import Type
from arenaut.lowering.build import Built

BuildFragment = Callable[[Graph, "Oracle | None", Sequence["Type | None"]], "Built | None"]
"""The program of a fragment for what an oracle answers; None where that contradicts it. Without an oracle: one for all
inputs, node by node."""


class OpenFragment:
    """One fragment of a program. lock: held while something is built."""

    def __init__(self, graph: Graph, build: BuildFragment, lock: threading.Lock) -> None:
        self._graph = graph
        self._make = build
        self._lock = lock
        self._general: Built | None = None
        self.outcomes = Outcomes([(v.name, v.type) for v in graph.inputs], self._build)

    @property
    def made(self) -> list[Built]:
        """The programs that there are, each once."""
        every = [o.program for o in self.outcomes.made] + [b for b in (self._general,) if b is not None]
        return list({id(b): b for b in every}.values())

    def is_general(self, built: Built) -> bool:
        """Whether it is the program that serves all inputs, node by node."""
        return built is self._general

    def choose(self, arrays: Sequence[Any]) -> tuple[_native.Program, Sequence[int]]:
        shapes = shapes_of(arrays)
        with self._lock:
            built = self.outcomes.choose(shapes, arrays) or self._for_all()
            return built.native, self.outcomes.asked

    def _build(self, oracle: Oracle, types: Sequence[Type | None]) -> Built:
        return self._make(self._graph, oracle, types) or self._for_all()

    def _for_all(self) -> Built:
        if self._general is None:
            types = [v.type for v in self._graph.inputs]
            self._general = self._make(self._graph, None, types)
            assert self._general is not None
        return self._general
