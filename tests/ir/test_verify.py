from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from arenaut.ir import DType, Graph, GraphBuilder, TensorType, symbol
from arenaut.ir.errors import InvalidModelError
from arenaut.ir.verify import verify


def sound() -> Graph:
    """x -> Relu -> Add(constant) -> output, with an If whose branches negate or keep what it captures."""
    graph = Graph()
    x = graph.add_input("x", TensorType(DType.FLOAT, (symbol("n"), 4)))
    condition = graph.add_input("c", TensorType(DType.BOOL, ()))
    build = GraphBuilder(graph)
    total = build.op("Add", build.op("Relu", x), build.constant(np.ones(4, np.float32)))
    bodies = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Identity")):
        body = Graph(name)
        inner = body.add_input("captured", total.type)
        body.outputs = [GraphBuilder(body).op(op, inner)]
        bodies[name] = body
    chosen = graph.add("If", [condition, total], bodies)
    chosen.output.type = total.type
    graph.outputs = [chosen.output]
    return graph


def test_accepts_what_is_sound() -> None:
    verify(sound(), "types")


def make_twice(graph: Graph) -> None:
    graph.nodes[1].outputs = [graph.nodes[0].output]


def swap_order(graph: Graph) -> None:
    graph.nodes[0], graph.nodes[1] = graph.nodes[1], graph.nodes[0]


def make_cycle(graph: Graph) -> None:
    graph.set_input(graph.nodes[0], 0, graph.nodes[1].output)


def lose_use(graph: Graph) -> None:
    graph.nodes[0].output.uses.clear()


def add_false_use(graph: Graph) -> None:
    graph.inputs[0].uses.append((graph.nodes[1], 0))


def lose_output(graph: Graph) -> None:
    graph.outputs = [Graph().add_input("elsewhere", TensorType(DType.FLOAT, ()))]


def repeat_name(graph: Graph) -> None:
    graph.nodes[0].output.name = "x"


def lose_producer(graph: Graph) -> None:
    graph.nodes[0].output.producer = None


def disown(graph: Graph) -> None:
    graph.nodes[0].graph = None


def capture_silently(graph: Graph) -> None:
    body = graph.nodes[2].attr("then_branch")
    body.set_input(body.nodes[0], 0, graph.inputs[0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (make_twice, "made twice"),
        (swap_order, "nothing before it makes"),
        (make_cycle, "cycle"),
        (lose_use, "use list"),
        (add_false_use, "use list"),
        (lose_output, "nothing makes the output"),
        (repeat_name, "two values are named 'x'"),
        (lose_producer, "does not know"),
        (disown, "does not belong"),
        (capture_silently, "body 'then_branch'"),
    ],
)
def test_names_structural_damage(damage: Callable[[Graph], None], message: str) -> None:
    graph = sound()
    damage(graph)
    with pytest.raises(InvalidModelError, match=message):
        verify(graph, "structure")


def test_wants_types() -> None:
    graph = sound()
    graph.nodes[0].output.type = None
    verify(graph, "structure")
    with pytest.raises(InvalidModelError, match=r"value 'relu' of node 'Relu' .* has no type"):
        verify(graph, "types")


def test_holds_constants_to_their_type() -> None:
    graph = sound()
    constant = graph.constants()[0]
    constant.type = TensorType(DType.FLOAT, (5,))
    with pytest.raises(InvalidModelError, match=r"is f32\[4\], its type says f32\[5\]"):
        verify(graph, "types")


@pytest.mark.parametrize("shape", [(symbol("n"), 5), (4,)])
def test_infers_again(shape: tuple) -> None:
    graph = sound()
    graph.nodes[1].output.type = TensorType(DType.FLOAT, shape)
    verify(graph, "types")
    with pytest.raises(InvalidModelError, match="is recorded as"):
        verify(graph, "full")


def test_a_more_specific_type_is_no_contradiction() -> None:
    graph = sound()
    graph.remove(graph.nodes[2])
    graph.outputs = [graph.nodes[1].output]
    graph.nodes[1].output.type = TensorType(DType.FLOAT, (7, 4))
    verify(graph, "full")
