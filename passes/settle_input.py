"""A graph for one value of an input that chooses between branches, as `use_cache_branch` of merged decoders does."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Graph, Value
from arenaut.ir.types import TensorType
from arenaut.passes.rewriting.pattern import is_op


def decides(graph: Graph, number: int) -> bool:
    """Whether an If of the graph takes a branch by what this input of one element holds."""
    return any(is_op(node, "If") and _source(node.operand(0)) is graph.inputs[number] for node in graph.nodes)


def _source(value: Value) -> Value:
    while value.producer is not None and is_op(value.producer, "Identity", "Reshape", "Squeeze", "Unsqueeze", "Not"):
        value = value.producer.operand(0)
    return value


def settle_input(graph: Graph, number: int, settled: bool) -> None:
    """What reads the input reads this value. It stays an input, which nothing reads."""
    value = graph.inputs[number]
    assert isinstance(value.type, TensorType) and value.type.shape in ((), (1,))
    graph.replace(value, graph.add_constant(np.full(value.type.shape, settled)))


def keep(graph: Graph, number: int, output: int) -> None:
    """The output becomes the input, whatever it was."""
    past, present = graph.inputs[number], graph.outputs[output]
    kept = graph.value(f"{present.name}_kept", past.type)
    graph.add("Identity", [past], {}, outputs=[kept])
    graph.outputs[output] = kept
    present.name, kept.name = kept.name, present.name
