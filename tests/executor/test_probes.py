"""The contract's probes, end to end through the compiled program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arenaut
from tests.support.models import assert_close, assert_matches_ort, ort_outputs, parse

RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def kinds(model: arenaut.Model) -> list[str]:
    """Kernel row names, or step kinds, of the lowered program."""
    steps = model._built.lowered.steps
    return [s.row.name if s.row is not None else s.kind.name for s in steps]


def test_split_on_the_last_axis_feeds_products_as_views() -> None:
    model = parse(
        """attention (float[B, S, 48] qkv) => (float[B, S, 16] y) {
          q, k, v = Split <axis = -1, num_outputs = 3> (qkv)
          kt = Transpose <perm = [0, 2, 1]> (k)
          scores = MatMul (q, kt)
          p = Softmax <axis = -1> (scores)
          y = MatMul (p, v)
        }"""
    )
    loaded = arenaut.load_onnx(model)
    for batch, sequence in ((1, 5), (2, 16), (3, 1)):
        feeds = {"qkv": normal(batch, sequence, 48)}
        assert_matches_ort(model, loaded.run(feeds), feeds, rtol=1e-5)
    assert not [k for k in kinds(loaded) if k in ("copy", "HOST")], kinds(loaded)


def test_the_parts_of_a_concat_are_made_inside_it() -> None:
    model = parse(
        """parts (float[N, 8] x) => (float[8, 8] y) {
          a = Relu (x)
          s = Sigmoid (x)
          b = Softmax <axis = -1> (s)
          c = Concat <axis = 0> (a, b)
          t = Transpose <perm = [1, 0]> (c)
          y = MatMul (t, c)
        }"""
    )
    loaded = arenaut.load_onnx(model)
    for rows in (1, 7, 300):
        feeds = {"x": normal(rows, 8)}
        assert_matches_ort(model, loaded.run(feeds), feeds, rtol=1e-5)
        (whole,) = (block for block in loaded.plan.blocks if not block.scratch and "c" in block.name.split("+"))
        assert {"a", "b"} <= set(whole.name.split("+"))
        assert whole.bytes == 2 * rows * 8 * 4


def test_a_size_that_data_decides() -> None:
    model = parse(
        """nonzero (float[N] x, float[N, 4] table) => (float[K, 4] y, int64[K] doubled) {
          i = NonZero (x)
          axes = Constant <value_ints = [0]> ()
          flat = Squeeze (i, axes)
          y = Gather <axis = 0> (table, flat)
          doubled = Add (flat, flat)
        }"""
    )
    loaded = arenaut.load_onnx(model)
    assert "HOST" not in kinds(loaded), kinds(loaded)
    for x in ([0, 1, 0, 2, 3], [0, 0, 0], [1, 1], []):
        feeds = {"x": np.array(x, np.float32), "table": normal(len(x), 4)}
        assert_matches_ort(model, loaded.run(feeds), feeds, rtol=0)


def test_if_with_two_branches() -> None:
    model = parse(
        """choice (bool c, float[N] x) => (float[N] y) {
          y = If (c) <
            then_branch = g1 () => (float[N] a) { a = Exp (x) },
            else_branch = g2 () => (float[N] b) { t = Neg (x) b = Mul (t, t) }
          >
        }"""
    )
    loaded = arenaut.load_onnx(model)
    assert "IF" in kinds(loaded)
    for c in (True, False):
        feeds = {"c": np.array(c), "x": normal(9)}
        assert_matches_ort(model, loaded.run(feeds), feeds, rtol=1e-6)


def test_if_whose_branches_differ_in_shape() -> None:
    model = parse(
        """choice (bool c, float[N] x) => (float[M] y) {
          y = If (c) <
            then_branch = g1 () => (float[P] a) { a = Concat <axis = 0> (x, x) },
            else_branch = g2 () => (float[Q] b) { b = Exp (x) }
          >
        }"""
    )
    loaded = arenaut.load_onnx(model)
    for c in (True, False):
        feeds = {"c": np.array(c), "x": normal(5)}
        assert_matches_ort(model, loaded.run(feeds), feeds, rtol=1e-6)


def test_loop_with_a_carried_value() -> None:
    model = parse(
        """loop (int64 trips, float[N] x) => (float[N] y, float[T, N] history) {
          go = Constant <value = bool {1}> ()
          y, history = Loop (trips, go, x) <
            body = g (int64 i, bool c, float[N] h) => (bool c_out, float[N] h_out, float[N] seen) {
              c_out = Identity (c)
              f = Cast <to = 1> (i)
              s = Add (h, f)
              h_out = Tanh (s)
              seen = Identity (h_out)
            }
          >
        }"""
    )
    loaded = arenaut.load_onnx(model)
    assert "LOOP" in kinds(loaded)
    for trips in (0, 1, 7):
        feeds = {"trips": np.array(trips), "x": normal(6)}
        got = loaded.run(feeds)
        want = ort_outputs(model, feeds)
        assert_close(got["y"], want[0], rtol=1e-6)
        assert got["history"].shape[0] == trips
        if trips:
            assert_close(got["history"], want[1], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_narrow_elementwise_chains(dtype: str) -> None:
    model = parse(
        f"""chain ({dtype}[N, 5] x, {dtype}[5] y) => ({dtype}[N, 5] z) {{
          a = Add (x, y)
          b = Mul (a, x)
          c = Sub (b, y)
          z = Abs (c)
        }}"""
    )
    loaded = arenaut.load_onnx(model)
    assert "HOST" not in kinds(loaded)
    if dtype == "int8":
        feeds = {"x": RNG.integers(-8, 8, (11, 5), np.int8), "y": RNG.integers(-8, 8, 5, np.int8)}
        # onnxruntime has no int8 Add: the oracle is numpy's own wrapping arithmetic.
        x, y = feeds["x"], feeds["y"]
        assert_close(loaded.run(feeds)["z"], np.abs((x + y) * x - y), rtol=0)
        return
    feeds = {"x": normal(11, 5).astype(np.float16), "y": normal(5).astype(np.float16)}
    assert_matches_ort(model, loaded.run(feeds), feeds, rtol=2e-3)


def test_a_string_op_through_the_host() -> None:
    model = parse(
        """strings (string[N] a, string[N] b, float[N] x) => (string[N] joined, float[N] y) {
          joined = StringConcat (a, b)
          y = Sqrt (x)
        }"""
    )
    loaded = arenaut.load_onnx(model)
    feeds = {
        "a": np.array(["ab", "", "x"], object),
        "b": np.array(["c", "d", "ü"], object),
        "x": np.array([1, 4, 9], np.float32),
    }
    assert_matches_ort(model, loaded.run(feeds), feeds, rtol=1e-6)


def test_one_model_at_twenty_batch_and_sequence_sizes() -> None:
    weight = ", ".join(f"{v:.4f}" for v in normal(8 * 12).ravel())
    model = parse(
        f"""block (float[batch, sequence, 8] x) => (float[batch, sequence, 12] y)
        <float[8, 12] w = {{{weight}}}> {{
          h = MatMul (x, w)
          s = Shape (h)
          flat_shape = Constant <value_ints = [-1, 12]> ()
          flat = Reshape (h, flat_shape)
          act = Relu (flat)
          back = Reshape (act, s)
          y = Softmax <axis = -1> (back)
        }}"""
    )
    loaded = arenaut.load_onnx(model)
    graph_before = str(loaded.graph)
    for n in range(20):
        feeds = {"x": normal(1 + n % 5, 1 + 3 * n, 8)}
        assert_matches_ort(model, loaded.run(feeds), feeds, rtol=1e-5)
        assert loaded.plan.arena_bytes >= loaded.plan.lower_bound_bytes
    assert str(loaded.graph) == graph_before
