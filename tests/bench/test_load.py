"""The page of load times, without its timings."""

from __future__ import annotations

import pytest

from bench.load import Cost, document, growth, line


def cost(nodes: int, each: float) -> Cost:
    return Cost(nodes, each, 2 * each, 3 * each, 4 * each)


@pytest.mark.parametrize(("each", "verdict"), [(5.0, "|  |"), (5.1, "| over |")])
def test_a_model_is_judged_by_its_budget(each: float, verdict: str) -> None:
    page = document({"some": cost(100, each)}, {}, "a machine", "python bench/load.py")
    assert "| some | 100 |" in page and page.endswith(f"| 50.0 {verdict}\n")
    assert line("some", cost(100, each)).endswith("over") == (verdict == "| over |")


def test_growth_is_that_of_time_by_nodes() -> None:
    costs = [cost(100, 1.0), cost(200, 2.0), cost(400, 6.0)]
    assert growth(costs) == [1.0, 1.5]
    page = document({}, {str(c.nodes): c for c in costs}, "a machine", "python bench/load.py --growth")
    assert "doubling the layers: 1.00, 1.50." in page
