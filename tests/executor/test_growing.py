"""Outputs that grow at each run take the memory of earlier ones."""

from __future__ import annotations

import resource

import numpy as np

import arenaut
from tests.support.models import parse

TEXT = """agraph (float[p, 1024] past, float[1, 1024] new, float[p] small) => (float[p] other, float[t, 1024] present) {
    present = Concat <axis = 0> (past, new) other = Neg (small) }"""


def test_what_grows_is_not_faulted_in_anew() -> None:
    model = arenaut.load_onnx(parse(TEXT), threads=1)
    new = np.ones((1, 1024), np.float32)
    past = np.zeros((2048, 1024), np.float32)
    faults = []
    for step in range(64):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        past = model.run({"past": past, "new": new, "small": past[:, 0].copy()})["present"]
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        assert past.shape == (2049 + step, 1024)
    assert past[2048:].all() and not past[:2048].any()
    # Of some 2,100 pages of output, a run writes one row that none wrote before in its block.
    assert sorted(faults[4:])[-3] < 200


def test_one_output_of_another_size_takes_no_large_block() -> None:
    """A small output in the block of a large one would leave the large one without."""
    model = arenaut.load_onnx(parse(TEXT), threads=1)
    new = np.ones((1, 1024), np.float32)
    for rows in (600, 2048, 2048, 2048, 2048):
        feeds = {"past": np.ones((rows, 1024), np.float32), "new": new, "small": np.ones(rows, np.float32)}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        model.run(feeds)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 200
