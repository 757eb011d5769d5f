"""The pipeline: which passes run, in which order, and why each is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arenaut.ir.graph import Graph
from arenaut.ir.target import Target
from arenaut.passes.dead_code import eliminate_dead_code

PassFunction = Callable[[Graph, Target], bool]


@dataclass(frozen=True)
class Pass:
    """name; run: changes the graph in place and says whether it did; why: one line."""

    name: str
    run: PassFunction
    why: str


DEFAULT_PIPELINE: tuple[Pass, ...] = (
    Pass("dead_code", eliminate_dead_code, "nodes whose results nobody reads need not run"),
)


def run_pipeline(graph: Graph, target: Target, pipeline: tuple[Pass, ...] = DEFAULT_PIPELINE) -> None:
    """Runs the passes in order."""
    for p in pipeline:
        p.run(graph, target)
