"""Small models lowered to steps, without passes, for the tests of lowering's modules."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from onnx import numpy_helper

from arenaut.frontend import import_model
from arenaut.ir.graph import Graph
from arenaut.lowering.lower import lower_graph
from arenaut.lowering.program import Lowered, LoweredStep
from arenaut.native.target import current_target
from tests.support.models import parse

TARGET = current_target(1)


class NoHost:
    """The host of a program without host calls and open steps."""

    def __init__(self, lowered: Lowered, order: list[int]) -> None:
        pass

    def call(self, *given: Any) -> Any:
        raise AssertionError("a step of the host")

    open = call

    def serve(self, native: Any) -> None:
        pass


def graph_of(body: str, *, opset: int = 21, **weights: Any) -> Graph:
    """The graph of `signature { nodes }`. weights: arrays for inputs of those names, which are no inputs then."""
    model = parse(body, opset=opset)
    kept = [v for v in model.graph.input if v.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(w), n) for n, w in weights.items())
    return import_model(model.SerializeToString()).graph


def lowered(body: str, *, without: Collection[str] = (), opset: int = 21, **weights: Any) -> Lowered:
    """The steps of graph_of(body) on one thread of this machine, without the named optimisations."""
    return lower_graph(graph_of(body, opset=opset, **weights), current_target(1, without))


def kernels(program: Lowered) -> list[str]:
    """One word a step: the kernel row's family, or the kind of step."""
    return [step.row.family if step.row is not None else step.kind.name for step in program.steps]


def step_of(program: Lowered, family: str) -> LoweredStep:
    """The only step of that kernel family."""
    (step,) = [s for s in program.steps if s.row is not None and s.row.family == family]
    return step
