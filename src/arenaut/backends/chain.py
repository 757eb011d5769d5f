"""The chain of backends: the first that can run a step does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from arenaut import _native
from arenaut.lowering.build import Built
from arenaut.lowering.program import LoweredStep


class Backend(Protocol):
    """Runs the run's next step, or returns False to leave it to the next backend."""

    name: str

    def run_step(self, built: Built, run: _native.Run, step: LoweredStep) -> bool: ...


class NativeBackend:
    """The step as the compiled executor runs it."""

    name = "native"

    def run_step(self, built: Built, run: _native.Run, step: LoweredStep) -> bool:
        return run.step()


def resolve_backends(names: Sequence[str]) -> list[Backend]:
    """Backends by name: "native", "reference", "cblas"."""
    from arenaut.backends.cblas import CblasBackend
    from arenaut.backends.reference import ReferenceBackend

    known: dict[str, Callable[[], Backend]] = {
        "native": NativeBackend,
        "reference": ReferenceBackend,
        "cblas": CblasBackend,
    }
    unknown = [n for n in names if n not in known]
    if unknown:
        raise ValueError(f"unknown backends {unknown}; there are {sorted(known)}")
    return [known[n]() for n in names]
