"""Producers write their parts of a channels-last Concat in place; where that cannot be, parts are copied."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

import arenaut
from arenaut.lowering.destinations import destinations
from tests.support.models import ort_outputs, parse

WEIGHTS = ", ".join(f"float[16, 16, 1, 1] w{i}" for i in range(2))


def concat_of(parts: str, last: str = "y = Conv (c, v)", second: str = "b = Conv (x, w1)") -> arenaut.Model:
    """Two parts of 16 channels each, joined and read by another convolution."""
    model = parse(f"t (float[1, 16, 9, 9] x) => (float[1, 16, 9, 9] y) {{ a = Conv (x, w0) {second} {parts} {last} }}"
                  .replace("x)", f"x, {WEIGHTS}, float[16, 32, 1, 1] v)", 1))  # fmt: skip
    rng = np.random.default_rng(0)
    shapes = {"w0": (16, 16, 1, 1), "w1": (16, 16, 1, 1), "v": (16, 32, 1, 1)}
    weights = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    kept = [i for i in model.graph.input if i.name == "x"]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(w, n) for n, w in weights.items())
    x = rng.standard_normal((1, 16, 9, 9)).astype(np.float32)
    made = arenaut.load_onnx(model.SerializeToString(), threads=1, without=["slices"])
    np.testing.assert_allclose(made.run({"x": x})["y"], ort_outputs(model, {"x": x})[0], rtol=1e-4, atol=1e-4)
    return made


def copies(model: arenaut.Model) -> int:
    return sum(step.row is not None and step.row.family == "Copy" for step in model._built.lowered.steps)


def test_both_parts_are_written_where_the_concat_has_them() -> None:
    assert copies(concat_of("c = Concat <axis = 1> (a, b)")) == 0


def test_an_input_of_the_model_is_copied() -> None:
    assert copies(concat_of("c = Concat <axis = 1> (a, x)", second="")) == 1


def test_only_parts_of_a_concat_have_a_destination() -> None:
    joined = concat_of("c = Concat <axis = 1> (a, b)").graph
    alone = concat_of("c = Concat <axis = 1> (a, x)", second="").graph
    assert {part.start for part in destinations(joined).values()} == {0, 16}
    assert [part.start for part in destinations(alone).values()] == [0]


def test_a_part_made_before_the_size_of_the_whole_is_known_is_copied() -> None:
    """As where a transformer in the middle of a convolutional network arranges pixels by sizes that it computes."""
    model = parse("""t (float[n, 16, h, w] x, int64[4] dims, float[16, 16, 1, 1] w0, float[16, 16, 1, 1] w1,
                        float[16, 32, 1, 1] v) => (float[b, 16, d, e] y) {
        early = Conv (x, w0)  f = Cast <to = 1> (dims)  u = Ceil (f)  s = Cast <to = 7> (u)
        r = Reshape (early, s)  late = Conv (r, w1)  c = Concat <axis = 1> (early, late)  y = Conv (c, v)
    }""")
    rng = np.random.default_rng(0)
    feeds = {n: rng.standard_normal(s).astype(np.float32) for n, s in
             {"x": (2, 16, 9, 7), "w0": (16, 16, 1, 1), "w1": (16, 16, 1, 1), "v": (16, 32, 1, 1)}.items()}  # fmt: skip
    weights = [numpy_helper.from_array(feeds.pop(n), n) for n in ("w0", "w1", "v")]
    kept = [i for i in model.graph.input if i.name in ("x", "dims")]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(weights)
    feeds["dims"] = np.array([2, 16, 9, 7])
    made = arenaut.load_onnx(model.SerializeToString(), threads=1)
    np.testing.assert_allclose(made.run(feeds)["y"], ort_outputs(model, feeds)[0], rtol=1e-4, atol=1e-4)
