"""Linear models and feature scaling of ai.onnx.ml, as products, norms and elementwise ops.

They read their input as onnxruntime does: a vector is one row, and everything becomes float32 (a Scaler and an Imputer
of another type excepted) before it is computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import ExecutionError
from arenaut.ir.graph import ML_DOMAIN, Array, Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import tensor_like
from arenaut.ir.ops.support.composite import cast, concat, ints, number, reshape, through_decomposition, unsqueeze
from arenaut.ir.record import Build, DecomposeRule, Evaluator, Infer, InferRule, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

_NUMBERS = (DType.FLOAT, DType.DOUBLE, DType.INT64, DType.INT32)


def evaluated(rule: DecomposeRule) -> Evaluator:
    """Through the decomposition; what that leaves out, through onnx.reference."""

    def reference(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        from arenaut.ir.ops.support.fallback import evaluate_reference

        return evaluate_reference(node, inputs)

    return through_decomposition(rule, reference)


def float_attribute(node: Node, name: str) -> Array:
    return np.asarray(node.attr(name, ()), np.float32).reshape(-1)


# -- what models of this domain share --------------------------------------------------------------------------


def labels_of(node: Node, number_name: str = "classlabels_ints") -> tuple[DType, Sequence[Any]]:
    """Element type and names of the classes."""
    texts = node.attr("classlabels_strings")
    return (DType.STRING, texts) if texts else (DType.INT64, node.attr(number_name, ()))


def rows_infer(context: Infer) -> Dim:
    """How many rows a model sees: a vector is one."""
    shape = context.shape(0)
    if len(shape) not in (1, 2):
        raise context.fail(f"expected rows of features, got rank {len(shape)}")
    return shape[0] if len(shape) == 2 else 1


def rows_of(build: Build, x: Value) -> Value:
    """The input as float32 rows."""
    if x.rank not in (1, 2):
        raise NoRowError(f"rank {x.rank}")
    return cast(build, x if x.rank == 2 else unsqueeze(build, x, 0), DType.FLOAT)


def affine(build: Build, x: Value, coefficients: Array, intercepts: Array, outputs: int) -> Value:
    """x times the coefficients of each output, stored one output after the other at the width of x (files may hold
    more), plus intercepts."""
    width = x.shape[-1]
    if not isinstance(width, int):
        width = coefficients.size // max(1, outputs)
    if outputs < 1 or coefficients.size < outputs * width or intercepts.size not in (0, outputs):
        raise NoRowError("coefficients that do not fit the features")
    weights = build.constant(np.ascontiguousarray(coefficients[: outputs * width].reshape(outputs, width)))
    bias = build.constant(intercepts) if intercepts.size else None
    return build.op("Gemm", x, weights, bias, transB=1)


def _softmax_zero(build: Build, scores: Value) -> Value:
    """A softmax in which scores that are zero count as nothing and stay so."""
    zero = number(build, 0, scores.dtype)
    there = build.op("Greater", build.op("Abs", scores), number(build, 1e-7, scores.dtype))
    least = build.op("ReduceMax", scores, ints(build, 1), keepdims=1)
    grown = build.op("Exp", build.op("Sub", scores, least))
    kept = build.op("Where", there, grown, zero)
    rest = build.op("Mul", scores, build.op("Exp", build.op("Neg", least)))
    total = build.op("ReduceSum", kept, ints(build, 1), keepdims=1)
    return build.op("Div", build.op("Where", there, grown, rest), total)


_TRANSFORMS: dict[str, Callable[[Build, Value], Value]] = {
    "NONE": lambda build, s: s,
    "LOGISTIC": lambda build, s: build.op("Sigmoid", s),
    "SOFTMAX": lambda build, s: build.op("Softmax", s, axis=1),
    "SOFTMAX_ZERO": _softmax_zero,
}


def transformed(build: Build, node: Node, scores: Value, name: str | None = None) -> Value:
    """[rows, outputs] after the node's post_transform, or the one of that name."""
    name = name or node.text("post_transform", "NONE")
    if name not in _TRANSFORMS:
        raise NoRowError(f"post_transform {name}")
    return _TRANSFORMS[name](build, scores)


