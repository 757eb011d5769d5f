"""Pads whose amounts are differences of sizes: native steps, whichever of the sizes is larger."""

from __future__ import annotations

import numpy as np
import pytest

import arenaut
from tests.support.models import parse

TEXT = """agraph (bool[a, 3] x, float[b] y) => (bool[c, 3] z) {
    sx = Shape <end = 1> (x) sy = Shape (y) more = Sub (sy, sx) none = Constant <value_ints = [0]> ()
    pads = Concat <axis = 0> (PADS) z = Pad (x, pads) }"""
PLACES = {"after": "none, none, more, none", "before": "more, none, none, none"}


@pytest.mark.parametrize("place", PLACES)
def test_an_array_gets_the_length_of_another(place: str) -> None:
    model = arenaut.load_onnx(parse(TEXT.replace("PADS", PLACES[place])), threads=1)
    assert {step.family for step in model._built.outline.steps} == {"Fill", "Copy"}
    for have, want in ((2, 5), (5, 5), (6, 2), (0, 3), (3, 0)):
        x = np.random.default_rng(have).random((have, 3)) < 0.7
        kept = min(have, want)
        expected = np.zeros((want, 3), bool)
        expected[slice(kept) if place == "after" else slice(want - kept, want)] = (
            x[:kept] if place == "after" else x[have - kept :]
        )
        np.testing.assert_array_equal(model.run({"x": x, "y": np.zeros(want, np.float32)})["z"], expected)
