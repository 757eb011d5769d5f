"""What is live at each step: arenaut.lowering.live."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

import arenaut
from arenaut.lowering.live import Uses, profile_of, work_of
from arenaut.lowering.problem import Facts
from tests.lowering.test_bands import EXPAND, EXPAND_WEIGHTS, model_of


def test_a_profile_has_all_sharing_and_who_is_where() -> None:
    model = arenaut.load_onnx(model_of(EXPAND, **EXPAND_WEIGHTS), threads=1, without=["bands", "slices"])
    lowered = model._built.lowered
    profile = profile_of(lowered, {"n": 2}, Facts())
    uses = Uses(lowered)
    wide = 2 * 48 * 37 * 40 * 4
    assert len(profile.live) == len(lowered.steps) and profile.peak >= 2 * wide
    for buffer, home in profile.homes.items():
        steps = [*uses.writers[buffer], *uses.readers.get(buffer, [])]
        assert home.first <= min(steps) and max(steps) <= home.last
        assert all(profile.extra(buffer, at) == 0 for at in steps)
    assert any(profile.extra(buffer, len(lowered.steps)) == profile.size(buffer) >= wide for buffer in profile.homes)


def test_products_of_bytes_count_a_quarter_of_floats() -> None:
    text = """t (uint8[1,8,10,12] x) => (uint8[1,16,10,12] y) {
        s = Constant <value_float = 0.02> ()
        z = Constant <value = uint8 {120}> ()
        y = QLinearConv <pads = [1, 1, 1, 1]> (x, s, z, w, s, z, s, z)
    }"""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    weights = np.arange(16 * 8 * 9, dtype=np.uint8).reshape(16, 8, 3, 3)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    lowered = arenaut.load_onnx(model, threads=1)._built.lowered
    work = sum(work_of(lowered, step, {}) for step in lowered.steps)
    products = 2 * 16 * 10 * 12 * 8 * 9
    assert products / 16 <= work <= products / 16 + 2 * (8 + 16) * 10 * 12
