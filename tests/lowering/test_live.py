"""What is live at each step: arenaut.lowering.live."""

from __future__ import annotations

import arenaut
from arenaut.lowering.live import Uses, profile_of
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
