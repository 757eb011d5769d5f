"""Ops of ai.onnx.ml on maps and categories, that onnx.reference lacks or reads otherwise than onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ML_DOMAIN, Node
from arenaut.ir.ops.support.common import tensor_like
from arenaut.ir.record import Infer, OpRecord
from arenaut.ir.types import MapType, SequenceType, TensorType, Type

# -- ZipMap --------------------------------------------------------------------------------------------------------


def _zip_labels(node: Node) -> tuple[DType, Sequence[Any]]:
    texts = node.attr("classlabels_strings")
    return (DType.STRING, texts) if texts else (DType.INT64, node.attr("classlabels_int64s", ()))


def _zip_infer(context: Infer) -> Sequence[Type]:
    t, (key, labels) = tensor_like(context), _zip_labels(context.node)
    if t.shape is not None and isinstance(t.shape[-1], int) and t.shape[-1] != len(labels):
        raise context.fail(f"{t.shape[-1]} columns for {len(labels)} class labels")
    return [SequenceType(MapType(key, TensorType(DType.FLOAT, ())))]


def _zip_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """One map a row; a single row is one map."""
    rows, labels = np.asarray(inputs[0]), _zip_labels(node)[1]
    if rows.shape[-1] != len(labels):
        raise ValueError(f"{rows.shape[-1]} columns for {len(labels)} class labels")
    listed = rows.tolist()
    return [[dict(zip(labels, row, strict=False)) for row in (listed if rows.ndim > 1 else [listed])]]


# -- CastMap -------------------------------------------------------------------------------------------------------

_CONVERT: Mapping[DType, Callable[[Any], Any]] = {
    DType.FLOAT: float,
    DType.STRING: str,
    DType.INT64: lambda value: int(float(value)),
}
_CAST_TO = {"TO_FLOAT": DType.FLOAT, "TO_STRING": DType.STRING, "TO_INT64": DType.INT64}


def _map_infer(context: Infer) -> Sequence[Type]:
    node = context.node
    sparse = node.attr("map_form", "DENSE") == "SPARSE"
    count = node.attr("max_map", 1) if sparse else context.fresh(0, 1)
    return [TensorType(_CAST_TO[node.attr("cast_to", "TO_FLOAT")], (1, count))]


def _map_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Values in the order of their keys; sparse: at the place that the key says, zeros or empty text elsewhere."""
    target, items = _CAST_TO[node.attr("cast_to", "TO_FLOAT")], sorted(inputs[0].items())
    convert = _CONVERT[target]
    if node.attr("map_form", "DENSE") != "SPARSE":
        return [np.array([[convert(v) for _, v in items]], target.numpy)]
    out = np.full((1, node.attr("max_map", 1)), "" if target is DType.STRING else 0, target.numpy)
    for key, value in items:
        if not 0 <= key < out.shape[1]:
            raise IndexError(f"key {key} is outside a sparse map of {out.shape[1]}")
        out[0, key] = convert(value)
    return [out]


# -- CategoryMapper ------------------------------------------------------------------------------------------------


def _category_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    return [TensorType(DType.INT64 if t.dtype is DType.STRING else DType.STRING, t.shape)]


def _category_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, names, numbers = np.asarray(inputs[0]), node.attr("cats_strings", ()), node.attr("cats_int64s", ())
    if x.dtype == object:
        table: dict[Any, Any] = dict(zip(names, numbers, strict=True))
        absent, target = node.attr("default_int64", -1), DType.INT64
    else:
        table = dict(zip(numbers, names, strict=True))
        absent, target = node.attr("default_string", "_Unused"), DType.STRING
    found = [table.get(v, absent) for v in x.ravel().tolist()]
    return [np.array(found, target.numpy).reshape(x.shape)]


RECORDS: tuple[OpRecord, ...] = tuple(
    OpRecord(op=op, domain=ML_DOMAIN, infer=infer, evaluate=evaluate)
    for op, infer, evaluate in (
        ("ZipMap", _zip_infer, _zip_evaluate),
        ("CastMap", _map_infer, _map_evaluate),
        ("CategoryMapper", _category_infer, _category_evaluate),
    )
)
