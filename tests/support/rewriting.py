"""One model through chosen passes: the graph they leave, what they reported, and results against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from arenaut.frontend import import_model
from arenaut.ir.evaluate import evaluate_graph
from arenaut.ir.graph import Graph
from arenaut.ir.target import Target
from arenaut.ir.verify import verify
from arenaut.passes.context import Event, PassContext
from arenaut.passes.fold_constants import fold_constants
from tests.support.models import assert_close, ort_outputs

TARGET = Target(0, 0, 1, 1 << 15, 1 << 20, 1 << 22, frozenset({"Attention", "QConv", "QMatMul", "Rotary"}))
PassFunction = Callable[[Graph, PassContext], bool]


@dataclass
class Rewritten:
    graph: Graph
    events: list[Event]

    @property
    def ops(self) -> list[str]:
        return [n.op for n in self.graph.nodes]

    @property
    def fired(self) -> set[str]:
        return {e.rewrite for e in self.events if e.fired}

    def reasons(self, rewrite: str) -> list[str]:
        return [e.reason for e in self.events if e.rewrite == rewrite and not e.fired]


def rewrite(
    model: onnx.ModelProto, *passes: PassFunction, feeds: Mapping[str, Any], rtol: float = 2e-6, plain: bool = False
) -> Rewritten:  # fmt: skip
    """Constants folded, then the passes; the graph is verified after each and gives what onnxruntime gives. plain:
    onnxruntime without its optimisations, which treat quantised models by other rules."""
    graph = import_model(model.SerializeToString()).graph
    context = PassContext(TARGET)
    fold_constants(graph, context)
    context.events.clear()
    for run in passes:
        run(graph, context)
        verify(graph, "full")
    got = evaluate_graph(graph, [feeds[v.name] for v in graph.inputs])
    for array, want, out in zip(got, ort_outputs(model, feeds, plain=plain), model.graph.output, strict=True):
        assert_close(array, want, rtol=rtol, name=out.name)
    return Rewritten(graph, context.events)


def draw(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Any:
    return (np.random.default_rng(seed).standard_normal(shape) * 2).astype(dtype)
