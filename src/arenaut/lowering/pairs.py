"""Inputs and outputs of a model that carry its state from run to run: which belong together, and how each changes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from arenaut.ir.dims import Expr, symbol
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import OptionError
from arenaut.ir.graph import Graph, Node, Value
from arenaut.ir.types import TensorType
from arenaut.plain import dataclass, replace


class Change(Enum):
    """What a run does to a part of the state."""

    APPENDS = "appends"  # along one axis, to what stays as it is, or is written over where the run is told to
    UPDATES = "updates"  # it in place, at positions that the run is told; as large as it was
    REPLACES = "replaces"  # it, whatever the new one has of the old one
    RENEWS = "renews"  # it, or leaves it as it was where the output has no elements
    KEEPS = "keeps"  # it: the output is the input

    @property
    def is_new(self) -> bool:
        """Whether the output lies elsewhere than the input, and takes its place after the run."""
        return self in (Change.REPLACES, Change.RENEWS)


@dataclass(frozen=True)
class Pair:
    """The output `output` of a run becomes the input `input` of the next one, by numbers. axis: along which the output
    is the input with something behind it, or is written to at positions; -1 where it is not. told: data says
    where."""

    input: int
    output: int
    change: Change
    axis: int = -1
    told: bool = False


@dataclass(frozen=True)
class Chosen:
    """The number of an input whose one element chooses between branches of the model, and the value for which a program
    is."""

    input: int
    value: bool

    def fits(self, inputs: Sequence[Value]) -> bool:
        """Whether these inputs of a model have one that may choose so."""
        return self.input in choosers(inputs)


def choosers(inputs: Sequence[Value]) -> list[int]:
    """The inputs, by number, that are one truth value."""
    types = [value.type for value in inputs]
    return [
        i for i, t in enumerate(types) if isinstance(t, TensorType) and t.dtype is DType.BOOL and t.shape in ((), (1,))
    ]


# Names of inputs, and what the output is then called, of exporters: optimum and transformers (past_key_values.0.key,
# present.0.key), onnxruntime-genai, torch (h, hn), streaming speech models (state, stateN; cache, r_cache, new_cache).
_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"past_key_values([._].*)", ("present{0}", "present_key_values{0}", "present_key_value{0}")),
    (r"(.*)past(.*)", ("{0}present{1}",)),
    (r"(.*)_past_key_values(.*)", ("{0}_present{1}",)),
    (r"(.*?)[._]?(?:in|input)", ("{0}_out", "{0}.out", "{0}_output", "{0}_o", "{0}out")),
    (r"(?:in|input)_(.*)", ("out_{0}", "output_{0}")),
    (r"(.*)i", ("{0}o",)),
    (r"(.*?)[._]?0", ("{0}n", "{0}_n", "{0}N")),
    (r"(?:prev|previous|old|last|initial)_(.*)", ("next_{0}", "new_{0}", "{0}", "current_{0}", "final_{0}")),
    (
        r"(.*)",
        (
            "{0}n", "{0}N", "{0}_n", "{0}_out", "{0}_output", "new_{0}", "next_{0}", "updated_{0}", "r_{0}",
            "out_{0}", "{0}_new", "{0}_next", "present_{0}", "{0}_present", "{0}_updated",
        ),
    ),
)  # fmt: skip


def pairs_by_name(inputs: Sequence[str], outputs: Sequence[str]) -> list[tuple[str, str]]:
    """Inputs and the outputs that become them, by how exporters name them; each name stands in one pair."""
    left = dict.fromkeys(outputs)
    found = []
    for name in inputs:
        match = next((o for o in _outputs_of(name) if o in left and o not in inputs), None)
        if match is not None:
            del left[match]
            found.append((name, match))
    return found


def _outputs_of(name: str) -> Iterator[str]:
    for pattern, outputs in _NAMES:
        match = re.fullmatch(pattern, name)
        if match is not None:
            groups = match.groups()
            yield from [o.format(*groups) for o in outputs]


def find_pairs(
    graph: Graph, inputs: Sequence[str], outputs: Sequence[str], given: Mapping[str, str] | None = None
) -> list[Pair]:
    """The pairs of a graph. inputs, outputs: what its own are called. given: pairs by name, input to output; None: by
    what exporters call them, where the types allow it. Raises OptionError for given ones that cannot be."""
    for name, other in (given or {}).items():
        if name not in inputs or other not in outputs:
            known = f"an input of {', '.join(inputs)} and an output of {', '.join(outputs)}"
            raise OptionError(f"state={{{name!r}: {other!r}}}: expected {known}")
    if given is not None and len(set(given.values())) != len(given):
        raise OptionError("state= gives one output to several inputs")
    named = pairs_by_name(inputs, outputs) if given is None else list(given.items())
    pairs = []
    for name, other in named:
        i, j = inputs.index(name), outputs.index(other)
        past, present = graph.inputs[i], graph.outputs[j]
        if _may_become(present, past):
            pairs.append(_classified(graph, i, j))
        elif given is not None:
            raise OptionError(f"state={{{name!r}: {other!r}}}: {present.type} cannot become {past.type}")
    return pairs


def _may_become(present: Value, past: Value) -> bool:
    a, b = present.type, past.type
    if not isinstance(a, TensorType) or not isinstance(b, TensorType) or b.shape is None:
        return False
    if a.dtype is not b.dtype or a.dtype is DType.STRING:
        return False
    if a.shape is None:
        return True
    alike = len(a.shape) == len(b.shape) > 0
    return alike and all(
        not isinstance(m, int) or not isinstance(n, int) or m == n for m, n in zip(a.shape, b.shape, strict=True)
    )


def _emptied(present: Value) -> bool:
    """Whether a branch returns a tensor without elements: merged decoders do for what is to stay as it was."""
    node = present.producer
    if node is None or node.op != "If":
        return False
    results = [body.outputs[node.outputs.index(present)] for _, body in node.bodies()]
    return any(v.has_shape and 0 in v.shape for v in results)


def branch_pair(graph: Graph, pair: Pair) -> Pair:
    """The pair in the graph of one branch: an output that has no elements there leaves its input as it is."""
    past, present = graph.inputs[pair.input], graph.outputs[pair.output]
    if present.has_shape and 0 in present.shape and pair.change is Change.RENEWS:
        return replace(pair, change=Change.KEEPS)
    return _classified(graph, pair.input, pair.output) if _may_become(present, past) else pair


def _classified(graph: Graph, i: int, j: int) -> Pair:
    past, present = graph.inputs[i], graph.outputs[j]
    if _emptied(present):
        return Pair(i, j, Change.RENEWS)
    source = present
    while source.producer is not None and source.producer.op == "Identity" and source.producer.domain == "":
        source = source.producer.operand(0)
    if past is source:
        return Pair(i, j, Change.KEEPS)
    made = values_in_place(graph, past, present)
    change, axis = _changed(past, present, made)
    told = change is not Change.REPLACES and any(_node_of(value).op == "TensorScatter" for value in made)
    return Pair(i, j, change, axis, told)


def _changed(past: Value, present: Value, made: Sequence[Value]) -> tuple[Change, int]:
    """Whether `present` may lie where `past` does, by the nodes that make it, and along which axis it is appended to or
    written to. REPLACES where that is not proved, or where it grows along no free size. made: see values_in_place.
    """
    refused = (Change.REPLACES, -1)
    if not made or not past.has_shape or not present.has_shape or past.rank != present.rank:
        return refused
    axes = {_axis_of(value) for value in made}
    axis = axes.pop()
    if axes or any(a != b for k, (a, b) in enumerate(zip(past.shape, present.shape, strict=True)) if k != axis):
        return refused
    length = past.shape[axis]
    if all(_node_of(value).op == "TensorScatter" for value in made):
        return Change.UPDATES, axis
    free = isinstance(length, Expr) and length == symbol(str(length))
    return (Change.APPENDS, axis) if free else refused


def values_in_place(graph: Graph, past: Value, present: Value) -> list[Value]:
    """`present` and what it is made of, up to `past`: each may lie where the one before does, since nothing else reads
    what it writes over. Empty where there is another step on the way."""
    made: list[Value] = []
    value, overwrites = present, False
    while value is not past:
        source = _continued(value)
        if source is None or (made and _readers(graph, value) > 1):
            return []
        made.append(value)
        overwrites = overwrites or _node_of(value).op == "TensorScatter"
        value = source
    return [] if overwrites and _readers(graph, past) > 1 else made


def _node_of(value: Value) -> Node:
    assert value.producer is not None
    return value.producer


def _readers(graph: Graph, value: Value) -> int:
    """How many operands and results of the graph are its elements."""
    operands = sum(user.domain != "" or user.op not in ("Shape", "Size") for user, _ in value.uses)
    return operands + sum(result is value for result in graph.outputs)


def _continued(value: Value) -> Value | None:
    """The operand that the value is, with something behind it or written over; None where no node says so."""
    node = value.producer
    if node is None or node.domain != "":
        return None
    if node.op == "Concat":
        return node.operand(0) if sum(v is node.operand(0) for v in node.inputs) == 1 else None
    if node.op == "TensorScatter":
        return node.operand(0) if node.text("mode", "linear") == "linear" else None
    if node.op == "Attention":
        return next((node.input(p) for p, o in ((4, 1), (5, 2)) if node.outputs[o : o + 1] == [value]), None)
    return None


def _axis_of(value: Value) -> int:
    """Along which axis the node that makes it appends or writes."""
    node = _node_of(value)
    default = {"TensorScatter": -2, "Attention": 2}.get(node.op, 0)
    return int(node.attr("axis", default)) % value.rank
