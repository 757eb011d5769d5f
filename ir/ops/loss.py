"""The losses that inference models may still carry: negative log likelihood and softmax cross entropy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.composite import cast, ints, number, through_decomposition, unsqueeze
from arenaut.ir.record import Build, Infer, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

_SUMS = Tolerance("product", 8)


def _reduction(node: Node) -> str:
    return node.text("reduction", "mean")


def _infer(context: Infer) -> Sequence[Type]:
    node, kind = context.node, context.dtype(0)
    loss = TensorType(kind, context.shape(1) if _reduction(node) == "none" else ())
    return [loss, context.type(0)][: len(node.outputs)]


def _likelihood(build: Build, node: Node, log_probabilities: Value, target: Value, weight: Value | None) -> Value:
    """The loss of log probabilities [N, C, ...] for the classes of target [N, ...]. Ignored targets weigh nothing."""
    kind, ignored = log_probabilities.dtype, node.attr("ignore_index")
    target = cast(build, target, DType.INT64)
    mask: Value | None = None
    if ignored is not None:
        mask = build.op("Equal", target, number(build, int(ignored), DType.INT64))
        target = build.op("Where", mask, number(build, 0, DType.INT64), target)
    picked = build.op("GatherElements", log_probabilities, unsqueeze(build, target, 1), axis=1)
    loss = build.op("Neg", build.op("Squeeze", picked, ints(build, 1)))
    weights = None if weight is None else build.op("Gather", weight, target, axis=0)
    if mask is not None:
        given = number(build, 1, kind) if weights is None else weights
        weights = build.op("Where", mask, number(build, 0, kind), given)
    if weights is not None:
        loss = build.op("Mul", loss, weights)
    if _reduction(node) == "none":
        return loss
    if _reduction(node) == "sum":
        return build.op("ReduceSum", loss, keepdims=0)
    if weights is None:
        return build.op("ReduceMean", loss, keepdims=0)
    total = build.op("ReduceSum", loss, keepdims=0)
    return build.op("Div", total, build.op("ReduceSum", weights, keepdims=0))


def _likelihood_decompose(build: Build, node: Node) -> Sequence[Value]:
    return [_likelihood(build, node, node.operand(0), node.operand(1), node.input(2))]


def _entropy_decompose(build: Build, node: Node) -> Sequence[Value]:
    log_probabilities = build.op("LogSoftmax", node.operand(0), axis=1)
    loss = _likelihood(build, node, log_probabilities, node.operand(1), node.input(2))
    return [loss, log_probabilities][: len(node.outputs)]


def _samples(outputs: int) -> Any:
    def generate() -> Iterator[Sample]:
        for dtype in (DType.FLOAT, DType.DOUBLE):
            for shape in ((4, 5), (3, 5, 2), (2, 5, 3, 2)):
                scores, weight = samples.draw(shape, dtype), samples.draw((5,), dtype, 0.5, 2, seed=1)
                target = np.abs(samples.draw((shape[0], *shape[2:]), DType.INT64, 0, 4, seed=2))
                for reduction in ("none", "sum", "mean"):
                    for chosen in ({"reduction": reduction}, {"reduction": reduction, "ignore_index": 1}):
                        yield Sample((scores, target), chosen, outputs)
                        yield Sample((scores, target, weight), chosen, outputs)

    return generate


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="NegativeLogLikelihoodLoss", infer=_infer, evaluate=through_decomposition(_likelihood_decompose),
        decompose=_likelihood_decompose, tolerance=_SUMS, samples=_samples(1),
    ),
    OpRecord(
        op="SoftmaxCrossEntropyLoss", infer=_infer, evaluate=through_decomposition(_entropy_decompose),
        decompose=_entropy_decompose, tolerance=_SUMS, samples=_samples(2),
    ),
)  # fmt: skip
