"""What a graph of the file says about itself: its names, which of them its bodies reach for, a valid node order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from arenaut.frontend.attributes import attribute_type
from arenaut.frontend.messages import AttributeType, check_text
from arenaut.ir.errors import InvalidModelError

_BODY_TYPES = frozenset({int(AttributeType.GRAPH), int(AttributeType.GRAPHS)})


def normal_domain(domain: str) -> str:
    """The one name of a domain: "ai.onnx" is written ""."""
    return "" if domain == "ai.onnx" else domain


def bodies_of(node: Any) -> Iterator[tuple[str, Any]]:
    """The body graphs of a node with their attribute names."""
    for attribute in node.attribute:
        if (attribute.type or attribute_type(attribute)) in _BODY_TYPES:
            if attribute.graphs:
                raise InvalidModelError(
                    f"{label(node)}: attribute '{attribute.name}' is a list of graphs, which no op has"
                )
            yield attribute.name, attribute.g


def has_bodies(node: Any) -> bool:
    return any((a.type or attribute_type(a)) in _BODY_TYPES for a in node.attribute)


class Label:
    """`label` of a node, put together where somebody shows it: most nodes have nothing to tell."""

    __slots__ = ("_node",)

    def __init__(self, node: Any) -> None:
        self._node = node

    def __str__(self) -> str:
        return label(self._node)


def label(node: Any) -> str:
    """How errors name a node of the file."""
    op = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
    named = node.name or next((o for o in node.output if o), "")
    return f"node '{named}' ({op})" if named else f"an unnamed {op} node"


def initializers_of(graph: Any) -> dict[str, Any]:
    """Initialisers by name, dense and sparse. Raises InvalidModelError for names that stand twice."""
    found: dict[str, Any] = {}
    check_text([graph.name, *(v.name for v in graph.input), *(v.name for v in graph.output)])
    for name, proto in [
        *((t.name, t) for t in graph.initializer),
        *((t.values.name, t) for t in graph.sparse_initializer),
    ]:
        check_text([name])
        if name in found:
            raise InvalidModelError(f"graph '{graph.name}' has two initialisers named '{name}'. Export the model again")
        found[name] = proto
    return found


def fed_inputs(body: Any, count: int) -> list[Any]:
    """The inputs of a body that a node feeds so many values: those without an initialiser, which up to IR version 3 had
    to be an input as well; all, where only they are as many, and what is fed goes before what is stored."""
    stored = initializers_of(body)
    bare = [v for v in body.input if v.name not in stored]
    return list(body.input) if len(body.input) == count else bare


def free_names(graph: Any) -> set[str]:
    """The names that a body graph, with the bodies inside it, takes from outside."""
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    own |= {t.values.name for t in graph.sparse_initializer}
    own.update(o for node in graph.node for o in node.output)
    used = {o.name for o in graph.output}
    for node in graph.node:
        used |= names_read(node)
    return used - own - {""}


def rename_free(graph: Any, names: Mapping[str, str]) -> None:
    """Gives names that a body graph takes from outside other names, in place; its own names of that kind stay."""
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    own |= {t.values.name for t in graph.sparse_initializer}
    own.update(o for node in graph.node for o in node.output)
    outer = {old: new for old, new in names.items() if old not in own}
    for node in graph.node:
        node.input[:] = [outer.get(n, n) for n in node.input]
        for _, body in bodies_of(node):
            rename_free(body, outer)
    for output in graph.output:
        output.name = outer.get(output.name, output.name)


def names_read(node: Any) -> set[str]:
    """The names a node reads, those its bodies take from outside included."""
    names = set(node.input)
    for _, body in bodies_of(node):
        names |= free_names(body)
    return names


def ordered(nodes: Iterable[Any], given: set[str], graph_name: str) -> list[Any]:
    """The nodes in an order in which each name is made before it is read; the file's own order where that is valid.

    given: the names known before any node. Raises InvalidModelError for a name made twice and for cycles.
    """
    nodes = list(nodes)
    maker: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            if name and (name in maker or name in given):
                other = label(nodes[maker[name]]) if name in maker else "an input or initialiser"
                raise InvalidModelError(
                    f"graph '{graph_name}': '{name}' is made by {label(node)} and also by {other}; "
                    "a name may be made once. Export the model again"
                )
            if name:
                maker[name] = index
    needs = [{maker[n] for n in names_read(node) if n in maker} for node in nodes]
    if all(max(need, default=-1) < index for index, need in enumerate(needs)):
        return nodes
    return [nodes[i] for i in _sorted(needs, nodes, graph_name)]


def _sorted(needs: list[set[int]], nodes: list[Any], graph_name: str) -> list[int]:
    """Indices so that what a node needs comes first (depth first, no recursion: graphs are long)."""
    order: list[int] = []
    done = [False] * len(needs)
    path: dict[int, Iterator[int]] = {}
    for start in range(len(needs)):
        if not done[start]:
            path[start] = iter(sorted(needs[start]))
        while path:
            index, rest = next(reversed(path.items()))
            following = next((i for i in rest if not done[i]), None)
            if following is None:
                path.popitem()
                done[index] = True
                order.append(index)
            elif following in path:
                members = list(path)
                cycle = members[members.index(following) :]
                names = ", ".join(label(nodes[i]) for i in cycle[:10])
                raise InvalidModelError(
                    f"graph '{graph_name}' has a cycle: {names}{' and more' if len(cycle) > 10 else ''} read what "
                    "they make themselves. Use Loop or Scan for recurrences"
                )
            else:
                path[following] = iter(sorted(needs[following]))
    return order


def node_attributes(node: Any) -> list[Any]:
    """The attributes of a node, each name once. Raises InvalidModelError for a name that stands twice."""
    found = list(node.attribute)
    names = [a.name for a in found]
    check_text(names)
    check_text([a.ref_attr_name for a in found])
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InvalidModelError(f"{label(node)} has two attributes named '{twice}'")
    return found


def is_reference(attribute: Any) -> bool:
    """Whether an attribute stands for one of the function call it lies in."""
    return bool(attribute.ref_attr_name)
