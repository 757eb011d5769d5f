"""Type, shape and shape-data inference over a graph: one walk in node order, asking each op's record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from arenaut.ir.dims import Dim, Expr, rewrite, symbol, symbols_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ShapeError
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.limits import check_time
from arenaut.ir.ops import record_of
from arenaut.ir.record import UnknownError
from arenaut.ir.types import ANY_DIM, NO_ELEMENT, MapType, OptionalType, SequenceType, Shape, TensorType, Type

# Shape arithmetic is followed through integer tensors of at most this many elements.
MAX_DATA_ELEMENTS = 1024


# Dims in the element types of sequences that mean the same in every graph.
_PLACEHOLDERS = (ANY_DIM, *NO_ELEMENT)


# -- questions that the sizes of a run answer ----------------------------------------------------------------------


class Oracle(Protocol):
    """Answers, for the sizes that a program is made for, what the graph leaves open; remembers what it answered."""

    def holds(self, condition: Expr) -> bool | None:
        """Whether the condition (1 or 0) is true; None when these sizes do not tell."""
        ...

    def value(self, d: Expr) -> int | None:
        """The value of d; None when these sizes do not tell."""
        ...


class _Inner:
    """The oracle of a body, which has symbols of its own."""

    def __init__(self, outer: Oracle, symbols: Mapping[str, Dim]) -> None:
        self._outer, self._symbols = outer, symbols

    def holds(self, condition: Expr) -> bool | None:
        meant = rewrite(condition, self._symbols)
        return bool(meant) if isinstance(meant, int) else self._outer.holds(meant)

    def value(self, d: Expr) -> int | None:
        meant = rewrite(d, self._symbols)
        return meant if isinstance(meant, int) else self._outer.value(meant)


_oracle: ContextVar[Oracle | None] = ContextVar("oracle", default=None)


@contextmanager
def asking(oracle: Oracle | None) -> Iterator[None]:
    """Inference in this block asks the oracle where ranks hang on sizes; without one they are not known."""
    token = _oracle.set(oracle)
    try:
        yield
    finally:
        _oracle.reset(token)


@contextmanager
def inside(symbols: Mapping[str, Dim]) -> Iterator[None]:
    """Questions in this block are a body's; symbols: what its symbols are in the graph around it."""
    oracle = _oracle.get()
    with asking(None if oracle is None else _Inner(oracle, symbols)):
        yield


def truth(condition: Dim) -> bool | None:
    """Whether the condition holds, as far as it is known or the sizes at hand tell."""
    oracle = _oracle.get()
    if isinstance(condition, int):
        return bool(condition)
    return None if oracle is None else oracle.holds(condition)


def settled(d: Dim) -> int | None:
    """The value of d, as far as it is known or the sizes at hand tell."""
    oracle = _oracle.get()
    if isinstance(d, int):
        return d
    return None if oracle is None else oracle.value(d)


