"""A stable text form of a graph: one line a node, names as they stand, equal graphs give equal text."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Array, Graph, Node, Value

# Arrays of at most this many elements are written out.
_SHOWN = 8


def _reference(value: Value | None) -> str:
    return "-" if value is None else f"%{value.name}"


def _array(array: Array) -> str:
    """The elements, where they are few; else what their type does not say: whether all are equal."""
    if array.size <= _SHOWN:
        return str(array.tolist())
    first = array.reshape(-1)[0]
    return f"all {first}" if array.size <= 4096 and bool(np.all(array == first)) else "..."


def _attribute(name: str, value: object) -> str:
    if isinstance(value, Graph):
        return f"{name}=<graph {value.name}: {len(value.nodes)} nodes>"
    if isinstance(value, np.ndarray):
        return f"{name}=<{value.dtype}{list(value.shape)} {_array(value)}>"
    return f"{name}={value!r}" if isinstance(value, str) else f"{name}={value}"


def _line(node: Node) -> str:
    attributes = ", ".join(_attribute(k, v) for k, v in sorted(node.attributes.items()))
    outputs = ", ".join("-" if o is None else f"%{o.name}: {o.type}" for o in node.outputs)
    op = f"{node.domain}.{node.op}" if node.domain else node.op
    inputs = ", ".join(_reference(v) for v in node.inputs)
    return f"{outputs} = {op}({inputs}){' {' + attributes + '}' if attributes else ''}"


def dump(graph: Graph, indent: str = "") -> str:
    """The graph as text: signature, constants, nodes in order with their bodies indented, result."""
    inputs = ", ".join(f"%{v.name}: {v.type}" for v in graph.inputs)
    lines = [f"{indent}graph {graph.name}({inputs}) {{"]
    lines += [f"{indent}  %{v.name} = constant {v.type} {_array(_content(v))}" for v in graph.constants()]
    for node in graph.nodes:
        lines.append(f"{indent}  {_line(node)}")
        for name, body in node.bodies():
            lines.append(f"{indent}    {name}:")
            lines.append(dump(body, indent + "    "))
    lines.append(f"{indent}  return {', '.join(_reference(v) for v in graph.outputs)}")
    lines.append(f"{indent}}}")
    return "\n".join(lines)


def _content(value: Value) -> Array:
    assert value.constant is not None
    return value.constant
