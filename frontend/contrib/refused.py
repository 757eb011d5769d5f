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
_RECURRENT = "a recurrence over tokens that has no kernel here; export it as ONNX's LinearAttention or as a Scan"
_VARLEN = "it packs sequences whose bounds are data; export a padded batch and the op without Varlen"
_HASHED = "it hashes token ids before the model computes anything; do so where the feeds are made"


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
            *_each(_ROUTED, "MoEPacked RouterGateUpProj"),
            *_each("Sigmoid, TopK and ScatterElements say the same of a router's groups; export those",
                   "MoEGroupRouter"),
            *_each(_NEW, "ConvStateReplay EngramGate HyperConnectionLowRankMix MRotaryEmbedding "
                   "PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge RMSNormRotary "
                   "SpeculativePrefixCommit SwiGLU"),
            *_each(_RECURRENT, "GatedDeltaNet GatedDeltaNetStateReplay LinearAttention Mamba2Verify"),
            *_each(_VARLEN, "VarlenCausalConvWithState"),
            *_each(_HASHED, "NGramHashMapping VarlenNGramHashMapping"),
            *_each("its rows lie in packed formats of onnxruntime's own; export GatherBlockQuantized",
                   "GatherPacked"),
            *_each("an LSTM with attention that no exporter writes; export its steps as a Loop or Scan", "AttnLSTM"),
            *_each("it compares lists of tokens between the steps of a generation loop; do so in the program around "
                   "the decoder", "BifurcationDetector"),
            *_each("which keys a query sees is said by indices of blocks, which no attention here reads; export "
                   "GroupQueryAttention, or Attention with a mask", "SparseAttention"),
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
