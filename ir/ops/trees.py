"""Tree ensembles of ai.onnx.ml, by one table of nodes and leaves that the kernel walks.

What onnxruntime does where the standard is silent is done alike: one target is never transformed, and of two classes
with one score the signs of the weights decide what that score means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arenaut.ir.dtypes import DType
from arenaut.ir.errors import RuleError
from arenaut.ir.graph import ML_DOMAIN, Array, Node, Value
from arenaut.ir.ops.linear_models import (
    best_label,
    both_scores,
    classifier_infer,
    float_attribute,
    labels_of,
    rows_infer,
    rows_of,
    transformed,
    two_labels,
)
from arenaut.ir.ops.support import samples
from arenaut.ir.ops.support.common import ranked, to_dtype
from arenaut.ir.ops.support.composite import cast, concat, number, through_decomposition
from arenaut.ir.ops.support.tree_table import MODES, NODE_COLUMNS, Table, listed, table_of
from arenaut.ir.record import Build, Infer, Lower, NoRowError, OpRecord, Sample, Tolerance
from arenaut.ir.types import TensorType, Type

# At the numbers of the C enumeration, which are those of TreeEnsemble.
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


# -- raw scores ------------------------------------------------------------------------------------------------


def _scores(table: Table, x: Array, outputs: int, aggregate: int) -> Array:
    """[rows, outputs] in the type of x, one tree after the other; 0 where no leaf gave anything."""
    out = np.zeros((len(x), outputs), x.dtype)
    seen = np.zeros((len(x), outputs), bool)
    for root in table.roots:
        at = np.full(len(x), root, np.int64)
        while (walking := at >= 0).any():
            rows, nodes = np.nonzero(walking)[0], at[walking]
            value, split = x[rows, table.nodes[nodes, 0]], table.splits.astype(x.dtype)[nodes]
            yes = _compared(table.nodes[nodes, 1], value, split) | ((table.nodes[nodes, 2] != 0) & np.isnan(value))
            at[rows] = np.where(yes, table.nodes[nodes, 3], table.nodes[nodes, 4])
        for row, leaf in enumerate(~at):
            for w in range(table.leaves[leaf], table.leaves[leaf + 1]):
                target, weight = table.targets[w], table.weights.astype(x.dtype)[w]
                best = {2: min, 3: max}.get(aggregate)
                if best is None:
                    out[row, target] += weight
                else:
                    out[row, target] = best(out[row, target], weight) if seen[row, target] else weight
                seen[row, target] = True
    return np.asarray(out / x.dtype.type(max(1, len(table.roots)) if aggregate == 0 else 1))


def _compared(modes: Array, value: Array, split: Array) -> Array:
    chosen = [value <= split, value < split, value >= split, value > split, value == split, value != split]
    return np.asarray(np.select([modes == i for i in range(6)], chosen))


def _aggregate(node: Node) -> int:
    """SUM by default in all forms."""
    found = node.attr("aggregate_function", "SUM")
    return (
        int(found) if isinstance(found, (int, np.integer)) else AGGREGATES.index(node.text("aggregate_function", "SUM"))
    )


def _post(node: Node) -> str:
    found = node.attr("post_transform", "NONE")
    return _TRANSFORMS[int(found)] if isinstance(found, (int, np.integer)) else node.text("post_transform", "NONE")


def _checked(context: Infer, outputs: int) -> None:
    """Refuses attributes that form no trees, or trees over features and targets that are not there."""
    node, width = context.node, ranked(context, 0, 1, 2)[-1]
    if not 0 < outputs < 1 << 24:
        raise context.fail(f"{outputs} targets")
    try:
        table = table_of(node)
        _aggregate(node)
        _post(node)
    except RuleError as error:
        raise context.fail(f"its attributes form no trees: {error}") from None
    except NoRowError:
        return
    if table.targets.size and int(table.targets.max()) >= outputs:
        raise context.fail(f"a leaf gives to target {table.targets.max()} of {outputs}")
    if isinstance(width, int) and table.nodes.size and int(table.nodes[:, 0].max()) >= width:
        raise context.fail(f"a node reads feature {table.nodes[:, 0].max()} of {width}")


def _is_plain(node: Node) -> bool:
    """Whether the sums over the leaves are the result."""
    x = node.operand(0)
    several = _outputs(node) > 1 or node.op == "TreeEnsemble"
    base = float_attribute(node, "base_values").size or np.size(node.attr("base_values_as_tensor", ()))
    return (
        x.rank == 2 and x.dtype in (DType.FLOAT, DType.DOUBLE) and not base and not (several and _post(node) != "NONE")
    )


def _outputs(node: Node) -> int:
    return int(node.attr("n_targets", 1) or 1)


def _sums_lower(lower: Lower, node: Node) -> None:
    if not _is_plain(node) or (_outputs(node) == 1 and _post(node) == "PROBIT"):
        raise NoRowError("what comes after the sums is expressed by other ops")
    x = lower.read(node.operand(0))
    operands = [x, *(lower.constant(a) for a in table_of(node).arrays(x.dtype.numpy))]
    lower.call("Trees", operands, [lower.write(node.output)], {"aggregate": _aggregate(node)})


def _sums(build: Build, node: Node, x: Value, stem: str, outputs: int) -> Value:
    """The raw scores of another node's trees."""
    kept = {k: v for k, v in node.attributes.items() if k.startswith("nodes_")}
    for name in ("treeids", "nodeids", "ids", "weights", "weights_as_tensor"):
        kept[f"target_{name}"] = node.attr(f"{stem}_{name}")
    return build.op("TreeEnsembleRegressor", x, domain=ML_DOMAIN, n_targets=outputs, post_transform="NONE",
        aggregate_function=AGGREGATES[_aggregate(node)], **kept,
    )  # fmt: skip


