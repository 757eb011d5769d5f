"""Einsum: pairwise matrix products over transposed and regrouped operands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dims import Dim, product
from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import Node, Value
from arenaut.ir.ops.matmul import PRODUCT, differ
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import broadcast_dim, to_dtype, widen
from arenaut.ir.ops.support.composite import (
    cast,
    counting,
    dims_of,
    ints,
    length_of,
    merged_dim,
    number,
    reshape,
    transpose,
    unsqueeze,
)
from arenaut.ir.record import Build, Infer, NoRowError, OpRecord, Sample
from arenaut.ir.types import Shape, TensorType, Type
from arenaut.plain import dataclass

Labels = tuple[str, ...]  # one label a dim; the dims of an ellipsis are "...0", "...1", ... from the left


@dataclass(frozen=True)
class Equation:
    operands: tuple[Labels, ...]
    result: Labels


def parse(equation: str, ranks: Sequence[int]) -> Equation:
    """The labels of each dim. Raises ValueError where the equation does not fit operands of these ranks."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise RuleError(f"'{equation}' has {len(terms)} terms for {len(ranks)} operands")
    counts = [rank - len(t.replace("...", "")) for t, rank in zip(terms, ranks, strict=True)]
    if any(c < 0 or (c > 0 and "..." not in t) for t, c in zip(terms, counts, strict=True)):
        raise RuleError(f"'{equation}' does not fit operands of ranks {tuple(ranks)}")
    widest = max((c for t, c in zip(terms, counts, strict=True) if "..." in t), default=0)

    def labels(term: str, count: int) -> Labels:
        before, dots, after = term.partition("...")
        spread = [f"...{i}" for i in range(widest - count, widest)] if dots else []
        return (*before, *spread, *after)

    operands = tuple(labels(t, c) for t, c in zip(terms, counts, strict=True))
    if arrow:
        result = labels(right, widest)
    else:
        letters = sorted(x for x in left if x.isalpha())
        result = (*[f"...{i}" for i in range(widest)], *(x for x in letters if letters.count(x) == 1))
    if len(set(result)) < len(result) or not set(result) <= {x for o in operands for x in o}:
        raise RuleError(f"the result of '{equation}' repeats an index, or has one that no operand has")
    return Equation(operands, result)


def _extents(equation: Equation, shapes: Sequence[Shape]) -> dict[str, Dim]:
    """The extent of each label. Raises ValueError where known dims contradict."""
    extents: dict[str, Dim] = {}
    for labels, shape in zip(equation.operands, shapes, strict=True):
        for label, d in zip(labels, shape, strict=True):
            merged = broadcast_dim(extents.get(label, 1), d)
            if merged is None:
                raise RuleError(f"index '{label}' is {extents[label]} in one operand and {d} in another")
            extents[label] = merged
    return extents


def _infer(context: Infer) -> Sequence[Type]:
    shapes = [context.shape(i) for i in range(len(context.node.inputs))]
    try:
        equation = parse(context.node.text("equation"), [len(s) for s in shapes])
        extents = _extents(equation, shapes)
    except RuleError as error:
        raise context.fail(str(error)) from None
    return [TensorType(context.dtype(0), tuple(extents[label] for label in equation.result))]


def _evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    operands = [widen(np.asarray(x)) for x in inputs]
    with np.errstate(all="ignore"):
        result = np.einsum(node.text("equation").replace(" ", ""), *operands, optimize=len(operands) > 2)
    return [to_dtype(result, np.asarray(inputs[0]).dtype)]


# -- decomposition -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Term:
    """A partial result and the label of each of its dims."""

    value: Value
    labels: Labels

    def ordered(self, build: Build, labels: Labels) -> Value:
        return transpose(build, self.value, [self.labels.index(x) for x in labels])


def _summed(build: Build, term: _Term, kept: set[str]) -> _Term:
    """Without the labels that nothing else needs."""
    axes = [i for i, label in enumerate(term.labels) if label not in kept]
    if not axes:
        return term
    return _Term(_sum_over(build, term.value, axes), tuple(x for x in term.labels if x in kept))


def _sum_over(build: Build, x: Value, axes: Sequence[int]) -> Value:
    """ReduceSum without the axes. The standard sums no integers of less than 32 bits: those wrap afterwards."""
    narrow = x.dtype.is_integer and x.dtype.itemsize < 4
    wide = cast(build, x, DType.INT32) if narrow else x
    return cast(build, build.op("ReduceSum", wide, ints(build, *axes), keepdims=0), x.dtype)


def _contracted(build: Build, a: _Term, b: _Term, kept: set[str]) -> _Term:
    """The product of two terms, summed over the labels that both have and nothing else needs."""
    shared = [x for x in a.labels if x in b.labels]
    batch = tuple(x for x in shared if x in kept)
    inner = tuple(x for x in shared if x not in kept)
    rows = tuple(x for x in a.labels if x not in shared)
    columns = tuple(x for x in b.labels if x not in shared)
    left = a.ordered(build, (*batch, *rows, *inner))
    right = b.ordered(build, (*batch, *inner, *columns))
    n = len(batch)
    if not inner:
        apart = _with_ones(build, right, n, len(rows))
        product_of = build.op("Mul", _with_ones(build, left, left.rank, len(columns)), apart)
        return _Term(product_of, (*batch, *rows, *columns))
    wide_left = _grouped(build, left, n, n + len(rows))
    wide_right = _grouped(build, right, n, n + len(inner))
    result = build.op("MatMul", wide_left, wide_right)
    if (len(rows), len(columns)) != (1, 1):
        parts = [dims_of(build, result, 0, n)] if n else []
        parts += [dims_of(build, left, n, n + len(rows))] if rows else []
        parts += [dims_of(build, right, right.rank - len(columns), right.rank)] if columns else []
        result = reshape(build, result, *parts) if parts else build.op("Squeeze", result, ints(build, 0, 1))
    return _Term(result, (*batch, *rows, *columns))


