"""Programs for what a run's sizes decide: ranks, and which branch is taken.

A model may squeeze a dim only where it is 1, reshape to as many dims as a fed vector has, or take inputs of any rank:
the ranks of what follows then depend on the run, and only Python can run it. Shapes of the inputs, and the elements of
small integer ones, settle nearly all of it. So the first run of new sizes looks for a program whose questions they
answer alike, and builds one where there is none; the general program serves what is over the limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arenaut import _native
from arenaut.executor.common import ALL, Asked, Executor
from arenaut.ir.dims import Expr, equal, evaluate, symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import InputError
from arenaut.ir.infer import Oracle
from arenaut.ir.types import TensorType, Type
from arenaut.lowering.build import Built

MOST_VARIANTS = 8
MOST_SHAPES = 256
# Integer inputs of at most this many elements may say by their values what ranks are: axes, sizes.
MOST_ELEMENTS = 8

Shapes = tuple["tuple[int, ...] | None", ...]
Build = Callable[[Oracle, Sequence["Type | None"]], "Executor | None"]


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


@dataclass
class Variant:
    """A program, the ranks of the inputs whose rank is open, and the answers that it was made with."""

    ranks: tuple[int, ...]
    choices: Choices
    executor: Executor


class SpecialisedExecutor(Executor):
    """Runs the program that the sizes of the inputs choose.

    inputs: name and type of each in the graph. build makes the executor of a program for an oracle and the inputs'
    types; None where it cannot.
    """

    def __init__(self, general: Executor, inputs: Sequence[tuple[str, Type | None]], build: Build):
        self.built = general.built
        self._general = general
        self._inputs = tuple(inputs)
        self._build = build
        self._variants: list[Variant] = []
        self._by_key: dict[tuple[Any, ...], Executor] = {}
        self._asked: tuple[int, ...] = ()  # inputs whose elements some program depends on
        self._lock = threading.Lock()

    def run(self, inputs: Sequence[Any], timeout: float | None = None, asked: Asked = ALL) -> list[Any]:
        chosen = self._chosen(inputs)
        self.built = chosen.built
        return chosen.run(inputs, timeout, asked)

    def run_timed(self, inputs: Sequence[Any]) -> tuple[list[Any], list[int]]:
        return self._chosen(inputs).run_timed(inputs)

    def chosen_by_shapes(self, inputs: Sequence[Any]) -> Executor | None:
        """What runs these inputs, and all of their shapes; None where elements of inputs decide too."""
        return None if self._asked else self._chosen(inputs)

    def built_by(self, inputs: Sequence[Any]) -> Built:
        return self._chosen(inputs).built

    def built_as(self, native: _native.Program | None) -> Built:
        with self._lock:
            programs = [v.executor.built for v in self._variants]
        return next((b for b in programs if b.native is native), self.built)

    def _chosen(self, inputs: Sequence[Any]) -> Executor:
        shapes = tuple([getattr(x, "shape", None) for x in inputs])
        return self._by_key.get(self._key(shapes, inputs)) or self._choose(shapes, inputs)

    def _key(self, shapes: Shapes, inputs: Sequence[Any]) -> tuple[Any, ...]:
        return (shapes, *[inputs[i].tobytes() for i in self._asked]) if self._asked else shapes

    def built_for(self, sizes: Mapping[str, int]) -> Built:
        with self._lock:
            return self._variant((), dict(sizes)).built

    def prepare(self, shapes: Shapes) -> Built:
        """The program of inputs of these shapes, None where one is not known."""
        ranks, env = self._ranks(shapes), self._sizes(shapes, ())
        with self._lock:
            return self._variant(ranks, env).built

    def _choose(self, shapes: Shapes, inputs: Sequence[Any]) -> Executor:
        ranks, env = self._ranks(shapes), self._sizes(shapes, inputs)
        with self._lock:
            chosen = self._variant(ranks, env)
            if len(self._by_key) >= MOST_SHAPES:
                self._by_key.clear()
            self._by_key[self._key(shapes, inputs)] = chosen
            return chosen

    def _variant(self, ranks: tuple[int, ...], env: Mapping[str, int]) -> Executor:
        """The executor of the answers that these sizes give. The lock is held."""
        found = next((v for v in self._variants if v.ranks == ranks and v.choices.hold(env)), None)
        if found is None and len(self._variants) < MOST_VARIANTS:
            choices = Choices(env)
            executor = self._build(choices, self._types(ranks)) or self._general
            found = Variant(ranks, choices, executor)
            self._variants.append(found)
            self._take_note(choices)
        return self._general if found is None else found.executor

    def _take_note(self, choices: Choices) -> None:
        """Which inputs' elements decide from now on."""
        asked = {i for i, (name, t) in enumerate(self._inputs)
                 if _may_say(t) and any(n.startswith(f"{name}[") for n in choices.names)}  # fmt: skip
        if not asked <= set(self._asked):
            self._asked = tuple(sorted(asked.union(self._asked)))
            self._by_key.clear()

    # -- what sizes are called ---------------------------------------------------------------------------------

    def _ranks(self, shapes: Shapes) -> tuple[int, ...]:
        """The ranks of inputs whose rank is open, in order."""
        return tuple(len(s or ()) for (_, t), s in zip(self._inputs, shapes, strict=True) if _is_open(t))

    def _types(self, ranks: Sequence[int]) -> list[Type | None]:
        """The inputs' types with these ranks in place of open ones."""
        left = iter(ranks)
        types: list[Type | None] = []
        for name, t in self._inputs:
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
        for (name, t), array in zip(self._inputs, inputs, strict=False):
            if _may_say(t) and isinstance(array, np.ndarray) and array.ndim < 2 and array.size <= MOST_ELEMENTS:
                env.update({f"{name}[{i}]": int(n) for i, n in enumerate(array.flat)})
        return env


def _is_open(t: Type | None) -> bool:
    return isinstance(t, TensorType) and t.shape is None


def _may_say(t: Type | None) -> bool:
    return isinstance(t, TensorType) and t.dtype in (DType.INT64, DType.INT32)


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