class Inference:
    """What a record's type rule sees of one node (the protocol `arenaut.ir.record.Infer`)."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def type(self, index: int) -> Type:
        value = self.node.input(index)
        if value is None:
            raise self.fail(f"input {index} is required but absent")
        if value.type is None:
            raise UnknownError
        return value.type

    def dtype(self, index: int) -> DType:
        t = self.type(index)
        if not isinstance(t, TensorType):
            raise self.fail(f"input {index} is {t}, expected a tensor")
        return t.dtype

    def shape(self, index: int) -> Shape:
        t = self.type(index)
        if not isinstance(t, TensorType):
            raise self.fail(f"input {index} is {t}, expected a tensor")
        if t.shape is None:
            raise UnknownError
        return t.shape

    def settled_data(self, index: int) -> Array | None:
        """As `known_data`, but only of ints; what the sizes of a run settle is then known for good."""
        value = self.node.operand(index)
        if value.data is None or any(isinstance(d, Expr) for d in value.data.flat):
            if _oracle.get() is None:
                return None
            found = [settled(d) for d in self.data(index).flat]
            if any(d is None for d in found):
                return None
            value.data = np.array(found, object).reshape(self.data(index).shape)
        return value.data

    def truth(self, condition: Dim) -> bool | None:
        return truth(condition)

    def settled(self, d: Dim) -> int | None:
        return settled(d)

    def has(self, index: int) -> bool:
        return self.node.input(index) is not None

    def known_data(self, index: int) -> Array | None:
        value = self.node.input(index)
        return None if value is None else value.data

    def data(self, index: int) -> Array:
        value = self.node.operand(index)
        if value.data is None:
            value.data = _data_symbols(value)
        return value.data

    def fresh(self, output: int, axis: int) -> Dim:
        value = self.node.outputs[output]
        assert value is not None
        return symbol(f"{value.name}.{axis}")

    def fail(self, message: str) -> ShapeError:
        inputs = ", ".join("-" if v is None else f"{v.name}: {v.type}" for v in self.node.inputs)
        return ShapeError(f"{self.node}: {message}. Inputs: {inputs}")

    def infer_body(self, name: str, types: Sequence[Type]) -> list[Type]:
        body = self.node.attr(name)
        assert isinstance(body, Graph)
        if len(body.inputs) != len(types):
            raise self.fail(f"its {name} takes {len(body.inputs)} values and is given {len(types)}")
        local = BodySymbols()
        for value, t in zip(body.inputs, types, strict=True):
            value.type, value.data = local.enter(t), None
        with inside(local.symbols):
            infer_graph(body)
        body.border = local.symbols
        return [local.leave(v.type, f"{_out_name(self.node, i)}") for i, v in enumerate(body.outputs)]


def _out_name(node: Node, index: int) -> str:
    for value in node.outputs:
        if value is not None:
            return f"{value.name}.body{index}"
    return f"{node.op}.body{index}"


class BodySymbols:
    """Carries types across the border of a body graph, which has symbols of its own."""

    def __init__(self) -> None:
        self._inner: dict[Dim, Dim] = {}
        self._outer: dict[str, Dim] = {}

    @property
    def symbols(self) -> Mapping[str, Dim]:
        """What the body's symbols are outside."""
        return self._outer

    def enter(self, t: Type) -> Type:
        def one(d: Dim) -> Dim:
            if isinstance(d, int) or d in _PLACEHOLDERS:
                return d
            if d not in self._inner:
                name = f"d{len(self._inner)}"
                self._inner[d] = symbol(name)
                self._outer[name] = d
            return self._inner[d]

        return map_dims(t, one)

    def leave(self, t: Type | None, stem: str) -> Type:
        """Dims that only the body knows become symbols named from stem."""
        if t is None:
            raise UnknownError
        count = 0

        def one(d: Dim) -> Dim:
            nonlocal count
            count += 1
            if d in _PLACEHOLDERS:
                return d
            if all(s.name in self._outer for s in symbols_of(d)):
                return rewrite(d, self._outer)
            return symbol(f"{stem}.{count - 1}")

        return map_dims(t, one)


def map_dims(t: Type, fn: Any) -> Type:
    if isinstance(t, TensorType):
        return t if t.shape is None else TensorType(t.dtype, tuple(fn(d) for d in t.shape))
    if isinstance(t, SequenceType):
        return SequenceType(map_dims(t.element, fn))
    if isinstance(t, OptionalType):
        return OptionalType(map_dims(t.element, fn))
    return MapType(t.key, map_dims(t.value, fn))


def _data_symbols(value: Value) -> Array:
    if value.constant is not None and value.constant.dtype.kind in "iub":
        return value.constant.astype(np.int64).astype(object)
    if not value.has_shape or value.rank > 1:
        raise UnknownError
    sizes = [settled(d) for d in value.shape]
    shape = tuple(d for d in sizes if d is not None)
    if len(shape) < len(sizes):
        raise UnknownError
    if value.dtype not in (DType.INT64, DType.INT32) or not 0 <= math.prod(shape) <= 64:
        raise UnknownError
    out = np.empty(shape, object)
    for i in np.ndindex(*shape):
        out[i] = symbol(f"{value.name}[{i[0] if i else 0}]", signed=True)
    return out


