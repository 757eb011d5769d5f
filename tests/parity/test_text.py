"""Text pipelines as skl2onnx and onnxmltools write them, against onnxruntime."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import arenaut
from arenaut.errors import InvalidModelError
from tests.support.importing import tensor_info

MICROSOFT = "com.microsoft"
DOCUMENTS = np.array(
    ["This is the first document.", "this document is THE second document!", "", "café x-ray, 12 and 3 of it?", "a"],
    object,
)  # fmt: skip


def text_model(
    nodes: list[onnx.NodeProto], shape: list[Any], dtype: int = TensorProto.STRING, given: int = TensorProto.STRING
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "text", [tensor_info("x", shape, given)], [tensor_info("y", None, dtype)])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def same_as_ort(model: onnx.ModelProto, x: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": x})
    got = arenaut.load_onnx(model).run(x=x)["y"]
    assert got.shape == want.shape and got.dtype == want.dtype
    assert got.tolist() == want.tolist()
    return got


def tokenizer(**attributes: Any) -> onnx.NodeProto:
    stated = {"mark": 0, "mincharnum": 1, "pad_value": "#", **attributes}
    return helper.make_node("Tokenizer", ["x"], ["y"], domain=MICROSOFT, **stated)


@pytest.mark.parametrize(
    "attributes",
    [
        {"separators": [" "]},
        {"separators": [" ", "[.!?,]"], "mark": 1, "pad_value": "<pad>"},
        {"separators": ["\\s+"], "mincharnum": 3},
        {"separators": ["a|ab"]},
        {"separators": ["t*"]},
        {"separators": [""]},
        {"separators": [""], "mark": 1},
        {"tokenexp": "."},
        {"tokenexp": "[a-zA-Z0-9_]+"},
        {"tokenexp": "\\b\\w\\w+\\b"},
        {"tokenexp": "s|sec|is "},
        {"tokenexp": "e*", "mincharnum": 1, "mark": 1},
        {"tokenexp": "[^ ]+", "mincharnum": 4},
        {"tokenexp": "(d|o|c)+t??"},
    ],
    ids=str,
)
def test_tokens_are_onnxruntimes(attributes: dict[str, Any]) -> None:
    model = text_model([tokenizer(**attributes)], ["n"])
    same_as_ort(model, DOCUMENTS)
    same_as_ort(model, DOCUMENTS[2:3])
    same_as_ort(text_model([tokenizer(**attributes)], ["n", "m"]), DOCUMENTS[1:].reshape(2, 2))
    rng = random.Random(7)
    words = ["".join(rng.choice("ab  ,.sl0é☃-et") for _ in range(rng.randrange(14))) for _ in range(200)]
    same_as_ort(model, np.array(words, object))


@pytest.mark.parametrize("pattern", [
    "[[:alpha:]]+", "[[:^alpha:]]+", "[[:upper:][:digit:]_]+", "[^[:space:]]+", "[[:punct:]]", "[[:word:]-]+", "[]a]+",
    "[^]a]+", "[a[]+", "[&&~|]+", "\\pL+", "\\p{L}+", "\\p{Lu}", "\\P{L}+", "\\p{^N}+", "[\\p{L}\\p{N}]+",
    "[^\\pL\\s]+",
    "[\\P{Ll}]+", "\\p{Any}{2}", "[\\D]+", "[\\W\\d]+", "\\S+", "[^\\S]+", "\\Qa.b\\E+", "\\x{e9}+", "\\x{2603}|\\x41",
    "(?i)É|x",
    "\\pZ+", "\\p{Sc}|\\p{So}", "[\\pS[:digit:]]+",
])  # fmt: skip
def test_classes_of_characters_are_onnxruntimes(pattern: str) -> None:
    """Of POSIX and of Unicode's categories, which Python's regular expressions do not have."""
    rng = random.Random(7)
    letters = "abzAZ09_-.,!?[]&|~^ \t\n\v\u00a0éÉßд漢字☃€$+٣Ⅷ\u0301"
    words = ["".join(rng.choice(letters) for _ in range(rng.randrange(16))) for _ in range(300)]
    for chosen in ({"tokenexp": pattern}, {"separators": [pattern]}):
        same_as_ort(text_model([tokenizer(**chosen)], ["n"]), np.array([*words, "a.b", "a.bb"], object))


def test_the_longest_of_the_leftmost_matches_is_the_token() -> None:
    """As RE2 is asked for it: a search that backtracks would take "s" of "sec"."""
    x = np.array(["second"], object)
    assert same_as_ort(text_model([tokenizer(tokenexp="s|sec")], ["n"]), x).tolist() == [["sec"]]


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_text_has_no_tokens(shape: tuple[int, ...]) -> None:
    got = same_as_ort(text_model([tokenizer(separators=[" "])], list(shape)), np.empty(shape, object))
    assert got.shape == shape


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "separators and tokenexp"),
        ({"separators": [" "], "tokenexp": "a"}, "separators and tokenexp"),
        ({"separators": [" "], "mincharnum": 0}, "mincharnum is 0"),
        ({"tokenexp": ".", "mincharnum": 2}, "mincharnum is 2"),
        ({"tokenexp": "("}, "regular expression"),
        ({"tokenexp": "[[:letter:]]"}, "no class .:letter:"),
        ({"tokenexp": "\\p{Greek}"}, "property Greek is not known"),
        ({"separators": ["\\C"]}, "no counterpart"),
        ({"tokenexp": "a", "wordsize": 3}, "wordsize"),
    ],
    ids=str,
)
def test_wrong_attributes_are_named(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidModelError, match=message):
        arenaut.load_onnx(text_model([tokenizer(**attributes)], ["n"]))


VOCABULARY = ["document", "first", "is", "second", "the", "this", "first document", "this is"]


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("tokens", [{"tokenexp": "[a-zA-Z0-9_]+"}, {"separators": [" ", "[.]", "!"]}], ids=str)
def test_a_vectoriser_end_to_end(mode: str, tokens: dict[str, Any]) -> None:
    """CountVectorizer and TfidfVectorizer: lower case, tokens, n-grams, weights, and the norm of a row."""
    grams = [word for gram in VOCABULARY for word in gram.split()]
    nodes = [
        helper.make_node("StringNormalizer", ["flat"], ["lower"], case_change_action="LOWER", is_case_sensitive=0,
                         locale="C.UTF-8"),
        helper.make_node("Tokenizer", ["lower"], ["tokens"], domain=MICROSOFT, mark=0, mincharnum=1, pad_value="#",
                         **tokens),
        helper.make_node("Flatten", ["tokens"], ["rows"]),
        helper.make_node("TfIdfVectorizer", ["rows"], ["counts"], mode=mode, min_gram_length=1, max_gram_length=2,
                         max_skip_count=0, ngram_counts=[0, 6], ngram_indexes=list(range(8)), pool_strings=grams,
                         weights=[1.0, 2.0, 0.5, 1.5, 0.25, 1.0, 3.0, 1.25]),
        helper.make_node("Normalizer", ["counts"], ["y"], domain="ai.onnx.ml", norm="L2"),
    ]  # fmt: skip
    flat = helper.make_node("Reshape", ["x", "minus"], ["flat"])
    model = text_model([flat, *nodes], [None, 1], TensorProto.FLOAT)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "minus"))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = DOCUMENTS.reshape(-1, 1)
    (want,) = session.run(None, {"x": x})
    got = arenaut.load_onnx(model).run(x=x)["y"]
    assert got.shape == want.shape and want.any()
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("attributes", [{}, {"positive": 0}, {"seed": 42, "positive": 1}], ids=str)
@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64, object])
def test_hashes_are_onnxruntimes(dtype: Any, attributes: dict[str, Any]) -> None:
    words = np.array(["", "a", "ab", "abc", "abcd", "grüße", "a longer text", "x" * 33], object)
    x = words if dtype is object else np.arange(-4, 4).astype(dtype)
    given = TensorProto.STRING if dtype is object else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    result = TensorProto.UINT32 if attributes.get("positive", 1) else TensorProto.INT32
    node = helper.make_node("MurmurHash3", ["x"], ["y"], domain=MICROSOFT, **attributes)
    same_as_ort(text_model([node], ["n"], result, given), x)


def test_pieces_of_text_as_a_sparse_matrix() -> None:
    """ai.onnx.contrib, of which skl2onnx's FeatureHasher takes this op; its definition is tf.compat.v1.string_split."""
    node = helper.make_node("StringSplit", ["x", "d", "s"], ["places", "pieces", "shape"], domain="ai.onnx.contrib")
    graph = helper.make_graph(
        [node], "g", [tensor_info("x", ["n"], TensorProto.STRING)],
        [tensor_info("places", None, TensorProto.INT64), tensor_info("pieces", None, TensorProto.STRING),
         tensor_info("shape", None, TensorProto.INT64)],
        [helper.make_tensor("d", TensorProto.STRING, [1], [b";"]),
         helper.make_tensor("s", TensorProto.BOOL, [], [False])],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.contrib", 1)]
    model = arenaut.load_onnx(helper.make_model(graph, opset_imports=imports, ir_version=8))
    got = model.run(x=np.array(["a;b", "c", ";d;e"], object))
    assert got["places"].tolist() == [[0, 0], [0, 1], [1, 0], [2, 0], [2, 1], [2, 2]]
    assert got["pieces"].tolist() == ["a", "b", "c", "", "d", "e"] and got["shape"].tolist() == [3, 3]


def test_a_scan_over_texts() -> None:
    """As skl2onnx keeps empty strings: text by text through a body."""
    body = helper.make_graph(
        [helper.make_node("StringNormalizer", ["a"], ["b"], case_change_action="UPPER")], "body",
        [tensor_info("a", [1], TensorProto.STRING)], [tensor_info("b", [1], TensorProto.STRING)],
    )  # fmt: skip
    node = helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)
    got = arenaut.load_onnx(text_model([node], ["n", 1])).run(x=np.array([["ab"], [""], ["c"]], object))["y"]
    assert got.tolist() == [["AB"], [""], ["C"]]


@pytest.mark.parametrize("shape", [(5, 9), (1, 9, 5), (1, 1, 1), (1, 7), (7, 1), (1, 30, 40)])
@pytest.mark.parametrize("ties", [False, True])
def test_the_cheapest_way_through_costs_is_onnxruntimes(shape: tuple[int, ...], ties: bool) -> None:
    draw = np.random.default_rng(len(shape) + shape[-1])
    x = draw.integers(0, 3, shape).astype(np.float32) if ties else draw.normal(size=shape).astype(np.float32)
    node = helper.make_node("DynamicTimeWarping", ["x"], ["y"], domain=MICROSOFT)
    given = [f"d{i}" for i in range(len(shape))]
    same_as_ort(text_model([node], given, TensorProto.INT32, TensorProto.FLOAT), x)


def test_patterns_are_re2s() -> None:
    """Its classes are of ASCII. onnx's reference evaluator takes Python's."""
    node = helper.make_node("RegexFullMatch", ["x"], ["y"], pattern=r"\w*")
    model = text_model([node], ["n"], TensorProto.BOOL)
    model.opset_import[0].version = 20
    assert same_as_ort(model, np.array(["zürich", "abc"], object)).tolist() == [False, True]