def label_constant(build: Build, key: DType, labels: Sequence[Any]) -> Value:
    return build.constant(np.array(labels, object if key is DType.STRING else np.int64))


def best_label(build: Build, scores: Value, key: DType, labels: Sequence[Any]) -> Value:
    """The label of the highest score of each row."""
    best = build.op("ArgMax", scores, axis=1, keepdims=0)
    if key is DType.INT64 and list(labels) == list(range(len(labels))):
        return best
    return build.op("Gather", label_constant(build, key, labels), best, axis=0)


def two_labels(build: Build, is_second: Value, key: DType, labels: Sequence[Any]) -> Value:
    """labels[1] where is_second, which has one element a row, else labels[0]."""
    chosen = cast(build, reshape(build, is_second, -1), DType.INT64)
    if key is DType.INT64 and list(labels) == [0, 1]:
        return chosen
    return build.op("Gather", label_constant(build, key, labels), chosen, axis=0)


def classifier_infer(context: Infer, number_name: str = "classlabels_ints") -> Sequence[Type]:
    key, labels = labels_of(context.node, number_name)
    rows = rows_infer(context)
    return [TensorType(key, (rows,)), TensorType(DType.FLOAT, (rows, len(labels)))]


# -- LinearClassifier, LinearRegressor -------------------------------------------------------------------------


def _classifier(build: Build, node: Node) -> Sequence[Value]:
    key, labels = labels_of(node)
    coefficients, intercepts = float_attribute(node, "coefficients"), float_attribute(node, "intercepts")
    if len(labels) == 2 and intercepts.size == 1:
        return _two_classes(build, node, coefficients, intercepts)
    scores = affine(build, rows_of(build, node.operand(0)), coefficients, intercepts, len(labels))
    return [best_label(build, scores, key, labels), transformed(build, node, scores)]


def _two_classes(build: Build, node: Node, coefficients: Array, intercepts: Array) -> Sequence[Value]:
    """One score that speaks for the second class; the first one's is its opposite."""
    key, labels = labels_of(node)
    score = affine(build, rows_of(build, node.operand(0)), coefficients, intercepts, 1)
    return [
        two_labels(build, build.op("Greater", score, number(build, 0, DType.FLOAT)), key, labels),
        both_scores(build, node, score),
    ]


def both_scores(build: Build, node: Node, score: Value) -> Value:
    """[rows, 2] from the one score [rows, 1] of the second class. onnxruntime knows one post_transform here."""
    kind = node.text("post_transform", "NONE")
    if kind == "PROBIT":
        raise NoRowError(f"post_transform {kind}")
    if kind == "LOGISTIC":
        first = build.op("Sigmoid", build.op("Neg", score))
        return concat(build, [first, build.op("Sigmoid", score)], 1)
    return concat(build, [build.op("Sub", number(build, 1, DType.FLOAT), score), score], 1)


def _classifier_samples() -> Iterator[Sample]:
    for dtype in _NUMBERS:
        x = samples.draw((5, 4), dtype)
        for post in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
            three = {"coefficients": _weights(12), "intercepts": _weights(3, 1), "post_transform": post}
            yield Sample((x,), {**three, "classlabels_ints": (0, 1, 2)}, 2)
            yield Sample((x,), {**three, "classlabels_ints": (7, -1, 5)}, 2)
    x = samples.draw((5, 4), DType.FLOAT)
    yield Sample((x[0],), {**three, "classlabels_ints": (0, 1, 2)}, 2)
    yield Sample((x,), {**three, "classlabels_strings": ("a", "b", "c")}, 2)
    for post in ("NONE", "LOGISTIC", "SOFTMAX"):
        two = {"coefficients": _weights(4), "intercepts": _weights(1, 1), "post_transform": post}
        yield Sample((x,), {**two, "classlabels_ints": (0, 1)}, 2)
        yield Sample((x,), {**two, "classlabels_ints": (3, 9)}, 2)
        yield Sample((x,), {**two, "classlabels_strings": ("no", "yes")}, 2)


