"""What onnxruntime and onnx.reference give for a case. Where results are inexact they compute in a wider type."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

Kinds = Mapping[int, int]
FOR_ONNXRUNTIME: Kinds = {TensorProto.FLOAT16: TensorProto.FLOAT, TensorProto.BFLOAT16: TensorProto.FLOAT}
FOR_REFERENCE: Kinds = {
    TensorProto.FLOAT16: TensorProto.DOUBLE,
    TensorProto.BFLOAT16: TensorProto.DOUBLE,
    TensorProto.FLOAT: TensorProto.DOUBLE,
}
# Attributes that name an element type or hold a tensor: a node that has one is asked as it stands.
_TYPED = frozenset({"to", "dtype", "output_dtype", "output_datatype", "value", "stash_type", "softmax_precision"})


@dataclass(frozen=True)
class Answer:
    """outputs: None where the oracle refused, for the reason `error`. wide: computed in a wider type."""

    outputs: list[Any] | None
    error: str = ""
    wide: bool = False


def widened(model: onnx.ModelProto, kinds: Kinds) -> onnx.ModelProto | None:
    """The model with wider floats; None where nothing changes, or where more than inputs would have to."""
    graph = model.graph
    if any(a.name in _TYPED or a.HasField("g") or a.graphs for n in graph.node for a in n.attribute):
        return None
    found = any(i.type.tensor_type.elem_type in kinds for i in graph.input)
    if not found and not any(t.data_type in kinds for t in graph.initializer):
        return None
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for info in wide.graph.input:
        t = info.type.tensor_type
        t.elem_type = kinds.get(t.elem_type, t.elem_type)
    for tensor in wide.graph.initializer:
        if tensor.data_type in kinds:
            array = numpy_helper.to_array(tensor).astype(_numpy(kinds[tensor.data_type]))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return wide


def _numpy(kind: int) -> Any:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def _wide_feeds(feeds: Mapping[str, Any], kinds: Kinds) -> dict[str, Any]:
    types = {_numpy(k): _numpy(v) for k, v in kinds.items()}
    return {n: x.astype(types.get(x.dtype, x.dtype)) for n, x in feeds.items()}


def _exotic(array: Any) -> bool:
    """Of a type that onnxruntime's Python binding does not take."""
    return array.dtype != object and (array.dtype.kind == "V" or array.dtype.type.__module__.startswith("ml_dtypes"))


def by_onnxruntime(model: onnx.ModelProto, runs: Sequence[Mapping[str, Any]], inexact: bool) -> list[Answer]:
    import onnxruntime as ort

    wide = widened(model, FOR_ONNXRUNTIME) if inexact else None
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if wide is None and any(_exotic(x) for feeds in runs for x in feeds.values()):
        return [Answer(None, "its Python binding does not take the type")] * len(runs)
    try:
        data = (wide or model).SerializeToString()
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return [Answer(None, str(error)[:300])] * len(runs)
    answers = []
    for feeds in runs:
        try:
            fed = feeds if wide is None else _wide_feeds(feeds, FOR_ONNXRUNTIME)
            outputs = [
                _of_type(y, o.type) for y, o in zip(session.run(None, dict(fed)), session.get_outputs(), strict=True)
            ]
            answers.append(Answer(outputs, wide=wide is not None))
        except Exception as error:
            answers.append(Answer(None, str(error)[:300]))
    return answers


def _of_type(value: Any, text: str) -> Any:
    """Its Python binding returns 8-bit floats as bytes."""
    if not isinstance(value, np.ndarray) or not text.startswith("tensor(float8"):
        return value
    return value.view(_numpy(getattr(TensorProto, text[len("tensor(") : -1].upper())))


def by_reference(model: onnx.ModelProto, runs: Sequence[Mapping[str, Any]], inexact: bool) -> list[Answer]:
    answers: list[Answer] = []
    wide = widened(model, FOR_REFERENCE) if inexact else None
    for feeds in runs:
        answer = Answer(None, "")
        for chosen in [m for m in (wide, model) if m is not None]:
            fed = _wide_feeds(feeds, FOR_REFERENCE) if chosen is wide else feeds
            answer = _reference(chosen, fed, chosen is wide)
            if answer.outputs is not None:
                break
        answers.append(answer)
    return answers


def _reference(model: onnx.ModelProto, feeds: Mapping[str, Any], wide: bool) -> Answer:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            outputs = ReferenceEvaluator(model).run(None, dict(feeds))
        except Exception as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:300])
    return Answer([_normal(y) for y in outputs], wide=wide)


def _normal(value: Any) -> Any:
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)):
        return [_normal(v) for v in value]
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "UST" else array


def wide_of(dtype: Any) -> Any:
    """The type that a reference computes a narrower float in."""
    return np.dtype(np.float64) if dtype in (np.float16, np.float32, ml_dtypes.bfloat16) else dtype
