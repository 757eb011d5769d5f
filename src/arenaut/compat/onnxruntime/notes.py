"""Warnings of what is accepted and has no effect: each once a process."""

from __future__ import annotations

import warnings

_SAID: set[str] = set()


class NoEffectWarning(UserWarning):
    """A part of onnxruntime's interface that arenaut accepts, and that changes nothing."""


def no_effect(what: str, why: str) -> None:
    """Says once that `what` has no effect."""
    if what not in _SAID:
        _SAID.add(what)
        warnings.warn(f"{what} has no effect on arenaut: {why}", NoEffectWarning, stacklevel=4)