def _weights(count: int, seed: int = 0) -> tuple[float, ...]:
    return tuple(float(v) for v in samples.draw((count,), DType.FLOAT, -1, 1, seed=seed))


def _regressor_infer(context: Infer) -> Sequence[Type]:
    return [TensorType(DType.FLOAT, (rows_infer(context), int(context.node.attr("targets", 1))))]


def _regressor(build: Build, node: Node) -> Sequence[Value]:
    coefficients, intercepts = float_attribute(node, "coefficients"), float_attribute(node, "intercepts")
    targets = int(node.attr("targets", 1))
    scores = affine(build, rows_of(build, node.operand(0)), coefficients, intercepts, targets)
    if targets == 1 and node.text("post_transform", "NONE") in _TRANSFORMS:
        return [scores]  # onnxruntime transforms only several
    return [transformed(build, node, scores)]


def _regressor_samples() -> Iterator[Sample]:
    x = samples.draw((5, 4), DType.FLOAT)
    for post in ("NONE", "LOGISTIC", "SOFTMAX"):
        chosen = {"post_transform": post}
        yield Sample((x,), {**chosen, "coefficients": _weights(4), "intercepts": _weights(1, 1)})
        yield Sample((x,), {**chosen, "coefficients": _weights(8), "intercepts": _weights(2, 1), "targets": 2})
        yield Sample((x,), {**chosen, "coefficients": _weights(8), "targets": 2})


# -- Normalizer, Scaler, Binarizer, Imputer --------------------------------------------------------------------


def _same_shape(to: DType | None) -> InferRule:
    def infer(context: Infer) -> Sequence[Type]:
        t = tensor_like(context)
        return [TensorType(to or t.dtype, t.shape)]

    return infer


def _normalizer(build: Build, node: Node) -> Sequence[Value]:
    x, norm = cast(build, node.operand(0), DType.FLOAT), node.text("norm", "MAX")
    if norm in ("L1", "L2"):
        return [build.op("LpNormalization", x, axis=-1, p=int(norm[1]))]
    if norm != "MAX":
        raise NoRowError(f"norm {norm}")
    most = build.op("ReduceMax", x, ints(build, -1), keepdims=1)
    none = build.op("Equal", most, number(build, 0, DType.FLOAT))
    return [build.op("Div", x, build.op("Where", none, number(build, 1, DType.FLOAT), most))]


def _normalizer_samples() -> Iterator[Sample]:
    for dtype in _NUMBERS:
        x = samples.draw((5, 4), dtype)
        x[2] = 0
        for norm in ("L1", "L2", "MAX"):
            yield Sample((x,), {"norm": norm})
            yield Sample((x[0],), {"norm": norm})


def _scaler(build: Build, node: Node) -> Sequence[Value]:
    """In float64 where that is the input's type."""
    wide = node.operand(0).dtype if node.operand(0).dtype is DType.DOUBLE else DType.FLOAT
    x = cast(build, node.operand(0), wide)
    offset, scale = (float_attribute(node, name).astype(wide.numpy) for name in ("offset", "scale"))
    if offset.size:
        x = build.op("Sub", x, build.constant(offset))
    if scale.size:
        x = build.op("Mul", x, build.constant(scale))
    return [cast(build, x, DType.FLOAT)]


def _scaler_samples() -> Iterator[Sample]:
    for dtype in _NUMBERS:
        x = samples.draw((5, 4), dtype)
        yield Sample((x,), {"offset": _weights(4), "scale": _weights(4, 1)})
        yield Sample((x,), {"offset": (0.5,), "scale": (0.25,)})


