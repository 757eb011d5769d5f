"""Programs for the outcomes of choices that input sizes make.

A model may squeeze a dim only where it is 1: the ranks of what follows then depend on sizes, and only Python can run
it. Sizes settle every such choice, though. So the first run of new sizes looks for a program whose choices come out
alike, and builds one where there is none; the general program serves what is over the limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arenaut.executor.common import Executor
from arenaut.ir.dims import Expr, evaluate
from arenaut.ir.types import TensorType, Type
from arenaut.lowering.build import Built

MOST_VARIANTS = 8
MOST_SHAPES = 256

Decide = Callable[[Expr], "bool | None"]


@dataclass
class Choices:
    """Decides conditions for the sizes in `env`, and remembers them: a guard of the program that is built with them."""

    env: Mapping[str, int]
    made: dict[Expr, bool] = field(default_factory=dict)

    def __call__(self, condition: Expr) -> bool | None:
        try:
            self.made[condition] = bool(evaluate(condition, self.env))
        except (KeyError, ZeroDivisionError):  # a size that only running decides
            return None
        return self.made[condition]

    def hold(self, env: Mapping[str, int]) -> bool:
        return all(bool(evaluate(condition, env)) is outcome for condition, outcome in self.made.items())


class SpecialisedExecutor(Executor):
    """Runs the program whose choices the input sizes make.

    build makes the executor of a program with the choices that a Decide makes; None where it cannot any more.
    """

    def __init__(self, general: Executor, types: Sequence[Type | None], build: Callable[[Decide], Executor | None]):
        self.built = general.built
        self._general = general
        self._types = tuple(types)
        self._build = build
        self._variants: list[tuple[Choices, Executor]] = []
        self._by_shapes: dict[tuple[Any, ...], Executor] = {}
        self._lock = threading.Lock()

    def run(self, inputs: Sequence[Any], timeout: float | None = None) -> list[Any]:
        shapes = tuple([getattr(x, "shape", None) for x in inputs])
        chosen = self._by_shapes.get(shapes) or self._choose(shapes)
        self.built = chosen.built
        return chosen.run(inputs, timeout)

    def built_for(self, sizes: Mapping[str, int]) -> Built:
        with self._lock:
            return self._variant(sizes).built

    def _choose(self, shapes: tuple[Any, ...]) -> Executor:
        env = self._sizes(shapes)
        with self._lock:
            chosen = self._variant(env)
            if len(self._by_shapes) >= MOST_SHAPES:
                self._by_shapes.clear()
            self._by_shapes[shapes] = chosen
            return chosen

    def _variant(self, env: Mapping[str, int]) -> Executor:
        """The executor of the choices that these sizes make. The lock is held."""
        chosen = next((e for choices, e in self._variants if choices.hold(env)), None)
        if chosen is None:
            chosen = self._general
            if len(self._variants) < MOST_VARIANTS:
                choices = Choices(env)
                chosen = self._build(choices) or self._general
                self._variants.append((choices, chosen))
        return chosen

    def _sizes(self, shapes: tuple[Any, ...]) -> dict[str, int]:
        """The sizes of the symbols that input dims are."""
        env: dict[str, int] = {}
        for t, shape in zip(self._types, shapes, strict=True):
            if isinstance(t, TensorType) and t.shape is not None and shape is not None:
                env.update({str(d): n for d, n in zip(t.shape, shape, strict=False) if isinstance(d, Expr)})
        return env