def _scored_rows(build: Build, node: Node) -> Value:
    """The input as rows of float32 or float64."""
    x = node.operand(0)
    return x if x.rank == 2 and x.dtype is DType.DOUBLE else rows_of(build, x)


# -- TreeEnsembleRegressor, TreeEnsemble -------------------------------------------------------------------------


def _regressor_infer(context: Infer) -> Sequence[Type]:
    outputs = _outputs(context.node)
    _checked(context, outputs)
    exact = context.node.op == "TreeEnsemble"
    return [TensorType(context.dtype(0) if exact else DType.FLOAT, (rows_infer(context), outputs))]


def _regressor(build: Build, node: Node) -> Sequence[Value]:
    if _is_plain(node):
        raise NoRowError("nothing to express by other ops")
    if node.op == "TreeEnsemble":
        plain = {k: v for k, v in node.attributes.items() if k != "post_transform"}
        if _post(node) not in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO") or node.operand(0).dtype.itemsize < 4:
            raise NoRowError(f"post_transform {_post(node)} of {node.operand(0).dtype.short}")
        scores = build.op(node.op, node.operand(0), domain=ML_DOMAIN, post_transform=0, **plain)
        return [transformed(build, node, scores, _post(node))]
    outputs, base = _outputs(node), listed(node, "base_values", np.float32)
    if base.size not in (0, outputs):
        raise NoRowError("targets and base values of different number")
    x = _scored_rows(build, node)
    scores = _sums(build, node, x, "target", outputs)
    if base.size:
        scores = build.op("Add", scores, _base(build, node, x, base))
    return [transformed(build, node, scores) if outputs > 1 else scores]


def _base(build: Build, node: Node, x: Value, base: Array) -> Value:
    """What is added to the sums. As in onnxruntime, one of several targets that no leaf of a row names gets nothing."""
    if base.size == 1 or all(table_of(node).always(i) for i in range(base.size)):
        return build.constant(base)
    named = cast(build, _named(build, node, x, "target", base.size), DType.FLOAT)
    return build.op("Mul", named, build.constant(base))


def _named(build: Build, node: Node, x: Value, stem: str, outputs: int) -> Value:
    """Whether a leaf of the row names the target: [rows, outputs], bool."""
    ones: dict[str, Any] = {"aggregate_function": "SUM", f"{stem}_weights_as_tensor": None}
    ones[f"{stem}_weights"] = np.ones(len(table_of(node).weights), np.float32)
    counted = Node(node.op, node.inputs, node.outputs, {**node.attributes, **ones}, domain=node.domain, name=node.name)
    return build.op("Greater", _sums(build, counted, x, stem, outputs), number(build, 0, DType.FLOAT))


