"""What executors share: the abstract base, error messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Any

import numpy as np

from arenaut import _native
from arenaut.executor.deadline import Overrun, deadline
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ArenautError, ExecutionError, MemoryLimitError, RunTimeoutError, ShapeError
from arenaut.lowering.outline import Described
from arenaut.native.arrays import from_native, is_tensor, to_native
from arenaut.native.enumerations import LIMITS, enumeration
from arenaut.native.target import machine_memory
from arenaut.plain import dataclass

_STATUSES = enumeration("Status")
_MEANING = {
    "unsupported": "the kernel does not do these shapes",
    "shape_mismatch": "the shapes contradict the op",
    "index_out_of_range": "an index is out of range",
    "division_by_zero": "division by zero",
    "bad_value": "an input holds a value that the op does not define",
    "overflow": "a size is too large",
    "cancelled": "the run was cancelled",
}
_TEXT = {_STATUSES[name]: text for name, text in _MEANING.items()}
DIVISION_BY_ZERO = _STATUSES["division_by_zero"]
CANCELLED = _STATUSES["cancelled"]
# What a binding ends in when a check of the program fails; its detail says all.
REFUSED = LIMITS["refused"]


@dataclass(frozen=True)
class Asked:
    """What a run is asked for. outputs: numbers of those that are wanted, None for all; what only others need is left
    out, and they are None. stop: ends the run with ExecutionError when it is set. given: dense arrays by the number of
    an output, which may be written there; whoever asks copies what was not. state: of programs that have one; the
    inputs and outputs that carry it are None."""

    outputs: frozenset[int] | None = None
    stop: _native.Stop | None = None
    given: Mapping[int, np.ndarray[Any, Any]] = field(default_factory=dict)
    state: _native.State | None = None


ALL = Asked()


class Executor(ABC):
    """Runs a model. Inputs and outputs are lists in the order of the graph's."""

    built: Described  # the program of the last run; before any, the one that serves all sizes

    @abstractmethod
    def run(self, inputs: Sequence[Any], timeout: float | None = None, asked: Asked = ALL) -> list[Any]:
        """timeout: seconds. Raises ExecutionError, ShapeError, MemoryLimitError or RunTimeoutError; safe to call from
        several threads."""

    @abstractmethod
    def built_for(self, sizes: Mapping[str, int]) -> Described:
        """The program that runs inputs whose symbolic dims have these sizes."""

    @abstractmethod
    def run_timed(self, inputs: Sequence[Any]) -> tuple[list[Any], list[int]]:
        """The same, and the nanoseconds of each step in the order in which the program runs them."""

    def built_by(self, inputs: Sequence[Any]) -> Described:
        """The program that runs these inputs."""
        return self.built

    def built_as(self, native: _native.Program | None) -> Described:
        """What a native program was built from; None: the program of the last run."""
        return self.built


class ProgramExecutor(Executor):
    """Runs one built program, whatever the sizes."""

    def __init__(self, built: Described, max_memory: int | None) -> None:
        self.built = built
        self.limited = max_memory is not None
        self.max_memory = machine_memory() if max_memory is None else max_memory
        self.calls_python = built.calls_python
        self._dtypes = built.dtypes

    def run(self, inputs: Sequence[Any], timeout: float | None = None, asked: Asked = ALL) -> list[Any]:
        with self._own_errors(timeout, asked), deadline(timeout if self.calls_python else None):
            results = self._run(_arrays(inputs), timeout, asked)
        return self._typed(results, asked.outputs)

    def run_timed(self, inputs: Sequence[Any]) -> tuple[list[Any], list[int]]:
        with self._own_errors(None, ALL):
            results, nanoseconds = self.built.native.profile(_arrays(inputs))
        return self._typed(results, None), nanoseconds

    def _typed(self, results: Sequence[Any], wanted: frozenset[int] | None) -> list[Any]:
        return [
            _given(r, t) if wanted is None or i in wanted else None
            for i, (r, t) in enumerate(zip(results, self._dtypes, strict=True))
        ]

    @contextmanager
    def _own_errors(self, timeout: float | None, asked: Asked) -> Iterator[None]:
        """What goes wrong in a native run, as errors of arenaut."""
        try:
            yield
        except Overrun:
            raise RunTimeoutError(f"the run did not end within {timeout:g} seconds") from None
        except _native.StepError as error:
            if asked.stop is not None and asked.stop.is_set() and error.args[1] == CANCELLED:
                raise ExecutionError("the run was stopped by its caller") from None
            if timeout is not None and error.args[1] == CANCELLED:
                raise RunTimeoutError(f"the run did not end within {timeout:g} seconds") from None
            raise step_error(self.built, *error.args) from None
        except _native.MemoryLimitExceeded as error:
            needed, limit = error.args
            if self.limited:
                beside = " beside the state" if asked.state is not None else ""
                text = f"max_memory allows {limit}{beside}: raise max_memory, or run smaller inputs"
            else:
                text = f"this machine has {limit} bytes in all: run smaller inputs"
            raise MemoryLimitError(f"this binding needs {needed} bytes of arena and outputs, {text}") from None
        except MemoryError as error:
            raise MemoryLimitError(f"this machine has not the memory for the run: {error}") from error
        except ValueError as error:
            raise ShapeError(f"the program cannot be bound to these inputs: {error}") from None

    def built_for(self, sizes: Mapping[str, int]) -> Described:
        return self.built

    @abstractmethod
    def _run(self, arrays: list[Any], timeout: float | None, asked: Asked) -> list[Any]: ...


def _arrays(inputs: Sequence[Any]) -> list[Any]:
    return [to_native(a) if is_tensor(a) else a for a in inputs]


def _given(result: Any, dtype: DType | None) -> Any:
    """An output with its own type; text, and what is no tensor, as it is."""
    if dtype is None or dtype is DType.STRING or not isinstance(result, np.ndarray):
        return result
    return from_native(result, dtype)


def step_error(built: Described, step: int, status: int, binding: bool, detail: str, program: int = 0) -> ArenautError:
    """A failure of native step `step`, said in the model's terms. program: address of the one whose step it is, a body
    or a fragment of this one; 0: this one."""
    if status == REFUSED:
        return ShapeError(detail)
    built = next((b for b in built.inside() if b.native.address == program), built)
    steps = built.outline.steps
    at = steps[step] if 0 <= step < len(steps) else None
    if status == DIVISION_BY_ZERO and at is not None and at.divides:
        return ExecutionError(at.divides)
    what = _TEXT.get(status, f"status {status}")
    message = f"{at and at.text}: {what}{f' ({detail})' if detail else ''}. Inputs: {at.inputs if at else ''}"
    return ShapeError(message) if binding else ExecutionError(message)
