"""Which token comes next: the likeliest, or one drawn from what temperature, top-k and top-p leave."""

from __future__ import annotations

import numpy as np

from arenaut.ir.graph import Array
from arenaut.plain import dataclass


@dataclass(frozen=True)
class Sampling:
    """temperature 0: the likeliest token. top_k: only so many likeliest (0: all). top_p: of those, the fewest whose
    probabilities sum to at least it (1: all)."""

    temperature: float
    top_k: int
    top_p: float


def choose(logits: Array, sampling: Sampling, random: np.random.Generator) -> int:
    """A token by its logits [vocabulary]; of equal ones the first."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    tokens, weights = distribution(logits, sampling)
    drawn = int(np.searchsorted(weights.cumsum(), random.random(), side="right"))
    return int(tokens[min(drawn, len(tokens) - 1)])  # the sum may be a little less than 1


def distribution(logits: Array, sampling: Sampling) -> tuple[Array, Array]:
    """The tokens that may be drawn, likeliest first, and their probabilities, float64."""
    scores = logits.astype(np.float64) / sampling.temperature
    if 0 < sampling.top_k < len(scores):
        kept = np.argpartition(-scores, sampling.top_k - 1)[: sampling.top_k]
        tokens = kept[np.lexsort((kept, -scores[kept]))]
    else:
        tokens = np.argsort(-scores, kind="stable")
    weights = np.exp(scores[tokens] - scores[tokens[0]])
    weights /= weights.sum()
    if sampling.top_p < 1:
        fewest = int(np.searchsorted(weights.cumsum(), sampling.top_p, side="left")) + 1
        tokens, weights = tokens[:fewest], weights[:fewest] / weights[:fewest].sum()
    return tokens, weights


def log_probabilities(logits: Array) -> Array:
    """Natural logarithms of the softmax over the last axis, float64."""
    scores = logits.astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
    return scores
