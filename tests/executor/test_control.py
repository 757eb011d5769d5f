"""If, Loop, Scan, sequences and optionals through load_onnx, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arenaut
from tests.support.models import assert_matches_ort, parse

RNG = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def check(text: str, *feeds: dict[str, Any], rtol: float = 1e-5) -> arenaut.Model:
    """Optimised and as stored, every feed matches onnxruntime; the optimised model."""
    model = parse(text)
    for optimize in (False, True):
        loaded = arenaut.load_onnx(model, optimize=optimize)
        for feed in feeds:
            assert_matches_ort(model, loaded.run(feed), feed, rtol=rtol)
    return loaded


def dims_of(model: arenaut.Model) -> list[tuple[Any, ...]]:
    return [o.shape for o in model.outputs]


# -- If ------------------------------------------------------------------------------------------------------------


def test_branches_of_different_shapes() -> None:
    x = normal(4, 4)
    loaded = check(
        """g (bool c, float[n, n] x) => (float[a, b] z) {
          y = If (c) <then_branch = t () => (float[a, b] p) { p = MatMul (x, x) },
                      else_branch = e () => (float[a, b] q) { q = Concat <axis = 0> (x, x) }>
          z = Relu (y)
        }""",
        {"c": np.array(True), "x": x},
        {"c": np.array(False), "x": x},
    )
    assert dims_of(loaded) == [("y.0", "n")]


def test_branches_of_different_ranks() -> None:
    check(
        """g (bool c, float[n, m] x) => (float[...] z) {
          y = If (c) <then_branch = t () => (float[...] p) { p = ReduceSum <keepdims = 0> (x) },
                      else_branch = e () => (float[...] q) { q = Neg (x) }>
          z = Abs (y)
        }""".replace("float[...]", "float"),
        {"c": np.array(True), "x": normal(3, 2)},
        {"c": np.array(False), "x": normal(3, 2)},
    )


def test_nested_branches_capture_from_every_level() -> None:
    text = """g (bool c, bool d, float[n] x) => (float[k] z) {
      two = Constant <value_floats = [2.0]> ()
      x2 = Mul (x, two)
      z = If (c) <
        then_branch = t () => (float[k] p) {
          x3 = Add (x2, x)
          p = If (d) <then_branch = tt () => (float[k] pp) { pp = Sub (x3, x) },
                      else_branch = te () => (float[k] pe) { pe = Concat <axis = 0> (x3, x2) }>
        },
        else_branch = e () => (float[k] q) { q = Neg (x2) }>
    }"""
    x = normal(5)
    check(text, *({"c": np.array(c), "d": np.array(d), "x": x} for c in (True, False) for d in (True, False)))


# -- Loop ----------------------------------------------------------------------------------------------------------

GROWING = """g (int64 trips, float[n, 4] x) => (float[a, 4] z, float[t] sums) {
  none = Constant <value = bool {1}> ()
  y, sums = Loop (trips, none, x) <body = b (int64 i, bool going, float[k, 4] s) =>
                                   (bool again, float[l, 4] grown, float total) {
    grown = Concat <axis = 0> (s, x)
    total = ReduceSum <keepdims = 0> (grown)
    again = Identity (going)
  }>
  z = Neg (y)
}"""


@pytest.mark.parametrize("trips", [1, 3])
def test_a_carried_value_that_grows(trips: int) -> None:
    loaded = check(GROWING, {"trips": np.array(trips), "x": normal(2, 4)})
    assert dims_of(loaded)[0] == ("y.0", 4)


def test_no_iteration_keeps_the_initial_value() -> None:
    x = normal(2, 4)
    outputs = arenaut.load_onnx(parse(GROWING)).run({"trips": np.array(0), "x": x})
    np.testing.assert_array_equal(outputs["z"], -x)
    assert outputs["sums"].shape == (0,)


def test_a_condition_ends_the_loop() -> None:
    check(
        """g (float[n] x, float limit) => (float[n] y, int64[t] seen, float[t, n] steps) {
          far = Constant <value = int64 {1000}> ()
          go = Constant <value = bool {1}> ()
          y, seen, steps = Loop (far, go, x) <body = b (int64 i, bool going, float[n] s) =>
                                              (bool again, float[n] next, int64 number, float[n] step) {
            next = Add (s, x)
            step = Identity (next)
            top = ReduceMax <keepdims = 0> (next)
            again = Less (top, limit)
            number = Identity (i)
          }>
        }""",
        {"x": np.array([1, 2, 3], np.float32), "limit": np.array(20, np.float32)},
        {"x": np.array([1, 2, 3], np.float32), "limit": np.array(0, np.float32)},
    )


def test_a_known_trip_count_gives_known_shapes() -> None:
    loaded = check(
        """g (float[n] x) => (float[n] y, float[5, n] steps) {
          five = Constant <value = int64 {5}> ()
          y, steps = Loop (five, , x) <body = b (int64 i, bool going, float[n] s) =>
                                       (bool again, float[n] next, float[n] step) {
            next = Mul (s, x)
            step = Sqrt (next)
            again = Identity (going)
          }>
        }""",
        {"x": np.abs(normal(3))},
    )
    assert dims_of(loaded) == [("n",), (5, "n")]


# -- Scan ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
@pytest.mark.parametrize("directions", [(0, 1), (1, 0)])
def test_scan_axes_and_directions(axes: tuple[int, int], directions: tuple[int, int]) -> None:
    a, b = ("float[n, 4]" if axis == 0 else "float[4, n]" for axis in axes)
    p, q = ("float[n, 4]" if axis == 0 else "float[4, n]" for axis in reversed(axes))
    shapes = [(5, 4) if axis == 0 else (4, 5) for axis in axes]
    loaded = check(
        f"""g (float[4] s, {a} a, {b} b) => (float[4] last, {p} p, {q} q) {{
          last, p, q = Scan <num_scan_inputs = 2, scan_input_axes = {list(axes)},
                             scan_input_directions = {list(directions)}, scan_output_axes = {list(reversed(axes))},
                             scan_output_directions = {list(directions)},
                             body = body (float[4] state, float[4] x, float[4] y) =>
                                    (float[4] next, float[4] u, float[4] v) {{
            next = Add (state, x)
            u = Mul (next, y)
            v = Sub (next, x)
          }}> (s, a, b)
        }}""",
        {"s": normal(4), "a": normal(*shapes[0]), "b": normal(*shapes[1])},
    )
    assert all("n" in shape for shape in dims_of(loaded)[1:])


# -- sequences and optionals ---------------------------------------------------------------------------------------


def test_a_sequence_collected_in_a_loop() -> None:
    loaded = check(
        """g (int64 trips, float[n, 3] x) => (float[a, 3] y, int64 count) {
          go = Constant <value = bool {1}> ()
          empty = SequenceEmpty <dtype = 1> ()
          items = Loop (trips, go, empty) <body = b (int64 i, bool going, seq(float) s) =>
                                           (bool again, seq(float) more) {
            scaled = Cast <to = 1> (i)
            item = Mul (x, scaled)
            more = SequenceInsert (s, item)
            again = Identity (going)
          }>
          y = ConcatFromSequence <axis = 0> (items)
          count = SequenceLength (items)
        }""",
        {"trips": np.array(3), "x": normal(2, 3)},
    )
    assert dims_of(loaded)[0] == ("y.0", 3)


def test_sequences_edited_by_position() -> None:
    check(
        """g (float[n] x, float[m] y, int64 at) => (float[k] picked, int64 count) {
          two = SequenceConstruct (x, y)
          three = SequenceInsert (two, x, at)
          fewer = SequenceErase (three, at)
          picked = SequenceAt (fewer, at)
          count = SequenceLength (three)
        }""",
        *({"x": normal(3), "y": normal(2), "at": np.array(at)} for at in (0, 1, -1)),
    )


@pytest.mark.parametrize("at", [0, 2, -1])
def test_pieces_taken_at_known_positions_are_views(at: int) -> None:
    loaded = check(
        f"""g (float[6, n] x) => (float[2, n] y) {{
          two = Constant <value = int64 {{2}}> ()
          at = Constant <value = int64 {{{at}}}> ()
          pieces = SplitToSequence <axis = 0> (x, two)
          piece = SequenceAt (pieces, at)
          y = Relu (piece)
        }}""",
        {"x": normal(6, 4)},
    )
    assert dims_of(loaded) == [(2, "n")]
    assert not any(step.kind.name == "HOST" for step in loaded._built.lowered.steps)


def test_split_concat_round_trip_of_uneven_pieces() -> None:
    check(
        """g (float[n, 3] x, int64[k] sizes) => (float[n, 3] y, float[m, 3] last) {
          pieces = SplitToSequence <axis = 0> (x, sizes)
          y = ConcatFromSequence <axis = 0> (pieces)
          minus = Constant <value = int64 {-1}> ()
          last = SequenceAt (pieces, minus)
        }""",
        {"x": normal(6, 3), "sizes": np.array([1, 3, 2])},
    )


def test_a_function_of_every_element() -> None:
    check(
        """g (float[n] x, float[m] y, float[1] z) => (float[n] a, float[m] b) {
          items = SequenceConstruct (x, y)
          mapped = SequenceMap (items) <body = f (float[k] item) => (float[k] out) { out = Add (item, z) }>
          zero = Constant <value = int64 {0}> ()
          one = Constant <value = int64 {1}> ()
          a = SequenceAt (mapped, zero)
          b = SequenceAt (mapped, one)
        }""",
        {"x": normal(3), "y": normal(2), "z": normal(1)},
    )


def test_an_optional_that_holds_a_tensor() -> None:
    loaded = check(
        """g (float[n] x) => (float[n] y, bool held) {
          wrapped = Optional (x)
          held = OptionalHasElement (wrapped)
          inside = OptionalGetElement (wrapped)
          y = Neg (inside)
        }""",
        {"x": normal(3)},
    )
    assert dims_of(loaded)[0] == ("n",)


def test_conditions_and_trip_counts_of_unknown_rank() -> None:
    """They are one element, whatever is known of their rank: an If took its else branch, a Loop never ended."""
    model = arenaut.load_onnx(
        parse("""t (bool[] c, int64[] n, float[3] x) => (float[] y, float[] z) {
          y = If (c) <then_branch = a () => (float[3] p) { p = Neg(x) },
            else_branch = b () => (float[3] q) { q = Exp(x) }>
          z = Loop (n, c, x) <body = body (int64 i, bool k, float[3] v) => (bool l, float[3] w) {
            l = Identity(k) w = Add(v, v) }> }""")
    )
    x = normal(3)
    for dims in ((), (1,)):
        for going in (True, False):
            got = model.run({"c": np.full(dims, going), "n": np.full(dims, 3), "x": x})
            np.testing.assert_allclose(got["y"], -x if going else np.exp(x), rtol=1e-6)
            np.testing.assert_array_equal(got["z"], 8 * x if going else x)


def test_a_scan_of_unknown_ranks_along_another_axis() -> None:
    model = parse(
        """t (float[] s, float[] x) => (float[] t, float[] y) {
          t, y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1], body =
            body (float[] a, float[] b) => (float[] c, float[] d) { c = Add(a, b) d = Neg(c) }> (s, x) }"""
    )
    start, x = normal(2), normal(2, 5)
    for optimize in (True, False):
        got = arenaut.load_onnx(model, optimize=optimize).run({"s": start, "x": x})
        np.testing.assert_allclose(got["y"], -np.cumsum(x, 1) - start[:, None], rtol=1e-5)
        np.testing.assert_array_equal(got["t"], -got["y"][:, -1])
