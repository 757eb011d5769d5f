"""Attributes outside what the standard allows are refused by name."""

from __future__ import annotations

import pytest

import arenaut
from arenaut.errors import InvalidModelError
from tests.support.models import parse

CASES = {
    "keepdims": "float[2, 3] x) => (float[] y) { y = ReduceSum <keepdims = 2> (x)",
    "keepdims of ArgMax": "float[2, 3] x) => (int64[] y) { y = ArgMax <keepdims = -1> (x)",
    "reduction": 'float[4] x) => (float[] y) <int64[1] i = {0}> { y = ScatterElements <reduction = "foo"> (x, i, x)',
    "reduction of ScatterND": "float[4] x) => (float[] y) <int64[4, 1] i = {0, 1, 2, 3}> "
    '{ y = ScatterND <reduction = "sum"> (x, i, x)',
    "reduction of a loss": "float[4, 2] x, int64[4] t) => (float[] y) "
    '{ y = SoftmaxCrossEntropyLoss <reduction = "foo"> (x, t)',
    "batch_dims": "float[4, 2] x, int64[4, 1] i) => (float[] y) { y = GatherND <batch_dims = -1> (x, i)",
    "p": "float[4, 2] x) => (float[] y) { y = LpNormalization <p = 3> (x)",
    "p of LpPool": "float[1, 1, 4, 2] x) => (float[] y) { y = LpPool <p = -1, kernel_shape = [2, 2]> (x)",
    "p of GlobalLpPool": "float[1, 1, 4, 2] x) => (float[] y) { y = GlobalLpPool <p = 0> (x)",
    "q_num_heads": "float[1, 4, 8] x) => (float[] y) { y = Attention <q_num_heads = -2, kv_num_heads = 2> (x, x, x)",
    "scale": "float[1, 2, 4, 8] x) => (float[] y) { y = Attention <scale = nan> (x, x, x)",
    "num_heads": "float[1, 4, 8] x, float[1, 4, 4] c) => (float[] y) { y = RotaryEmbedding <num_heads = -1> (x, c, c)",
    "mode": 'float[4, 4] x) => (float[] y) <float[2] s = {2, 2}> { y = Resize <mode = "foo"> (x, , s)',
    "mode of Pad": 'float[4] x) => (float[] y) <int64[2] s = {1, 1}> { y = Pad <mode = "foo"> (x, s)',
    "mode of DepthToSpace": 'float[1, 4, 4, 4] x) => (float[] y) { y = DepthToSpace <blocksize = 2, mode = "foo"> (x)',
    "blocksize": "float[1, 4, 4, 4] x) => (float[] y) { y = DepthToSpace <blocksize = 0> (x)",
    "group": "float[1, 4, 4, 4] x, float[4, 4, 1, 1] w) => (float[] y) { y = Conv <group = 0> (x, w)",
    "strides": "float[1, 4, 4, 4] x, float[4, 4, 1, 1] w) => (float[] y) { y = Conv <strides = [0, 1]> (x, w)",
    "auto_pad": 'float[1, 4, 4, 4] x, float[4, 4, 1, 1] w) => (float[] y) { y = Conv <auto_pad = "foo"> (x, w)',
    "direction": 'uint8[4] x) => (uint8[] y) { y = BitShift <direction = "foo"> (x, x)',
    "direction of LSTM": "float[1, 1, 4] x, float[1, 16, 4] w) => (float[] y) "
    '{ y = LSTM <hidden_size = 4, direction = "foo"> (x, w, w)',
    "approximate": 'float[4] x) => (float[] y) { y = Gelu <approximate = "foo"> (x)',
    "largest": "float[4] x) => (float[] y, int64[] i) <int64[1] k = {2}> { y, i = TopK <largest = 2> (x, k)",
    "num_groups": "float[1, 4, 4] x, float[4] s) => (float[] y) { y = GroupNormalization <num_groups = 0> (x, s, s)",
    "exclusive": "float[4] x) => (float[] y) <int64 a = {0}> { y = CumSum <exclusive = 2> (x, a)",
    "mode of SpaceToDepth": 'float[1, 1, 4, 4] x) => (float[] y) { y = SpaceToDepth <blocksize = 2, mode = ""> (x)',
    "softmax_precision": "float[1, 2, 4, 8] x) => (float[] y) { y = Attention <softmax_precision = 8> (x, x, x)",
    "stash_type": "float[2, 4] x, float[4] s) => (float[] y) { y = LayerNormalization <stash_type = 7> (x, s)",
    "to": "double[3] x) => (int64[3] y) { y = BitCast <to = 8> (x)",
    "precision": "float[3] x, float s) => (uint8[3] y) { y = QuantizeLinear <precision = 8> (x, s)",
    "round_mode": 'float[3] x) => (float16[3] y) { y = Cast <to = 10, round_mode = "foo"> (x)',
    "activation": "float[1, 2, 4] x, float[2, 1, 3] w) => (float[] y, float[] z) "
    '{ y, z = CausalConvWithState <activation = "foo"> (x, w)',
    "size": "float[1, 4, 4, 4] x) => (float[] y) { y = LRN <size = 0> (x)",
}


@pytest.mark.parametrize("name", CASES)
def test_values_outside_the_range_are_refused(name: str) -> None:
    proto = parse(f"agraph ({CASES[name]} }}", opset=28)
    with pytest.raises(InvalidModelError, match=rf"its attribute '{name.split()[0]}' is .*expected"):
        arenaut.load_onnx(proto)


def test_older_words_are_those_of_their_opset() -> None:
    text = (
        'agraph (float[1, 1, 4, 4] x, float[1, 2, 2, 2] g) => (float[] y) { y = GridSample <mode = "bilinear"> (x, g) }'
    )
    arenaut.load_onnx(parse(text, opset=16))
    with pytest.raises(InvalidModelError, match="'mode' is bilinear, expected one of linear"):
        arenaut.load_onnx(parse(text, opset=20))