def data_symbols_of(value: Value) -> list[str]:
    """The symbols whose values a step must read from this tensor's elements (made by `Infer.data`), in order."""
    if value.data is None:
        return []
    prefix = f"{value.name}["
    names = [str(d) for d in value.data.flat if isinstance(d, Expr)]
    return [n for n in names if n.startswith(prefix)]


def infer_node(node: Node) -> None:
    """Sets the types, and where known the data, of a node's outputs."""
    check_time()
    record = record_of(node)
    context = Inference(node)
    try:
        types: Sequence[Type | None] = list(record.infer(context))
    except UnknownError:
        types = [_unknown_like(context, i) for i in range(len(node.outputs))]
    for value, t in zip(node.outputs, types, strict=False):
        if value is not None:
            value.type = t
            value.data = None
    _infer_data(node, context)


def infer_again(node: Node) -> bool:
    """The same; whether more, or something else, is known of the outputs than before."""
    before = [_known_of(v) for v in node.outputs]
    infer_node(node)
    return before != [_known_of(v) for v in node.outputs]


def _known_of(value: Value | None) -> tuple[Type | None, list[object] | None] | None:
    if value is None:
        return None
    return value.type, None if value.data is None else value.data.reshape(-1).tolist()


def _unknown_like(context: Inference, index: int) -> Type | None:
    """Output types when a rank is not known: element types by onnx's schema, no shape."""
    from arenaut.ir.ops.support.fallback import unknown_output_type

    return unknown_output_type(context.node, index)


def _infer_data(node: Node, context: Inference) -> None:
    for out in node.outputs:
        if out is not None and not _small_integers(out):
            return
    record = record_of(node)
    if record.data is not None:
        try:
            results: Sequence[Any] = record.data(context)
        except UnknownError:
            return
    elif record.symbolic and record.evaluate is not None:
        operands = [None if v is None else v.data for v in node.inputs]
        if any(v is not None and d is None for v, d in zip(node.inputs, operands, strict=True)):
            return
        results = record.evaluate(node, operands)
    else:
        return
    for value, result in zip(node.outputs, results, strict=False):
        if value is not None and result is not None:
            found = _as_dims(np.asarray(result, object))
            value.data = found if _fits(found, value.type) else None


def _fits(elements: Array, t: Type | None) -> bool:
    """Whether the type holds these elements, as far as they are numbers; arithmetic in it wraps where it does not."""
    if not isinstance(t, TensorType) or not t.dtype.is_integer or t.dtype.numpy.kind not in "iu":
        return True
    info = np.iinfo(t.dtype.numpy)
    return all(not isinstance(d, int) or info.min <= d <= info.max for d in elements.flat)


def _small_integers(value: Value) -> bool:
    t = value.type
    if not isinstance(t, TensorType) or not (t.dtype.is_integer or t.dtype is DType.BOOL) or t.shape is None:
        return False
    count = 1
    for d in t.shape:
        if not isinstance(d, int):
            return False
        count *= d
    return count <= MAX_DATA_ELEMENTS


def _as_dims(array: Array) -> Array:
    out = np.empty(array.shape, object)
    for i in np.ndindex(*array.shape):
        item = array[i]
        out[i] = item if isinstance(item, Expr) else int(item)
    return out


def infer_graph(graph: Graph) -> None:
    """Infers every value of the graph, bodies included. Raises ShapeError naming the node where dims contradict."""
    for node in graph.nodes:
        infer_node(node)


def alone(node: Node, types: Sequence[Type | None]) -> tuple[Graph, Node]:
    """A copy of the node, inferred, in a graph of its own. types: of its inputs, which become the graph's where
    present."""
    graph = Graph(node.op)
    inputs = [None if t is None else graph.add_input(f"i{i}", t) for i, t in enumerate(types)]
    outputs = [None if v is None else graph.value(f"o{i}") for i, v in enumerate(node.outputs)]
    copy = graph.add(node.op, inputs, node.attributes, domain=node.domain, outputs=outputs)
    infer_node(copy)
    return graph, copy
