"""What only a run knows and the standard does not define is refused: with the node, the operand and its value."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.errors import ArenautError
from tests.support.models import assert_matches_ort, ort_outputs, parse

X = np.arange(6, dtype=np.float32).reshape(2, 3)
POOLED = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def ort_accepts(proto: onnx.ModelProto, feeds: dict[str, Any]) -> bool:
    try:
        ort_outputs(proto, feeds)
    except Exception:  # each kind of failure is an exception of its own
        return False
    return True


# Model, feeds that run, feeds that do not, and what the error says.
CASES: dict[str, tuple[str, list[dict[str, Any]], list[tuple[dict[str, Any], str]]]] = {
    "Reshape": (
        "float[a, b] x, int64[2] t) => (float[] y) { y = Reshape (x, t)",
        [{"t": ints(3, -1)}, {"t": ints(0, 3)}, {"t": ints(6, 1)}],
        [
            ({"t": ints(-3, -2)}, r"Reshape.*input 1.*below -1, got -3, -2"),
            ({"t": ints(-1, -1)}, r"Reshape.*input 1.*one -1, got -1, -1"),
            ({"t": ints(4, 1)}, r"Reshape.*input 1.*elements of input 0.*got 4, 1"),
            ({"x": X[:, :0], "t": ints(-1, 0)}, r"Reshape.*input 1.*-1 open beside a dim of 0, got -1, 0"),
        ],
    ),
    "Reshape to a constant": (
        "float[a, b] x) => (float[] y) <int64[2] t = {3, 2}> { y = Reshape (x, t)",
        [{}],
        [({"x": X[:1]}, r"Reshape.*elements of input 0.*got 3, 2")],
    ),
    "Expand": (
        "float[a, b] x, int64[2] t) => (float[] y) { y = Expand (x, t)",
        [{"t": ints(1, 3)}, {"x": X[:1], "t": ints(4, 1)}],
        [({"t": ints(4, 3)}, r"Expand.*got 4, 3"), ({"t": ints(-1, 3)}, r"Expand.*negative size, got -1, 3")],
    ),
    "MaxUnpool": (
        "float[a, b, c, d] x, int64[4] s) => (float[] y) <int64[1, 1, 2, 2] i = {5, 7, 13, 15}> {"
        " y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, i, s)",
        [{"x": POOLED, "s": ints(1, 1, 4, 4)}],
        [
            ({"x": POOLED, "s": ints(1, 1, 6, 2)}, r"MaxUnpool.*dim 3 of the output's shape.*below.*got 2, 4"),
            ({"x": POOLED, "s": ints(1, 1, -1, 4)}, r"MaxUnpool.*dim 2 of the output's shape.*below.*got -1, 4"),
        ],
    ),
    "Squeeze": (
        "float[a, b] x) => (float[] y) <int64[1] t = {0}> { y = Squeeze (x, t)",
        [{"x": X[:1]}],
        [({}, r"Squeeze.*dim 0 of input 0 must be 1.*got 2")],
    ),
    "Split": (
        "float[a, b] x, int64[2] t) => (float[] y, float[] z) { y, z = Split <axis = 1> (x, t)",
        [{"t": ints(1, 2)}, {"t": ints(0, 3)}],
        [({"t": ints(-1, 4)}, r"Split.*negative size, got -1, 4"), ({"t": ints(1, 1)}, r"Split.*got 1, 1")],
    ),
    "SplitToSequence": (
        "float[a, b] x, int64[2] t) => (float[] y) { s = SplitToSequence <axis = 1> (x, t)\n"
        "y = ConcatFromSequence <axis = 1> (s)",
        [{"t": ints(1, 2)}],
        [({"t": ints(-1, 4)}, r"SplitToSequence.*\[-1, 4\]"), ({"t": ints(1, 1)}, r"SplitToSequence.*\[1, 1\]")],
    ),
    "TopK": (
        "float[a, b] x, int64[1] t) => (float[] y, int64[] z) { y, z = TopK (x, t)",
        [{"t": ints(2)}, {"t": ints(0)}],
        [({"t": ints(-1)}, r"TopK.*k.*got -1"), ({"t": ints(4)}, r"TopK.*k.*got 4")],
    ),
    "Tile": (
        "float[a, b] x, int64[2] t) => (float[] y) { y = Tile (x, t)",
        [{"t": ints(2, 1)}],
        [({"t": ints(2, -1)}, r"Tile.*got 2, -1")],
    ),
    "ConstantOfShape": (
        "float[a, b] x, int64[1] t) => (float[] y) { z = ConstantOfShape (t)\n y = Add (z, x)",
        [{"t": ints(3)}],
        [({"t": ints(-3)}, r"ConstantOfShape.*got -3")],
    ),
    "OneHot": (
        "float[a, b] x, int64 t) => (float[] y) <int64[2] i = {0, 1}, float[2] v = {0, 1}> { y = OneHot (i, t, v)",
        [{"t": np.array(3)}],
        [({"t": np.array(-1)}, r"OneHot.*depth.*got -1"), ({"t": np.array(0)}, r"OneHot.*depth.*got 0")],
    ),
    "Range": (
        "float[a, b] x, int64 t) => (int64[] y) <int64 i = {0}, int64 n = {5}> { y = Range (i, n, t)",
        [{"t": np.array(2)}, {"t": np.array(-1)}],
        [({"t": np.array(0)}, r"Range.*delta.*got 0")],
    ),
    "Concat": (
        "float[a, b] x, float[c, d] t) => (float[] y) { y = Concat <axis = 0> (x, t)",
        [{"t": X}, {"t": X[:1]}],
        [({"t": X[:, :1]}, r"Concat.*dim 1 of input 1.*got 1"), ({"t": X[:, :2]}, r"Concat.*dim 1 of input 1.*got 2")],
    ),
    "DepthToSpace": (
        "float[a, b, c, d] x) => (float[] y) { y = DepthToSpace <blocksize = 2> (x)",
        [{"x": np.ones((1, 4, 2, 2), np.float32)}],
        [({"x": np.ones((1, 6, 2, 2), np.float32)}, r"DepthToSpace.*multiple of 4, got 6")],
    ),
    "Resize": (
        "float[a, b] x, int64[2] t) => (float[] y) { y = Resize (x, , , t)",
        [{"t": ints(4, 6)}],
        [({"t": ints(-1, 6)}, r"Resize.*sizes.*got -1, 6"), ({"t": ints(0, 6)}, r"Resize.*sizes.*got 0, 6")],
    ),
    "Pad": (
        "float[a, b] x, int64[1] t) => (float[] y) <int64[2] p = {1, 1}> { y = Pad (x, p, , t)",
        [{"t": ints(1)}, {"t": ints(-2)}],
        [({"t": ints(2)}, r"Pad.*axes \[2\].*rank 2"), ({"t": ints(-3)}, r"Pad.*axes \[-3\].*rank 2")],
    ),
    **{
        f"{op} of {keepdims}": (
            f"float[a, b] x, int64[1] t) => (float[] y) {{ y = {op} <keepdims = {keepdims}> (x, t)",
            [{"t": ints(1)}, {"t": ints(-2)}],
            [({"t": ints(2)}, rf"{op}.*axes \[2\].*rank 2"), ({"t": ints(-3)}, rf"{op}.*axes \[-3\].*rank 2")],
        )
        for op in ("ReduceSum", "ReduceMax", "ReduceMean")
        for keepdims in (0, 1)
    },
}


@pytest.mark.parametrize("name", CASES)
def test_values_that_the_standard_does_not_define(name: str) -> None:
    text, good, bad = CASES[name]
    proto = parse(f"agraph ({text} }}", opset=21)
    model = arenaut.load_onnx(proto)
    for given in (*good, *good):
        feeds = {i.name: given.get(i.name, X) for i in model.inputs}
        assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-6)
    for given, message in bad:
        feeds = {i.name: given.get(i.name, X) for i in model.inputs}
        assert not ort_accepts(proto, feeds)
        with pytest.raises(ArenautError, match=message):
            model.run(feeds)
    feeds = {i.name: good[0].get(i.name, X) for i in model.inputs}
    assert_matches_ort(proto, model.run(feeds), feeds, rtol=1e-6)


def test_a_minus_one_beside_a_zero_is_refused() -> None:
    for dims, shape, target in (("a, b", (1, 0), (-1, 0)), ("a, b", (0, 4), (0, -1)), ("1, 0", (1, 0), (-1, 0))):
        constant = f"<int64[2] t = {{{target[0]}, {target[1]}}}>"
        text = f"agraph (float[{dims}] x) => (float[] y) {constant} {{ y = Reshape (x, t) }}"
        with pytest.raises(ArenautError, match=r"Reshape.*-1 open"):
            arenaut.load_onnx(parse(text)).run({"x": np.zeros(shape, np.float32)})
    text = "agraph (float[a, b] x) => (float[] y) <int64[2] t = {3, -1}> { y = Reshape (x, t) }"
    assert arenaut.load_onnx(parse(text)).run({"x": np.zeros((0, 4), np.float32)})["y"].shape == (3, 0)


def test_a_branch_that_is_not_taken_asks_for_nothing() -> None:
    proto = parse("""agraph (bool c, float[n] x) => (float[] y) { y = If (c) <
        then_branch = t () => (float[2, 2] p) { s = Constant <value = int64[2] {2, 2}> ()  p = Reshape (x, s) },
        else_branch = e () => (float[1, 1] q) { s = Constant <value = int64[2] {1, 1}> ()
            f = Constant <value = int64[1] {0}> ()  m = ReduceMax (x, f)  q = Reshape (m, s) }> }""")
    model = arenaut.load_onnx(proto)
    assert model.run({"c": np.array(False), "x": np.arange(3, dtype=np.float32)})["y"].tolist() == [[2]]
    assert model.run({"c": np.array(True), "x": np.arange(4, dtype=np.float32)})["y"].shape == (2, 2)
    with pytest.raises(ArenautError, match="elements of input 0"):
        model.run({"c": np.array(True), "x": np.arange(3, dtype=np.float32)})
