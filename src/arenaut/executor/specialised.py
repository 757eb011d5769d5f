"""Whole programs for what a run's sizes decide, made ahead of time.

A program of a model with open ranks runs what hangs on them as fragments (executor/fragments.py). Where sizes are known
before the first run, a program in which they are decided has no such border and one plan for all its memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arenaut import _native
from arenaut.executor.common import ALL, Asked, Executor
from arenaut.executor.outcomes import Outcomes, Shapes, shapes_of
from arenaut.ir.errors import InputError
from arenaut.ir.infer import Oracle
from arenaut.ir.types import TensorType, Type
from arenaut.lowering.outline import Described

MOST_SHAPES = 256

Build = Callable[[Oracle, Sequence["Type | None"]], "Executor | None"]


class SpecialisedExecutor(Executor):
    """Runs the program that was prepared for such inputs; the general one where there is none.

    inputs: name and type of each in the graph. build makes the executor of a program for an oracle and the inputs'
    types; None where it cannot.
    """

    def __init__(self, general: Executor, inputs: Sequence[tuple[str, Type | None]], build: Build):
        self.built = general.built
        self.general = general
        self.build = build
        self.outcomes = Outcomes(inputs, lambda oracle, types: build(oracle, types) or general)
        self._by_key: dict[tuple[Any, ...], Executor] = {}
        self._lock = threading.Lock()

    @property
    def prepared(self) -> list[Executor]:
        """What was made ahead of time."""
        return [o.program for o in self.outcomes.made]

    def run(self, inputs: Sequence[Any], timeout: float | None = None, asked: Asked = ALL) -> list[Any]:
        chosen = self._chosen(inputs)
        self.built = chosen.built
        return chosen.run(inputs, timeout, asked)

    def run_timed(self, inputs: Sequence[Any]) -> tuple[list[Any], list[int]]:
        return self._chosen(inputs).run_timed(inputs)

    def chosen_by_shapes(self, inputs: Sequence[Any]) -> Executor | None:
        """What runs these inputs, and all of their shapes; None where elements of inputs decide too."""
        return None if self.outcomes.asked else self._chosen(inputs)

    def built_by(self, inputs: Sequence[Any]) -> Described:
        return self._chosen(inputs).built

    def built_as(self, native: _native.Program | None) -> Described:
        with self._lock:
            programs = [self.general.built, *[e.built for e in self.prepared]]
        return next((b for b in programs if b.native is native), self.built)

    def built_for(self, sizes: Mapping[str, int]) -> Described:
        return self._prepare(lambda: self.outcomes.choose_at((), dict(sizes)))

    def prepare_as(self, other: Outcomes[Executor]) -> None:
        """What another executor of the same model has prepared."""
        for outcome in other.made:
            self._prepare(lambda each=outcome: self.outcomes.choose_at(each.ranks, each.choices.env))  # type: ignore[misc]

    def prepare(self, shapes: Shapes) -> Described:
        """The program of inputs of these shapes, None where one is not known."""
        return self._prepare(lambda: self.outcomes.choose(shapes, ()))

    def _prepare(self, choose: Callable[[], Executor | None]) -> Described:
        with self._lock:
            chosen = choose() or self.general
            self._by_key.clear()
            return chosen.built

    def _chosen(self, inputs: Sequence[Any]) -> Executor:
        if not self.outcomes.made:
            return self.general
        shapes = shapes_of(inputs)
        key = (shapes, *[inputs[i].tobytes() for i in self.outcomes.asked])
        found = self._by_key.get(key)
        if found is None:
            with self._lock:
                found = self.outcomes.find(shapes, inputs) or self.general
                if len(self._by_key) >= MOST_SHAPES:
                    self._by_key.clear()
                self._by_key[key] = found
        return found


def settle_shapes(given: Mapping[str, Any], inputs: Sequence[tuple[str, Type | None]]) -> Shapes:
    """Shapes of all inputs from sizes of symbols and shapes of inputs, by name; None where they do not tell. Raises
    InputError for a shape of another rank than the input has."""
    out: list[tuple[int, ...] | None] = []
    for name, t in inputs:
        shape = given.get(name)
        if isinstance(shape, Sequence) and not isinstance(shape, str):
            if isinstance(t, TensorType) and t.shape is not None and len(t.shape) != len(shape):
                raise InputError(f"input '{name}' has rank {len(t.shape)}, not the {len(shape)} of {tuple(shape)}")
            out.append(tuple(int(n) for n in shape))
        elif isinstance(t, TensorType) and t.shape is not None:
            dims = [d if isinstance(d, int) else given.get(str(d)) for d in t.shape]
            out.append(tuple(int(d) for d in dims) if all(isinstance(d, int) for d in dims) else None)  # type: ignore[arg-type]
        else:
            out.append(None)
    return tuple(out)
