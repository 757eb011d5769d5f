"""Arrays that callers give for outputs: written in place where that is safe, copied into where it is not."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

import arenaut
from arenaut.errors import InputError

SQUARES = """<ir_version: 8, opset_import: ["" : 17]>
agraph (float[n,8] x) => (float[n,8] y, float[n,8] z) { m = MatMul(x, w) y = Relu(m) z = Softmax(m) }"""
HALVES = """<ir_version: 8, opset_import: ["" : 17]>
agraph (bfloat16[4] x) => (bfloat16[4] y) { y = Add(x, x) }"""
FOUND = """<ir_version: 8, opset_import: ["" : 17]>
agraph (float[n] x) => (int64[1,k] y) { y = NonZero(x) }"""
W = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)


def squares(executor: Any = "compiled") -> arenaut.Model:
    model = onnx.parser.parse_model(SQUARES)
    model.graph.initializer.append(onnx.numpy_helper.from_array(W, "w"))
    return arenaut.load_onnx(model.SerializeToString(), threads=1, executor=executor)


def wanted(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    m = x.astype(np.float64) @ W
    e = np.exp(m - m.max(1, keepdims=True))
    return np.maximum(m, 0), e / e.sum(1, keepdims=True)


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, 8)).astype(np.float32)


def no_copy(*_: Any) -> None:
    raise AssertionError("an output was copied")


@pytest.mark.parametrize("n", [1, 5, 300])
def test_a_dense_array_is_written_in_place(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, target = squares(), rows(n), np.full((n, 8), 7, np.float32)
    monkeypatch.setattr("arenaut.model.np.copyto", no_copy)
    for _ in range(3):
        target[:] = 7
        result = model.run({"x": x}, out={"z": target})
        assert result["z"] is target
        np.testing.assert_allclose(target, wanted(x)[1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result["y"], wanted(x)[0], rtol=1e-5, atol=1e-5)


def test_small_floats_and_sizes_that_data_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arenaut.model.np.copyto", no_copy)
    halves = arenaut.load_onnx(onnx.parser.parse_model(HALVES).SerializeToString())
    target = np.zeros(4, ml_dtypes.bfloat16)
    assert halves.run({"x": np.array([1, 2, 3, -4], ml_dtypes.bfloat16)}, out={"y": target})["y"] is target
    assert target.tolist() == [2, 4, 6, -8]
    found = arenaut.load_onnx(onnx.parser.parse_model(FOUND).SerializeToString())
    places = np.zeros((1, 3), np.int64)
    assert found.run({"x": np.array([0, 1, 1, 0, 1], np.float32)}, out={"y": places})["y"] is places
    assert places.tolist() == [[1, 2, 4]]


def test_an_array_that_lies_in_an_input_gets_the_result_afterwards() -> None:
    model, x = squares(), rows(6)
    want = wanted(x)[0]
    assert model.run({"x": x}, out={"y": x})["y"] is x
    np.testing.assert_allclose(x, want, rtol=1e-5, atol=1e-5)


def test_arrays_that_overlap_each_other_hold_the_last_of_both() -> None:
    model, x, memory = squares(), rows(4), np.zeros((6, 8), np.float32)
    model.run({"x": x}, out={"y": memory[:4], "z": memory[2:]})
    np.testing.assert_allclose(memory[:2], wanted(x)[0][:2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(memory[2:], wanted(x)[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("executor", ["compiled", "interpreted"])
def test_strided_arrays_are_copied_into(executor: Any) -> None:
    x, wide = rows(3), np.zeros((3, 16), np.float32)
    target = wide[:, ::2]
    assert squares(executor).run({"x": x}, out={"y": target})["y"] is target
    np.testing.assert_allclose(target, wanted(x)[0], rtol=1e-5, atol=1e-5)
    assert not wide[:, 1::2].any()


def test_another_shape_of_as_many_bytes_is_refused() -> None:
    model, x = squares(), rows(4)
    with pytest.raises(InputError, match=r"out\['y'\]: expected float32\[4, 8\], got float32\[8, 4\]"):
        model.run({"x": x}, out={"y": np.zeros((8, 4), np.float32)})
    with pytest.raises(InputError, match=r"out\['y'\]: expected float32\[4, 8\], got float32\[3, 8\]"):
        model.run({"x": x}, out={"y": np.zeros((3, 8), np.float32)})
    np.testing.assert_allclose(model.run({"x": x})["y"], wanted(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("at", [0, 1, 5])
def test_scratch_lies_in_an_array_that_starts_anywhere(at: int) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(np.float32) / 16 for shape in ((256, 64), (64, 2048))]
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[n,256] x) => (float[n,2048] y) { a = MatMul(x, v) b = Softmax(a) y = MatMul(b, w) }""")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(w, n) for w, n in zip(weights, "vw", strict=True))
    loaded = arenaut.load_onnx(model.SerializeToString(), threads=1)
    x = rng.standard_normal((77, 256)).astype(np.float32)
    want = loaded.run({"x": x})["y"]
    assert any(guest.name.startswith("scratch of") for guest in loaded.plan.guests)
    assert loaded.memory(n=77).arena_bytes == loaded.plan.arena_bytes
    target = np.empty(77 * 2048 + 16, np.float32)[at : at + 77 * 2048].reshape(77, 2048)
    assert loaded.run({"x": x}, out={"y": target})["y"] is target
    np.testing.assert_array_equal(target, want)
