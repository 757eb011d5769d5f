import json
import math

import pytest

from arenaut.measure.compare import Difference
from arenaut.measure.render import kibibytes, one_line, overall, plain, scientific, significant
from arenaut.measure.speed import EngineResult, SpeedResult
from arenaut.measure.stats import PairedRatio, median_interval


def result(name: str, ratio: float, threads: int = 1) -> SpeedResult:
    engines = tuple(EngineResult(engine, "1", "", rounds=(0.5, 1.5, 2.5)) for engine in ("arenaut", "onnxruntime"))
    paired = PairedRatio(ratio, median_interval([ratio] * 6), 6)
    return SpeedResult(name, threads, (0,), engines, {"onnxruntime": paired}, "onnxruntime")


def test_overall_weighs_families_alike_and_keeps_thread_counts_apart() -> None:
    results = [
        ("cnn", result("a", 4.0)),
        ("cnn", result("b", 1.0)),
        ("mlp", result("c", 8.0)),
        ("mlp", result("c", 3.0, threads=2)),
    ]
    one, two = overall(results)
    assert (one.threads, one.peer, one.models) == (1, "onnxruntime", 3)
    assert one.ratio == pytest.approx(4.0)  # sqrt(sqrt(4 * 1) * 8)
    assert (two.threads, two.ratio, two.models) == (2, pytest.approx(3.0), 1)


def test_plain_data_is_json_and_keeps_the_median() -> None:
    document = plain(result("a", 1.5))
    assert document["engines"][0]["median_seconds"] == 1.5
    assert document["engines"][0]["load_seconds"] is None
    assert document["ratios"]["onnxruntime"]["interval"]["low"] == 1.5
    json.dumps(document, allow_nan=False)
    assert plain(Difference(math.inf, 0.0, 0, 1))["max_abs"] is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (12345.6, "12,346"), (1.234, "1.23"), (0.01234, "0.0123"), (1.5e-9, "1.50e-09")]
)
def test_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_sizes_round_up_and_errors_stay_short() -> None:
    assert (kibibytes(1), kibibytes(1024), kibibytes(None)) == ("1", "1", "-")
    assert (scientific(0.0), scientific(1.26e-7)) == ("0", "1.3e-07")
    assert one_line("a\n  b  c", limit=10) == "a b c"
    assert one_line("x" * 20, limit=10) == "x" * 9 + "…"
