"""Host steps that C++ answers: as their evaluators do, and never what these refuse."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import arenaut
from arenaut.errors import ExecutionError, ShapeError
from arenaut.executor import host
from tests.support.models import parse

SPLIT = "g (string[n, 2] x) => (string[n, 2, k] y, int64[n, 2] z) { y, z = StringSplit <maxsplit = 2> (x) }"
PICK = """g (int64[a, b] x) => (string[a, b] y) <string[3] labels = {"no", "yes", "Ünï"}>
    { y = Gather <axis = 0> (labels, x) }"""
ZIP = """<ir_version: 10, opset_import: ["" : 17, "ai.onnx.ml" : 3]> g (float[n, 3] x) => (y)
    { y = ai.onnx.ml.ZipMap <classlabels_strings = ["b", "a", "c"]> (x) }"""
TOKENS = """<ir_version: 10, opset_import: ["" : 17, "com.microsoft" : 1]> g (string[n, 2] x) => (string[n, 2, k] y)
    { y = com.microsoft.Tokenizer <mark = 1, mincharnum = 1, pad_value = "#", separators = [" "]> (x) }"""
WORDS = """<ir_version: 10, opset_import: ["" : 17, "ai.onnx.ml" : 3]> g (string[n, 2] x) => (int64[n, 2] y)
    { y = ai.onnx.ml.LabelEncoder <keys_strings = ["a", "b", "a", "x"], values_int64s = [1, 2, 3, -4]> (x) }"""
DECIMALS = WORDS.replace("values_int64s = [1, 2, 3, -4]", "values_floats = [1.0, 2.5, 0.1, -4.0]").replace(
    "int64", "float"
)
FLAT = "g (string[n, 2] x) => (string[m, 1] y) { y = Flatten <axis = 2> (x) }"
SHAPED = """g (string[n, 2] x) => (string[m, 1] y) <int64[2] shape = {-1, 1}> { y = Reshape (x, shape) }"""
DEEPER = """g (string[n, 2] x) => (string[1, n, 2] y) <int64[1] axes = {0}> { y = Unsqueeze (x, axes) }"""
TEXTS = np.array([["a b  c d", ""], [" ä  b", "x"]], object)
CASES = [
    (SPLIT, TEXTS),
    (SPLIT.replace("maxsplit = 2", 'delimiter = "  "'), TEXTS),
    (SPLIT, np.zeros((0, 2), object)),
    (TOKENS, TEXTS),
    (TOKENS, np.array([["", ""]], object)),
    (TOKENS.replace("mark = 1", "mark = 0"), TEXTS),
    (TOKENS.replace('separators = [" "]', 'tokenexp = "[a-c]+|.. "'), TEXTS),
    (TOKENS.replace('separators = [" "]', 'tokenexp = "."'), TEXTS),
    (WORDS, np.array([["a", "x"], ["", "ä"]], object)),
    (WORDS, np.zeros((0, 2), object)),
    (DECIMALS, np.array([["a", "b"], ["", "ä"]], object)),
    (FLAT, TEXTS),
    (FLAT.replace("m, 1", "n, 2").replace("= 2", "= 1"), TEXTS),
    (SHAPED, TEXTS),
    (SHAPED, np.zeros((0, 2), object)),
    (DEEPER, TEXTS),
    (PICK, np.array([[2, -3, 1]])),
    (ZIP, np.array([[0.5, np.nan, -0.0], [1e-30, np.inf, 2.0]], np.float32)),
    (ZIP, np.zeros((0, 3), np.float32)),
]


def loaded(text: str) -> arenaut.Model:
    return arenaut.load_onnx(onnx.parser.parse_model(text) if text.startswith("<") else parse(text))


def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A list that every call of an evaluator lengthens."""
    calls: list[Any] = []
    plain = host.evaluated_by
    monkeypatch.setattr(host, "evaluated_by", lambda *args: (calls.append(args), plain(*args))[1])
    return calls


@pytest.mark.parametrize(("text", "x"), CASES)
def test_answers_are_those_of_the_evaluator(text: str, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = called(monkeypatch)
    got = [list(loaded(text).run({"x": x}).values()) for _ in range(2)]
    assert not calls
    monkeypatch.setattr(host, "answer_directly", lambda *args: False)
    wanted = list(loaded(text).run({"x": x}).values())
    assert len(calls) == 1
    for made in got:
        for each, want in zip(made, wanted, strict=True):
            assert type(each) is type(want) and repr(each) == repr(want)
            if isinstance(want, np.ndarray):
                assert each.shape == want.shape and each.dtype == want.dtype


@pytest.mark.parametrize("text", [SPLIT, ZIP, TOKENS, WORDS, FLAT])
def test_of_compiled_files_too(text: str, tmp_path: Path) -> None:
    x = TEXTS if text is not ZIP else np.ones((2, 3), np.float32)
    model = loaded(text)
    model.save(tmp_path / "model.arenaut")
    opened = arenaut.load_onnx(tmp_path / "model.arenaut")
    runs = [repr(list(m.run({"x": x}).values())) for m in (model, opened, opened)]
    assert runs[0] == runs[1] == runs[2]


def test_what_is_refused_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, model = called(monkeypatch), arenaut.load_onnx(parse(PICK))
    model.run({"x": np.zeros((1, 1), np.int64)})
    for index in (3, -4, 2**62):
        with pytest.raises(ExecutionError, match="Gather"):
            model.run({"x": np.full((1, 2), index)})
    assert len(calls) == 3
    split = arenaut.load_onnx(parse(SPLIT))
    for text in (TEXTS, np.array([[np.str_("a b"), "c"]], object), TEXTS):
        assert split.run({"x": text})["z"].shape == text.shape


@pytest.mark.parametrize(("text", "shape"), [("-1, 4", (3, 2)), ("2, 2", (3, 2)), ("0, -1", (0, 2))])
def test_text_that_does_not_fit_a_shape_is_refused_in_words(text: str, shape: tuple[int, ...]) -> None:
    model = arenaut.load_onnx(parse(SHAPED.replace("-1, 1", text).replace("m, 1", "m, k")))
    model.run({"x": TEXTS})
    with pytest.raises(ShapeError, match="Reshape"):
        model.run({"x": np.full(shape, "a", object)})


def test_a_program_ends_with_its_model() -> None:
    model = arenaut.load_onnx(parse(SPLIT))
    model.run({"x": TEXTS})
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_maps_keep_numbers_that_are_denormal() -> None:
    assert loaded(ZIP).run({"x": np.full((1, 3), 1e-40, np.float32)})["y"][0]["a"] == np.float32(1e-40)
