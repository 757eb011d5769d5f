"""Ops of ai.onnx.ml on maps and categories, that onnx.reference lacks or reads otherwise than onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType, dtype_of
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import ML_DOMAIN, Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import kept_for, tensor_like
from arenaut.ir.ops.support.composite import number, through_decomposition
from arenaut.ir.record import Build, Infer, NoRowError, OpRecord, Sample
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
    rows, (labels, maps) = np.asarray(inputs[0]), kept_for(node, _zipping)
    if rows.shape[-1] != len(labels):
        raise RuleError(f"{rows.shape[-1]} columns for {len(labels)} class labels")
    listed = rows.tolist()
    return [maps(listed if rows.ndim > 1 else [listed])]


def _zip_direct(node: Node) -> tuple[str, tuple[Any, ...]] | None:
    return ("zip", (tuple(_zip_labels(node)[1]),)) if node.operand(0).dtype is DType.FLOAT else None


_MOST_WRITTEN_OUT = 64  # labels


def _zipping(node: Node) -> tuple[Sequence[Any], Callable[[Any], Any]]:
    """The labels, and what makes maps of rows. A few labels are written out as code, which has names for them: that
    takes half the time of zip and dict."""
    labels = _zip_labels(node)[1]
    if not 0 < len(labels) <= _MOST_WRITTEN_OUT:
        return labels, lambda rows: list(map(dict, map(zip, repeat(labels), rows)))
    items = ", ".join(f"k{i}: v{i}" for i in range(len(labels)))
    values = "".join(f"v{i}, " for i in range(len(labels)))
    made = eval(f"lambda rows: [{{{items}}} for {values}in rows]", {f"k{i}": k for i, k in enumerate(labels)})
    return labels, made


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
            raise RuleError(f"key {key} is outside a sparse map of {out.shape[1]}")
        out[0, key] = convert(value)
    return [out]


# -- DictVectorizer ------------------------------------------------------------------------------------------------


def _vocabulary(node: Node) -> Sequence[Any]:
    return node.attr("string_vocabulary") or node.attr("int64_vocabulary") or ()


def _vector_infer(context: Infer) -> Sequence[Type]:
    t = context.type(0)
    if not isinstance(t, MapType) or not isinstance(t.value, TensorType):
        raise context.fail(f"input 0 is {t}, expected a map")
    return [TensorType(t.value.dtype, (1, len(_vocabulary(context.node))))]


def _vector_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """The values of the keys in the vocabulary's order, one row; 0 or empty text for those that are absent."""
    out = node.outputs[0]
    assert out is not None
    absent = "" if out.dtype is DType.STRING else 0
    keys = [k.decode() if isinstance(k, bytes) else k for k in _vocabulary(node)]
    return [np.array([[inputs[0].get(k, absent) for k in keys]], out.dtype.numpy).reshape(1, len(keys))]


# -- CategoryMapper ------------------------------------------------------------------------------------------------


def _category_infer(context: Infer) -> Sequence[Type]:
    t = tensor_like(context)
    return [TensorType(DType.INT64 if t.dtype is DType.STRING else DType.STRING, t.shape)]


def _category_decompose(build: Build, node: Node) -> Sequence[Value]:
    """A LabelEncoder of either direction."""
    x, names, numbers = node.operand(0), node.attr("cats_strings", ()), node.attr("cats_int64s", ())
    if x.dtype is DType.STRING:
        chosen = {"keys_strings": names, "values_int64s": numbers, "default_int64": node.attr("default_int64", -1)}
    else:
        absent = node.attr("default_string", "_Unused")
        chosen = {"keys_int64s": numbers, "values_strings": names, "default_string": absent}
    return [build.op("LabelEncoder", x, domain=ML_DOMAIN, **chosen)]


# -- LabelEncoder --------------------------------------------------------------------------------------------------

_MOST_SLOTS = 1 << 20  # of a table that integer keys index


def _labels_of(node: Node) -> tuple[Array, Array, Array]:
    """Keys, values, and the value of what is no key."""
    sides = []
    for side in ("keys", "values"):
        kinds = {"int64s": np.int64, "floats": np.float32, "strings": object, "tensor": None}
        found = [(t, node.attr(f"{side}_{k}")) for k, t in kinds.items() if node.attr(f"{side}_{k}") is not None]
        if not found:
            raise NoRowError(f"no {side}")
        dtype, given = found[0]
        sides.append(np.asarray(given) if dtype is None else np.array(given, dtype))
    keys, values = sides
    if keys.shape != values.shape:
        raise NoRowError("more keys than values, or fewer")
    if node.attr("values_tensor") is not None and node.attr("default_tensor") is not None:
        default = np.asarray(node.attr("default_tensor"))
        if default.size != 1:
            raise RuleError(f"default_tensor has {default.size} elements, expected 1")
        return keys, values, default.reshape(())
    names = {"i": ("default_int64", -1), "f": ("default_float", -0.0)}
    name, plain = names.get(values.dtype.kind, ("default_string", "_Unused"))
    return keys, values, np.array(node.attr(name, plain), values.dtype)


