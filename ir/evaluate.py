"""Runs nodes and graphs through the records' evaluators, on numpy. The slow path that every op has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any

import numpy as np

from arenaut.ir.errors import ArenautError, ExecutionError, RuleError, ShapeError, UnknownRankError, UnsupportedError
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.infer import alone
from arenaut.ir.limits import check_time
from arenaut.ir.ops import record_of
from arenaut.ir.record import Evaluator
from arenaut.ir.types import TensorType

FloatMode = Callable[[], AbstractContextManager[None]]

_float_mode: FloatMode = nullcontext

_MOST_DIMS = 32
"""What numpy's broadcasting takes; its arrays may have more."""

_NUMPY_REFUSES = (ValueError, IndexError, OverflowError)
"""Sizes that do not fit together or into memory's addresses, indices outside, numbers that a type does not hold."""


def evaluate_in(mode: FloatMode) -> None:
    """From now on evaluators run within `mode()`: floats as kernels compute with them, so that a folded node is the
    node that would have run."""
    global _float_mode
    _float_mode = mode


def evaluator_of(node: Node) -> Evaluator | None:
    """The evaluator of the op's record, or onnx's own."""
    record = record_of(node)
    if record.evaluate is None:
        from arenaut.ir.ops.support.fallback import reference_record

        record = reference_record(node.domain, node.op) or record
    return record.evaluate


def can_evaluate(node: Node) -> bool:
    """Whether the op has an evaluator: of its record, or onnx's own."""
    from arenaut.ir.ops.support.fallback import evaluate_reference, reference_has

    evaluate = evaluator_of(node)
    return evaluate is not None and (evaluate is not evaluate_reference or reference_has(node))


def evaluate_node(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """The outputs of one node for these input values (None where absent)."""
    evaluate = evaluator_of(node)
    if evaluate is None:
        raise UnsupportedError(f"{node}: no evaluator")
    return evaluated_by(evaluate, node, inputs)


def evaluated_by(evaluate: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """What this evaluator of the node gives; no number is worth a warning.

    Raises ExecutionError for values that the op does not allow. Evaluators leave it to numpy to compare sizes and
    indices, so what numpy refuses is such a value.
    """
    check_time()
    for x in inputs:
        if isinstance(x, np.ndarray) and x.ndim > _MOST_DIMS:
            raise ExecutionError(f"{node}: an input of rank {x.ndim}; there may be {_MOST_DIMS} dims")
    outermost = not _quiet.inside
    try:
        if not outermost:
            return _evaluated(evaluate, node, inputs)
        _quiet.inside = True
        return _quiet.context.run(_in_float_mode, evaluate, node, inputs)
    except (RuleError, *_NUMPY_REFUSES) as error:
        raise ExecutionError(f"{node}: {error}") from error
    finally:
        if outermost:
            _quiet.inside = False


class _Quiet(threading.local):
    """A thread's context in which numpy warns of no number; inside: whether the thread is in it. To go into a context
    that is kept costs a tenth of numpy.errstate."""

    def __init__(self) -> None:
        self.inside = False
        self.context = Context()
        self.context.run(lambda: np.seterr(all="ignore"))


_quiet = _Quiet()


def _in_float_mode(evaluate: Evaluator, node: Node, inputs: Sequence[Any]) -> list[Any]:
    with _float_mode():
        return _evaluated(evaluate, node, inputs)


def _evaluated(evaluate: Evaluator, node: Node, inputs: Sequence[Any]) -> list[Any]:
    try:
        results = evaluate(node, inputs)
    except UnknownRankError:  # of the node, not of these inputs
        results = evaluate(alone(node, _types_of(node, inputs))[1], inputs)
    except ArenautError:
        raise
    except Exception:
        _check_types(node, inputs)
        raise
    return [_text_as_objects(r) for r in results]


def _check_types(node: Node, inputs: Sequence[Any]) -> None:
    """Raises ExecutionError for inputs that the op's rule refuses. Evaluators trust the rule, which is not asked while
    ranks are open."""
    given = [(v, x) for v, x in zip(node.inputs, inputs, strict=True) if v is not None and x is not None]
    if any(not v.has_shape for v, _ in given) and all(isinstance(v.type, TensorType) for v, _ in given):
        try:
            alone(node, _types_of(node, inputs))
        except ShapeError as error:
            raise ExecutionError(str(error)) from error


def _types_of(node: Node, inputs: Sequence[Any]) -> list[TensorType | None]:
    """Of these arrays for the node's inputs."""
    pairs = zip(node.inputs, inputs, strict=True)
    return [None if x is None or v is None else TensorType(v.dtype, np.shape(x)) for v, x in pairs]


def _text_as_objects(result: Any) -> Any:
    """numpy picks a type of fixed width for lists of texts, and none for one text; arenaut's are arrays of objects."""
    if isinstance(result, str):
        return np.array(result, object)
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype.kind in "US":
        return np.asarray(result).astype(object)
    return result


def evaluate_graph(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
    """The graph's outputs for its inputs, in order."""
    known: dict[int, Any] = {id(v): x for v, x in zip(graph.inputs, inputs, strict=True)}

    def get(value: Value | None) -> Any:
        if value is None:
            return None
        return value.constant if value.constant is not None else known[id(value)]

    for node in graph.nodes:
        results = evaluate_node(node, [get(v) for v in node.inputs])
        for value, result in zip(node.outputs, results, strict=False):
            if value is not None:
                known[id(value)] = result
    return [get(v) for v in graph.outputs]
