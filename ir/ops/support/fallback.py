"""Records made from onnx itself, for ops that have none of their own: schema, shape inference, reference evaluator.

onnx is imported when such a record is first used, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from arenaut.ir.attribute_values import bytes_of
from arenaut.ir.dims import Dim, Expr
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError, UnsupportedError
from arenaut.ir.graph import Array, Graph, Node, Value
from arenaut.ir.numbers import Numbers
from arenaut.ir.record import Infer, OpRecord, UnknownError
from arenaut.ir.schemas import newest_opset, newest_signature, onnx_schema
from arenaut.ir.types import MapType, OptionalType, SequenceType, TensorType, Type

# Constants up to this many elements are shown to shape inference.
_MAX_SHOWN = 4096
# Attributes that give an output's element type where no input does.
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype")


# -- nodes and types as protobuf -----------------------------------------------------------------------------------


def type_proto(t: Type, name_of: Callable[[Expr], str]) -> Any:
    """A TypeProto; name_of gives the dim_param of a symbolic dim."""
    import onnx.helper as helper

    if isinstance(t, TensorType):
        shape = None if t.shape is None else [name_of(d) if isinstance(d, Expr) else d for d in t.shape]
        return helper.make_tensor_type_proto(int(t.dtype), shape)
    if isinstance(t, SequenceType):
        return helper.make_sequence_type_proto(type_proto(t.element, name_of))
    if isinstance(t, OptionalType):
        return helper.make_optional_type_proto(type_proto(t.element, name_of))
    return helper.make_map_type_proto(int(t.key), type_proto(t.value, name_of))


def type_from_proto(proto: Any, dim_of: Callable[[int, Any], Dim]) -> Type | None:
    """Our type of a TypeProto, None where it says nothing. dim_of(axis, dimension) gives every dim."""
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        inner = proto.tensor_type if kind == "tensor_type" else proto.sparse_tensor_type
        if not inner.elem_type:
            return None
        shape = tuple(dim_of(i, d) for i, d in enumerate(inner.shape.dim)) if inner.HasField("shape") else None
        return TensorType(DType(inner.elem_type), shape)
    if kind == "map_type":
        value = type_from_proto(proto.map_type.value_type, dim_of)
        return None if value is None else MapType(DType(proto.map_type.key_type), value)
    if kind in ("sequence_type", "optional_type"):
        element = type_from_proto(getattr(proto, kind).elem_type, dim_of)
        wrap = SequenceType if kind == "sequence_type" else OptionalType
        return None if element is None else wrap(element)
    return None


def _text_as_bytes(array: Array) -> Array:
    out = np.empty(array.shape, object)
    out.reshape(-1)[:] = [bytes_of(s) for s in array.flat]
    return out


def _attribute(schema: Any, name: str, value: Any) -> Any:
    import onnx.helper as helper
    from onnx import numpy_helper

    if isinstance(value, Graph):
        raise UnsupportedError(f"attribute '{name}' holds a graph, which the reference evaluator is not given")
    if isinstance(value, np.ndarray):
        value = numpy_helper.from_array(_text_as_bytes(value) if value.dtype == object else value)
    elif isinstance(value, (TensorType, SequenceType, OptionalType, MapType)):
        value = type_proto(value, str)
    elif isinstance(value, Numbers):
        value = list(value)
    elif isinstance(value, str):
        value = bytes_of(value)
    elif isinstance(value, tuple):
        value = [bytes_of(v) if isinstance(v, str) else v for v in value]
    declared = None if schema is None else schema.attributes.get(name)
    return helper.make_attribute(name, value, attr_type=None if declared is None else declared.type.value)


def _names(values: Sequence[Value | None], stem: str) -> list[str]:
    """Names by place, so that equal nodes give equal bytes; absent values keep an empty one."""
    return ["" if v is None else f"{stem}{i}" for i, v in enumerate(values)]


def node_proto(node: Node) -> Any:
    """The node as a NodeProto over values i0, i1, ... and o0, o1, ..."""
    import onnx

    schema = onnx_schema(node.domain, node.op)
    proto = onnx.NodeProto(op_type=node.op, domain=node.domain)
    proto.input.extend(_names(node.inputs, "i"))
    proto.output.extend(_names(node.outputs, "o"))
    proto.attribute.extend(_attribute(schema, k, v) for k, v in sorted(node.attributes.items()) if v is not None)
    return proto


# -- evaluation ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _evaluator(serialized: bytes) -> Any:
    """onnx's reference evaluator of one node, by the node's bytes."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = onnx.NodeProto.FromString(serialized)
    infos = [[onnx.ValueInfoProto(name=n) for n in names if n] for names in (proto.input, proto.output)]
    graph = onnx.GraphProto(name="node", node=[proto], input=infos[0], output=infos[1])
    domains = {"", "ai.onnx.ml", proto.domain}
    imports = [onnx.OperatorSetIdProto(domain=d, version=newest_opset(d)) for d in sorted(domains)]
    return ReferenceEvaluator(onnx.ModelProto(ir_version=onnx.IR_VERSION, graph=graph, opset_import=imports))


def reference_has(node: Node) -> bool:
    """Whether onnx's reference evaluator implements the node's op."""
    try:
        _evaluator(node_proto(node).SerializeToString())
    except NotImplementedError:
        return False
    except Exception:  # of attributes: the op is there, and running it will say what is wrong
        return True
    return True


