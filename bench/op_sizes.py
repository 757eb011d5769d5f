"""At which sizes `bench.ops` times each op: shapes of operands and the attributes that decide how much is computed.

Elementwise ops need no line: their records' samples are stretched. All other facts of an op (types, signature,
defaults) are read from its schema and record. Keys are "Op" or "Op/what is special"; each line gives the case at a
small size (big=0) and a large one (big=1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

SUB: Final = "com.microsoft."
ML: Final = "ai.onnx.ml."


@dataclass(frozen=True)
class Arg:
    """An operand. dtype "T" is the type that the case is made for; constant ones become initialisers; words of a
    vocabulary stand for text."""

    shape: tuple[int, ...]
    dtype: str = "T"
    low: float = -1.0
    high: float = 1.0
    constant: bool = False
    values: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Made:
    """One case of an op. outputs: how many it gives."""

    arguments: Sequence[Arg | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1


@dataclass(frozen=True)
class Line:
    """types: the element types to time, all of the schema when empty. opset: 0 for the newest both engines read."""

    build: Callable[[int], Made]
    types: str = ""
    opset: int = 0


def x(*shape: int, t: str = "T", low: float = -1.0, high: float = 1.0) -> Arg:
    return Arg(shape, t, low, high)


def w(*shape: int, t: str = "T", low: float = -1.0, high: float = 1.0) -> Arg:
    return Arg(shape, t, low, high, constant=True)


def of(*values: float, t: str = "int64") -> Arg:
    """A constant vector of these values."""
    return Arg((len(values),), t, constant=True, values=values)


def fed(*values: float, t: str = "int64") -> Arg:
    """A vector that only running knows."""
    return Arg((len(values),), t, values=values)


def one(value: float, t: str = "int64", constant: bool = True) -> Arg:
    return Arg((), t, constant=constant, values=(value,))


def index(*shape: int, below: int) -> Arg:
    return Arg(shape, "int64", 0, below - 1)


def line(build: Callable[[int], tuple[Any, ...]], types: str = "", opset: int = 0, outputs: int = 1) -> Line:
    """build gives the operands, and a dict of attributes at the end."""

    def made(big: int) -> Made:
        parts = build(big)
        attributes = parts[-1] if parts and isinstance(parts[-1], dict) else {}
        return Made(parts[:-1] if attributes or (parts and isinstance(parts[-1], dict)) else parts, attributes, outputs)

    return Line(made, types, opset)


def pick(small: int, large: int) -> Callable[[int], int]:
    return lambda big: large if big else small


ROWS = pick(16, 1024)
SIDE = pick(14, 56)
SEQ = pick(16, 128)

_FLOATS = "float32 float64 float16"
_F32 = "float32"


def _image(big: int, channels: int = 32) -> Arg:
    return x(1, channels, SIDE(big), SIDE(big))


def _window(attributes: dict[str, Any]) -> Line:
    return line(lambda b: (_image(b), attributes))


def _reduce(axis: int, keep: int = 1) -> Line:
    return line(lambda b: (x(8, SEQ(b), 256, low=0.5), of(axis), {"keepdims": keep}))


_REDUCTIONS = [
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceSumSquare",
]

REDUCE: Mapping[str, Line] = {
    f"{op}{label}": _reduce(axis) for op in _REDUCTIONS for label, axis in (("", -1), ("/middle", 1), ("/first", 0))
}

IMAGES: Mapping[str, Line] = {
    "AveragePool": _window({"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "MaxPool": _window({"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "MaxPool/2x2": _window({"kernel_shape": [2, 2], "strides": [2, 2]}),
    "MaxPool/indices": line(lambda b: (_image(b), {"kernel_shape": [2, 2], "strides": [2, 2]}), outputs=2),
    "LpPool": _window({"kernel_shape": [3, 3], "strides": [2, 2]}),
    "GlobalAveragePool": _window({}),
    "GlobalMaxPool": _window({}),
    "GlobalLpPool": _window({}),
    "MaxUnpool": line(
        lambda b: (x(1, 8, SIDE(b), SIDE(b)), index(1, 8, SIDE(b), SIDE(b), below=32 * SIDE(b) ** 2),
                   {"kernel_shape": [2, 2], "strides": [2, 2]})
    ),
    "MaxRoiPool": line(
        lambda b: (_image(b), Arg((8, 5), "T", values=tuple((0.0, 1.0, 2.0, 11.0, 9.0) * 8)),
                   {"pooled_shape": [7, 7]})
    ),
    "RoiAlign": line(
        lambda b: (_image(b), Arg((8, 4), "T", values=tuple((1.0, 2.0, 11.0, 9.0) * 8)), Arg((8,), "int64", 0, 0),
                   {"output_height": 7, "output_width": 7, "sampling_ratio": 2})
    ),
    "Conv": line(lambda b: (_image(b), w(32, 32, 3, 3), w(32), {"pads": [1, 1, 1, 1]})),
    "Conv/1x1": line(lambda b: (_image(b), w(64, 32, 1, 1), w(64), {})),
    "Conv/depthwise": line(lambda b: (_image(b), w(32, 1, 3, 3), w(32), {"pads": [1, 1, 1, 1], "group": 32})),
    "Conv/1d": line(lambda b: (x(1, 64, ROWS(b)), w(64, 64, 3), w(64), {})),
    "Conv/3d": line(lambda b: (x(1, 8, 8, SIDE(b), SIDE(b)), w(8, 8, 3, 3, 3), w(8), {})),
    "ConvTranspose": line(lambda b: (_image(b), w(32, 32, 2, 2), w(32), {"strides": [2, 2]})),
    "ConvInteger": line(
        lambda b: (_image(b), w(32, 32, 3, 3, t="int8"), one(3, "T"), {"pads": [1, 1, 1, 1]}), "uint8"
    ),
    "DeformConv": line(
        lambda b: (_image(b, 8), w(8, 8, 3, 3), x(1, 18, SIDE(b), SIDE(b)), w(8), {"pads": [1, 1, 1, 1]}), _F32
    ),
    "DeformConv/mask": line(
        lambda b: (_image(b, 8), w(8, 8, 3, 3), x(1, 18, SIDE(b), SIDE(b)), w(8), x(1, 9, SIDE(b), SIDE(b)),
                   {"pads": [1, 1, 1, 1]}), _F32
    ),
    "Col2Im": line(lambda b: (x(1, 8 * 9, SIDE(b) ** 2), of(SIDE(b) + 2, SIDE(b) + 2), of(3, 3), {})),
    "Resize/nearest": line(lambda b: (_image(b), None, of(1, 1, 2, 2, t="float32"), {})),
    "Resize/linear": line(lambda b: (_image(b), None, of(1, 1, 2, 2, t="float32"), {"mode": "linear"})),
    "Resize/cubic": line(lambda b: (_image(b), None, of(1, 1, 2, 2, t="float32"), {"mode": "cubic"})),
    "Resize/fed scales": line(lambda b: (_image(b), None, fed(1, 1, 2, 2, t="float32"), {"mode": "linear"})),
    "Resize/fed scales nearest": line(lambda b: (_image(b), None, fed(1, 1, 2, 2, t="float32"), {})),
    "Resize/fed sizes": line(
        lambda b: (_image(b), None, None, fed(1, 32, 2 * SIDE(b), 2 * SIDE(b)), {"mode": "linear"})
    ),
    "Upsample": line(lambda b: (_image(b), of(1, 1, 2, 2, t="float32"), {}), opset=9),
    "GridSample": line(lambda b: (_image(b), x(1, SIDE(b), SIDE(b), 2), {})),
    "GridSample/nearest": line(lambda b: (_image(b), x(1, SIDE(b), SIDE(b), 2), {"mode": "nearest"})),
    "AffineGrid": line(lambda b: (x(2, 2, 3), of(2, 3, SIDE(b), SIDE(b)), {})),
    "DepthToSpace": line(lambda b: (_image(b), {"blocksize": 2})),
    "SpaceToDepth": line(lambda b: (_image(b), {"blocksize": 2})),
    "CenterCropPad": line(lambda b: (_image(b), of(8, 8), {"axes": [2, 3]})),
    "LRN": _window({"size": 5}),
    "BatchNormalization": line(lambda b: (_image(b), w(32), w(32), w(32), w(32, low=0.5), {})),
    "InstanceNormalization": line(lambda b: (_image(b), w(32), w(32), {})),
    "GroupNormalization": line(lambda b: (_image(b), w(32), w(32), {"num_groups": 4})),
    "MeanVarianceNormalization": _window({}),
    "NonMaxSuppression": line(
        lambda b: (x(1, ROWS(b), 4), x(1, 4, ROWS(b), t="float32"), one(20), one(0.5, "float32"), {}), _F32
    ),
}  # fmt: skip


def _recurrent(big: int, gates: int) -> tuple[Any, ...]:
    """Weights so small that states do not run away."""
    weights = w(1, gates, 64, low=-0.1, high=0.1)
    return x(SEQ(big), 1, 64), weights, weights, w(1, 2 * gates), {"hidden_size": 64}


PRODUCTS: Mapping[str, Line] = {
    "MatMul": line(lambda b: (x(SEQ(b), 256), w(256, 256), {})),
    "MatMul/two fed": line(lambda b: (x(8, SEQ(b), 64), x(8, 64, SEQ(b)), {})),
    "MatMul/vector": line(lambda b: (x(1, 256 << 2 * b), w(256 << 2 * b, 256 << b), {})),
    "Gemm": line(lambda b: (x(SEQ(b), 256), w(256, 256), w(256), {"transB": 1})),
    "MatMulInteger": line(lambda b: (x(SEQ(b), 256), w(256, 256, t="int8"), one(3, "T"), {}), "uint8"),
    "Einsum": line(lambda b: (x(4, SEQ(b), 64), x(4, SEQ(b), 64), {"equation": "bik,bjk->bij"})),
    "Einsum/outer": line(lambda b: (x(SEQ(b)), x(SEQ(b)), {"equation": "i,j->ij"})),
    "Attention": line(lambda b: (x(1, 4, SEQ(b), 64), x(1, 4, SEQ(b), 64), x(1, 4, SEQ(b), 64), {})),
    "RotaryEmbedding": line(lambda b: (x(1, 4, SEQ(b), 64), w(1, SEQ(b), 32), w(1, SEQ(b), 32), {})),
    "LSTM": line(lambda b: _recurrent(b, 256), outputs=3),
    "GRU": line(lambda b: _recurrent(b, 192), outputs=2),
    "RNN": line(lambda b: _recurrent(b, 64), outputs=2),
    "QLinearMatMul": line(
        lambda b: (x(SEQ(b), 256), one(0.02, "float32"), one(3, "T"), w(256, 256, t="int8"), one(0.01, "float32"),
                   one(0, "int8"), one(0.1, "float32"), one(5, "T"), {}), "uint8"
    ),
    "QLinearConv": line(
        lambda b: (_image(b), one(0.02, "float32"), one(3, "T"), w(32, 32, 3, 3, t="int8"), one(0.01, "float32"),
                   one(0, "int8"), one(0.1, "float32"), one(5, "T"), {"pads": [1, 1, 1, 1]}), "uint8"
    ),
    "QuantizeLinear": line(lambda b: (x(ROWS(b), 256), one(0.02, "T"), one(3, "uint8"), {})),
    "DequantizeLinear": line(lambda b: (x(ROWS(b), 256), one(0.02, "float32"), one(3, "T"), {})),
    "DynamicQuantizeLinear": line(lambda b: (x(ROWS(b), 256), {}), outputs=3),
    "Det": line(lambda b: (x(ROWS(b), 3, 3), {})),
    "DFT": line(lambda b: (x(8, 64 << 3 * b, 1), {"axis": 1}), opset=19),
    "STFT": line(lambda b: (x(1, 1024 << 3 * b, 1), one(128), w(256), one(256), {})),
    "SwiGLU": line(lambda b: (x(ROWS(b), 256), {})),
    "MelWeightMatrix": line(
        lambda b: (one(40, constant=False), one(512, constant=False), one(16000, constant=False),
                   one(20.0, "float32", False), one(8000.0, "float32", False), {}), "int64"
    ),
}  # fmt: skip

ROWWISE: Mapping[str, Line] = {
    **{
        op: line(lambda b, a=attributes: (x(ROWS(b), 256), *a))
        for op, attributes in {
            "Softmax": ({},), "LogSoftmax": ({},), "Hardmax": ({},), "LpNormalization": ({},),
            "LayerNormalization": (w(256), w(256), {}), "RMSNormalization": (w(256), {}),
            "ArgMax": ({"axis": 1},), "ArgMin": ({"axis": 1},), "CumSum": (one(1), {}), "CumProd": (one(1), {}),
            "Trilu": ({},), "ReverseSequence": (fed(*range(1, 257)), {}), "Identity": ({},),
            "Transpose": ({"perm": [1, 0]},), "Flatten": ({},), "Shape": ({},), "Size": ({},),
            "Unsqueeze": (of(0), {}), "Squeeze": ({},), "NonZero": ({},), "Unique": ({},),
            "BitCast": ({"to": 6},), "Dropout": ({},),
        }.items()
    },
    "Softmax/channels": line(lambda b: (_image(b), {"axis": 1})),
    "ArgMax/first": line(lambda b: (x(ROWS(b), 256), {"axis": 0})),
    "CumSum/first": line(lambda b: (x(ROWS(b), 256), one(0), {})),
    "Transpose/channels last": line(lambda b: (_image(b), {"perm": [0, 2, 3, 1]})),
    "Transpose/heads": line(lambda b: (x(1, SEQ(b), 8, 64), {"perm": [0, 2, 1, 3]})),
    "Unique/unsorted": line(lambda b: (x(ROWS(b), high=99), {"sorted": 0}), outputs=4),
    "TopK": line(lambda b: (x(ROWS(b), 256), of(8), {}), outputs=2),
    "TopK/one row": line(lambda b: (x(1, 256 << 4 * b), of(50), {}), outputs=2),
    "NegativeLogLikelihoodLoss": line(lambda b: (x(ROWS(b), 256), index(ROWS(b), below=256), {})),
    "SoftmaxCrossEntropyLoss": line(lambda b: (x(ROWS(b), 256), index(ROWS(b), below=256), {})),
}  # fmt: skip

MOVES: Mapping[str, Line] = {
    "Concat": line(lambda b: (x(ROWS(b), 128), x(ROWS(b), 64), {"axis": 1})),
    "Split": line(lambda b: (x(ROWS(b), 256), {"axis": 1, "num_outputs": 2}), outputs=2),
    "Slice": line(lambda b: (x(ROWS(b), 256), of(8), of(200), of(1), {})),
    "Slice/steps": line(lambda b: (x(ROWS(b), 256), of(255), of(0), of(1), of(-2), {})),
    "Reshape": line(lambda b: (x(ROWS(b), 256), of(-1, 64), {})),
    "Expand": line(lambda b: (x(1, 256), of(ROWS(b), 256), {})),
    "Tile": line(lambda b: (x(4, 64), of(ROWS(b) // 4, 4), {})),
    "Pad": line(lambda b: (_image(b), of(0, 0, 1, 1, 0, 0, 1, 1), {})),
    "Pad/reflect": line(lambda b: (_image(b), of(0, 0, 1, 1, 0, 0, 1, 1), {"mode": "reflect"})),
    "Pad/edge": line(lambda b: (_image(b), of(0, 0, 1, 1, 0, 0, 1, 1), {"mode": "edge"})),
    "Gather": line(lambda b: (x(1024, 128), index(SEQ(b), below=1024), {})),
    "Gather/columns": line(lambda b: (x(ROWS(b), 256), index(64, below=256), {"axis": 1})),
    "GatherElements": line(lambda b: (x(ROWS(b), 256), index(ROWS(b), 128, below=256), {"axis": 1})),
    "GatherElements/first": line(lambda b: (x(ROWS(b), 256), index(ROWS(b), 256, below=ROWS(b)), {"axis": 0})),
    "GatherND": line(lambda b: (x(64, 64, 32), index(ROWS(b), 2, below=64), {})),
    "ScatterElements": line(lambda b: (x(ROWS(b), 256), index(ROWS(b), 64, below=256), x(ROWS(b), 64), {"axis": 1})),
    "ScatterElements/add": line(
        lambda b: (x(ROWS(b), 256), index(ROWS(b), 64, below=256), x(ROWS(b), 64), {"axis": 1, "reduction": "add"}),
        "float32 float64 float16 int32 int64 uint8 int8",
    ),
    "ScatterND": line(lambda b: (x(ROWS(b), 256), index(ROWS(b) // 2, 1, below=ROWS(b)), x(ROWS(b) // 2, 256), {})),
    "ScatterND/add": line(
        lambda b: (x(ROWS(b), 256), index(ROWS(b) // 2, 1, below=ROWS(b)), x(ROWS(b) // 2, 256), {"reduction": "add"}),
        "float32 float64 float16 int32 int64 uint8 int8",
    ),
    "Scatter": line(lambda b: (x(ROWS(b), 256), index(ROWS(b), 64, below=256), x(ROWS(b), 64), {"axis": 1}), opset=9),
    "TensorScatter": line(
        lambda b: (x(1, 4, 128 << 2 * b, 64), x(1, 4, 1, 64), fed(17), {"mode": "linear"})
    ),
    "Compress": line(lambda b: (x(ROWS(b), 256), x(ROWS(b), t="bool"), {"axis": 0})),
    "OneHot": line(lambda b: (index(ROWS(b), below=64), of(64), Arg((2,), "T", values=(0.0, 1.0)), {}), "int64"),
    "EyeLike": line(lambda b: (x(SEQ(b), SEQ(b)), {})),
    "Range": line(lambda b: (one(0, "T", False), one(ROWS(b), "T", False), one(1, "T", False), {})),
    "ConstantOfShape": line(lambda b: (fed(ROWS(b), 64), {})),
    "CastLike": line(lambda b: (x(ROWS(b), 256), w(1, t="float32"), {})),
    "Cast/float32": line(lambda b: (x(ROWS(b), 256), {"to": 1})),
    "Cast/int64": line(lambda b: (x(ROWS(b), 256), {"to": 7})),
    "Cast/uint8": line(lambda b: (x(ROWS(b), 256), {"to": 2})),
    "Cast/float16": line(lambda b: (x(ROWS(b), 256), {"to": 10})),
    "Add/row": line(lambda b: (x(ROWS(b), 256), w(256), {})),
    "Add/outer": line(lambda b: (x(ROWS(b), 1), x(1, 256), {})),
    "Mul/channels": line(lambda b: (_image(b), x(1, 32, 1, 1), {})),
    "Where/row": line(lambda b: (x(1, 256, t="bool"), x(ROWS(b), 256), one(0.5, "T"), {}), _F32),
    "HannWindow": line(lambda b: (one(ROWS(b), "int64", False), {}), "int64"),
    "HammingWindow": line(lambda b: (one(ROWS(b), "int64", False), {}), "int64"),
    "BlackmanWindow": line(lambda b: (one(ROWS(b), "int64", False), {}), "int64"),
    "RandomNormalLike": line(lambda b: (x(ROWS(b), 64), {})),
    "RandomUniformLike": line(lambda b: (x(ROWS(b), 64), {})),
    "RandomNormal": line(lambda b: ({"shape": [ROWS(b), 64]},), _F32),
    "RandomUniform": line(lambda b: ({"shape": [ROWS(b), 64]},), _F32),
    "Bernoulli": line(lambda b: (x(ROWS(b), 64, low=0),  {})),
    "Multinomial": line(lambda b: (x(SEQ(b), 64), {"sample_size": 4})),
}  # fmt: skip

TEXT: Mapping[str, Line] = {
    "StringNormalizer": line(lambda b: (x(ROWS(b)), {"case_change_action": "LOWER"}), "string"),
    "StringConcat": line(lambda b: (x(ROWS(b)), x(ROWS(b)), {}), "string"),
    "StringSplit": line(lambda b: (x(ROWS(b)), {"delimiter": " "}), "string", outputs=2),
    "RegexFullMatch": line(lambda b: (x(ROWS(b)), {"pattern": "[a-z]+"}), "string"),
    "TfIdfVectorizer": line(
        lambda b: (x(ROWS(b), 8, low=0, high=9), {
            "mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0, "ngram_counts": [0, 4],
            "ngram_indexes": [0, 1, 2, 3, 4, 5], "pool_int64s": [1, 2, 3, 4, 1, 2, 3, 4]}),
        "int64 int32",
    ),
    "TfIdfVectorizer/words": line(
        lambda b: (x(ROWS(b), 8), {
            "mode": "TF", "min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0, "ngram_counts": [0],
            "ngram_indexes": [0, 1], "pool_strings": ["abc", "word 7"]}), "string",
    ),
}  # fmt: skip


def _weights(count: int) -> list[float]:
    return [float(v) for v in np.random.default_rng(3).uniform(-1, 1, count).astype(np.float32)]


def forest(trees: int, depth: int, features: int, stem: str, ids: int) -> dict[str, list[Any]]:
    """Complete trees, every leaf with a weight for one of `ids` outputs, as TreeEnsembleRegressor states them."""
    rng = np.random.default_rng(5)
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    found: dict[str, list[Any]] = {
        f"nodes_{k}": [] for k in ["treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids", "values"]
    }
    found |= {f"{stem}_{k}": [] for k in ["treeids", "nodeids", "ids", "weights"]}
    for tree in range(trees):
        for node in range(nodes):
            split = node < inner
            row = (
                tree, node, int(rng.integers(features)) if split else 0, "BRANCH_LEQ" if split else "LEAF",
                2 * node + 1 if split else 0, 2 * node + 2 if split else 0, float(np.float32(rng.uniform(-1, 1))),
            )  # fmt: skip
            for values, value in zip(list(found.values())[:7], row, strict=True):
                values.append(value)
            if not split:
                leaf = (tree, node, tree % ids, float(np.float32(rng.uniform(0, 1))))
                for values, value in zip(list(found.values())[7:], leaf, strict=True):
                    values.append(value)
    return found


def _svm(kernel: str, vectors: int, classes: int) -> dict[str, Any]:
    shared = {
        "kernel_type": kernel, "kernel_params": [0.1, 0.5, 3.0], "support_vectors": _weights(vectors * 8),
        "rho": _weights(max(1, classes * (classes - 1) // 2)),
    }  # fmt: skip
    if not classes:
        return {**shared, "n_supports": vectors, "coefficients": _weights(vectors)}
    each = [vectors // classes] * classes
    return {
        **shared, "vectors_per_class": each, "classlabels_ints": list(range(classes)),
        "coefficients": _weights(sum(each) * (classes - 1)), "support_vectors": _weights(sum(each) * 8),
    }  # fmt: skip


_WORDS = [f"word {i}" for i in range(64)]
_TABLE = ROWS

LEARNERS: Mapping[str, Line] = {
    ML + op: entry
    for op, entry in {
        "ArrayFeatureExtractor": line(lambda b: (x(ROWS(b), 12), of(2, 5, 7), {})),
        "Binarizer": line(lambda b: (x(ROWS(b), 12), {"threshold": 0.5})),
        "CategoryMapper": line(
            lambda b: (x(ROWS(b)), {"cats_strings": _WORDS, "cats_int64s": list(range(64))}), "string"
        ),
        "FeatureVectorizer": line(lambda b: (x(ROWS(b), 12), x(ROWS(b), 4), {"inputdimensions": [12, 4]})),
        "Imputer": line(
            lambda b: (x(ROWS(b), 12), {"imputed_value_floats": _weights(12), "replaced_value_float": float("nan")}),
            _F32,
        ),
        "LabelEncoder": line(
            lambda b: (x(ROWS(b)), {"keys_strings": _WORDS, "values_int64s": list(range(64))}), "string"
        ),
        "LabelEncoder/to text": line(
            lambda b: (x(ROWS(b)), {"keys_int64s": list(range(64)), "values_strings": _WORDS}), "int64"
        ),
        "LabelEncoder/numbers": line(
            lambda b: (x(ROWS(b)), {"keys_int64s": list(range(64)), "values_floats": _weights(64)}), "int64"
        ),
        "LinearClassifier": line(
            lambda b: (x(ROWS(b), 12), {"coefficients": _weights(36), "intercepts": _weights(3),
                                        "classlabels_ints": [0, 1, 2], "post_transform": "SOFTMAX"}), outputs=2,
        ),
        "LinearClassifier/two": line(
            lambda b: (x(ROWS(b), 12), {"coefficients": _weights(24), "intercepts": _weights(2),
                                        "classlabels_ints": [0, 1], "post_transform": "LOGISTIC"}), outputs=2,
        ),
        "LinearClassifier/text": line(
            lambda b: (x(ROWS(b), 12), {"coefficients": _weights(36), "intercepts": _weights(3),
                                        "classlabels_strings": ["a", "b", "c"]}), outputs=2,
        ),
        "LinearRegressor": line(lambda b: (x(ROWS(b), 12), {"coefficients": _weights(12), "intercepts": [0.5]})),
        "Normalizer": line(lambda b: (x(ROWS(b), 12), {"norm": "L2"})),
        "Normalizer/max": line(lambda b: (x(ROWS(b), 12), {"norm": "MAX"})),
        "OneHotEncoder": line(lambda b: (x(ROWS(b)), {"cats_int64s": list(range(16))}), "int64 float32"),
        "OneHotEncoder/text": line(lambda b: (x(ROWS(b)), {"cats_strings": _WORDS[:16]}), "string"),
        "Scaler": line(lambda b: (x(ROWS(b), 12), {"offset": _weights(12), "scale": _weights(12)})),
        "SVMRegressor": line(lambda b: (x(ROWS(b), 8), _svm("RBF", 32 << 2 * b, 0)), _F32),
        "SVMRegressor/linear": line(lambda b: (x(ROWS(b), 8), _svm("LINEAR", 32 << 2 * b, 0)), _F32),
        "SVMRegressor/poly": line(lambda b: (x(ROWS(b), 8), _svm("POLY", 32 << 2 * b, 0)), _F32),
        "SVMClassifier": line(lambda b: (x(ROWS(b), 8), _svm("RBF", 33 << 2 * b, 3)), _F32, outputs=2),
        "SVMClassifier/probabilities": line(
            lambda b: (x(ROWS(b), 8), {**_svm("RBF", 33 << 2 * b, 3), "prob_a": _weights(3), "prob_b": _weights(3)}),
            _F32, outputs=2,
        ),
        "TreeEnsembleRegressor": line(
            lambda b: (x(ROWS(b), 12), {**forest(20 << b, 5, 12, "target", 1), "n_targets": 1})
        ),
        "TreeEnsembleRegressor/600": line(
            lambda b: (x(600, 12), {**forest(100, 4 + 3 * b, 12, "target", 1), "n_targets": 1}), _F32
        ),
        "TreeEnsembleClassifier": line(
            lambda b: (x(ROWS(b), 12), {**forest(20 << b, 5, 12, "class", 3), "classlabels_int64s": [0, 1, 2]}),
            outputs=2,
        ),
        "TreeEnsembleClassifier/600": line(
            lambda b: (x(600, 12), {**forest(100, 4 + 3 * b, 12, "class", 3), "classlabels_int64s": [0, 1, 2]}),
            _F32, outputs=2,
        ),
        "ZipMap": line(lambda b: (x(ROWS(b), 3), {"classlabels_int64s": [0, 1, 2]}), _F32),
        "ZipMap/text": line(lambda b: (x(ROWS(b), 3), {"classlabels_strings": ["a", "b", "c"]}), _F32),
    }.items()
}  # fmt: skip


def _quantised(*shape: int) -> tuple[Arg, Arg, Arg]:
    return x(*shape), one(0.02, "float32"), one(3, "T")


_Q = (one(0.05, "float32"), one(5, "T"))

CONTRIB: Mapping[str, Line] = {
    SUB + op: entry
    for op, entry in {
        "Gelu": line(lambda b: (x(ROWS(b), 256), {}), _F32),
        "BiasGelu": line(lambda b: (x(ROWS(b), 256), w(256), {}), _F32),
        "FastGelu": line(lambda b: (x(ROWS(b), 256), w(256), {}), _F32),
        "QuickGelu": line(lambda b: (x(ROWS(b), 256), {}), _F32),
        "FusedMatMul": line(lambda b: (x(SEQ(b), 256), w(256, 256), {"transB": 1, "alpha": 0.5}), _F32),
        "FusedGemm": line(lambda b: (x(SEQ(b), 256), w(256, 256), w(256), {"activation": "Relu"}), _F32),
        "FusedConv": line(
            lambda b: (_image(b), w(32, 32, 3, 3), w(32), {"pads": [1, 1, 1, 1], "activation": "Relu"}), _F32
        ),
        "SkipLayerNormalization": line(lambda b: (x(1, ROWS(b), 256), x(1, ROWS(b), 256), w(256), w(256), {}), _F32),
        "SkipSimplifiedLayerNormalization": line(
            lambda b: (x(1, ROWS(b), 256), x(1, ROWS(b), 256), w(256), {}), _F32
        ),
        "Attention": line(
            lambda b: (x(1, SEQ(b), 256), w(256, 768), w(768), {"num_heads": 4}), _F32
        ),
        "QAttention": line(
            lambda b: (x(1, SEQ(b), 256), w(256, 768, t="int8"), w(768, t="float32"), one(0.02, "float32"),
                       one(0.01, "float32"), None, one(3, "T"), one(0, "int8"), {"num_heads": 4}), "uint8"
        ),
        "MultiHeadAttention": line(
            lambda b: (x(1, SEQ(b), 256), x(1, SEQ(b), 256), x(1, SEQ(b), 256), {"num_heads": 4}), _F32
        ),
        "RotaryEmbedding": line(
            lambda b: (x(1, SEQ(b), 256), Arg((1,), "int64", values=(0,)), w(512, 32), w(512, 32), {"num_heads": 4}),
            _F32,
        ),
        "EmbedLayerNormalization": line(
            lambda b: (Arg((1, SEQ(b)), "int32", 0, 99), Arg((1, SEQ(b)), "int32", 0, 1), w(100, 256, t="float32"),
                       w(512, 256, t="float32"), w(2, 256, t="float32"), w(256, t="float32"), w(256, t="float32"), {}),
            "int32", outputs=2,
        ),
        "QuantizeLinear": line(lambda b: (x(ROWS(b), 256), one(0.02, "T"), one(3, "uint8"), {}), _F32),
        "DequantizeLinear": line(lambda b: (x(ROWS(b), 256), one(0.02, "float32"), one(3, "T"), {}), "uint8 int8"),
        "QLinearAdd": line(lambda b: (*_quantised(ROWS(b), 256), *_quantised(ROWS(b), 256), *_Q, {}), "uint8 int8"),
        "QLinearMul": line(lambda b: (*_quantised(ROWS(b), 256), *_quantised(ROWS(b), 256), *_Q, {}), "uint8 int8"),
        "QLinearSigmoid": line(lambda b: (*_quantised(ROWS(b), 256), *_Q, {}), "uint8 int8"),
        "QLinearLeakyRelu": line(lambda b: (*_quantised(ROWS(b), 256), *_Q, {}), "uint8 int8"),
        "QLinearSoftmax": line(lambda b: (*_quantised(ROWS(b), 256), *_Q, {"opset": 13}), "uint8 int8"),
        "QLinearAveragePool": line(
            lambda b: (*_quantised(1, 32, SIDE(b), SIDE(b)), *_Q, {"kernel_shape": [2, 2], "strides": [2, 2]}), "uint8"
        ),
        "QLinearGlobalAveragePool": line(lambda b: (*_quantised(1, 32, SIDE(b), SIDE(b)), *_Q, {}), "uint8"),
        "QLinearConcat": line(
            lambda b: (*_Q, *_quantised(ROWS(b), 128), *_quantised(ROWS(b), 64), {"axis": 1}), "uint8 int8"
        ),
        "QLinearWhere": line(
            lambda b: (x(ROWS(b), 256, t="bool"), *_quantised(ROWS(b), 256), *_quantised(ROWS(b), 256), *_Q, {}),
            "uint8",
        ),
        "QLinearConv": line(
            lambda b: (*_quantised(1, 32, SIDE(b), SIDE(b)), w(32, 32, 3, 3, t="int8"), one(0.01, "float32"),
                       one(0, "int8"), *_Q, {"pads": [1, 1, 1, 1]}), "uint8"
        ),
        "QGemm": line(
            lambda b: (*_quantised(SEQ(b), 256), w(256, 256, t="int8"), one(0.01, "float32"), one(0, "int8"),
                       w(256, t="int32", low=-99, high=99), *_Q, {}), "uint8"
        ),
        "MatMulIntegerToFloat": line(
            lambda b: (x(SEQ(b), 256), w(256, 256, t="int8"), one(0.02, "float32"), one(0.01, "float32"), one(3, "T"),
                       one(0, "int8"), {}), "uint8"
        ),
        "DynamicQuantizeMatMul": line(
            lambda b: (x(SEQ(b), 256), w(256, 256, t="int8"), one(0.01, "float32"), one(0, "int8"), {}), _F32
        ),
        "MatMulNBits": line(
            lambda b: (x(SEQ(b), 256), Arg((256, 8, 16), "uint8", 0, 255, True), w(256 * 8),
                       {"K": 256, "N": 256, "bits": 4, "block_size": 32}), _F32
        ),
        "DynamicQuantizeLSTM": line(
            lambda b: (x(SEQ(b), 1, 64), w(1, 64, 256, t="int8"), w(1, 64, 256, t="int8"), w(1, 512), None, None, None,
                       None, of(0.01, t="float32"), of(0, t="int8"), of(0.01, t="float32"), of(0, t="int8"),
                       {"hidden_size": 64}), _F32, outputs=3,
        ),
        "CDist": line(lambda b: (x(SEQ(b), 32), x(SEQ(b), 32), {"metric": "euclidean"}), "float32 float64"),
        "ExpandDims": line(lambda b: (x(ROWS(b), 256), one(1, "int32"), {}), _F32),
        "GatherND": line(lambda b: (x(ROWS(b), 256), index(ROWS(b), 2, below=16), {}), _F32),
        "GridSample": line(lambda b: (_image(b), x(1, SIDE(b), SIDE(b), 2, t="float32"), {}), _F32),
        "GroupQueryAttention": line(
            lambda b: (x(1, SEQ(b), 256), x(1, SEQ(b), 128), x(1, SEQ(b), 128), None, None, fed(SEQ(b) - 1, t="int32"),
                       one(SEQ(b), "int32"), {"num_heads": 4, "kv_num_heads": 2}), _F32, outputs=3,
        ),
        "MatMulInteger16": line(lambda b: (x(SEQ(b), 64, t="int16", low=-9, high=9),
                                           x(64, 64, t="int16", low=-9, high=9), {}), "int16"),
        "MurmurHash3": line(lambda b: (x(ROWS(b), 16), {}), "int32 float32"),
        "NhwcMaxPool": line(lambda b: (x(1, SIDE(b), SIDE(b), 32), {"kernel_shape": [2, 2], "strides": [2, 2]}),
                            "uint8 int8"),
        "Pad": line(lambda b: (x(ROWS(b), 256), of(1, 2, 1, 2), {}), _F32),
        "Range": line(lambda b: (one(0, "T"), one(ROWS(b), "T"), one(1, "T"), {}), "float32 int64"),
        "SampleOp": line(lambda b: (x(ROWS(b), 256), {}), _F32),
        "Tokenizer": line(
            lambda b: (x(ROWS(b)), {"mark": 0, "mincharnum": 1, "pad_value": "#", "separators": ["a", " "]}), "string"
        ),
        "Trilu": line(lambda b: (x(ROWS(b), 256), {}), _F32),
        "UnfoldTensor": line(lambda b: (x(ROWS(b), 256), {"dim": 1, "size": 8, "step": 4}), _F32),
        "Unique": line(lambda b: (x(ROWS(b)), {}), _F32, outputs=3),
    }.items()
}  # fmt: skip

TABLE: Mapping[str, Line] = {
    **REDUCE, **IMAGES, **PRODUCTS, **ROWWISE, **MOVES, **TEXT, **LEARNERS, **CONTRIB
}  # fmt: skip
