"""Templates of ai.onnx.ml."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from tests.random.draw import WORDS, Draw, between, given, plain, template

ML = "ai.onnx.ml"
POSTS = [None, "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]


def _floats(d: Draw, count: int) -> list[float]:
    return [round(d.rng.uniform(-2, 2), 2) for _ in range(count)]


def _labels(d: Draw, count: int) -> None:
    if d.chance(0.6):
        d.attr("classlabels_ints", d.rng.sample(range(-3, 9), count))
    else:
        d.attr("classlabels_strings", d.rng.sample(WORDS[1:], count))


def _table(d: Draw, width: int) -> None:
    d.input("X", (d.size(1, 64), width), plain)


@template("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(d: Draw) -> None:
    width = d.fixed(1, 9)
    d.input("X", (d.size(1, 20), width))
    d.input("Y", (d.fixed(1, 4),), between(0, width - 1), constant=0.6)


@template("Binarizer", domain=ML)
def binarizer(d: Draw) -> None:
    d.attr("threshold", d.choice([None, 0.5, -1.0]))
    d.input("X", d.shape(d.rank()))


@template("Imputer", domain=ML)
def imputer(d: Draw) -> None:
    width = d.fixed(1, 5)
    each = d.chance()
    count = width if each else 1
    if d.dtype(0) in ("float", "double"):
        d.attr("imputed_value_floats", _floats(d, count))
        d.attr("replaced_value_float", d.choice([None, 1.0, float("nan")]))

        def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
            return rng.choice(np.array([1.0, np.nan, 2.0, -3.5]), dims).astype(dtype)

        d.input("X", (d.size(1, 20), width), values)
    else:
        d.attr("imputed_value_int64s", [d.fixed(-5, 5) for _ in range(count)])
        d.attr("replaced_value_int64", d.choice([None, 1]))
        d.input("X", (d.size(1, 20), width), between(-2, 2))


@template("Scaler", domain=ML)
def scaler(d: Draw) -> None:
    width = d.fixed(1, 9)
    for name in ("scale", "offset"):
        d.attr(name, _floats(d, width if d.chance(0.7) else 1))
    _table(d, width)


@template("Normalizer", domain=ML)
def normalizer(d: Draw) -> None:
    d.attr("norm", d.choice([None, "MAX", "L1", "L2"]))
    _table(d, d.fixed(1, 9))


@template("LinearRegressor", domain=ML)
def linear_regressor(d: Draw) -> None:
    width, targets = d.fixed(1, 9), d.fixed(1, 3)
    d.attr("targets", targets)
    d.attr("coefficients", _floats(d, width * targets))
    d.attr("intercepts", d.choice([None, _floats(d, targets)]))
    d.attr("post_transform", d.choice([None, "NONE"]))
    _table(d, width)


@template("LinearClassifier", domain=ML)
def linear_classifier(d: Draw) -> None:
    width, classes = d.fixed(1, 9), d.fixed(2, 4)
    d.attr("coefficients", _floats(d, width * classes))
    d.attr("intercepts", _floats(d, classes))
    d.attr("post_transform", d.choice(POSTS))
    d.attr("multi_class", d.choice([None, 0, 1]))
    _labels(d, classes)
    _table(d, width)
    d.output_count = 2


def _kernel(d: Draw) -> None:
    d.attr("kernel_type", d.choice([None, "LINEAR", "POLY", "RBF", "SIGMOID"]))
    d.attr("kernel_params", [0.3, 0.5, d.choice([2.0, 3.0])])


@template("SVMRegressor", domain=ML)
def svm_regressor(d: Draw) -> None:
    width, count = d.fixed(1, 5), d.fixed(1, 5)
    _kernel(d)
    d.attr("n_supports", count)
    d.attr("support_vectors", _floats(d, width * count))
    d.attr("coefficients", _floats(d, count))
    d.attr("rho", _floats(d, 1))
    d.attr("one_class", d.choice([None, 0, 1]))
    d.input("X", (d.size(1, 20), width), plain, among=("float", "double"))


@template("SVMClassifier", domain=ML)
def svm_classifier(d: Draw) -> None:
    width, classes = d.fixed(1, 5), d.fixed(2, 4)
    per = [d.fixed(1, 3) for _ in range(classes)]
    pairs = classes * (classes - 1) // 2
    _kernel(d)
    d.attr("vectors_per_class", per)
    d.attr("support_vectors", _floats(d, width * sum(per)))
    d.attr("coefficients", _floats(d, sum(per) * (classes - 1)))
    d.attr("rho", _floats(d, pairs))
    if d.chance():
        d.attr("prob_a", [-round(d.rng.uniform(0.5, 2), 2) for _ in range(pairs)])
        d.attr("prob_b", _floats(d, pairs))
    d.attr("post_transform", d.choice([None, "NONE"]))
    _labels(d, classes)
    d.input("X", (d.size(1, 20), width), plain, among=("float", "double"))
    d.output_count = 2


@template("OneHotEncoder", domain=ML)
def one_hot_encoder(d: Draw) -> None:
    d.attr("zeros", 1)
    if d.dtype(0) == "string":
        d.attr("cats_strings", d.rng.sample(WORDS, d.fixed(1, 5)))
    else:
        d.attr("cats_int64s", d.rng.sample(range(-4, 5), d.fixed(1, 5)))
    d.input("X", d.shape(d.rank(1, 3)), plain if d.dtype(0) == "string" else between(-4, 4))


@template("LabelEncoder", domain=ML)
def label_encoder(d: Draw) -> None:
    names = {"string": "strings", "int64": "int64s", "float": "floats"}
    key, value = d.choice(list(names)), d.choice(list(names))
    if d.opset < 2:
        text = d.dtype(0) == "string"
        d.attr("classes_strings", d.rng.sample(WORDS, 4))
        d.input("X", d.shape(d.rank(1, 2)), plain if text else between(-1, 5))
        return
    pools = {"string": list(WORDS), "int64": list(range(-4, 6)), "float": [0.0, 1.0, -1.5, 2.5, 3.0, -0.5]}
    count = d.fixed(1, 5)
    d.attr(f"keys_{names[key]}", d.rng.sample(pools[key], count))
    d.attr(f"values_{names[value]}", [d.choice(pools[value]) for _ in range(count)])
    if d.chance():
        d.attr(f"default_{value}", d.choice(pools[value]))

    def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
        return np.array(pools[key], dtype)[rng.integers(0, len(pools[key]), dims)].reshape(dims)

    d.input("X", d.shape(d.rank(1, 2)), values, dtype=key)


@template("CategoryMapper", domain=ML)
def category_mapper(d: Draw) -> None:
    text = d.dtype(0) == "string"
    d.attr("cats_strings", d.rng.sample(WORDS, 4))
    d.attr("cats_int64s", d.rng.sample(range(-4, 5), 4))
    if d.chance():
        d.attr("default_string" if not text else "default_int64", "none" if not text else 99)
    d.input("X", d.shape(d.rank(1, 2)), plain if text else between(-4, 4))


@template("FeatureVectorizer", domain=ML)
def feature_vectorizer(d: Draw) -> None:
    rows, widths = d.size(1, 20), [d.fixed(1, 4) for _ in range(d.fixed(1, 3))]
    d.attr("inputdimensions", widths)
    for width in widths:
        d.input("X", (rows, width))


@template("ZipMap", domain=ML)
def zip_map(d: Draw) -> None:
    count = d.fixed(1, 4)
    if d.chance():
        d.attr("classlabels_int64s", d.rng.sample(range(9), count))
    else:
        d.attr("classlabels_strings", d.rng.sample(WORDS[1:], count))
    d.input("X", (d.size(1, 9), count))


# -- trees ---------------------------------------------------------------------------------------------------------


class _Trees:
    """Random trees in the flat form of the attributes."""

    def __init__(self, d: Draw, width: int, targets: int) -> None:
        self.d, self.width, self.targets = d, width, targets
        self.rows: list[tuple[int, int, str, int, float, int, int, int]] = []
        self.weights: list[tuple[int, int, int, float]] = []
        self.one_mode = d.choice(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE", "BRANCH_EQ", "BRANCH_NEQ", ""])
        for tree in range(d.fixed(1, 4)):
            self.count = 0
            self.grow(tree, 0)

    def grow(self, tree: int, depth: int) -> int:
        d, node = self.d, self.count
        self.count += 1
        place = len(self.rows)
        self.rows.append((tree, node, "LEAF", 0, 0.0, 0, 0, 0))
        if depth >= 3 or d.chance(0.25):
            self.weights.append((tree, node, d.fixed(0, self.targets - 1), round(d.rng.uniform(-2, 2), 2)))
            return node
        modes = [self.one_mode] if self.one_mode else ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"]
        feature, value, mode = d.fixed(0, self.width - 1), d.choice([-1.0, -0.5, 0.0, 0.25, 1.0]), d.choice(modes)
        missing = int(d.chance(0.2))
        yes, no = self.grow(tree, depth + 1), self.grow(tree, depth + 1)
        self.rows[place] = (tree, node, mode, feature, value, yes, no, missing)
        return node


def _forest(d: Draw, targets: int, stem: str) -> None:
    width = d.fixed(1, 5)
    trees = _Trees(d, width, targets)
    columns = list(zip(*trees.rows, strict=True))
    names = ("nodes_treeids", "nodes_nodeids", "nodes_modes", "nodes_featureids", "nodes_values", "nodes_truenodeids",
             "nodes_falsenodeids", "nodes_missing_value_tracks_true")  # fmt: skip
    for name, column in zip(names, columns, strict=True):
        d.attr(name, list(column))
    weights = list(zip(*trees.weights, strict=True))
    for name, column in zip(("treeids", "nodeids", "ids", "weights"), weights, strict=True):
        d.attr(f"{stem}_{name}", list(column))

    def values(rng, dims, dtype):  # type: ignore[no-untyped-def]
        if dtype.kind in "iu":
            return rng.integers(-2, 3, dims).astype(dtype)
        return rng.choice(np.array([-1.5, -1, -0.5, 0, 0.25, 0.3, 1, 2, np.nan]), dims).astype(dtype)

    d.input("X", (d.size(1, 64), width), values)


@template("TreeEnsembleRegressor", domain=ML)
def tree_regressor(d: Draw) -> None:
    targets = d.fixed(1, 3)
    d.attr("n_targets", targets)
    d.attr("aggregate_function", d.choice([None, "SUM", "AVERAGE", "MIN", "MAX"]))
    d.attr("base_values", d.choice([None, _floats(d, targets)]))
    d.attr("post_transform", d.choice([None, "NONE"]))
    _forest(d, targets, "target")


@template("TreeEnsembleClassifier", domain=ML)
def tree_classifier(d: Draw) -> None:
    classes = d.fixed(2, 4)
    _labels(d, classes)
    d.attr("base_values", d.choice([None, _floats(d, classes)]))
    d.attr("post_transform", d.choice(POSTS))
    _forest(d, classes, "class")
    d.output_count = 2


@template("TreeEnsemble", domain=ML)
def tree_ensemble(d: Draw) -> None:
    kind = d.dtype(0)
    width, targets = d.fixed(1, 4), d.fixed(1, 3)
    inner = d.fixed(1, 3)  # a chain of inner nodes, each with a leaf to one side
    real = {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16}[kind]
    modes = [d.choice([0, 1, 2, 3, 4, 5]) for _ in range(inner)]
    d.attr("n_targets", targets)
    d.attr("tree_roots", [0])
    d.attr("aggregate_function", d.choice([None, 0, 1, 2, 3]))
    d.attr("nodes_modes", helper.make_tensor("m", TensorProto.UINT8, (inner,), modes))
    d.attr("nodes_featureids", [d.fixed(0, width - 1) for _ in range(inner)])
    d.attr("nodes_splits", helper.make_tensor("s", real, (inner,), [d.choice([-1.0, 0.0, 0.5]) for _ in range(inner)]))
    d.attr("nodes_truenodeids", list(range(inner)))
    d.attr("nodes_trueleafs", [1] * inner)
    d.attr("nodes_falsenodeids", [i + 1 if i + 1 < inner else inner for i in range(inner)])
    d.attr("nodes_falseleafs", [0] * (inner - 1) + [1])
    leaves = inner + 1
    d.attr("leaf_targetids", [d.fixed(0, targets - 1) for _ in range(leaves)])
    d.attr("leaf_weights", helper.make_tensor("w", real, (leaves,), _floats(d, leaves)))
    d.input("X", (d.size(1, 20), width), plain)


_ = given
