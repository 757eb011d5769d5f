"""ir.Graph to ModelProto: any graph, optimised or not, as ONNX of the oldest opset in which it means the same.

Captures become references to outer names again, constants become initialisers of the main graph (one for each array,
however many bodies read it), and nodes of the domain `arenaut` become calls of model-local functions made from their
bodies or decompositions. So the result passes onnx.checker, opens in Netron and runs in other runtimes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import AttributeProto, helper

from arenaut.frontend.opsets import Opsets, state_opsets
from arenaut.frontend.weights import packed_bytes
from arenaut.ir import ARENAUT_DOMAIN, ONNX_DOMAIN, Graph, Node, Value, dtype_of
from arenaut.ir.attribute_values import bytes_of
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import UnsupportedError
from arenaut.ir.graph import Array
from arenaut.ir.numbers import Numbers
from arenaut.ir.ops import record_of
from arenaut.ir.ops.support.composite import decomposed
from arenaut.ir.ops.support.fallback import type_proto
from arenaut.ir.schemas import newest_signature
from arenaut.ir.types import MapType, OptionalType, SequenceType, TensorType, Type
from arenaut.plain import dataclass

Store = Callable[[Array, str], Any]  # array, name -> TensorProto

_PAGE = 4096
_MAX_PROTOBUF_BYTES = 2**31 - 2**24  # 2 GiB less what the nodes may take
_TYPES = (TensorType, SequenceType, OptionalType, MapType)


def to_model_proto(
    graph: Graph,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    doc: str = "",
    store: Store | None = None,
) -> Any:
    """The graph as a ModelProto with its weights inside.

    input_names, output_names: what the model's inputs and outputs are called; by default the names of the values.
    store: makes the TensorProto of an initialiser; by default with the data inside.
    Raises UnsupportedError for nodes that ONNX cannot express (an arenaut op without a body or a decomposition).
    """
    from arenaut import __version__

    inputs = list(input_names) if input_names is not None else [v.name for v in graph.inputs]
    outputs = list(output_names) if output_names is not None else _distinct([v.name for v in graph.outputs])
    writer = _Writer({*inputs, *outputs}, store or tensor_proto)
    proto = writer.main_graph(graph, inputs, outputs)
    model = onnx.ModelProto(
        ir_version=onnx.IR_VERSION, producer_name="arenaut", producer_version=__version__, graph=proto, doc_string=doc
    )
    model.functions.extend(writer.functions)
    state_opsets(model, writer.ops)
    helper.set_model_props(model, dict(metadata or {}))
    return model


def save_graph(
    graph: Graph,
    path: str | os.PathLike[str],
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    *,
    external_data: bool | None = None,
) -> None:
    """Writes the graph as an ONNX file. The file appears whole or not at all, and may be the one it was loaded from.

    external_data: whether weights go to a file of their own, "<path>.data"; None: only where a protobuf file could not
    hold them (2 GiB). Raises OSError when the files cannot be written.
    """
    target = os.fspath(path)
    if external_data is None:
        external_data = _constant_bytes(graph) > _MAX_PROTOBUF_BYTES
    folder = os.path.dirname(os.path.abspath(target))
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as workshop:
        made = os.path.join(workshop, "model")
        if external_data:
            data_name = os.path.basename(target) + ".data"
            with open(os.path.join(workshop, "data"), "wb") as sink:
                model = to_model_proto(graph, input_names=input_names, output_names=output_names,
                                       store=_ExternalStore(sink, data_name).tensor)  # fmt: skip
            os.replace(os.path.join(workshop, "data"), os.path.join(folder, data_name))
        else:
            model = to_model_proto(graph, input_names=input_names, output_names=output_names)
        with open(made, "wb") as file:
            file.write(model.SerializeToString())
        os.replace(made, target)


class _ExternalStore:
    """Puts large tensors into a data file, each on a page of its own so that it can be mapped."""

    def __init__(self, sink: BinaryIO, location: str) -> None:
        self._sink = sink
        self._location = location

    def tensor(self, array: Array, name: str) -> Any:
        dtype = dtype_of(array)
        if dtype is DType.STRING or array.nbytes < _PAGE:
            return tensor_proto(array, name)
        data = packed_bytes(array, dtype)
        self._sink.write(b"\0" * (-self._sink.tell() % _PAGE))
        place = {"location": self._location, "offset": str(self._sink.tell()), "length": str(len(data))}
        self._sink.write(data)
        proto = onnx.TensorProto(data_type=int(dtype), dims=array.shape, name=name)
        proto.data_location = onnx.TensorProto.EXTERNAL
        proto.external_data.extend(onnx.StringStringEntryProto(key=k, value=v) for k, v in place.items())
        return proto


def _constant_bytes(graph: Graph) -> int:
    arrays = {id(v.constant): v.constant.nbytes for v in graph.constants() if v.constant is not None}
    return sum(arrays.values()) + sum(_constant_bytes(b) for node in graph.nodes for _, b in node.bodies())


def tensor_proto(array: Array, name: str = "") -> Any:
    """An array as a TensorProto; sub-byte elements packed as the standard wants."""
    dtype = dtype_of(array)
    proto = onnx.TensorProto(data_type=int(dtype), dims=array.shape, name=name)
    if dtype is DType.STRING:
        proto.string_data.extend(bytes_of(s) for s in array.reshape(-1))
    else:
        proto.raw_data = packed_bytes(array, dtype)
    return proto


def absent_tensor(array: Array, name: str, location: str) -> Any:
    """A TensorProto that names where its data is to be had, and holds none."""
    dtype = dtype_of(array)
    bits = {DType.UINT4: 4, DType.INT4: 4, DType.FLOAT4E2M1: 4, DType.UINT2: 2, DType.INT2: 2}.get(dtype)
    size = array.nbytes if bits is None else -(-array.size * bits // 8)
    proto = onnx.TensorProto(data_type=int(dtype), dims=array.shape, name=name)
    proto.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", str(size))):
        proto.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    return proto


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, repeated ones numbered."""
    out: list[str] = []
    for name in names:
        candidate, n = name, 0
        while candidate in out:
            n += 1
            candidate = f"{name}_{n}"
        out.append(candidate)
    return out