def _label_infer(context: Infer) -> Sequence[Type]:
    try:
        values = _labels_of(context.node)[1]
    except NoRowError as error:
        raise context.fail(str(error)) from None
    return [TensorType(dtype_of(values), tensor_like(context).shape)]


def _label_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """The first of equal keys is not the one that counts: the last is. A key that is not a number is found."""
    x = np.asarray(inputs[0])
    table, values, absent, places = kept_for(node, _label_table)
    if places is None:
        get = table.get
        found = [get(v, absent) for v in x.ravel().tolist()]
        return [np.array(found, values.dtype).reshape(x.shape)]
    keys, flat = places, x.reshape(-1)
    at = np.minimum(np.searchsorted(keys, flat), max(keys.size - 1, 0))
    hit = (keys[at] == flat) | ((keys[at] != keys[at]) & (flat != flat)) if keys.size else np.zeros(flat.shape, bool)
    picked = values[at] if keys.size else np.full(flat.shape, absent, values.dtype)
    return [np.where(hit, picked, absent).astype(values.dtype).reshape(x.shape)]


_Labels = tuple[dict[Any, Any], Array, Any, "Array | None"]


def _label_table(node: Node) -> _Labels:
    """For text: a dict, values, the absent value. For numbers: values in the order of the sorted keys, and those."""
    keys, values, absent = _labels_of(node)
    if keys.dtype == object:
        return dict(zip(keys.tolist(), values.tolist(), strict=True)), values, absent.item(), None
    last = keys.size - 1 - np.unique(keys[::-1], return_index=True)[1]
    return {}, values[last], absent, keys[last]


def _label_direct(node: Node) -> tuple[str, tuple[Any, ...]] | None:
    """Words as numbers."""
    table, values, absent, _ = _label_table(node)
    dtype = dtype_of(values)
    if not table or dtype not in (DType.INT64, DType.FLOAT):
        return None
    return "words", (table, absent, dtype is DType.INT64)


def _label_decompose(build: Build, node: Node) -> Sequence[Value]:
    """Integer keys that lie near each other index a table, at whose ends stands the value of what is no key."""
    keys, values, absent = _labels_of(node)
    if keys.dtype != np.int64 or not keys.size or node.operand(0).dtype is not DType.INT64:
        raise NoRowError("keys that are no integers")
    low, high = int(keys.min()), int(keys.max())
    if high - low >= _MOST_SLOTS or low <= -(2**62) or high >= 2**62:
        raise NoRowError("keys too far apart")
    table = np.full(high - low + 3, absent, values.dtype)
    table[keys - low + 1] = values
    ends = (number(build, v, DType.INT64) for v in (low - 1, high + 1))
    at = build.op("Sub", build.op("Clip", node.operand(0), *ends), number(build, low - 1, DType.INT64))
    return [build.op("Gather", build.constant(table), at, axis=0)]


def _label_samples() -> Iterator[Sample]:
    numbers, words = (7, -3, 40, 8), ("a", "bc", "Ünï", "zz")
    x, text = samples.draw((3, 5), DType.INT64, -5, 41), samples.draw((6,), DType.STRING)
    fractions = np.array([0.5, -1.25, 7.0, 4.0, 0.5], np.float32)
    for values in ({"values_int64s": (1, 2, 3, 4)}, {"values_floats": (0.5, 1.5, -2.0, 9.0), "default_float": 3.5}):
        yield Sample((x,), {"keys_int64s": numbers, **values})
        yield Sample((text,), {"keys_strings": words, **values})
        yield Sample((fractions,), {"keys_floats": (0.5, 9.0, 4.0, -3.5), **values})
    yield Sample((x,), {"keys_int64s": numbers, "values_strings": words, "default_string": "none"})


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="LabelEncoder", domain=ML_DOMAIN, infer=_label_infer, evaluate=_label_evaluate, decompose=_label_decompose,
        direct=_label_direct, samples=_label_samples,
    ),
    OpRecord(op="ZipMap", domain=ML_DOMAIN, infer=_zip_infer, evaluate=_zip_evaluate, direct=_zip_direct),
    OpRecord(op="CastMap", domain=ML_DOMAIN, infer=_map_infer, evaluate=_map_evaluate),
    OpRecord(op="DictVectorizer", domain=ML_DOMAIN, infer=_vector_infer, evaluate=_vector_evaluate),
    OpRecord(
        op="CategoryMapper", domain=ML_DOMAIN, infer=_category_infer, decompose=_category_decompose,
        evaluate=through_decomposition(_category_decompose),
    ),
)  # fmt: skip
