"""Support vector machines of ai.onnx.ml, as products: a matrix of kernels of rows and support vectors, times the
coefficients. Everything is computed in float32, as onnxruntime does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from arenaut.ir.builder import GraphBuilder
from arenaut.ir.dims import Dim
from arenaut.ir.dtypes import DType
from arenaut.ir.graph import ML_DOMAIN, Array, Graph, Node, Value
from arenaut.ir.ops.linear_models import (
    best_label,
    both_scores,
    evaluated,
    float_attribute,
    labels_of,
    rows_infer,
    rows_of,
    transformed,
)
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.composite import cast, concat, ints, number, reshape, slice_of, transpose, unsqueeze
from arenaut.ir.record import Build, Infer, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

_MOST_CLASSES = 64  # whose probabilities are coupled in a graph
_DENSE_CLASSES = 8  # up to which a product with many zeros beats many small products


def _kernels(build: Build, node: Node, x: Value, count: int) -> Value:
    """[rows, count]: the kernel of every row and every support vector."""
    kind = node.text("kernel_type", "LINEAR")
    given = float_attribute(node, "kernel_params")
    gamma, shift, degree = (float(v) for v in given[:3]) if given.size >= 3 else (0.0, 0.0, 0.0)
    stored = float_attribute(node, "support_vectors")
    if stored.size % count:
        raise NoRowError("support vectors of different lengths")
    vectors = stored.reshape(count, -1)
    if kind == "RBF":
        return _radial(build, x, vectors, gamma)
    products = build.op("MatMul", x, build.constant(np.ascontiguousarray(vectors.T)))
    if kind == "LINEAR":
        return products
    scaled = build.op("Mul", products, number(build, gamma, DType.FLOAT))
    moved = build.op("Add", scaled, number(build, shift, DType.FLOAT))
    if kind == "SIGMOID":
        return build.op("Tanh", moved)
    if kind != "POLY":
        raise NoRowError(f"kernel_type {kind}")
    return build.op("Pow", moved, number(build, degree, DType.FLOAT))


def _radial(build: Build, x: Value, vectors: Array, gamma: float) -> Value:
    """exp(-gamma |x - v|^2) from |x|^2 - 2 x v + |v|^2, all seen from the vectors' mean, so that little cancels."""
    middle = vectors.mean(axis=0, dtype=np.float64)
    near = vectors - middle
    centred = build.op("Sub", x, build.constant(middle.astype(np.float32)))
    lengths = build.op("ReduceSumSquare", centred, ints(build, 1), keepdims=1)
    norms = build.constant((near**2).sum(axis=1).astype(np.float32))
    doubled = build.constant(np.ascontiguousarray((-2 * near.T).astype(np.float32)))
    far = build.op("Add", build.op("Gemm", centred, doubled, norms), lengths)
    apart = build.op("Max", far, number(build, 0, DType.FLOAT))
    return build.op("Exp", build.op("Mul", apart, number(build, -gamma, DType.FLOAT)))


# -- SVMRegressor --------------------------------------------------------------------------------------------------


def _regressor_infer(context: Infer) -> Sequence[Type]:
    return [TensorType(DType.FLOAT, (rows_infer(context), 1))]


def _regressor(build: Build, node: Node) -> Sequence[Value]:
    """onnxruntime applies no post_transform here."""
    count, rho = int(node.attr("n_supports", 0)), float_attribute(node, "rho")
    coefficients, x = float_attribute(node, "coefficients"), rows_of(build, node.operand(0))
    if not rho.size or (count and coefficients.size < count):
        raise NoRowError("fewer coefficients than support vectors, or no rho")
    columns = _kernels(build, node, x, count) if count else x
    weights = coefficients[:count] if count else coefficients
    total = build.op("Gemm", columns, build.constant(weights.reshape(-1, 1)), build.constant(rho[:1]))
    if not node.attr("one_class", 0):
        return [total]
    inside = build.op("Greater", total, number(build, 0, DType.FLOAT))
    return [build.op("Where", inside, number(build, 1, DType.FLOAT), number(build, -1, DType.FLOAT))]


# -- SVMClassifier -------------------------------------------------------------------------------------------------


def _pairs(classes: int) -> list[tuple[int, int]]:
    return list(combinations(range(classes), 2))


def _classifier_infer(context: Infer) -> Sequence[Type]:
    """One score a class with probabilities, by linear models and for two classes; else one a pair of classes."""
    node = context.node
    key, labels = labels_of(node)
    rows, each = rows_infer(context), node.attr("vectors_per_class") or ()
    count = len(each) or len(labels)
    pairwise = bool(each) and not node.attr("prob_a") and count > 2
    columns: Dim = len(_pairs(count)) if pairwise else count
    return [TensorType(key, (rows,)), TensorType(DType.FLOAT, (rows, columns))]


