"""Feeds, model files and their errors: what onnxruntime takes and refuses, with the same results and classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as theirs
import pytest
from onnx import TensorProto as T
from onnx import helper as h

import arenaut
import arenaut.compat.onnxruntime as ours
from tests.compat import models

F = np.float32


def frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array.setflags(write=False)
    return array


# name: (model, feed of x)
FEEDS: dict[str, tuple[bytes, Any]] = {
    "floats": (models.passes(T.FLOAT), [1.0, 2.0]),
    "integers for floats": (models.passes(T.FLOAT), [1, 2]),
    "floats and booleans": (models.passes(T.FLOAT), [1, True]),
    "a tuple": (models.passes(T.FLOAT), (1.0, 2.0)),
    "a range": (models.passes(T.FLOAT), range(3)),
    "nested lists": (models.passes(T.FLOAT, ("N", "M")), [[1, 2], [3, 4]]),
    "ragged lists": (models.passes(T.FLOAT, ("N", "M")), [[1, 2], [3]]),
    "an empty list": (models.passes(T.FLOAT), []),
    "numpy's numbers in a list": (models.passes(T.FLOAT), [F(1), np.float64(2)]),
    "arrays in a list": (models.passes(T.FLOAT, ("N", "M")), [np.ones(2, F), np.ones(2, F)]),
    "rank 0": (models.passes(T.FLOAT, ()), np.array(1.5, F)),
    "rank 0 of another type": (models.passes(T.FLOAT, ()), np.array(1.5)),
    "doubles for floats": (models.passes(T.FLOAT), np.arange(3.0)),
    "64-bit integers for floats": (models.passes(T.FLOAT), np.arange(3)),
    "objects for floats": (models.passes(T.FLOAT), np.array([1.0, 2.0], object)),
    "every second": (models.passes(T.FLOAT), np.arange(6, dtype=F)[::2]),
    "backwards": (models.passes(T.FLOAT), np.arange(6, dtype=F)[::-1]),
    "read-only": (models.passes(T.FLOAT), frozen(np.arange(3, dtype=F))),
    "columns first": (models.passes(T.FLOAT, ("N", "M")), np.asfortranarray(np.arange(6, dtype=F).reshape(2, 3))),
    "another rank": (models.passes(T.FLOAT), np.ones((1, 2), F)),
    "another size": (models.passes(T.FLOAT, (2,)), np.ones(3, F)),
    "a masked array": (models.passes(T.FLOAT), np.ma.array([1.0, 2.0], dtype=F)),
    "None": (models.passes(T.FLOAT), None),
    "a memoryview": (models.passes(T.FLOAT), memoryview(np.ones(2, F))),
    "bytes": (models.passes(T.UINT8), b"abcd"),
    "a dict": (models.passes(T.FLOAT), {"a": 1}),
    "an empty dict": (models.passes(T.FLOAT), {}),
    "an object": (models.passes(T.FLOAT), object()),
    "a set": (models.passes(T.FLOAT), {1, 2}),
    "no elements": (models.passes(T.FLOAT), np.ones(0, F)),
    "bytes in a list": (models.passes(T.UINT8), [1, 2]),
    "a byte too large": (models.passes(T.UINT8), [1, 300]),
    "a byte below zero": (models.passes(T.UINT8), [-1]),
    "32-bit integers": (models.passes(T.INT32), [1, 2]),
    "floats for integers": (models.passes(T.INT32), [1.5, 2.0]),
    "an integer too large": (models.passes(T.INT32), [1 << 40]),
    "booleans for integers": (models.passes(T.INT32), [True]),
    "digits for integers": (models.passes(T.INT32), ["1"]),
    "64-bit for 32-bit": (models.passes(T.INT32), np.arange(3)),
    "long long": (models.passes(T.INT64), np.arange(3, dtype=np.longlong)),
    "32-bit for 64-bit": (models.passes(T.INT64), np.arange(3, dtype=np.int32)),
    "booleans": (models.passes(T.BOOL), [True, False]),
    "integers for booleans": (models.passes(T.BOOL), [1, 0]),
    "bytes for booleans": (models.passes(T.BOOL), np.arange(3, dtype=np.uint8)),
    "half floats": (models.passes(T.FLOAT16), [1.0, 2.0]),
    "doubles": (models.passes(T.DOUBLE), [1, 2.5]),
    "16-bit integers for bfloat16": (models.passes(T.BFLOAT16), np.arange(3, dtype=np.uint16)),
    "strings": (models.passes(T.STRING), ["a", "b"]),
    "one string": (models.passes(T.STRING), "abc"),
    "strings of fixed length": (models.passes(T.STRING), np.array(["a", "bc"])),
    "strings as objects": (models.passes(T.STRING), np.array(["a", "bc"], object)),
    "other objects": (models.passes(T.STRING), np.array(["a", 1, None, 2.5], object)),
    "integers for strings": (models.passes(T.STRING), [1, 2]),
    "floats for strings": (models.passes(T.STRING), np.ones(2, F)),
    "every second string": (models.passes(T.STRING), np.array(["a", "bc", "d"])[::2]),
    "a table of strings": (models.passes(T.STRING, ("N", "M")), np.array([["a"], ["bc"]])),
    "strange strings": (models.passes(T.STRING), np.array(["a\0b", "é"], object)),
}  # fmt: skip


def outcome(run: Callable[[], Any]) -> Any:
    """The arrays that it returns, or module and class of what it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = run()
    except Exception as error:
        return type(error).__module__, type(error).__name__
    return [(r.dtype, r.shape, r.tolist()) for r in results]


