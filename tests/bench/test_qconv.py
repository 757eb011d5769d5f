"""The bench of integer convolutions: its models are the layers they name, and its page says what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import arenaut
from bench.qconv import Layer, Result, document, lines_of, model_of


@pytest.mark.parametrize("layer", [Layer(8, 9, 16, 3, 2), Layer(16, 5, 8, 1), Layer(16, 8, 16, 5, 2, 16)])
def test_models_are_the_layers(layer: Layer) -> None:
    model, x = model_of(layer)
    loaded = arenaut.load_onnx(model)
    (y,) = loaded.run(x).values()
    (want,) = ReferenceEvaluator(model).run(None, {"a": x})
    assert y.shape == (1, layer.out, layer.out, layer.filters) and y.std() > 10
    assert np.abs(y.astype(int) - np.asarray(want).astype(int)).max() <= 1
    steps = [s.row.name for s in loaded._built.lowered.steps if s.row is not None]
    assert steps == ["qconv"]  # channels last throughout: nothing is copied


def test_rows_state_rates_and_shares() -> None:
    layer = Layer(64, 56, 64, 3)
    assert layer.flops == 2 * 56 * 56 * 64 * 64 * 9
    lines = lines_of("Layers", [Result(layer, 8e11, 0.5, 4e11)])
    assert lines[4] == "| 64 | 56x56 | 64 | 3x3 | 1 | 800 | 50 | 400 | 2.00 |"
    assert "Geometric mean: 2.00 times" in document([lines], "a machine", "vnni", 9)