def _classifier(build: Build, node: Node) -> Sequence[Value]:
    key, labels = labels_of(node)
    each = [int(n) for n in node.attr("vectors_per_class") or ()]
    pairs, rho = _pairs(len(each)), float_attribute(node, "rho")
    if len(each) < 2 or len(labels) != len(each) or rho.size < len(pairs) or min(each) < 0 or not sum(each):
        raise NoRowError("no support vectors of each class")
    x = rows_of(build, node.operand(0))
    against = _against(build, node, _kernels(build, node, x, sum(each)), each)
    scores = build.op("Add", against, build.constant(rho[: len(pairs)]))
    first = build.op("Greater", scores, number(build, 0, DType.FLOAT))
    votes = np.zeros((len(pairs), len(each)), np.float32)
    for row, (i, j) in zip(votes, pairs, strict=True):
        row[i], row[j] = 1, -1
    taken = build.constant((votes < 0).sum(axis=0).astype(np.float32))
    counted = build.op("Gemm", cast(build, first, DType.FLOAT), build.constant(votes), taken)
    label = best_label(build, counted, key, labels)
    if node.attr("prob_a"):
        return [label, transformed(build, node, _probabilities(build, node, scores, pairs, len(each)))]
    if len(each) == 2:
        if node.text("post_transform", "NONE") == "NONE":
            return [label, concat(build, [build.op("Neg", scores), scores], 1)]
        return [label, both_scores(build, node, scores)]
    return [label, transformed(build, node, scores)]


def _against(build: Build, node: Node, kernels: Value, each: Sequence[int]) -> Value:
    """[rows, pairs]: what the vectors of both classes of a pair sum up to, with the coefficients that they have against
    the other class: row j - 1 of the coefficients is class i against j > i, row i is class j against i."""
    total, classes = sum(each), len(each)
    stored = float_attribute(node, "coefficients")
    if stored.size < (classes - 1) * total:
        raise NoRowError("fewer coefficients than support vectors")
    rows = stored[: (classes - 1) * total].reshape(classes - 1, total)
    starts = np.concatenate([[0], np.cumsum(each)])
    parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]
    pairs = _pairs(classes)
    if classes <= _DENSE_CLASSES:
        weights = np.zeros((total, len(pairs)), np.float32)
        for column, (i, j) in enumerate(pairs):
            weights[parts[i], column] = rows[j - 1, parts[i]]
            weights[parts[j], column] = rows[i, parts[j]]
        return build.op("MatMul", kernels, build.constant(weights))
    blocks = [
        build.op("MatMul", slice_of(build, kernels, 1, p.start, p.stop),
            build.constant(np.ascontiguousarray(rows[:, p].T)))
        for p in parts
    ]  # fmt: skip
    joined, width = concat(build, blocks, 1), classes - 1
    mine = build.op("Gather", joined, ints(build, *(i * width + j - 1 for i, j in pairs)), axis=1)
    theirs = build.op("Gather", joined, ints(build, *(j * width + i for i, j in pairs)), axis=1)
    return build.op("Add", mine, theirs)


# -- probabilities of classes from those of pairs --------------------------------------------------------------


def _probabilities(
    build: Build, node: Node, scores: Value, pairs: Sequence[tuple[int, int]], classes: int
) -> Value:  # fmt: skip
    """Wu, Lin and Weng, Probability Estimates for Multi-class Classification by Pairwise Coupling (2004), the second
    method, iterated until libsvm would stop."""
    slopes, shifts = float_attribute(node, "prob_a"), float_attribute(node, "prob_b")
    if min(slopes.size, shifts.size) < len(pairs) or classes > _MOST_CLASSES:
        raise NoRowError("fewer probabilities than pairs of classes, or too many classes")
    tilted = build.op("Mul", scores, build.constant(slopes[: len(pairs)]))
    lean = build.op("Sigmoid", build.op("Neg", build.op("Add", tilted, build.constant(shifts[: len(pairs)]))))
    edge = np.float32(1e-7)
    p = build.op("Clip", lean, build.constant(np.array(edge)), build.constant(np.array(np.float32(1) - edge)))
    q = build.op("Sub", number(build, 1, DType.FLOAT), p)
    place = {**{pair: k for k, pair in enumerate(pairs)}, **{(j, i): k + len(pairs) for k, (i, j) in enumerate(pairs)}}
    order = [place.get((i, j), 0) for i in range(classes) for j in range(classes)]
    # Classes go first, so that a step takes all rows side by side.
    both = transpose(build, concat(build, [p, q], 1), (1, 0))
    square = reshape(build, build.op("Gather", both, ints(build, *order), axis=0), classes, classes, -1)
    identity = np.eye(classes, dtype=np.float32)[:, :, None]
    won = build.op("Mul", square, build.constant(1 - identity))
    lost = transpose(build, won, (1, 0, 2))
    squares = build.op("ReduceSumSquare", lost, ints(build, 1), keepdims=1)
    crossed = build.op("Mul", squares, build.constant(identity))
    matrix = build.op("Sub", crossed, build.op("Mul", won, lost))
    diagonal = build.op("Squeeze", squares, ints(build, 1))
    start = build.op("Expand", number(build, 1 / classes, DType.FLOAT), build.op("Shape", diagonal))
    most = number(build, max(100, classes), DType.INT64)
    body = _coupling(start, matrix, diagonal, classes)
    coupled = build.op("Loop", most, None, start, matrix, diagonal, body=body, captures=2)
    return transpose(build, coupled, (1, 0))