@dataclass
class _Names:
    """The names of the values of one graph or function; a body sees those of the graph around it."""

    taken: set[str]
    known: dict[int, str] = field(default_factory=dict)

    def fresh(self, stem: str) -> str:
        name, n = stem, 0
        while name in self.taken:
            n += 1
            name = f"{stem}_{n}"
        self.taken.add(name)
        return name

    def of(self, value: Value | None) -> str:
        """The name of a value, given to it on first sight."""
        if value is None:
            return ""
        if id(value) not in self.known:
            self.known[id(value)] = self.fresh(value.name)
        return self.known[id(value)]


class _Writer:
    """Writes one model. Names are unique over the main graph and all its bodies; each function has its own."""

    def __init__(self, taken: set[str], store: Store) -> None:
        self._store = store
        self._names = _Names(taken)
        self._node_names = _Names(set())  # other runtimes refuse two nodes of one name
        self._arrays: dict[int, str] = {}  # initialisers by the identity of their array
        self._kept: list[Array] = []  # identities stay true while the arrays live
        self._initializers: list[Any] = []
        self._in_function = False
        self.functions: list[Any] = []
        self.ops = Opsets()

    def main_graph(self, graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
        names = self._names
        for value, name in zip(graph.inputs, inputs, strict=True):
            names.known[id(value)] = name
        direct = self._outputs_by_value(graph, outputs)
        names.known.update(direct)
        proto = onnx.GraphProto(name=graph.name or "graph")
        proto.node.extend(self._nodes(graph))
        for value, name in zip(graph.outputs, outputs, strict=True):
            if direct.get(id(value)) != name:
                proto.node.append(helper.make_node("Identity", [self._operand(value, proto.node)], [name]))
        proto.input.extend(_value_info(v, n) for v, n in zip(graph.inputs, inputs, strict=True))
        stated = graph.declared or [None] * len(graph.outputs)
        ends = [_best_known(v, t) for v, t in zip(graph.outputs, stated, strict=True)]
        proto.output.extend(_value_info(v, n) for v, n in zip(ends, outputs, strict=True))
        proto.value_info.extend(_value_info(v, n) for v, n in self._intermediates(graph, set(outputs)))
        proto.initializer.extend(self._initializers)
        return proto

    def _outputs_by_value(self, graph: Graph, outputs: Sequence[str]) -> dict[int, str]:
        """The output name that a node's value can bear itself; inputs, constants and second outputs need a copy."""
        direct: dict[int, str] = {}
        for value, name in zip(graph.outputs, outputs, strict=True):
            if value.producer is not None:
                direct.setdefault(id(value), name)
        return direct

    def _intermediates(self, graph: Graph, outputs: set[str]) -> list[tuple[Value, str]]:
        made = [v for node in graph.nodes for v in node.outputs if v is not None and v.type is not None]
        return [(v, self._names.of(v)) for v in made if self._names.of(v) not in outputs]

    def _nodes(self, graph: Graph) -> list[Any]:
        out: list[Any] = []
        for node in graph.nodes:
            if node.key == (ONNX_DOMAIN, "Swish"):
                out += self._swish(node, out)
            else:
                out.append(self._node(node, out))
        return out

    def _swish(self, node: Node, before: list[Any]) -> list[Any]:
        """x * sigmoid(alpha * x). onnxruntime knows Swish as a function of the standard only, and expands it neither
        inside another function nor where a model states an opset after that of Swish."""
        x, y = self._operand(node.operand(0), before), self._names.of(node.output)
        alpha, gate = float(node.attr("alpha", 1.0)), self._names.fresh(f"{y}_gate")
        nodes, scaled = [], x
        if alpha != 1:
            factor, scaled = self._names.fresh(f"{y}_alpha"), self._names.fresh(f"{y}_scaled")
            constant = tensor_proto(np.array(alpha, node.output.dtype.numpy))
            nodes = [helper.make_node("Constant", [], [factor], value=constant)]
            nodes += [helper.make_node("Mul", [x, factor], [scaled])]
        self.ops.need_op(ONNX_DOMAIN, "Sigmoid", node)
        self.ops.need_op(ONNX_DOMAIN, "Mul", node)
        return [*nodes, helper.make_node("Sigmoid", [scaled], [gate]), helper.make_node("Mul", [x, gate], [y])]

    def _operand(self, value: Value | None, nodes: Any) -> str:
        """The name of a value where a node reads it; in functions a constant is a node before that."""
        if value is None or value.constant is None:
            return self._names.of(value)
        if self._in_function:
            if id(value) not in self._names.known:
                name = self._names.of(value)
                nodes.append(helper.make_node("Constant", [], [name], value=tensor_proto(value.constant)))
            return self._names.of(value)
        key = id(value.constant)
        if key not in self._arrays:
            self._arrays[key] = self._names.fresh(value.name)
            self._kept.append(value.constant)
            self._initializers.append(self._store(value.constant, self._arrays[key]))
        return self._arrays[key]

    def _node(self, node: Node, before: list[Any]) -> Any:
        captures = node.attr("captures", 0)
        own = node.inputs[: len(node.inputs) - captures] if captures else node.inputs
        captured = node.inputs[len(own) :]
        for value in captured:  # a constant needs its initialiser or node outside the body
            self._operand(value, before)
        self.ops.need(node)
        if node.domain == ARENAUT_DOMAIN:
            own = [v for v in own if v is not None]
        proto = onnx.NodeProto(name=self._node_names.fresh(node.name) if node.name else "")
        proto.input.extend(self._operand(v, before) for v in own)
        proto.output.extend(self._names.of(v) for v in node.outputs)
        if node.domain == ARENAUT_DOMAIN:
            proto.domain, proto.op_type = ARENAUT_DOMAIN, self._function(node)
            return proto
        proto.domain, proto.op_type = node.domain, node.op
        stated = newest_signature(node.domain, node.op)
        for name, value in sorted(node.attributes.items()):
            if name == "captures" or value is None:
                continue
            if isinstance(value, Graph):
                proto.attribute.append(helper.make_attribute(name, self._body(value, captured)))
            else:
                declared = None if stated is None else stated.attribute_types.get(name)
                proto.attribute.append(_attribute(name, value, declared))
        return proto

    def _body(self, body: Graph, captured: Sequence[Value | None]) -> Any:
        """A body graph; its trailing inputs are the captured values, known by their outer names."""
        own = body.inputs[: len(body.inputs) - len(captured)]
        names = self._names
        for inner, outer in zip(body.inputs[len(own) :], captured, strict=True):
            names.known[id(inner)] = self._operand(outer, [])
        proto = onnx.GraphProto(name=body.name or "body")
        proto.input.extend(_value_info(v, names.of(v)) for v in own)
        proto.node.extend(self._nodes(body))
        used: set[str] = set()
        for value in body.outputs:
            name = names.of(value)
            if value.producer is None or name in used:
                copy = names.fresh(f"{value.name}_out")
                proto.node.append(helper.make_node("Identity", [self._operand(value, proto.node)], [copy]))
                name = copy
            used.add(name)
            proto.output.append(_value_info(value, name))
        return proto

    def _function(self, node: Node) -> str:
        """Writes the body of an arenaut node as a function; returns the function's name."""
        body = _body_of(node)
        outer, self._names = self._names, _Names(set())
        was_inside, self._in_function = self._in_function, True
        try:
            inputs = [self._names.of(v) for v in body.inputs]
            nodes = self._nodes(body)
            outputs = [self._operand(v, nodes) for v in body.outputs]
            for index, (value, name) in enumerate(zip(body.outputs, outputs, strict=True)):
                if value.producer is None or name in outputs[:index]:
                    outputs[index] = self._names.fresh(f"{name}_out")
                    nodes.append(helper.make_node("Identity", [name], [outputs[index]]))
        finally:
            self._names, self._in_function = outer, was_inside
        name = f"{node.op}_{len(self.functions)}"
        self.functions.append(helper.make_function(ARENAUT_DOMAIN, name, inputs, outputs, nodes, []))
        return name


def _body_of(node: Node) -> Graph:
    """What an arenaut node does, in ops that a function may hold."""
    bodies = [body for _, body in node.bodies()]
    if len(bodies) == 1:
        return bodies[0]
    rule = record_of(node).decompose
    if rule is None:
        raise UnsupportedError(f"{node}: an arenaut op with neither body nor decomposition has no ONNX form")
    return decomposed(rule, node, [None if v is None else v.type for v in node.inputs])


def _best_known(value: Value, stated: Type | None) -> Value:
    """The value, or one of the type that the stored model states where its rank is not known."""
    known = not isinstance(value.type, TensorType) or value.type.shape is not None
    agrees = isinstance(stated, TensorType) and isinstance(value.type, TensorType) and stated.dtype == value.type.dtype
    return value if known or not agrees else Value(value.name, stated)


def _value_info(value: Value, name: str) -> Any:
    proto = onnx.ValueInfoProto(name=name)
    if value.type is not None:
        proto.type.CopyFrom(type_proto(value.type, str))
    return proto


def _attribute(name: str, value: Any, declared: int | None) -> Any:
    """An attribute of the AttributeProto.AttributeType declared; None: by the value's own type."""
    if isinstance(value, np.ndarray):
        value = tensor_proto(value)
    elif isinstance(value, _TYPES):
        value = type_proto(value, str)
    elif isinstance(value, Numbers):
        value = list(value)
    elif isinstance(value, tuple):
        value = [tensor_proto(v) if isinstance(v, np.ndarray) else v for v in value]
        value = [type_proto(v, str) if isinstance(v, _TYPES) else v for v in value]
    if declared in (AttributeProto.STRING, AttributeProto.STRINGS):
        value = bytes_of(value) if declared == AttributeProto.STRING else [bytes_of(v) for v in value]
    return helper.make_attribute(name, value, attr_type=declared)
