"""Ops that have no time of their own to compare, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from bench.op_sizes import ML, SUB

UNTIMED: Mapping[str, str] = {
    **dict.fromkeys(
        [
            "com.microsoft.BranchwiseRMSNorm",
            "com.microsoft.CausalConvWithState",
            "com.microsoft.ConvTransposeWithDynamicPads",
            "com.microsoft.CropAndResize",
            "com.microsoft.DecoderMaskedMultiHeadAttention",
            "com.microsoft.GatedAdd",
            "com.microsoft.GatedRMSNorm",
            "com.microsoft.GatherBlockQuantized",
            "com.microsoft.HyperConnectionPostMix",
            "com.microsoft.HyperConnectionPreMix",
            "com.microsoft.Inverse",
            "com.microsoft.LinearAttentionGate",
            "com.microsoft.MatMulBnb4",
            "com.microsoft.MatMulFpQ4",
            "com.microsoft.MaxpoolWithMask",
            "com.microsoft.MoE",
            "com.microsoft.NGramRepeatBlock",
            "com.microsoft.QEmbedLayerNormalization",
            "com.microsoft.QMoE",
            "com.microsoft.ScaledSiLU",
            "com.microsoft.WordConvEmbedding",
        ],
        "read into ops that have cases; not timed by itself yet",
    ),
    "com.microsoft.DynamicTimeWarping": "walks a path step by step on the host",
    "Constant": "gone when a model is read",
    "If": "costs what its bodies cost; whole models show it",
    "Loop": "costs what its bodies cost; whole models show it",
    "Scan": "costs what its bodies cost; whole models show it",
    **dict.fromkeys(
        [
            "Optional",
            "OptionalGetElement",
            "OptionalHasElement",
            "SequenceAt",
            "SequenceConstruct",
            "SequenceEmpty",
            "SequenceErase",
            "SequenceInsert",
            "SequenceLength",
            "SequenceMap",
            "SplitToSequence",
            "ConcatFromSequence",
        ],
        "hands on objects",
    ),
    "ImageDecoder": "onnxruntime has no such kernel",
    "CausalConvWithState": "onnxruntime has no such kernel",
    "LinearAttention": "onnxruntime has no such kernel",
    ML + "CastMap": "hands on objects",
    ML + "DictVectorizer": "hands on objects",
    ML + "TreeEnsemble": "the rows of TreeEnsembleRegressor, which onnxruntime gives to one class",
    SUB + "TransposeMatMul": "the older name of FusedMatMul",
    SUB + "BiasAdd": "onnxruntime has no such kernel on CPUs",
    SUB + "GemmFastGelu": "onnxruntime has no such kernel on CPUs",
    SUB + "StringSplit": "onnxruntime has no such kernel; it is of another domain's library",
}
