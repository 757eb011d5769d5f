from arenaut.measure.engines import require
from arenaut.measure.stats import Interval, PairedRatio
from bench.bfloat16 import OURS, PEER, document
from bench.speed import Row


def row(model: str, ratio: float | None) -> Row:
    ratios = {} if ratio is None else {PEER: PairedRatio(ratio, Interval(ratio, ratio, 0.97), 7)}
    seconds = {OURS: 1e-3} if ratio is None else {OURS: 1e-3, PEER: ratio * 1e-3}
    return Row(model, "cnn", 1, seconds, ratios, {}, {}, {}, None, None, {})


def test_the_page_names_what_is_below_openvino() -> None:
    page = document([row("one", 0.5), row("two", 2.0), row("three", None)], "these", "so")
    assert "- 1 thread: below OpenVINO on 1 of 2 (goal: none): one 0.50; geometric mean 1.00." in page
    assert "| three | 1 | 1.00 | refused | - |" in page


def test_child_processes_find_the_engine() -> None:
    assert require(OURS).target == "bench.bfloat16:Bfloat16Engine"
