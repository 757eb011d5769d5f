"""model.memory(sizes) is the plan that a run with these sizes then has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import arenaut
from arenaut.errors import InputError, ShapeError
from tests.support import skeletons
from tests.support.models import parse, squeezed_where_one

NAMES = ("transformer-block", "minilm-l3", "mlp-3x512", "ppocr-rec", "gpt2-2l")
_models: dict[tuple[str, int], arenaut.Model] = {}

# What torch exports for x.squeeze(1): the rank of y hangs on the size of dim 1.
SQUEEZE = squeezed_where_one("e = Exp (z)  y = Softmax (e)")


def model_of(name: str, threads: int) -> arenaut.Model:
    if (name, threads) not in _models:
        _models[name, threads] = arenaut.load_onnx(skeletons.load_skeleton(name), threads=threads)
    return _models[name, threads]


def feeds_of(model: arenaut.Model, sizes: dict[str, int]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    shapes = {i.name: (i.dtype, [d if isinstance(d, int) else sizes[d] for d in i.shape or ()]) for i in model.inputs}
    return {name: random.integers(0, 2, shape).astype(dtype) for name, (dtype, shape) in shapes.items()}


def check(model: arenaut.Model, sizes: dict[str, int]) -> None:
    predicted = model.memory(sizes)
    outputs = model.run(feeds_of(model, sizes))
    assert model.plan == predicted
    assert predicted.arena_bytes == predicted.intermediate_bytes + predicted.output_bytes
    assert predicted.output_bytes >= sum(o.nbytes for o in outputs.values())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_a_run_uses_what_was_predicted(name: str, threads: int, data: st.DataObject) -> None:
    model = model_of(name, threads)
    names = sorted({d for i in model.inputs for d in i.shape or () if isinstance(d, str)})
    least = 8 if name == "ppocr-rec" else 1  # its pools halve the width three times
    check(model, {n: data.draw(st.integers(least, 24), label=n) for n in names})


@pytest.mark.parametrize(("n", "m"), [(4, 1), (4, 6), (9, 1), (1, 2)])
def test_where_sizes_choose_ranks_their_program_is_asked(n: int, m: int) -> None:
    model = arenaut.load_onnx(parse(SQUEEZE))
    check(model, {"n": n, "m": m})
    model.memory(n=3, m=1 if m > 1 else 2)
    assert model.plan == model.memory(n=n, m=m)  # predicting leaves the last run's plan


def test_prediction_works_before_any_run_and_allocates_no_arena() -> None:
    model = arenaut.load_onnx(parse("n (float[b, 64] x) => (float[b, 64] y) { h = Exp (x)  y = Softmax (h) }"))
    assert model.memory(b=1 << 30).output_bytes == (1 << 30) * 256
    assert model.memory({"b": 3}).output_bytes == 768
    assert model.memory(b=0).output_bytes == 0
    assert model.trim() == 0
    with pytest.raises(RuntimeError):
        _ = model.plan


@pytest.mark.parametrize(
    ("sizes", "part"),
    [
        ({}, "'b' is missing"),
        ({"b": 1, "c": 2}, "'c' is unknown"),
        ({"b": -1}, "'b' is -1"),
        ({"b": 2.5}, "'b' is 2.5"),
        ({"b": 1 << 70}, "'b' is"),
    ],
)
def test_sizes_are_checked(sizes: dict[str, Any], part: str) -> None:
    model = arenaut.load_onnx(parse("n (float[b, 64] x) => (float[b, 64] y) { y = Exp (x) }"))
    with pytest.raises(InputError, match=part):
        model.memory(sizes)


def test_sizes_that_do_not_run() -> None:
    model = arenaut.load_onnx(parse("n (float[b, 64] x) => (float[b, 64] y) { y = Exp (x) }"))
    with pytest.raises(ShapeError, match="cannot be bound"):
        model.memory(b=1 << 60)
    model = arenaut.load_onnx(parse("n (float[a] x, float[b] y) => (float[c] z) { z = Add (x, y) }"))
    with pytest.raises(ShapeError, match="Add"):
        model.memory(a=2, b=3)


IF = """n (bool c, float[b] x) => (float[b] y) { y = If (c) <
    then_branch = t () => (float[b] p) { h = Exp (x)  i = Neg (x)  j = Sin (h)  p = Where (c, j, i) },
    else_branch = e () => (float[b] q) { q = Neg (x) }> }"""
LOOP = """n (int64 t, float[b] x) => (float[b] y) { y = Loop (t, , x) <body = l (int64 i, bool go, float[b] s) =>
    (bool g, float[b] r) { g = Identity (go)  e = Exp (s)  r = Softmax (e) }> }"""
SCAN = """n (float[b] x, float[7, b] u) => (float[b] y, float[7, b] z) { y, z = Scan <num_scan_inputs = 1,
    body = l (float[b] s, float[b] v) => (float[b] r, float[b] o) {
        e = Exp (s)  r = Add (e, v)  o = Softmax (r) }> (x, u)
}"""


@pytest.mark.parametrize(
    ("text", "decided"),
    [(IF, {"c": True}), (IF, {"c": False}), (LOOP, {"t": 5}), (LOOP, {"t": 0}), (LOOP, {"t": 6}), (SCAN, {})],
)
@pytest.mark.parametrize("b", [0, 1, 300])
def test_bodies_are_predicted_with_the_step_that_runs_them(text: str, decided: dict[str, Any], b: int) -> None:
    model = arenaut.load_onnx(parse(text), threads=1)
    predicted = model.memory(b=b)
    assert predicted.certainty == "exact"
    assert predicted.bodies
    assert all(body.plan is not None and body.plan.arena_bytes <= body.bytes + body.plan.output_bytes
               for body in predicted.bodies)  # fmt: skip
    shapes = {i.name: [d if isinstance(d, int) else b for d in i.shape or ()] for i in model.inputs}
    dtypes = {i.name: i.dtype for i in model.inputs}
    model.run({n: np.asarray(decided[n] if n in decided else np.zeros(s), dtypes[n]) for n, s in shapes.items()})
    assert model.plan == predicted


CHOSEN = """n (float[b, 8] x) => (float[k] y) {
    above = Greater (x, limit)  m = Not (above)  e = Exp (x)  s = Reshape (e, flat)  f = Reshape (m, flat)
    c = Compress (s, f)  d = Sin (c)  y = Softmax (d)
}"""
NON_ZERO = "n (float[b] x) => (int64[1, k] y) { y = NonZero (x) }"


@pytest.mark.parametrize("b", [1, 40])
@pytest.mark.parametrize("text", [NON_ZERO, CHOSEN])
def test_sizes_that_data_decides_are_predicted_up_to_their_limit(text: str, b: int) -> None:
    text = text.replace("(float[k] y)", "(float[k] y) <float limit = {0.5}, int64[1] flat = {-1}>")
    model = arenaut.load_onnx(parse(text), threads=1)
    predicted = model.memory(b=b)
    assert predicted.certainty == "most"
    assert [u.most for u in predicted.undecided] == [b if text == NON_ZERO else 8 * b]
    random = np.random.default_rng(b)
    shape = [d if isinstance(d, int) else b for d in model.inputs[0].shape or ()]
    for share in (0.0, 0.3, 0.9, 1.0):
        model.run((random.random(shape) < share).astype(np.float32))
        assert model.plan.arena_bytes <= predicted.arena_bytes


def test_what_has_no_limit_ends_the_prediction() -> None:
    text = """n (float[b] x, int64[1] s) => (float[k] y) { e = Exp (x)  m = ReduceMax <keepdims = 1> (e)
        f = Expand (m, s)  y = Sin (f) }"""
    model = arenaut.load_onnx(parse(text), threads=1)
    predicted = model.memory(b=1000)
    assert predicted.certainty == "part"
    assert [u.most for u in predicted.undecided] == [None]
    assert "more than" in str(predicted)
    model.run({"x": np.ones(1000, np.float32), "s": np.array([5000])})
    assert model.plan.arena_bytes > predicted.arena_bytes > 0


def test_a_loop_whose_state_grows_is_predicted_without_its_body() -> None:
    text = """n (int64 t, float[b] x) => (float[k] y) { y = Loop (t, , x) <body = l (int64 i, bool go, float[n] s) =>
        (bool g, float[m] r) { g = Identity (go)  r = Concat <axis = 0> (s, s) }> }"""
    model = arenaut.load_onnx(parse(text), threads=1)
    predicted = model.memory(b=100)
    assert predicted.certainty == "part"
    assert [body.plan for body in predicted.bodies] == [None]
    y = model.run({"t": np.array(4), "x": np.ones(100, np.float32)})["y"]
    assert model.plan.certainty == "exact"
    assert model.plan.body_bytes >= y.nbytes
