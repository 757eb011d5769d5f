"""What runs through Python evaluators, by op. These lists only shrink."""

from __future__ import annotations

from collections.abc import Mapping

# Ops whose rules have no kernel row yet, or not for every type or attribute sampled: they run through their evaluator.
# This list only shrinks.
THROUGH_EVALUATOR = frozenset(
    {
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "LabelEncoder",
        "LpPool",
        "Unique",
    }
)

# Ops of the official cases that run through Python when the graph is optimised and arguments such as shapes and axes
# are constants, with the reasons: see `python_reason`.
HOST_CALLS: Mapping[str, str] = {
    "BatchNormalization": "kernel",
    "Cast": "kernel",
    "Dropout": "kernel",
    "Equal": "text",
    "Identity": "objects",
    "ImageDecoder": "kernel",
    "LinearAttention": "kernel",
    "LpPool": "kernel",
    "Mod": "kernel",
    "OneHot": "kernel",
    "Optional": "objects",
    "OptionalGetElement": "objects",
    "OptionalHasElement": "objects",
    "RegexFullMatch": "text",
    "SequenceAt": "objects",
    "SequenceConstruct": "objects",
    "SequenceEmpty": "objects",
    "SequenceErase": "objects",
    "SequenceInsert": "objects",
    "SequenceLength": "objects",
    "SplitToSequence": "objects",
    "StringConcat": "text",
    "StringNormalizer": "text",
    "StringSplit": "text",
    "Unique": "kernel",
    "ai.onnx.ml.LabelEncoder": "text",
    "ai.onnx.ml.TreeEnsemble": "kernel",
    "ai.onnx.preview.FlexAttention": "kernel",
    "ai.onnx.preview.training.Adagrad": "kernel",
    "ai.onnx.preview.training.Adam": "kernel",
    "ai.onnx.preview.training.Momentum": "kernel",
}

# As HOST_CALLS, for the further ops and reasons when those arguments are only known at run time.
AT_RUN_TIME: Mapping[str, str] = {
    "AffineGrid": "kernel",
    "Col2Im": "kernel",
    "CumProd": "kernel",
    "CumSum": "kernel",
    "Pad": "kernel",
    "ReduceL1": "kernel",
    "ReduceL2": "kernel",
    "ReduceLogSum": "kernel",
    "ReduceLogSumExp": "kernel",
    "ReduceMax": "kernel",
    "ReduceMean": "kernel",
    "ReduceMin": "kernel",
    "ReduceProd": "kernel",
    "ReduceSum": "kernel",
    "ReduceSumSquare": "kernel",
    "Resize": "kernel",
    "STFT": "kernel",
    "Trilu": "kernel",
}
