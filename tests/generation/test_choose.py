"""What is drawn: as often as the distribution says, and only what top-k and top-p leave."""

from __future__ import annotations

import numpy as np
import pytest

from arenaut.generation.choose import Sampling, choose, distribution, log_probabilities

LOGITS = np.random.default_rng(3).standard_normal(20).astype(np.float32) * 2
DRAWS = 20_000


def expected(temperature: float, top_k: int, top_p: float) -> np.ndarray:
    """Probabilities by token, computed one token after the other."""
    weights = np.exp(LOGITS.astype(np.float64) / temperature)
    order = sorted(range(len(weights)), key=lambda t: -weights[t])[: top_k or len(weights)]
    total, kept, mass = sum(weights[t] for t in order), [], 0.0
    for token in order:
        kept.append(token)
        mass += weights[token] / total
        if mass >= top_p:
            break
    result = np.zeros(len(weights))
    result[kept] = weights[kept] / weights[kept].sum()
    return result


CASES = [(1.0, 0, 1.0), (0.5, 0, 1.0), (2.0, 0, 1.0), (1.0, 5, 1.0), (1.0, 0, 0.8), (1.5, 10, 0.6)]


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), CASES)
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float, top_k: int, top_p: float) -> None:
    random = np.random.default_rng(11)
    sampling = Sampling(temperature, top_k, top_p)
    counts = np.bincount([choose(LOGITS, sampling, random) for _ in range(DRAWS)], minlength=len(LOGITS))
    wanted = DRAWS * expected(temperature, top_k, top_p)
    assert not counts[wanted == 0].any()
    seen = wanted > 5
    rest = wanted[~seen].sum()
    chi = ((counts - wanted)[seen] ** 2 / wanted[seen]).sum()
    chi += (counts[~seen].sum() - rest) ** 2 / rest if rest else 0.0
    freedom = max(1, seen.sum() - 1)
    assert chi < freedom + 4 * np.sqrt(2 * freedom) + 4  # far beyond the 99.9th percentile of chi squared


def test_a_wrong_temperature_would_be_noticed() -> None:
    random = np.random.default_rng(11)
    counts = np.bincount([choose(LOGITS, Sampling(1.2, 0, 1.0), random) for _ in range(DRAWS)], minlength=20)
    wanted = DRAWS * expected(1.0, 0, 1.0)
    assert ((counts - wanted) ** 2 / wanted).sum() > 200


def test_the_likeliest_of_equal_ones_is_the_first() -> None:
    random = np.random.default_rng(0)
    assert choose(np.array([0, 2, 2, 1], np.float32), Sampling(0.0, 0, 1.0), random) == 1
    assert distribution(np.array([0, 2, 2, 2], np.float32), Sampling(1.0, 2, 1.0))[0].tolist() == [1, 2]


def test_logarithms_of_probabilities_sum_to_one() -> None:
    scores = log_probabilities(np.array([[1000.0, 0.0, -1000.0], [1, 2, 3]], np.float32))
    np.testing.assert_allclose(np.exp(scores).sum(-1), 1, rtol=1e-15)
    assert scores[0, 0] == 0 and scores[0, 2] == -2000
