"""Small valid models that are then damaged, in ONNX's text form: wiring, bodies, functions, sizes that data decides."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import onnx

_HEAD = '<ir_version: 10, opset_import: ["" : 21, "local" : 1, "ai.onnx.ml" : 3, "com.microsoft" : 1]>'

MODELS: Mapping[str, str] = MappingProxyType(
    {
        "convolutions": """
g (float[1, 2, 8, 8] x) => (float[1, 3] y)
<float[3] b = {0.1, 0.2, 0.3}, float[3, 2, 3, 3] w = {
  1,1,1,1,1,1,1,1,1, 1,1,1,1,1,1,1,1,1, 1,1,1,1,1,1,1,1,1, 1,1,1,1,1,1,1,1,1, 1,1,1,1,1,1,1,1,1, 1,1,1,1,1,1,1,1,1}>
{ c = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, w, b)
  r = Relu(c)
  m = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
  a = GlobalAveragePool(m)
  y = Flatten(a) }""",
        "shapes": """
g (float[N, M] x, int64[1] k) => (float[P, Q] y, int64[R] s)
{ s = Shape(x)
  minus = Constant<value_ints = [-1]>()
  j = Concat<axis = 0>(minus, k)
  r = Reshape(x, j)
  t = Transpose<perm = [1, 0]>(r)
  two = Constant<value_ints = [1, 2]>()
  e = Tile(t, two)
  zero = Constant<value_ints = [0]>()
  one = Constant<value_ints = [1]>()
  y = Slice(e, zero, one, zero) }""",
        "sizes": """
g (int64[1] n, float[A] x, float lower, float upper) => (float[B] y, float[C] z, int64[1, D] w, float[E] u)
{ half = Constant<value_float = 0.5>()
  y = Range(lower, upper, half)
  z = ConstantOfShape(n)
  w = NonZero(x)
  flat = Constant<value_ints = [-1]>()
  w1 = Reshape(w, flat)
  u = Gather(x, w1) }""",
        "padding": """
g (float[2, 3] x, int64[4] p, int64[2] d, int64[2] t) => (float[P, Q] y, float[R, S] z, float[T, U] v)
{ y = Pad(x, p)
  one = Constant<value_float = 1.0>()
  z = Expand(one, d)
  v = Tile(x, t) }""",
        "resizing": """
g (float[1, 1, 4, 4] x, float[4] s) => (float[1, 1, H, W] y)
{ y = Resize<mode = "linear">(x, , s) }""",
        "choosing": """
g (float[4, 5] x, int64[2] i, int64[1] k, float[2, 5] u, int64[3, 1] j) => (float[2, 5] a, float[4, K] b, int64[4, K] c, float[4, 5] d, float[3, 5] e)
{ a = Gather<axis = 0>(x, i)
  b, c = TopK(x, k)
  i2 = Unsqueeze(i, one)
  one = Constant<value_ints = [1]>()
  d = ScatterND(x, i2, u)
  e = GatherND(x, j) }""",
        "branches": """
g (bool c, float[N] x) => (float[M] y)
{ y = If(c) <
    then_branch = t () => (float[M] a) { a = Add(x, x) },
    else_branch = e () => (float[M] b) { two = Constant<value_float = 2.0>() b = Mul(x, two) }> }""",
        "loops": """
g (int64 n, float[3] x) => (float[3] y, float[K, 3] all)
{ true = Constant<value = bool {1}>()
  y, all = Loop(n, true, x) <
    body = b (int64 i, bool go, float[3] v) => (bool on, float[3] w, float[3] out) {
      on = Identity(go)
      w = Add(v, x)
      out = Mul(w, v) }> }""",
        "scans": """
g (float[S, 2] x) => (float[2] last, float[S, 2] y)
{ zero = Constant<value = float[2] {0, 0}>()
  last, y = Scan(zero, x) < num_scan_inputs = 1,
    body = b (float[2] state, float[2] v) => (float[2] next, float[2] out) {
      next = Add(state, v)
      out = Identity(next) }> }""",
        "layers": """
g (float[B, 4] x) => (float[B, 3] y)
<float[4, 6] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6}, float[6] b = {1,2,3,4,5,6}, float[6, 3] v = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}, float[6] s = {1,1,1,1,1,1}>
{ h = Gemm(x, w, b)
  n = LayerNormalization(h, s, b)
  g = Gelu(n)
  p = MatMul(g, v)
  y = Softmax(p) }""",
        "functions": """
g (float[3] x) => (float[3] y)
{ a = local.twice(x)
  y = local.scaled<by = 2.0>(a) }
<domain: "local", opset_import: ["" : 21, "local" : 1]>
twice (v) => (w) { w = Add(v, v) }
<domain: "local", opset_import: ["" : 21, "local" : 1]>
scaled <by> (v) => (w) { c = Constant<value_float: float = @by>() t = local.twice(v) w = Mul(t, c) }""",
        "classes": """
g (float[R, 2] x) => (int64[R] label, seq(map(int64, float)) p)
{ label, s = ai.onnx.ml.LinearClassifier<classlabels_ints = [0, 1, 2], coefficients = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], intercepts = [0.1, 0.2, 0.3], post_transform = "SOFTMAX">(x)
  p = ai.onnx.ml.ZipMap<classlabels_int64s = [0, 1, 2]>(s) }""",
        "trees": """
g (float[R, 2] x) => (float[R, 1] y)
{ y = ai.onnx.ml.TreeEnsembleRegressor<n_targets = 1, nodes_treeids = [0, 0, 0], nodes_nodeids = [0, 1, 2], nodes_featureids = [1, 0, 0], nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values = [0.5, 0.0, 0.0], nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0], target_treeids = [0, 0], target_nodeids = [1, 2], target_ids = [0, 0], target_weights = [1.0, 2.0]>(x) }""",
        "quantised": """
g (float[2, 4] x) => (float[2, 2] y)
<uint8[4, 2] w = {1,2,3,4,5,6,7,8}, float sw = {0.5}, uint8 zw = {3}>
{ q, s, z = DynamicQuantizeLinear(x)
  m = MatMulInteger(q, w, z, zw)
  f = Cast<to = 1>(m)
  t = Mul(s, sw)
  y = Mul(f, t) }""",
        "fused": """
g (float[1, 3, 4] x) => (float[1, 3, 4] y)
<float[4, 12] w = {1,2,3,4,5,6,7,8,9,1,2,3, 1,2,3,4,5,6,7,8,9,1,2,3, 1,2,3,4,5,6,7,8,9,1,2,3, 1,2,3,4,5,6,7,8,9,1,2,3}, float[12] b = {0,0,0,0,0,0,0,0,0,0,0,0}>
{ y = com.microsoft.Attention<num_heads = 2>(x, w, b) }""",
    }
)


@cache
def serialized(body: str) -> bytes:
    return bytes(onnx.parser.parse_model(f"{_HEAD}\n{body}").SerializeToString())
