"""What equals one of its operands is proved to: nodes of unknown rank, or that may broadcast, stay."""

from __future__ import annotations

import numpy as np
import pytest

import arenaut
from arenaut.passes.remove_identities import remove_identities
from tests.support.models import assert_close, ort_outputs, parse
from tests.support.rewriting import draw, rewrite

FED_SHAPE = "agraph (float[n] x, int64[r] t) => (float[] y) <{constants}> {{ v = Reshape (x, t) {nodes} }}"


@pytest.mark.parametrize(
    ("constants", "nodes"),
    [
        (
            "int64[1] b = {1}, int64[1] e = {3}, int64[1] a = {0}",
            "s = Sigmoid (v) y = Slice (s, b, e, a)",
        ),
        ("int64[3] to = {2, 1, 1}", "s = Sigmoid (v) y = Expand (s, to)"),
        ("float[1, 1, 1] zero = {0}", "s = Sigmoid (v) y = Add (s, zero)"),
        ("float[1, 1, 1] zero = {0}", "s = Sigmoid (v) y = Add (zero, s)"),
        ("float[2, 1, 1] zero = {0, 0}", "s = Sigmoid (v) y = Sub (s, zero)"),
        ("float[1, 1, 1] one = {1}", "s = Sigmoid (v) y = Mul (one, s)"),
        ("float[1, 1, 1] one = {1}", "s = Sigmoid (v) y = Div (s, one)"),
        ("float[1, 1, 1] one = {1}", "s = Sigmoid (v) y = Pow (s, one)"),
        ("int64[2] to = {4, -1}", "s = Sigmoid (v) y = Reshape (s, to)"),
    ],
)
@pytest.mark.parametrize("shape", [(8,), (4, 2)])
def test_what_changes_a_value_of_unknown_rank_stays(constants: str, nodes: str, shape: tuple[int, ...]) -> None:
    """Two types that nobody knows are not the same: ranks are known only when `t` is fed."""
    model = parse(FED_SHAPE.format(constants=constants, nodes=nodes))
    feeds = {"x": draw(8), "t": np.array(shape, np.int64)}
    assert_close(arenaut.load_onnx(model).run(feeds)["y"], ort_outputs(model, feeds)[0], rtol=1e-6)


def test_a_fed_reshape_after_one_stays() -> None:
    model = parse(
        "agraph (float[n] x, int64[r] t, int64[q] u) => (float[] y) { v = Reshape (x, t) y = Reshape (v, u) }"
    )
    feeds = {"x": draw(8), "t": np.array([2, 4]), "u": np.array([4, 2])}
    assert arenaut.load_onnx(model).run(feeds)["y"].shape == (4, 2)


def test_a_slice_after_a_squeeze_that_names_no_axes_stays() -> None:
    text = """agraph (float[n, 1, m] x, float[2] p) => (float[] y)
    { s = Squeeze (x) c = Slice <axes = [0], starts = [1], ends = [3]> (s) y = Concat <axis = 0> (c, p) }"""
    model = parse(text, opset=9, ir_version=4)
    feeds = {"x": draw(6, 1, 1), "p": draw(2, seed=1)}
    got = arenaut.load_onnx(model).run(feeds)["y"]
    assert_close(got, ort_outputs(model, feeds)[0], rtol=0)
    assert got.shape == (4,)


@pytest.mark.parametrize(
    "nodes",
    ["y = Identity (v)", "y = Add (v, zero)", "y = Mul (one, v)", "y = Cast <to = 1> (v)", "y = Concat <axis = 0> (v)"],
)
def test_what_keeps_any_shape_goes(nodes: str) -> None:
    """A scalar broadcasts nothing, whatever the rank of the other side."""
    constants = "float zero = {0}, float one = {1}"
    model = parse(FED_SHAPE.format(constants=constants, nodes=nodes.replace("y =", "w =") + " y = Exp (w)"))
    feeds = {"x": draw(8), "t": np.array([2, 4])}
    assert rewrite(model, remove_identities, feeds=feeds).ops == ["Reshape", "Exp"]


def test_a_constant_that_broadcasts_stays_where_ranks_are_known() -> None:
    model = parse("agraph (float[n] x) => (float[2, n] y) <float[2, 1] zero = {0, 0}> { y = Add (x, zero) }")
    assert rewrite(model, remove_identities, feeds={"x": draw(3)}).ops == ["Add"]


def test_a_mask_that_leaves_the_model_keeps_its_dropout() -> None:
    model = parse("agraph (float[n] x) => (float[n] y, bool[n] m) { v = Exp (x) w, m = Dropout (v) y = Neg (w) }")
    loaded = arenaut.load_onnx(model)
    x = draw(3)
    assert_close(loaded.run(x=x)["y"], -np.exp(x), rtol=1e-6)
    assert loaded.run(x=x)["m"].all()
