"""Python's side of one program: host calls, and the programs of its fragments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import ref

import numpy as np

from arenaut import _native
from arenaut.executor.deadline import host_call
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ArenautError, ExecutionError, InternalError, MemoryLimitError
from arenaut.ir.evaluate import evaluated_by, evaluator_of
from arenaut.ir.graph import Graph, Node
from arenaut.ir.ops import find_record
from arenaut.ir.record import Evaluator
from arenaut.ir.types import TensorType
from arenaut.lowering.build import Built
from arenaut.lowering.program import Lowered
from arenaut.native.arrays import NATIVE_KINDS, from_native, to_native
from arenaut.plain import dataclass


class FragmentPrograms(Protocol):
    """The programs of one fragment, by what its inputs decide. made: so far."""

    @property
    def made(self) -> Sequence[Built]: ...

    def choose(self, arrays: Sequence[Any]) -> tuple[_native.Program, Sequence[int]]:
        """The program for such inputs, and the inputs whose elements decide which one it is."""
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    """A HostCall step. constants: the operands that no run brings, by number; read: types of tensors that one does."""

    node: Node
    evaluator: Evaluator
    constants: list[tuple[int, Any]]
    read: list[tuple[int, object]]
    results: Sequence[tuple[object, object]]  # with the numpy type that crosses the border as it is


class ProgramHost:
    """What a native program calls; steps are numbered as it runs them. fragment: the programs of a fragment's graph."""

    def __init__(
        self, lowered: Lowered, order: list[int], fragment: Callable[[Graph], FragmentPrograms] | None = None
    ) -> None:
        self._lowered = lowered
        self._order = order
        self._fragment = fragment
        self._calls: dict[int, _Call] = {}
        self.fragments: dict[int, FragmentPrograms] = {}
        self._native: Callable[[], _native.Program | None] = lambda: None

    def serve(self, native: _native.Program) -> None:
        """Which program it is; that keeps the host, not the host it."""
        self._native = ref(native)

    def call(self, step: int, arrays: list[Any]) -> list[Any] | None:
        """A HostCall step: its outputs, through the op's evaluator. None at the first call of a step that the native
        side was told how to answer: what it still leaves to the evaluator comes again."""
        known = self._calls.get(step)
        if known is None:
            known, native = self._prepared(step), self._native()
            if native is not None and answer_directly(native, step, known.node):
                return None
        node, evaluator = known.node, known.evaluator
        for i, constant in known.constants:
            arrays[i] = constant
        for i, t in known.read:
            arrays[i] = typed_array(arrays[i], t)
        results = evaluated_step(node, lambda: evaluated_by(evaluator, node, arrays))
        return [
            r if type(r) is np.ndarray and r.dtype is plain and r.flags.carray else packed_result(r, t)
            for r, (t, plain) in zip(results, known.results, strict=False)
        ]

    def _prepared(self, step: int) -> _Call:
        item = self._lowered.steps[self._order[step]]
        evaluator = evaluator_of(item.node)
        if evaluator is None:
            raise ExecutionError(f"{item.node}: no evaluator")
        constants: list[tuple[int, Any]] = []
        read: list[tuple[int, object]] = []
        for i, value in enumerate(item.node.inputs):
            if value is None or item.inputs[i] is None:
                constants.append((i, None if value is None else value.constant))
            elif isinstance(value.type, TensorType) and value.type.dtype is not DType.STRING:
                read.append((i, value.type))
        results = [(None, None) if v is None else (v.type, _plain(v.type)) for v in item.node.outputs]
        made = self._calls[step] = _Call(item.node, evaluator, constants, read, results)
        return made

    def open(self, step: int, arrays: list[Any]) -> tuple[_native.Program, Sequence[int]]:
        """A step that is a fragment."""
        found = self.fragments.get(step)
        if found is None:
            body = self._lowered.steps[self._order[step]].node.attr("body")
            if self._fragment is None or not isinstance(body, Graph):
                raise InternalError("a fragment in a program that was built without what makes its programs")
            found = self.fragments.setdefault(step, self._fragment(body))
        return found.choose(arrays)

    def opened(self) -> Sequence[Built]:
        """The programs of fragments that were made so far."""
        return [built for fragment in list(self.fragments.values()) for built in fragment.made]


def answer_directly(native: _native.Program, step: int, node: Node) -> bool:
    """Tells the native side how to answer the node's host calls; False where only the evaluator can."""
    record = find_record(node.domain, node.op)
    found = record.direct(node) if record is not None and record.direct is not None else None
    if found is None:
        return False
    native.answer(step, *found)
    return True


def evaluated_step(node: object, evaluate: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    """What evaluators give, their failures in the model's terms. node: what messages call the step."""
    try:
        with host_call():
            return evaluate()
    except ArenautError:
        raise
    except MemoryError as error:
        raise MemoryLimitError(f"{node}: this machine has not the memory for its result: {error}") from error
    except Exception as error:
        raise InternalError(f"{node}: a fault of its evaluator: {error!r}. Please report it") from error


def typed_array(array: Any, t: object) -> Any:
    """An input of an evaluator in its own type."""
    if isinstance(array, np.ndarray) and isinstance(t, TensorType) and t.dtype is not DType.STRING:
        return from_native(array, t.dtype) if array.dtype.kind != "O" else array
    return array


def _plain(t: object) -> np.dtype[Any] | None:
    if not isinstance(t, TensorType) or t.dtype is DType.STRING:
        return None
    return t.dtype.numpy if t.dtype.numpy.kind in NATIVE_KINDS else None


def packed_result(result: Any, t: object) -> Any:
    """What the native side takes: dense arrays for tensors, objects otherwise."""
    if not isinstance(t, TensorType) or t.dtype is DType.STRING or result is None:
        return result
    array = np.asarray(result)
    if array.dtype != t.dtype.numpy:
        array = array.astype(t.dtype.numpy)
    return to_native(array)