def _binarizer(build: Build, node: Node) -> Sequence[Value]:
    x = node.operand(0)
    if not x.dtype.is_float:
        raise NoRowError("a fraction as the threshold of integers")
    above = build.op("Greater", x, number(build, float(node.attr("threshold", 0.0)), x.dtype))
    return [cast(build, above, x.dtype)]


def _binarizer_samples() -> Iterator[Sample]:
    x = samples.draw((5, 4), DType.FLOAT)
    for threshold in (0.0, float(x[1, 1]), -2.5):
        yield Sample((x,), {"threshold": threshold})


def _imputer(build: Build, node: Node) -> Sequence[Value]:
    x = node.operand(0)
    if x.dtype.is_float:
        fills, absent = float_attribute(node, "imputed_value_floats"), float(node.attr("replaced_value_float", 0.0))
    else:
        fills = np.asarray(node.attr("imputed_value_int64s", ()), np.int64)
        absent = int(node.attr("replaced_value_int64", 0))
    if not fills.size or (not x.dtype.is_float and x.dtype is not DType.INT64):
        raise NoRowError("nothing to impute of this type")
    missing = build.op("IsNaN", x) if np.isnan(absent) else build.op("Equal", x, number(build, absent, x.dtype))
    return [build.op("Where", missing, build.constant(fills.astype(x.dtype.numpy)), x)]


def _imputer_samples() -> Iterator[Sample]:
    x = samples.draw((5, 4), DType.FLOAT)
    x[0, 1] = x[3, 2] = np.nan
    yield Sample((x,), {"imputed_value_floats": _weights(4), "replaced_value_float": float("nan")})
    yield Sample((x,), {"imputed_value_floats": (0.5,), "replaced_value_float": float(x[1, 1])})
    n = samples.draw((5, 4), DType.INT64)
    yield Sample((n,), {"imputed_value_int64s": (9,), "replaced_value_int64": int(n[0, 0])})


# -- choosing and joining features -----------------------------------------------------------------------------


def _extractor_infer(context: Infer) -> Sequence[Type]:
    t, count = tensor_like(context), context.shape(1)
    shape = context.shape(0)
    picked: Dim = 1
    for d in count:
        picked = picked * d
    return [TensorType(t.dtype, (*(shape[:-1] if len(shape) > 1 else (1,)), picked))]


def _extractor(build: Build, node: Node) -> Sequence[Value]:
    x, places = node.operand(0), reshape(build, node.operand(1), -1)
    picked = build.op("Gather", x, places, axis=-1)
    return [picked if x.rank > 1 else unsqueeze(build, picked, 0)]


def _extractor_samples() -> Iterator[Sample]:
    for dtype in _NUMBERS:
        yield Sample((samples.draw((3, 4), dtype), np.array([[2, 0, 3]])))
        yield Sample((samples.draw((4,), dtype), np.array([[1, 1]])))


def _vectorizer_infer(context: Infer) -> Sequence[Type]:
    return [TensorType(DType.FLOAT, (rows_infer(context), sum(int(n) for n in _widths(context.node))))]


def _widths(node: Node) -> Sequence[int]:
    return tuple(node.attr("inputdimensions", ()))


def _vectorizer(build: Build, node: Node) -> Sequence[Value]:
    parts = [rows_of(build, v) for v in node.inputs if v is not None]
    if [p.shape[1] for p in parts] != list(_widths(node)):
        raise NoRowError("parts of other widths than inputdimensions says")
    return [concat(build, parts, 1)]


def _vectorizer_samples() -> Iterator[Sample]:
    for dtype in _NUMBERS:
        parts = samples.draw((3, 4), dtype), samples.draw((3, 2), dtype, seed=1)
        yield Sample(parts, {"inputdimensions": (4, 2)})


