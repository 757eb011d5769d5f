"""Powers with a constant exponent that products, roots and reciprocals compute faster and no less exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.graph import Graph, Value
from arenaut.ir.types import same_type
from arenaut.passes.context import PassContext
from arenaut.passes.reading.signs import is_signless
from arenaut.passes.rewriting.pattern import is_op


def _cube(b: GraphBuilder, x: Value) -> Value:
    result = b.op("Mul", b.op("Mul", x, x), x)
    return result


_FORMS: Mapping[float, Callable[[GraphBuilder, Value], Value]] = {
    2.0: lambda b, x: b.op("Mul", x, x),
    3.0: _cube,
    0.5: lambda b, x: b.op("Sqrt", x),
    -1.0: lambda b, x: b.op("Reciprocal", x),
    -0.5: lambda b, x: b.op("Reciprocal", b.op("Sqrt", x)),
}


def expand_powers(graph: Graph, context: PassContext) -> bool:
    """Pow(x, c) for c in 2, 3, 1/2, -1, -1/2 on floating-point x, the roots where x has no sign."""
    changed = False
    for node in list(graph.nodes):
        if not is_op(node, "Pow"):
            continue
        exponent = node.operand(1).constant
        x = node.operand(0)
        if exponent is None or exponent.size != 1 or not x.dtype.is_float or not same_type(x.type, node.output.type):
            continue
        number = float(exponent.reshape(()))
        form = _FORMS.get(number)
        if form is None:
            context.missed("expand", node, f"the exponent is {exponent.reshape(())}")
            continue
        if abs(number) < 1 and not is_signless(x):
            context.missed("expand", node, "the root of -0 or of minus infinity is none of the power")
            continue
        result = form(GraphBuilder(graph, node, node.name), x)
        graph.supersede(node.output, result)
        graph.remove(node)
        context.fired("expand", node)
        changed = True
    return changed
