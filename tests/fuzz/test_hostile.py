"""Inputs and models made to exhaust, to overflow or to lead astray: each ends in an error of arenaut's own, soon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.errors import (
    ExecutionError,
    ExternalDataError,
    InternalError,
    InvalidModelError,
    MemoryLimitError,
    ModelError,
    ModelLimitError,
    OptionError,
    RunTimeoutError,
    ShapeError,
)
from tests.fuzz import seeds
from tests.support.models import parse

LIMIT = 1 << 24
HUGE = np.int64(1) << 40
MOST = np.iinfo(np.int64).max


def model_of(name: str, **settings: Any) -> arenaut.Model:
    return arenaut.load_onnx(seeds.serialized(seeds.MODELS[name]), threads=1, max_memory=LIMIT, **settings)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


ONES = np.ones((2, 3), np.float32)
SIZES = {"x": np.ones(3, np.float32), "n": ints(1), "lower": np.float32(0), "upper": np.float32(2)}
PADS = {"x": ONES, "p": ints(0, 0, 0, 0), "d": ints(2, 2), "t": ints(1, 1)}


@pytest.mark.parametrize(
    ("name", "feeds", "error"),
    [
        ("sizes", {**SIZES, "n": ints(HUGE)}, MemoryLimitError),
        ("sizes", {**SIZES, "n": ints(MOST)}, ShapeError),
        ("sizes", {**SIZES, "n": ints(-1)}, ShapeError),
        ("sizes", {**SIZES, "upper": np.float32(1e12)}, MemoryLimitError),
        ("sizes", {**SIZES, "upper": np.float32(1e30)}, ExecutionError),
        ("sizes", {**SIZES, "upper": np.float32(np.nan)}, ExecutionError),
        ("padding", {**PADS, "p": ints(0, HUGE, 0, 0)}, MemoryLimitError),
        ("padding", {**PADS, "p": ints(MOST, MOST, MOST, MOST)}, (ShapeError, ExecutionError)),
        ("padding", {**PADS, "p": ints(-5, 0, 0, 0)}, ShapeError),
        ("padding", {**PADS, "d": ints(HUGE, 3)}, MemoryLimitError),
        ("padding", {**PADS, "d": ints(-2, 3)}, ShapeError),
        ("padding", {**PADS, "t": ints(HUGE, HUGE)}, ShapeError),
        ("padding", {**PADS, "t": ints(1, HUGE)}, MemoryLimitError),
        ("loops", {"n": np.int64(HUGE), "x": np.ones(3, np.float32)}, MemoryLimitError),
        ("loops", {"n": np.int64(MOST), "x": np.ones(3, np.float32)}, MemoryLimitError),
    ],
)
def test_sizes_that_data_gives(name: str, feeds: dict[str, Any], error: Any) -> None:
    with pytest.raises(error):
        model_of(name).run(feeds, timeout=30)


@pytest.mark.parametrize("scale", [1e6, 1e30, float("inf"), float("nan"), -1.0])
def test_scales(scale: float) -> None:
    feeds = {"x": np.ones((1, 1, 4, 4), np.float32), "s": np.array([1, 1, scale, scale], np.float32)}
    with pytest.raises((MemoryLimitError, ShapeError, ExecutionError)):
        model_of("resizing").run(feeds, timeout=30)


@pytest.mark.parametrize("key", ["i", "j", "k"])
@pytest.mark.parametrize("value", [99, -99, MOST, -MOST - 1])
def test_indices(key: str, value: int) -> None:
    feeds = {
        "x": np.ones((4, 5), np.float32), "i": ints(0, 1), "k": ints(2), "u": np.ones((2, 5), np.float32),
        "j": ints(0, 1, 2).reshape(3, 1),
    }  # fmt: skip
    model_of("choosing").run(feeds)
    feeds[key] = np.full_like(feeds[key], value)
    with pytest.raises((ExecutionError, ShapeError, MemoryLimitError)):
        model_of("choosing").run(feeds)


def test_loops_stop_at_their_time() -> None:
    body = "b (int64 i, bool go, float[3] v) => (bool on, float[3] w) { on = Identity(go) w = Add(v, x) }"
    text = f"g (int64 n, bool c, float[3] x) => (float[3] y) {{ y = Loop(n, c, x) < body = {body} > }}"
    feeds = {"n": np.int64(MOST), "c": np.bool_(True), "x": np.ones(3, np.float32)}
    with pytest.raises(RunTimeoutError):
        arenaut.load_onnx(seeds.serialized(text), threads=1).run(feeds, timeout=0.3)


# -- models ----------------------------------------------------------------------------------------------------


def loaded(model: onnx.ModelProto) -> arenaut.Model:
    return arenaut.load_onnx(model.SerializeToString(), threads=1, max_memory=LIMIT)


def test_functions_that_call_each_other() -> None:
    head = '<domain: "local", opset_import: ["" : 21, "local" : 1]>'
    text = f"""g (float[3] x) => (float[3] y) {{ y = local.one(x) }}
{head} one (v) => (w) {{ w = local.two(v) }}
{head} two (v) => (w) {{ w = local.one(v) }}"""
    with pytest.raises(InvalidModelError):
        arenaut.load_onnx(seeds.serialized(text), threads=1)


def test_functions_that_double_themselves() -> None:
    """Forty functions, each of which calls the next twice, stand for a million million nodes."""
    head = '<domain: "local", opset_import: ["" : 21, "local" : 1]>'
    parts = [f"{head} f{i} (v) => (w) {{ a = local.f{i + 1}(v) w = local.f{i + 1}(a) }}" for i in range(40)]
    text = (
        "g (float[3] x) => (float[3] y) { y = local.f0(x) }\n"
        + "\n".join(parts)
        + f"\n{head} f40 (v) => (w) {{ w = Neg(v) }}"
    )
    with pytest.raises(ModelLimitError, match="more than 5000 nodes"):
        arenaut.load_onnx(seeds.serialized(text), threads=1, limits=arenaut.Limits(nodes=5000))
    with pytest.raises(ModelLimitError, match=r"longer than the 0\.2 seconds"):
        arenaut.load_onnx(seeds.serialized(text), threads=1, limits=arenaut.Limits(seconds=0.2, nodes=1 << 40))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"nodes": 4}, "expand to more than 4 nodes"),
        ({"tensor_bytes": 100}, "takes 216 bytes, more than the 100"),
        ({"seconds": 0.0}, r"longer than the 0\.0 seconds"),
    ],
)
def test_limits_of_a_load(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelLimitError, match=said):
        model_of("convolutions", limits=arenaut.Limits(**limits))
    model_of("convolutions", limits=arenaut.Limits(nodes=5, tensor_bytes=216, text_bytes=0, seconds=600))


def test_text_has_a_limit() -> None:
    text = 'g (string[1] x) => (bool[1] y) { w = Constant<value_strings = ["abcdefgh"]>() y = Equal(x, w) }'
    data = seeds.serialized(text)
    arenaut.load_onnx(data, threads=1, limits=arenaut.Limits(text_bytes=8))
    with pytest.raises(ModelLimitError, match="a string of 8 bytes, more than the 7"):
        arenaut.load_onnx(data, threads=1, limits=arenaut.Limits(text_bytes=7))


@pytest.mark.parametrize("wrong", [{"nodes": -1}, {"nodes": 1.5}, {"text_bytes": True}, {"seconds": -1}])
def test_limits_are_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="expected"):
        arenaut.Limits(**wrong)


def test_branches_within_branches() -> None:
    ends = [helper.make_tensor_value_info("o", TensorProto.FLOAT, [3])]
    leaf = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "b", [], ends)
    inner = leaf
    for _ in range(25):
        node = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=leaf)
        inner = helper.make_graph([node], "b", [], ends)
    inputs = [helper.make_tensor_value_info("c", TensorProto.BOOL, []), helper.make_tensor_value_info("x", 1, [3])]
    graph = helper.make_graph(list(inner.node), "g", inputs, ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    feeds = {"c": np.bool_(True), "x": np.ones(3, np.float32)}
    try:
        assert loaded(model).run(feeds)["o"].tolist() == [-1, -1, -1]
    except InvalidModelError as error:
        assert "deep" in str(error)


@pytest.mark.parametrize("dims", [[1 << 40], [1 << 31, 1 << 31], [(1 << 63) - 1, 2], [-3], [0, 1 << 62]])
def test_dims_of_stored_tensors(dims: list[int]) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 12)
    node = helper.make_node("Identity", ["w"], ["y"])
    graph = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")], [tensor])
    with pytest.raises(ModelError):
        loaded(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


@pytest.mark.parametrize("shape", [[1 << 40, 1 << 40], [1 << 62], [-1]])
def test_constants_that_are_large_when_they_are_made(shape: list[int]) -> None:
    first = helper.make_node("Constant", [], ["s"], value_ints=shape)
    nodes = [first, helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Neg", ["c"], ["y"])]
    graph = helper.make_graph(nodes, "g", [], [onnx.ValueInfoProto(name="y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises((ModelError, MemoryLimitError)):
        loaded(model).run({})


@pytest.mark.parametrize(
    ("location", "offset", "length"),
    [
        ("data", 0, 13), ("data", -4, 12), ("data", 1 << 62, 12), ("data", 0, -1), ("data", 0, 1 << 62),
        ("none", 0, 12),
        ("../data", 0, 12), ("/etc/hostname", 0, 12), ("", 0, 12), ("data\0x", 0, 12),
    ],
)  # fmt: skip
def test_external_data(tmp_path: Path, location: str, offset: int, length: int) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for place in (folder, tmp_path):
        (place / "data").write_bytes(b"\0" * 12)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    node = helper.make_node("Identity", ["w"], ["y"])
    graph = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises((ExternalDataError, InvalidModelError)):
        arenaut.load_onnx(folder / "m.onnx", threads=1)


RULES = {
    "Cast to no element type": ("float[2] x) => (float[2] y) { y = Cast <to = 99> (x", "'to' is 99"),
    "EyeLike of no element type": ("float[2, 2] x) => (y) { y = EyeLike <dtype = -1> (x", "'dtype' is -1"),
    "a variadic op of nothing": ('float[2] x) => (float[2] y) { y = Max (""', "'data_0'"),
    "MaxUnpool of two dims by one": (
        "float[1, 1, 2, 2] x, int64[1, 1, 2, 2] i) => (y) { y = MaxUnpool <kernel_shape = [2]> (x, i",
        "2 spatial dims",
    ),
    "a one-hot of two depths": (
        "int64[2] x, float[2] v) => (y) <int64[2] d = {3, 4}> { y = OneHot (x, d, v",
        "2 elements, expected 1",
    ),
    "a range to two limits": (
        "int64 s) => (y) <int64[2] e = {3, 4}, int64 d = {1}> { y = Range (s, e, d",
        "2 elements, expected 1",
    ),
    "images of matrices": (
        "float[2, 2] x) => (y) <int64[2] s = {2, 2}, int64[2] b = {1, 1}> { y = Col2Im (x, s, b",
        "rank 2, expected 3",
    ),
    "a bias of three dims": (
        "float[1, 1, 2] x, float[1, 2, 2] w, float[1, 2, 2] r, float[1, 1, 4] b) => (y) {"
        " y = RNN <hidden_size = 2> (x, w, r, b",
        "rank 3, expected 2",
    ),
    "an activation of no name": (
        "float[1, 1, 2] x, float[1, 2, 2] w, float[1, 2, 2] r) => (y) {"
        ' y = RNN <hidden_size = 2, activations = ["Nothing"]> (x, w, r',
        "'Nothing' is no activation",
    ),
    "resizing along an axis of a scalar": (
        "float x) => (y) <float[1] s = {2.0}> { y = Resize <axes = [0]> (x, , s",
        "out of range for rank 0",
    ),
    "n-grams without a place": (
        'int64[3] x) => (float[3] y) { y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, max_gram_length = 1,'
        " max_skip_count = 0, ngram_counts = [0], ngram_indexes = [0], pool_int64s = [4, 5]> (x",
        "2 n-grams have 1 ngram_indexes",
    ),
    "n-grams that are no whole ones": (
        'int64[3] x) => (float[3] y) { y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, max_gram_length = 2,'
        " max_skip_count = 0, ngram_counts = [0, 0], ngram_indexes = [0, 1], pool_int64s = [4, 5, 6]> (x",
        "do not divide a pool of 3",
    ),
    "a mask that is a scalar": (
        "float[1, 1, 2, 4] q, bool m) => (float[1, 1, 2, 4] y) { y = Attention (q, q, q, m",
        "the mask has rank 0",
    ),
    "EyeLike of the type that stands for none": (
        "float[2, 2] x) => (y) { y = EyeLike <dtype = 0> (x",
        "'dtype' is 0",
    ),
    "Bernoulli of the type that stands for none": (
        "float[2, 2] x) => (y) { y = Bernoulli <dtype = 0> (x",
        "'dtype' is 0",
    ),
    "a window that is a scalar": (
        "float[1, 8, 1] x, float w) => (y) <int64 s = {2}> { y = STFT (x, s, w",
        "input 2 has rank 0, expected 1",
    ),
    "regions that are scalars": (
        "float[1, 1, 4, 4] x, float r, int64[1] b) => (y) { y = RoiAlign (x, r, b",
        "input 1 has rank 0, expected 2",
    ),
    "regions of three coordinates": (
        "float[1, 1, 4, 4] x, float[1, 3] r, int64[1] b) => (y) { y = RoiAlign (x, r, b",
        "4 is not 3",
    ),
    "a grid of one dim": (
        "float[1, 2, 3] t) => (y) <int64[1] s = {1}> { y = AffineGrid (t, s",
        "1 elements, expected 4 or 5",
    ),
    "a grid of three dims by transforms of two": (
        "float[1, 2, 3] t) => (y) <int64[5] s = {1, 1, 2, 2, 2}> { y = AffineGrid (t, s",
        "2 is not 3",
    ),
    "an update of another rank than the cache": (
        "float[1, 2, 4, 5] c, float[1] u) => (y) { y = TensorScatter (c, u",
        "input 1 has rank 1, expected 4",
    ),
    "a cache along the samples": (
        "float[1, 2, 4, 5] c, float[1, 2, 4, 5] u) => (y) { y = TensorScatter <axis = 0> (c, u",
        "the axis is that of the samples",
    ),
    "MaxUnpool to a matrix": (
        "float[1, 1, 2, 2] x, int64[1, 1, 2, 2] i) => (y) <int64[2] s = {4, 4}> {"
        " y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, i, s",
        "2 elements, expected 4",
    ),
    "MaxUnpool to less than was pooled": (
        "float[1, 1, 2, 2] x, int64[1, 1, 2, 2] i) => (y) <int64[4] s = {1, 1, 5, 3}> {"
        " y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, i, s",
        "below the 4 that were pooled",
    ),
    "a zero point of another rank": (
        "uint8[2, 3] x) => (y) <float s = {0.5}, uint8[1, 1, 2] z = {1, 2}> { y = DequantizeLinear (x, s, z",
        "a zero point of rank 3",
    ),
    "a region of three numbers": (
        "float[1, 1, 4, 4] x, float[1, 3] r) => (y) { y = MaxRoiPool <pooled_shape = [2, 2]> (x, r",
        "3 is not 5",
    ),
    "regions pooled to three dims": (
        "float[1, 1, 4, 4] x, float[1, 5] r) => (y) { y = MaxRoiPool <pooled_shape = [2, 2, 2]> (x, r",
        "3 entries, expected 2",
    ),
    "boxes without a limit that is there": (
        "float[1, 3, 4] b, float[1, 2, 3] s, int64[0] n) => (int64[] y) { y = NonMaxSuppression (b, s, n",
        "0 is not 1",
    ),
    "images of blocks of other rank": (
        "float[1, 4, 4] x) => (y) <int64[2] s = {2, 2}, int64[3] b = {1, 1, 1}> { y = Col2Im (x, s, b",
        "2 dims from blocks of 3",
    ),
    "cropping along an axis of a scalar": (
        "float x) => (y) <int64[1] s = {2}> { y = CenterCropPad <axes = [0]> (x, s",
        "out of range for rank 0",
    ),
    "recurrences of three directions": (
        "float[1, 1, 2] x, float[1, 2, 2] w, float[3, 2, 2] r) => (y) { y = RNN <hidden_size = 2> (x, w, r",
        "directions of R",
    ),
    "rotation of packed heads, which are not counted": (
        "float[1, 2, 4] x, float[1, 2, 2] c) => (y) { y = RotaryEmbedding (x, c, c",
        "num_heads is required",
    ),
    "norms along an axis of a scalar": (
        "float x) => (float y) { y = MeanVarianceNormalization <axes = [0]> (x",
        "out of range for rank 0",
    ),
}


@pytest.mark.parametrize("what", RULES)
def test_what_a_rule_refuses_is_the_models(what: str) -> None:
    text, message = RULES[what]
    text = text.replace("=> (y)", "=> (float[] y)")
    data = parse(f"agraph ({text}) }}", opset=24).SerializeToString()
    with pytest.raises(ModelError, match=message):
        arenaut.load_onnx(data, threads=1).run({})


@pytest.mark.parametrize("optimize", [True, False])
def test_a_scalar_among_what_is_joined_beside_an_open_rank(optimize: bool) -> None:
    text = """agraph (int64 a, int64 b, int64[k] axes) => (int64[] y) {
        u = Unsqueeze (b, axes)  y = Concat <axis = 0> (a, u) }"""
    model = arenaut.load_onnx(parse(text, opset=21), threads=1, optimize=optimize)
    with pytest.raises(ExecutionError, match="Concat"):
        model.run({"a": np.array(1), "b": np.array(2), "axes": ints(0)})


@pytest.mark.parametrize("op", ["ArgMax", "Softmax", "LayerNormalization", "EyeLike", "CenterCropPad"])
def test_a_rank_that_only_the_feed_has_is_refused_as_any(op: str) -> None:
    more = {"LayerNormalization": ", s", "CenterCropPad": ", n"}.get(op, "")
    y = "int64[]" if op == "ArgMax" else "float[]"
    axes = " <axes = [0]>" if op == "CenterCropPad" else ""
    model = parse(f"agraph (float[] x, float[1] s, int64[1] n) => ({y} y) {{ y = {op}{axes} (x{more}) }}", opset=21)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    made = arenaut.load_onnx(model.SerializeToString(), threads=1)
    with pytest.raises((ExecutionError, ShapeError), match=op):
        made.run({"x": np.array(1, np.float32), "s": np.ones(1, np.float32), "n": ints(1)})


@pytest.mark.parametrize(
    ("x", "w", "wanted"),
    [
        ((1, 4, 6, 5), (0, 4, 3, 2), (1, 0, 4, 4)),
        ((1, 4, 6, 5), (0, 2, 3, 2), (1, 0, 4, 4)),
        ((1, 4, 6, 1), (2, 4, 3, 2), (1, 2, 4, 0)),
        ((1, 4, 6, 1), (4, 1, 3, 2), (1, 4, 4, 0)),
        ((1, 4, 2, 5), (2, 4, 3, 2), (1, 2, 0, 4)),
    ],
)
def test_integer_convolutions_of_nothing(x: Any, w: Any, wanted: Any) -> None:
    text = f"agraph (uint8{[*x]} x, uint8{[*w]} w) => (int32[] y) {{ y = ConvInteger <group = {4 // w[1]}> (x, w) }}"
    model = arenaut.load_onnx(parse(text, opset=21), threads=1)
    y = model.run({"x": np.ones(x, np.uint8), "w": np.ones(w, np.uint8)})["y"]
    assert y.shape == wanted and y.dtype == np.int32


def test_texts_about_a_model_are_shown_whatever_their_bytes(tmp_path: Path) -> None:
    model = parse("agraph (float[batch] x) => (float[batch] y) { y = Relu (x) }", opset=21)
    model.producer_name, model.doc_string, model.graph.doc_string = "made by", "made of", "made for"
    model.metadata_props.add(key="made at", value="made in")
    data = model.SerializeToString().replace(b"made ", b"made\xab").replace(b"batch", b"\xabatch")
    made = arenaut.load_onnx(data, threads=1)
    made.save(tmp_path / "m")
    info = arenaut.load_onnx(tmp_path / "m").info
    assert (info.producer, info.doc, info.graph_doc) == ("made\ufffdby", "made\ufffdof", "made\ufffdfor")
    assert info.metadata == {"made\ufffdat": "made\ufffdin"} and info.shapes["x"] == ("\ufffdatch",)


def test_a_name_that_is_not_utf_8_in_the_body_of_a_function() -> None:
    score = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(n, score, [1, 1, 2, 4]) for n in "qkv"]
    value = helper.make_tensor_value_info("a_score", score, None)
    body = helper.make_graph([helper.make_node("Identity", ["a_score"], ["b_score"])], "bias", [value],
                             [helper.make_tensor_value_info("b_score", score, None)])  # fmt: skip
    node = helper.make_node("FlexAttention", ["q", "k", "v"], ["y"], domain="ai.onnx.preview", score_mod=body)
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", score, None)])
    imports = [helper.make_opsetid("", 24), helper.make_opsetid("ai.onnx.preview", 1)]
    data = helper.make_model(graph, opset_imports=imports, ir_version=11).SerializeToString()
    with pytest.raises(InvalidModelError, match="not UTF-8"):
        arenaut.load_onnx(data.replace(b"bias", b"b\xabas"), threads=1)


def test_text_that_is_not_utf_8_is_no_word_of_an_attribute() -> None:
    model = parse("""agraph (uint8[n] x) => (uint8[] y) { y = ImageDecoder <pixel_format = "?"> (x) }""", opset=20)
    model.graph.node[0].attribute[0].s = b"\xaf?"
    with pytest.raises(InvalidModelError, match=r"ImageDecoder.*'pixel_format' is .*expected one of RGB"):
        arenaut.load_onnx(model.SerializeToString(), threads=1)


def test_text_that_is_not_utf_8_reaches_an_evaluator() -> None:
    model = parse("""agraph (string[n] x) => (string[] y, int64[] z) { y, z = StringSplit <delimiter = "?"> (x) }""")
    model.graph.node[0].attribute[0].s = b"\xaf?"
    model.opset_import[0].version = 20
    y = arenaut.load_onnx(model.SerializeToString(), threads=1).run({"x": np.array(["a?b"], object)})["y"]
    assert y.tolist() == [["a?b"]]


@pytest.mark.parametrize("optimize", [True, False])
def test_a_scale_of_one_element_is_a_number_at_any_rank(optimize: bool) -> None:
    text = """agraph (uint8[2, 2, 3] a) => (uint8[] y)
        <float[1, 1] s = {0.5}, uint8[1, 1] z = {1}, uint8[3, 1] b = {3, 5, 7}, float t = {1.0}, uint8 o = {0}> {
        y = QLinearMatMul (a, s, z, b, s, z, t, o) }"""
    model = arenaut.load_onnx(parse(text, opset=21), threads=1, optimize=optimize)
    y = model.run({"a": np.arange(12, dtype=np.uint8).reshape(2, 2, 3)})["y"]
    assert y.tolist() == [[[1], [10]], [[19], [28]]]


def test_a_dim_beside_an_empty_one_may_be_of_any_size() -> None:
    outputs = model_of("shapes").run({"x": np.zeros((0, 1), np.float32), "k": ints(MOST)})
    assert outputs["y"].shape == (1, 0) and outputs["s"].shape == (2,)


def test_what_an_evaluator_refuses_is_the_feeds() -> None:
    text = """agraph (float[n, 4, 1] x, int64[2] s, int64[2] b) => (float[] y) { y = Col2Im (x, s, b) }"""
    model = arenaut.load_onnx(parse(text, opset=21), threads=1)
    with pytest.raises(ExecutionError, match=r"Col2Im.*at least one element"):
        model.run({"x": np.ones((1, 4, 1), np.float32), "s": ints(2, 2), "b": ints(0, 2)})
    with pytest.raises(ExecutionError, match="Col2Im"):
        model.run({"x": np.ones((1, 4, 1), np.float32), "s": ints(5, 5), "b": ints(2, 2)})


def test_a_fault_of_an_evaluator_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """agraph (float[n, 4, 1] x, int64[2] s, int64[2] b) => (float[] y) { y = Col2Im (x, s, b) }"""
    model = arenaut.load_onnx(parse(text, opset=21), threads=1)

    def broken(*_: Any) -> Any:
        raise KeyError("a table without this entry")

    monkeypatch.setattr("arenaut.ir.ops.vision.ints_attribute", broken)
    with pytest.raises(InternalError, match="Please report it"):
        model.run({"x": np.ones((1, 4, 1), np.float32), "s": ints(2, 2), "b": ints(2, 2)})
