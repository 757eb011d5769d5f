"""What sizes decide: the answers that one program was made with, and which of several programs they choose.

Shapes of inputs, and the elements of small integer ones, settle the ranks of nearly all that follows. What inference
asks of them while a program is made is the guard under which it serves other sizes too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Generic, TypeVar

import numpy as np

from arenaut.ir.dims import Expr, equal, evaluate, symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.infer import Oracle
from arenaut.ir.types import TensorType, Type
from arenaut.plain import dataclass

MOST_OUTCOMES = 8
# Integer inputs of at most this many elements may say by their values what ranks are: axes, sizes, conditions.
MOST_ELEMENTS = 8

Shapes = tuple["tuple[int, ...] | None", ...]
P = TypeVar("P")


@dataclass
class Choices:
    """Answers questions for the sizes in `env`, and remembers them: the guards of the program that is built so."""

    env: Mapping[str, int]
    made: dict[Expr, bool] = field(default_factory=dict)

    def holds(self, condition: Expr) -> bool | None:
        try:
            self.made[condition] = bool(evaluate(condition, self.env))
        except (KeyError, ZeroDivisionError):  # a size that only running decides
            return None
        return self.made[condition]

    def value(self, d: Expr) -> int | None:
        try:
            value = evaluate(d, self.env)
        except (KeyError, ZeroDivisionError):
            return None
        same = equal(d, value)
        if isinstance(same, Expr):
            self.made[same] = True
        return value

    def hold(self, env: Mapping[str, int]) -> bool:
        try:
            return all(bool(evaluate(condition, env)) is outcome for condition, outcome in self.made.items())
        except (KeyError, ZeroDivisionError):
            return False

    @property
    def names(self) -> set[str]:
        return {s.name for condition in self.made for s in condition.symbols}


def shapes_of(inputs: Sequence[Any]) -> Shapes:
    """Of each; None of what is no array."""
    return tuple([getattr(x, "shape", None) for x in inputs])


@dataclass
class Outcome(Generic[P]):
    """A program, the ranks of the inputs whose rank is open, and the answers that it was made with."""

    ranks: tuple[int, ...]
    choices: Choices
    program: P


class Outcomes(Generic[P]):
    """The programs of a graph, each for the sizes that answer its questions alike; at most MOST_OUTCOMES.

    inputs: name and type of each. build makes the program for an oracle and the inputs' types. Not safe for threads.
    """

    def __init__(
        self, inputs: Sequence[tuple[str, Type | None]], build: Callable[[Oracle, Sequence[Type | None]], P]
    ) -> None:
        self.inputs = tuple(inputs)
        self.made: list[Outcome[P]] = []
        self.asked: tuple[int, ...] = ()  # inputs whose elements some program depends on
        self._build = build

    def find(self, shapes: Shapes, inputs: Sequence[Any]) -> P | None:
        """The program for inputs like these, if it was made."""
        return self._find(self._ranks(shapes), self._sizes(shapes, inputs))

    def choose(self, shapes: Shapes, inputs: Sequence[Any]) -> P | None:
        """The same, made where it was not; None where there are too many. inputs: empty where they are not known."""
        return self.choose_at(self._ranks(shapes), self._sizes(shapes, inputs))

    def choose_at(self, ranks: tuple[int, ...], env: Mapping[str, int]) -> P | None:
        """For these ranks of inputs whose rank is open, in order, and the sizes of symbols."""
        found = self._find(ranks, env)
        if found is None and len(self.made) < MOST_OUTCOMES:
            choices = Choices(env)
            found = self._build(choices, self._types(ranks))
            self.add(Outcome(ranks, choices, found))
        return found

    def add(self, outcome: Outcome[P]) -> None:
        """One more that was made; there must be room."""
        self.made.append(outcome)
        self._take_note(outcome.choices)

    def _find(self, ranks: tuple[int, ...], env: Mapping[str, int]) -> P | None:
        return next((o.program for o in self.made if o.ranks == ranks and o.choices.hold(env)), None)

    def _take_note(self, choices: Choices) -> None:
        """Which inputs' elements decide from now on."""
        asked = {i for i, (name, t) in enumerate(self.inputs)
                 if _may_say(t) and any(n.startswith(f"{name}[") for n in choices.names)}  # fmt: skip
        self.asked = tuple(sorted(asked.union(self.asked)))

    # -- what sizes are called ---------------------------------------------------------------------------------

    def _ranks(self, shapes: Shapes) -> tuple[int, ...]:
        """The ranks of inputs whose rank is open, in order."""
        return tuple(len(s or ()) for (_, t), s in zip(self.inputs, shapes, strict=True) if _is_open(t))

    def _types(self, ranks: Sequence[int]) -> list[Type | None]:
        """The inputs' types with these ranks in place of open ones."""
        left = iter(ranks)
        types: list[Type | None] = []
        for name, t in self.inputs:
            rank = next(left, None) if _is_open(t) else None
            if isinstance(t, TensorType) and rank is not None:
                t = TensorType(t.dtype, tuple(symbol(f"{name}.{axis}") for axis in range(rank)))
            types.append(t)
        return types

    def _sizes(self, shapes: Shapes, inputs: Sequence[Any]) -> dict[str, int]:
        """The sizes of the symbols that input dims are, and the elements of small integer inputs."""
        env: dict[str, int] = {}
        for t, shape in zip(self._types(self._ranks(shapes)), shapes, strict=True):
            if isinstance(t, TensorType) and t.shape is not None and shape is not None:
                env.update({str(d): n for d, n in zip(t.shape, shape, strict=False) if isinstance(d, Expr)})
        for (name, t), array in zip(self.inputs, inputs, strict=False):
            if _may_say(t) and isinstance(array, np.ndarray) and array.ndim < 2 and array.size <= MOST_ELEMENTS:
                env.update({f"{name}[{i}]": int(n) for i, n in enumerate(array.flat)})
        return env


def _is_open(t: Type | None) -> bool:
    return isinstance(t, TensorType) and t.shape is None


def _may_say(t: Type | None) -> bool:
    return isinstance(t, TensorType) and t.dtype in (DType.INT64, DType.INT32, DType.BOOL)
