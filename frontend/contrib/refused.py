"""Ops outside the standard that tools write and that are refused, each with the reason that the error and the page of
supported ops give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from arenaut.frontend.contrib.op import MICROSOFT

NCHWC = "com.microsoft.nchwc"

_GENERATE = "it is a whole generation loop; export the decoder alone and loop in the program around it"
_DEVICE = "onnxruntime runs it on GPUs alone, so that no result on a CPU says what it should be"
_PACKED = "its weights lie in the layout of one GPU; quantise the model for MatMulNBits instead"
_TRAINING = "it belongs to training"
_ROUTED = "experts that data chooses are not read yet; export them as If or as dense products"
_NEW = "an op that onnxruntime added lately and that is not read yet; export it as standard ops"
_OTHER = "another op of onnxruntime's that is not read yet; export with its optimiser off"


def _each(reason: str, ops: str) -> Iterable[tuple[tuple[str, str], str]]:
    return (((MICROSOFT, op), reason) for op in ops.split())


REASONS: Mapping[tuple[str, str], str] = MappingProxyType(
    dict(
        [
            *_each(_GENERATE, "BeamSearch GreedySearch Sampling WhisperBeamSearch"),
            *_each(_DEVICE, "BiasSplitGelu BiasSoftmax ComplexMul ComplexMulConj DecoderAttention "
                   "DynamicSparseAttention "
                   "DecoderMaskedSelfAttention FusedMatMulActivation GatedRelativePositionBias GemmaRotaryEmbedding "
                   "GroupNorm Irfft LongformerAttention MulInteger NhwcConv NhwcFusedConv PackedAttention "
                   "PackedMultiHeadAttention PagedAttention QLinearReduceMean ReduceSumInteger RelativePositionBias "
                   "RemovePadding RestorePadding Rfft SkipGroupNorm SparseAttentionIndexer SparsePagedAttention "
                   "TorchEmbedding MatMulNBitsMlp MatMulNBitsQkv MatMulNBitsQLoRA"),
            *_each(_PACKED, "DequantizeBFP DequantizeWithOrder GemmFloat8 MatMulBlockQuantizedFp4Weight "
                   "MatMulBlockQuantizedFp8Weight MatMulPacked "
                   "QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention "
                   "QOrderedMatMul QuantizeBFP QuantizeWithOrder"),
            *_each(_TRAINING, "BiasDropout BitmaskBiasDropout BitmaskDropout IsAllFinite"),
            *_each(_ROUTED, "MoEPacked MoEGroupRouter RouterGateUpProj"),
            *_each(_NEW, "ConvStateReplay EngramGate GatedDeltaNet "
                   "GatedDeltaNetStateReplay GatherPacked HyperConnectionLowRankMix "
                   "LinearAttention MRotaryEmbedding Mamba2Verify "
                   "NGramHashMapping PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge RMSNormRotary "
                   "SpeculativePrefixCommit SwiGLU VarlenCausalConvWithState VarlenNGramHashMapping"),
            *_each(_OTHER, "AttnLSTM BifurcationDetector DynamicTimeWarping "
                   "SparseAttention"),
            *_each("its first operand is a sparse tensor, a type that no value has here; store it dense for "
                   "MatMul", "SparseToDenseMatMul"),
            *((("", op), "an experiment of the standard's that it withdrew and that onnxruntime does not run") for op in
              ("GRUUnit", "GivenTensorFill")),
            *_each("it holds the code of one device", "EPContext Snpe"),
            *_each("onnxruntime has no such op any more; skl2onnx writes it for GaussianProcessClassifier", "Solve"),
            *(((NCHWC, op), "its weights lie in blocks of the machine that wrote the file; save the model with "
               "graph_optimization_level = ORT_ENABLE_EXTENDED") for op in
              ("AveragePool", "Conv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReorderInput", "ReorderOutput",
               "Upsample")),
        ]
    )
)  # fmt: skip
