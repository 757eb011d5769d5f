"""One-node models of ops with weights, through load_onnx: weights as initialisers, which kernels may pack at load.

The expected values come from the oracles of the record tests, which share no code with evaluators and kernels.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from arenaut.ir.dtypes import dtype_of
from arenaut.ir.graph import Node
from arenaut.ir.ops import find_record
from arenaut.ir.ops.fallback import node_proto
from arenaut.ir.record import Sample
from onnx import helper, numpy_helper
from oracle import expected
from records import assert_tolerable, node_of, samples_of

import arenaut

WEIGHTED = (
    "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DequantizeLinear", "Einsum", "Gemm",
    "GroupNormalization", "InstanceNormalization", "LayerNormalization", "MatMul", "MatMulInteger", "QLinearConv",
    "QLinearMatMul", "QuantizeLinear", "RMSNormalization",
)  # fmt: skip


def model_of(node: Node, sample: Sample) -> onnx.ModelProto:
    """The node as a model with input 0, of symbolic dims, and all other inputs as initialisers."""
    proto = node_proto(node)
    given = {n: x for n, x in zip(proto.input, sample.inputs, strict=True) if n and x is not None}
    (first, x), *rest = given.items()
    info = helper.make_tensor_value_info(first, int(dtype_of(x)), [f"d{i}" for i in range(x.ndim)])
    outputs = [onnx.ValueInfoProto(name=n) for n in proto.output if n]
    graph = helper.make_graph([proto], "one", [info], outputs, [numpy_helper.from_array(w, n) for n, w in rest])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx.defs.onnx_opset_version())])


@pytest.mark.parametrize("op", WEIGHTED)
def test_every_sample_with_constant_weights(op: str) -> None:
    record = find_record("", op)
    assert record is not None
    for sample in samples_of(record):
        if any(x is not None and dtype_of(x).is_float and x.dtype.itemsize < 4 for x in sample.inputs):
            continue
        node, _ = node_of(record, sample)
        results = arenaut.load_onnx(model_of(node, sample)).run(np.asarray(sample.inputs[0]))
        wanted = expected(node, list(sample.inputs), inexact=record.tolerance.kind != "exact")
        for got, want in zip(results.values(), wanted, strict=True):
            assert_tolerable(record, node, sample, got, want)
