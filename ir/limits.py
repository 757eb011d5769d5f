"""What loading a model may take: counts, sizes and time, each with a default that `load_onnx(limits=...)` changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from arenaut.ir.errors import ModelLimitError, OptionError
from arenaut.plain import dataclass


@dataclass(frozen=True)
class Limits:
    """What a model may hold, and how long loading may take. What goes beyond ends in ModelLimitError.

    nodes         of the graph and its bodies, those of functions as often as they are called
    tensor_bytes  of one constant
    text_bytes    of one string in a tensor or attribute
    seconds       from reading the file to a model that is ready; None: as long as it takes. Looked at between nodes and
                  passes, so that one long step may pass it.

    Files state at most 100 messages inside each other and 16,777,216 in all; a run has its own limits, `timeout` and
    `max_memory`.
    """

    nodes: int = 250_000
    tensor_bytes: int = 1 << 40
    text_bytes: int = 1 << 28
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("nodes", "tensor_bytes", "text_bytes"):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, int) or given < 0:
                raise OptionError(f"Limits({name}={given!r}): expected an integer from 0")
        if self.seconds is not None and not (isinstance(self.seconds, (int, float)) and self.seconds >= 0):
            raise OptionError(f"Limits(seconds={self.seconds!r}): expected seconds, a number from 0, or None")


class _State(threading.local):
    """Of this thread: the limits of the model that it loads, and when its time is up."""

    limits = Limits()
    end: float | None = None


_state = _State()


@contextmanager
def within(limits: Limits | None) -> Iterator[None]:
    """Loads in this thread keep to these limits; None: to the defaults."""
    before = _state.limits, _state.end
    _state.limits = Limits() if limits is None else limits
    _state.end = None if _state.limits.seconds is None else time.monotonic() + _state.limits.seconds
    try:
        yield
    finally:
        _state.limits, _state.end = before


def check_time() -> None:
    """Raises ModelLimitError where the load in this thread has had its time."""
    if _state.end is not None and time.monotonic() > _state.end:
        raise ModelLimitError(
            f"loading took longer than the {_state.limits.seconds} seconds that limits=Limits(seconds=...) allows"
        )


def check_nodes(count: int, where: object) -> None:
    """Raises ModelLimitError for more nodes than a model may have."""
    limit = _state.limits.nodes
    if count > limit:
        raise _beyond("nodes", f"{where}: the model's graphs and functions expand to more than {limit} nodes")


def check_tensor(count: int, where: object) -> None:
    """Raises ModelLimitError for a constant of so many bytes."""
    limit = _state.limits.tensor_bytes
    if count > limit:
        raise _beyond("tensor_bytes", f"{where} takes {count} bytes, more than the {limit} that a constant may have")


def check_text(count: int, where: object) -> None:
    """Raises ModelLimitError for a string of so many bytes."""
    limit = _state.limits.text_bytes
    if count > limit:
        raise _beyond("text_bytes", f"{where} holds a string of {count} bytes, more than the {limit} that one may have")


def _beyond(name: str, text: str) -> ModelLimitError:
    return ModelLimitError(f"{text}. If the model is meant to be so, load it with Limits({name}=...)")