# -- OneHotEncoder ---------------------------------------------------------------------------------------------


def _encoder_infer(context: Infer) -> Sequence[Type]:
    node = context.node
    names = node.attr("cats_int64s") or node.attr("cats_strings") or ()
    return [TensorType(DType.FLOAT, (*context.shape(0), len(names)))]


def _encoder_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    x, names = np.asarray(inputs[0]), node.attr("cats_int64s") or node.attr("cats_strings") or ()
    given = x if x.dtype == object else x.astype(np.int64)
    found = np.equal(given[..., None], np.array([*names], given.dtype)).astype(bool)
    if not node.attr("zeros", 1) and not found.any(-1).all():
        raise ExecutionError(f"{node}: its input 0 has {given[~found.any(-1)][0]!r}, which is none of its categories")
    return [found.astype(np.float32)]


def _encoder(build: Build, node: Node) -> Sequence[Value]:
    x, texts = node.operand(0), node.attr("cats_strings")
    names = node.attr("cats_int64s") or ()
    if not node.attr("zeros", 1) or not (texts if x.dtype is DType.STRING else names):
        raise NoRowError("categories of which each must be known, or none")
    if x.dtype is DType.STRING:
        names = tuple(range(len(texts)))
        x = build.op(
            "LabelEncoder", x, domain=ML_DOMAIN, keys_strings=texts, values_int64s=names, default_int64=-1,
        )  # fmt: skip
    places = unsqueeze(build, cast(build, x, DType.INT64), x.rank)
    return [cast(build, build.op("Equal", places, ints(build, *names)), DType.FLOAT)]


def _encoder_samples() -> Iterator[Sample]:
    for dtype in (DType.FLOAT, DType.DOUBLE, DType.INT64):
        x = samples.draw((3, 2), dtype)
        yield Sample((x,), {"cats_int64s": (-1, 3, 0, 2), "zeros": 1})
    words = samples.draw((2, 3, 2), DType.STRING)
    yield Sample((words,), {"cats_strings": (str(words[0, 0, 0]), "absent"), "zeros": 1})
    words = np.array([["a", "zz"], ["", "ü"], ["none", "a"]], object)
    yield Sample((words,), {"cats_strings": ("a", "ü", "zz"), "zeros": 1})


_PRODUCT = Tolerance("product", 8)
_RULES: Sequence[tuple[str, InferRule, DecomposeRule, Callable[[], Iterator[Sample]], Tolerance]] = (
    ("LinearClassifier", classifier_infer, _classifier, _classifier_samples, _PRODUCT),
    ("LinearRegressor", _regressor_infer, _regressor, _regressor_samples, _PRODUCT),
    ("Normalizer", _same_shape(DType.FLOAT), _normalizer, _normalizer_samples, Tolerance("ulp", 4)),
    ("Scaler", _same_shape(DType.FLOAT), _scaler, _scaler_samples, Tolerance("ulp", 1)),
    ("Binarizer", _same_shape(None), _binarizer, _binarizer_samples, Tolerance()),
    ("Imputer", _same_shape(None), _imputer, _imputer_samples, Tolerance()),
    ("ArrayFeatureExtractor", _extractor_infer, _extractor, _extractor_samples, Tolerance()),
    ("FeatureVectorizer", _vectorizer_infer, _vectorizer, _vectorizer_samples, Tolerance()),
)

RECORDS: tuple[OpRecord, ...] = (
    *(
        OpRecord(
            op=op, domain=ML_DOMAIN, infer=infer, evaluate=evaluated(rule), decompose=rule, samples=drawn,
            tolerance=tolerance,
        )
        for op, infer, rule, drawn, tolerance in _RULES
    ),
    OpRecord(
        op="OneHotEncoder", domain=ML_DOMAIN, infer=_encoder_infer, evaluate=_encoder_evaluate, decompose=_encoder,
        samples=_encoder_samples,
    ),
)  # fmt: skip
