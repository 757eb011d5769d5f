"""Real clients of onnxruntime run unmodified, with the same results."""

from __future__ import annotations

import pytest

from tests.clients.run import CLIENTS, compare, differing, missing


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client(name: str) -> None:
    absent = missing(name)
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)} (pip install 'arenaut[clients]')")
    found = compare(name)
    print(f"{name}: {found.ratio:.2f} times as fast as on onnxruntime ({1e3 * found.ours:.2f} ms)")
    assert not found.difference


def test_differences_are_found() -> None:
    assert differing({"a": [1, 2.0, "x"]}, {"a": [1, 2.0 + 1e-9, "x"]}, 1e-6) == ""
    assert "[0][1][1]" in differing({"a": [1, 2.0]}, {"a": [1, 2.1]}, 1e-6)
    assert differing([1], [1, 2], 1) and differing(["a"], ["b"], 1) and not differing([float("nan")], [float("nan")], 1)
