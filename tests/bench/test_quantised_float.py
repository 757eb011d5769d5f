from pathlib import Path

from arenaut.measure.stats import Interval, PairedRatio
from bench.measured import Measured
from bench.quantised_float import Result, document, float_model_of, line, pairs, read


def result(model: str, tier: str, ratio: float, products: float) -> Result:
    return Result(model, tier, 1e-3, ratio * 1e-3, PairedRatio(ratio, Interval(ratio, ratio, 0.97), 7), products)


def test_the_goal_follows_from_the_tier_and_from_what_dominates() -> None:
    assert [result("m", tier, 1, 0.9).goal for tier in ("best", "v4+vnni", "v3+avx_vnni", "v4", "v3")] == [
        2.5, 2.5, 2.5, 1.2, 1.2
    ]  # fmt: skip
    assert result("m", "best", 1, 0.5).goal == 1


def test_the_page_names_what_is_slower_and_what_is_below_the_goal() -> None:
    page = document(
        [result("one", "v3", 0.5, 0.9), result("two", "v3", 1.1, 0.9), result("three", "v3", 2, 0.1)], "", ""
    )
    assert "slower than in float 1 of 3 (goal: none): one 0.50" in page
    assert "below 1.2, of 2 that products dominate, 2: one 0.50, two 1.10" in page


def test_what_is_measured_is_kept_and_not_measured_again(tmp_path: Path) -> None:
    one, two = result("one", "v3", 0.5, 0.9), result("two", "v3", 2, 0.9)
    asked: list[tuple[str, str]] = []

    def measure(key: tuple[str, str]) -> Result:
        asked.append(key)
        return {"one": one, "two": two}[key[0]]

    kept = Measured(tmp_path / "f", read, lambda each: (each.model, each.tier), line)
    assert kept.go_on([("one", "v3")], measure, 60) == {("one", "v3"): one}
    assert kept.go_on([("one", "v3"), ("two", "v3")], measure, -1) == {("one", "v3"): one}
    assert kept.go_on([("one", "v3"), ("two", "v3")], measure, 60) == {("one", "v3"): one, ("two", "v3"): two}
    assert asked == [("one", "v3"), ("two", "v3")] and len(kept.stored()) == 2


def test_every_model_that_the_zoo_quantises_has_its_float_model() -> None:
    assert float_model_of("minilm-l6-int8") is None
    assert pairs(["resnet50-qdq"], ["v3", "v4"]) == {
        ("resnet50-qdq", "v3"): "resnet50", ("resnet50-qdq", "v4"): "resnet50"
    }  # fmt: skip
