"""The version steps that need no rule, each with the reason why a node of the older version still means the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

# Reason, and the steps as "Op from-version from-version; ...". Ops outside the standard domain carry theirs.
_REASONS: tuple[tuple[str, str], ...] = (
    (
        "only more element types are allowed",
        """
    Acos 7; Acosh 9; Add 7; Asin 7; Asinh 9; Atan 7; Atanh 9; Bernoulli 15; Cast 19 21 24 25; CastLike 19 21 24;
    Celu 12; Clip 11; Compress 11; Concat 11; Constant 1 12 13 19 21 23 24; ConstantOfShape 9 20 21 23 24; Conv 11;
    ConvTranspose 11; Cos 7; Cosh 9; CumSum 11; DeformConv 19; DepthToSpace 13; DequantizeLinear 23 24 25; Det 11;
    Div 7; Dropout 12; Einsum 12; Elu 6; Equal 7 11 13; Erf 9; Exp 6; Expand 8; Flatten 1 11 13 21 23 24; GRU 14;
    Gemm 7; GlobalAveragePool 1; GlobalLpPool 2; GlobalMaxPool 1; Greater 7 9; GreaterOrEqual 12; GridSample 20;
    HardSigmoid 6; HardSwish 14; Identity 1 13 14 16 19 21 23 24; If 1 11 13 16 19 21 23 24; InstanceNormalization
    6; IsInf 10; IsNaN 9 13; LeakyRelu 6; Less 7 9; LessOrEqual 12; Log 6; Loop 16 19 21 23 24; LpNormalization 1;
    LpPool 18; MatMul 1 9; Max 8 12; MaxRoiPool 1; MaxUnpool 11; Mean 8; Min 8 12; Mish 18; Mul 7; Multinomial 7;
    Neg 6; NegativeLogLikelihoodLoss 13; NonZero 9; OneHot 11; Optional 15; OptionalGetElement 18;
    OptionalHasElement 18; PRelu 7; Pad 19 21 23 24; Pow 7 12 13; QLinearMatMul 10; RNN 14; RandomNormal 1;
    RandomNormalLike 1; RandomUniform 1; RandomUniformLike 1; Reciprocal 6; ReduceLogSum 18; ReduceLogSumExp 18;
    Relu 6 13; Reshape 5 14 19 21 23 24; ReverseSequence 10; RoiAlign 16; Round 11; Scan 11 16 19 21 23 24;
    ScatterElements 11; ScatterND 11; Selu 6; Shape 1 15 19 21 23 24; Sigmoid 6; Sign 9; Sin 7; Sinh 9; Size 1 13 19
    21 23 24; Softplus 1; Softsign 1; SpaceToDepth 1; SplitToSequence 11; Sqrt 6; Squeeze 13 23 24; Sub 7; Sum 8;
    Tan 7; Tanh 6; ThresholdedRelu 10; Tile 6; TopK 11; Transpose 1 21 23; Unique 11; Unsqueeze 13 23 24; Where 9
        """,
    ),
    (
        "the text says the same in other words, or allows more element types",
        """
    Abs 6; Add 13; ArgMax 12; ArgMin 12; Cast 6; Ceil 6; Clip 12; Conv 1; DepthToSpace 11; Div 13; Dropout 13;
    EyeLike 9; Floor 6; Gather 11; GatherElements 11; GatherND 12; Gemm 1 11; LRN 1; LSTM 14; Loop 1 11 13; LpPool
    2; MaxPool 10; MaxUnpool 9; MeanVarianceNormalization 9; Mul 13; NegativeLogLikelihoodLoss 12; NonMaxSuppression
    10; Pad 11; QuantizeLinear 23 24 25; ReduceL1 11; ReduceL2 11; ReduceLogSum 11; ReduceLogSumExp 11; ReduceMax 11
    12; ReduceMean 11; ReduceMin 11 12; ReduceProd 11; ReduceSumSquare 11; Squeeze 21; Sub 13; Transpose 13 24;
    Unsqueeze 21; BatchNormalization 14; Split 2
        """,
    ),
    (
        "what is new is optional and by default leaves the old meaning, or was an error before",
        """
    ArgMax 11; ArgMin 11; Attention 23 24; AveragePool 1 7 11; BitShift 11; Cast 9 13; CastLike 15 23; Constant 9
    11; DepthToSpace 1; DequantizeLinear 10 13 19 21; GRU 7; GatherND 11; Gemm 9; LSTM 7; ai.onnx.ml.LabelEncoder 2;
    LpPool 11; MaxPool 1 8; Mod 13; OptionalGetElement 15; OptionalHasElement 15; PRelu 9; Pad 13 18; QuantizeLinear
    10 13 19 21; RNN 7; Range 11; ReduceMax 18; ReduceMin 18; Reshape 13; Resize 13 18; ScatterElements 13 16;
    ScatterND 13 16; Shape 13; SpaceToDepth 13; TopK 10; ai.onnx.ml.TreeEnsembleClassifier 1;
    ai.onnx.ml.TreeEnsembleRegressor 1
        """,
    ),
    (
        "axes, or indices, may now also count from the back",
        """
    ArgMax 1; ArgMin 1; Compress 9; Concat 4; Flatten 9; Gather 1; Hardmax 1; LogSoftmax 1; OneHot 9; ReduceL1 1;
    ReduceL2 1; ReduceLogSum 1; ReduceLogSumExp 1; ReduceMax 1; ReduceMean 1; ReduceMin 1; ReduceProd 1; ReduceSum
    1; ReduceSumSquare 1; Scan 9; Slice 10; Softmax 1; Squeeze 1; Unsqueeze 1
        """,
    ),
    (
        "inputs, which had to have one shape, may now be broadcast",
        """
    Max 6; Mean 6; Min 6; Sum 6
        """,
    ),
    (
        "the text, or an edge that no implementation followed as written, was corrected",
        """
    AveragePool 10 19; Cast 23; ConvTranspose 1; MaxPool 11 12; Mod 10; Slice 11; SoftmaxCrossEntropyLoss 12
        """,
    ),
)


@cache
def unchanged() -> Mapping[tuple[str, str, int], str]:
    """(domain, op, version) to the reason why the next version means the same."""
    table: dict[tuple[str, str, int], str] = {}
    for reason, steps in _REASONS:
        for entry in steps.split(";"):
            name, *since = entry.split()
            domain, _, op = name.rpartition(".")
            for version in since:
                if (domain, op, int(version)) in table:
                    raise ValueError(f"{op} {version} stands under two reasons")
                table[domain, op, int(version)] = reason
    return MappingProxyType(table)