def _with_ones(build: Build, x: Value, at: int, count: int) -> Value:
    """x with dims of extent one before dim `at`."""
    return unsqueeze(build, x, *range(at, at + count)) if count else x


def _grouped(build: Build, x: Value, batch: int, split: int) -> Value:
    """x [batch..., first..., second...] as [batch..., product of first, product of second]; split starts second."""
    if split - batch == 1 and x.rank - split == 1:
        return x
    lead = [dims_of(build, x, 0, batch)] if batch else []
    return reshape(build, x, *lead, merged_dim(build, x, batch, split), merged_dim(build, x, split, x.rank))


def _diagonal(build: Build, term: _Term) -> _Term:
    """Each repeated label once: what lies off the diagonal is summed as zero."""
    value, labels = term.value, term.labels
    while len(set(labels)) < len(labels):
        again = next(i for i, label in enumerate(labels) if label in labels[:i])
        first = labels.index(labels[again])
        rows, columns = (_places(build, value, axis) for axis in (first, again))
        kept = build.op("Where", build.op("Equal", rows, columns), value, number(build, 0, value.dtype))
        value = _sum_over(build, kept, [again])
        labels = labels[:again] + labels[again + 1 :]
    return _Term(value, labels)


def _places(build: Build, x: Value, axis: int) -> Value:
    """0, 1, 2, ... along one axis of x, of extent one along the others."""
    return unsqueeze(build, counting(build, length_of(build, x, axis)), *(i for i in range(x.rank) if i != axis))


def _check(equation: Equation, shapes: Sequence[Shape]) -> None:
    """Raises NoRowError for summed indices of extent 1 against others."""
    extents = _extents(equation, shapes)
    for labels, shape in zip(equation.operands, shapes, strict=True):
        for label, d in zip(labels, shape, strict=True):
            if label not in equation.result and (differ(d, extents[label]) or (d == 1) != (extents[label] == 1)):
                raise NoRowError("a summed index that is broadcast")


def _decompose(build: Build, node: Node) -> Sequence[Value]:
    operands = [v for v in node.inputs if v is not None]
    equation = parse(node.text("equation"), [v.rank for v in operands])
    _check(equation, [v.shape for v in operands])
    terms = [_diagonal(build, _Term(v, labels)) for v, labels in zip(operands, equation.operands, strict=True)]
    total = terms[0]
    for i, term in enumerate(terms[1:], 1):
        later = set(equation.result).union(*(t.labels for t in terms[i + 1 :]))
        total = _summed(build, total, later | set(term.labels))
        total = _contracted(build, total, _summed(build, term, later | set(total.labels)), later)
    total = _summed(build, total, set(equation.result))
    return [total.ordered(build, equation.result)]


def _flops(node: Node) -> Dim:
    shapes = [v.shape for v in node.inputs if v is not None]
    return 2 * product(list(_extents(parse(node.text("equation"), [len(s) for s in shapes]), shapes).values()))


def _samples() -> Iterator[Sample]:
    cases: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
        ("ij,jk->ik", ((3, 4), (4, 5))), ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))), ("ij->ji", ((3, 4),)),
        ("ij->", ((3, 4),)), ("ij->i", ((3, 4),)), ("i,i->", ((4,), (4,))), ("i,j->ij", ((4,), (3,))),
        ("bhid,bhjd->bhij", ((2, 3, 4, 5), (2, 3, 6, 5))), ("bhij,bhjd->bhid", ((2, 3, 4, 6), (2, 3, 6, 5))),
        ("bqhd,bkhd->bhqk", ((2, 4, 3, 5), (2, 6, 3, 5))), ("...ij,...jk->...ik", ((2, 3, 4), (4, 5))),
        ("...ij,...jk", ((2, 3, 4), (2, 4, 5))), ("ij,jk,kl->il", ((3, 4), (4, 5), (5, 2))), ("ii->i", ((4, 4),)),
        ("abc,cd->abd", ((2, 3, 4), (4, 5))), ("bijk,bjkl->bil", ((2, 3, 4, 5), (2, 4, 5, 6))), 
        ("ba,cb", ((2, 3), (4, 2))), ("ij,ij->ij", ((3, 4), (3, 4))), ("bi,bj->bji", ((2, 3), (2, 4))),
        ("bij,bij->b", ((2, 3, 4), (2, 3, 4))), ("ij,ik->ijk", ((3, 4), (3, 5))), ("bn,anm->abm", ((2, 3), (4, 3, 5))),
    )  # fmt: skip
    for dtype in (DType.FLOAT, DType.DOUBLE, DType.FLOAT16, DType.INT32, DType.INT64):
        for equation, shapes in cases:
            operands = (samples.draw(s, dtype, seed=i) for i, s in enumerate(shapes))
            yield Sample(tuple(operands), {"equation": equation})


RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="Einsum", infer=_infer, evaluate=_evaluate, decompose=_decompose, flops=_flops, tolerance=PRODUCT,
        samples=_samples,
    ),
)  # fmt: skip
