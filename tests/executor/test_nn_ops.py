"""One-node models of ops with weights, through load_onnx: weights as initialisers, which kernels may pack at load.

The expected values come from the oracles of the record tests, which share no code with evaluators and kernels.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import arenaut
from arenaut.ir.dtypes import dtype_of
from arenaut.ir.errors import ShapeError
from arenaut.ir.graph import Node
from arenaut.ir.ops import find_record
from arenaut.ir.ops.support.fallback import node_proto
from arenaut.ir.record import Sample
from tests.support.models import assert_close, ort_outputs, parse
from tests.support.oracle import expected
from tests.support.records import assert_tolerable, node_of, samples_of

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


SIZES = ((5, 7), (8, 8), (1, 1), (13, 4), (6, 31))
GEOMETRY = (
    'auto_pad = "SAME_UPPER", kernel_shape = [3, 2], strides = [2, 3]',
    'auto_pad = "SAME_LOWER", kernel_shape = [2, 4], strides = [2, 1]',
    "kernel_shape = [3, 3], pads = [1, 2, 2, 1], strides = [2, 2]",
    "kernel_shape = [3, 2], pads = [2, 0, 2, 0], dilations = [2, 1]",
)
WINDOWS = (
    ("MaxPool", "ceil_mode = 1"),
    ("AveragePool", "ceil_mode = 1, count_include_pad = 1"),
    ("AveragePool", "count_include_pad = 0"),
    ("Conv", "group = 1"),
    ("Conv", "group = 3"),
    ("ConvTranspose", "group = 1"),
    ("ConvTranspose", "group = 3"),
)


@pytest.mark.parametrize("geometry", GEOMETRY)
@pytest.mark.parametrize(("op", "more"), WINDOWS)
def test_one_model_at_many_sizes(op: str, more: str, geometry: str) -> None:
    rng = np.random.default_rng(5)
    group = 3 if "group = 3" in more else 1
    kernel = [int(d) for d in geometry.partition("kernel_shape = [")[2].partition("]")[0].split(",")]
    weights = rng.standard_normal((3, 3 // group, *kernel)).astype(np.float32)
    has_weights = op.startswith("Conv")
    shape = ", ".join(str(d) for d in weights.shape)
    model = parse(
        f"""g (float[N, 3, H, W] x{f", float[{shape}] w" if has_weights else ""}) => (float[A, B, C, D] y) {{
          y = {op} <{geometry}, {more}> (x{", w" if has_weights else ""})
        }}"""
    )
    if has_weights:
        model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    loaded = arenaut.load_onnx(model)
    for height, width in SIZES:
        feeds = {"x": rng.standard_normal((2, 3, height, width)).astype(np.float32)}
        try:
            want = ort_outputs(model, feeds)
        except Exception:  # onnxruntime's own type: it refuses inputs that no window fits into
            assert loaded.run(feeds)["y"].size == 0
            continue
        assert_close(loaded.run(feeds)["y"], want[0], rtol=1e-5)


def test_products_broadcast_at_run_time() -> None:
    """Batch dims that are symbols may turn out to be one on either side."""
    model = parse("g (float[A, B, 3, K] x, float[C, D, K, 2] y) => (float[E, F, 3, 2] z) { z = MatMul (x, y) }")
    loaded = arenaut.load_onnx(model)
    rng = np.random.default_rng(6)
    for left, right in (((2, 4), (2, 4)), ((1, 4), (2, 1)), ((2, 1), (1, 1)), ((1, 1), (3, 2)), ((0, 1), (1, 5))):
        feeds = {"x": rng.standard_normal((*left, 3, 5)).astype(np.float32)}
        feeds["y"] = rng.standard_normal((*right, 5, 2)).astype(np.float32)
        want = np.matmul(feeds["x"].astype(np.float64), feeds["y"].astype(np.float64)).astype(np.float32)
        assert_close(loaded.run(feeds)["z"], want, rtol=1e-5)


@pytest.mark.parametrize(
    ("mode", "kernel", "stride", "size", "first"),
    [
        ("SAME_UPPER", 1, 2, 8, 0), ("SAME_UPPER", 1, 3, 9, 1), ("SAME_UPPER", 2, 4, 8, 1), ("SAME_UPPER", 1, 5, 10, 2),
        ("SAME_LOWER", 1, 3, 9, 0), ("SAME_LOWER", 1, 4, 8, 1), ("SAME_LOWER", 2, 4, 8, 0), ("SAME_LOWER", 1, 5, 10, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("symbolic", [False, True])
def test_pools_crop_where_strides_outrun_their_windows(
    mode: str, kernel: int, stride: int, size: int, first: int, symbolic: bool
) -> None:
    """SAME padding by the standard's formula is negative there: the first window starts at `first`."""
    length = "n" if symbolic else size
    text = f"""
        g (float[1, 1, {length}] x) => (float[1, 1, m] mean, float[1, 1, m] most, float[1, 1, m] norm)
        {{ mean = AveragePool <auto_pad = "{mode}", kernel_shape = [{kernel}], strides = [{stride}],
                count_include_pad = 1> (x)
           most = MaxPool <auto_pad = "{mode}", kernel_shape = [{kernel}], strides = [{stride}]> (x)
           norm = LpPool <auto_pad = "{mode}", kernel_shape = [{kernel}], strides = [{stride}], p = 1> (x) }}"""
    x = np.arange(1, size + 1, dtype=np.float32).reshape(1, 1, size)
    windows = np.stack([x[0, 0, i : i + kernel] for i in range(first, size, stride)])
    for optimize in (True, False):
        got = arenaut.load_onnx(parse(text), optimize=optimize).run({"x": x})
        np.testing.assert_array_equal(got["mean"][0, 0], windows.mean(axis=1))
        np.testing.assert_array_equal(got["most"][0, 0], windows.max(axis=1))
        np.testing.assert_array_equal(got["norm"][0, 0], windows.sum(axis=1))


@pytest.mark.parametrize("shape", [(), (6,), (4, 1), (4, 6)])
def test_a_product_of_constants_plus_a_value_of_unknown_rank(shape: tuple[int, ...]) -> None:
    """Whether C is a row of the result's columns is not known when the product is looked at."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=s).astype(np.float32) for s in ((4, 5), (5, 6), shape))
    node = helper.make_node("Gemm", ["a", "b", "c"], ["y"], alpha=0.5)
    info = helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [node], "g", [info], [out], [numpy_helper.from_array(a, "a"), numpy_helper.from_array(b, "b")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    np.testing.assert_allclose(arenaut.load_onnx(model).run({"c": c})["y"], 0.5 * (a @ b) + c, rtol=1e-5, atol=1e-6)


def test_columns_of_texts_are_refused_by_name() -> None:
    x = helper.make_tensor("x", onnx.TensorProto.STRING, [1, 1, 4], [b"a", b"b", b"c", b"d"])
    numbers = [numpy_helper.from_array(np.array(n, np.int64), s) for s, n in (("image", [2, 2]), ("block", [1, 1]))]
    node = helper.make_node("Col2Im", ["x", "image", "block"], ["y"])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.STRING, None)
    model = helper.make_model(
        helper.make_graph([node], "g", [], [out], [x, *numbers]), opset_imports=[helper.make_opsetid("", 21)]
    )
    with pytest.raises(ShapeError, match="texts, which have no sum"):
        arenaut.load_onnx(model)
