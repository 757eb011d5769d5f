"""Which chains run in bands, without any force: what arenaut.lowering.band_choice decides."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import arenaut
from arenaut.lowering.band_choice import MOST_BANDS
from tests.lowering.test_bands import STEM, feeds_of, model_of

TEXT = STEM.replace("57, 41", "224, 224").replace("15, 11", "56, 56").replace("32", "64")


def stem() -> onnx.ModelProto:
    """That of a residual network, at its own size."""
    return model_of(TEXT, w1=(64, 3, 7, 7), b1=(64,))


def test_the_peak_falls_and_the_plan_says_so() -> None:
    model = stem()
    feeds = feeds_of(model, n=1)
    banded, whole = (arenaut.load_onnx(model, threads=1, without=w) for w in ((), ("bands",)))
    np.testing.assert_array_equal(banded.run(feeds)["y"], whole.run(feeds)["y"])
    (chain,) = banded.plan.chains
    assert chain.by_rows and 1 < chain.slices <= MOST_BANDS and chain.slice_bytes * 2 < chain.hidden_bytes
    assert banded.plan.arena_bytes < whole.plan.arena_bytes * 0.7
    assert banded.memory({"n": 1}).arena_bytes == banded.plan.arena_bytes
    profiles = [each.profile(feeds) for each in (banded, whole)]
    counted, wanted = (sum(step.flops for step in profile.steps) for profile in profiles)
    assert wanted - len(profiles[0].steps) < counted <= wanted  # shares are whole numbers


def test_what_is_not_worth_it_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arenaut.lowering.band_choice.WORTH_BYTES", 1 << 30)
    assert chains_of_stem() == 0  # too little to gain
    monkeypatch.undo()
    monkeypatch.setattr("arenaut.lowering.band_choice.LEAST_PIXELS", 56 * 29)
    assert chains_of_stem() == 0  # too few pixels for a band
    monkeypatch.undo()
    assert chains_of_stem() == 1


def chains_of_stem() -> int:
    model = arenaut.load_onnx(stem(), threads=1)
    model.run(feeds_of(stem(), n=1))
    return len(model.plan.chains)
