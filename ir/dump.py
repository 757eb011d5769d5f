"""A stable text form of a graph: one line a node, names as they stand."""

from __future__ import annotations

from arenaut.ir.graph import Graph, Node, Value


def _reference(value: Value | None) -> str:
    return "-" if value is None else f"%{value.name}"


def _attribute(name: str, value: object) -> str:
    if isinstance(value, Graph):
        return f"{name}=<graph {value.name}: {len(value.nodes)} nodes>"
    shape = getattr(value, "shape", None)
    return f"{name}={value}" if shape is None else f"{name}=<array {shape}>"


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
    lines += [f"{indent}  %{v.name} = constant {v.type}" for v in graph.constants()]
    for node in graph.nodes:
        lines.append(f"{indent}  {_line(node)}")
        for name, body in node.bodies():
            lines.append(f"{indent}    {name}:")
            lines.append(dump(body, indent + "    "))
    lines.append(f"{indent}  return {', '.join(_reference(v) for v in graph.outputs)}")
    lines.append(f"{indent}}}")
    return "\n".join(lines)