def _regressor_evaluate(node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    from arenaut.ir.ops.support.fallback import evaluate_reference

    if _is_plain(node) and _post(node) != "PROBIT":
        try:
            table = table_of(node)
        except NoRowError:
            return evaluate_reference(node, inputs)
        scores = _scores(table, np.asarray(inputs[0]), _outputs(node), _aggregate(node))
        return [to_dtype(scores, np.asarray(inputs[0]).dtype if node.op == "TreeEnsemble" else np.dtype(np.float32))]
    return _through(_regressor, node, inputs)


def _through(rule: Any, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    from arenaut.ir.ops.support.fallback import evaluate_reference

    return through_decomposition(rule, evaluate_reference)(node, inputs)


# -- TreeEnsembleClassifier ------------------------------------------------------------------------------------


def _classes_infer(context: Infer) -> Sequence[Type]:
    found = classifier_infer(context, "classlabels_int64s")
    _checked(context, len(labels_of(context.node, "classlabels_int64s")[1]))
    return found


def _classes(build: Build, node: Node) -> Sequence[Value]:
    key, labels = labels_of(node, "classlabels_int64s")
    base = listed(node, "base_values", np.float32)
    x = _scored_rows(build, node)
    if len(labels) == 2:
        return _two_classes(build, node, x, base)
    if len(labels) < 2 or base.size not in (0, len(labels)):
        raise NoRowError("labels and base values of different number")
    scores = _sums(build, node, x, "class", len(labels))
    if base.size:
        scores = build.op("Add", scores, build.constant(base))
    return [best_label(build, _ranked(build, node, x, scores, bool(base.size)), key, labels),
            transformed(build, node, scores)]  # fmt: skip


def _ranked(build: Build, node: Node, x: Value, scores: Value, has_base: bool) -> Value:
    """What the label is chosen by: as in onnxruntime, a class that no leaf of a row names is none to choose."""
    table, classes = table_of(node), range(len(labels_of(node, "classlabels_int64s")[1]))
    if has_base or all(table.always(i) for i in classes):
        return scores
    named = _named(build, node, x, "class", len(classes))
    return build.op("Where", named, scores, number(build, -np.inf, DType.FLOAT))


def _two_classes(build: Build, node: Node, x: Value, base: Array) -> Sequence[Value]:
    key, labels = labels_of(node, "classlabels_int64s")
    table, ids = table_of(node), np.unique(listed(node, "class_ids", np.int64)).tolist()
    if not ids or base.size > 2:
        raise NoRowError("no scores, or more base values than classes")
    scores = _sums(build, node, x, "class", 2)
    if ids != [0] or base.size == 2:
        return _two_scores(build, node, x, [_column(build, scores, i) for i in (0, 1)], base)
    if not table.always(0):
        raise NoRowError("scores that only some rows have")
    score = _column(build, scores, 0)
    if base.size:
        score = build.op("Add", score, build.constant(base))
    above = build.op("Greater", score, number(build, _threshold(table), DType.FLOAT))
    if _threshold(table) == 0 and node.text("post_transform", "NONE") not in ("LOGISTIC", "PROBIT"):
        return [two_labels(build, above, key, labels), concat(build, [build.op("Neg", score), score], 1)]
    return [two_labels(build, above, key, labels), both_scores(build, node, score)]


def _column(build: Build, scores: Value, index: int) -> Value:
    return build.op("Gather", scores, build.constant(np.array([index])), axis=1)


def _threshold(table: Table) -> float:
    """What the one score of two classes must exceed for the second: positive weights are probabilities."""
    return 0.5 if bool((table.weights >= 0).all()) else 0.0


def _two_scores(build: Build, node: Node, x: Value, scores: Sequence[Value], base: Array) -> Sequence[Value]:
    """onnxruntime's rule for weights of both classes, or of the second: the standard has none. A row of the second
    class is told by that class's score; with two base values, by the first one's and the second base value. Any other
    row is told by the first class's score alone."""
    key, labels = labels_of(node, "classlabels_int64s")
    (first, second), (named_0, named_1) = scores, _who_is_named(build, node, x)
    zero = build.op("Expand", number(build, 0, DType.FLOAT), build.op("Shape", first))
    if base.size == 2:
        second, alone = (build.op("Add", first, build.constant(b)) for b in (base[1:], base[:1]))
        both = [_chosen(build, named_0, build.op("Neg", second), zero), second]
        other = [_chosen(build, named_0, alone, zero), zero]
    else:
        alone = build.op("Add", first, build.constant(base)) if base.size else first
        both = [_chosen(build, named_0, alone, zero), second]
        other = [_chosen(build, named_0, alone, zero)]
    told = _chosen(build, named_1, second, other[0])
    one_class = np.unique(listed(node, "class_ids", np.int64)).size == 1
    above = build.op("Greater", told, number(build, _threshold(table_of(node)) if one_class else 0, DType.FLOAT))
    label = two_labels(build, above, key, labels if one_class or key is DType.STRING else (0, 1))
    written = concat(build, [_chosen(build, named_1, b, o) for b, o in zip(both, [*other, zero], strict=False)], 1)
    written = transformed(build, node, written)
    if base.size < 2 and named_1 is not True:
        alone = concat(build, [other[0], zero], 1) if base.size else _signed_pair(build, node, other[0])
        written = _chosen(build, named_1, written, alone)
    return [label, written]


def _signed_pair(build: Build, node: Node, score: Value) -> Value:
    """What is written of a row that only the first class has a score for."""
    pair = concat(build, [build.op("Neg", score), score], 1)
    return build.op("Sigmoid", pair) if node.text("post_transform", "NONE") == "LOGISTIC" else pair


def _who_is_named(build: Build, node: Node, x: Value) -> list[Value | bool]:
    """Of each of two classes, whether a leaf of the row names it: [rows, 1]; True and False where that is so always."""
    table, ids = table_of(node), set(listed(node, "class_ids", np.int64).tolist())
    known = [False if i not in ids else True if table.always(i) else None for i in (0, 1)]
    if None not in known:
        return [k is True for k in known]
    named = _named(build, node, x, "class", 2)
    return [_column(build, named, i) if k is None else k for i, k in enumerate(known)]


def _chosen(build: Build, condition: Value | bool, yes: Value, no: Value) -> Value:
    if isinstance(condition, bool):
        return yes if condition else no
    return build.op("Where", condition, yes, no)


# -- samples ---------------------------------------------------------------------------------------------------


def _forest(outputs: int, *, low: float = -1, trees: int = 4, stem: str = "target", mode: str = "BRANCH_LEQ",
            given: Sequence[int] | None = None) -> dict[str, Any]:  # fmt: skip
    """Trees of depth two over four features; every leaf has a weight for each of `given`, all outputs by default."""
    rng = np.random.default_rng(5)
    given = range(outputs) if given is None else given
    columns: dict[str, list[Any]] = {name: [] for name in (*NODE_COLUMNS, "values")}
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(trees):
        for ident in range(7):
            inner = ident < 3
            row = (
                tree, ident, int(rng.integers(4)) if inner else 0, mode if inner else "LEAF",
                2 * ident + 1 if inner else 0, 2 * ident + 2 if inner else 0, ident % 2,
                float(np.float32(rng.uniform(-2, 2))) if inner else 0.0,
            )  # fmt: skip
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            for target in () if inner else given:
                weight = float(np.float32(rng.uniform(low, 1)))
                for name, value in zip(leaves, (tree, ident, target, weight), strict=True):
                    leaves[name].append(value)
    found = {f"nodes_{k}": tuple(v) for k, v in columns.items()}
    return {**found, **{f"{stem}_{k}": tuple(v) for k, v in leaves.items()}}


def _rows() -> Array:
    x = samples.draw((70, 4), DType.FLOAT)
    x[3, 1] = x[60, 0] = np.nan
    return x


def _regressor_samples() -> Iterator[Sample]:
    x = _rows()
    for outputs in (1, 3):
        for aggregate in AGGREGATES:
            chosen = {**_forest(outputs), "n_targets": outputs, "aggregate_function": aggregate}
            yield Sample((x,), chosen)
            yield Sample((x,), {**chosen, "base_values": (0.25, -0.5, 1.0)[:outputs], "post_transform": "LOGISTIC"})
    for mode in MODES:
        yield Sample((x,), {**_forest(1, mode=mode), "n_targets": 1})
    yield Sample((x.astype(np.float64),), {**_forest(2), "n_targets": 2})


def _classes_samples() -> Iterator[Sample]:
    x = _rows()
    for post in ("NONE", "LOGISTIC", "SOFTMAX"):
        for labels in ((0, 1, 2), (5, -1, 3)):
            chosen: dict[str, Any] = {"classlabels_int64s": labels, "post_transform": post}
            yield Sample((x,), {**_forest(3, stem="class"), **chosen}, 2)
            yield Sample((x,), {**_forest(3, stem="class"), **chosen, "base_values": (0.1, 0.2, 0.3)}, 2)
        for given in ((0,), (1,), (0, 1)):
            for low in (0, -1):
                chosen = {"classlabels_int64s": (3, 7), "post_transform": post}
                yield Sample((x,), {**_forest(2, stem="class", low=low, given=given), **chosen}, 2)
    whole = {"classlabels_int64s": (0, 1, 2), "post_transform": "SOFTMAX"}
    yield Sample((np.round(x[4:50]).astype(np.int64),), {**_forest(3, stem="class"), **whole}, 2)
    words = {"classlabels_strings": ("no", "yes"), "post_transform": "LOGISTIC", "base_values": (0.25,)}
    yield Sample((x,), {**_forest(2, stem="class", given=(0,)), **words}, 2)


_SUMS = Tolerance("product", 8)

RECORDS: tuple[OpRecord, ...] = (
    OpRecord(
        op="TreeEnsembleRegressor", domain=ML_DOMAIN, infer=_regressor_infer, evaluate=_regressor_evaluate,
        lower=_sums_lower, decompose=_regressor, tolerance=_SUMS, samples=_regressor_samples,
    ),
    OpRecord(
        op="TreeEnsemble", domain=ML_DOMAIN, infer=_regressor_infer, evaluate=_regressor_evaluate, lower=_sums_lower,
        decompose=_regressor, tolerance=_SUMS,
    ),
    OpRecord(
        op="TreeEnsembleClassifier", domain=ML_DOMAIN, infer=_classes_infer, tolerance=_SUMS, decompose=_classes,
        evaluate=lambda node, inputs: _through(_classes, node, inputs), samples=_classes_samples,
    ),
)  # fmt: skip
