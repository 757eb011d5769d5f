"""Two thousand random models in four parts, so that the workers of pytest-xdist share them."""

from __future__ import annotations

import pytest

from tests.random.search import Summary, search

ONE_OP, CHAINS = 1600, 400
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("kind", "count"), [("op", ONE_OP), ("chain", CHAINS)])
def test_random_models_give_what_the_oracles_give(kind: str, count: int, part: int) -> None:
    size = count // PARTS
    summary = Summary()
    for said in search(kind, 1, part * size, size, workers=1):
        summary.add(said)
    assert not summary.findings, "\n".join(
        f"--kind {kind} --seed 1 --only {i}: {n}: {t}" for i, n, t in summary.findings
    )
    assert summary.count == size