def evaluate_reference(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """The outputs of a node by onnx's own reference evaluator; absent outputs are None. What that raises, of whatever
    kind, means that it refuses these values: RuleError."""
    proto = node_proto(node)
    feeds = {name: x for name, x in zip(proto.input, inputs, strict=False) if name}
    try:
        with np.errstate(all="ignore"):
            results = iter(_evaluator(proto.SerializeToString()).run(None, feeds))
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        raise RuleError(f"onnx.reference refuses it: {type(error).__name__}: {error}") from error
    return [_plain(next(results)) if name else None for name in proto.output]


def _plain(value: Any) -> Any:
    """Arrays for tensors (text as objects), lists for sequences."""
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "UST" else array


# -- types ---------------------------------------------------------------------------------------------------------


def _shown_data(value: Value) -> Array | None:
    """Elements that shape inference may look at."""
    if value.constant is not None and value.constant.size <= _MAX_SHOWN and value.constant.dtype != object:
        return value.constant
    if value.data is None or any(isinstance(d, Expr) for d in value.data.flat):
        return None
    return value.data.astype(value.dtype.numpy)


def _infer(context: Infer) -> Sequence[Type]:
    """onnx's own inference; dims it cannot tell become fresh symbols."""
    import onnx
    from onnx import numpy_helper

    node = context.node
    schema, proto = onnx_schema(node.domain, node.op), node_proto(node)
    dims: dict[str, Expr] = {}

    def name_of(d: Expr) -> str:
        dims[str(d)] = d
        return str(d)

    types, data = {}, {}
    for index, value in enumerate(node.inputs):
        if value is not None:
            types[f"i{index}"] = type_proto(context.type(index), name_of)
            shown = _shown_data(value)
            if shown is not None:
                data[f"i{index}"] = numpy_helper.from_array(shown)
    imports = [onnx.OperatorSetIdProto(domain=d, version=newest_opset(d)) for d in sorted({"", node.domain})]
    try:
        found = onnx.shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=imports)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, IndexError) as error:
        # Some of its rules look for outputs that the node does not have.
        raise context.fail(str(error).rstrip(".")) from None
    return [_output_type(context, index, found.get(f"o{index}"), dims) for index in range(len(node.outputs))]


def _output_type(context: Infer, index: int, proto: Any, dims: Mapping[str, Expr]) -> Type:
    def dim_of(axis: int, d: Any) -> Dim:
        if d.HasField("dim_value"):
            return int(d.dim_value)
        return dims[d.dim_param] if d.dim_param in dims else context.fresh(index, axis)

    if context.node.outputs[index] is None:
        return TensorType(DType.FLOAT, None)  # never looked at
    t = None if proto is None else type_from_proto(proto, dim_of)
    if t is None:
        t = unknown_output_type(context.node, index)
    if t is None:
        raise UnknownError(f"the type of output {index} is not known")
    return t


def _formal(parameters: Sequence[Any], index: int) -> Any:
    """The declared parameter of an actual one; a variadic last one repeats."""
    return parameters[min(index, len(parameters) - 1)] if parameters else None


def _parse_type(text: str) -> Type | None:
    """The type that a schema's string names, shapes unknown; None for a type variable."""
    for prefix, wrap in (("seq(", SequenceType), ("optional(", OptionalType)):
        if text.startswith(prefix):
            element = _parse_type(text[len(prefix) : -1])
            return None if element is None else wrap(element)
    if text.startswith("map("):
        key, _, value = text[4:-1].partition(",")
        inner = _parse_type(value.strip())
        return None if inner is None else MapType(_dtype_named(key), inner)
    if text.startswith(("tensor(", "sparse_tensor(")):
        return TensorType(_dtype_named(text[text.index("(") + 1 : -1]), None)
    return None


def _dtype_named(name: str) -> DType:
    return DType[name.strip().upper()]


def _without_shape(t: Type) -> Type:
    if isinstance(t, TensorType):
        return TensorType(t.dtype, None)
    if isinstance(t, MapType):
        return t
    return type(t)(_without_shape(t.element))


def unknown_output_type(node: Node, index: int) -> Type | None:
    """The type of an output whose shape nothing can tell: the element type by the schema, the shape unknown."""
    found = newest_signature(node.domain, node.op)
    formal = None if found is None else _formal(found.output_parameters, index)
    if found is None or formal is None:
        return None
    if len(formal.types) == 1:
        return _parse_type(formal.types[0])
    for place, value in enumerate(node.inputs):
        declared = found.input_parameter(place)
        if value is not None and value.type is not None and declared and declared.type_name == formal.type_name:
            return _without_shape(value.type)
    for name in _TYPE_ATTRIBUTES:
        if isinstance(node.attr(name), int):
            return TensorType(DType(node.attr(name)), None)
    return None


@cache
def reference_record(domain: str, op: str) -> OpRecord | None:
    """A record for an op that onnx knows, evaluated by onnx.reference; None where onnx does not know it."""
    schema = onnx_schema(domain, op)
    if schema is None:
        return None
    deterministic = getattr(schema, "node_determinism", None) is None or "NonDeterministic" not in str(
        schema.node_determinism
    )
    return OpRecord(op=op, domain=domain, infer=_infer, evaluate=evaluate_reference, deterministic=deterministic)