def session_of(ort: Any, model: Any, **options: Any) -> Any:
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    for name, value in options.items():
        setattr(settings, name, value)
    return ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", FEEDS)
def test_a_feed(name: str) -> None:
    model, feed = FEEDS[name]
    expected = outcome(lambda: session_of(theirs, model).run(None, {"x": feed}))
    assert outcome(lambda: session_of(ours, model).run(None, {"x": feed})) == expected


CALLS: dict[str, Callable[[Any], Any]] = {
    "nothing fed": lambda s: s.run(None, {}),
    "too much fed": lambda s: s.run(None, {"x": np.ones(2, F), "z": np.ones(2, F)}),
    "an unknown output": lambda s: s.run(["nope"], {"x": np.ones(2, F)}),
    "no names": lambda s: s.run([], {"x": np.ones(2, F)}),
    "a tuple of names": lambda s: s.run(("y",), {"x": np.ones(2, F)}),
    "one name": lambda s: s.run("y", {"x": np.ones(2, F)}),
    "a name twice": lambda s: s.run(["y", "y"], {"x": np.ones(2, F)}),
    "a list of arrays": lambda s: s.run(None, [np.ones(2, F)]),
    "a number as name": lambda s: s.run(None, {1: np.ones(2, F)}),
    "names one by one": lambda s: s.run((n for n in ["y"]), {"x": np.ones(2, F)}),
    "options of another kind": lambda s: s.run(None, {"x": np.ones(2, F)}, {}),
    "an array among OrtValues": lambda s: s.run_with_ort_values(None, {"x": np.ones(2, F)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call(name: str) -> None:
    model = models.passes(T.FLOAT)
    expected = outcome(lambda: CALLS[name](session_of(theirs, model)))
    assert outcome(lambda: CALLS[name](session_of(ours, model))) == expected


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_one_element_is_taken_for_rank_0(shape: tuple[int, ...]) -> None:
    for ort in (theirs, ours):
        (result,) = session_of(ort, models.passes(T.FLOAT, ())).run(None, {"x": np.full(shape, 2, F)})
        assert result.item() == 2


X = models.info("x")
MODELS: dict[str, Any] = {
    "no file": "nowhere.onnx",
    "no model": b"garbage",
    "nothing": b"",
    "None": None,
    "a bytearray": bytearray(models.product()),
    "a folder": str(Path(__file__).parent),
    "cut short": models.product()[:60],
    "a cycle": models.of_nodes(h.make_node("Relu", ["y"], ["y"])),
    "an unknown op": models.of_nodes(h.make_node("Foo", ["x"], ["y"]), inputs=[X]),
    "an unknown domain": models.of_nodes(h.make_node("Foo", ["x"], ["y"], domain="my"), inputs=[X]),
    "text for numbers": models.of_nodes(h.make_node("Relu", ["s"], ["y"]), inputs=[models.info("s", [2], T.STRING)]),
    "an undefined name": models.of_nodes(h.make_node("Relu", ["q"], ["y"]), inputs=[X]),
    "two types": models.of_nodes(h.make_node("Add", ["x", "w"], ["y"]), inputs=[X, models.info("w", None, T.INT32)]),
    "two shapes": models.of_nodes(
        h.make_node("Add", ["x", "w"], ["y"]), inputs=[models.info("x", [2]), models.info("w", [3])]
    ),
    "a future opset": models.of_nodes(h.make_node("Relu", ["x"], ["y"]), inputs=[X], opset=99),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_none(name: str) -> None:
    def load(ort: Any) -> list[Any]:
        session_of(ort, MODELS[name])
        return []

    expected = outcome(lambda: load(theirs))
    assert isinstance(expected, tuple)
    assert outcome(lambda: load(ours)) == expected


def test_failures_of_runs() -> None:
    gather, product = models.branches(), models.of_nodes(
        h.make_node("MatMul", ["a", "b"], ["y"]), inputs=[models.info("a", ["N", "K"]), models.info("b", ["L", "M"])]
    )  # fmt: skip
    for model, feeds in (
        (gather, {"x": np.ones(2, F), "i": np.array([7])}),
        (product, {"a": np.ones((2, 3), F), "b": np.ones((2, 3), F)}),
    ):
        expected = outcome(lambda m=model, f=feeds: session_of(theirs, m).run(None, f))  # type: ignore[misc]
        assert isinstance(expected, tuple)
        assert outcome(lambda m=model, f=feeds: session_of(ours, m).run(None, f)) == expected  # type: ignore[misc]


def test_one_name_with_two_sizes_runs_where_the_ops_allow() -> None:
    model = models.of_nodes(h.make_node("Concat", ["a", "b"], ["y"], axis=0),
                            inputs=[models.info("a", ["N", 2]), models.info("b", ["N", 2])])  # fmt: skip
    feeds = {"a": np.ones((2, 2), F), "b": np.ones((3, 2), F)}
    assert outcome(lambda: session_of(ours, model).run(None, feeds)) == outcome(
        lambda: session_of(theirs, model).run(None, feeds)
    )


@pytest.mark.parametrize("given", (1.5, 1, True, F(1.5), np.float64(1.5)))
def test_scalars_are_taken_beyond_onnxruntime(given: Any) -> None:
    assert session_of(ours, models.passes(T.FLOAT, ())).run(None, {"x": given})[0] == F(given)
    assert arenaut.load_onnx(models.passes(T.FLOAT, ())).run({"x": given})["y"] == F(given)


def test_what_onnxruntime_misreads_is_read() -> None:
    session = session_of(ours, models.passes(T.FLOAT))
    assert session.run(None, {"x": np.arange(3, dtype=">f4")})[0].tolist() == [0, 1, 2]
    session = session_of(ours, models.passes(T.STRING))
    assert session.run(None, {"x": np.array([b"a", b"bc"])})[0].tolist() == ["a", "bc"]
    narrow = np.arange(3).astype(ml_dtypes.bfloat16)
    assert session_of(ours, models.passes(T.BFLOAT16)).run(None, {"x": narrow})[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ("floats", "32-bit integers", "strings", "read-only", "every second", "other objects"))
def test_a_model_takes_the_same(name: str) -> None:
    model, feed = FEEDS[name]
    [(dtype, shape, items)] = outcome(lambda: session_of(theirs, model).run(None, {"x": feed}))
    result = arenaut.load_onnx(model).run({"x": feed})["y"]
    assert (result.dtype, result.shape, result.tolist()) == (dtype, shape, items)
