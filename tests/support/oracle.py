"""What an op's result should be, from sources that share no code with the records: scalar float64 formulas of the
standard library, onnx.reference, and onnxruntime where the reference refuses an input that the standard allows."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import dtype_of
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import ARENAUT_DOMAIN, ML_DOMAIN, Node
from arenaut.ir.ops import record_of
from arenaut.ir.ops.support.composite import decomposed
from arenaut.ir.ops.support.fallback import evaluate_reference, node_proto
from arenaut.ir.types import TensorType


def _sigmoid(x: float) -> float:
    return 0.0 if x < -700 else 1 / (1 + math.exp(-x))


def _gelu(x: float, approximate: str = "none") -> float:
    if math.isinf(x):
        return x if x > 0 else math.nan
    if approximate == "tanh":
        return x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))  # (1 + tanh u) / 2
    return 0.5 * x * math.erfc(-x / math.sqrt(2))


def _swish(x: float, alpha: float = 1.0) -> float:
    return x * _sigmoid(alpha * x)


def _hard_swish(x: float) -> float:
    return x * max(0.0, min(1.0, x / 6 + 0.5)) if not math.isnan(x) else x


def _mean(*x: float) -> float:
    return sum(x) / len(x)


# Ops that onnx.reference computes in float32 or less (erf and what uses it, half precision sums), or wrongly.
FORMULAS: Mapping[str, Callable[..., float]] = {
    "Erf": math.erf,
    "Gelu": _gelu,
    "Sigmoid": _sigmoid,
    "Swish": _swish,
    "HardSwish": _hard_swish,
    "Softsign": lambda x: x / (1 + abs(x)) if not math.isinf(x) else math.nan,
    "Sum": lambda *x: sum(x),
    "Mean": _mean,
}


# Ops that onnx.reference evaluates slowly, not for every attribute, or in half precision: onnxruntime is asked first.
# It is given narrow floats as float32, and its results are rounded once.
BY_ONNXRUNTIME = frozenset(
    {
        "AffineGrid",
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "GRU",
        "Gemm",
        "GlobalLpPool",
        "GlobalMaxPool",
        "GridSample",
        "GroupNormalization",
        "InstanceNormalization",
        "LRN",
        "LSTM",
        "LayerNormalization",
        "LogSoftmax",
        "LpNormalization",
        "LpPool",
        "MatMul",
        "MaxPool",
        "MaxRoiPool",
        "MeanVarianceNormalization",
        "NonMaxSuppression",
        "RMSNormalization",
        "RNN",
        "RoiAlign",
        "Softmax",
    }
)


def expected(node: Node, inputs: Sequence[Any], *, inexact: bool) -> list[Any]:
    """The outputs that the standard wants; inexact: computed in float64 and rounded once to the inputs' type. Raises
    what the last source raised when none answers."""
    formula = FORMULAS.get(node.op)
    if formula is not None and not node.domain:
        chosen = {k: v for k, v in node.attributes.items() if v is not None}
        wide = [np.asarray(x, np.float64) for x in inputs]
        with np.errstate(all="ignore"):
            scalar = np.vectorize(lambda *x: formula(*x, **chosen), otypes=[np.float64])
            result = scalar(*wide) if all(x.size for x in wide) else wide[0]
        return [np.asarray(result).astype(inputs[0].dtype)]
    if node.domain == ARENAUT_DOMAIN:
        own = _OWN.get(node.op)
        return [own(node, inputs)] if own is not None else _by_its_record(node, inputs)
    if node.key == ("ai.onnx.contrib", "StringSplit"):  # whose library is not at hand
        return _parts_of_texts(*inputs)
    if node.domain == ML_DOMAIN:
        return _wide_onnxruntime(node, inputs, 21)
    if node.op in BY_ONNXRUNTIME and not node.domain:
        for opset in (24, 21):
            with contextlib.suppress(*onnxruntime_errors()):
                return _wide_onnxruntime(node, inputs, opset)
    if inexact and is_float(inputs[0]):
        wide = [x.astype(np.float64) if x is not None and is_float(x) else x for x in inputs]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy on empty slices
            return [y.astype(inputs[0].dtype) if is_float(y) else y for y in evaluate_reference(node, wide)]
    if node.op.startswith("Reduce") and not is_float(inputs[0]):  # numpy widens integer sums, the standard does not
        return [y.astype(inputs[0].dtype) for y in evaluate_reference(node, inputs)]
    try:
        return list(evaluate_reference(node, inputs))
    except RuleError:
        return onnxruntime_outputs(node, inputs)


def _parts_of_texts(texts: Any, separator: Any, skip_empty: Any) -> list[Any]:
    """[number of text, number of part] of each part, the parts, and the dims of the sparse tensor that they make."""
    parts = [text.split(separator.item()) for text in texts]
    kept = [[p for p in own if p or not skip_empty.item()] for own in parts]
    places = [(i, j) for i, own in enumerate(kept) for j in range(len(own))]
    words = np.array([word for own in kept for word in own], object)
    longest = max(map(len, kept), default=0)
    return [np.array(places, np.int64).reshape(-1, 2), words, np.array([len(kept), longest], np.int64)]


def _integer_product(node: Node, inputs: Sequence[Any]) -> Any:
    """QMatMul or QConv: sums in int64 or by onnxruntime in floats that hold them all, scaled in float64."""
    a, b, a_scale, a_zero, b_scale, b_zero, bias = [*inputs, *[None] * (7 - len(inputs))]
    windows = node.op == "QConv"

    def spread(x: Any, trailing: int = 0) -> Any:
        return x.astype(np.float64).reshape(-1, *[1] * trailing) if x.size > 1 else x.astype(np.float64).reshape(())

    zeros = [0 if z is None else z.astype(np.int64) for z in (a_zero, b_zero)]
    after = a.ndim - 2 if windows else 0
    left = a.astype(np.int64) - zeros[0]
    if windows:
        right = b.astype(np.int64) - (zeros[1].reshape(-1, *[1] * (b.ndim - 1)) if np.ndim(zeros[1]) else zeros[1])
        conv = Node("Conv", node.inputs[:2], node.outputs, node.attributes)
        total = onnxruntime_outputs(conv, [left.astype(np.float32), right.astype(np.float32)], 21)[0]
        assert np.abs(total).max() < 1 << 24
    else:
        left = left.swapaxes(-1, -2) if node.attr("transA") else left
        total = left @ ((b.swapaxes(-1, -2) if node.attr("transB") else b).astype(np.int64) - zeros[1])
    if bias is not None and bias.dtype == np.int32:
        total = total + spread(bias, after)
    if a_scale is None:
        return total.astype(np.int32)
    result = total.astype(np.float64) * spread(a_scale) * spread(b_scale, after)
    result = result if bias is None or bias.dtype == np.int32 else result + spread(bias, after)
    return result.astype(np.float32)


def _block_product(node: Node, inputs: Sequence[Any]) -> Any:
    """Number by number, in float64."""
    a, b, scales, zeros = [*inputs, None][:4]
    bits, block, depth, columns = (node.attr(name) for name in ("bits", "block_size", "K", "N"))

    def numbers(row: Any, count: int) -> list[int]:
        whole = int.from_bytes(row.tobytes(), "little")
        return [whole >> (bits * i) & ((1 << bits) - 1) for i in range(count)]

    blocks = -(-depth // block)
    weight = np.zeros((depth, columns))
    for n in range(columns):
        shift = [1 << (bits - 1)] * blocks if zeros is None else numbers(zeros[n], blocks)
        stored = numbers(b[n], blocks * block)
        for k in range(depth):
            weight[k, n] = (stored[k] - shift[k // block]) * float(scales[n, k // block])
    return (a.astype(np.float64) @ weight).astype(a.dtype)


def _half_product(node: Node, inputs: Sequence[Any]) -> Any:
    """One sum of products in float64 for each element."""
    a, b = (x.astype(np.float64) for x in inputs)
    columns = b if node.attr("transB") else b.T
    return np.stack([(a * column).sum(-1) for column in columns], -1).astype(np.float32)


def _half_convolution(node: Node, inputs: Sequence[Any]) -> Any:
    """By the reference, in float64."""
    conv = Node("Conv", node.inputs, node.outputs, node.attributes)
    return evaluate_reference(conv, [x.astype(np.float64) for x in inputs])[0].astype(np.float32)


def _byte_line(node: Node, inputs: Sequence[Any]) -> Any:
    """QSoftmax or QLayerNormalization: of what X stands for, in float64."""
    x, scale, zero, gain, shift = [*inputs, *[None] * (5 - len(inputs))]
    reals = x.astype(np.float64)
    if scale is not None:
        reals = (reals - (0 if zero is None else float(zero))) * np.float64(scale)
    if node.op == "QSoftmax":
        if reals.size == 0:
            return reals.astype(np.float32)
        raised = np.exp(reals - reals.max(-1, keepdims=True))
        return (raised / raised.sum(-1, keepdims=True)).astype(np.float32)
    centred = reals - reals.mean(-1, keepdims=True)
    y = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + node.attr("epsilon", 1e-5)) * gain
    return (y if shift is None else y + shift).astype(np.float32)


# Ops of our own with a source that shares no code at all with their record.
_OWN: Mapping[str, Callable[[Node, Sequence[Any]], Any]] = {
    "BlockMatMul": _block_product,
    "HalfConv": _half_convolution,
    "HalfMatMul": _half_product,
    "QConv": _integer_product,
    "QLayerNormalization": _byte_line,
    "QMatMul": _integer_product,
    "QSoftmax": _byte_line,
}


def _by_its_record(node: Node, inputs: Sequence[Any]) -> list[Any]:
    """An op of our own in float64: what it decomposes into, by the sources above; else its numpy evaluator."""
    record = record_of(node)
    wide = [x.astype(np.float64) if x is not None and is_float(x) else x for x in inputs]
    if record.decompose is None:
        assert record.evaluate is not None
        results = list(record.evaluate(node, wide))
    else:
        types = [None if x is None else TensorType(dtype_of(x), x.shape) for x in wide]
        graph = decomposed(record.decompose, node, types)
        known = dict(zip(map(id, graph.inputs), (x for x in wide if x is not None), strict=True))
        for inner in graph.nodes:
            operands = [
                v if v is None else v.constant if v.constant is not None else known[id(v)] for v in inner.inputs
            ]
            made = expected(inner, operands, inexact=record_of(inner).tolerance.kind != "exact")
            known.update((id(v), y) for v, y in zip(inner.outputs, made, strict=True) if v is not None)
        results = [v.constant if v.constant is not None else known[id(v)] for v in graph.outputs]
    types_out = [v.dtype.numpy for v in node.outputs if v is not None]
    return [np.asarray(y).astype(t) for y, t in zip(results, types_out, strict=False)]


def is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype != object and dtype_of(array).is_float


def onnxruntime_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises where it has no kernel for an op's version or types."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.NotImplemented, state.Fail, state.InvalidGraph)


def _wide_onnxruntime(node: Node, inputs: Sequence[Any], opset: int) -> list[Any]:
    wide = [x if x is None or not _is_narrow(x) else x.astype(np.float32) for x in inputs]
    results = onnxruntime_outputs(node, wide, opset)
    types = [None if v is None else v.dtype.numpy for v in node.outputs]
    return [x if t is None else np.asarray(x).astype(t) for x, t in zip(results, types, strict=True)]


def _is_narrow(x: np.ndarray) -> bool:
    return dtype_of(x).is_float and x.dtype.itemsize < 4


def onnxruntime_outputs(node: Node, inputs: Sequence[Any], version: int = 24) -> list[Any]:
    """The node alone in a model, run by onnxruntime."""
    import onnx
    import onnxruntime as ort

    proto = node_proto(node)
    helper = onnx.helper
    infos = [
        helper.make_tensor_value_info(n, int(dtype_of(np.asarray(x))), np.shape(x))
        for n, x in zip(proto.input, inputs, strict=True)
        if n
    ]
    outputs = [onnx.ValueInfoProto(name=n) for n in proto.output if n]
    opsets = [helper.make_opsetid("", version), helper.make_opsetid(ML_DOMAIN, 3)]
    opsets += [helper.make_opsetid(node.domain, 1)] if node.domain not in ("", ML_DOMAIN) else []
    model = helper.make_model(helper.make_graph([proto], "g", infos, outputs), opset_imports=opsets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {n: x for n, x in zip(proto.input, inputs, strict=True) if n}))
