"""Model.run()'s native fast path: what it takes, what it leaves to Python, and that nobody can tell from results."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import arenaut
from arenaut.errors import ExecutionError, InputError, RunTimeoutError
from tests.support.models import parse

RNG = np.random.default_rng(7)
TEXT = """g (float[n, 4] a, int64[n] i) => (float[n, 4] y, int64[n] j, float m, float[n, 300] w)
<float[1, 300] ones = {ONES}, int64[1] axis = {1}> {
  y = Add (a, a)
  j = Add (i, i)
  m = ReduceSum <keepdims = 0> (a)
  s = ReduceSum <keepdims = 1> (a, axis)
  w = Mul (s, ones)
}""".replace("ONES", ", ".join(["1"] * 300))


class Watched(arenaut.Model):
    """Counts the calls that Python had to handle."""

    slow = 0

    def _run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        Watched.slow += 1
        return super()._run(*args, **kwargs)


@pytest.fixture
def model() -> Iterator[Any]:
    loaded = arenaut.load_onnx(parse(TEXT))
    loaded.__class__ = Watched
    Watched.slow = 0
    yield loaded


def feeds(n: int = 3) -> dict[str, Any]:
    return {"a": RNG.standard_normal((n, 4)).astype(np.float32), "i": np.arange(n)}


def expect(got: dict[str, Any], f: dict[str, Any]) -> None:
    assert list(got) == ["y", "j", "m", "w"]
    np.testing.assert_array_equal(got["y"], f["a"] + f["a"])
    np.testing.assert_array_equal(got["j"], f["i"] * 2)
    assert got["m"].shape == () and abs(got["m"] - f["a"].sum(dtype=np.float64)) < 1e-4
    np.testing.assert_allclose(got["w"], np.repeat(f["a"].sum(1, keepdims=True), 300, 1), rtol=1e-5, atol=1e-6)
    for array in got.values():
        assert type(array) is np.ndarray and array.flags.writeable and array.flags.c_contiguous


def test_usual_feeds_need_no_python(model: Any) -> None:
    for n in (3, 1, 0, 200, 3):
        f = feeds(n)
        expect(model.run(f), f)
        expect(model.run(f["a"], f["i"]), f)
        expect(model.run(f["a"], i=f["i"]), f)
        expect(model.run(i=f["i"], a=f["a"]), f)
        expect(model.run({**f, "i": f["i"].astype(np.longlong)}), f)
    assert Watched.slow == 0


UNUSUAL: list[Callable[[dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]] = [
    lambda f: ((dict(f, a=np.asfortranarray(f["a"])),), {}),
    lambda f: ((dict(f, a=f["a"].astype(">f4")),), {}),
    lambda f: ((dict(f, a=f["a"].view(np.recarray)),), {}),
    lambda f: ((dict(f, i=f["i"].tolist()),), {}),
    lambda f: ((f,), {"timeout": 60}),
    lambda f: ((f,), {"out": {"y": np.empty_like(f["a"])}}),
    lambda f: ((type("Feeds", (dict,), {})(f),), {}),
]


@pytest.mark.parametrize("call", UNUSUAL)
def test_unusual_feeds_are_left_to_python(model: Any, call: Any) -> None:
    f = feeds()
    args, kwargs = call(f)
    expect(model.run(*args, **kwargs), f)
    assert Watched.slow == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (({},), {}, "missing a, i"),
        (({**feeds(), "z": 1},), {}, "unknown z"),
        (({**feeds(), "a": np.zeros((3, 4))},), {}, "expected dtype float32, got float64"),
        (({**feeds(), "a": np.zeros(3, np.float32)},), {}, "expected rank 2"),
        (({**feeds(), "a": np.zeros((3, 5), np.float32)},), {}, "expected 4 at axis 1"),
        (({**feeds(), "i": np.arange(2)},), {}, "the dim 'n' must be the same"),
        ((feeds()["a"],), {"a": feeds()["a"], "i": np.arange(3)}, "given twice"),
    ],
)
def test_errors_are_the_same(model: Any, args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.run(*args, **kwargs)
    f = feeds()
    expect(model.run(f), f)


def test_errors_of_steps_and_then_a_good_run() -> None:
    model = arenaut.load_onnx(parse("g (float[5] t, int64[n] i) => (float[n] y) { y = Gather (t, i) }"))
    t = RNG.standard_normal(5).astype(np.float32)
    for _ in range(3):
        with pytest.raises(ExecutionError, match=r"Gather.*out of range"):
            model.run(t, np.array([5]))
        np.testing.assert_array_equal(model.run(t, np.array([-1, 0]))["y"], t[[-1, 0]])


def test_types_that_numpy_lacks() -> None:
    model = arenaut.load_onnx(parse("g (bfloat16[n] x) => (bfloat16[n] y) { y = Neg (x) }"))
    x = np.arange(600, dtype=ml_dtypes.bfloat16)
    y = model.run({"x": x})["y"]
    assert y.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(y.astype(np.float32), -x.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint64", "bool", "complex128"])
def test_every_type_of_numpy_takes_the_fast_path(dtype: str) -> None:
    names = {"float32": "float", "float64": "double"}
    declared = names.get(dtype, dtype)
    loaded = arenaut.load_onnx(parse(f"g ({declared}[n] x) => ({declared}[n] y) {{ y = Identity (x) }}"))
    loaded.__class__, Watched.slow = Watched, 0
    x = np.ones(3, dtype)
    np.testing.assert_array_equal(loaded.run({"x": x})["y"], x)
    assert Watched.slow == 0


def test_dims_that_data_decides() -> None:
    model = arenaut.load_onnx(parse("g (float[n, 4] x, int64[2] s) => (float[a, b] y, float[n, 4] z, int64[r, m] i) "
                                    "{ y = Reshape (x, s)  z = Neg (x)  i = NonZero (x) }"))  # fmt: skip
    for shape in ((6, 4), (8, 3), (2, 12), (24, 1), (6, 4)):
        x = RNG.integers(0, 2, (6, 4)).astype(np.float32)
        out = model.run({"x": x, "s": np.array(shape)})
        assert list(out) == ["y", "z", "i"]
        np.testing.assert_array_equal(out["y"], x.reshape(shape))
        np.testing.assert_array_equal(out["z"], -x)
        np.testing.assert_array_equal(out["i"], np.nonzero(x))


def test_nothing_leaks(model: Any) -> None:
    f = feeds(300)
    gc.collect()
    before, names = [sys.getrefcount(o) for o in f.values()], [sys.getrefcount(o) for o in f]
    for _ in range(50):
        out = model.run(f)
        with pytest.raises(InputError):
            model.run({**f, "a": 1})
    assert [sys.getrefcount(o) for o in f.values()] == before
    # Names of one character are shared with what other tests left, which may go meanwhile.
    assert all(now <= was for now, was in zip([sys.getrefcount(o) for o in f], names, strict=True))
    held = sys.getrefcount(out["w"])
    assert held == 2  # the dict's and the argument's
    dead = weakref.ref(out["w"])
    del out
    assert dead() is None


def test_a_model_that_is_dropped_is_gone() -> None:
    model = arenaut.load_onnx(parse(TEXT))
    run, dead = model.run, weakref.ref(model)
    del model
    f = feeds()
    expect(run(f), f)
    del run
    gc.collect()
    assert dead() is None


def test_outputs_outlive_the_model() -> None:
    f = feeds(1000)
    out = arenaut.load_onnx(parse(TEXT)).run(f)
    gc.collect()
    expect(out, f)


def test_dlpack() -> None:
    class Exporter:
        def __init__(self, array: Any) -> None:
            self.array = array

        def __dlpack__(self, **kwargs: Any) -> Any:
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    model = arenaut.load_onnx(parse(TEXT))
    f = feeds()
    out = model.run({k: Exporter(v) for k, v in f.items()})
    expect(out, f)
    np.testing.assert_array_equal(np.from_dlpack(out["y"]), out["y"])


def test_a_timeout_stops_a_run() -> None:
    text = """g (int64 n, float[64, 64] x) => (float[64, 64] y) <bool go = {1}> {
        y = Loop (n, go, x) <body = b (int64 i, bool c, float[64, 64] a) => (bool c2, float[64, 64] a2)
            { c2 = Identity (c)  m = MatMul (a, a)  a2 = Tanh (m) }>
    }"""
    x = RNG.standard_normal((64, 64)).astype(np.float32)
    for threads in (1, 2):
        model = arenaut.load_onnx(parse(text), threads=threads)
        with pytest.raises(RunTimeoutError, match=r"0\.05 seconds"):
            model.run(np.array(1 << 40), x, timeout=0.05)
        with pytest.raises(TimeoutError):
            model.run(np.array(5), x, timeout=0)
        assert model.run(np.array(3), x, timeout=60)["y"].tobytes() == model.run(np.array(3), x)["y"].tobytes()
