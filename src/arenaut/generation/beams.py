"""Beam search: the sequence of the best mean logarithm of probability that so many open hypotheses find."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np

from arenaut.generation.choose import log_probabilities
from arenaut.ir.graph import Array

# Given the rows of the step before that go on and their new tokens, logits [rows, vocabulary] of what follows.
Advance = Callable[[Sequence[int], Sequence[int]], Array]


def search(first: Array, advance: Advance, beams: int, most: int, stop: Collection[int]) -> list[int]:
    """The best sequence of at most `most` tokens after logits `first` [vocabulary].

    Of all continuations of the open hypotheses the 2 * beams likeliest are candidates. One that ends in a token of
    `stop` is finished if it is among the first `beams`; the first `beams` others stay open. A finished hypothesis
    counts its sum of logarithms over its tokens, the stop token included. The search ends when `beams` are finished
    and the likeliest open one, at its length, would not be better than the worst of these, or at `most` tokens, where
    open ones count as they are.
    """
    sums = np.zeros(1)
    sequences: list[list[int]] = [[]]
    finished: list[tuple[float, list[int]]] = []
    logits = first[None]
    for length in range(1, most + 1):
        scores = sums[:, None] + log_probabilities(logits)
        flat = scores.ravel()
        wanted = min(2 * beams, flat.size)
        best = np.argpartition(-flat, wanted - 1)[:wanted]
        rows: list[int] = []
        tokens: list[int] = []
        kept: list[float] = []
        for rank, i in enumerate(best[np.lexsort((best, -flat[best]))]):
            row, token = divmod(int(i), scores.shape[1])
            if token in stop:
                if rank < beams:
                    finished.append((float(flat[i]) / length, sequences[row]))
            elif len(rows) < beams:
                rows, tokens, kept = [*rows, row], [*tokens, token], [*kept, float(flat[i])]
        finished = sorted(finished, key=lambda f: -f[0])[:beams]
        sequences = [[*sequences[row], token] for row, token in zip(rows, tokens, strict=True)]
        sums = np.array(kept)
        done = len(finished) == beams and max(kept, default=-math.inf) / length <= finished[-1][0]
        if done or not rows or length == most:
            break
        logits = advance(rows, tokens)
    open_ones = [] if done else [(total / length, tokens) for total, tokens in zip(kept, sequences, strict=True)]
    return max([*finished, *open_ones], key=lambda f: f[0])[1]
