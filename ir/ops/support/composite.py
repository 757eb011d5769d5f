"""Helpers of decompositions: nodes with one result, constants, dims as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.errors import RuleError
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.record import Build, DecomposeRule, Evaluator, NoRowError
from arenaut.ir.types import TensorType, Type

TO_THE_END = int(np.iinfo(np.int64).max)
"""As an end of ONNX's Slice."""


def ints(build: Build, *values: int) -> Value:
    """A constant int64 vector."""
    return build.constant(np.array(values, np.int64))


def number(build: Build, value: float, dtype: DType) -> Value:
    """A constant scalar."""
    return build.constant(np.array(value, dtype.numpy))


def cast(build: Build, x: Value, to: DType) -> Value:
    return x if x.dtype is to else build.op("Cast", x, to=int(to))


def dims_of(build: Build, x: Value, start: int, end: int) -> Value:
    """Dims start to end of x as an int64 vector."""
    return build.op("Shape", x, start=start, end=end)


def merged_dim(build: Build, x: Value, start: int, end: int) -> Value:
    """The product of dims start to end of x as an int64 vector of one element; 1 when there are none."""
    if end - start == 1:
        return dims_of(build, x, start, end)
    if end <= start:
        return ints(build, 1)
    return build.op("ReduceProd", dims_of(build, x, start, end), ints(build, 0), keepdims=1)


def reshape(build: Build, x: Value, *parts: Value | int) -> Value:
    """x under the dims that the parts list: vectors of dims, or single ints."""
    numbers = [p for p in parts if isinstance(p, int)]
    if len(numbers) == len(parts):
        shape = ints(build, *numbers)
    else:
        shape = concat(build, [ints(build, p) if isinstance(p, int) else p for p in parts], 0)
    return build.op("Reshape", x, shape, allowzero=1)


def concat(build: Build, parts: Sequence[Value], axis: int) -> Value:
    return parts[0] if len(parts) == 1 else build.op("Concat", *parts, axis=axis)


def transpose(build: Build, x: Value, order: Sequence[int]) -> Value:
    return x if list(order) == list(range(x.rank)) else build.op("Transpose", x, perm=tuple(order))


def slice_of(build: Build, x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
    """Elements start, start + step, ... before end along axis; ints as in ONNX's Slice."""
    bounds = (ints(build, start), ints(build, end), ints(build, axis), ints(build, step))
    return build.op("Slice", x, *bounds)


def unsqueeze(build: Build, x: Value, *axes: int) -> Value:
    return build.op("Unsqueeze", x, ints(build, *axes))


def length_of(build: Build, x: Value, axis: int) -> Value:
    """A dim of x as an int64 scalar."""
    return build.op("Squeeze", dims_of(build, x, axis, axis + 1), ints(build, 0))


def counting(build: Build, length: Value) -> Value:
    """0, 1, 2, ... as int64; length is an int64 scalar."""
    return build.op("Range", number(build, 0, DType.INT64), length, number(build, 1, DType.INT64))


def decomposed(rule: DecomposeRule, node: Node, types: Sequence[Type | None]) -> Graph:
    """The node's decomposition as a graph of its own. types: of its inputs, which become the graph's where present;
    results that the node does not have are left out."""
    from arenaut.ir.builder import GraphBuilder
    from arenaut.ir.infer import alone

    graph, copy = alone(node, types)
    results = list(rule(GraphBuilder(graph), copy))
    graph.remove(copy)
    graph.outputs = [r for r, v in zip(results, node.outputs, strict=False) if r is not None and v is not None]
    return graph


def through_decomposition(rule: DecomposeRule, otherwise: Evaluator | None = None) -> Evaluator:
    """The evaluator of an op that its decomposition defines: the replacement, built for these inputs, evaluated.
    What the decomposition has no form for is against the op, unless it is evaluated otherwise."""

    def evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        arrays = [None if x is None else np.asarray(x) for x in inputs]
        types = [None if x is None else TensorType(dtype_of(x), x.shape) for x in arrays]
        try:
            graph = decomposed(rule, node, types)
        except NoRowError as error:
            if otherwise is not None:
                return otherwise(node, inputs)
            raise RuleError(str(error)) from error
        known = iter(evaluate_graph(graph, [x for x in arrays if x is not None]))
        return [None if v is None else next(known) for v in node.outputs]

    return evaluate
