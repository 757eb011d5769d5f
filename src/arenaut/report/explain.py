"""What the optimiser did to a model: rewrites and near-misses by name, and the graph before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

from arenaut.ir.graph import Graph, Node

if TYPE_CHECKING:
    import onnx

    from arenaut.passes.context import Event

# Places of one rewrite that are named before the rest is counted.
PLACES_SHOWN = 4


@dataclass(frozen=True)
class Explanation:
    """events: in the order they happened. before, after: one line a node. The text form groups events by rewrite."""

    events: tuple[Event, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    ops_before: Counter[str]
    ops_after: Counter[str]

    def text(self, *, nodes: bool = False) -> str:
        """nodes: with every node of the graph before and after, not only how many of each op."""
        lines = [f"before: {_counts(self.ops_before)}"]
        lines += self.before if nodes else ()
        lines += ["rewritten:", *_grouped(e for e in self.events if e.fired)]
        missed = _grouped(e for e in self.events if not e.fired)
        lines += ["nearly rewritten:", *missed] if missed else []
        lines.append(f"after: {_counts(self.ops_after)}")
        lines += self.after if nodes else ()
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def explain(source: str | PathLike[str] | bytes | onnx.ModelProto, threads: int | None = None) -> Explanation:
    """Runs the optimiser on a model and says what it did. Raises what `load_onnx` raises for a model it cannot read."""
    from arenaut.frontend import import_model
    from arenaut.native.target import current_target
    from arenaut.passes import run_pipeline

    graph = import_model(source).graph
    before, ops_before = _lines(graph), _ops(graph)
    events = run_pipeline(graph, current_target(threads))
    return Explanation(tuple(events), before, _lines(graph), ops_before, _ops(graph))


def _grouped(events: Iterable[Event]) -> list[str]:
    """A line a rewrite and reason: how often, and where."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for e in events:
        places.setdefault((e.pass_name, e.rewrite, e.reason), []).append(e.node)
    return [
        f"  {name}/{rewrite} x{len(at)}: {_some(at)}{f' ({reason})' if reason else ''}"
        for (name, rewrite, reason), at in places.items()
    ]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:PLACES_SHOWN])
    return shown if len(names) <= PLACES_SHOWN else f"{shown} and {len(names) - PLACES_SHOWN} more"


def _counts(ops: Counter[str]) -> str:
    listed = ", ".join(f"{n} {op}" for op, n in ops.most_common())
    return f"{sum(ops.values())} nodes" + (f": {listed}" if listed else "")


def _ops(graph: Graph) -> Counter[str]:
    return Counter(_label(n) for n in graph.nodes)


def _label(node: Node) -> str:
    """The op; of a fused node what it is made of."""
    bodies = [body for _, body in node.bodies()]
    if node.op == "Fused" and bodies:
        return "+".join(n.op for n in bodies[0].nodes)
    return node.op


def _lines(graph: Graph) -> tuple[str, ...]:
    def reference(node: Node) -> str:
        return ", ".join("-" if v is None else v.name for v in node.inputs)

    return tuple(
        f"  {', '.join('-' if o is None else f'{o.name}: {o.type}' for o in node.outputs)} = "
        f"{_label(node)}({reference(node)})"
        for node in graph.nodes
    )
