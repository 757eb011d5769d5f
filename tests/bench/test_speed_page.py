import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from arenaut.measure.stats import Interval, PairedRatio
from bench.speed import Row, Work, document, stored

VERSIONS = {"arenaut": "1", "onnxruntime": "2", "openvino": "3"}


def paired(ratio: float, spread: float) -> PairedRatio:
    return PairedRatio(ratio, Interval(ratio * (1 - spread), ratio * (1 + spread), 0.97), 7)


def row(
    model: str, family: str, ratio: float, other: float | None = None, seconds: float = 1e-3, threads: int = 1
) -> Row:
    ratios = {"onnxruntime": paired(ratio, 0.01)}
    times = {"arenaut": seconds, "onnxruntime": seconds * ratio}
    if other is not None:
        ratios["openvino"] = paired(other, 0.1)
        times["openvino"] = seconds * other
    failed = {} if other is not None else {"openvino": "no such op"}
    work = Work(flops=10**7, bytes=10**6, peak=1e11, bandwidth=1e10)
    return Row(model, family, threads, times, ratios, times, times, {"arenaut": 2**20}, 1e-6, work, failed)


@pytest.fixture
def page() -> str:
    rows = [
        row("one", "cnn", 2.0, 1.0),
        row("two", "cnn", 0.5, 4.0),
        row("near", "mlp", 0.985, 3.0),
        row("tiny", "tabular", 3.0, seconds=1e-5),
        row("one", "cnn", 1.0, 2.0, threads=2),
    ]
    return document(rows, VERSIONS, "python bench/speed.py", "7 rounds")


def test_a_model_is_slower_when_its_interval_lies_below_the_limit(page: str) -> None:
    assert "- 1 thread: slower than onnxruntime on 1 of 4 (goal: none): two 0.50." in page
    assert "- 2 threads: slower than onnxruntime on 0 of 1 (goal: none)." in page
    assert "below 100 us in onnxruntime (goal 2): tiny 3.00." in page


def test_models_behind_the_better_peer_are_named(page: str) -> None:
    assert "- 1 thread: below 0.98 of the better of onnxruntime and OpenVINO on 1 of 4 (goal: none): two 0.50." in page


def test_a_ratio_without_an_interval_counts_nowhere() -> None:
    disturbed = replace(row("two", "cnn", 0.5), ratios={"onnxruntime": PairedRatio(0.5, None, 7)})
    page = document([row("one", "cnn", 2.0), disturbed], VERSIONS, "python bench/speed.py", "7 rounds")
    assert "0.50 (disturbed)" in page
    assert "slower than onnxruntime on 0 of 1 (goal: none)." in page
    assert "| cnn | 2 | 2.00 | 2.00 | 1.05 |" in page


def test_families_are_held_against_the_better_peer(page: str) -> None:
    assert "| cnn | 2 | 1.00 | 0.71 | 1.00 | 1.00 | 1.05 |" in page
    assert "| tabular | 1 | 3.00 | 3.00 | - | - | 1.2 |" in page


def test_rates_are_shares_of_the_peak_of_the_same_minute(page: str) -> None:
    line = next(line for line in page.splitlines() if line.startswith("| one | cnn | 1.00 |"))
    assert line.split(" | ")[7:10] == ["10.0", "10%", "10.0"]
    assert "- tiny, openvino: no such op" in page


def test_a_measurement_goes_on_from_what_is_there(tmp_path: Path) -> None:
    rows = [row("one", "cnn", 2.0, 1.0), row("two", "mlp", 1.5)]
    path = tmp_path / "speed.jsonl"
    path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in rows))
    assert document(stored(path), VERSIONS, "x", "y") == document(rows, VERSIONS, "x", "y")
    assert stored(tmp_path / "none") == []
