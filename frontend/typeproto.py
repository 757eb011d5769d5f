"""TypeProto to IR types, and the naming of a model's symbolic dims."""

from __future__ import annotations

from typing import Any

import numpy as np

from arenaut.ir import DType, MapType, OptionalType, SequenceType, TensorType, Type, symbol
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import dtype_of
from arenaut.ir.errors import InvalidModelError, UnsupportedError


def dtype_of_number(number: int, where: object) -> DType:
    """The DType of a TensorProto.DataType number. where: what to name in the error."""
    try:
        return DType(number)
    except ValueError:
        raise InvalidModelError(
            f"{where}: element type {number} is none that ONNX defines. Check the file, or update arenaut if it was "
            "written by a newer onnx"
        ) from None


def type_of(proto: Any, name: str) -> Type | None:
    """The type a TypeProto declares for the value `name`; None when it declares none.

    A dim with a name becomes the symbol of that name, the same in the whole model; a dim without one, or a negative
    one, becomes the symbol "<value>.<axis>", as inference names dims that only running decides.
    """
    kind = proto.WhichOneof("value")
    if kind is None:
        return None
    if kind == "tensor_type":
        return _tensor_type(proto.tensor_type, name)
    if kind == "sequence_type":
        return _wrap(SequenceType, proto.sequence_type.elem_type, name)
    if kind == "optional_type":
        return _wrap(OptionalType, proto.optional_type.elem_type, name)
    if kind == "map_type":
        value = type_of(proto.map_type.value_type, name)
        key = dtype_of_number(proto.map_type.key_type, f"the map '{name}'")
        return None if value is None else MapType(key, value)
    raise UnsupportedError(
        f"'{name}' is declared as a {kind.replace('_', ' ')}: arenaut runs tensors, sequences, maps and optionals of "
        "dense tensors. Convert it to a dense tensor before export"
    )


def stored_type(proto: Any) -> TensorType:
    """The type of an initialiser: a TensorProto, a SparseTensorProto, or an array in its place."""
    if isinstance(proto, np.ndarray):
        return TensorType(dtype_of(proto), tuple(proto.shape))
    values = proto.values if hasattr(proto, "indices") else proto
    return TensorType(dtype_of_number(values.data_type, f"the tensor '{values.name}'"), tuple(map(int, proto.dims)))


def _wrap(make: Any, element: Any, name: str) -> Type | None:
    inner = type_of(element, name)
    return None if inner is None else make(inner)


def _tensor_type(proto: Any, name: str) -> TensorType | None:
    if proto.elem_type == 0:
        return None
    dtype = dtype_of_number(proto.elem_type, f"the tensor '{name}'")
    if not proto.HasField("shape"):
        return TensorType(dtype, None)
    return TensorType(dtype, tuple(_dim(d, name, axis) for axis, d in enumerate(proto.shape.dim)))


def _dim(proto: Any, name: str, axis: int) -> Dim:
    kind = proto.WhichOneof("value")
    if kind == "dim_value" and proto.dim_value >= 0:
        return int(proto.dim_value)
    stated = proto.dim_param if kind == "dim_param" else ""
    if isinstance(stated, str) and any(c.isalnum() for c in stated):  # exporters write "?" for "not known"
        return symbol(stated)
    return symbol(f"{name}.{axis}")