def _coupling(start: Value, matrix: Value, diagonal: Value, classes: int) -> Graph:
    """One trip: the rows that are not at rest yet take a step along each class in turn."""
    graph = Graph("coupling")
    graph.add_input("trip", TensorType(DType.INT64, ()))
    graph.add_input("go", TensorType(DType.BOOL, ()))
    p, m, d = (graph.add_input(n, v.type) for n, v in (("p", start), ("m", matrix), ("d", diagonal)))
    build = GraphBuilder(graph)
    unit = number(build, 1, DType.FLOAT)
    pull = build.op("ReduceSum", build.op("Mul", m, unsqueeze(build, p, 0)), ints(build, 1), keepdims=0)
    mean = build.op("ReduceSum", build.op("Mul", p, pull), ints(build, 0), keepdims=1)
    off = build.op("ReduceMax", build.op("Abs", build.op("Sub", pull, mean)), ints(build, 0), keepdims=1)
    moving = build.op("GreaterOrEqual", off, number(build, 0.005 / classes, DType.FLOAT))
    now = p
    for t in range(classes):
        at, pulled = slice_of(build, d, 0, t, t + 1), slice_of(build, pull, 0, t, t + 1)
        step = build.op("Div", build.op("Sub", mean, pulled), at)
        grown = build.op("Add", step, unit)
        bent = build.op("Add", build.op("Mul", step, at), build.op("Add", pulled, pulled))
        mean = build.op("Div", build.op("Add", mean, build.op("Mul", step, bent)), build.op("Mul", grown, grown))
        here = build.constant(np.eye(classes, dtype=np.float32)[:, t : t + 1])
        now = build.op("Div", build.op("Add", now, build.op("Mul", step, here)), grown)
        row = build.op("Squeeze", slice_of(build, m, 0, t, t + 1), ints(build, 0))
        pull = build.op("Div", build.op("Add", pull, build.op("Mul", step, row)), grown)
    graph.outputs = [build.op("ReduceMax", moving, keepdims=0), build.op("Where", moving, now, p)]
    return graph


# -- samples -------------------------------------------------------------------------------------------------------


def _draws(count: int, seed: int, low: float = -1) -> tuple[float, ...]:
    return tuple(float(v) for v in samples.draw((count,), DType.FLOAT, low, 1, seed=seed))


def _shared(kernel: str, vectors: int) -> dict[str, Any]:
    return {
        "kernel_type": kernel, "kernel_params": (0.25, 0.5, 3.0), "support_vectors": _draws(4 * vectors, 1),
    }  # fmt: skip


_KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")


def _regressor_samples() -> Iterator[Sample]:
    x = samples.draw((6, 4), DType.FLOAT)
    for kernel in _KERNELS:
        chosen = {**_shared(kernel, 5), "n_supports": 5, "coefficients": _draws(5, 2), "rho": (0.25,)}
        yield Sample((x,), chosen)
        yield Sample((x,), {**chosen, "one_class": 1})
    yield Sample((x,), {"kernel_params": (0.0, 0.0, 0.0), "coefficients": _draws(4, 3), "rho": (0.5,)})


def _classifier_samples() -> Iterator[Sample]:
    x = samples.draw((6, 4), DType.FLOAT)
    for classes in (2, 3, 4, 9):
        each, pairs = tuple(2 + c % 2 for c in range(classes)), classes * (classes - 1) // 2
        shared = {
            **_shared("RBF", sum(each)), "vectors_per_class": each, "rho": _draws(pairs, 4),
            "coefficients": _draws(sum(each) * (classes - 1), 5),
        }  # fmt: skip
        numbered = {**shared, "classlabels_ints": tuple(range(3, 3 + classes))}
        for post in ("NONE", "LOGISTIC", "SOFTMAX"):
            yield Sample((x,), {**numbered, "post_transform": post}, 2)
        certain = {"prob_a": _draws(pairs, 6, -3), "prob_b": _draws(pairs, 7)}
        yield Sample((x,), {**numbered, **certain}, 2)
        yield Sample((x,), {**shared, **certain, "classlabels_strings": tuple("abcdefghi"[:classes])}, 2)
    for kernel in _KERNELS:
        yield Sample((x,), {**numbered, "kernel_type": kernel}, 2)


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="SVMRegressor", domain=ML_DOMAIN, infer=_regressor_infer, evaluate=evaluated(_regressor),
        decompose=_regressor, samples=_regressor_samples, tolerance=Tolerance("product", 8),
    ),
    OpRecord(
        op="SVMClassifier", domain=ML_DOMAIN, infer=_classifier_infer, evaluate=evaluated(_classifier),
        decompose=_classifier, samples=_classifier_samples, tolerance=Tolerance("product", 8),
    ),
)  # fmt: skip
