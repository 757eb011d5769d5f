import math

import numpy as np
import pytest

from arenaut.measure.stats import geometric_mean, median_interval, paired_ratio, quiet_rounds


@pytest.mark.parametrize(
    ("count", "rank", "coverage"),
    [(6, 1, 1 - 2 / 64), (10, 2, 1 - 2 * 11 / 1024), (15, 4, 1 - 2 * (1 + 15 + 105 + 455) / 2**15)],
)
def test_interval_takes_the_tabulated_ranks(count: int, rank: int, coverage: float) -> None:
    interval = median_interval([float(value) for value in reversed(range(1, count + 1))])
    assert (interval.low, interval.high) == (rank, count + 1 - rank)
    assert interval.coverage == pytest.approx(coverage, abs=1e-15)


def test_few_values_give_the_extremes_and_say_what_they_are_worth() -> None:
    interval = median_interval([3.0, 1.0, 2.0])
    assert (interval.low, interval.high, interval.coverage) == (1.0, 3.0, 0.75)
    assert median_interval([5.0]).coverage == 0.0


def test_interval_covers_the_true_median_of_a_skewed_distribution() -> None:
    rng = np.random.default_rng(7)
    samples = rng.exponential(size=(4000, 15))
    hits = sum(each.low <= math.log(2) <= each.high for each in (median_interval(list(row)) for row in samples))
    expected = median_interval(list(samples[0])).coverage
    assert hits / 4000 == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000))


def test_interval_refuses_nothing_and_bad_confidence() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        median_interval([])
    with pytest.raises(ValueError, match=r"confidence.*1\.5"):
        median_interval([1.0], confidence=1.5)


def test_paired_ratio_cancels_a_drift_of_the_machine() -> None:
    drift = [1.0, 1.2, 2.0, 3.0, 0.5, 0.8, 1.1]
    ratio = paired_ratio([2.0 * each for each in drift], [3.0 * each for each in drift])
    assert ratio.median == pytest.approx(1.5)
    assert (ratio.interval.low, ratio.interval.high) == (pytest.approx(1.5), pytest.approx(1.5))
    assert ratio.rounds == 7


def test_paired_ratio_refuses_unpaired_series() -> None:
    with pytest.raises(ValueError, match="2 and 1"):
        paired_ratio([1.0, 2.0], [1.0])


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0, 8.0]) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="above zero"):
        geometric_mean([1.0, 0.0])


def test_rounds_that_lost_their_cores_are_left_out() -> None:
    assert quiet_rounds([0.0, 0.3, 0.01, 0.05, 0.06], 3) == ([0, 2, 3], False)


def test_where_most_rounds_are_disturbed_all_count_and_no_interval_is_given() -> None:
    kept, disturbed = quiet_rounds([0.0, 0.3, 0.4, 0.5, 0.6], 3)
    assert (kept, disturbed) == ([0, 1, 2, 3, 4], True)
    ratio = paired_ratio([1.0, 2.0], [2.0, 4.0], disturbed)
    assert (ratio.median, ratio.interval) == (2.0, None)
